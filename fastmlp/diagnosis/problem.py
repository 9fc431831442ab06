"""The problem that nets were trained for: samples, targets, when a net is solved, and scores.

"Solved" is defined here. For classes: every sample on its target's side of 1/2 (softmax: the right class). For numbers:
each output's loss exceeds the least possible loss by at most a hundredth of what a constant guess does.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.predict import predict
from fastmlp._engine.trained_nets import TrainedNets
from fastmlp._engine.unit_statistics import UnitStatistics, inspected
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import Loss
from fastmlp.architecture import Architecture
from fastmlp.settings import TrainSettings

# for targets that are not classes: the share of their variance that may remain
SOLVED_SHARE = 0.01
LEAST_SCORED = 20  # samples; of fewer, whether all are right says more than the accuracy
NO_SCORE = -1e9  # the least R², which diverged nets get; their accuracy is 0
SCORE_GAIN = 0.02  # a gain in a median accuracy or R² that is worth a change
NUMBERS_AT_ONCE = 2**22  # outputs worked on together


class Problem(NamedTuple):
    """A problem that nets were trained for."""

    architecture: Architecture
    loss: Loss
    samples: np.ndarray  # (S, n_in), in the nets' dtype
    targets: np.ndarray  # (S, n_out), in the nets' dtype
    exact_samples: np.ndarray  # (S, n_in) float64, before rounding
    exact_targets: np.ndarray  # (S, n_out) float64
    classes: bool  # targets are 0 and 1
    solved_loss: float | None
    class_numbers: bool  # y holds the classes' numbers, not a row of targets for each sample
    best_possible: float = 1.0  # best possible accuracy or R²: below 1 if equal inputs have different targets

    @property
    def constant_targets(self) -> bool:
        """Whether all samples have the same targets."""
        return bool((self.exact_targets == self.exact_targets[0]).all())

    @property
    def score_name(self) -> str:
        """The name of `score_of`."""
        return "Accuracy" if self.classes else "R²" if self.loss == Loss.MSE else "D²"


def looked_at(nets: TrainedNets, problem: Problem, loss: str, threads: int | None) -> UnitStatistics:
    """Unit statistics of the nets, with the loss of each output if there are several numeric ones."""
    stats = inspected(nets.architecture, loss, nets.parameters, problem.samples, problem.targets, threads)
    n_out = problem.targets.shape[1]
    if n_out == 1 or problem.classes or problem.loss != Loss.MSE or problem.solved_loss is not None:
        return stats
    losses = np.empty((len(nets), n_out))
    block = max(1, NUMBERS_AT_ONCE // problem.targets.size)
    for first in range(0, len(nets), block):
        some = nets[first : first + block]
        outputs = predict(some.architecture, some.parameters, problem.samples, threads=threads).astype(np.float64)
        with np.errstate(all="ignore"):
            losses[first : first + block] = ((outputs - problem.targets) ** 2).mean(axis=1)
    return stats._replace(output_loss=losses)


def limit_of_solved(settings: TrainSettings, y: Any, solved_loss: Any) -> float:
    """The loss up to which a net is solved; NaN if every sample must be on the right side."""
    if solved_loss is not None:
        limit = checks.bounded("solved_loss", solved_loss, 1, 0.0)
        if not isinstance(limit, float):
            raise ValueError(f"solved_loss={solved_loss!r}: needs one number")
        return limit
    targets = checks.real_array("y", y).astype(np.float64)
    if checks.counts_accuracy(targets) or settings.architecture.output == "softmax":
        return np.nan
    loss = Loss[settings.loss_name.upper()]
    of_numbers = solved_limit(loss, targets.reshape(len(targets), -1), classes=False)
    return np.nan if of_numbers is None else of_numbers


def solved_limit(loss: Loss, targets: np.ndarray, classes: bool, solved_loss: float | None = None) -> float | None:
    """The mean loss that counts as solved; None where every sample must be on the right side."""
    if solved_loss is not None or classes:
        return solved_loss
    least, spread = least_and_spread(loss, targets)
    return float(np.mean(least + SOLVED_SHARE * spread))


def least_and_spread(loss: Loss, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least possible mean loss of each output, (n_out,), and how much more the best constant guess loses.

    The least cross-entropy with targets between 0 and 1 is their entropy. If all targets are equal, a guess of 0 is
    the constant.
    """
    t = targets.astype(np.float64)
    mean = t.mean(axis=0)
    if loss == Loss.BCE:
        least, constant = entropy(t).mean(axis=0), entropy(mean)
    elif loss == Loss.POISSON:
        least = np.zeros(t.shape[1])
        constant = _times_log(t, t).mean(axis=0) - _times_log(mean, mean)
    else:
        least, constant = np.zeros(t.shape[1]), t.var(axis=0)
    spread = np.maximum(constant - least, 0.0)
    size = (t**2).mean(axis=0)
    same = (t == t[0]).all(axis=0)
    return least, np.where(same, np.where(size > 0, size, 1.0), np.maximum(spread, 1e-300))


def mean_losses(loss: Loss, guess: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The mean loss of each output, (n_out,), for guesses and targets (S, n_out)."""
    if loss == Loss.MSE:
        return np.asarray(((guess - targets) ** 2).mean(axis=0))
    if loss == Loss.POISSON:
        each = guess - targets + _times_log(targets, targets) - _times_log(targets, np.maximum(guess, 1e-300))
        return np.asarray(each.mean(axis=0))
    inside = np.clip(guess, 1e-16, 1 - 1e-16)
    return np.asarray((-targets * np.log(inside) - (1 - targets) * np.log1p(-inside)).mean(axis=0))


def _times_log(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a log b, and 0 where a is 0."""
    return np.asarray(np.where(a > 0, a * np.log(np.where(a > 0, b, 1.0)), 0.0))


def entropy(p: np.ndarray) -> np.ndarray:
    return -_times_log(p, p) - _times_log(1 - p, 1 - p)


def limit_of(problem: Problem) -> float | None:
    """The mean loss that counts as solved; None where every sample must be on the right side."""
    return solved_limit(problem.loss, problem.targets, problem.classes, problem.solved_loss)


def every_output_solved(output_loss: np.ndarray, loss: Loss, targets: np.ndarray) -> np.ndarray:
    """Which nets are solved in every output, (n,), from the losses of their outputs (n, n_out)."""
    least, spread = least_and_spread(loss, targets)
    return np.asarray((output_loss <= least + SOLVED_SHARE * spread).all(axis=1))


def solved(stats: UnitStatistics, problem: Problem) -> np.ndarray:
    """Which nets are solved, (n,)."""
    if stats.output_loss is not None:
        return every_output_solved(stats.output_loss, problem.loss, problem.targets)
    limit = limit_of(problem)
    return np.asarray(stats.right == 1 if limit is None else stats.loss <= limit)


def judged_by_score(problem: Problem) -> bool:
    """Whether there are enough samples for a meaningful score."""
    return len(problem.samples) >= LEAST_SCORED and not problem.constant_targets


def score_of(stats: UnitStatistics, problem: Problem, diverged: np.ndarray | bool = False) -> np.ndarray:
    """Each net's accuracy, (n,); if targets are not classes its R², or D², the share of the deviance explained.

    With several outputs it is the mean of theirs.
    """
    if problem.classes:
        return np.asarray(np.where(np.isfinite(stats.right) & ~np.asarray(diverged), stats.right, 0.0))
    least, spread = least_and_spread(problem.loss, problem.targets)
    with np.errstate(all="ignore"):
        if stats.output_loss is not None:
            score = np.mean(1.0 - (stats.output_loss - least) / spread, axis=1)
        else:
            score = 1.0 - (stats.loss.astype(np.float64) - least.mean()) / spread.mean()
    fine = np.isfinite(score) & ~np.asarray(diverged)
    return np.asarray(np.where(fine, np.maximum(score, NO_SCORE), NO_SCORE))


def clear_gain(n_samples: int) -> float:
    """The least difference of two scores that counts: a standard deviation, or `SCORE_GAIN` if that is more.

    Of an accuracy of 1/2 the standard deviation is 1 / (2 √n).
    """
    return max(SCORE_GAIN, 0.5 / n_samples**0.5)


def cannot_be_solved(problem: Problem) -> bool:
    """Whether no net can be solved, because equal inputs have different targets."""
    limit = limit_of(problem)
    if limit is None:
        return problem.best_possible < 1
    if problem.loss != Loss.MSE:
        return False
    return (1 - problem.best_possible) * float(np.mean(problem.targets.astype(np.float64).var(axis=0))) > limit


def distances(outputs: np.ndarray, targets: np.ndarray, output: Activation) -> np.ndarray:
    """Distance of each sample's worst output from 1/2, on its target's side; for softmax, from the next class.

    For outputs (n, S, n_out) and targets (S, n_out) of 0 and 1; distances are (n, S), negative on the wrong side.
    """
    if output == Activation.SOFTMAX:
        own = np.where(targets > 0.5, outputs, 0.0).sum(axis=2)
        return np.asarray(own - np.where(targets > 0.5, -np.inf, outputs).max(axis=2))
    return np.asarray(((outputs - 0.5) * np.sign(targets - 0.5)).min(axis=2))
