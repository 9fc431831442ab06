"""How a survey's samples reach its workers: inside each task if they are small, else once a process, from a file."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastmlp.surveying.description import Data

MOST_IN_A_TASK = 2**20  # bytes


class FileOfData(NamedTuple):
    """A file with the samples, and the SHA-256 of its content."""

    path: str
    digest: str


SentData = Data | FileOfData


class MissingDataError(Exception):
    """A worker cannot read the file of the samples."""


_KNOWN: dict[str, Data] = {}  # the last samples that this process has read


def write_data(data: Data, folder: Path | None = None) -> FileOfData:
    """Write the samples to a file that workers read."""
    arrays = {"X": data.X, "y": data.y}
    if data.sample_weight is not None:
        arrays["sample_weight"] = data.sample_weight
    arrays |= {f"validation{k}": part for k, part in enumerate(data.validation or ())}
    with tempfile.NamedTemporaryFile(dir=folder, prefix="fastmlp-survey-", suffix=".npz", delete=False) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return FileOfData(file.name, _digest(Path(file.name)))


def data_of(sent: SentData) -> Data:
    """The samples, read at most once a process; raises MissingDataError if the file is not the one that was written."""
    if isinstance(sent, Data):
        return sent
    data = _KNOWN.get(sent.digest)
    if data is None:
        try:
            if _digest(Path(sent.path)) != sent.digest:
                raise MissingDataError(f"{sent.path} does not hold the samples of this survey")
            with np.load(sent.path, allow_pickle=False) as arrays:
                held_out = [arrays[name] for name in sorted(arrays.files) if name.startswith("validation")]
                weights = arrays["sample_weight"] if "sample_weight" in arrays.files else None
                data = Data(arrays["X"], arrays["y"], weights, tuple(held_out) or None)
        except OSError as error:
            raise MissingDataError(f"{sent.path} cannot be read: {error}") from None
        _KNOWN.clear()
        _KNOWN[sent.digest] = data
    return data


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
