"""Tables for the command line: read from CSV or Parquet by pandas or polars, and made into numbers for a net.

A column of numbers is shifted and scaled to mean 0 and standard deviation 1 over the training rows, a missing number
becoming 0; a column of texts becomes one column of 0 and 1 for each text that the training rows have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp._safetensors import FileFormatError
from fastmlp.architecture import Architecture

MOST_TEXTS = 50
MOST_CLASSES = 20  # a column of more different whole numbers is no column of classes
MISSING = "(missing)"

Table = dict[str, np.ndarray]


def read(path: Path, texts: frozenset[str] | None = None) -> Table:
    """The columns of a file: float64 with NaN for what is missing, or texts, as they stand in a CSV file.

    `texts` names the columns to be read as texts; by default those that do not hold numbers alone.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise ValueError(f"{path}: needs a file that ends in .csv or .parquet")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        import pandas

        def columns(as_texts: Iterable[str]) -> Table:
            return _columns_by_pandas(pandas, path, suffix, as_texts)
    except ImportError:
        try:
            import polars
        except ImportError:
            raise ValueError(f"reading {path} needs pandas or polars: pip install 'fastmlp[tables]'") from None

        def columns(as_texts: Iterable[str]) -> Table:
            return _columns_by_polars(polars, path, suffix, as_texts)

    try:
        table = columns(texts or ())
        if texts is None and suffix == ".csv":
            as_texts = [name for name, values in table.items() if not is_numeric(values)]
            table = columns(as_texts) if as_texts else table
    except Exception as error:
        raise ValueError(f"{path}: {error}") from None
    if not len(next(iter(table.values()), ())):
        raise ValueError(f"{path} has no rows")
    return table


def _columns_by_pandas(pandas: Any, path: Path, suffix: str, as_texts: Iterable[str]) -> Table:
    kinds = dict.fromkeys(as_texts, str)
    frame = pandas.read_csv(path, dtype=kinds) if suffix == ".csv" else pandas.read_parquet(path)
    if not frame.columns.is_unique:
        raise ValueError(f"two columns have the name {frame.columns[frame.columns.duplicated()][0]!r}")
    types, table = pandas.api.types, {}
    for name, column in frame.items():
        if types.is_numeric_dtype(column) and not types.is_bool_dtype(column) and name not in kinds:
            table[str(name)] = column.to_numpy(np.float64, na_value=np.nan)
        else:
            table[str(name)] = _texts([None if pandas.isna(value) else value for value in column])
    return table


def _columns_by_polars(polars: Any, path: Path, suffix: str, as_texts: Iterable[str]) -> Table:
    kinds = dict.fromkeys(as_texts, polars.String)
    frame = polars.read_csv(path, schema_overrides=kinds) if suffix == ".csv" else polars.read_parquet(path)
    table = {}
    for column in frame.get_columns():
        if column.dtype.is_numeric() and column.name not in kinds:
            table[column.name] = column.cast(polars.Float64).fill_null(np.nan).to_numpy().astype(np.float64)
        else:
            table[column.name] = _texts(column.to_list())
    return table


def _texts(values: list[Any]) -> np.ndarray:
    return np.array([MISSING if value is None else str(value) for value in values], dtype=object)


def is_numeric(column: np.ndarray) -> bool:
    """Whether a column holds numbers."""
    return column.dtype == np.float64


@dataclass
class Column:
    """How a column of a table becomes numbers."""

    name: str
    texts: list[str] = field(default_factory=list)  # what it may hold, none for numbers
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        return max(1, len(self.texts))

    def encoded(self, table: Table) -> np.ndarray:
        """(rows, width)."""
        if self.name not in table:
            raise ValueError(f"the data have no column {self.name!r}, which the model needs")
        values = table[self.name]
        if self.texts:
            if is_numeric(values):  # of a Parquet file
                values = np.array([MISSING if np.isnan(value) else label(value) for value in values], dtype=object)
            return (values[:, None] == np.array(self.texts, dtype=object)).astype(np.float64)
        if not is_numeric(values):
            raise ValueError(f"column {self.name!r} holds texts such as {values[0]!r}; the model needs numbers there")
        scaled = (values - self.mean) / self.deviation
        return np.where(np.isfinite(scaled), scaled, 0.0)[:, None]


def columns_of(table: Table, target: str, ignored: list[str], rows: np.ndarray) -> list[Column]:
    """How each column but the target becomes numbers, by what the chosen rows hold."""
    for name in (target, *ignored):
        if name not in table:
            raise ValueError(f"the data have no column {name!r}; there are {', '.join(map(repr, table))}")
    columns = []
    for name, values in table.items():
        if name == target or name in ignored:
            continue
        chosen = values[rows]
        if not is_numeric(values):
            texts = sorted(set(chosen))
            if len(texts) > MOST_TEXTS:
                raise ValueError(
                    f"column {name!r} holds {len(texts)} different texts, at most {MOST_TEXTS} make sense: "
                    f"leave it out with --ignore {name!r}"
                )
            columns.append(Column(name, texts))
            continue
        known = chosen[np.isfinite(chosen)]
        if not len(known):
            raise ValueError(f"column {name!r} has no numbers: leave it out with --ignore {name!r}")
        with np.errstate(over="ignore"):
            mean, deviation = float(known.mean()), float(known.std())
        if not np.isfinite(deviation):
            raise ValueError(f"column {name!r} has numbers too large to scale: leave it out with --ignore {name!r}")
        columns.append(Column(name, [], mean, deviation or 1.0))
    if not columns:
        raise ValueError("there is no column to predict from")
    return columns


def encoded(table: Table, columns: list[Column]) -> np.ndarray:
    """The inputs (rows, features)."""
    return np.concatenate([column.encoded(table) for column in columns], axis=1)


@dataclass
class Target:
    """What is predicted: one of `classes`, or a number, which the net sees shifted and scaled."""

    name: str
    classes: list[str] = field(default_factory=list)
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def is_class(self) -> bool:
        return bool(self.classes)

    @property
    def output(self) -> tuple[str, int]:
        """The nets' output activation, and how many outputs they have."""
        if not self.is_class:
            return "identity", 1
        return ("sigmoid", 1) if len(self.classes) == 2 else ("softmax", len(self.classes))

    def encoded(self, table: Table) -> np.ndarray:
        """Class numbers, or scaled numbers."""
        values = table[self.name]
        if self.is_class:
            texts = np.array([label(value) for value in values], dtype=object)
            return np.searchsorted(np.array(self.classes, dtype=object), texts)
        return (values - self.mean) / self.deviation


def label(value: Any) -> str:
    """A class as it is written: a whole number without a point, any other so that nothing is lost."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else repr(float(value))


def target_of(table: Table, name: str, task: str | None) -> Target:
    """What kind of target a column is; `task` says it, or what the column holds."""
    if name not in table:
        raise ValueError(f"the data have no column {name!r}; there are {', '.join(map(repr, table))}")
    values = table[name]
    missing = ~np.isfinite(values) if is_numeric(values) else values == MISSING
    if missing.any():
        raise ValueError(
            f"column {name!r} lacks {missing.sum()} values, the first in row {int(np.argmax(missing)) + 1}"
        )
    classes = sorted({label(value) for value in values})
    whole = is_numeric(values) and bool((values == np.round(values)).all())
    if task is None:
        task = "regression" if is_numeric(values) and not (whole and len(classes) <= MOST_CLASSES) else "classification"
    if task == "regression":
        if not is_numeric(values):
            raise ValueError(f"column {name!r} holds texts, so that it cannot be a regression's target")
        if len(classes) < 2:
            raise ValueError(f"column {name!r} holds {classes[0]} only: there is nothing to predict")
        return Target(name, [], float(values.mean()), float(values.std()))
    if len(classes) < 2:
        raise ValueError(f"column {name!r} holds {classes[0]!r} only: there is nothing to predict")
    return Target(name, classes)


def to_extra(columns: list[Column], target: Target) -> dict[str, Any]:
    """What is saved with the model."""
    return {"columns": [asdict(column) for column in columns], "target": asdict(target)}


def unseen(table: Table, columns: list[Column]) -> dict[str, int]:
    """How many values of each column of texts the model does not know."""
    counts = {
        column.name: int((~np.isin(table[column.name].astype(str), column.texts)).sum())
        for column in columns
        if column.texts and not is_numeric(table[column.name])
    }
    return {name: count for name, count in counts.items() if count}


def from_extra(extra: dict[str, Any], architecture: Architecture) -> tuple[list[Column], Target]:
    """Read it back; FileFormatError where it makes no sense for the nets."""
    try:
        columns = [Column(**entry) for entry in extra["columns"]]
        target = Target(**extra["target"])
    except (KeyError, TypeError) as error:
        raise FileFormatError(f"no model of `fastmlp fit`: {error}") from None
    items: list[Any] = [*columns, target]
    for item in items:
        texts = item.texts if isinstance(item, Column) else item.classes
        right = isinstance(item.name, str) and isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        numbers = all(isinstance(number, float) and np.isfinite(number) for number in (item.mean, item.deviation))
        if not right or not numbers or item.deviation <= 0:
            raise FileFormatError(f"the model describes a column as {item}")
    n_inputs, own = sum(column.width for column in columns), (architecture.output, architecture.sizes[-1])
    if len(target.classes) == 1 or architecture.sizes[0] != n_inputs or own != target.output:
        raise FileFormatError("the columns that the model describes do not fit its nets")
    return columns, target
