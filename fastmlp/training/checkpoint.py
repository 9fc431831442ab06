"""Checkpoints: files from which a stopped job continues, to the same bits.

A checkpoint is a file of nets, as `_io/nets` writes them, with the optimizer's state, the state of early stopping, the
settings of the call and a hash of the data. It is written between two epochs of every net, when no kernel runs, so that
its content is consistent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.job import Job
from fastmlp._engine.optimizer_state import STATE_ARRAYS, OptimizerState
from fastmlp._engine.tile_arrays import MOST_COLUMNS, rounded_up
from fastmlp._io import nets
from fastmlp._io.safetensors import Entry, FileFormatError, read, refuse_other_kinds, refuse_other_tensors, write
from fastmlp._kernels import structs
from fastmlp._kernels.tiles import CONSTANT, NORMAL, InitSpec
from fastmlp._simd.types import Buffer
from fastmlp._version import BITS_VERSION
from fastmlp.architecture import Architecture
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.runs import Runs, Status
from fastmlp.settings import FUNCTION, NOT_KEPT, NUMBERS, WORDS, TrainSettings

LEAST_SECONDS = 1e-3
ROWS_A_PIECE = 2**16  # bytes of inputs hashed at once, so that they are never copied as a whole

_GROUPS = ("sizes", "kinds", "first", "second")


class Checkpoint:
    """The checkpoint of a running job, written at most once in a given number of seconds."""

    def __init__(
        self, path: str | os.PathLike, every: object, optimizer: Optimizer, hashes: dict[str, str | None] | None = None
    ) -> None:
        """Check the arguments; with `hashes`, those of a resumed job's data, the file exists already."""
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"checkpoint={path!r}: needs the path of a file")
        self.path = Path(path)
        seconds = checks.bounded("checkpoint_every", every, 1, LEAST_SECONDS)
        if np.ndim(seconds):
            raise TypeError(f"checkpoint_every={every!r}: needs a number of seconds")
        if type(optimizer) not in OPTIMIZERS.values():
            raise ValueError(
                f"optimizer={optimizer!r}: a checkpoint can hold only the library's optimizers: leave checkpoint out"
            )
        self._every, self._hashes = float(seconds), hashes
        if hashes is None and (self.path.exists() or self.path.is_symlink()):
            raise ValueError(
                f"checkpoint={str(path)!r} exists already: continue it with fastmlp.resume({str(path)!r}, X, y), or "
                "remove it to start again"
            )
        if not self.path.parent.is_dir():
            raise ValueError(f"checkpoint={str(path)!r}: there is no folder {self.path.parent}")
        self._written = time.monotonic()
        self.failure: Exception | None = None

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._written >= self._every

    def begin(self, job: Job, runs: Runs) -> None:
        """Write the job before training; raises OSError if that fails."""
        self._write(job, runs)

    def write(self, job: Job, runs: Runs) -> None:
        """Write the job; if that fails, warn and keep the last file."""
        try:
            self._write(job, runs)
        except Exception as error:  # no memory for the copies, no space or no folder must not end training
            if self.failure is None:
                warnings.warn(
                    f"the checkpoint {self.path} could not be written, training goes on: {error}",
                    RuntimeWarning,
                    stacklevel=4,
                )
            self.failure = error
        else:
            self.failure = None
        self._written = time.monotonic()

    def _write(self, job: Job, runs: Runs) -> None:
        plain, arrays = job.settings.in_files(len(runs))
        if self._hashes is None:
            self._hashes = data_hashes(job)
        state = job.final_state
        assert state is not None
        arrays |= nets.arrays_of(runs, state)
        if job.init_spec is not None:
            arrays |= {f"init.{name}": getattr(job.init_spec, name).array for name in _GROUPS}
        if job.begin.earlier_epochs is not None:
            arrays["earlier_epochs"] = job.begin.earlier_epochs
        if job.validation is not None:
            arrays["validation.waited"] = job.validation.waited
            arrays["validation.best_parameters"] = job.validation.best_parameters
        about = nets.described(runs, state) | {
            "kind": "checkpoint",
            "settings": plain,
            "first_epoch": job.begin.first_epoch,
            "data": self._hashes,
        }
        write(self.path, arrays, about)


def data_hashes(job: Job) -> dict[str, str | None]:
    """SHA-256 of X, y, the sample weights and the validation set."""
    data, validation = job.data, job.validation
    held_out = None if validation is None else validation.data
    n_in = job.architecture.sizes[0]
    weights = data.weights.array if job.sample_weights is None else job.sample_weights
    hashes = {
        "X": _hash(_inputs(data, n_in)),
        "y": _hash([data.targets.array]),
        "sample_weight": _hash([weights]),
        "validation": None
        if held_out is None
        else _hash(_inputs(held_out, n_in), [held_out.targets.array], [held_out.weights.array]),
    }
    if job.own is not None:
        lists = [data.rows.array] if held_out is None else [data.rows.array, held_out.rows.array]
        hashes["rows"] = _hash([job.own.spans], lists)
    return hashes


def _inputs(data: structs.Data, n_in: int) -> list[np.ndarray]:
    """The inputs in the layout of the lanes kernel, so that the hash does not depend on the kernel."""
    rows = data.inputs.array[:-MOST_COLUMNS].reshape(-1, data.n_columns)
    lines = rows[:, : rounded_up(n_in + 1, structs.BLOCK)]
    pieces = [lines[first : first + ROWS_A_PIECE] for first in range(0, len(lines), ROWS_A_PIECE)]
    return [*pieces, np.zeros(MOST_COLUMNS, lines.dtype)]


def _hash(*arrays: list[np.ndarray]) -> str:
    """SHA-256 of arrays given in pieces; the pieces are hashed as one contiguous array."""
    result = hashlib.sha256()
    for pieces in arrays:
        shape = pieces[0].shape if len(pieces) == 1 else (sum(piece.size for piece in pieces),)
        result.update(f"{pieces[0].dtype.newbyteorder('<').str} {shape}\n".encode())
        for piece in pieces:
            result.update(np.ascontiguousarray(piece.astype(piece.dtype.newbyteorder("<"), copy=False)).data)
    return result.hexdigest()


class Saved(NamedTuple):
    """The content of a checkpoint."""

    runs: Runs
    state: OptimizerState
    settings: TrainSettings  # without the data
    init_spec: InitSpec | None
    first_epoch: int
    arrays: dict[str, np.ndarray]
    hashes: dict[str, str | None]

    @property
    def needs_schedule(self) -> bool:
        """Whether the schedule was a function, which a file cannot hold."""
        schedule = self.settings.schedule
        return isinstance(schedule, str) and schedule == FUNCTION

    def refuse_other_data(self, job: Job) -> None:
        """Raise if the job has other data than the checkpoint."""
        hashes = data_hashes(job)
        if ("rows" in hashes) != ("rows" in self.hashes):
            raise ValueError(
                "the nets of the job "
                + ("had samples of their own" if "rows" in self.hashes else "shared all samples")
                + ": pass X, y, rows and groups as they were"
            )
        for name, found in hashes.items():
            if found != self.hashes[name]:
                raise ValueError(
                    f"{name} differs from that of the job: pass the same {name}, in the same order of samples"
                )

    def _bits_version_of_results(self) -> int | None:
        """None, with a warning, if the job goes on where another version of the bits has stopped."""
        theirs = self.runs.bits_version
        if theirs == BITS_VERSION or not (self.runs.status == Status.INTERRUPTED).any():
            return theirs
        warnings.warn(
            f"the job was begun with bits_version={theirs}, this fastmlp has {BITS_VERSION}: the nets go on, but "
            "perhaps not to the bits of training without a stop; the fastmlp that began the job gives those",
            UserWarning,
            stacklevel=4,
        )
        return None

    def put_into(self, job: Job, runs: Runs) -> Job:
        """The job that continues from the checkpoint."""
        for name in (*nets.ARRAYS, "parameters"):
            there, saved = getattr(runs, name), getattr(self.runs, name)
            if (there is None) != (saved is None) or (there is not None and there.shape != saved.shape):
                raise FileFormatError(f"{name} does not fit the settings")
            if there is not None and name != "net_ids":
                there[...] = saved
        runs.bits_version = self._bits_version_of_results()
        assert job.final_state is not None
        for name in STATE_ARRAYS:
            there, saved = getattr(job.final_state, name), getattr(self.state, name)
            if there.shape != saved.shape:
                raise FileFormatError(f"state.{name} has shape {saved.shape}; needs {there.shape}")
            there[...] = saved
        if job.validation is not None:
            there, saved = job.validation.best_parameters, self.arrays["validation.best_parameters"]
            if there.shape != saved.shape:
                raise FileFormatError(f"validation.best_parameters has shape {saved.shape}; needs {there.shape}")
            there[...] = saved
            job.validation.waited[...] = self.arrays["validation.waited"]
        return replace(
            job,
            settings=job.settings.changed(init=self.settings.init),
            init_spec=self.init_spec,
            begin=job.begin._replace(earlier_epochs=self.arrays.get("earlier_epochs")),
        )


def load_checkpoint(path: str | os.PathLike) -> Saved:
    """Read a checkpoint."""
    arrays, about = read(Path(path), _check)
    attributes = nets.attributes_of(arrays, about)
    state = attributes.pop("state")
    runs = Runs(**attributes)
    assert state is not None
    first_epoch, words = about["first_epoch"], dict(about["settings"])
    words |= {name[9:]: array for name, array in arrays.items() if name.startswith("settings.")}
    trained = runs.epochs
    if not (first_epoch <= trained).all() or (trained - first_epoch > words["epochs"]).any():
        raise FileFormatError(
            f"nets were trained for {trained.min()} to {trained.max()} epochs, out of the job's range"
        )
    init_spec = None
    if "init.sizes" in arrays:
        sizes, kinds, first, second = (arrays[f"init.{name}"] for name in _GROUPS)
        in_range = (kinds >= CONSTANT).all() and (kinds <= NORMAL).all()
        if not in_range or not np.isfinite(first).all() or not np.isfinite(second).all():
            raise FileFormatError("the initial weights' distributions are out of range")
        if sizes.tolist() != _group_sizes(runs.architecture):
            raise FileFormatError("the initial weights' distributions are not those of the net's layers")
        init_spec = InitSpec(Buffer(sizes), Buffer(kinds), Buffer(first), Buffer(second), len(sizes))
    own = {s.name: words.pop(f"optimizer.{s.name}") for s in _optimizer_fields(words["optimizer"])}
    try:
        words["optimizer"] = OPTIMIZERS[words["optimizer"]](**own)
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"the optimizer's settings: {error}") from None
    words["init"] = NOT_KEPT if words["init"] is None else words["init"]
    settings = TrainSettings(runs.architecture, dtype=runs.parameters.dtype, **words)
    return Saved(runs, state, settings, init_spec, first_epoch, arrays, about["data"])


def _group_sizes(architecture: Architecture) -> list[int]:
    """Number of weights, and then of biases, of each layer."""
    return [
        size for n_in, n_out in architecture.shapes for size in ([n_in * n_out] + [n_out] * bool(architecture.bias))
    ]


def _optimizer_fields(name: str) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(OPTIMIZERS[name])


def _check(entries: dict[str, Entry], about: dict[str, Any]) -> None:
    if about.get("kind") != "checkpoint":
        raise FileFormatError(f"not a checkpoint, but {about.get('kind')!r}: read it with fastmlp.load(path)")
    refuse_other_kinds(about, {"settings": dict, "first_epoch": int, "data": dict, "optimizer": str})
    settings, data = about["settings"], about["data"]
    if not 0 <= about["first_epoch"] < 2**60:
        raise FileFormatError(f"the metadata has first_epoch={about['first_epoch']}")
    if set(data) - {"rows"} != {"X", "y", "sample_weight", "validation"}:
        raise FileFormatError("the metadata lacks a hash of the data")
    if not isinstance(settings.get("optimizer"), str) or settings["optimizer"] not in OPTIMIZERS:
        raise FileFormatError(f"the settings have optimizer={settings.get('optimizer')!r}")
    refuse_other_kinds(settings, {"epochs": int})
    wanted = nets.wanted_tensors(entries, about)
    n, n_parameters = wanted["epochs"][1][0], wanted["state.rows"][1][2]
    numbers = (*NUMBERS, *(f"optimizer.{s.name}" for s in _optimizer_fields(settings["optimizer"])))
    for name in numbers:
        key = f"settings.{name}"
        if key in entries:
            count = settings["epochs"] if name == "schedule" else n
            wanted[key] = np.dtype(np.float64), (count,)
    needed = {*WORDS, *(name for name in numbers if f"settings.{name}" not in entries), "optimizer", "init"}
    missing = needed ^ set(settings)
    if missing:
        raise FileFormatError(f"the settings lack, or should not have: {', '.join(sorted(missing))}")
    every, n_records = settings["record_every"], 0
    if every is not None:
        if type(every) is not int or every < 1 or settings["epochs"] < 0:
            raise FileFormatError(f"the settings have epochs={settings['epochs']}, record_every={every!r}")
        n_records = settings["epochs"] // every + 1
    held_out = data["validation"] is not None
    for name in nets.CURVES:
        wanted.pop(name, None)
        if n_records and (held_out or name == "history"):
            kind = nets.ARRAYS[name][0]
            wanted[name] = (wanted["loss"][0] if kind is None else np.dtype(kind)), (n, n_records)
    if "init.sizes" in entries:
        groups = entries["init.sizes"][1][:1]
        wanted |= {f"init.{name}": (np.dtype(np.int64), groups) for name in ("sizes", "kinds")}
        wanted |= {f"init.{name}": (np.dtype(np.float64), groups) for name in ("first", "second")}
    if "earlier_epochs" in entries:
        wanted["earlier_epochs"] = np.dtype(np.int64), (n,)
    if held_out:
        kept = n if settings["restore_best"] else 0
        wanted |= {
            "validation.waited": (np.dtype(np.float64), (n,)),
            "validation_score": (np.dtype(np.float64), (n,)),
            "best_epoch": (np.dtype(np.int64), (n,)),
            "validation.best_parameters": (wanted["loss"][0], (kept, n_parameters)),
        }
    refuse_other_tensors(entries, wanted)
