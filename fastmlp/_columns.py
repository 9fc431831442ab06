"""What the columns of a table mean, and how they become numbers for a net.

A column of numbers is shifted and scaled to mean 0 and standard deviation 1 over the training rows, a missing number
becoming 0; a column of texts becomes one column of 0 and 1 for each text that the training rows have. What holds nearly
numbers alone is never taken for texts without being asked to.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastmlp._safetensors import FileFormatError
from fastmlp._tables import Field, ReadOptions, Table, numbers_among, texts_of
from fastmlp.architecture import Architecture

MOST_TEXTS = 50
MOST_CLASSES = 20  # a column of more different whole numbers is no column of classes
MOST_SCALED = 1e18  # standard deviations: beyond it float32 soon overflows
MOST_MAGNITUDE = 1e150  # beyond it squares overflow
OUTLIER = 1e4
CONSTANT_WITHIN = 16 * 2.0**-52  # relative: numbers that differ by less are one number and its rounding
# A column is one of numbers with something else in it where so many of its values are numbers, or so many of them
# differ
MOSTLY_NUMBERS, MANY_NUMBERS = 0.8, 12
COUNTS_ROWS = "numbers of rows"
LEAST_IDS = 10  # rows: of fewer, numbers that rise by 1 may be chance
MISSING_WORDS = frozenset(
    (
        "na",
        "n/a",
        "n.a.",
        "nan",
        "null",
        "none",
        "nil",
        "-",
        "--",
        ".",
        "?",
        "n/k",
        "nk",
        "missing",
        "unknown",
        "#n/a",
        "#na",
        "#null!",
        "#div/0!",
        "#value!",
        "#ref!",
        "#name?",
        "#num!",
    )
)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
OTHER_NUMBERS = {
    "separators of thousands": (
        re.compile(r"[+-]?\d{1,3}([,.' \u202f\u00a0]\d{3})+([.,]\d+)?"),
        "write it without them, or pass --decimal ',' if the comma is a decimal one",
    ),
    "a decimal comma": (re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?"), "pass --decimal ',' if all are written so"),
    "a percent sign": (re.compile(r"[+-]?[\d.,]+\s*%"), "write it as a plain number"),
    "a currency": (
        re.compile(r"[+-]?\s*([$€£¥]|USD|EUR|GBP|CHF)\s*[+-]?[\d.,]+|[+-]?[\d.,]+\s*([$€£¥]|USD|EUR|GBP|CHF)"),
        "write it as a plain number",
    ),
}  # fmt: skip
ID_NAME = re.compile(
    r"(^|[^a-z])(id|ids|idx|index|key|uuid|guid|nr|no|row|rownames|record|obs|observation|sample)$"
    r"|^(#|№|unnamed: ?\d+)$"
    r"|^(level|index_level|row)_?\d+$|(user|pat|patient|row|client|customer|order|record|member|person|subject|case|item"
    r"|account|employee|student|product|sample)_?(id|num|number|no|nr)$"
)
NEARLY_ALL = 0.95  # of the rows: an id may be missing or doubled now and then
MOST_GAPS = 3  # numbers of rows, of which the others are gone, span at most so many times the rows that are left


class Numbers(NamedTuple):
    """A column read as numbers."""

    values: np.ndarray  # (rows,) float64, NaN for what is none
    missing: np.ndarray  # (rows,) bool: empty, or a spelling of missing that was given
    words: np.ndarray  # (rows,) bool: another usual word for missing
    infinite: np.ndarray  # (rows,) bool
    others: np.ndarray  # (rows,) bool: anything else
    texts: np.ndarray | None  # (rows,) as written, where there are words or others
    rows: np.ndarray  # (rows,) their numbers in the file

    @property
    def known(self) -> np.ndarray:
        return np.isfinite(self.values)

    def first(self, which: np.ndarray) -> str:
        """The first of the fields of a mask, as a message shows it."""
        row = int(np.argmax(which))
        assert self.texts is not None
        return f"row {self.rows[row]} holds {_shown(self.texts[row])}"


def _shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 40 else shown[:38] + "…'"


def numbers_of(column: Field, options: ReadOptions) -> Numbers:
    """Read a column as numbers, whatever it holds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n, values = len(column.values), column.values
    none = np.zeros(n, bool)
    if column.kind == "number":
        if pa.types.is_decimal(values.type):
            values = pa.array([None if v is None else float(v) for v in values.to_pylist()], pa.float64())
        found = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
        infinite = np.isinf(found)
        missing = np.isnan(found) | np.isin(found, list(numbers_among(options.na)))
        return Numbers(np.where(infinite | missing, np.nan, found), missing, none, infinite, none, None, column.rows)
    trimmed = pc.utf8_trim_whitespace(values)
    plain = trimmed
    pattern = NUMBER
    if options.decimal == ",":
        pattern = NUMBER.replace(r"\.", ",")
        plain = pc.replace_substring(trimmed, ",", ".")
    is_number = pc.fill_null(pc.match_substring_regex(trimmed, f"^{pattern}$"), False)
    plain = pc.replace_substring_regex(pc.if_else(is_number, plain, None), r"^\+", "")
    try:
        parsed = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # out of its range
        parsed = np.array([np.nan if text is None else float(text) for text in plain.to_pylist()])
    is_number = is_number.to_numpy(zero_copy_only=False).astype(bool)
    spelled = np.isin(parsed, list(numbers_among(options.na)))
    if is_number.all():
        infinite = np.isinf(parsed)
        return Numbers(np.where(infinite | spelled, np.nan, parsed), spelled, none, infinite, none, None, column.rows)
    texts = texts_of(column, options)
    missing = np.array([text is None for text in texts]) | spelled
    words, infinite, others = none.copy(), np.isinf(parsed), none.copy()
    for row in np.flatnonzero(~is_number & ~missing):
        text = texts[row].strip()
        if text.lower() in MISSING_WORDS:
            words[row] = True
        elif INFINITE.fullmatch(text):
            infinite[row] = True
        else:
            others[row] = True
    values = np.where(is_number & np.isfinite(parsed) & ~missing, parsed, np.nan)
    return Numbers(values, missing, words, infinite & ~missing, others, texts, column.rows)


@dataclass
class Column:
    """How a column of a table becomes numbers."""

    name: str
    texts: list[str | None] = field(default_factory=list)  # what it may hold, None for missing; empty for numbers
    mean: float = 0.0
    deviation: float = 1.0
    low: float = -np.inf  # of the training rows
    high: float = np.inf

    @property
    def width(self) -> int:
        return max(1, len(self.texts))

    def encoded(self, table: Table, notes: list[str]) -> np.ndarray:
        """(rows, width); what was not as in training is added to `notes`."""
        if self.name not in table.fields:
            there = ", ".join(map(repr, list(table.fields)[:20])) + (", …" if len(table.fields) > 20 else "")
            raise ValueError(f"the data have no column {self.name!r}, which the model needs; there are {there}")
        column = _readable(table.fields[self.name])
        return self._of_texts(column, table, notes) if self.texts else self._of_numbers(column, table, notes)

    def _of_texts(self, column: Field, table: Table, notes: list[str]) -> np.ndarray:
        found = texts_of(column, table.options)
        known = {text: place for place, text in enumerate(self.texts)}
        places = np.array([known.get(text, -1) for text in found])
        absent = np.array([text is None for text in found])
        missing, unseen = int((absent & (places < 0)).sum()), int((~absent & (places < 0)).sum())
        if missing:
            notes.append(
                f"column {self.name!r}: {missing:,} values are missing, as none was in training: they count as none"
            )
        if unseen:
            first = found[np.argmax(~absent & (places < 0))]
            notes.append(
                f"column {self.name!r}: {unseen:,} values that the model has never seen count as none, such as "
                f"{_shown(first)}"
            )
        return (places[:, None] == np.arange(len(self.texts))).astype(np.float64)

    def _of_numbers(self, column: Field, table: Table, notes: list[str]) -> np.ndarray:
        numbers = numbers_of(column, table.options)
        if numbers.others.any():
            raise ValueError(
                f"column {self.name!r} must hold numbers, but {numbers.first(numbers.others)}"
                + _advice(numbers, self.name, table.options.decimal, "--na")
            )
        counts = [
            f"{count:,} {what}" for count, what in (
                (int((numbers.missing | numbers.words).sum()), "missing"), (int(numbers.infinite.sum()), "infinite"),
            ) if count
        ]  # fmt: skip
        if counts:
            notes.append(f"column {self.name!r}: {' and '.join(counts)} values are taken for the mean")
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
                f"{self.low:.6g} to {self.high:.6g}: correct it, or leave it empty to have it taken for the mean"
            )
        if far.any():
            notes.append(
                f"column {self.name!r}: {int(far.sum()):,} values are far outside of {self.low:.6g} to "
                f"{self.high:.6g}, which the model was trained on, such as {values[np.argmax(far)]:.6g}"
            )
        return np.where(np.isfinite(scaled), scaled, 0.0)[:, None]


def _readable(column: Field) -> Field:
    if column.kind == "unreadable":
        raise ValueError(
            f"column {column.name!r} holds values of type {column.written_as}, neither numbers nor texts, which no net "
            f"reads: as an input leave it out with --ignore {column.name!r} when you fit"
        )
    return column


def _advice(numbers: Numbers, name: str, decimal: str, *options: str) -> str:
    """What to do about fields that are no numbers."""
    assert numbers.texts is not None
    which = numbers.others if numbers.others.any() else numbers.words
    text = str(numbers.texts[int(np.argmax(which))]).strip()
    for what, (pattern, advice) in OTHER_NUMBERS.items():
        if decimal == "," and "." in text:
            return ", a number with a decimal point: leave --decimal ',' out if all are written so"
        if pattern.fullmatch(text):
            return f", a number with {what}: {advice}"
    na = f"--na={text!r}" if text.startswith("-") else f"--na {text!r}"
    found = {
        "--na": f"pass {na} if that means missing",
        "--text": f"--text {name!r} to take the column as names",
        "--ignore": f"--ignore {name!r} to leave it out",
        "--task": "--task classification to take all of them as classes",
    }
    return ": " + ", ".join(found[option] for option in options)


# ----------------------------------------------------------------------------------------------------- reading in


@dataclass
class Choices:
    """What a user says of the columns."""

    ignored: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # to be taken as names, numbers or not
    kept: list[str] = field(default_factory=list)  # numbers of rows or not


class Reading(NamedTuple):
    """How a table's columns become numbers, and what a reader of the report should know."""

    columns: list[Column]
    left_out: dict[str, str]  # name to reason
    missing: dict[str, int]  # numbers that are missing, over all rows
    notes: list[str]


def columns_of(table: Table, target: str, choices: Choices, rows: np.ndarray) -> Reading:
    """How each column but the target becomes numbers, by what the chosen rows hold."""
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
        else:
            raise ValueError(f"{table.path}: {name} is not empty: give it a name in the header, or remove it")
    for name, column in table.fields.items():
        if name == target or name in choices.ignored:
            continue
        _take_in(_readable(column), table, choices, rows, result)
    only = [name for name, why in result.left_out.items() if why == COUNTS_ROWS and not _is_id(name)]
    if not result.columns and only and only[0] in table.fields:
        del result.left_out[only[0]]
        result.notes.append(f"column {only[0]!r} counts the rows, and is used because there is no other")
        kept = Choices(choices.ignored, choices.texts, [*choices.kept, only[0]])
        _take_in(table.fields[only[0]], table, kept, rows, result)
    if not result.columns:
        why = "; ".join(f"{name!r} is left out ({reason})" for name, reason in result.left_out.items())
        raise ValueError("there is no column to predict from" + (f": {why}" if why else ""))
    return result


def _take_in(column: Field, table: Table, choices: Choices, rows: np.ndarray, result: Reading) -> None:
    """Add a column, or the reason why it is left out, to the result."""
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
    if np.ptp(known) <= CONSTANT_WITHIN * greatest:
        exact = numbers_differ(column, table.options, rows)
        result.left_out[name] = (
            "numbers that differ in digits which float64 does not have"
            if exact
            else f"{known[0]:.6g} in every training row"
        )
        return
    middle = float(np.subtract(*np.percentile(known, (90, 10))))
    if middle > 0 and np.ptp(known) > OUTLIER * middle:
        row = column.rows[rows][np.isfinite(chosen)][np.argmax(np.abs(known - np.median(known)))]
        result.notes.append(
            f"column {name!r}: row {row} is further from the others than {OUTLIER:,.0f} times what eight in ten "
            "of them differ by, which makes the rest look the same to a net"
        )
    unknown = int((~np.isfinite(values)).sum())
    if unknown:
        result.missing[name] = unknown
    if numbers.infinite.any():
        result.notes.append(f"column {name!r}: {int(numbers.infinite.sum()):,} infinite values are taken as missing")
    result.columns.append(Column(name, [], *mean_and_deviation(known), float(known.min()), float(known.max())))


def numbers_differ(column: Field, options: ReadOptions, rows: np.ndarray) -> bool:
    """Whether numbers that are one in float64 are written in more than one way."""
    return len(set(texts_of(column, options)[rows]) - {None}) > 1


def mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Of finite numbers, however large or small they are."""
    scale = float(np.abs(values).max()) or 1.0
    return float(np.mean(values / scale) * scale), float(np.std(values / scale) * scale)


def _as_numbers(column: Field, options: ReadOptions, notes: list[str]) -> Numbers | None:
    """The column as numbers, or None where it is one of texts; ValueError where it is nearly one of numbers."""
    if _is_category(column):
        return None
    numbers = numbers_of(column, options)
    if _is_declared_text(column) and len(np.unique(numbers.values[numbers.known])) <= MANY_NUMBERS:
        return None
    held, known = int((~numbers.missing).sum()), int((numbers.known | numbers.infinite).sum())
    words, others = int(numbers.words.sum()), int(numbers.others.sum())
    if not held:
        return numbers
    if not others and known:
        if words:
            notes.append(
                f"column {column.name!r}: {known:,} of {held:,} values are numbers; {numbers.first(numbers.words)}"
                + (f", {words:,} such" if words > 1 else "") + ": taken as missing"
            )  # fmt: skip
        if _is_declared_text(column):
            notes.append(
                f"column {column.name!r}: numbers that are stored as texts are taken as numbers; "
                f"--text {column.name!r} takes them as names"
            )
        return numbers
    if _nearly_numbers(numbers, held):
        raise ValueError(
            f"column {column.name!r}: {known:,} of {held:,} values are numbers; {numbers.first(numbers.others)}"
            + _advice(numbers, column.name, options.decimal, "--na", "--text", "--ignore")
        )
    return None


def _nearly_numbers(numbers: Numbers, held: int) -> bool:
    """Whether most of what a column holds are numbers, those in other notations counted."""
    assert numbers.texts is not None
    rows = np.flatnonzero(numbers.others)
    texts = [str(numbers.texts[row]).strip() for row in rows]
    otherwise = [text for text in texts if any(pattern.fullmatch(text) for pattern, _ in OTHER_NUMBERS.values())]
    count = int(numbers.known.sum()) + len(otherwise)
    different = len(np.unique(numbers.values[numbers.known])) + len(set(otherwise))
    return count >= MOSTLY_NUMBERS * held or (different > MANY_NUMBERS and 2 * count >= held)


def _take_texts(column: Field, table: Table, choices: Choices, rows: np.ndarray, result: Reading) -> None:
    name, found = column.name, texts_of(column, table.options)
    different = Counter(found[rows])
    texts: list[str | None] = sorted((text for text in different if text is not None), key=str)
    if not texts:
        result.left_out[name] = "empty in the training rows"
        return
    everywhere = [text for text in found if text is not None]
    if len(texts) > MOST_TEXTS:
        raise ValueError(
            f"column {name!r} holds {len(texts)} different texts, at most {MOST_TEXTS} make sense: leave it out with "
            f"--ignore {name!r}"
        )
    if name not in choices.kept and len(everywhere) >= LEAST_IDS and len(set(everywhere)) == len(everywhere):
        result.left_out[name] = "another text in every row, as names of rows have"
        return
    if None in different:
        texts.append(None)
    if len(texts) == 1:
        result.left_out[name] = f"{_shown(texts[0])} in every training row"
        return
    result.columns.append(Column(name, texts))


def _counts_rows(values: np.ndarray) -> bool:
    """Whether whole numbers, all different, fill a range."""
    if not len(values) or (values != np.round(values)).any() or np.abs(values).max() > 2**53:
        return False
    return np.ptp(values) == len(values) - 1 and len(np.unique(values)) == len(values)


def _why_id(name: str, values: np.ndarray) -> str | None:
    """Why a column of numbers tells rows apart and nothing else, if it does."""
    known = values[np.isfinite(values)]
    if len(known) < LEAST_IDS or (known != np.round(known)).any():
        return None
    different = len(np.unique(known))
    if len(known) == len(values) and (_counts_rows(values) or _counts_most_rows(values)):
        return COUNTS_ROWS
    if _is_id(name) and different >= NEARLY_ALL * len(values):
        return "another number in nearly every row, and the name of an id"
    return None


def _counts_most_rows(values: np.ndarray) -> bool:
    """Whether numbers rise from row to row as those of a table's rows do of which some have been taken out."""
    steps = np.diff(values)
    return len(values) >= 2 * LEAST_IDS and bool((steps > 0).all()) and np.ptp(values) < MOST_GAPS * len(values)


def _is_id(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip().strip("_")
    return ID_NAME.search(re.sub(r"\.\d+$", "", words)) is not None


def encoded(table: Table, columns: list[Column], notes: list[str]) -> np.ndarray:
    """The inputs (rows, features)."""
    return np.concatenate([column.encoded(table, notes) for column in columns], axis=1)


# -------------------------------------------------------------------------------------------------------- targets


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

    @property
    def digits(self) -> int:
        """How many digits a prediction is printed with: six of those in which targets differ."""
        magnitude = abs(self.mean) + self.deviation
        return int(min(17, 6 + np.floor(np.log10(magnitude / self.deviation))))


class Answers(NamedTuple):
    """The target's values in all rows."""

    target: Target
    values: np.ndarray  # (rows,) class numbers, or the numbers as they are
    notes: list[str]

    def scaled(self, rows: np.ndarray) -> tuple[Target, np.ndarray]:
        """For a number the target and its values shifted and scaled, by the chosen rows alone."""
        if self.target.is_class:
            return self.target, self.values
        mean, deviation = mean_and_deviation(self.values[rows])
        target = Target(self.target.name, [], mean, deviation or 1.0)
        return target, (self.values - target.mean) / target.deviation


def answers_of(table: Table, name: str, task: str | None, choices: Choices) -> Answers:
    """The target's kind and values; `task` says the kind, or what the column holds."""
    if name in choices.texts and task is None:
        task = "classification"
    column = _readable(table.column(name))
    texts = texts_of(column, table.options)
    notes: list[str] = []
    missing = np.array([text is None for text in texts])
    if missing.any():
        raise ValueError(
            f"column {name!r} lacks {missing.sum()} values, the first in row {column.rows[np.argmax(missing)]}: give "
            "them, or leave those rows out with --drop-missing"
        )
    numbers = numbers_of(column, table.options)
    odd = numbers.others | numbers.words | numbers.infinite
    if task != "classification" and odd.any():
        nearly = _nearly_numbers(numbers, len(texts)) if numbers.others.any() else bool(numbers.known.any())
        if nearly or (task == "regression" and numbers.known.any()):
            numbers = numbers if numbers.texts is not None else numbers._replace(texts=texts)
            raise ValueError(
                f"column {name!r}: {int(numbers.known.sum()):,} of {len(texts):,} values are numbers; "
                f"{numbers.first(odd)}"
                + _advice(numbers._replace(others=odd), name, table.options.decimal, "--na", "--task")
            )
    all_numbers = bool(numbers.known.all()) and not (_is_category(column) and task is None)
    if task is None:
        whole = all_numbers and bool((numbers.values == np.round(numbers.values)).all())
        different = len(np.unique(numbers.values))
        if whole and np.abs(numbers.values).max() >= 2**53:  # there float64 has no longer all whole numbers
            different = len(set(texts))
        few = whole and different <= MOST_CLASSES
        declared = _is_declared_text(column)
        few = few or (declared and len(np.unique(numbers.values)) <= MANY_NUMBERS)
        if all_numbers and not few and declared:
            raise ValueError(
                f"column {name!r} holds numbers that are stored as texts: pass --task regression, or --task "
                "classification"
            )
        task = "regression" if all_numbers and not few else "classification"
    if task == "regression":
        if not all_numbers:
            raise ValueError(f"column {name!r} holds texts, so that it cannot be a regression's target")
        greatest = float(np.abs(numbers.values).max())
        if greatest > MOST_MAGNITUDE:
            raise ValueError(
                f"column {name!r} has numbers too large to learn, up to {greatest:.3g}: divide them by a power of 10"
            )
        if np.ptp(numbers.values) <= CONSTANT_WITHIN * greatest:
            if len(set(texts)) > 1:
                raise ValueError(
                    f"column {name!r} holds numbers that differ in digits which float64 does not have, such as "
                    f"{texts[0]}: subtract what they have in common, or pass --task classification"
                )
            raise ValueError(f"column {name!r} holds {texts[0]} only: there is nothing to predict")
        return Answers(Target(name, [], *mean_and_deviation(numbers.values)), numbers.values, notes)
    by_number = dict(zip(texts, numbers.values, strict=True)) if all_numbers else {}
    classes = sorted(set(texts), key=lambda text: (by_number.get(text, 0.0), text))
    if len(classes) < 2:
        raise ValueError(f"column {name!r} holds {classes[0]!r} only: there is nothing to predict")
    if len(classes) > len(texts) // 2:
        raise ValueError(
            f"column {name!r} holds {len(classes):,} different values in {len(texts):,} rows, such as "
            f"{_shown(classes[0])}: too many to be classes"
            + (": pass --task regression if they are numbers" if all_numbers else "")
        )
    if all_numbers and len(set(by_number.values())) < len(classes):
        doubled = [text for text in classes if list(by_number.values()).count(by_number[text]) > 1][:2]
        notes.append(
            f"column {name!r}: classes are kept apart as they are written, {' and '.join(map(repr, doubled))} too"
        )
    place = {text: k for k, text in enumerate(classes)}
    return Answers(Target(name, classes), np.array([place[text] for text in texts]), notes)


def _is_category(column: Field) -> bool:
    return column.written_as.startswith("dictionary")


def _is_declared_text(column: Field) -> bool:
    return column.kind == "text" and column.is_declared


def without_missing(table: Table, name: str) -> tuple[Table, int, int]:
    """The table without rows that lack the target; how many those are, and which is the first."""
    import pyarrow as pa

    missing = np.array([text is None for text in texts_of(_readable(table.column(name)), table.options)])
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
    kept_table = Table(
        table.path, table.n_rows - count, taken(table.fields), table.options, table.notes, taken(table.unnamed)
    )
    return kept_table, count, int(np.argmax(missing)) + 1


# ------------------------------------------------------------------------------------------------------ in files

_NUMBERS_KEPT = ("mean", "deviation", "low", "high")


def to_extra(columns: list[Column], target: Target, options: ReadOptions) -> dict[str, Any]:
    """What is saved with the model; numbers as base64 of float64 in little-endian order, which is short and exact."""
    numbers = {
        name: base64.b64encode(np.array([getattr(c, name) for c in columns], "<f8").tobytes()).decode()
        for name in _NUMBERS_KEPT
    }
    return {
        "table": 2, "names": [c.name for c in columns], **numbers, "na": list(options.na),
        "texts": {str(k): c.texts for k, c in enumerate(columns) if c.texts},
        "target": {
            "name": target.name, "classes": target.classes, "mean": target.mean, "deviation": target.deviation
        },
    }  # fmt: skip


def from_extra(extra: dict[str, Any], architecture: Architecture) -> tuple[list[Column], Target, tuple[str, ...]]:
    """Read it back, with the spellings of missing values; FileFormatError where it makes no sense for the nets."""
    try:
        columns = _old_columns(extra["columns"]) if "table" not in extra else _columns(extra)
        target = Target(**extra["target"])
        na = tuple(extra.get("na", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"no model of `fastmlp fit`: its metadata lacks or has another {error}") from None
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
        raise FileFormatError("the columns that the model describes do not fit its nets")
    if not all(isinstance(text, str) for text in na):
        raise FileFormatError("the model's spellings of missing values are no texts")
    return columns, target, na


def _columns(extra: dict[str, Any]) -> list[Column]:
    names = extra["names"]
    numbers = [np.frombuffer(base64.b64decode(extra[name], validate=True), "<f8").tolist() for name in _NUMBERS_KEPT]
    if extra["table"] != 2 or not isinstance(names, list) or any(len(column) != len(names) for column in numbers):
        raise ValueError("its columns are described in another way")
    texts = {int(place): found for place, found in extra["texts"].items()}
    return [
        Column(name, texts.get(k, []), *of_column)
        for k, (name, *of_column) in enumerate(zip(names, *numbers, strict=True))
    ]


def _old_columns(entries: list[dict[str, Any]]) -> list[Column]:
    """Of files before version 2, where a text stood for what is missing."""
    columns = [Column(**entry) for entry in entries]
    for column in columns:
        if isinstance(column.texts, list):
            column.texts = [None if text == "(missing)" else text for text in column.texts]
    return columns
