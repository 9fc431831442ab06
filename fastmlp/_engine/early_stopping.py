"""Early stopping: after each epoch, score every net on validation data, and keep its best weights."""

from __future__ import annotations

from collections.abc import Callable
from math import fsum

import numpy as np

from fastmlp._engine.tile_arrays import TileArrays
from fastmlp._kernels import structs
from fastmlp._kernels.evaluation import N_MEASURES
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.stopping import LEAST_RATE
from fastmlp.settings import TrainSettings


def _loss(measures: np.ndarray, _spread: np.ndarray) -> np.ndarray:
    return -measures[:, 0]


def _accuracy(measures: np.ndarray, _spread: np.ndarray) -> np.ndarray:
    return measures[:, 1]


def _r2(measures: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The mean over the outputs of 1 − Σ (o − t)² / Σ (t − t̄)², as scikit-learn's r2_score."""
    total = np.zeros_like(measures[:, 0])
    for k, of_output in enumerate(spread):
        errors = measures[:, N_MEASURES + k]
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = 1.0 - errors / of_output
        total += np.where(of_output == 0, np.where(errors == 0, 1.0, 0.0), explained)
    return total / len(spread)


# Each maps measures (T, N_MEASURES + 2 n_out, W) of `measure_tiles`, in float64, and the outputs' spreads to scores (T,
# W); of data of each net's own, spreads are (n_out, T, W)
SCORES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {"loss": _loss, "accuracy": _accuracy, "r2": _r2}


def curves(n_nets: int, n_records: int, dtype: np.dtype, sklearn: bool) -> np.ndarray:
    """Allocate a curve for each net: NaN, or uninitialised for the estimators, which cut them to trained epochs."""
    return np.empty((n_nets, n_records), dtype) if sklearn else np.full((n_nets, n_records), np.nan, dtype)


class Validation:
    """The validation data, and every net's scores on them.

    Higher scores are better; the score of the loss is its negative. Unless it only watches, it decides when a net stops
    and which weights it keeps.
    """

    def __init__(
        self,
        data: structs.Data,
        spread: np.ndarray,
        counts_accuracy: bool,
        settings: TrainSettings,
        n_nets: int,
        n_records: int,
        *,
        watches: bool,
        sklearn: bool,
    ) -> None:
        self.data, self._score = data, SCORES[settings.validation_score]
        self.counts_accuracy, self._spread = counts_accuracy, spread
        patience = np.inf if watches or settings.patience is None else settings.patience
        self._patience, self._tol = (np.broadcast_to(np.float64(value), n_nets) for value in (patience, settings.tol))
        self._adaptive, self._sklearn = isinstance(settings.schedule, str) and not watches, sklearn
        self.restore, self.decides = settings.restore_best and not watches, not watches
        n_parameters = settings.architecture.n_parameters
        self.best_score = np.full(n_nets, -np.inf)
        self.best_epoch = np.zeros(n_nets, np.int64)
        self.best_parameters = np.zeros((n_nets if self.restore else 0, n_parameters), settings.dtype)
        self.history, self.losses = (curves(n_nets, n_records, np.dtype(np.float64), sklearn) for _ in range(2))
        self.waited = np.zeros(n_nets)

    def judge(
        self,
        tiles: TileArrays,
        measures: np.ndarray,
        epoch: int,
        record: int | None,
        at_end: bool,
        results: structs.Results,
        keep: Callable[[np.ndarray], None],
    ) -> None:
        """Score the nets after `epoch` epochs; stop those that have run out of patience.

        `record` is the position of the scores in the curves, None if this epoch is not recorded. `at_end` says that
        this is the last epoch of a full-batch job, after which the kernel has measured the nets once more than usual.
        `keep` copies the weights of the lanes in a mask (T, W) to `best_parameters`.
        """
        result_index, active = tiles.result_index[: tiles.count], tiles.stop_state[: tiles.count, structs.ACTIVE]
        # a net is scored after its last epoch too, even if the last measurement ended it
        ended = (results.status[result_index] == structs.RAN_ALL_EPOCHS) | (
            at_end & (results.epochs[result_index] == epoch)
        )
        training = (result_index >= 0) & ((active != 0) | ended)
        nets = result_index[training]
        spread = self._spread if self._spread.ndim == 1 else self._spread[result_index].transpose(2, 0, 1)
        scores = self._score(measures.astype(np.float64), spread)[training]
        if record is not None:
            self.history[nets, record] = scores
            self.losses[nets, record] = measures[:, 0][training]
        best, tol = self.best_score[nets], self._tol[nets]
        better = scores > best
        improved = ~(scores < best + tol) if self._sklearn else better & (scores >= best + tol)
        waited = np.where(improved, 0.0, self.waited[nets] + 1)
        self.best_score[nets[better]] = scores[better]
        self.best_epoch[nets[better]] = epoch
        if self.restore and better.any():
            keep(_among(training, better))
        stalled = waited >= self._patience[nets]
        if self._adaptive:
            rates = tiles.hyper[: tiles.count, optimizers.GIVEN_RATE]
            slower = stalled & (rates[training] > LEAST_RATE)
            rates[_among(training, slower)] /= rates.dtype.type(5)
            waited[slower] = 0
            stalled &= ~slower
        self.waited[nets] = waited
        stopping = _among(training, stalled) & (active != 0)
        active[stopping] = 0
        results.status[result_index[stopping]], results.epochs[result_index[stopping]] = structs.STALLED, epoch


def _among(mask: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The mask of those entries of a mask that are `chosen`."""
    result = mask.copy()
    result[mask] = chosen
    return result


def spread_of(targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Each output's weighted sum of squared differences of the targets (S, n_out) from their mean.

    0 if all targets of an output are equal up to rounding.
    """
    weight = np.ones(len(targets)) if weights is None else weights.astype(np.float64)
    spread, total = [], fsum(weight)
    for output in (column.astype(np.float64) for column in targets.T):
        counted = output[weight > 0]
        mean = fsum(weight * output) / total
        rounding = 4 * np.finfo(np.float64).eps * np.abs(counted).max()
        varies = np.ptp(counted) > rounding
        spread.append(fsum(weight * (output - mean) ** 2) if varies else 0.0)
    return np.array(spread)
