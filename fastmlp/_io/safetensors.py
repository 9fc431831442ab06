"""Arrays in a file of the safetensors format, written whole or not at all, and checked before they are believed.

In addition to the arrays there is one JSON text under the key "fastmlp" of the metadata. In it is a SHA-256 of the
whole file, header included, taken with 64 zeros in the place of the checksum itself. Any reader of safetensors can read
such a file; nothing in it is ever executed. Reference: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import math
import os
import re
import secrets
import socket
import struct
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

FORMAT = 2
OLD_FORMAT = 1  # its checksum leaves out everything but the arrays
MOST_HEADER_BYTES = 2**21  # as Python objects it takes some twenty times as much
DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U64": np.uint64, "I8": np.int8}

Entry = tuple[np.dtype, tuple[int, ...]]  # a tensor's dtype and shape


class FileFormatError(ValueError):
    """A file does not hold what fastmlp can read; the message says why."""


def write(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write arrays and what is to be said of them to a file in the folder of `path`, which then takes its place.

    The library could not write it: it puts a file of its own in the place of the one that is held while it is written.
    Processes that write to one path at the same time have files of their own; the last one to end is what stays.
    """
    refuse_special(path)
    _library()  # which reads the file again; it cannot write into a file that is held
    in_order = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    arrays = {name: np.ascontiguousarray(_little(array)) for name, array in in_order}
    text = json.dumps({"format": FORMAT, **about, "sha256": NO_CHECKSUM}, allow_nan=False)
    header = _header_of(arrays, {"fastmlp": text})
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
    _remove_leftovers(path.parent)
    partial = path.with_name(f"{_own_prefix()}{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        # a new file of our own, not what somebody else may have put there
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode), "r+b") as file:
            _lock(file)
            file.write(header)
            for array in arrays.values():
                file.write(array.reshape(-1).data)
            file.seek(0)
            _sign(file)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":  # while it is held; elsewhere an open file cannot be moved
                partial.replace(path)
        if os.name != "posix":
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    with contextlib.suppress(OSError):  # not every system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _header_of(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The length of the header and the header, in whole multiples of 8 bytes."""
    names = {np.dtype(kind): name for name, kind in DTYPES.items()}
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in arrays.items():
        offsets = [end, end + array.nbytes]
        entries[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        end = offsets[1]
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_HEADER_BYTES:
        raise ValueError(f"what is to be said of the nets takes {len(text):,} bytes; at most {MOST_HEADER_BYTES:,} fit")
    return struct.pack("<Q", len(text)) + text


def refuse_special(path: Path) -> None:
    """Raise where `path` is there and no regular file: replacing it would destroy a pipe, a device or a folder."""
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: needs the path of a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{str(path)!r} is a pipe, a socket or a device: needs the path of a regular file")


PARTIAL = ".partial"
PIECE_BYTES = 2**18


def _own_prefix() -> str:
    """How the names of files that this machine is still writing begin; short, however long the path's own name is."""
    return f".fastmlp-{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]}-"


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that were killed while they wrote have left behind."""
    name = re.compile(re.escape(_own_prefix()) + r"(\d+)-[0-9a-f]{8}" + re.escape(PARTIAL))
    with contextlib.suppress(OSError):
        for entry in folder.glob(f"{_own_prefix()}*{PARTIAL}"):
            found = name.fullmatch(entry.name)
            if found and not _is_running(int(found[1])):
                with entry.open("r+b") as file:
                    if _lock(file):  # else a process with the same number writes it, which this one cannot see
                        entry.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> bool:
    """Hold a file for as long as it is open; False where another process does, or where files cannot be held."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_running(process: int) -> bool:
    """Whether there is such a process; where it cannot be asked for without being sent a signal, there is."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to somebody else
        return True
    return True


NO_CHECKSUM = "0" * 64


def _checksum_at(header: bytes, checksum: str) -> int | None:
    """Where in a header its checksum begins; None where it is not there just once."""
    text = f'\\"sha256\\": \\"{checksum}\\"'.encode()
    return header.index(text) + len(text) - 66 if header.count(text) == 1 else None


def _whole_digest(pieces: Iterable[bytes | memoryview], at: int) -> str:
    """SHA-256 of a file given in pieces, without the 64 characters of its checksum, which lie within one piece."""
    result, begin = hashlib.sha256(), 0
    for piece in pieces:
        place, view = at - begin, memoryview(piece)
        if 0 <= place < len(view):
            result.update(view[:place])
            result.update(NO_CHECKSUM.encode())
            view = view[place + 64 :]
        result.update(view)
        begin += len(piece)
    return result.hexdigest()


def _sign(file: BinaryIO) -> None:
    """Put the checksum of a file into its place, which is still zeros."""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0]
    header = start + file.read(length)
    at = _checksum_at(header, NO_CHECKSUM)
    if at is None:
        raise ValueError("the file has no place for a checksum")
    checksum = _whole_digest(itertools.chain([header], iter(lambda: file.read(PIECE_BYTES), b"")), at)
    file.seek(at)
    file.write(checksum.encode())


def signed(content: bytes) -> bytes:
    """A whole file whose checksum is still zeros, with it."""
    file = io.BytesIO(content)
    _sign(file)
    return file.getvalue()


def read(
    path: Path, check: Callable[[dict[str, Entry], dict[str, Any]], None]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file, and what is said of them.

    `check` is called with each tensor's dtype and shape, and what is said, before any array is read.
    """
    library = _library()
    if path.exists() and not path.is_file():
        raise FileFormatError(f"{path} is {'a folder' if path.is_dir() else 'a pipe, a socket or a device'}, no file")
    with path.open("rb") as file:
        header, entries, metadata = _header(file, path.stat().st_size)
        if not isinstance(metadata.get("fastmlp"), str):
            raise FileFormatError("no metadata of fastmlp: the file was written by something else")
        about = _json(metadata["fastmlp"], "the metadata")
        if type(about.get("format")) is not int or not isinstance(about.get("sha256"), str):
            raise FileFormatError("the metadata lacks the format or the checksum")
        if about["format"] not in (OLD_FORMAT, FORMAT):
            raise FileFormatError(f"format {about['format']}; this version reads {FORMAT}: install a newer fastmlp")
        at = _checksum_at(header, about["sha256"])
        if about["format"] == FORMAT and at is None:
            raise FileFormatError("the checksum is not where it should be: the file was damaged or changed")
        check(entries, about)
        file.seek(0)
        content = file.read()
    if not content.startswith(header):
        raise FileFormatError("the file was changed while it was read")
    if about["format"] == FORMAT and _whole_digest([content], at or 0) != about["sha256"]:
        raise FileFormatError("the checksum differs: the file was damaged or changed")
    try:
        arrays = library.load(content)
    except Exception as error:
        raise FileFormatError(f"no whole safetensors file: {error}") from None
    del content
    if about["format"] == OLD_FORMAT:
        if digest(arrays) != about["sha256"]:
            raise FileFormatError("the checksum differs: the file was damaged or changed")
        warnings.warn(
            f"{path} was written by an older fastmlp, whose checksum covers the arrays but not the settings: save the "
            "nets again to have all of it covered",
            UserWarning,
            stacklevel=4,
        )
    return arrays, about


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("files of nets need the package safetensors: pip install 'fastmlp[files]'") from None
    return safetensors.numpy


def digest(arrays: dict[str, np.ndarray]) -> str:
    """A SHA-256 of names, dtypes, shapes and values: the checksum of the old format."""
    result = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        result.update(f"{name} {array.dtype.str.lstrip('<=|')} {array.shape}\n".encode())
        result.update(np.ascontiguousarray(_little(array)).data)
    return result.hexdigest()


def _little(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def refuse_other_tensors(entries: dict[str, Entry], wanted: dict[str, Entry]) -> None:
    """Raise where the file has not just these tensors."""
    for name in sorted(wanted.keys() | entries.keys()):
        if entries.get(name) != wanted.get(name):
            raise FileFormatError(
                f"tensor {name!r} is {_described(entries.get(name))}; needs {_described(wanted.get(name))}"
            )


def _described(entry: Entry | None) -> str:
    return "not there" if entry is None else f"{entry[0]} of shape {entry[1]}"


def refuse_other_kinds(about: dict[str, Any], kinds: dict[str, type]) -> None:
    """Raise where something that is said is not of the kind that is needed."""
    for name, kind in kinds.items():
        if type(about.get(name)) is not kind:
            raise FileFormatError(f"the metadata has {name}={about.get(name)!r}")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FileFormatError("the header names something twice")
    return found


def _json(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is no JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise FileFormatError(f"the header has the number {name}")


def _header(file: Any, size: int) -> tuple[bytes, dict[str, Entry], dict[str, Any]]:
    """The header, every tensor's entry and the metadata, once the offsets are known to fit the file without a hole."""
    start = file.read(8)
    if len(start) < 8:
        raise FileFormatError(f"not a fastmlp file: {size} bytes are no safetensors file")
    length = struct.unpack("<Q", start)[0]
    if length > min(MOST_HEADER_BYTES, size - 8):
        if file.read(1) != b"{":
            raise FileFormatError("not a fastmlp file: it does not begin as a safetensors file does")
        raise FileFormatError(f"a header of {length:,} bytes in a file of {size:,}; at most {MOST_HEADER_BYTES:,} fit")
    text = file.read(length)
    header = _json(text, "the header")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict):
        raise FileFormatError("no metadata: the file was not written by fastmlp")
    entries, ranges = {}, []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise FileFormatError(f"tensor {name!r} is not described by dtype, shape and offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise FileFormatError(f"tensor {name!r} has dtype {entry['dtype']!r}; known are {', '.join(DTYPES)}")
        if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2:
            raise FileFormatError(f"tensor {name!r} has shape {shape!r} and offsets {offsets!r}")
        dtype = np.dtype(DTYPES[entry["dtype"]])
        if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
            raise FileFormatError(f"tensor {name!r} of shape {shape} does not fill its offsets {offsets}")
        entries[name] = dtype, tuple(shape)
        ranges.append(tuple(offsets))
    end = 0
    for begin, stop in sorted(ranges):
        if begin != end:
            raise FileFormatError("the tensors overlap or leave holes")
        end = stop
    if 8 + length + end != size:
        raise FileFormatError(f"the tensors end at byte {8 + length + end:,}, the file at {size:,}")
    return start + text, entries, metadata


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**63 for v in values)
