"""The target column of a table: classes or numbers; and how the encoding of a table is saved with the model."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastmlp._io.columns import Choices, Column
from fastmlp._io.numbers import (
    CONSTANT_WITHIN,
    MANY_NUMBERS,
    MOST_MAGNITUDE,
    Numbers,
    advice,
    blanks,
    is_category,
    is_declared_text,
    mean_and_deviation,
    nearly_numbers,
    numbers_of,
    readable,
    shown,
)
from fastmlp._io.safetensors import FileFormatError
from fastmlp._io.tables import Field, ReadOptions, Table, texts_of
from fastmlp.architecture import Architecture

MOST_CLASSES = 20  # a column of more different whole numbers does not hold classes


@dataclass
class Target:
    """The target: one of `classes`, or a number, which is standardised for the net."""

    name: str
    classes: list[str] = field(default_factory=list)
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def is_class(self) -> bool:
        return bool(self.classes)

    @property
    def output(self) -> tuple[str, int]:
        """The nets' output activation, and the number of outputs."""
        if not self.is_class:
            return "identity", 1
        return ("sigmoid", 1) if len(self.classes) == 2 else ("softmax", len(self.classes))

    @property
    def digits(self) -> int:
        """Digits of a printed prediction: six from the first in which targets differ."""
        magnitude = abs(self.mean) + self.deviation
        return int(min(17, 6 + np.floor(np.log10(magnitude / self.deviation))))


class Answers(NamedTuple):
    """The target's values in all rows."""

    target: Target
    values: np.ndarray  # (rows,) class numbers, or the numbers as they are
    notes: list[str]

    def scaled(self, rows: np.ndarray) -> tuple[Target, np.ndarray]:
        """Standardise a numeric target by the mean and standard deviation of the chosen rows."""
        if self.target.is_class:
            return self.target, self.values
        mean, deviation = mean_and_deviation(self.values[rows])
        target = Target(self.target.name, [], mean, deviation or 1.0)
        return target, (self.values - target.mean) / target.deviation


def answers_of(table: Table, name: str, task: str | None, choices: Choices) -> Answers:
    """Read the target; `task` says whether it holds classes or numbers, None to decide by its values."""
    if name in choices.texts and task is None:
        task = "classification"
    column = readable(table.column(name))
    texts = texts_of(column, table.options)
    missing = np.array([text is None for text in texts])
    if missing.any():
        raise ValueError(
            f"column {name!r} lacks {missing.sum()} values, the first in row {column.rows[np.argmax(missing)]}: give "
            "them, or leave those rows out with --drop-missing"
        )
    numbers = numbers_of(column, table.options)
    odd = numbers.others | numbers.words | numbers.infinite
    if task != "classification" and odd.any():
        nearly = nearly_numbers(numbers, len(texts)) if numbers.others.any() else bool(numbers.known.any())
        if nearly or (task == "regression" and numbers.known.any()):
            numbers = numbers if numbers.texts is not None else numbers._replace(texts=texts)
            raise ValueError(
                f"column {name!r}: {int(numbers.known.sum()):,} of {len(texts):,} values are numbers; "
                f"{numbers.first(odd)}"
                + advice(numbers._replace(others=odd), name, table.options.decimal, "--na", "--task")
            )
    all_numbers = bool(numbers.known.all()) and not (is_category(column) and task is None)
    if task is None and all_numbers:
        _refuse_large(name, numbers.values)
    if task is None:
        task = _task_of(name, column, texts, numbers, all_numbers)
    if task == "regression":
        return _numbers_as_answers(name, texts, numbers, all_numbers)
    return _classes_as_answers(name, texts, numbers, all_numbers)


def _task_of(name: str, column: Field, texts: np.ndarray, numbers: Numbers, all_numbers: bool) -> str:
    """Whether a column holds classes or numbers."""
    whole = all_numbers and bool((numbers.values == np.round(numbers.values)).all())
    different = len(np.unique(numbers.values))
    if whole and np.abs(numbers.values).max() >= 2**53:  # float64 does not have every whole number from here on
        different = len(set(texts))
    few = whole and different <= MOST_CLASSES
    declared = is_declared_text(column)
    few = few or (declared and len(np.unique(numbers.values)) <= MANY_NUMBERS)
    if all_numbers and not few and declared:
        raise ValueError(
            f"column {name!r} holds numbers that are stored as texts: pass --task regression, or --task classification"
        )
    return "regression" if all_numbers and not few else "classification"


def _numbers_as_answers(name: str, texts: np.ndarray, numbers: Numbers, all_numbers: bool) -> Answers:
    if not all_numbers:
        raise ValueError(f"column {name!r} holds text: a regression needs a numeric target")
    _refuse_large(name, numbers.values)
    greatest = float(np.abs(numbers.values).max())
    if np.ptp(numbers.values) <= CONSTANT_WITHIN * greatest:
        if len(set(texts)) > 1:
            raise ValueError(
                f"column {name!r} holds numbers that differ only beyond float64's precision, such as "
                f"{texts[0]}: subtract a constant, or pass --task classification"
            )
        raise ValueError(f"column {name!r} holds {texts[0]} only: there is nothing to predict")
    return Answers(Target(name, [], *mean_and_deviation(numbers.values)), numbers.values, [])


def _classes_as_answers(name: str, texts: np.ndarray, numbers: Numbers, all_numbers: bool) -> Answers:
    notes: list[str] = []
    by_number = dict(zip(texts, numbers.values, strict=True)) if all_numbers else {}
    classes = sorted(set(texts), key=lambda text: (by_number.get(text, 0.0), text))
    if len(classes) < 2:
        raise ValueError(f"column {name!r} holds {classes[0]!r} only: there is nothing to predict")
    if len(classes) > len(texts) // 2:
        raise ValueError(
            f"column {name!r} holds {len(classes):,} different values in {len(texts):,} rows, such as "
            f"{shown(classes[0])}: too many to be classes"
            + (": pass --task regression if they are numbers" if all_numbers else "")
        )
    if all_numbers and len(set(by_number.values())) < len(classes):
        doubled = [text for text in classes if list(by_number.values()).count(by_number[text]) > 1][:2]
        notes.append(
            f"column {name!r}: classes that are written differently count as different, such as "
            f"{' and '.join(map(repr, doubled))}"
        )
    note = blanks(name, classes)
    notes += [note] if note else []
    place = {text: k for k, text in enumerate(classes)}
    return Answers(Target(name, classes), np.array([place[text] for text in texts]), notes)


def _refuse_large(name: str, values: np.ndarray) -> None:
    greatest = float(np.abs(values).max())
    if greatest > MOST_MAGNITUDE:
        raise ValueError(
            f"column {name!r} has numbers too large to learn, up to {greatest:.3g}: divide them by a power of 10"
        )


def without_missing(table: Table, name: str) -> tuple[Table, int, int]:
    """Remove the rows without a target; returns the table, their number and the first of them."""
    import pyarrow as pa

    missing = np.array([text is None for text in texts_of(readable(table.column(name)), table.options)])
    if not missing.any():
        return table, 0, 0
    kept = pa.array(np.flatnonzero(~missing))

    def taken(fields: dict[str, Field]) -> dict[str, Field]:
        return {
            key: Field(f.name, f.values.take(kept), f.kind, f.written_as, f.is_declared, f.rows[~missing])
            for key, f in fields.items()
        }

    count = int(missing.sum())
    if count == table.n_rows:
        raise ValueError(f"column {name!r} has no values at all")
    kept_table = Table(table.path, table.n_rows - count, taken(table.fields), table.options, taken(table.unnamed))
    return kept_table, count, int(np.argmax(missing)) + 1


# ------------------------------------------------------------------------------------------------------ in files

_NUMBERS_KEPT = ("mean", "deviation", "low", "high")


def to_extra(columns: list[Column], target: Target, options: ReadOptions) -> dict[str, Any]:
    """The encoding as JSON; numbers are base64 of little-endian float64, which is short and exact."""
    numbers = {
        name: base64.b64encode(np.array([getattr(c, name) for c in columns], "<f8").tobytes()).decode()
        for name in _NUMBERS_KEPT
    }
    return {
        "table": 2,
        "names": [c.name for c in columns],
        **numbers,
        "na": list(options.na),
        "texts": {str(k): c.texts for k, c in enumerate(columns) if c.texts},
        "target": {"name": target.name, "classes": target.classes, "mean": target.mean, "deviation": target.deviation},
    }


def from_extra(extra: dict[str, Any], architecture: Architecture) -> tuple[list[Column], Target, tuple[str, ...]]:
    """Read the encoding and the spellings of missing values; raises FileFormatError if they do not fit the nets."""
    try:
        columns = _old_columns(extra["columns"]) if "table" not in extra else _columns(extra)
        target = Target(**extra["target"])
        na = tuple(extra.get("na", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"not a model of `fastmlp fit`: the metadata lack, or have another, {error}") from None
    items: list[Any] = [*columns, target]
    for item in items:
        texts = item.texts if isinstance(item, Column) else item.classes
        right = isinstance(item.name, str) and isinstance(texts, list)
        right = right and all(isinstance(text, str) or (text is None and isinstance(item, Column)) for text in texts)
        numbers = all(isinstance(number, float) and np.isfinite(number) for number in (item.mean, item.deviation))
        if not right or not numbers or item.deviation <= 0:
            raise FileFormatError(f"the model describes a column as {item}")
    n_inputs, own = sum(column.width for column in columns), (architecture.output, architecture.sizes[-1])
    if len(target.classes) == 1 or architecture.sizes[0] != n_inputs or own != target.output:
        raise FileFormatError("the model's columns do not fit its nets")
    if not all(isinstance(text, str) for text in na):
        raise FileFormatError("the model's spellings of missing values are not strings")
    return columns, target, na


def _columns(extra: dict[str, Any]) -> list[Column]:
    names = extra["names"]
    numbers = [np.frombuffer(base64.b64decode(extra[name], validate=True), "<f8").tolist() for name in _NUMBERS_KEPT]
    if extra["table"] != 2 or not isinstance(names, list) or any(len(column) != len(names) for column in numbers):
        raise ValueError("its columns are stored in another format")
    texts = {int(place): found for place, found in extra["texts"].items()}
    return [
        Column(name, texts.get(k, []), *of_column)
        for k, (name, *of_column) in enumerate(zip(names, *numbers, strict=True))
    ]


def _old_columns(entries: list[dict[str, Any]]) -> list[Column]:
    """Convert the columns of a file of version 1, which stored one spelling of missing values."""
    columns = [Column(**entry) for entry in entries]
    for column in columns:
        if isinstance(column.texts, list):
            column.texts = [None if text == "(missing)" else text for text in column.texts]
    return columns
