"""Cross-validation: every net has the bits of a call on its fold's samples, and scikit-learn's folds and scores."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import fastmlp
from tests.support.data import bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
CLASSES = RNG.integers(0, 3, 90)
SOFTMAX = fastmlp.Architecture((3, 5, 3), output="softmax")
BINARY, NUMBERS = fastmlp.Architecture((3, 5, 1)), fastmlp.Architecture((3, 5, 2), output="identity")
WEIGHTS = RNG.random(90)
CASES = {
    "softmax": (SOFTMAX, CLASSES, {"batch_size": 16, "metrics": ["loss", "accuracy", "roc_auc"]}),
    "sigmoid": (BINARY, (X[:, 0] > 0).astype(int), {"sample_weight": WEIGHTS, "metrics": "balanced_accuracy"}),
    "numbers": (NUMBERS, RNG.normal(size=(90, 2)), {"dtype": "float64", "l2": np.linspace(0, 0.1, 7)}),
    "stopping": (
        BINARY,
        (X[:, 0] > 0).astype(int),
        {"validation": (X[:20].tolist(), (X[:20, 0] > 0), None), "patience": 3},
    ),
    "schedule": (BINARY, (X[:, 0] > 0).astype(int), {"schedule": lambda epoch: 0.9**epoch}),
}


def validated(case, **changes):
    arch, y, settings = CASES[case]
    return fastmlp.cross_validate(arch, X, y, **{"cv": 4, "n_seeds": 7, "epochs": 10, "seed": 3, **settings, **changes})


@pytest.mark.parametrize("case", CASES)
def test_every_net_is_that_of_a_call_on_its_fold(case):
    arch, y, settings = CASES[case]
    model_selection = pytest.importorskip("sklearn.model_selection")
    found = validated(case)
    classes = case != "numbers"
    theirs = model_selection.check_cv(4, y if classes else None, classifier=classes).split(X, y if classes else None)
    metrics = settings.get("metrics")
    call = {name: value for name, value in settings.items() if name not in ("metrics", "sample_weight")}
    weights = settings.get("sample_weight")
    expected = np.full((90, arch.sizes[-1]), np.nan)
    for k, (rows, held) in enumerate(theirs):
        assert found.folds[k][0].tolist() == rows.tolist()
        assert found.folds[k][1].tolist() == held.tolist()
        own, others = (None, None) if weights is None else (weights[rows], weights[held])
        runs = fastmlp.train(arch, X[rows], y[rows], n_nets=7, epochs=10, seed=3, sample_weight=own, **call)
        assert bits(found.train(k).parameters) == bits(runs.parameters)
        scores = runs.evaluate(X[held], y[held], sample_weight=others, metrics=metrics)
        assert list(scores) == list(found.scores)
        for name, values in scores.items():
            assert bits(found.scores[name][k]) == bits(values)
        expected[held] = runs.predict(X[held], reduce="mean")
        assert found.status[k].tolist() == runs.status.tolist()
    assert bits(found.out_of_fold) == bits(expected)


def test_the_ensemble_is_scored():
    metrics = pytest.importorskip("sklearn.metrics")
    found = validated("softmax")
    for k, (_, held) in enumerate(found.folds):
        outputs = found.out_of_fold[held]
        assert found.ensemble["accuracy"][k] == pytest.approx(np.mean(outputs.argmax(axis=1) == CLASSES[held]))
        area = metrics.roc_auc_score(np.eye(3)[CLASSES[held]], outputs)
        assert found.ensemble["roc_auc"][k] == pytest.approx(area)
    assert "loss" not in found.ensemble


@pytest.mark.parametrize("case", ["softmax", "numbers", "schedule", "stopping"])
def test_an_executor_does_not_show(case):
    here = validated(case)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = validated(case, executor=pool)
    for name, values in here.scores.items():
        assert bits(values) == bits(there.scores[name])
    assert bits(here.out_of_fold) == bits(there.out_of_fold)


def test_splitters_groups_pairs_and_masks():
    model_selection = pytest.importorskip("sklearn.model_selection")
    groups = np.repeat(np.arange(9), 10)
    found = validated("sigmoid", cv=model_selection.GroupKFold(3), groups=groups)
    for rows, held in found.folds:
        assert not set(groups[rows]) & set(groups[held])
    repeated = validated("softmax", cv=model_selection.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0))
    assert len(repeated.folds) == 6
    assert np.isfinite(repeated.out_of_fold).all()
    mask = np.arange(90) < 60
    pairs = validated("sigmoid", cv=[(mask, ~mask)])
    numbers = validated("sigmoid", cv=iter([(np.arange(60), list(range(60, 90)))]))
    assert bits(pairs.scores["balanced_accuracy"]) == bits(numbers.scores["balanced_accuracy"])
    assert np.isnan(pairs.out_of_fold[:60]).all()


def test_folds_whose_targets_look_like_classes():
    y = np.r_[np.zeros(30), RNG.normal(size=60)]
    arch = fastmlp.Architecture((3, 5, 1), output="identity")
    cv = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90))]
    found = fastmlp.cross_validate(arch, X, y, cv=cv, n_seeds=3, epochs=5)
    assert list(found.scores) == ["loss", "r2"]


def test_nets_that_diverged_are_left_out_of_means():
    arch = fastmlp.Architecture((3, 5, 1), output="identity")
    rates = np.array([1e-3, 1e9, 1e-3])
    found = fastmlp.cross_validate(arch, X, X[:, 0], n_seeds=3, optimizer=fastmlp.SGD(rates), epochs=20)
    assert "5 of 15 nets diverged" in str(found)
    alone = fastmlp.cross_validate(arch, X, X[:, 0], n_seeds=1, optimizer=fastmlp.SGD(1e-3), epochs=20)
    assert np.isfinite(found.out_of_fold).all()
    assert np.isfinite(alone.out_of_fold).all()
    whole = fastmlp.cross_validate(arch, X, X[:, 0], n_seeds=2, optimizer=fastmlp.SGD(1e9), epochs=20)
    assert np.isnan(whole.out_of_fold).all()
    assert "nan" in str(whole)


def test_functions_as_metrics_and_later_changes_of_the_data():
    metrics = pytest.importorskip("sklearn.metrics")

    def area(y, outputs):
        return metrics.roc_auc_score(y, outputs, multi_class="ovr")

    mine = X.copy()
    found = fastmlp.cross_validate(SOFTMAX, mine, CLASSES, cv=3, n_seeds=2, epochs=5, metrics=[area, "roc_auc"])
    assert found.scores["area"] == pytest.approx(found.scores["roc_auc"])
    before = bits(found.train(0).parameters)
    mine *= 2
    assert bits(found.train(0).parameters) == before


def test_text_tables_and_pictures():
    found = validated("softmax")
    assert str(found).splitlines()[0] == "CrossValidation(4 folds x 7 seeds)"
    assert "roc_auc" in str(found)
    assert "<table" in found._repr_html_()
    pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert len(frame) == 28
    assert frame.groupby("fold")["accuracy"].mean().to_numpy() == pytest.approx(found.scores["accuracy"].mean(axis=1))
    pytest.importorskip("polars")
    assert found.to_polars()["net_id"].to_list() == [*range(7)] * 4
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = found.plot.scores("accuracy")
    assert ax.get_ylabel() == "accuracy"
    assert len(ax.collections) == 5
    with pytest.raises(ValueError, match="metric='auc' is not known"):
        found.plot.scores("auc")
    pyplot.close("all")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cv": 1}, "cv=1"),
        ({"cv": 91}, "cv=91"),
        ({"cv": "five"}, "cv='five'"),
        ({"cv": []}, "cv gives no folds"),
        ({"cv": [3]}, "fold 0 is 3"),
        ({"cv": [([0, 1], [90])]}, "fold 0 has the sample 90"),
        ({"cv": [([-1, 1], [5])]}, "fold 0 has the sample -1"),
        ({"cv": [([0, 1], [])]}, "the test samples of fold 0"),
        ({"cv": [([0.5, 1], [2])]}, "the train samples of fold 0"),
        ({"groups": [1, 2]}, "groups has shape"),
        ({"groups": np.arange(90)}, r"cv=GroupKFold\(4\)"),
        ({"init": ([np.zeros((2, 3, 5)), np.zeros((2, 5, 3))], None)}, "init holds another number"),
        ({"sample_weight": np.r_[np.zeros(60), np.ones(30)], "cv": [(range(60), range(60, 90))]}, "fold 0 cannot be"),
        ({"n_seeds": 0}, "n_seeds=0"),
        ({"seed": -1}, "seed=-1"),
        ({"threads": 0}, "threads"),
        ({"n_nets": 5}, "cross_validate takes no n_nets: pass n_seeds"),
        ({"warm_start": 5}, "takes no warm_start"),
        ({"epoch": 5}, "unexpected argument 'epoch'"),
        ({"epochs": -5}, "epochs=-5"),
        ({"l2": np.zeros(3)}, "l2"),
        ({"metrics": "auc"}, "metrics='auc'"),
        ({"metrics": "roc_auc", "cv": [([0, 1, 2], [3])]}, "the samples that fold 0 leaves out cannot be scored"),
        ({"sample_weight": np.ones(3)}, "sample_weight has shape"),
        ({"executor": 3}, "executor=3"),
    ],
)
def test_bad_input_is_refused_before_any_training(changes, message, monkeypatch):
    from fastmlp.cross_validation import fold

    monkeypatch.setattr(fold, "train", lambda **_: pytest.fail("trained"))
    with pytest.raises((ValueError, TypeError), match=message):
        validated("softmax", **changes)
