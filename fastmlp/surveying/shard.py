"""A shard: a range of a survey's nets, trained somewhere, with nothing but its description and the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp.distributing.data import Data
from fastmlp.runs import Runs
from fastmlp.settings import TrainSettings
from fastmlp.surveying.description import Description
from fastmlp.surveying.summary import Summary, merged
from fastmlp.training import train
from fastmlp.training.restarts import STRIDE_BITS

BLOCK_NETS, BLOCK_BYTES = 2**18, 2**26  # nets trained at once, so that memory does not grow with the shard
NETS = ("none", "best", "solved", "all")


class Shard(NamedTuple):
    """What a worker needs to know."""

    description: Description  # without data, and with the settings of these nets alone
    first: int
    stop: int
    threads: int | None
    nets: str
    """Which nets it returns with their weights, one of `NETS`."""


class Piece(NamedTuple):
    """What a shard gave."""

    first: int
    stop: int
    summary: Summary
    nets: list[Runs]
    """The nets to keep, in parts of rising numbers; see `Shard.nets`."""
    where: str = ""
    seconds: float = 0.0


def train_shard(shard: Shard, samples: Data) -> Piece:
    """Train the nets of a shard."""
    about = shard.description
    summaries, kept = [], []
    size = block_nets(about, len(samples.X))
    for first in range(shard.first, shard.stop, size):
        stop = min(shard.stop, first + size)
        settings = about.settings_of(first, stop)
        runs = train(
            X=samples.X,
            y=samples.y,
            net_ids=np.arange(first, stop, dtype=np.uint64),
            seed=about.seed,
            restart_stuck=about.restart_stuck,
            threads=shard.threads,
            **keywords(settings, samples),
        )
        solved = solved_of(runs, about.solved_loss)
        summaries.append(Summary.of(runs, solved, first, about.keep))
        kept.append(_kept(runs, solved, shard.nets, about.keep))
    summary = merged(summaries, about.settings.dtype, about.keep)
    return Piece(shard.first, shard.stop, summary, [runs for runs in kept if len(runs)])


def keywords(settings: TrainSettings, samples: Any) -> dict[str, Any]:
    """The keyword arguments of `train`, with the samples' weights and the validation data."""
    asked = settings.as_keywords()
    if samples.sample_weight is not None:
        asked["sample_weight"] = samples.sample_weight
    return {**asked, "validation": samples.validation}


def solved_of(runs: Runs, limit: float) -> np.ndarray:
    """Which nets are solved: by their loss, or if `limit` is NaN by having every sample right."""
    return runs.accuracy == 1 if np.isnan(limit) else runs.loss <= limit


def block_nets(about: Description, n_samples: int) -> int:
    """Nets that are trained at once."""
    numbers = about.architecture.n_parameters
    if about.settings.bootstrap or about.settings.sample_weight is not None:  # a weight for each sample
        numbers += n_samples
    return max(1, min(BLOCK_NETS, BLOCK_BYTES // (about.settings.dtype.itemsize * numbers)))


def together(parts: list[Runs]) -> Runs:
    """The nets of several parts, with the leaky slopes of each."""
    if len(parts) == 1:
        return parts[0]
    slopes, architecture = [runs.architecture.leaky_slope for runs in parts], parts[0].architecture
    if isinstance(slopes[0], np.ndarray):
        architecture = architecture.with_slope(np.concatenate(slopes))
    return Runs.concatenated(parts, architecture)


def numbers_of(runs: Runs, about: Description) -> np.ndarray:
    """The nets' numbers in the survey, (n,) uint64; the number of a restart has more bits."""
    return runs.net_ids if about.restart_stuck is None else runs.net_ids & np.uint64(2**STRIDE_BITS - 1)


def _kept(runs: Runs, solved: np.ndarray, nets: str, keep: int) -> Runs:
    if nets == "all":
        return runs
    if nets == "solved":
        return runs[solved]
    chosen = np.zeros(len(runs), bool)
    if nets == "best":
        order = np.argsort(np.where(np.isfinite(runs.loss), runs.loss, np.inf), kind="stable")
        chosen[order[:keep]] = True
        chosen &= np.isfinite(runs.loss)
    return runs[chosen]
