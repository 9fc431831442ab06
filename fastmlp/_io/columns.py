"""Input columns of a table: their types, which of them are used, and their encoding as numbers.

A numeric column is standardised to mean 0 and standard deviation 1 over the training rows; a missing number becomes 0.
A text column becomes one column of 0 and 1 for each text in the training rows. A column that is nearly all numbers is
not read as text unless the user asks for it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

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
from fastmlp._io.tables import Field, ReadOptions, Table, texts_of

MOST_TEXTS = 50
MOST_SCALED = 1e18  # standard deviations; larger inputs soon overflow float32
OUTLIER = 1e4
SINGLE_WITHIN = 4 * 2.0**-23  # the relative spread below which a column stored in float32 is constant

COUNTS_ROWS = "row numbers"
RISES = "whole numbers that rise from row to row, like row numbers"
NAMES_ROWS = "a different text in every row, like row names"
LEAST_IDS = 10  # rows; with fewer, numbers that rise by 1 may be chance

ID_NAME = re.compile(
    r"(^|[^a-z])(id|ids|idx|index|key|uuid|guid|nr|no|row|rownames|record|obs|observation|sample)$"
    r"|^(#|№|unnamed: ?\d+)$"
    r"|^(level|index_level|row)_?\d+$|(user|pat|patient|row|client|customer|order|record|member|person|subject|case|item"
    r"|account|employee|student|product|sample)_?(id|num|number|no|nr)$"
)
NEARLY_ALL = 0.95  # of the rows: a few ids may be missing or repeated
MOST_GAPS = 3  # where rows were removed, row numbers span at most this many times the number of remaining rows


@dataclass
class Column:
    """How a column of a table becomes numbers."""

    name: str
    texts: list[str | None] = field(default_factory=list)  # categories, None for missing; empty if numeric
    mean: float = 0.0
    deviation: float = 1.0
    low: float = -np.inf  # least and greatest value in the training rows
    high: float = np.inf

    @property
    def width(self) -> int:
        return max(1, len(self.texts))

    def encoded(self, table: Table, notes: list[str]) -> np.ndarray:
        """Encode the column as (rows, width); add a note for each kind of value that training did not have."""
        column = readable(table.column(self.name, ", which the model needs"))
        return self._of_texts(column, table, notes) if self.texts else self._of_numbers(column, table, notes)

    def _of_texts(self, column: Field, table: Table, notes: list[str]) -> np.ndarray:
        found = texts_of(column, table.options)
        known = {text: place for place, text in enumerate(self.texts)}
        places = np.array([known.get(text, -1) for text in found])
        absent = np.array([text is None for text in found])
        missing, unseen = int((absent & (places < 0)).sum()), int((~absent & (places < 0)).sum())
        if missing:
            notes.append(
                f"column {self.name!r}: {missing:,} values are missing, but none were in training: their inputs are 0"
            )
        if unseen:
            first = found[np.argmax(~absent & (places < 0))]
            notes.append(
                f"column {self.name!r}: {unseen:,} values did not occur in training, such as {shown(first)}: "
                "their inputs are 0"
            )
        return (places[:, None] == np.arange(len(self.texts))).astype(np.float64)

    def _of_numbers(self, column: Field, table: Table, notes: list[str]) -> np.ndarray:
        numbers = numbers_of(column, table.options)
        if numbers.others.any():
            raise ValueError(
                f"column {self.name!r} must hold numbers, but {numbers.first(numbers.others)}"
                + advice(numbers, self.name, table.options.decimal, "--na")
            )
        counts = [
            f"{count:,} {what}"
            for count, what in (
                (int((numbers.missing | numbers.words).sum()), "missing"),
                (int(numbers.infinite.sum()), "infinite"),
            )
            if count
        ]
        if counts:
            notes.append(f"column {self.name!r}: {' and '.join(counts)} values are replaced by the mean")
        values = numbers.values
        span = self.high - self.low
        with np.errstate(invalid="ignore", over="ignore"):
            far = (values < self.low - span) | (values > self.high + span)
            scaled = (values - self.mean) / self.deviation
            beyond = np.abs(scaled) > MOST_SCALED
        if beyond.any():
            row = int(np.argmax(beyond))
            raise ValueError(
                f"column {self.name!r}: row {column.rows[row]} holds {values[row]:.6g}, where training saw "
                f"{self.low:.6g} to {self.high:.6g}: correct it, or leave it empty to use the mean"
            )
        if far.any():
            notes.append(
                f"column {self.name!r}: {int(far.sum()):,} values are far outside of {self.low:.6g} to "
                f"{self.high:.6g}, which the model was trained on, such as {values[np.argmax(far)]:.6g}"
            )
        return np.where(np.isfinite(scaled), scaled, 0.0)[:, None]


# ----------------------------------------------------------------------------------------------------- reading in


@dataclass
class Choices:
    """The user's choices about columns."""

    ignored: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # columns to read as text, even if they hold numbers
    kept: list[str] = field(default_factory=list)  # columns to use even if they look like row numbers


class Reading(NamedTuple):
    """The encoded columns, and what the report says about them."""

    columns: list[Column]
    left_out: dict[str, str]  # reason by column name
    missing: dict[str, int]  # missing numbers by column name, over all rows
    notes: list[str]


def columns_of(table: Table, target: str, choices: Choices, rows: np.ndarray) -> Reading:
    """Choose the encoding of every column but the target, by the values in the chosen rows."""
    for name in (target, *choices.ignored, *choices.texts, *choices.kept):
        table.column(name)
    for name in choices.ignored:
        if name == target or name in (*choices.texts, *choices.kept):
            what = "the target" if name == target else "also said to be text or kept"
            raise ValueError(f"--ignore {name!r}: that column is {what}")
    result = Reading([], {}, {}, [])
    for name, column in table.unnamed.items():
        numbers = numbers_of(column, table.options) if column.kind != "unreadable" else None
        if numbers is not None and numbers.missing.all():
            result.left_out[name] = "empty"
        elif (
            numbers is not None
            and numbers.known.all()
            and (_counts_rows(numbers.values) or _counts_most_rows(numbers.values))
        ):
            result.left_out[name] = COUNTS_ROWS
        elif numbers is not None and len(set(texts_of(column, table.options)) - {None}) == table.n_rows:
            result.left_out[name] = NAMES_ROWS
        else:
            raise ValueError(f"{table.path}: {name} is not empty: give it a name in the header, or remove it")
    for name, column in table.fields.items():
        if name == target or name in choices.ignored:
            continue
        _take_in(readable(column), table, choices, rows, result)
    only = [name for name, why in result.left_out.items() if why in (COUNTS_ROWS, RISES) and not _is_id(name)]
    if not result.columns and only and only[0] in table.fields:
        del result.left_out[only[0]]
        result.notes.append(f"column {only[0]!r} looks like row numbers, and is used because there is no other")
        kept = Choices(choices.ignored, choices.texts, [*choices.kept, only[0]])
        _take_in(table.fields[only[0]], table, kept, rows, result)
    if not result.columns:
        why = "; ".join(
            f"{name!r} is left out ({reason}), as by --ignore {name!r}" for name, reason in result.left_out.items()
        )
        raise ValueError("no input columns are left" + (f": {why}" if why else ""))
    return result


def _take_in(column: Field, table: Table, choices: Choices, rows: np.ndarray, result: Reading) -> None:
    """Add a column to the inputs, or to those left out with the reason."""
    name = column.name
    numbers = None if name in choices.texts else _as_numbers(column, table.options, result.notes)
    if numbers is None:
        _take_texts(column, table, choices, rows, result)
        return
    values = numbers.values
    chosen = values[rows]
    known = chosen[np.isfinite(chosen)]
    if not len(known):
        result.left_out[name] = "no numbers in the training rows"
        return
    reason = None if name in choices.kept else _why_id(name, values)
    if reason is not None:
        result.left_out[name] = reason
        return
    greatest = float(np.abs(known).max())
    if greatest > MOST_MAGNITUDE:
        raise ValueError(
            f"column {name!r} has numbers too large to scale, up to {greatest:.3g}: leave it out with --ignore {name!r}"
        )
    within = SINGLE_WITHIN if column.written_as in ("float", "halffloat") else CONSTANT_WITHIN
    if np.ptp(known) <= within * greatest:
        exact = numbers_differ(column, table.options, rows)
        result.left_out[name] = (
            "numbers that differ only beyond float64's precision" if exact else f"{known[0]:.6g} in every training row"
        )
        return
    middle = float(np.subtract(*np.percentile(known, (90, 10))))
    if middle > 0 and np.ptp(known) > OUTLIER * middle:
        row = column.rows[rows][np.isfinite(chosen)][np.argmax(np.abs(known - np.median(known)))]
        result.notes.append(
            f"column {name!r}: row {row} is an outlier, more than {OUTLIER:,.0f} times the spread of eight in ten "
            "values away from the others: scaled, the others look nearly equal to a net"
        )
    unknown = int((~np.isfinite(values)).sum())
    if unknown:
        result.missing[name] = unknown
    if numbers.infinite.any():
        result.notes.append(f"column {name!r}: {int(numbers.infinite.sum()):,} infinite values are taken as missing")
    result.columns.append(Column(name, [], *mean_and_deviation(known), float(known.min()), float(known.max())))


def numbers_differ(column: Field, options: ReadOptions, rows: np.ndarray) -> bool:
    """Whether different texts round to one float64 number."""
    return len(set(texts_of(column, options)[rows]) - {None}) > 1


def _as_numbers(column: Field, options: ReadOptions, notes: list[str]) -> Numbers | None:
    """Read the column as numbers; None for a text column, ValueError for one that is nearly numeric."""
    if is_category(column):
        return None
    numbers = numbers_of(column, options)
    if is_declared_text(column) and len(np.unique(numbers.values[numbers.known])) <= MANY_NUMBERS:
        return None
    held, known = int((~numbers.missing).sum()), int((numbers.known | numbers.infinite).sum())
    words, others = int(numbers.words.sum()), int(numbers.others.sum())
    if not held:
        return numbers
    if not others and known:
        if words:
            notes.append(
                f"column {column.name!r}: {known:,} of {held:,} values are numbers; {numbers.first(numbers.words)}"
                + (f", {words:,} such" if words > 1 else "")
                + ": taken as missing"
            )
        if is_declared_text(column):
            notes.append(
                f"column {column.name!r}: numbers that are stored as text are read as numbers; "
                f"--text {column.name!r} reads them as categories"
            )
        return numbers
    if nearly_numbers(numbers, held):
        raise ValueError(
            f"column {column.name!r}: {known:,} of {held:,} values are numbers; {numbers.first(numbers.others)}"
            + advice(numbers, column.name, options.decimal, "--na", "--text", "--ignore")
        )
    return None


def _take_texts(column: Field, table: Table, choices: Choices, rows: np.ndarray, result: Reading) -> None:
    name, found = column.name, texts_of(column, table.options)
    different = Counter(found[rows])
    texts: list[str | None] = sorted((text for text in different if text is not None), key=str)
    if not texts:
        result.left_out[name] = "empty in the training rows"
        return
    everywhere = [text for text in found if text is not None]
    if name not in choices.kept and len(everywhere) >= LEAST_IDS and len(set(everywhere)) == len(everywhere):
        result.left_out[name] = NAMES_ROWS
        return
    if len(texts) > MOST_TEXTS:
        raise ValueError(
            f"column {name!r} holds {len(texts)} different texts; at most {MOST_TEXTS} are allowed: leave it out with "
            f"--ignore {name!r}"
        )
    if None in different:
        texts.append(None)
    if len(texts) == 1:
        result.left_out[name] = f"{shown(texts[0])} in every training row"
        return
    note = blanks(name, [text for text in texts if text is not None])
    result.notes.extend([note] if note else [])
    result.columns.append(Column(name, texts))


def _counts_rows(values: np.ndarray) -> bool:
    """Whether the values are different whole numbers without gaps."""
    if not len(values) or (values != np.round(values)).any() or np.abs(values).max() > 2**53:
        return False
    return np.ptp(values) == len(values) - 1 and len(np.unique(values)) == len(values)


def _why_id(name: str, values: np.ndarray) -> str | None:
    """The reason why a numeric column merely numbers the rows; None if it does not."""
    known = values[np.isfinite(values)]
    if len(known) < LEAST_IDS or (known != np.round(known)).any():
        return None
    different = len(np.unique(known))
    if len(known) == len(values) and _counts_rows(values):
        return COUNTS_ROWS
    if len(known) == len(values) and _counts_most_rows(values):
        return RISES
    if _is_id(name) and different >= NEARLY_ALL * len(values):
        return "a different number in nearly every row, and the name of an id"
    return None


def _counts_most_rows(values: np.ndarray) -> bool:
    """Whether the numbers rise from row to row by equal steps, or like row numbers of which some were removed."""
    steps = np.diff(values)
    if len(values) < 2 * LEAST_IDS or not (steps > 0).all():
        return False
    return bool((steps == steps[0]).all()) or np.ptp(values) < MOST_GAPS * len(values)


def _is_id(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip().strip("_")
    return ID_NAME.search(re.sub(r"\.\d+$", "", words)) is not None


def encoded(table: Table, columns: list[Column], notes: list[str]) -> np.ndarray:
    """Encode the table as inputs (rows, features)."""
    return np.concatenate([column.encoded(table, notes) for column in columns], axis=1)
