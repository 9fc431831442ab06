"""Learning curves and permutation tests: the scores of separate calls, from common runs."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import fastmlp
from tests.support.data import bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
CLASSES, NUMBERS = RNG.integers(0, 3, 90), X[:, 0] * 2 + RNG.normal(size=90)
SOFTMAX = fastmlp.Architecture((3, 5, 3), output="softmax")
LINE = fastmlp.Architecture((3, 4, 1), output="identity")
WEIGHTS = RNG.random(90) + 0.1
CASES = {
    "softmax": (SOFTMAX, CLASSES, {"metrics": ["loss", "accuracy"], "batch_size": 16}),
    "numbers": (LINE, NUMBERS, {"sample_weight": WEIGHTS, "l2": np.linspace(0, 0.1, 3), "dtype": "float64"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("executor", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_point_of_a_curve_is_that_of_a_call(case, executor):
    arch, y, settings = CASES[case]
    settings = {"epochs": 8, "seed": 3, **settings}
    metrics, weights = settings.pop("metrics", ["loss", "r2"]), settings.pop("sample_weight", None)
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    given = {"cv": folds, "train_sizes": [10, 25, 60], "n_seeds": 3, "shuffle_samples": False, "metrics": metrics}
    if executor:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            curve = fastmlp.learning_curve(arch, X, y, sample_weight=weights, executor=pool, **given, **settings)
    else:
        curve = fastmlp.learning_curve(arch, X, y, sample_weight=weights, **given, **settings)
    assert curve.train_sizes.tolist() == [10, 25, 60]
    for k, size in enumerate((10, 25, 60)):
        for fold, (whole, held) in enumerate(folds):
            rows = whole[:size]
            own, others = (None, None) if weights is None else (weights[rows], weights[held])
            runs = fastmlp.train(arch, X[rows], y[rows], n_nets=3, sample_weight=own, **settings)
            for name, values in runs.evaluate(X[held], y[held], sample_weight=others, metrics=metrics).items():
                assert bits(curve.scores[name][k, fold]) == bits(values)
            for name, values in runs.evaluate(X[rows], y[rows], sample_weight=own, metrics=metrics).items():
                assert bits(curve.train_scores[name][k, fold]) == bits(values)


def test_a_part_of_a_fold_without_a_class_has_no_area():
    y = np.r_[np.zeros(20), RNG.integers(0, 2, 70)].astype(int)
    curve = fastmlp.learning_curve(
        fastmlp.Architecture((3, 4, 1)),
        X,
        y,
        cv=[(np.arange(60), np.arange(60, 90))],
        train_sizes=[5, 60],
        n_seeds=2,
        epochs=2,
        metrics="roc_auc",
        shuffle_samples=False,
    )
    assert np.isnan(curve.train_scores["roc_auc"]).tolist() == [[[True, True]], [[False, False]]]
    assert np.isfinite(curve.scores["roc_auc"]).all()


def test_sizes_are_those_of_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    dummy = pytest.importorskip("sklearn.dummy")
    curve = fastmlp.learning_curve(SOFTMAX, X, CLASSES, cv=4, n_seeds=2, epochs=1)
    sizes, *_ = model_selection.learning_curve(
        dummy.DummyClassifier(), X, CLASSES, cv=4, train_sizes=(0.1, 0.33, 0.55, 0.78, 1.0)
    )
    assert curve.train_sizes.tolist() == sizes.tolist()
    again = fastmlp.learning_curve(SOFTMAX, X, CLASSES, cv=4, n_seeds=2, epochs=1)
    assert bits(curve.scores["accuracy"]) == bits(again.scores["accuracy"])


def test_curves_are_tables_and_pictures():
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    pytest.importorskip("matplotlib").use("agg")
    pytest.importorskip("sklearn")
    curve = fastmlp.learning_curve(SOFTMAX, X, CLASSES, cv=3, n_seeds=2, epochs=5)
    assert len(curve.to_pandas()) == len(curve.to_polars()) == 5 * 3 * 2
    assert str(curve).splitlines()[0] == "LearningCurve(5 sizes x 3 folds x 2 seeds)"
    assert "<table" in curve._repr_html_()
    ax = curve.plot.scores()
    assert [line.get_label() for line in ax.lines] == ["held-out samples", "samples to train on"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.median(curve.scores["accuracy"], axis=(1, 2)))
    with pytest.raises(ValueError, match="metric='speed' is not known"):
        curve.plot.scores("speed")


@pytest.mark.parametrize("case", CASES)
def test_scores_of_shuffled_targets_are_those_of_calls(case):
    arch, y, settings = CASES[case]
    settings = {"epochs": 8, **settings}
    settings.pop("metrics", None)
    weights, name = settings.pop("sample_weight", None), "accuracy" if case == "softmax" else "r2"
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    found = fastmlp.permutation_test(
        arch, X, y, cv=folds, n_permutations=7, n_seeds=3, seed=5, sample_weight=weights, **settings
    )
    generator = np.random.RandomState(5)
    orders = [np.arange(90), *(generator.permutation(90) for _ in range(7))]
    expected = []
    for order in orders:
        shuffled, scores = y[order], []
        for rows, held in folds:
            own, others = (None, None) if weights is None else (weights[rows], weights[held])
            runs = fastmlp.train(arch, X[rows], shuffled[rows], n_nets=3, seed=5, sample_weight=own, **settings)
            scores += runs.evaluate(X[held], shuffled[held], sample_weight=others, metrics=name)[name].tolist()
        expected.append(np.mean(scores))
    assert [found.score, *found.permuted_scores] == pytest.approx(expected, rel=1e-9)
    assert found.p_value == (1 + sum(score >= expected[0] for score in expected[1:])) / 8


def test_a_relation_is_found_and_none_is_not(monkeypatch):
    settings = {"epochs": 60, "optimizer": fastmlp.Adam(0.05), "n_permutations": 39, "cv": 3}
    pytest.importorskip("sklearn")
    whole = fastmlp.permutation_test(LINE, X, NUMBERS, **settings)
    assert whole.p_value == 1 / 40
    assert str(whole).startswith("r2 0.")
    monkeypatch.setattr("fastmlp.cross_validation.permutation.MOST_TARGETS", 1)
    parts = fastmlp.permutation_test(LINE, X, NUMBERS, **settings)
    assert bits(parts.permuted_scores) == bits(whole.permuted_scores)
    noise = np.random.default_rng(1).normal(size=(4, 90))
    assert np.median([fastmlp.permutation_test(LINE, X, own, **settings).p_value for own in noise]) > 0.2
    by_error = fastmlp.permutation_test(LINE, X, NUMBERS, metric="mean_absolute_error", **settings)
    assert by_error.p_value == 1 / 40
    pytest.importorskip("matplotlib").use("agg")
    assert whole.plot.scores().lines[0].get_xdata()[0] == whole.score


def test_folds_from_an_iterator_and_nets_that_diverge():
    cv = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    settings = {"epochs": 20, "n_permutations": 3, "n_seeds": 2}
    listed = fastmlp.permutation_test(LINE, X, NUMBERS, cv=cv, **settings)
    assert bits(fastmlp.permutation_test(LINE, X, NUMBERS, cv=iter(cv), **settings).permuted_scores) == bits(
        listed.permuted_scores
    )
    rates = fastmlp.SGD(np.array([1e-3, 1e9]))
    one = fastmlp.permutation_test(LINE, X, NUMBERS, cv=cv, optimizer=fastmlp.SGD(1e-3), **settings | {"n_seeds": 1})
    assert fastmlp.permutation_test(LINE, X, NUMBERS, cv=cv, optimizer=rates, **settings).score == one.score


def test_targets_are_shuffled_within_groups():
    model_selection = pytest.importorskip("sklearn.model_selection")
    groups = np.arange(90) % 6
    of_group = (groups % 2).astype(float)  # which shuffling within groups does not change
    found = fastmlp.permutation_test(
        LINE, X, of_group, cv=model_selection.GroupKFold(3), groups=groups, n_permutations=5, epochs=3
    )
    assert (found.permuted_scores == found.score).all()
    assert found.p_value == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_sizes": [0]}, "numbers of samples from 1 to 60"),
        ({"train_sizes": [61]}, "from 1 to 60"),
        ({"train_sizes": [1.5]}, "above 0 and at most 1"),
        ({"train_sizes": []}, "needs a row of shares"),
        ({"train_sizes": [True]}, "numbers of samples"),
        ({"shuffle_samples": 3}, "needs True or False"),
        ({"n_nets": 3}, "learning_curve takes no n_nets"),
    ],
)
def test_wrong_curves_are_refused(settings, message):
    cv = [(np.arange(30, 90), np.arange(30))]
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.learning_curve(SOFTMAX, X, CLASSES, **{"cv": cv, "epochs": 1, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_permutations": 0}, "n_permutations=0"),
        ({"metric": "speed"}, "metric='speed' is not known"),
        ({"metric": "r2", "warm_start": 1}, "permutation_test takes no warm_start"),
        ({"y": NUMBERS, "metric": "accuracy", "architecture": LINE}, "is for classes"),
        ({"y": np.zeros(3)}, "90 samples"),
    ],
)
def test_wrong_permutation_tests_are_refused(settings, message):
    cv = [(np.arange(30, 90), np.arange(30))]
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.permutation_test(**{"architecture": SOFTMAX, "X": X, "y": CLASSES, "cv": cv, "epochs": 1, **settings})
