"""Read tables for the command line from CSV or Parquet with pyarrow, every field as written.

`columns` and `targets` decide which fields are numbers, classes or missing. A file whose rows do not fit its header is
refused.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BLOCK_BYTES = 2**24  # a row must fit into a block
SEPARATORS = {";": "';'", "\t": r"'\t'", "|": "'|'"}


class ReadOptions(NamedTuple):
    """How to read a file: the user's choices."""

    sep: str | None = None  # None: a comma, or a tab in .tsv files
    encoding: str = "utf-8"
    decimal: str = "."
    na: tuple[str, ...] = ()  # spellings of missing values other than empty fields


@dataclass(frozen=True)
class Field:
    """One column of a file as written: Arrow strings or numbers, or a type that no net can read."""

    name: str
    values: Any  # a pyarrow array of strings, integers, floats or decimals
    kind: str  # "text", "number" or "unreadable"
    written_as: str  # the name of its Arrow type, for messages
    is_declared: bool  # whether the file stores the type, as Parquet does
    rows: np.ndarray  # (n,) row numbers in the file, from 1


@dataclass(frozen=True)
class Table:
    """The columns of a file, by name."""

    path: Path
    n_rows: int
    fields: dict[str, Field]
    options: ReadOptions
    unnamed: dict[str, Field] = field(default_factory=dict)  # by their names in messages

    def column(self, name: str, needed: str = "") -> Field:
        """The column of this name; raises ValueError if there is none."""
        if name not in self.fields:
            there = ", ".join(map(repr, list(self.fields)[:20])) + (", …" if len(self.fields) > 20 else "")
            raise ValueError(f"the data have no column {name!r}{needed}; there are {there}")
        return self.fields[name]


def read(path: Path, options: ReadOptions | None = None) -> Table:
    """Read the columns of a file; raises ValueError if it is not a complete table."""
    options = options or ReadOptions()
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet", ".pq"):
        raise ValueError(f"{path}: needs a file that ends in .csv, .tsv or .parquet")
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not a regular file" if path.exists() else "there is no such file"
        raise ValueError(f"{path}: {what}")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ValueError(f"reading {path} needs pyarrow: pip install 'fastmlp[tables]'") from None
    try:
        names, columns, declared = (_of_parquet if suffix in (".parquet", ".pq") else _of_text)(path, options)
    except (OSError, ValueError, LookupError, MemoryError, csv.Error) as error:
        message = " ".join(str(error).split())
        raise ValueError(message if str(path) in message else f"{path}: {message}") from None
    return _as_table(path, names, columns, declared, options)


def _as_table(path: Path, names: list[str], columns: list[Any], declared: bool, options: ReadOptions) -> Table:
    stripped = [name.strip() for name in names]
    doubled = [name for name in dict.fromkeys(stripped) if name and stripped.count(name) > 1]
    if doubled:
        raise ValueError(
            f"{path}: {stripped.count(doubled[0])} columns have the name {doubled[0]!r}, spaces around it ignored: "
            "rename them"
        )
    n_rows = len(columns[0]) if columns else 0
    if not n_rows:
        raise ValueError(f"{path} has no rows")
    table = Table(path, n_rows, {}, options)
    for position, (name, values) in enumerate(zip(names, columns, strict=True), 1):
        shown = name if name.strip() else f"column {position} (without a name)"
        target = table.fields if name.strip() else table.unnamed
        target[shown] = Field(shown, *_normalized(values), str(values.type), declared, np.arange(1, n_rows + 1))
    return table


def _normalized(values: Any) -> tuple[Any, str]:
    """Convert to strings or numbers, and say which; other types stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
    kind = values.type
    if pa.types.is_dictionary(kind):  # categories are text, even if they look like numbers
        decoded, of = _normalized(values.dictionary_decode())
        return (decoded.cast(pa.large_string()), "text") if of == "number" else (decoded, of)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values, "number"
    if pa.types.is_boolean(kind):
        return pc.if_else(values, pa.scalar("True"), pa.scalar("False")), "text"
    if pa.types.is_null(kind) or pa.types.is_temporal(kind):
        return values.cast(pa.string()), "text"
    if any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)):
        return values.cast(pa.large_string()), "text"
    return values, "unreadable"


def _of_parquet(path: Path, _options: ReadOptions) -> tuple[list[str], list[Any], bool]:
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not a Parquet file that can be read: {error}") from None
    # Parquet stores numeric categories as numbers; pandas' metadata say that they were categories
    kinds = (table.schema.pandas_metadata or {}).get("columns", [])
    categories = {kind.get("field_name") for kind in kinds if kind.get("pandas_type") == "categorical"}
    columns = [
        column.dictionary_encode() if name in categories else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return list(table.column_names), columns, True


def _of_text(path: Path, options: ReadOptions) -> tuple[list[str], list[Any], bool]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    sep = _separator(path, options)
    header = _header(path, sep, options.encoding)
    encoding = "utf-8" if options.encoding.lower().replace("_", "-") == "utf-8-sig" else options.encoding
    others = [SEPARATORS[c] for c in SEPARATORS if c != sep and any(c in name for name in header)]
    others += ["','"] if sep != "," and len(header) == 1 and "," in header[0] else []
    hint = f": if its columns are separated by {others[0]}, pass --sep {others[0]}" if others else ""
    if len(header) == 1 and others:
        raise ValueError(f"{path} has one column, {header[0]!r}{hint}")
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "skip"

    names = [f"f{position}" for position in range(len(header))]
    try:
        table = arrow.read_csv(
            path,
            read_options=arrow.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, encoding=encoding, autogenerate_column_names=True
            ),
            parse_options=arrow.ParseOptions(
                delimiter=sep, newlines_in_values=True, invalid_row_handler=note, ignore_empty_lines=len(header) > 1
            ),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), null_values=[], strings_can_be_null=False
            ),
        )
    except UnicodeError as error:
        raise ValueError(f"{path}: {_encoding_hint(options.encoding)} ({error})") from None
    except (pa.ArrowException, OSError) as error:
        if "UTF8" in str(error) or "codec" in str(error):
            raise ValueError(f"{path}: {_encoding_hint(options.encoding)}") from None
        if "Empty CSV file" in str(error):
            raise ValueError(f"{path} has no rows; or a quote in its first line is not closed") from None
        raise ValueError(f"{path}: {error}") from None
    if table.num_columns != len(header):
        raise ValueError(f"{path}: the header has quotes that are not closed, or in the middle of a name")
    if wrong:
        first, more = wrong[0], f" ({len(wrong):,} such rows)" if len(wrong) > 1 else ""
        text = first.text if len(first.text) <= 60 else first.text[:59] + "…"
        comma = ""
        if first.actual_columns == first.expected_columns + 1 and first.text.rstrip("\r\n").endswith(sep):
            comma = f", one {sep!r} at its end too many"
        raise ValueError(
            f"{path}: row {first.number - 1} has {first.actual_columns} fields, the header "
            f"{first.expected_columns}{comma}{more}: {text!r}{hint}"
        )
    columns = [column.slice(1) for column in table.columns]
    for name, column in zip(header, columns, strict=True):
        _refuse_quotes(path, name, column, sep, len(header))
    return header, columns, False


def _refuse_quotes(path: Path, name: str, column: Any, sep: str, n_columns: int) -> None:
    """Raise if an unclosed quote has swallowed rows, or if a space precedes a quote."""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(column, "\n")).as_py():
        for number, text in enumerate(column.to_pylist(), 1):
            lines = text.splitlines()[1:] if text and "\n" in text else []
            if n_columns > 1 and any(line.count(sep) == n_columns - 1 for line in lines):
                raise ValueError(
                    f"{path}: in row {number} column {name!r} holds {len(lines) + 1:,} lines that look like rows: is "
                    "a quote opened there and not closed?"
                )
    spaced = pc.match_substring_regex(column, '^\\s+"')
    if pc.any(spaced).as_py():
        number = spaced.to_pylist().index(True) + 1
        raise ValueError(
            f"{path}: in row {number} column {name!r} holds {column[number - 1].as_py()!r}, a space before a quote, "
            "which makes the quote part of the text: remove the spaces after the separators"
        )


def _separator(path: Path, options: ReadOptions) -> str:
    sep = options.sep
    if sep is None:
        return "\t" if path.suffix.lower() == ".tsv" else ","
    sep = {"\\t": "\t", "tab": "\t"}.get(sep, sep)
    if len(sep) != 1 or sep in '"\r\n' or ord(sep) > 127:
        raise ValueError(f"--sep {options.sep!r}: needs one character, such as ';' or '\\t'")
    return sep


def _header(path: Path, sep: str, encoding: str) -> list[str]:
    """The names in the first line."""
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"\x1f\x8b":
        raise ValueError(f"{path} is compressed: unpack it first")
    if start in (b"\xff\xfe", b"\xfe\xff") and encoding.lower().startswith(("utf-8", "utf8")):
        raise ValueError(f"{path}: the file is written in UTF-16: pass --encoding utf-16")
    try:
        # utf-8-sig also removes a byte order mark, after which a quote would not be recognised
        with path.open(encoding="utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, newline="") as file:
            for row in csv.reader(file, delimiter=sep):
                if row:
                    return row
    except LookupError:
        raise ValueError(
            f"--encoding {encoding}: Python knows no such encoding, try utf-8, latin-1 or cp1252"
        ) from None
    except UnicodeError:
        raise ValueError(f"{path}: {_encoding_hint(encoding)}") from None
    raise ValueError(f"{path} has no rows")


def _encoding_hint(encoding: str) -> str:
    others = [name for name in ("utf-8", "latin-1", "cp1252", "utf-16") if name != encoding.lower()]
    return f"the file is not written in {encoding}: pass --encoding {others[0]}, or {', '.join(others[1:])}"


def texts_of(column: Field, options: ReadOptions) -> np.ndarray:
    """Every field as written, None if missing; whole numbers of a Parquet file without a decimal point."""
    values = column.values
    na = set(options.na)
    if column.kind == "number":
        import pyarrow as pa

        spelled = numbers_among(options.na)
        if spelled:
            numbers = [None if v is None else float(v) for v in values.to_pylist()]
            values = pa.array(
                [None if n in spelled else v for n, v in zip(numbers, values.to_pylist(), strict=True)], values.type
            )
        if pa.types.is_floating(values.type):
            found = [None if v is None or math.isnan(v) else _label(v) for v in values.to_pylist()]
        else:
            found = [None if v is None else str(v) for v in values.to_pylist()]
    else:
        found = values.to_pylist()
    result = np.empty(len(found), dtype=object)
    result[:] = [None if text is None or not text.strip() or text.strip() in na else text for text in found]
    return result


def numbers_among(spellings: tuple[str, ...]) -> set[float]:
    """The spellings of missing values that are numbers, so that -999 also matches -999.0."""
    found = set()
    for text in spellings:
        try:
            found.add(float(text))
        except ValueError:
            continue
    return found


def _label(value: float) -> str:
    return str(int(value)) if abs(value) < 2**63 and value == int(value) else repr(value)
