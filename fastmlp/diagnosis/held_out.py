"""Scores on held-out samples, which judge a change where targets may be noisy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.trained_nets import Status, TrainedNets
from fastmlp.diagnosis.baselines import FOLDS, folds
from fastmlp.diagnosis.problem import Problem, looked_at, score_of
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.settings import TrainSettings

MOST_NETS = 10


def validation_data(call: TrainSettings, problem: Problem) -> tuple[np.ndarray, np.ndarray] | None:
    """The validation samples and targets."""
    if call.validation is None:
        return None
    dtype = problem.samples.dtype
    samples = checks.inputs(call.validation[0], call.architecture, dtype)
    return samples, checks.targets(call.validation[1], call.architecture, problem.loss, len(samples), dtype)


def validation_score(
    runs: TrainedNets, held_out: tuple[np.ndarray, np.ndarray], problem: Problem, threads: int | None
) -> float:
    """The nets' median score on validation data."""
    return float(np.median(_scores(runs, *held_out, problem, threads)))


def cross_validated_score(
    retraining: Retraining, call: TrainSettings, problem: Problem, y: Any, ids: np.ndarray
) -> float:
    """The cross-validated median score of some of the nets: each fold is scored by nets trained without it.

    `problem` has the scaled samples and the targets; `y` is the training target in the user's form.
    """
    ids, call = ids[:MOST_NETS], call.of(np.arange(len(ids)) < MOST_NETS)
    y, fold = np.asarray(y), folds(problem.targets)
    total = np.zeros(len(ids))
    for number in range(FOLDS):
        seen, held = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        runs = retraining.again(_on(call, seen), problem.samples[seen], y[seen], ids)
        total += len(held) * _scores(runs, problem.samples[held], problem.targets[held], problem, retraining.threads)
    return float(np.median(total / len(fold)))


def _on(call: TrainSettings, rows: np.ndarray) -> TrainSettings:
    """The settings for some of the samples."""
    changes: dict[str, Any] = {}
    if call.sample_weight is not None:
        changes["sample_weight"] = np.asarray(call.sample_weight)[..., rows]
    if call.batch_size is not None:
        changes["batch_size"] = min(call.batch_size, len(rows))
    return call.changed(**changes)


def _scores(
    runs: TrainedNets, samples: np.ndarray, targets: np.ndarray, problem: Problem, threads: int | None
) -> np.ndarray:
    """Each net's accuracy, or R² against the spread of all targets."""
    stats = looked_at(runs, problem._replace(samples=samples, targets=targets), problem.loss.name.lower(), threads)
    return score_of(stats, problem, runs.status == Status.DIVERGED)
