"""A folder that keeps a survey: its description, its samples and arrays, and a file for each finished shard.

Files are written atomically and have a checksum. A survey that finds its folder again goes on where it was, with shards
of any size; damaged files are trained again.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import hashlib
import itertools
import json
import os
import secrets
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from fastmlp._io.safetensors import FileFormatError
from fastmlp._version import BITS_VERSION
from fastmlp.distributing.data import Data, FileOfData, file_of_data
from fastmlp.distributing.warn import warn_caller
from fastmlp.loading import load
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.surveying.description import Description
from fastmlp.surveying.shard import Piece, together
from fastmlp.surveying.stored import arrays_of, described_again
from fastmlp.surveying.summary import Summary

FORMAT = 1
DESCRIPTION, INPUTS = "survey.json", "inputs.npz"
LEFTOVER_SECONDS = 3600.0


class Folder:
    """The folder of one survey."""

    def __init__(self, path: Path, about: Description, nets: str) -> None:
        if nets != "none" and find_spec("safetensors") is None:
            raise ImportError("files of nets need the package safetensors: pip install 'fastmlp[files]'")
        self.path, self._about, self.nets = path, about, nets

    @classmethod
    def made(cls, path: Any, about: Description, nets: str) -> Folder:
        """Make the folder, or check that it is of the same survey; raises ValueError if not."""
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"folder={path!r}: needs the path of a folder")
        if type(about.settings.optimizer) not in OPTIMIZERS.values():
            raise ValueError(
                f"optimizer={about.settings.optimizer!r}: a folder can hold only the library's optimizers: leave "
                "folder out"
            )
        folder = cls(Path(path), about, nets)
        where = folder.path
        if where.exists() and not where.is_dir():
            raise ValueError(f"folder={str(path)!r} is a file: needs the path of a folder")
        if (where / DESCRIPTION).exists():
            folder._refuse_another()
            folder.refuse_if_read_only()
            folder._remove_leftovers()
            if not folder._has_inputs():
                folder._write_inputs()
            return folder
        others = where.is_dir() and [p.name for p in where.iterdir() if not p.name.startswith(".") and p.name != INPUTS]
        if others:
            raise ValueError(
                f"folder={str(path)!r} has other files and no {DESCRIPTION}: needs an empty or a new folder"
            )
        where.mkdir(parents=True, exist_ok=True)
        folder._write_inputs()
        folder._write(DESCRIPTION, folder._described)
        return folder

    @classmethod
    def opened(cls, path: Any) -> tuple[Folder, Description]:
        """The folder of a survey that was begun; raises ValueError if there is none."""
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"folder={path!r}: needs the path of a folder")
        where = Path(path)
        if not (where / DESCRIPTION).is_file():
            raise ValueError(
                f"folder={str(path)!r} holds no survey: begin one with fastmlp.survey(…, folder={str(path)!r})"
            )
        plain = _described_in(where)
        theirs = plain.get("bits_version")
        if theirs != BITS_VERSION:
            raise ValueError(
                f"folder={str(path)!r} has bits_version={theirs}, this fastmlp has {BITS_VERSION}: nets of the two may "
                "differ, so continue it with the fastmlp that began it, or use another folder"
            )
        try:
            arrays = _arrays_in(where / INPUTS)
            about = described_again(plain, Data.of_arrays(arrays), arrays)
            folder = cls(where, about, plain["nets"])
            if _as_written(folder._described) != plain:
                raise ValueError("it is of another survey")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{where / INPUTS} cannot be used: {error}: call fastmlp.survey again with the same arguments and this "
                "folder, which writes it anew"
            ) from None
        return folder, about

    @functools.cached_property
    def file_of_data(self) -> FileOfData:
        """The file that has the samples."""
        return file_of_data(self.path.absolute() / INPUTS)

    def refuse_if_read_only(self) -> None:
        """Raise PermissionError if files cannot be added."""
        if not os.access(self.path, os.W_OK):
            raise PermissionError(f"folder={str(self.path)!r} cannot be written")

    def pieces(self, first: int, stop: int) -> Iterator[Piece]:
        """What is there and whole of these nets, in rising order.

        Files may overlap where parts were run twice at once: then those are taken that have most nets of the survey
        together, of all files, so that a part and the whole take the same. The first and the last piece may have nets
        of other parts too.
        """
        found = sorted(filter(None, map(_range_of, self.path.glob("shard-*.json"))))
        if all(one.stop <= other.first for one, other in itertools.pairwise(found)):
            for one in found:
                piece = self._read(one) if one.first < stop and one.stop > first else None
                if piece is not None:
                    yield piece
            return
        while True:
            chosen = _most_nets(found)
            near = [one for one in chosen if one.first < stop and one.stop > first]
            damaged = [one for one in near if self._read(one) is None]
            if not damaged:
                break
            found = [one for one in found if one not in damaged]
        for one in near:
            piece = self._read(one)
            assert piece is not None
            yield piece

    def add(self, piece: Piece) -> None:
        """Keep a piece."""
        name = f"shard-{piece.first}-{piece.stop}"
        if piece.nets:
            together(piece.nets).save(self.path / f"{name}.safetensors")
        self._write(
            f"{name}.json",
            {
                "bits_version": BITS_VERSION,
                "first": str(piece.first),
                "stop": str(piece.stop),
                "nets": bool(piece.nets),
                "where": piece.where,
                "seconds": piece.seconds,
                "summary": piece.summary.as_plain(),
            },
        )

    @property
    def _described(self) -> dict[str, Any]:
        return {"format": FORMAT, "nets": self.nets, **self._about.as_plain()}

    def _refuse_another(self) -> None:
        found, ours = _described_in(self.path), _as_written(self._described)
        other = [name for name in {*found, *ours} if found.get(name) != ours.get(name)]
        if other:
            name = sorted(other)[0]
            raise ValueError(
                f"folder={str(self.path)!r} is of another survey: there {name} is {found.get(name)!r}, here "
                f"{ours.get(name)!r}: use another folder"
            )

    def _has_inputs(self) -> bool:
        """Whether the file with samples and arrays is whole."""
        try:
            found, ours = _arrays_in(self.path / INPUTS), arrays_of(self._about)
        except (ValueError, KeyError):
            return False
        return found.keys() == ours.keys() and all(np.array_equal(found[name], ours[name]) for name in ours)

    def _write_inputs(self) -> None:
        def write(file: IO[bytes]) -> None:
            arrays: dict[str, Any] = arrays_of(self._about)
            np.savez(file, **arrays)  # NumPy 2.0 has no allow_pickle here

        self._write_file(INPUTS, write)

    def _remove_leftovers(self) -> None:
        """Remove what processes that were killed did not finish writing."""
        for path in self.path.glob(".*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()

    def _read(self, file: ShardFile) -> Piece | None:
        """A piece; None, with a warning, for a file that is damaged or does not fit."""
        about, path = self._about, file.path
        try:
            content = _checked(path.read_bytes())
            first, stop = int(content["first"]), int(content["stop"])
            if content["bits_version"] != BITS_VERSION:
                raise ValueError(f"it has bits_version={content['bits_version']}, this fastmlp has {BITS_VERSION}")
            summary = Summary.from_plain(content["summary"], about.settings.dtype, about.keep)
            fits = (first, stop) == (file.first, file.stop) and summary.n_nets == stop - first
            if not fits or not about.first_net <= first < stop <= about.stop:
                raise ValueError(f"its range {first} to {stop} does not fit")
            nets = []
            if content["nets"]:
                nets = [load(path.with_suffix(".safetensors"), kind="runs")]
            return Piece(first, stop, summary, nets, content["where"], content["seconds"])
        except (ValueError, KeyError, TypeError, AttributeError, OSError, FileFormatError) as error:
            warn_caller(f"{path} cannot be used, its nets are trained again: {error}")
            return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        signed = f'{{"sha256":"{_digest(text)}","content":{text}}}\n'
        self._write_file(name, lambda file: file.write(signed.encode()))

    def _write_file(self, name: str, write: Callable[[IO[bytes]], Any]) -> None:
        """Write a file that is either whole or not there."""
        partial = self.path / f".{name}.{secrets.token_hex(8)}.partial"
        try:
            with partial.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _described_in(path: Path) -> dict[str, Any]:
    try:
        return _checked((path / DESCRIPTION).read_bytes())
    except ValueError as error:
        raise ValueError(f"folder={str(path)!r}: {DESCRIPTION} is damaged: {error}") from None


def _as_written(described: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(described))


def _arrays_in(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; raises ValueError if it cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from None


def _checked(raw: bytes) -> dict[str, Any]:
    """The content of a file; raises ValueError if it is not what was written."""
    try:
        found = json.loads(raw)
        content = found["content"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("it is not complete") from None
    if found.get("sha256") != _digest(json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)):
        raise ValueError("its checksum is wrong")
    if not isinstance(content, dict):
        raise ValueError("it is no description")
    return content


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class ShardFile(NamedTuple):
    """A file of a shard, by its name."""

    first: int
    stop: int
    path: Path


def _range_of(path: Path) -> ShardFile | None:
    """None for a name that is not one of `add`."""
    numbers = path.stem.removeprefix("shard-").split("-")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers) or int(numbers[0]) >= int(numbers[1]):
        return None
    return ShardFile(int(numbers[0]), int(numbers[1]), path)


def _most_nets(files: list[ShardFile]) -> list[ShardFile]:
    """Of files that may overlap those that do not and have most nets together.

    Weighted interval scheduling, as in Kleinberg and Tardos, Algorithm Design, 2005, section 6.1.
    """
    files = sorted(files, key=lambda one: (one.stop, one.first))
    stops = [one.stop for one in files]
    most = [0]  # nets in the best choice of the first k files
    for k, one in enumerate(files):
        before = bisect.bisect_right(stops, one.first, hi=k)
        most.append(max(most[k], most[before] + one.stop - one.first))
    chosen, k = [], len(files)
    while k:
        one = files[k - 1]
        before = bisect.bisect_right(stops, one.first, hi=k - 1)
        if most[k] == most[k - 1]:
            k -= 1
        else:
            chosen.append(one)
            k = before
    return chosen[::-1]
