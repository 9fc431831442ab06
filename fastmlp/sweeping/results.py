"""Results of a sweep: numbers for each net of each setting, and the ranks of the settings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp.runs import Runs, Status


def medians(values: np.ndarray) -> np.ndarray:
    """The median of each row's finite numbers; NaN for a row without any."""
    return np.array([np.median(row[~np.isnan(row)]) if (~np.isnan(row)).any() else np.nan for row in values])


class Measured(NamedTuple):
    """What is known of nets after a rung."""

    loss: np.ndarray
    accuracy: np.ndarray
    epochs: np.ndarray
    status: np.ndarray
    validation_score: np.ndarray | None
    runs: Runs | None
    """The nets themselves, if there is another rung."""

    @classmethod
    def of(cls, runs: Runs, keep: bool) -> Measured:
        """The same numbers of nets that have been trained."""
        return cls(runs.loss, runs.accuracy, runs.epochs, runs.status, runs.validation_score, runs if keep else None)

    def some(self, which: slice) -> Measured:
        """The numbers of some of the nets."""
        score = None if self.validation_score is None else self.validation_score[which]
        return Measured(
            self.loss[which], self.accuracy[which], self.epochs[which], self.status[which], score, runs=None
        )


class SweepResults:
    """Numbers for each net of each setting, (settings, n_seeds)."""

    def __init__(self, n_settings: int, n_seeds: int) -> None:
        shape = n_settings, n_seeds
        self.loss, self.accuracy, self.validation = (np.full(shape, np.nan) for _ in range(3))
        self.trained, self.status = np.zeros(shape, np.int64), np.full(shape, Status.INTERRUPTED, np.int8)
        self.rung, self.epochs = np.zeros(n_settings, np.int64), np.zeros(n_settings, np.int64)

    def take(self, row: int, nets: Any, runs: Measured) -> None:
        for own, values in (
            (self.loss, runs.loss),
            (self.accuracy, runs.accuracy),
            (self.trained, runs.epochs),
            (self.status, runs.status),
        ):
            own[row, nets] = values
        if runs.validation_score is not None:  # the best of all rungs
            self.validation[row, nets] = np.fmax(self.validation[row, nets], runs.validation_score)

    @property
    def median_validation(self) -> np.ndarray:
        return medians(self.validation)

    def solved(self, limits: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.where(np.isnan(limits)[:, None], self.accuracy == 1, self.loss <= limits[:, None])

    def ranks(self, limits: np.ndarray) -> np.ndarray:
        """Rank the settings, 1 for the best.

        By the rungs that they stayed, the median validation score if there is one, the number of solved nets, and the
        median loss.
        """
        losses = np.where(np.isnan(self.loss), np.inf, self.loss)
        held_out = np.nan_to_num(self.median_validation, nan=0.0, neginf=-np.inf)  # all rows have one, or none
        order = np.lexsort((np.median(losses, axis=1), -self.solved(limits).mean(axis=1), -held_out, -self.rung))
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(1, len(order) + 1)
        return ranks
