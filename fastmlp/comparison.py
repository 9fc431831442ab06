"""`compare`: the scores of two kinds of nets over many seeds, with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp.scoring import LOWER_IS_BETTER

if TYPE_CHECKING:
    from fastmlp.plotting import ComparisonPlots

FEWEST = 3  # scores that an interval needs
FEW = 10  # scores with which it tends to be too narrow
LARGEST_SEED = 2**32 - 1


class Interval(NamedTuple):
    """An estimate with a confidence interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4g} ({self.low:.4g} to {self.high:.4g})"


def _interquartile_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean of the middle half of the values, as `scipy.stats.trim_mean` with 0.25."""
    n = values.shape[axis]
    middle = np.take(np.sort(values, axis=axis), range(n // 4, n - n // 4), axis=axis)
    return np.asarray(middle.mean(axis=axis))


STATISTICS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "median": np.median,
    "interquartile mean": _interquartile_mean,
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of `compare`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(0.91, 0.01, 50), rng.normal(0.90, 0.01, 50)  # scores of 50 seeds each
    >>> found = fastmlp.compare(a, b, names=("new", "old"))
    >>> found.difference["mean"].low > 0, found.share_better.estimate > 0.6
    (True, True)
    """

    names: tuple[str, str]
    scores: tuple[dict[str, Interval], dict[str, Interval]]
    """For each of both, the mean, the median and the interquartile mean of its scores."""
    difference: dict[str, Interval]
    """The same of the first scores minus the second: of the paired differences, or without pairs of each other's."""
    share_better: Interval
    """The probability that a score of the first is better than one of the second, of a pair if they are paired; equal
    ones count half."""
    paired: bool
    confidence: float
    n_folds: int
    n_seeds: tuple[int, int]
    """The numbers of scores in each fold."""
    left_out: tuple[int, int]
    """Scores of both that are not numbers, such as those of nets that diverged."""
    higher_is_better: bool
    _spread: float = field(repr=False)

    def seeds_needed(self, difference: float | None = None, power: float = 0.8) -> int:
        """The number of seeds in each fold with which a difference of the means is seen.

        Parameters
        ----------
        difference : float, optional
            Default: the one that was found.
        power : float, default 0.8
            The probability that the interval leaves out 0, if the true difference is this.

        Returns
        -------
        int
            By the normal approximation: ((z(1 − α/2) + z(power)) · s / difference)², over the folds, with s the
            standard deviation of the paired differences, or without pairs the root of the sum of both variances.
        """
        norm = _scipy_stats().norm
        wanted = self.difference["mean"].estimate if difference is None else difference
        wanted = abs(float(checks.real_array("difference", wanted)))
        share = float(checks.real_array("power", power))
        if not 0 < share < 1:
            raise ValueError(f"power={power!r}: needs a number between 0 and 1")
        if not (wanted > 0 and np.isfinite(wanted)):
            raise ValueError(f"difference={wanted!r}: needs a number other than 0")
        z = norm.ppf(0.5 + self.confidence / 2) + norm.ppf(share)
        return max(2, int(np.ceil((z * self._spread / wanted) ** 2 / self.n_folds)))

    @property
    def plot(self) -> ComparisonPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import ComparisonPlots

        return ComparisonPlots(self)

    def __str__(self) -> str:
        first, second = self.names
        difference, n = self.difference["mean"], self.n_seeds
        pairs = f"{n[0] * self.n_folds:,} paired scores" if self.paired else f"{n[0]:,} and {n[1]:,} scores a fold"
        lines = [f"{pairs}, {self.n_folds} fold{'s' * (self.n_folds > 1)}, {100 * self.confidence:g}% intervals"]
        if min(n) < FEW:
            lines[0] += f"; with fewer than {FEW} scores in a fold these may be too narrow"
        if any(self.left_out):
            lost = " and ".join(f"{count:,} of {name}" for name, count in zip(self.names, self.left_out, strict=True))
            lines.append(f"Left out because they are not numbers: {lost}.")
        width = max(len(name) for name in (*self.names, "difference"))
        for name, values in (*zip(self.names, self.scores, strict=True), ("difference", self.difference)):
            shown = ", ".join(f"{statistic} {interval}" for statistic, interval in values.items())
            lines.append(f"{name:{width}}  {shown}")
        better = (difference.estimate > 0) == self.higher_is_better
        winner, loser = (first, second) if better else (second, first)
        if difference.low <= 0 <= difference.high:
            lines.append(
                f"0 is in the interval of the mean difference: it is open whether {first} or {second} is better."
            )
            if difference.estimate:
                size, seeds = abs(difference.estimate), self.seeds_needed()
                lines.append(f"To see a difference of {size:.3g}, about {seeds:,} seeds a fold would do.")
        else:
            share = self.share_better.estimate if better else 1 - self.share_better.estimate
            of = "pairs" if self.paired else "draws of one score each"
            lines.append(f"{winner} is better than {loser}: in {share:.0%} of {of}, equal scores counted half.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        first, second = self.names
        return f"Comparison({first} - {second}: {self.difference['mean']})"


def compare(
    a: Any,
    b: Any,
    *,
    metric: str | None = None,
    names: tuple[str, str] = ("a", "b"),
    paired: bool | None = None,
    higher_is_better: bool | None = None,
    confidence: float = 0.95,
    n_resamples: int = 9999,
    seed: int = 0,
) -> Comparison:
    """Compare the scores of two kinds of nets: which is better, by how much, and how sure that is.

    Needs SciPy (extra ``stats``).

    Parameters
    ----------
    a, b : array_like of shape (n_seeds,) or (n_folds, n_seeds), or CrossValidation
        Scores, such as ``runs.evaluate(X, y)["accuracy"]`` or those of `cross_validate`.
    metric : str, optional
        Which scores of a `CrossValidation`; default its last metric.
    names : tuple of two str, default ("a", "b")
        How both are called in the report.
    paired : bool, optional
        Whether scores at the same place belong together: they have the same fold and the same seed, and so the same
        order of samples. By default if the shapes are equal, and the folds and seeds of two `CrossValidation` too.
    higher_is_better : bool, optional
        False for losses and errors. By default as the metric of a `CrossValidation` has it; otherwise True.
    confidence : float, default 0.95
        Of the intervals.
    n_resamples : int, default 9999
        Of the bootstrap: within each fold, scores (or pairs) are drawn with replacement. Intervals are bias-corrected
        and accelerated (BCa), or percentiles where these do not exist. They say what other seeds would give on the same
        folds, not what other data would. With fewer than 10 scores in a fold they tend to be too narrow.
    seed : int, default 0
        For the bootstrap.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        For invalid input.

    References
    ----------
    Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 14. Agarwal et al., Deep reinforcement
    learning at the edge of the statistical precipice, NeurIPS 2021, for the interquartile mean, the stratified
    bootstrap and the probability of improvement.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> few, many = (fastmlp.train(fastmlp.Architecture((2, n, 1)), X, y, n_nets=100, optimizer=fastmlp.Adam(0.05),
    ...                            epochs=200).accuracy for n in (2, 8))
    >>> found = fastmlp.compare(many, few, names=("8 hidden units", "2 hidden units"))
    >>> found.difference["mean"].low > 0
    True
    """
    arrays = [_scores("a", a, metric), _scores("b", b, metric)]
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(f"a has {len(arrays[0])} folds, b {len(arrays[1])}: both need the same folds")
    level = checks.bounded("confidence", confidence, 1, 0.5, np.nextafter(1.0, 0.0))
    draws = checks.whole_number("n_resamples", n_resamples, 100, 10**7)
    checks.whole_number("seed", seed, 0, LARGEST_SEED)
    if not isinstance(names, (tuple, list)) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names={names!r}: needs two texts")
    same_shape = arrays[0].shape == arrays[1].shape
    if paired and not same_shape:
        raise ValueError(f"a has shape {arrays[0].shape}, b {arrays[1].shape}: paired scores need the same shape")
    if paired and not _same_folds(a, b):
        raise ValueError("a and b are of different folds or seeds: their scores are no pairs")
    pairs = same_shape and _same_folds(a, b) if paired is None else bool(paired)
    if higher_is_better is None:
        higher_is_better = _metric_of(a, metric) not in LOWER_IS_BETTER
    finite = [np.isfinite(array) for array in arrays]
    if pairs:
        finite = [finite[0] & finite[1]] * 2
    folds = [[row[ok] for row, ok in zip(array, one, strict=True)] for array, one in zip(arrays, finite, strict=True)]
    fewest = min(len(fold) for several in folds for fold in several)
    if fewest < FEWEST:
        raise ValueError(f"a fold has {fewest} scores that are numbers; an interval needs at least {FEWEST}")
    sign = 1.0 if higher_is_better else -1.0
    bootstrap = _Bootstrap(float(level), draws, seed)
    scores = [{name: bootstrap.of(of, several) for name, of in STATISTICS.items()} for several in folds]
    if pairs:
        differences = [x - y for x, y in zip(*folds, strict=True)]
        found = {name: bootstrap.of(of, differences) for name, of in STATISTICS.items()}
        better = bootstrap.of(lambda d, axis: (np.sign(sign * d) / 2 + 0.5).mean(axis=axis), differences)
        spread = np.sqrt(np.mean([fold.var(ddof=1) for fold in differences]))
    else:
        found = {name: bootstrap.of_two(of, *folds) for name, of in STATISTICS.items()}
        better = bootstrap.of_better(sign, *folds)
        spread = np.sqrt(sum(np.mean([fold.var(ddof=1) for fold in several]) for several in folds))
    lost = tuple(int((~np.isfinite(array)).sum()) for array in arrays)
    return Comparison(
        (names[0], names[1]),
        (scores[0], scores[1]),
        found,
        better,
        pairs,
        float(level),
        len(arrays[0]),
        (arrays[0].shape[1], arrays[1].shape[1]),
        (lost[0], lost[1]),
        bool(higher_is_better),
        float(spread),
    )


def _metric_of(given: Any, metric: str | None) -> str | None:
    """The name of the scores, if it is known."""
    scores = getattr(given, "scores", None)
    return metric if metric is not None or not isinstance(scores, dict) else [*scores][-1]


def _same_folds(a: Any, b: Any) -> bool:
    """Whether two cross-validations have the same folds and seeds; true for arrays, of which nothing is known."""
    folds, others = getattr(a, "folds", None), getattr(b, "folds", None)
    if folds is None or others is None:
        return True
    same = len(folds) == len(others) and getattr(a, "_seed", None) == getattr(b, "_seed", None)
    return same and all(
        np.array_equal(x, y) for pair in zip(folds, others, strict=True) for x, y in zip(*pair, strict=True)
    )


def _scores(name: str, given: Any, metric: str | None) -> np.ndarray:
    """Scores (n_folds, n_seeds) in float64."""
    if isinstance(getattr(given, "scores", None), dict):
        of = [*given.scores][-1] if metric is None else metric
        given = choose("metric", of, given.scores)
    elif metric is not None:
        raise ValueError(f"metric={metric!r} says which scores of a CrossValidation to compare; {name} is an array")
    array = checks.real_array(name, given).astype(np.float64)
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"{name} has shape {array.shape}; needs (n_seeds,) or (n_folds, n_seeds)")
    return np.atleast_2d(array)


def _scipy_stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise ImportError("compare needs SciPy 1.15 or newer: pip install 'fastmlp[stats]'") from error
    return stats


class _Bootstrap:
    """Intervals by SciPy's bootstrap, which draws from each fold by itself."""

    def __init__(self, confidence: float, n_resamples: int, seed: int) -> None:
        self._confidence, self._n_resamples, self._seed = confidence, n_resamples, seed

    def of(self, statistic: Callable[..., Any], folds: list[np.ndarray]) -> Interval:
        """The statistic of the scores of all folds."""
        return self._interval(lambda *drawn, axis: statistic(np.concatenate(drawn, axis=axis), axis=axis), folds)

    def of_two(self, statistic: Callable[..., Any], a: list[np.ndarray], b: list[np.ndarray]) -> Interval:
        """The difference of the statistics of two."""

        def difference(*drawn: np.ndarray, axis: int) -> Any:
            first, second = (np.concatenate(some, axis=axis) for some in (drawn[: len(a)], drawn[len(a) :]))
            return statistic(first, axis=axis) - statistic(second, axis=axis)

        return self._interval(difference, [*a, *b])

    def of_better(self, sign: float, a: list[np.ndarray], b: list[np.ndarray]) -> Interval:
        """The mean over the folds of the share of pairs in which the first is better."""

        def share(*drawn: np.ndarray, axis: int) -> Any:
            shares = []
            for x, y in zip(drawn[: len(a)], drawn[len(a) :], strict=True):
                ordered = np.sort(sign * np.moveaxis(y, axis, -1), axis=-1)
                shares.append(_share_above(sign * np.moveaxis(x, axis, -1), ordered))
            return np.mean(shares, axis=0)

        return self._interval(share, [*a, *b])

    def _interval(self, statistic: Callable[..., Any], samples: list[np.ndarray]) -> Interval:
        stats = _scipy_stats()
        estimate = float(statistic(*samples, axis=-1))
        if all(np.ptp(sample) == 0 for sample in samples):
            return Interval(estimate, estimate, estimate)
        for method in ("BCa", "percentile"):  # the first has no answer where leaving out any score changes nothing
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = stats.bootstrap(
                    samples,
                    statistic,
                    confidence_level=self._confidence,
                    n_resamples=self._n_resamples,
                    batch=max(1, 2**22 // sum(sample.size for sample in samples)),
                    method=method,
                    axis=-1,
                    rng=np.random.default_rng(self._seed),
                ).confidence_interval
            if np.isfinite(found).all():
                break
        return Interval(estimate, float(found.low), float(found.high))


def _share_above(x: np.ndarray, y_sorted: np.ndarray) -> np.ndarray:
    """The share of pairs (x, y) with x > y, equal ones counting half, along the last axis."""
    rows_x, rows_y = np.broadcast_to(x, (*y_sorted.shape[:-1], x.shape[-1])).reshape(-1, x.shape[-1]), y_sorted
    rows_y = rows_y.reshape(-1, y_sorted.shape[-1])
    shares = [
        (np.searchsorted(below, own, "left") + np.searchsorted(below, own, "right")).mean() / (2 * len(below))
        for own, below in zip(rows_x, rows_y, strict=True)
    ]
    return np.reshape(shares, y_sorted.shape[:-1])
