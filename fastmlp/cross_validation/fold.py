"""Folds: train their nets, and score these on the samples that the folds leave out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._splits import Fold
from fastmlp.distributing.data import Data
from fastmlp.runs import Runs, Status
from fastmlp.scoring import scores_of_outputs
from fastmlp.settings import TrainSettings
from fastmlp.training import train


class FoldsTask(NamedTuple):
    """What trains some folds in one run; all but the samples."""

    call: TrainSettings
    folds: list[Fold]
    n_seeds: int
    seed: int
    metrics: Any
    threads: int | None
    on_own: bool = False
    """Whether to score nets on the samples that they are trained on, too."""


class FoldResult(NamedTuple):
    """What is known of the nets of a fold."""

    scores: dict[str, np.ndarray]
    ensemble: dict[str, float]
    outputs: np.ndarray  # the mean over the nets that did not diverge, (n_test, n_out)
    status: np.ndarray
    epochs: np.ndarray
    own_scores: dict[str, np.ndarray]  # on the samples that they are trained on, if asked for


def train_folds(task: FoldsTask, data: Data) -> list[FoldResult]:
    """Train the nets of all folds in one run, and score them on the samples that their folds leave out."""
    numbers, n_folds = np.arange(task.n_seeds), len(task.folds)
    ids = np.tile(numbers, n_folds)
    call = task.call if task.call.never_change else task.call.of(ids)
    asked = {**call.as_keywords(), "sample_weight": data.sample_weight, "validation": data.validation}
    asked |= {"rows": [rows for rows, _ in task.folds], "rows_of": np.repeat(np.arange(n_folds), task.n_seeds)}
    runs = train(X=data.X, y=data.y, net_ids=ids, seed=task.seed, threads=task.threads, **asked)
    of_folds = (runs[k * task.n_seeds : (k + 1) * task.n_seeds] for k in range(n_folds))
    return [_scored(task, own, fold, data) for own, fold in zip(of_folds, task.folds, strict=True)]


def _scored(task: FoldsTask, runs: Runs, fold: Fold, data: Data) -> FoldResult:
    rows, held = fold
    y, weights = data.y[held], None if data.sample_weight is None else data.sample_weight[held]
    scores = runs.evaluate(data.X[held], y, sample_weight=weights, metrics=task.metrics, threads=task.threads)
    usable = runs[runs.status != Status.DIVERGED]
    outputs = np.full((len(held), runs.architecture.sizes[-1]), np.nan)
    if len(usable):
        outputs = usable.predict(data.X[held], reduce="mean", threads=task.threads)
    ensemble = scores_of_outputs(runs.architecture, task.call.loss_name, outputs, y, weights, task.metrics)
    own = {}
    if task.on_own:
        # as samples of each net's own, of which a metric may lack a class
        own = runs.evaluate(
            data.X,
            data.y,
            rows=[rows],
            rows_of=np.zeros(len(runs), np.intp),
            sample_weight=data.sample_weight,
            metrics=task.metrics,
            threads=task.threads,
        )
    return FoldResult(scores, ensemble, outputs, runs.status, runs.epochs, own)


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
