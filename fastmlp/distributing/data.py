"""The samples of all tasks, and how they reach workers: inside each task, or once a process, from a file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks

MOST_IN_A_TASK = 2**20  # bytes


class Data(NamedTuple):
    """Samples, as for `train`."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray | None = None
    """(n_samples,); weights with a row for each net belong to the nets."""
    validation: tuple[np.ndarray, ...] | None = None

    @classmethod
    def copied(cls, X: Any, y: Any, sample_weight: Any, validation: Any) -> Data:
        """Checked arrays, which later changes of the user's do not affect."""
        weights = None if sample_weight is None else copied("sample_weight", sample_weight)
        held_out = None
        if validation is not None:
            held_out = tuple(copied("validation", part) for part in validation if part is not None)
        return cls(copied("X", X), copied("y", y), weights, held_out)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [self.X, self.y, *(self.validation or ())]
        return sum(array.nbytes for array in arrays if array is not None) + getattr(self.sample_weight, "nbytes", 0)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by names, for files."""
        named = {"X": self.X, "y": self.y}
        if self.sample_weight is not None:
            named["sample_weight"] = self.sample_weight
        return named | {f"validation{k}": part for k, part in enumerate(self.validation or ())}

    @classmethod
    def of_arrays(cls, named: Mapping[str, np.ndarray]) -> Data:
        """The samples again; other names do not matter."""
        held_out = [named[name] for name in sorted(named) if name.startswith("validation")]
        return cls(named["X"], named["y"], named.get("sample_weight"), tuple(held_out) or None)


class FileOfData(NamedTuple):
    """A file with the samples, and the SHA-256 of its content."""

    path: str
    digest: str


SentData = Data | FileOfData


def copied(name: str, given: Any) -> np.ndarray:
    """A copy of real numbers as an array."""
    return np.array(checks.real_array(name, given))


class MissingDataError(Exception):
    """A worker cannot read the file of the samples."""


_KNOWN: dict[str, Data] = {}  # the last samples that this process has read


def write_data(data: Data) -> FileOfData:
    """Write the samples to a file that workers read."""
    with tempfile.NamedTemporaryFile(prefix="fastmlp-samples-", suffix=".npz", delete=False) as file:
        arrays: dict[str, Any] = data.arrays()
        np.savez(file, **arrays)  # NumPy 2.0 has no allow_pickle here
    return file_of_data(file.name)


def file_of_data(path: str | Path) -> FileOfData:
    """What workers need to know of a file with samples."""
    with Path(path).open("rb") as file:
        return FileOfData(str(path), hashlib.file_digest(file, "sha256").hexdigest())


def data_of(sent: SentData) -> Data:
    """The samples, read at most once a process; raises MissingDataError if the file is not the one that was written."""
    if isinstance(sent, Data):
        return sent
    data = _KNOWN.get(sent.digest)
    if data is None:
        try:
            if file_of_data(sent.path) != sent:
                raise MissingDataError(f"{sent.path} does not hold the samples that were sent")
            with Path(sent.path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                data = Data.of_arrays(arrays)
        except OSError as error:
            raise MissingDataError(f"{sent.path} cannot be read: {error}") from None
        _KNOWN.clear()
        _KNOWN[sent.digest] = data
    return data
