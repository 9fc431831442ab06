"""`restart_stuck`: replace nets that end unsolved by nets with fresh seeds, until all are solved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.trained_nets import Status
from fastmlp.runs import Runs
from fastmlp.settings import TrainSettings
from fastmlp.training.interrupted import TrainingInterrupted

# The k-th restart of net i has the number i + k · 2^40, so that restarts of different nets never coincide
STRIDE_BITS = 40
MOST_RESTARTS = 2**23 - 1


def most_restarts(restart_stuck: Any, settings: TrainSettings, y: Any, net_ids: Any, others: dict[str, Any]) -> int:
    """The checked number of restarts of a net; `others` are arguments of `train` that must not be set."""
    most = checks.whole_number("restart_stuck", restart_stuck, 1, MOST_RESTARTS)
    for name, value in {**others, "keep_state": settings.keep_state or None}.items():
        if value is not None:
            raise ValueError(
                f"restart_stuck starts nets again, which is not possible with {name}: leave one of them out"
            )
    if settings.begins_with_arrays:
        raise ValueError(
            "restart_stuck draws new initial weights: pass init as a name or an initializer, not as arrays"
        )
    targeted = settings.target_loss is not None or settings.target_accuracy is not None
    targets = _all_targets(y)
    softmax = getattr(settings.architecture, "output", "") == "softmax"
    if not targeted and not softmax and not checks.counts_accuracy(targets):
        raise ValueError("restart_stuck needs to know which nets are solved: pass target_loss")
    if np.max(net_ids if net_ids is not None else 0) >= 2**STRIDE_BITS:
        raise ValueError(f"restart_stuck needs net_ids below 2**{STRIDE_BITS}: the restarts' numbers lie above")
    return most


def _all_targets(y: Any) -> np.ndarray:
    """The targets of all nets, whatever form they have."""
    try:
        return checks.real_array("y", y)
    except ValueError:
        if not isinstance(y, (list, tuple)):
            raise
        return np.concatenate([checks.real_array("y", one).reshape(-1) for one in y])


def solved(runs: Runs, settings: TrainSettings) -> np.ndarray:
    """Which nets are solved: those that reached their target, or without a target have every sample right."""
    if settings.target_loss is None and settings.target_accuracy is None:
        return runs.accuracy == 1
    reached = runs.status == Status.REACHED_TARGET
    with np.errstate(
        invalid="ignore"
    ):  # by their minibatches' losses they may have missed a target that the final weights reach
        if settings.target_loss is not None:
            reached |= runs.loss <= np.asarray(settings.target_loss, runs.loss.dtype)
        if settings.target_accuracy is not None:
            reached |= runs.accuracy >= np.asarray(settings.target_accuracy, runs.accuracy.dtype)
    return reached


def train_until_solved(
    most: int,
    given: TrainSettings,
    train_all: Callable[[], Runs],
    train_some: Callable[[TrainSettings, np.ndarray, np.ndarray, int], Runs],
) -> Runs:
    """Train all nets, and replace those that are not solved, each at most `most` times.

    `given` are the settings; `train_some` trains some of the nets again: it takes their settings, their new numbers,
    which nets they are, and the number of all.
    """
    try:
        runs = train_all()
    except TrainingInterrupted as interruption:
        interruption.runs.restarts = np.zeros(len(interruption.runs), np.int64)
        raise
    settings, first = runs.call or given.validated().validated_for(len(runs)), runs.net_ids.copy()
    restarts = runs.restarts = np.zeros(len(runs), np.int64)
    for number in range(1, most + 1):
        stuck = np.flatnonzero(~solved(runs, settings))
        if not len(stuck):
            break
        ids = first[stuck] + np.uint64(number << STRIDE_BITS)
        try:
            _put(runs, stuck, train_some(settings.of(stuck), ids, stuck, len(runs)))
        except TrainingInterrupted as interruption:
            _put(runs, stuck, interruption.runs)
            restarts[stuck] = number
            interruption.runs = runs
            raise
        restarts[stuck] = number
    return runs


def _put(runs: Runs, where: np.ndarray, others: Runs) -> None:
    for name, values in others.per_net().items():
        if name != "restarts":
            getattr(runs, name)[where] = values
    runs.train_seconds += others.train_seconds
