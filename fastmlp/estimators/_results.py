"""Curves, weights and states of nets, as the estimators cut and print them."""

from __future__ import annotations

import numpy as np

from fastmlp._engine.optimizer_state import OptimizerState, new_state
from fastmlp.architecture import Architecture
from fastmlp.optimizers import Optimizer
from fastmlp.runs import Runs, Status
from fastmlp.training.runner import Progress


def known(curves: np.ndarray | None, trained: np.ndarray) -> np.ndarray | None:
    """Curves cut to the longest training, with NaN where a net's has ended.

    There is room for max_iter epochs in them, far beyond what a net may need, and nothing in it before.
    """
    if curves is None:
        return None
    cut = curves[:, : int(trained.max(initial=0))].copy()
    cut[np.arange(cut.shape[1]) >= trained[:, None]] = np.nan
    return cut


def last(curves: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Each net's last value, NaN where there is none."""
    if not curves.shape[1]:
        return np.full(len(curves), np.nan)
    return np.where(trained > 0, curves[np.arange(len(curves)), np.maximum(trained, 1) - 1], np.nan)


def packed(coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> np.ndarray:
    """Weights and biases as one row, layer by layer."""
    return np.concatenate([np.ravel(part) for pair in zip(coefs, intercepts, strict=True) for part in pair])


def without_results(architecture: Architecture, parameters: np.ndarray, seed: int) -> Runs:
    """Nets that are still to be trained."""
    nets = len(parameters)
    return Runs(
        architecture,
        parameters.copy(),
        np.full(nets, np.nan),
        np.full(nets, np.nan),
        np.zeros(nets, np.int64),
        np.full(nets, Status.INTERRUPTED, np.int8),
        np.arange(nets, dtype=np.uint64),
        seed,
    )


def state_to_go_on_from(runs: Runs, optimizer: Optimizer, incremental: bool) -> OptimizerState:
    """That of the last call for `partial_fit`; for `fit` a new one, but with what patience has seen."""
    state = runs.state
    if incremental and state is not None and state.optimizer == type(optimizer).__name__:
        if len(state.rows) == optimizer.n_state_rows:
            return state
    fresh = new_state(optimizer, len(runs), runs.parameters.shape[1], runs.parameters.dtype)
    if state is None or state.optimizer != fresh.optimizer or state.rows.shape != fresh.rows.shape:
        return fresh
    return fresh._replace(watched=state.watched)


class Printer:
    """Prints the best net's loss of each iteration, as it becomes known."""

    def __init__(self, runs: Runs, first_epoch: int):
        self._runs, self._first_epoch, self._printed = runs, first_epoch, 0

    def __call__(self, _progress: Progress | None) -> bool:
        history, trained = self._runs.history, self._runs.epochs - self._first_epoch
        assert history is not None
        while self._printed < trained.max():
            losses = history[trained > self._printed, self._printed]
            self._printed += 1
            print(f"Iteration {self._printed}, loss = {losses.min():.8f}")
        return False
