"""Comparisons: SciPy's intervals, their coverage, pairs, and how many seeds are needed."""

import numpy as np
import pytest

pytest.importorskip("scipy", minversion="1.15")
from scipy import stats

import fastmlp
from fastmlp.comparison import STATISTICS

RNG = np.random.default_rng(0)
A, B = RNG.normal(1.0, 1.0, (3, 20)), RNG.normal(0.0, 2.0, (3, 20))


def test_statistics_are_those_of_scipy():
    for n in (3, 4, 5, 6, 7, 8, 50, 101):
        values = RNG.normal(size=(2, n))
        np.testing.assert_allclose(
            STATISTICS["interquartile mean"](values, axis=1), stats.trim_mean(values, 0.25, axis=1)
        )


def test_intervals_of_one_fold_are_those_of_scipy():
    found = fastmlp.compare(A[0], B[0], seed=4, n_resamples=999, paired=True)
    for values, interval in (
        (A[0], found.scores[0]["mean"]),
        (B[0], found.scores[1]["mean"]),
        (A[0] - B[0], found.difference["mean"]),
    ):
        expected = stats.bootstrap((values,), np.mean, n_resamples=999, rng=np.random.default_rng(4))
        assert interval[1:] == pytest.approx(tuple(expected.confidence_interval), rel=1e-12)
        assert interval.estimate == pytest.approx(values.mean())
    unpaired = fastmlp.compare(A[0], B[0], paired=False)
    assert unpaired.difference["median"].estimate == pytest.approx(np.median(A[0]) - np.median(B[0]))
    u = stats.mannwhitneyu(A[0], B[0]).statistic
    assert unpaired.share_better.estimate == pytest.approx(u / (20 * 20))


@pytest.mark.slow
def test_intervals_cover_the_truth():
    rng = np.random.default_rng(1)
    inside = [
        interval.low <= 0.5 <= interval.high
        for interval in (
            fastmlp.compare(rng.normal(0.5, 1, (2, 15)), rng.normal(0, 1, (2, 15)), n_resamples=499).difference["mean"]
            for _ in range(400)
        )
    ]
    assert 0.9 <= np.mean(inside) <= 0.98


def test_pairs_see_what_scores_alone_do_not():
    hard = RNG.normal(0, 5, (2, 30))  # seeds and folds differ more than the two kinds of nets
    better = hard + 0.3 + RNG.normal(0, 0.2, hard.shape)
    paired, alone = fastmlp.compare(better, hard), fastmlp.compare(better, hard, paired=False)
    assert paired.paired
    assert paired.difference["mean"].low > 0 > alone.difference["mean"].low
    assert "a is better than b: in 9" in str(paired)
    assert "it is open whether a or b is better" in str(alone)
    assert paired.seeds_needed() < alone.seeds_needed()


def test_seeds_needed_are_those_of_a_test_of_that_power():
    rng, n_folds = np.random.default_rng(2), 2
    found = fastmlp.compare(rng.normal(0.5, 1, (n_folds, 500)), np.zeros((n_folds, 500)), n_resamples=199)
    n = found.seeds_needed(0.5, power=0.9)
    assert n == pytest.approx((1.96 + 1.2816) ** 2 / 0.5**2 / n_folds, rel=0.15)
    seen = [
        abs(own.mean()) > 1.96 * own.std(ddof=1) / np.sqrt(own.size) for own in rng.normal(0.5, 1, (2000, n * n_folds))
    ]
    assert np.mean(seen) == pytest.approx(0.9, abs=0.04)


def test_losses_and_names():
    found = fastmlp.compare(B[0] + 9, A[0], names=("old", "new"), higher_is_better=False)
    assert "new is better than old" in str(found)
    assert found.share_better.estimate < 0.1
    assert repr(found).startswith("Comparison(old - new: ")


def test_scores_that_are_not_numbers_are_left_out():
    a, b = A.copy(), B.copy()
    a[0, 3], b[0, 3], b[2, 5] = np.nan, np.inf, np.nan
    found = fastmlp.compare(a, b)
    assert found.left_out == (1, 2)
    assert "Left out because they are not numbers: 1 of a and 2 of b." in str(found)
    keep = np.isfinite(a) & np.isfinite(b)
    assert found.difference["mean"].estimate == pytest.approx((a - b)[keep].mean())
    with pytest.raises(ValueError, match="a fold has 2 scores that are numbers"):
        fastmlp.compare([1, 2, np.nan], [1, 2, 3])


def test_equal_scores_have_no_width():
    found = fastmlp.compare(np.ones(5), np.ones(5))
    assert found.difference["mean"] == (0, 0, 0)
    assert found.share_better.estimate == 0.5
    assert "it is open" in str(found)
    with pytest.raises(ValueError, match="needs a number other than 0"):
        found.seeds_needed()
    assert fastmlp.compare(np.ones(5), np.zeros(5)).share_better == (1, 1, 1)


def test_cross_validations_and_pictures():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    X, y = RNG.normal(size=(60, 2)), RNG.integers(0, 2, 60)
    one, other = (
        fastmlp.cross_validate(fastmlp.Architecture((2, n, 1)), X, y, cv=3, n_seeds=6, epochs=20) for n in (2, 8)
    )
    found = fastmlp.compare(one, other, metric="loss")
    assert not found.higher_is_better
    assert "may be too narrow" in str(found)
    elsewhere = fastmlp.cross_validate(fastmlp.Architecture((2, 2, 1)), X, y, cv=3, n_seeds=6, epochs=1, seed=1)
    assert not fastmlp.compare(one, elsewhere).paired
    with pytest.raises(ValueError, match="different folds or seeds"):
        fastmlp.compare(one, elsewhere, paired=True)
    assert (found.n_folds, found.n_seeds) == (3, (6, 6))
    assert found.difference["mean"].estimate == pytest.approx((one.scores["loss"] - other.scores["loss"]).mean())
    assert [text.get_text() for text in found.plot.intervals().get_yticklabels()] == [*STATISTICS]
    assert len(found.plot.difference().lines) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b": [1, 2]}, "a fold has 2 scores"),
        ({"b": np.ones((2, 5))}, "a has 1 folds, b 2"),
        ({"b": np.ones(4), "paired": True}, r"a has shape \(1, 5\), b \(1, 4\)"),
        ({"b": np.ones((1, 2, 3))}, "needs"),
        ({"b": "x"}, "b"),
        ({"metric": "loss"}, "a is an array"),
        ({"confidence": 2}, "confidence=2"),
        ({"n_resamples": 3}, "n_resamples=3"),
        ({"names": "ab"}, "needs two texts"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.compare(**{"a": np.arange(5.0), "b": np.ones(5), **arguments})
