"""What the nets of a sweep come to, one number a net of each setting, and how the settings rank by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp.runs import Runs, Status


class SweepResults:
    """One number a net of each setting."""

    def __init__(self, n_settings: int, n_seeds: int) -> None:
        shape = n_settings, n_seeds
        self.loss, self.accuracy = np.full(shape, np.nan), np.full(shape, np.nan)
        self.trained, self.status = np.zeros(shape, np.int64), np.full(shape, Status.INTERRUPTED, np.int8)
        self.rung, self.epochs = np.zeros(n_settings, np.int64), np.zeros(n_settings, np.int64)

    def take(self, row: int, nets: Any, runs: Runs) -> None:
        for own, values in (
            (self.loss, runs.loss), (self.accuracy, runs.accuracy), (self.trained, runs.epochs),
            (self.status, runs.status),
        ):  # fmt: skip
            own[row, nets] = values

    def solved(self, limits: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.where(np.isnan(limits)[:, None], self.accuracy == 1, self.loss <= limits[:, None])

    def ranks(self, limits: np.ndarray) -> np.ndarray:
        """1 for the best: the one that stayed longest, has most nets solved, and the least median loss."""
        losses = np.where(np.isnan(self.loss), np.inf, self.loss)
        order = np.lexsort((np.median(losses, axis=1), -self.solved(limits).mean(axis=1), -self.rung))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(1, len(order) + 1)
        return ranks
