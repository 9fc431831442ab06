"""A fold: train its nets, and score them on the samples that it leaves out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp.distributing.data import Data
from fastmlp.runs import Status
from fastmlp.scoring import scores_of_outputs
from fastmlp.settings import TrainSettings
from fastmlp.training import train


class FoldTask(NamedTuple):
    """What trains a fold; all but the samples."""

    call: TrainSettings
    train_rows: np.ndarray
    test_rows: np.ndarray
    n_seeds: int
    seed: int
    metrics: Any
    threads: int | None


class FoldResult(NamedTuple):
    """What is known of the nets of a fold."""

    scores: dict[str, np.ndarray]
    ensemble: dict[str, float]
    outputs: np.ndarray  # the mean over the nets that did not diverge, (n_test, n_out)
    status: np.ndarray
    epochs: np.ndarray


def train_fold(task: FoldTask, data: Data) -> FoldResult:
    """Train the nets of a fold, and score them on the samples that it leaves out."""
    rows, held = task.train_rows, task.test_rows
    asked = keywords(task.call, data, rows)
    runs = train(X=data.X[rows], y=data.y[rows], n_nets=task.n_seeds, seed=task.seed, threads=task.threads, **asked)
    y, weights = data.y[held], None if data.sample_weight is None else data.sample_weight[held]
    scores = runs.evaluate(data.X[held], y, sample_weight=weights, metrics=task.metrics, threads=task.threads)
    usable = runs[runs.status != Status.DIVERGED]
    outputs = np.full((len(held), runs.architecture.sizes[-1]), np.nan)
    if len(usable):
        outputs = usable.predict(data.X[held], reduce="mean", threads=task.threads)
    ensemble = scores_of_outputs(runs.architecture, task.call.loss_name, outputs, y, weights, task.metrics)
    return FoldResult(scores, ensemble, outputs, runs.status, runs.epochs)


def keywords(call: TrainSettings, data: Data, rows: np.ndarray) -> dict[str, Any]:
    weights = None if data.sample_weight is None else data.sample_weight[rows]
    return {**call.as_keywords(), "sample_weight": weights, "validation": data.validation}


def refuse_other_samples(
    fold: int, rows: np.ndarray, held: np.ndarray, call: TrainSettings, data: Data, metrics: Any
) -> None:
    """Refuse weights that a fold cannot be trained with, and metrics that the samples it leaves out do not allow."""
    weights = None
    if data.sample_weight is not None:
        try:
            checks.sample_weights(data.sample_weight[rows], len(rows), 1, call.dtype)
        except ValueError as error:
            raise ValueError(f"the samples of fold {fold} cannot be trained on: {error}") from None
        weights = data.sample_weight[held]
    named = [metric for metric in metrics if not callable(metric)]
    if not named:
        return
    outputs = np.zeros((len(held), call.architecture.sizes[-1]))
    try:
        scores_of_outputs(call.architecture, call.loss_name, outputs, data.y[held], weights, named)
    except ValueError as error:
        raise ValueError(f"the samples that fold {fold} leaves out cannot be scored: {error}") from None
