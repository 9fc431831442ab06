"""Arrays in safetensors files, written atomically, and checked completely before they are used.

The metadata have one JSON text under the key "fastmlp". It holds a SHA-256 of the whole file, header included, computed
with 64 zeros in place of the checksum. Any safetensors library can read such a file; nothing in it is ever executed.
Reference: https://github.com/huggingface/safetensors, "Format".
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
OLD_FORMAT = 1  # its checksum covers the arrays only
MOST_HEADER_BYTES = 2**21  # parsed, it takes about twenty times this
DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U64": np.uint64, "I8": np.int8}

Entry = tuple[np.dtype, tuple[int, ...]]  # a tensor's dtype and shape


class FileFormatError(ValueError):
    """The file is damaged, or not one that fastmlp can read; the message says why.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastmlp
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "nets"
    >>> _ = path.write_bytes(b"no nets")
    >>> try:
    ...     fastmlp.load(path)
    ... except fastmlp.FileFormatError as error:
    ...     print(str(error) != "")
    True
    """


def write(path: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write arrays and metadata to a temporary file next to `path`, then move it to `path`.

    The safetensors library cannot do this: it would replace the file that this process has locked. Each process that
    writes to the same path has its own temporary file; the last one to finish determines the content.
    """
    refuse_special(path)
    _library()  # raises before any work if the library, which `read` needs, is missing
    in_order = sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0]))
    arrays = {name: np.ascontiguousarray(_little(array)) for name, array in in_order}
    text = json.dumps({"format": FORMAT, **about, "sha256": NO_CHECKSUM}, allow_nan=False)
    header = _header_of(arrays, {"fastmlp": text})
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666
    _remove_leftovers(path.parent)
    partial = path.with_name(f"{_own_prefix()}{os.getpid()}-{secrets.token_hex(4)}{PARTIAL}")
    try:
        # fails if another process has made a file of this name
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode), "r+b") as file:
            _lock(file)
            file.write(header)
            for array in arrays.values():
                file.write(array.reshape(-1).data)
            file.seek(0)
            _sign(file)
            file.flush()
            os.fsync(file.fileno())
            if MOVES_OPEN_FILES:  # while it is locked
                partial.replace(path)
        if not MOVES_OPEN_FILES:
            partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    with contextlib.suppress(OSError):  # only POSIX systems can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _header_of(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """The header's length and the header, padded to a multiple of 8 bytes."""
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
        raise ValueError(f"the metadata of the nets take {len(text):,} bytes; at most {MOST_HEADER_BYTES:,} fit")
    return struct.pack("<Q", len(text)) + text


def refuse_special(path: Path) -> None:
    """Raise if `path` exists and is a pipe, a device or a folder, which replacing it would destroy."""
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: needs the path of a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{str(path)!r} is a pipe, a socket or a device: needs the path of a regular file")


PARTIAL = ".partial"
MOVES_OPEN_FILES = os.name == "posix"
PIECE_BYTES = 2**18


def _own_prefix() -> str:
    """Prefix of the temporary files of this machine; its length does not depend on that of the path."""
    return f".fastmlp-{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]}-"


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes on this machine that were killed while writing."""
    name = re.compile(re.escape(_own_prefix()) + r"(\d+)-[0-9a-f]{8}" + re.escape(PARTIAL))
    with contextlib.suppress(OSError):
        for entry in folder.glob(f"{_own_prefix()}*{PARTIAL}"):
            found = name.fullmatch(entry.name)
            if found and not _is_running(int(found[1])):
                with entry.open("r+b") as file:
                    if _lock(file):  # otherwise a process of that number, in another container, is writing it
                        entry.unlink(missing_ok=True)


def _lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed; False if another process has locked it, or if files cannot be locked."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_running(process: int) -> bool:
    """Whether the process exists; True on systems where asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's process
        return True
    return True


NO_CHECKSUM = "0" * 64


def _checksum_at(header: bytes, checksum: str) -> int | None:
    """Position of the checksum in a header; None unless it occurs exactly once."""
    text = f'\\"sha256\\": \\"{checksum}\\"'.encode()
    return header.index(text) + len(text) - 66 if header.count(text) == 1 else None


def _whole_digest(pieces: Iterable[bytes | memoryview], at: int) -> str:
    """SHA-256 of a file in pieces, with zeros in place of its checksum, which lies within one piece."""
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
    """Write a file's checksum over its 64 zeros."""
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
    """The bytes of a file with its checksum in place of the 64 zeros."""
    file = io.BytesIO(content)
    _sign(file)
    return file.getvalue()


def read(
    path: Path, check: Callable[[dict[str, Entry], dict[str, Any]], None]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the arrays and the metadata of a file.

    `check` is called with each tensor's dtype and shape, and with the metadata, before any array is read.
    """
    library = _library()
    if path.exists() and not path.is_file():
        raise FileFormatError(f"{path} is {'a folder' if path.is_dir() else 'a pipe, a socket or a device'}, no file")
    with path.open("rb") as file:
        header, entries, metadata = _header(file, path.stat().st_size)
        if not isinstance(metadata.get("fastmlp"), str):
            raise FileFormatError("no metadata of fastmlp: another program wrote the file")
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
        raise FileFormatError(f"not a complete safetensors file: {error}") from None
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
    """SHA-256 of names, dtypes, shapes and values: the checksum of format 1."""
    result = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        result.update(f"{name} {array.dtype.str.lstrip('<=|')} {array.shape}\n".encode())
        result.update(np.ascontiguousarray(_little(array)).data)
    return result.hexdigest()


def _little(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def refuse_other_tensors(entries: dict[str, Entry], wanted: dict[str, Entry]) -> None:
    """Raise unless the file has exactly these tensors."""
    for name in sorted(wanted.keys() | entries.keys()):
        if entries.get(name) != wanted.get(name):
            raise FileFormatError(
                f"tensor {name!r} is {_described(entries.get(name))}; needs {_described(wanted.get(name))}"
            )


def _described(entry: Entry | None) -> str:
    return "not there" if entry is None else f"{entry[0]} of shape {entry[1]}"


def refuse_other_kinds(about: dict[str, Any], kinds: dict[str, type]) -> None:
    """Raise if an entry of the metadata has another type than is needed."""
    for name, kind in kinds.items():
        if type(about.get(name)) is not kind:
            raise FileFormatError(f"the metadata has {name}={about.get(name)!r}")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FileFormatError("the header has a duplicate key")
    return found


def _json(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is not a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise FileFormatError(f"the header has the number {name}")


def _header(file: Any, size: int) -> tuple[bytes, dict[str, Entry], dict[str, Any]]:
    """The header, every tensor's entry and the metadata, after checking that the tensors fill the file without gaps."""
    start = file.read(8)
    if len(start) < 8:
        raise FileFormatError(f"not a fastmlp file: {size} bytes are too few for a safetensors file")
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
