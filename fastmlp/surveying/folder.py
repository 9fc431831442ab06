"""A folder that keeps a survey: its description, and a file for each finished shard.

Files are written atomically and have a checksum. A survey that finds its folder again goes on where it was, with shards
of any size; damaged files are trained again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastmlp._io.safetensors import FileFormatError
from fastmlp.loading import load
from fastmlp.surveying.description import Description, identity
from fastmlp.surveying.shard import Piece, together
from fastmlp.surveying.summary import Summary

FORMAT = 1
DESCRIPTION = "survey.json"
LEFTOVER_SECONDS = 3600.0


class Folder:
    """The folder of one survey."""

    def __init__(self, path: Any, about: Description, nets: str) -> None:
        """Make the folder, or check that it is of the same survey; raises ValueError if not."""
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"folder={path!r}: needs the path of a folder")
        self.path, self._about, self._nets = Path(path), about, nets
        if nets != "none" and find_spec("safetensors") is None:
            raise ImportError("files of nets need the package safetensors: pip install 'fastmlp[files]'")
        described = {"format": FORMAT, "nets": nets, **about.as_plain()}
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"folder={str(path)!r} is a file: needs the path of a folder")
        if (self.path / DESCRIPTION).exists():
            self._refuse_another(described)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(f"folder={str(path)!r} cannot be written")
            self._remove_leftovers()
            return
        if self.path.is_dir() and any(not path.name.startswith(".") for path in self.path.iterdir()):
            raise ValueError(
                f"folder={str(path)!r} has other files and no {DESCRIPTION}: needs an empty or a new folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(DESCRIPTION, described)

    def pieces(self) -> Iterator[Piece]:
        """What is there and whole, in rising order, without nets that an earlier piece has too."""
        end = self._about.first_net
        for path in sorted(self.path.glob("shard-*.json"), key=_range_of):
            piece = self._read(path)
            if piece is not None and piece.first >= end:
                end = piece.stop
                yield piece

    def add(self, piece: Piece) -> None:
        """Keep a piece."""
        name = f"shard-{piece.first}-{piece.stop}"
        if piece.nets:
            together(piece.nets).save(self.path / f"{name}.safetensors")
        self._write(
            f"{name}.json",
            {
                **piece.identity,
                "first": str(piece.first),
                "stop": str(piece.stop),
                "nets": bool(piece.nets),
                "where": piece.where,
                "seconds": piece.seconds,
                "summary": piece.summary.as_plain(),
            },
        )

    def _refuse_another(self, described: dict[str, Any]) -> None:
        try:
            found = _checked((self.path / DESCRIPTION).read_bytes())
        except ValueError as error:
            raise ValueError(f"folder={str(self.path)!r}: {DESCRIPTION} is damaged: {error}") from None
        ours = json.loads(json.dumps(described))
        other = [name for name in {*found, *ours} if found.get(name) != ours.get(name)]
        if other:
            name = sorted(other)[0]
            raise ValueError(
                f"folder={str(self.path)!r} is of another survey: there {name} is {found.get(name)!r}, here "
                f"{ours.get(name)!r}: use another folder"
            )

    def _remove_leftovers(self) -> None:
        """Remove what processes that were killed did not finish writing."""
        for path in self.path.glob(".*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()

    def _read(self, path: Path) -> Piece | None:
        """A piece; None, with a warning, for a file that is damaged or does not fit."""
        about = self._about
        try:
            content = _checked(path.read_bytes())
            first, stop = int(content["first"]), int(content["stop"])
            theirs = {name: content[name] for name in identity()}
            if theirs != identity():
                raise ValueError(f"made by another version, {theirs}")
            summary = Summary.from_plain(content["summary"], about.settings.dtype, about.keep)
            if not about.first_net <= first < stop <= about.stop or summary.n_nets != stop - first:
                raise ValueError(f"its range {first} to {stop} does not fit")
            nets = []
            if content["nets"]:
                nets = [load(path.with_suffix(".safetensors"), kind="runs")]
            return Piece(first, stop, summary, nets, theirs, content["where"], content["seconds"])
        except (ValueError, KeyError, TypeError, AttributeError, OSError, FileFormatError) as error:
            warnings.warn(f"{path} cannot be used, its nets are trained again: {error}", RuntimeWarning, stacklevel=5)
            return None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        signed = f'{{"sha256":"{_digest(text)}","content":{text}}}\n'
        partial = self.path / f".{name}.{secrets.token_hex(8)}.partial"
        try:
            with partial.open("x", encoding="utf-8") as file:
                file.write(signed)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path / name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


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


def _range_of(path: Path) -> tuple[int, int, str]:
    """The range in a file's name, for sorting; larger pieces first."""
    numbers = path.stem.removeprefix("shard-").split("-")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return 0, 0, path.name
    return int(numbers[0]), -int(numbers[1]), path.name
