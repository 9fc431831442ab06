"""Scores of every net on any samples: those of scikit-learn, in blocks, and the loss of training."""

import tracemalloc

import numpy as np
import pytest

import fastmlp
from fastmlp import scoring
from tests.support.data import XOR_X, XOR_Y

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
WEIGHTS = RNG.random(60)
CASES = {
    "sigmoid": (fastmlp.Architecture((3, 4, 1)), (X[:, 0] + RNG.normal(size=60) > 0).astype(int)),
    "softmax": (fastmlp.Architecture((3, 4, 3), output="softmax"), RNG.integers(0, 3, 60)),
    "two classes": (fastmlp.Architecture((3, 4, 2), output="softmax"), RNG.integers(0, 2, 60)),
    "labels": (fastmlp.Architecture((3, 4, 3)), RNG.integers(0, 2, (60, 3))),
    "numbers": (fastmlp.Architecture((3, 4, 2), output="identity"), RNG.normal(size=(60, 2))),
}


def trained(case, n_nets=7, **settings):
    arch, y = CASES[case]
    return fastmlp.train(arch, X, y, n_nets=n_nets, epochs=15, **settings), y


def names_for(case):
    numbers = ["loss", "r2", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error"]
    classes = ["accuracy", "roc_auc"] + ["balanced_accuracy"] * (case != "labels")
    return numbers if case == "numbers" else numbers + classes


def expected(name, case, y, outputs, weights):
    """By scikit-learn."""
    metrics = pytest.importorskip("sklearn.metrics")
    several = outputs.shape[1] > 1
    one_hot = np.eye(outputs.shape[1])[y] if case in ("softmax", "two classes") else y
    predicted = outputs.argmax(axis=1) if case in ("softmax", "two classes") else (outputs > 0.5).astype(int)
    if name in ("accuracy", "balanced_accuracy"):
        return getattr(metrics, f"{name}_score")(y, predicted, sample_weight=weights)
    if name == "roc_auc":
        scores = outputs[:, 1] if case == "two classes" else outputs if several else outputs[:, 0]
        truth = one_hot if case == "softmax" else y
        return metrics.roc_auc_score(truth, scores, sample_weight=weights)
    function = metrics.r2_score if name == "r2" else getattr(metrics, name)
    return function(one_hot, outputs, sample_weight=weights)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_scores_are_those_of_scikit_learn(case, weighted, monkeypatch):
    runs, y = trained(case)
    weights = WEIGHTS if weighted else None
    names = names_for(case)
    found = runs.evaluate(X, y, sample_weight=weights, metrics=names)
    outputs = runs.predict(X).astype(float)
    for name in names[1:]:
        ours = [expected(name, case, y, one, weights) for one in outputs]
        assert found[name] == pytest.approx(ours, rel=1e-9, abs=1e-12), name
    same = fastmlp.train(CASES[case][0], X, y, warm_start=runs, epochs=0, sample_weight=weights)
    assert found["loss"].astype(np.float32).tolist() == same.loss.tolist()
    monkeypatch.setattr(scoring, "BLOCK_BYTES", 1)
    again = runs.evaluate(X, y, sample_weight=weights, metrics=names)
    for name in names:
        assert again[name] == pytest.approx(found[name], rel=1e-12)


def test_the_loss_on_the_samples_of_training_is_that_of_training():
    runs, y = trained("sigmoid", n_nets=300)
    found = runs.evaluate(X, y)
    assert list(found) == ["loss", "accuracy"]
    assert found["loss"].tolist() == runs.loss.tolist()
    assert found["accuracy"] == pytest.approx(runs.accuracy)
    assert list(trained("numbers")[0].evaluate(X, CASES["numbers"][1])) == ["loss", "r2"]


def test_ties_count_half():
    metrics = pytest.importorskip("sklearn.metrics")
    scores = RNG.integers(0, 5, (20, 60)).astype(float)
    positive = RNG.random(60) < 0.4
    ours = scoring._area(scores, positive, WEIGHTS)
    theirs = [metrics.roc_auc_score(positive, one, sample_weight=WEIGHTS) for one in scores]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_functions_of_the_users():
    runs, y = trained("sigmoid")

    def brier(truth, outputs):
        return np.mean((outputs[:, 0] - truth) ** 2)

    found = runs.evaluate(X, y, metrics=[brier, "mean_squared_error"])
    assert found["brier"] == pytest.approx(found["mean_squared_error"])
    assert list(runs.evaluate(X, y, metrics="roc_auc")) == ["roc_auc"]


def test_functions_get_weights_and_no_outputs_that_are_not_finite():
    metrics = pytest.importorskip("sklearn.metrics")
    runs, y = trained("numbers")
    runs.parameters[2] = np.nan
    found = runs.evaluate(X, y, sample_weight=WEIGHTS, metrics=[metrics.mean_squared_error, metrics.r2_score])
    ours = runs.evaluate(X, y, sample_weight=WEIGHTS, metrics=["r2"])["r2"]
    assert found["r2_score"] == pytest.approx(ours, nan_ok=True)
    assert np.isnan(ours).tolist() == [False, False, True, False, False, False, False]

    def loss(truth, outputs):
        return 0.0

    assert np.nanmax(runs.evaluate(X, y, metrics=loss)["loss"]) == 0
    for wrong in ([loss, "loss"], [max, max], ["r2", "r2"], [lambda y, o: 0.0, lambda y, o: 1.0]):
        with pytest.raises(ValueError, match="twice: leave one out"):
            runs.evaluate(X, y, metrics=wrong)


def test_nets_with_the_state_of_an_optimizer():
    runs, y = trained("sigmoid", optimizer=fastmlp.SGD(0.1, momentum=0.9), keep_state=True)
    assert runs.evaluate(X, y)["loss"].tolist() == runs.loss.tolist()
    assert runs.state is not None


def test_outputs_of_one_half_are_wrong_as_in_training():
    arch = fastmlp.Architecture((2, 3, 1), bias=False)
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=50, epochs=100)
    assert runs.evaluate(XOR_X, XOR_Y)["accuracy"].tolist() == runs.accuracy.tolist()
    assert runs.accuracy.max() <= 0.75


def test_r2_of_one_sample_and_of_equal_targets():
    runs, _ = trained("numbers")
    assert np.isnan(runs.evaluate(X[:1], np.ones((1, 2)), metrics="r2")["r2"]).all()
    for value in (0.1, 1 / 3, 7.0):
        assert runs.evaluate(X, np.full((60, 2), value), metrics="r2")["r2"].tolist() == [0.0] * 7


def test_nets_of_their_own_slopes_and_nets_that_diverged():
    arch = fastmlp.Architecture((2, 4, 1), "leaky_relu", leaky_slope=np.linspace(0, 0.5, 9))
    rates = np.full(9, 0.1)
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=9, optimizer=fastmlp.SGD(rates), epochs=30)
    found = runs.evaluate(XOR_X, XOR_Y)
    assert found["loss"].tolist() == runs.loss.tolist()
    assert found["accuracy"].tolist() == runs.accuracy.tolist()
    numbers = fastmlp.Architecture((3, 4, 1), output="identity")
    wild = fastmlp.train(numbers, X, 1e20 * X[:, 0], n_nets=6, optimizer=fastmlp.SGD(1e9), epochs=5)
    assert (wild.status == fastmlp.Status.DIVERGED).any()
    scores = wild.evaluate(X, X[:, 0], metrics=["loss", "r2", "mean_absolute_error"])
    for values in scores.values():
        assert np.isnan(values[~np.isfinite(wild.parameters).all(axis=1)]).all()


def test_scores_take_little_memory():
    runs = fastmlp.train(fastmlp.Architecture((3, 4, 1)), X, CASES["sigmoid"][1], n_nets=20_000, epochs=0)
    many, y = np.tile(X, (20, 1)), np.tile(CASES["sigmoid"][1], 20)
    names = ["loss", "accuracy", "roc_auc", "r2"]
    runs[:10].evaluate(many, y, metrics=names)
    tracemalloc.start()
    runs.evaluate(many, y, metrics=names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # all outputs would take 96 MB in float32, and 10 times that on the way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": "auc"}, "metrics='auc' is not known"),
        ({"metrics": []}, r"metrics=\[\]"),
        ({"metrics": 3}, "metrics=3"),
        ({"sample_weight": np.ones(5)}, "sample_weight has shape"),
        ({"sample_weight": -np.ones(60)}, "sample_weight has the value -1"),
        ({"X": X[:, :2]}, "X"),
        ({"y": [0, 1]}, "y has shape"),
        ({"y": np.ones(60), "metrics": "roc_auc"}, "no samples outside class 1"),
        ({"y": np.full(60, 0.5), "metrics": "accuracy"}, "'accuracy' is for classes"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    runs, y = trained("sigmoid")
    with pytest.raises((ValueError, TypeError), match=message):
        runs.evaluate(**{"X": X, "y": y, **arguments})


@pytest.mark.parametrize("case", CASES)
def test_reductions_are_numpys(case, monkeypatch):
    runs, _ = trained(case, n_nets=11)
    outputs = runs.predict(X)
    for size in (2**25, 100):
        monkeypatch.setattr("fastmlp._engine.predict.REDUCED_BYTES", size)
        assert runs.predict(X, reduce="std") == pytest.approx(outputs.std(axis=0, dtype=float), rel=1e-6)
        assert runs.predict(X, reduce="median") == pytest.approx(np.median(outputs, axis=0), rel=1e-6)
        q = (0.05, 0.5, 0.95)
        assert runs.predict(X, reduce="quantile", q=q) == pytest.approx(np.quantile(outputs, q, axis=0), rel=1e-6)
        assert runs.predict(X, reduce="quantile", q=0.25).shape == outputs.shape[1:]
        if case == "numbers":
            with pytest.raises(ValueError, match="reduce='vote' is for classes"):
                runs.predict(X, reduce="vote")
            continue
        votes = runs.predict(X, reduce="vote")
        if case in ("softmax", "two classes"):
            assert votes == pytest.approx(np.eye(outputs.shape[2])[outputs.argmax(axis=2)].mean(axis=0))
        else:
            assert votes == pytest.approx((outputs > 0.5).mean(axis=0))
    runs.parameters[3] = np.nan
    reductions = ["mean", "std", "median"] + ["vote"] * (case != "numbers")
    assert all(np.isnan(runs.predict(X, reduce=name)).all() for name in reductions)


def test_wrong_reductions_are_refused():
    runs, _ = trained("sigmoid")
    for changes, message in (
        ({"reduce": "max"}, "reduce='max' is not known"),
        ({"reduce": "quantile"}, "pass q"),
        ({"reduce": "quantile", "q": 1.5}, "q=1.5"),
        ({"reduce": "mean", "q": 0.5}, "q=0.5"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            runs.predict(X, **changes)


@pytest.mark.parametrize("case", CASES)
def test_scores_on_samples_of_each_nets_own(case):
    runs, y = trained(case)
    names = [*names_for(case), lambda y, outputs, sample_weight=None: float(np.sum(y)) + outputs.sum()]
    rows, which = [RNG.permutation(60)[:40], np.arange(25, 60), np.arange(60)], [0, 1, 2, 0, 1, 0, 2]
    targets, inputs = np.array([RNG.permutation(y) for _ in runs]), RNG.normal(size=(7, 60, 3))
    forms = {
        "folds": ({"rows": rows, "rows_of": which}, lambda i: (X[rows[which[i]]], y[rows[which[i]]])),
        "targets": ({"y": targets}, lambda i: (X, targets[i])),
        "inputs": ({"X": inputs, "y": targets}, lambda i: (inputs[i], targets[i])),
        "tables": ({"X": [X[: 20 + i] for i in range(7)], "y": [y[: 20 + i] for i in range(7)]},
                   lambda i: (X[: 20 + i], y[: 20 + i])),
    }  # fmt: skip
    for form, (given, own) in forms.items():
        scores = runs.evaluate(**{"X": X, "y": y, **given}, metrics=names)
        for i in range(7):
            alone = runs[[i]].evaluate(*own(i), metrics=names)
            assert {name: values[i] for name, values in scores.items()} == pytest.approx(
                {name: values[0] for name, values in alone.items()}, rel=1e-12, nan_ok=True
            ), (form, i)
    weighted = runs.evaluate(X, y, rows=rows, rows_of=which, sample_weight=WEIGHTS, metrics=names_for(case))
    for i in range(7):
        of_net = rows[which[i]]
        alone = runs[[i]].evaluate(X[of_net], y[of_net], sample_weight=WEIGHTS[of_net], metrics=names_for(case))
        for name, values in alone.items():
            assert weighted[name][i] == pytest.approx(values[0], rel=1e-12)


def test_a_net_whose_samples_lack_a_class_has_no_area():
    runs, y = trained("sigmoid", n_nets=2)
    rows = [np.flatnonzero(y == 1), np.arange(60)]
    areas = runs.evaluate(X, y, rows=rows, metrics="roc_auc")["roc_auc"]
    assert np.isnan(areas).tolist() == [True, False]
    groups = np.arange(60) % 2
    by_group = runs.evaluate(X, y, groups=groups, metrics=["loss", "accuracy"])
    for k in range(2):
        alone = runs[[k]].evaluate(X[groups == k], y[groups == k], metrics=["loss", "accuracy"])
        assert (by_group["loss"][k], by_group["accuracy"][k]) == (alone["loss"][0], pytest.approx(alone["accuracy"][0]))


def test_tables_have_a_row_for_each_net():
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    runs, y = trained("sigmoid", validation=(X[:20], CASES["sigmoid"][1][:20]), record_every=5)
    frame = runs.to_pandas()
    assert frame["net_id"].tolist() == runs.net_ids.tolist()
    assert frame["loss"].tolist() == runs.loss.tolist()
    assert frame["status"].tolist() == ["ran_all_epochs"] * 7
    assert frame["validation_score"].tolist() == runs.validation_score.tolist()
    assert "history" not in frame
    assert runs.to_polars()["epochs"].to_list() == runs.epochs.tolist()
    with pytest.raises(ValueError, match="accuracy is a column of the nets already"):
        runs.to_pandas(**runs.evaluate(X, y))
    scores = runs.to_pandas(**runs.evaluate(X, y, metrics="roc_auc"))
    assert scores.columns[-1] == "roc_auc"
