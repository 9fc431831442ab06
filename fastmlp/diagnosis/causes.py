"""The rules that find why a net is stuck: one cause for each net, from statistics of its units.

The first rule of `certain_causes` that holds decides. Causes that training can never mend come before others, and what
puts a net on a plateau comes before the plateau.
"""

from __future__ import annotations

from enum import IntEnum
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from fastmlp._engine.unit_statistics import UnitStatistics
from fastmlp._kernels.formulas.activations import BY_CODE, Activation
from fastmlp._kernels.formulas.losses import Loss
from fastmlp.architecture import Architecture
from fastmlp.diagnosis.problem import Problem, cannot_be_solved, entropy, least_and_spread, limit_of, score_of, solved


class Cause(IntEnum):
    """Why a net is not solved.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 4, 1), bias=False)
    >>> runs = fastmlp.train(arch, X, y, n_nets=10, optimizer=fastmlp.SGD(0.5), epochs=100)
    >>> bool((runs.diagnose(X, y).causes == fastmlp.Cause.ZERO_INPUT).all())
    True
    """

    SOLVED = 0
    DIVERGED = 1
    ZERO_INPUT = 2
    SYMMETRIC = 3
    DEAD_LAYER = 4
    SATURATED = 5
    VANISHING_GRADIENT = 6
    DEAD_UNITS = 7
    PLATEAU = 8
    OVERSHOOTING = 9
    STILL_IMPROVING = 10
    LOCAL_MINIMUM = 11
    UNDECIDED = 12
    INPUT_SCALES = 13
    TARGET_RANGE = 14
    TARGET_SCALE = 15
    CONFLICTING_TARGETS = 16


# A first layer whose gradients are a thousandth of the output layer's needs a thousand times as many epochs: hundreds
# of thousands where the other layers need hundreds.
VANISHING_BELOW = 1e-3
# Outputs on a plateau are within a few hundredths of its values and move slowly; 1/2 and 1/3 are 0.17 apart.
NEAR = 0.07
# A sample counts as learnt if its output is within this of its target; on a plateau the others are 1/3 away.
LEARNT_WITHIN = 0.2
ZEROS = 999  # in a plateau's key, in place of the number of ones: samples of zeros whose output no training changes
MOST_GROUPED = 64  # samples; in larger data only the plateau of all samples is recognised
# Training works best with inputs and targets near 0 and 1. With a column this far away, or with this ratio between the
# spreads of columns, some steps are too long and others too short.
FAR = 10.0
TIMES_AS_SPREAD = 100.0
LITTLE_SPREAD = 0.03
AS_GOOD = 1e-3  # a net whose accuracy or R² is this close to the best possible one has reached it
HAIR = 0.01  # a net whose worst sample is closer to 1/2 than this is only just solved
# More epochs are worthwhile if as many again would lower the loss by at least a tenth.
WORTHWHILE = 0.1
LEAST_HORIZON = 100  # epochs
# The loss overshoots if at least a third of its total change is upwards, and at least a hundredth of its height:
# with a good learning rate, rounding and minibatches cause less.
RISES = 0.3
ROUGH = 0.01
# and if the same net, trained with a tenth of the learning rate, ends clearly lower
CALMER_BELOW = 0.95


class Plateau(NamedTuple):
    """A set of outputs that many nets get stuck at."""

    n_samples: int
    """The number of samples with the same output."""
    value: float
    """That output, which is their mean target."""
    loss: float
    name: str


def keeps_zero(architecture: Architecture) -> bool:
    """Whether an input of zeros gives weighted sums of zero in every layer, for any weights."""
    hidden = [BY_CODE[code] for code in architecture.activations[:-1]]
    return not architecture.bias and all(record.in_numpy(np.zeros(1), 0.0)[0] == 0 for record in hidden)


def never_solved_at_zero(problem: Problem) -> bool:
    """Whether a sample of zeros has a wrong output that no training can change."""
    if not keeps_zero(problem.architecture):
        return False
    zero = ~problem.samples.any(axis=1)
    targets = problem.targets[zero].astype(np.float64)
    if not len(targets):
        return False
    code, n_out = problem.architecture.activations[-1], problem.architecture.sizes[-1]
    output = {Activation.SIGMOID: 0.5, Activation.SOFTMAX: 1 / n_out, Activation.EXP: 1.0}.get(code, 0.0)
    limit = limit_of(problem)
    if limit is None:  # 1/2 is on neither side, and equal probabilities do not decide between classes
        return bool(((output - 0.5) * (targets - 0.5) <= 0).any())
    if problem.loss == Loss.MSE:
        least = ((output - targets) ** 2).mean(axis=1)
    elif problem.loss == Loss.POISSON:
        least = (output - targets + targets * np.log(np.maximum(targets, 1e-300) / output)).mean(axis=1)
    elif problem.loss == Loss.BCE:
        least = np.log(2) - entropy(targets).mean(axis=1)  # beyond the other samples' least loss
    else:
        least = np.full(len(targets), np.log(n_out))
    return float(least.sum()) / len(problem.samples) > limit - float(
        least_and_spread(problem.loss, problem.targets)[0].mean()
    )


def badly_scaled_inputs(problem: Problem) -> bool:
    """Whether inputs are far from 0 and 1, or their columns have very different spreads."""
    samples = problem.exact_samples
    spread = samples.std(axis=0)
    spread = spread[spread > 0]
    if not len(spread):
        return False
    size = np.sqrt((samples**2).mean(axis=0))
    return bool(size.max() > FAR or spread.max() > TIMES_AS_SPREAD * spread.min() or size.max() < LITTLE_SPREAD)


def badly_scaled_targets(problem: Problem) -> bool:
    """Whether targets that are not classes are far from 0 and 1, or have too large or too small a spread."""
    if problem.classes or problem.loss != Loss.MSE or problem.constant_targets:
        return False
    spread = problem.exact_targets.std(axis=0)
    spread = spread[spread > 0]
    size = np.sqrt((problem.exact_targets**2).mean(axis=0))
    return bool(size.max() > FAR or spread.min() < LITTLE_SPREAD)


def least_loss(problem: Problem) -> float:
    """The least squared error with this output activation: above 0 if it cannot give some of the targets."""
    low, high = {Activation.SIGMOID: (0.0, 1.0), Activation.SOFTMAX: (0.0, 1.0), Activation.RELU: (0.0, np.inf)}.get(
        problem.architecture.activations[-1], (-np.inf, np.inf)
    )
    if problem.loss != Loss.MSE:
        return 0.0
    targets = problem.targets.astype(np.float64)
    return float((np.maximum(np.maximum(low - targets, targets - high), 0.0) ** 2).mean())


def targets_out_of_range(problem: Problem) -> bool:
    """Whether no net can be solved, because the output cannot give some of the targets."""
    limit = limit_of(problem)
    return limit is not None and least_loss(problem) > limit


def certain_causes(
    stats: UnitStatistics, problem: Problem, diverged: np.ndarray, learnt_some: np.ndarray
) -> np.ndarray:
    """The cause of each net that its present state shows, (n,) of `Cause`; −1 if none does.

    If a net has `learnt_some` of the samples, gradients did reach its first layer.
    """
    architecture = problem.architecture
    cause = np.full(len(stats.loss), -1, np.int8)

    def mark(which: np.ndarray, label: Cause) -> None:
        cause[which & (cause < 0)] = label

    broken = diverged | ~np.isfinite(stats.loss)
    mark(~broken & solved(stats, problem), Cause.SOLVED)
    if cannot_be_solved(problem):
        mark(~broken & (score_of(stats, problem) >= problem.best_possible - AS_GOOD), Cause.CONFLICTING_TARGETS)
    if targets_out_of_range(problem):
        mark(np.ones(len(cause), bool), Cause.TARGET_RANGE)
    if never_solved_at_zero(problem):
        mark(np.ones(len(cause), bool), Cause.ZERO_INPUT)
    widths = np.array(architecture.sizes[1:])
    hidden = widths[:-1]
    mark(((stats.distinct == 1) & (hidden > 1)).any(axis=1) & ~broken, Cause.SYMMETRIC)
    if badly_scaled_inputs(problem):
        mark(np.ones(len(cause), bool), Cause.INPUT_SCALES)
    if badly_scaled_targets(problem):
        mark(np.ones(len(cause), bool), Cause.TARGET_SCALE)
    mark(broken, Cause.DIVERGED)
    mark((stats.silent == widths).any(axis=1), Cause.DEAD_LAYER)
    saturates = np.array([BY_CODE[code].saturates for code in architecture.activations[:-1]], bool)
    asleep = ((stats.saturated[:, :-1] == hidden) & saturates).any(axis=1)
    if problem.loss == Loss.MSE:  # with cross-entropy a wrong output passes its whole error down, even when saturated
        asleep |= stats.saturated[:, -1] > 0
    mark(asleep, Cause.SATURATED)
    if architecture.n_layers > 1:
        with np.errstate(invalid="ignore"):
            small = stats.gradient[:, 0] < VANISHING_BELOW * stats.gradient[:, -1]
        mark(small & ~learnt_some, Cause.VANISHING_GRADIENT)
    # a single living unit passes on only one direction of its inputs
    mark(
        ((hidden - stats.silent[:, :-1] <= 1) & (hidden > 1) & (stats.silent[:, :-1] > 0)).any(axis=1), Cause.DEAD_UNITS
    )
    return cause


def mostly_dead(stats: UnitStatistics, architecture: Architecture) -> np.ndarray:
    """Whether at least half of a hidden layer's units are dead: the cause for a net that is on no plateau."""
    hidden = np.array(architecture.sizes[1:-1])
    return np.asarray(((2 * stats.silent[:, :-1] >= hidden) & (stats.silent[:, :-1] > 0)).any(axis=1))


def has_groups(problem: Problem) -> bool:
    """Whether plateaus are searched sample by sample: for few samples of two classes."""
    return (
        problem.classes and len(problem.samples) <= MOST_GROUPED and _binary(problem.targets[None], problem) is not None
    )


def _binary(outputs: np.ndarray, problem: Problem) -> np.ndarray | None:
    """Outputs (n, S) of class 1; None if there are more than two classes."""
    targets = problem.targets
    if targets.shape[1] == 1 or (targets.shape[1] == 2 and (targets.sum(axis=1) == 1).all()):
        return outputs[:, :, -1]
    return None


def plateaus_of(outputs: np.ndarray, problem: Problem) -> tuple[np.ndarray, list[Plateau]]:
    """Find the plateaus of nets with these outputs (n, S, n_out) for few samples.

    Returns each net's plateau, −1 for none, and the plateaus.
    """
    return named_plateaus(plateau_keys(outputs, problem), problem)


def plateau_keys(outputs: np.ndarray, problem: Problem) -> np.ndarray:
    """Key of the plateau of each net's outputs (n, S, n_out): 1,000 times its samples plus those of class 1; or −1.

    On a plateau some samples have the same output, the mean of their targets, which is the single value of least loss,
    and all other samples are learnt.
    """
    o, t = _binary(outputs, problem), problem.targets[:, -1]
    assert o is not None
    with np.errstate(invalid="ignore"):
        missed = np.abs(o - t) >= LEARNT_WITHIN
        count = missed.sum(axis=1)
        value = np.where(missed, o, 0).sum(axis=1) / np.maximum(count, 1)
        grouped = np.abs(o - value[:, None]) <= NEAR
        size = grouped.sum(axis=1)
        ones = (grouped * t).sum(axis=1).astype(int)
        on_one = (count > 0) & (missed <= grouped).all(axis=1) & (ones > 0) & (ones < size)
        on_one &= np.abs(value - ones / np.maximum(size, 1)) <= NEAR
    keys = np.where(on_one, size * 1000 + ones, -1)
    zero = ~problem.samples.any(axis=1)
    if keeps_zero(problem.architecture) and zero.any():  # no training changes these outputs
        with np.errstate(invalid="ignore"):
            alone = (missed == zero).all(axis=1) & (np.abs(o[:, zero] - 0.5) <= NEAR).all(axis=1)
        keys[alone & (keys < 0)] = int(zero.sum()) * 1000 + ZEROS
    return keys


def named_plateaus(keys: np.ndarray, problem: Problem) -> tuple[np.ndarray, list[Plateau]]:
    """Number the plateaus by these keys, the most frequent first; returns each net's, −1 for none, and the plateaus."""
    plateau = np.full(len(keys), -1, np.int16)
    found, counts = np.unique(keys[keys >= 0], return_counts=True)
    names = []
    for number, key in enumerate(found[np.argsort(-counts, kind="stable")]):
        size, ones = int(key) // 1000, int(key) % 1000
        names.append(_plateau(size, ones, len(problem.targets), problem.loss))
        plateau[keys == key] = number
    return plateau, names


def _plateau(size: int, ones: int, n_samples: int, loss: Loss) -> Plateau:
    p = 0.5 if ones == ZEROS else ones / size
    each = p * (1 - p) if loss == Loss.MSE else -p * np.log(p) - (1 - p) * np.log1p(-p)
    at = size * float(each) / n_samples
    which = "all" if size == n_samples else f"{size} of {n_samples}"
    if ones == ZEROS:
        return Plateau(size, p, at, f"{at:.4f}: {which} samples at 1/2, what zeros give without biases")
    return Plateau(size, p, at, f"{at:.4f}: {which} samples at {Fraction(ones, size)}")


def on_constant(stats: UnitStatistics, problem: Problem) -> tuple[np.ndarray, Plateau]:
    """Which nets give every sample the mean of the targets; and that plateau."""
    means = problem.targets.astype(np.float64).mean(axis=0)
    scale = 1.0 if problem.classes else max(float(problem.targets.std(axis=0).max()), 1e-300)
    with np.errstate(invalid="ignore"):
        flat = (stats.high - stats.low <= NEAR * scale).all(axis=1)
        flat &= (np.abs((stats.high + stats.low) / 2 - means) <= NEAR * scale).all(axis=1)
    if problem.loss == Loss.MSE:
        at = float(np.mean(problem.targets.var(axis=0)))
    elif problem.loss == Loss.BCE:
        inside = np.clip(means, 1e-16, 1 - 1e-16)
        at = float(np.mean(-means * np.log(inside) - (1 - means) * np.log1p(-inside)))
    elif problem.loss == Loss.CROSS_ENTROPY:
        at = float(-(means[means > 0] * np.log(means[means > 0])).sum())
    else:
        at = float("nan")
    name = f"{at:.4f}: every output at the mean of the targets"
    return flat, Plateau(len(problem.targets), float(means[0]), at, name)


def causes_of_curves(curves: np.ndarray, epochs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which nets still improve and which overshoot, from their losses over K further epochs, (n, K + 1)."""
    first = curves[:, 0]
    with np.errstate(invalid="ignore", over="ignore"):
        steps = np.diff(curves, axis=1)
        rises, falls = np.maximum(steps, 0).sum(axis=1), np.maximum(-steps, 0).sum(axis=1)
        rough = (rises >= RISES * falls) & (rises >= ROUGH * np.maximum(first, 1e-300))
        rough |= ~np.isfinite(curves).all(axis=1)
        horizon = np.maximum(epochs, LEAST_HORIZON)
        falling = (first - curves[:, -1]) * horizon / steps.shape[1] >= WORTHWHILE * first
    return falling, rough
