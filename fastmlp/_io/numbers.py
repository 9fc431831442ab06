"""Read fields of a table as numbers; recognise words for missing values and other notations of numbers.

It knows nothing of nets. `columns` and `targets` decide how a column is used.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from fastmlp._io.tables import Field, ReadOptions, numbers_among, texts_of

MOST_MAGNITUDE = 1e150  # squares of larger numbers overflow
CONSTANT_WITHIN = 16 * 2.0**-52  # relative: numbers that differ by less are equal up to rounding
# A column counts as numeric, with errors in it, where this share of its values are numbers, or where it has this many
# different ones
MOSTLY_NUMBERS, MANY_NUMBERS = 0.8, 12
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
# A number with a unit or a sign. A column with many different ones of these is not text
WITH_UNIT = re.compile(
    r"[(<>≤≥~≈±−–+-]*\s*[£$€₹¥]?\s*[−–+-]?\d+([.,]\d+)*([eE][+-]?\d+)?\s*\)?\s*[A-Za-zµμ°%/²³€£$]{0,6}\.?"
)
INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
OTHER_NUMBERS = {
    "separators of thousands": (
        re.compile(r"[+-]?\d{1,3}([,.' \u202f\u00a0]\d{3})+([.,]\d+)?"),
        "write it without them, or pass --decimal ',' if the comma is the decimal point",
    ),
    "a decimal comma": (re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?"), "pass --decimal ',' if all are written so"),
    "a percent sign": (re.compile(r"[+-]?[\d.,]+\s*%"), "write it as a plain number"),
    "a currency": (
        re.compile(r"[+-]?\s*([$€£¥]|USD|EUR|GBP|CHF)\s*[+-]?[\d.,]+|[+-]?[\d.,]+\s*([$€£¥]|USD|EUR|GBP|CHF)"),
        "write it as a plain number",
    ),
}


class Numbers(NamedTuple):
    """A column read as numbers, with a mask for each kind of field that is not a number."""

    values: np.ndarray  # (rows,) float64, NaN where a field is not a number
    missing: np.ndarray  # (rows,) bool: empty, or one of the given spellings of missing
    words: np.ndarray  # (rows,) bool: another usual word for missing
    infinite: np.ndarray  # (rows,) bool
    others: np.ndarray  # (rows,) bool: anything else
    texts: np.ndarray | None  # (rows,) the fields as written, where there are words or others
    rows: np.ndarray  # (rows,) row numbers in the file

    @property
    def known(self) -> np.ndarray:
        return np.isfinite(self.values)

    def first(self, which: np.ndarray) -> str:
        """Describe the first field of a mask, for a message."""
        row = int(np.argmax(which))
        assert self.texts is not None
        return f"row {self.rows[row]} holds {shown(self.texts[row])}"


def shown(text: object) -> str:
    shown = repr(text)
    return shown if len(shown) <= 40 else shown[:38] + "…'"


def numbers_of(column: Field, options: ReadOptions) -> Numbers:
    """Read a column as numbers; fields that are not numbers are marked in the masks."""
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


def readable(column: Field) -> Field:
    if column.kind == "unreadable":
        raise ValueError(
            f"column {column.name!r} holds values of type {column.written_as}; needs numbers or texts: leave an "
            f"input column out with --ignore {column.name!r} when you fit"
        )
    return column


def advice(numbers: Numbers, name: str, decimal: str, *options: str) -> str:
    """Say what to do about fields that are not numbers."""
    assert numbers.texts is not None
    which = numbers.others if numbers.others.any() else numbers.words
    text = str(numbers.texts[int(np.argmax(which))]).strip()
    for what, (pattern, what_to_do) in OTHER_NUMBERS.items():
        if decimal == "," and "." in text:
            return ", a number with a decimal point: leave --decimal ',' out if all are written so"
        if pattern.fullmatch(text):
            return f", a number with {what}: {what_to_do}"
    if WITH_UNIT.fullmatch(text):
        return (
            f", a number with a unit or another sign: write it as a plain number, or pass --text {name!r} to read the "
            "column as names"
        )
    na = f"--na={text!r}" if text.startswith("-") else f"--na {text!r}"
    found = {
        "--na": f"pass {na} if that means missing",
        "--text": f"--text {name!r} to take the column as names",
        "--ignore": f"--ignore {name!r} to leave it out",
        "--task": "--task classification to take all of them as classes",
    }
    return ": " + ", ".join(found[option] for option in options)


def nearly_numbers(numbers: Numbers, held: int) -> bool:
    """Whether most fields of a column are numbers, including those in other notations."""
    assert numbers.texts is not None
    rows = np.flatnonzero(numbers.others)
    texts = [str(numbers.texts[row]).strip() for row in rows]
    otherwise = [text for text in texts if any(pattern.fullmatch(text) for pattern, _ in OTHER_NUMBERS.values())]
    known = int(numbers.known.sum())
    if known + len(otherwise) >= MOSTLY_NUMBERS * held:
        return True
    notations = set(otherwise)
    with_unit = [text for text in texts if text in notations or WITH_UNIT.fullmatch(text)]
    different = len(np.unique(numbers.values[numbers.known])) + len(set(with_unit))
    return different > MANY_NUMBERS and 2 * (known + len(with_unit)) >= held


def mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of finite numbers, without overflow or underflow."""
    scale = float(np.abs(values).max()) or 1.0
    return float(np.mean(values / scale) * scale), float(np.std(values / scale) * scale)


def is_category(column: Field) -> bool:
    return column.written_as.startswith("dictionary")


def is_declared_text(column: Field) -> bool:
    return column.kind == "text" and column.is_declared


def blanks(name: str, texts: list[str]) -> str | None:
    """Notes about texts that differ only in spaces."""
    first: dict[str, str] = {}
    for text in texts:
        other = first.setdefault(" ".join(text.split()), text)
        if other != text:
            return f"column {name!r}: {other!r} and {text!r} differ only in spaces, and count as different"
    return None
