"""What is kept of any number of nets: counts, bins, exact sums, the best nets and a sample.

Summaries of parts add up to the summary of the whole, exactly, in any order and grouping. A summary takes the same
memory for a thousand nets and for a billion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.trained_nets import Status
from fastmlp._kernels.fingerprint import LAST_ROUNDS, add_fingerprints
from fastmlp._kernels.tiles import derive_keys
from fastmlp._simd.philox import SAMPLE_OF_NETS
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp.runs import Runs
from fastmlp.surveying.bins import Bins
from fastmlp.surveying.exact_sums import ExactSums

SOLVED = "solved"
COUNTED = (*(status.name.lower() for status in Status if status != Status.INTERRUPTED), SOLVED)
WORD, BITS = np.dtype(np.uint32), 64


class NetRecord(NamedTuple):
    """One net of a survey; its number gives the net itself, by `Survey.retrain`."""

    number: int
    loss: float
    """NaN for a net that diverged."""
    accuracy: float
    """NaN if targets are not classes."""
    epochs: int
    status: str
    """Name of the `Status` in lower case."""
    solved: bool


@dataclass(frozen=True, eq=False)
class Summary:
    """A summary of nets of one description."""

    dtype: np.dtype
    keep: int  # most nets in `best`, and in `sample`
    n_nets: int
    status: dict[str, int]  # nets by the name of their status
    solved: int
    net_epochs: int
    epochs: dict[str, Bins]  # epochs of the nets of each status, and of the solved ones
    losses: Bins  # of nets that did not diverge
    sums: ExactSums  # likewise
    accuracies: Bins
    scores: Bins  # best scores on validation data
    restarts: dict[int, int]  # nets by their number of restarts; empty without `restart_stuck`
    best: tuple[NetRecord, ...]  # by loss, then by number
    sample: tuple[tuple[int, NetRecord], ...]  # nets of the lowest keys, with these: a uniform sample
    fingerprint: int  # sum modulo 2^64 of a hash of each net's number, weights, loss, epochs and status

    @classmethod
    def empty(cls, dtype: Any, keep: int) -> Summary:
        """The summary of no nets."""
        kind = np.dtype(dtype)
        none, no_numbers = Bins(kind, {}), Bins(np.dtype(np.float64), {})
        return cls(
            dtype=kind,
            keep=keep,
            n_nets=0,
            status=dict.fromkeys(COUNTED[:-1], 0),
            solved=0,
            net_epochs=0,
            epochs=dict.fromkeys(COUNTED, no_numbers),
            losses=none,
            sums=ExactSums(kind),
            accuracies=none,
            scores=no_numbers,
            restarts={},
            best=(),
            sample=(),
            fingerprint=0,
        )

    @classmethod
    def of(cls, runs: Runs, solved: np.ndarray, first: int, keep: int) -> Summary:
        """The summary of the nets with the numbers from `first` on; `solved` (n,) bool."""
        n = len(runs)
        numbers = np.arange(first, first + n, dtype=np.uint64)
        named = {name: runs.status == Status[name.upper()] for name in COUNTED[:-1]} | {SOLVED: solved}
        epochs, finite = runs.epochs.astype(np.float64), np.isfinite(runs.loss)
        if (runs.status == Status.INTERRUPTED).any():
            raise ValueError("a summary needs nets that have ended")

        def records(which: np.ndarray) -> list[NetRecord]:
            return [_record(runs, int(k), first + int(k), bool(solved[k])) for k in which]

        best = _least(np.where(finite, runs.loss, np.inf), int(min(keep, finite.sum())))
        keys = sample_keys(numbers, runs.seed)
        sampled = _least(keys, min(keep, n))
        counts = Counter() if runs.restarts is None else Counter(runs.restarts.tolist())
        return cls(
            dtype=runs.loss.dtype,
            keep=keep,
            n_nets=n,
            status={name: int(named[name].sum()) for name in COUNTED[:-1]},
            solved=int(solved.sum()),
            net_epochs=int(runs.epochs.sum()),
            epochs={name: Bins.of(epochs[named[name]]) for name in COUNTED},
            losses=Bins.of(runs.loss[finite]),
            sums=ExactSums.of(runs.loss[finite]),
            accuracies=Bins.of(runs.accuracy),
            scores=Bins.of(np.zeros(0) if runs.validation_score is None else runs.validation_score.astype(float)),
            restarts=dict(sorted(counts.items())),
            best=tuple(records(best)),
            sample=tuple(zip(keys[sampled].tolist(), records(sampled), strict=True)),
            fingerprint=fingerprint_of(runs, numbers),
        )

    def __add__(self, other: Summary) -> Summary:
        if (self.dtype, self.keep) != (other.dtype, other.keep):
            raise ValueError(
                f"a summary of {self.dtype} nets that keeps {self.keep} and one of {other.dtype} nets that keeps "
                f"{other.keep} do not add up"
            )
        return Summary(
            dtype=self.dtype,
            keep=self.keep,
            n_nets=self.n_nets + other.n_nets,
            status={name: self.status[name] + other.status[name] for name in self.status},
            solved=self.solved + other.solved,
            net_epochs=self.net_epochs + other.net_epochs,
            epochs={name: self.epochs[name] + other.epochs[name] for name in self.epochs},
            losses=self.losses + other.losses,
            sums=self.sums + other.sums,
            accuracies=self.accuracies + other.accuracies,
            scores=self.scores + other.scores,
            restarts=dict(sorted((Counter(self.restarts) + Counter(other.restarts)).items())),
            best=tuple(sorted((*self.best, *other.best), key=lambda net: (net.loss, net.number))[: self.keep]),
            sample=tuple(sorted((*self.sample, *other.sample), key=lambda one: (one[0], one[1].number))[: self.keep]),
            fingerprint=(self.fingerprint + other.fingerprint) % 2**BITS,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Summary):
            return NotImplemented
        return (self.dtype, self.keep, self.as_plain()) == (other.dtype, other.keep, other.as_plain())

    def __hash__(self) -> int:
        return hash((self.keep, self.n_nets, self.fingerprint))

    def as_plain(self) -> dict[str, Any]:
        """Names, numbers and lists for JSON; whole numbers beyond 2^53 are text."""
        return {
            "n_nets": self.n_nets,
            "status": self.status,
            "solved": self.solved,
            "net_epochs": str(self.net_epochs),
            "epochs": {name: _pairs(bins.counts) for name, bins in self.epochs.items()},
            "losses": _pairs(self.losses.counts),
            "sums": {"count": self.sums.count, "total": hex(self.sums.total), "squares": hex(self.sums.squares)},
            "accuracies": _pairs(self.accuracies.counts),
            "scores": _pairs(self.scores.counts),
            "restarts": _pairs(self.restarts),
            "best": [_as_list(net) for net in self.best],
            "sample": [[str(key), *_as_list(net)] for key, net in self.sample],
            "fingerprint": f"{self.fingerprint:016x}",
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any], dtype: Any, keep: int) -> Summary:
        """The reverse of `as_plain`; raises KeyError, ValueError or TypeError for other contents."""
        kind, number = np.dtype(dtype), np.dtype(np.float64)
        sums = plain["sums"]
        unknown = {field.name for field in fields(cls)} - {"dtype", "keep"} ^ plain.keys()
        if unknown:
            raise ValueError(f"a summary lacks, or should not have: {', '.join(sorted(unknown))}")
        return cls(
            dtype=kind,
            keep=keep,
            n_nets=int(plain["n_nets"]),
            status={name: int(plain["status"][name]) for name in COUNTED[:-1]},
            solved=int(plain["solved"]),
            net_epochs=int(plain["net_epochs"]),
            epochs={name: Bins(number, _counts(plain["epochs"][name])) for name in COUNTED},
            losses=Bins(kind, _counts(plain["losses"])),
            sums=ExactSums(kind, int(sums["count"]), int(sums["total"], 16), int(sums["squares"], 16)),
            accuracies=Bins(kind, _counts(plain["accuracies"])),
            scores=Bins(number, _counts(plain["scores"])),
            restarts=_counts(plain["restarts"]),
            best=tuple(_from_list(net) for net in plain["best"]),
            sample=tuple((int(key), _from_list(net)) for key, *net in plain["sample"]),
            fingerprint=int(plain["fingerprint"], 16),
        )


def merged(parts: Iterable[Summary], dtype: Any, keep: int) -> Summary:
    """The summary of all nets of the parts."""
    return sum(parts, start=Summary.empty(dtype, keep))


def sample_keys(numbers: np.ndarray, seed: int) -> np.ndarray:
    """A random number for each net, (n,) uint64, from its number and the seed alone."""
    U = VectorSpec("uint64", 8)
    rows = max(1, -(-len(numbers) // U.count))
    padded, keys = (aligned_zeros(rows * U.count, np.uint64) for _ in range(2))
    padded[: len(numbers)] = numbers
    derive_keys(U, Buffer(padded), Buffer(keys), rows, np.uint64(SAMPLE_OF_NETS), np.uint64(seed))
    return keys[: len(numbers)]


def fingerprint_of(runs: Runs, numbers: np.ndarray) -> int:
    """The sum modulo 2^64 of the nets' hashes; see `_kernels/fingerprint`."""
    n = len(runs)
    if not n:
        return 0
    columns = [numbers, runs.epochs.astype(np.uint64), runs.status.astype(np.uint64), runs.loss]
    others = np.concatenate([column.reshape(n, 1).view(WORD) for column in columns], axis=1)
    parameters = np.ascontiguousarray(runs.parameters)
    # the bits of NaN depend on the processor
    others[np.isnan(runs.loss), -(runs.loss.dtype.itemsize // WORD.itemsize) :] = 0
    diverged = runs.status == Status.DIVERGED
    if diverged.any():
        parameters = np.where(diverged[:, None] & np.isnan(parameters), 0, parameters)
    parameters = parameters.view(WORD)
    sums = np.zeros(2, np.uint64)
    add_fingerprints(
        Buffer(parameters),
        parameters.shape[1],
        Buffer(others),
        others.shape[1],
        Buffer(np.zeros(LAST_ROUNDS, WORD)),
        n,
        Buffer(sums),
    )
    return (int(sums[0]) + (int(sums[1]) << 32)) % 2**BITS


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the `count` least values, in rising order; of equal ones the first."""
    if not count:
        return np.zeros(0, np.intp)
    limit = np.partition(values, count - 1)[count - 1]
    candidates = np.flatnonzero(values <= limit)
    return candidates[np.argsort(values[candidates], kind="stable")[:count]]


def _record(runs: Runs, k: int, number: int, solved: bool) -> NetRecord:
    status = Status(int(runs.status[k])).name.lower()
    return NetRecord(number, float(runs.loss[k]), float(runs.accuracy[k]), int(runs.epochs[k]), status, solved)


def _pairs(counts: dict[int, int]) -> list[list[int]]:
    return [[number, count] for number, count in counts.items()]


def _counts(pairs: list[list[int]]) -> dict[int, int]:
    return {int(number): int(count) for number, count in sorted(pairs)}


def _as_list(net: NetRecord) -> list[Any]:
    """For JSON, which has no NaN."""
    return [None if isinstance(value, float) and isnan(value) else value for value in net]


def _from_list(values: list[Any]) -> NetRecord:
    number, loss, accuracy, epochs, status, solved = values
    loss, accuracy = (float("nan") if value is None else float(value) for value in (loss, accuracy))
    return NetRecord(int(number), loss, accuracy, int(epochs), str(status), bool(solved))
