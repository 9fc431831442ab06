"""Verdicts on what people bring: each case is one that a verdict, a trial or a score was once wrong about."""

import numpy as np
import pytest

import fastmlp
from fastmlp.audit import cost_of_mistakes
from fastmlp.statistics import pairs_differ
from tests.support.data import XOR_X, XOR_Y

ADAM = fastmlp.Adam(0.01)


def clean(n=200, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, 2))


def circle(n=200):
    X = clean(n)
    return X, (np.hypot(*X.T) < 0.7).astype(int)


def quadrants(n=200):
    X = clean(n)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def diagnosed(sizes, X, y, n_nets=20, solved_loss=None, output=None, hidden="relu", **settings):
    arch = fastmlp.Architecture(sizes, hidden, **({} if output is None else {"output": output}))
    runs = fastmlp.train(arch, X, y, n_nets=n_nets, **settings)
    return runs.diagnose(X, y, try_fixes=True, solved_loss=solved_loss)


@pytest.mark.parametrize(
    "y",
    [
        np.eye(30, dtype=int)[3],  # one sample of class 1
        np.zeros(30, int),
        np.stack([np.eye(30, dtype=int)[3], np.ones(30, int)], axis=1),
        np.where(np.arange(30) == 7, 2, np.arange(30) % 2),  # three classes, one of a single sample
    ],
)
def test_classes_with_a_sample_or_none_are_diagnosed(y):
    n_out = 3 if y.max() == 2 else 1 if y.ndim == 1 else 2
    output = "softmax" if n_out == 3 else "sigmoid"
    found = diagnosed((2, 6, n_out), clean(30), y, epochs=50, output=output)
    assert sum(found.counts().values()) == 20
    assert ("All samples have the same targets" in found.verdict) == (not y.any())


def test_too_few_units_are_named():
    found = diagnosed((2, 3, 1), *circle(), n_nets=40, epochs=1500, optimizer=fastmlp.Adam(0.02))
    assert found.verdict == "Most likely cause: too few hidden units."


def test_trials_are_compared_seed_by_seed():
    X = np.array([[number >> bit & 1 for bit in range(4)] for number in range(16)])
    runs_y = X.sum(axis=1) % 2
    found = diagnosed((4, 6, 1), X, runs_y, n_nets=60, epochs=1000, optimizer=fastmlp.SGD(0.5))
    longer = next(trial for trial in found.trials if trial.fix.name == "more_epochs")
    arch = fastmlp.Architecture((4, 6, 1))
    before, after = (
        fastmlp.train(arch, X, runs_y, n_nets=60, epochs=epochs, optimizer=fastmlp.SGD(0.5)).accuracy == 1
        for epochs in (1000, 4000)
    )
    assert (longer.gained, longer.lost) == ((after & ~before).sum(), (before & ~after).sum())
    assert longer.helped == pairs_differ(longer.gained, longer.lost, 60)
    # McNemar's test by its sum: 2 of 12 one way has probability 2 (1 + 12 + 66) / 4096 = 0.0386
    assert pairs_differ(10, 2, 20)
    assert not pairs_differ(10, 2, 60)
    assert pairs_differ(10, 0, 60)
    assert not pairs_differ(0, 0, 60)
    assert pairs_differ(2000, 1700, 10_000)


def test_a_remedy_that_helps_whatever_the_cause_proves_none():
    """Adam helps nets whose learning rate is too high, too; a tenth of the rate helps more."""
    X, y = quadrants(60)
    found = diagnosed((2, 8, 1), X, y, epochs=300, optimizer=fastmlp.SGD(30.0))
    assert found.verdict == "Most likely cause: the learning rate is too high."


def test_both_scales_are_at_fault_where_neither_alone_helps():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)) * [1, 1000, 1]
    y = 2e5 + 1e5 * (X[:, 0] + X[:, 1] / 1000)
    found = diagnosed((3, 16, 1), X, y, epochs=500, optimizer=ADAM, output="identity")
    assert found.verdict == "Most likely cause: the scales of the inputs and of the targets."
    assert not any("standardize" in part for t in found.trials for part in t.fix.name.split(" and ")[1:])


def test_a_solved_loss_is_in_the_units_of_the_targets():
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = 2000 + 10 * np.sin(2 * X[:, 0])
    found = diagnosed((2, 8, 1), X, y, solved_loss=1.0, epochs=300, optimizer=fastmlp.SGD(1e-3), output="identity")
    scaled = next(trial for trial in found.trials if trial.fix.name == "standardize_targets")
    t = ((y - y.mean()) / y.std()).astype("f4")
    again = fastmlp.train(
        fastmlp.Architecture((2, 8, 1), output="identity"), X, t, n_nets=20, epochs=300, optimizer=fastmlp.SGD(1e-3)
    )
    assert scaled.after == (again.loss <= 1 / y.var()).sum()


def test_overfitting_is_dropped_where_no_remedy_helps():
    rng = np.random.default_rng(3)
    turn, y = rng.uniform(0.5, 2.5, 200) * np.pi, rng.integers(0, 2, 200)
    X = np.c_[turn * np.cos(turn + np.pi * y), turn * np.sin(turn + np.pi * y)] / 4
    found = diagnosed((2, 32, 32, 1), X, y, hidden="tanh", epochs=1500, optimizer=ADAM)
    assert found.n_solved == 20
    assert found.verdict.startswith("Nothing is wrong: every net is solved.\nOn held-out samples their")


def test_clean_data_are_not_called_noise_where_a_change_helps():
    found = diagnosed((2, 4, 1), *quadrants(400), n_nets=60, epochs=200, optimizer=fastmlp.SGD(0.5))
    assert any(trial.helped for trial in found.trials)
    assert "Nothing is wrong" not in found.verdict


def test_soft_targets_and_counts_have_the_deviance_explained():
    metrics = pytest.importorskip("sklearn.metrics")
    x = np.linspace(-1, 1, 40)[:, None]
    soft = diagnosed((1, 8, 1), x, 0.5 + 0.3 * np.sin(3 * x[:, 0]), epochs=2000, optimizer=fastmlp.Adam(0.02))
    assert soft.n_solved == 20
    assert soft.score_name == "D²"
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 2))
    y = rng.poisson(np.exp(X[:, 0]))
    runs = fastmlp.train(fastmlp.Architecture((2, 6, 1), output="exp"), X, y, n_nets=4, epochs=300, optimizer=ADAM)
    found = runs.diagnose(X, y)
    for net, score in zip(runs, found.score, strict=True):
        own = metrics.d2_tweedie_score(y, net.predict(X)[:, 0].astype(float), power=1)
        assert score == pytest.approx(own, abs=1e-4)
    assert set(found.baselines) >= {"a constant guess", "5 nearest neighbours"}


def test_a_change_that_calms_nets_that_diverge_helps():
    x = np.random.default_rng(0).normal(size=(40, 1))
    found = diagnosed((1, 8, 1), x, np.sin(3 * x[:, 0]), epochs=200, optimizer=fastmlp.SGD(2.0), output="identity")
    assert found.counts() == {"diverged": 20}
    assert found.verdict == "Most likely cause: the learning rate is too high."
    assert "diverged 20 -> 0" in str(found)


def test_targets_that_are_all_the_same_are_said_to_be():
    found = diagnosed((2, 6, 1), clean(30), np.full(30, 5.0), epochs=3000, optimizer=ADAM, output="identity")
    assert found.n_solved == 20
    assert found.verdict.startswith("All samples have the same targets")
    assert found.score is None


def test_every_output_must_be_learnt():
    X = np.random.default_rng(0).normal(size=(120, 3))
    y = np.c_[X[:, 0], 1e-3 * X[:, 1] ** 2]
    found = diagnosed((3, 8, 2), X, y, epochs=1000, optimizer=ADAM, output="identity")
    assert found.n_solved == 0
    assert set(found.counts()) == {"target_scale"}
    assert np.median(found.score) < 0.6


def test_what_float32_cannot_hold_is_not_the_datas_fault():
    seconds = (1.7e9 + np.arange(200.0))[:, None]
    y = (np.arange(200) // 50) % 2
    found = diagnosed((1, 16, 1), seconds, y, epochs=2000, optimizer=ADAM)
    assert found.best_possible == 1
    scaled = next(trial for trial in found.trials if trial.fix.name == "standardize_inputs")
    assert scaled.score_after > 0.9
    assert "the scales of the inputs" in found.verdict


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("no_patience", {"patience": 2, "tol": 1.0, "epochs": 500}),
        ("no_target_loss", {"target_loss": 0.69, "epochs": 500}),
    ],
)
def test_what_ended_training_is_tried_without(name, settings):
    found = diagnosed((2, 8, 1), XOR_X, XOR_Y, n_nets=40, optimizer=fastmlp.Adam(0.02), hidden="tanh", **settings)
    names = [trial.fix.name for trial in found.trials]
    assert name in names
    assert "more_epochs" not in names


def test_nets_that_were_not_trained_are_tried_with_some_epochs():
    found = diagnosed((2, 8, 1), XOR_X, XOR_Y, n_nets=40, epochs=0, optimizer=fastmlp.Adam(0.02), hidden="tanh")
    assert found.trials[0].fix.text == "1,000 epochs"
    assert found.trials[0].after == 40
    assert "too few epochs" in found.verdict


def test_nets_trained_with_cross_entropy_are_not_told_to_use_it():
    runs = fastmlp.train(fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, n_nets=40, epochs=50)
    assert "cross_entropy" not in {fix.name for fix in runs.diagnose(XOR_X, XOR_Y, loss="mse").fixes}


# ------------------------------------------------------------------------------------------------ what mistakes cost


def test_a_mistake_on_noisy_data_is_judged_by_losses():
    """No net gets every sample right, with the sign turned or without."""
    X, y = quadrants(100)
    y = y ^ (np.random.default_rng(1).random(100) < 0.1)
    cost = cost_of_mistakes(
        fastmlp.Architecture((2, 6, 1)),
        X,
        y,
        mistakes="sign_flipped",
        n_nets=40,
        epochs=300,
        optimizer=fastmlp.SGD(0.1),
        dtype="float64",
    )
    assert cost["as it is"].n_solved == cost["without the mistakes"].n_solved == 0
    assert "it is why nets learn worse" in cost.verdict
    small = cost_of_mistakes(
        fastmlp.Architecture((2, 6, 1)),
        X,
        y,
        mistakes="biases_sum_for_mean",
        n_nets=40,
        epochs=300,
        optimizer=fastmlp.SGD(0.001),
    )
    assert "it is not why nets are stuck" in small.verdict


@pytest.mark.parametrize("name", ["as it is", "without the mistakes", "without the mistakes, with all changes"])
def test_changes_do_not_take_the_place_of_a_tables_own_rows(name):
    with pytest.raises(ValueError, match="the table has rows of these names"):
        cost_of_mistakes(
            fastmlp.Architecture((2, 3, 1)),
            XOR_X,
            XOR_Y,
            mistakes="sign_flipped",
            n_nets=2,
            changes={name: {"epochs": 3}},
        )


# ------------------------------------------------------------------------------------------------ wrong use


def test_settings_of_validation_need_validation():
    with pytest.raises(ValueError, match="restore_best need validation"):
        fastmlp.sweep(XOR_X, XOR_Y, {"sizes": [(2, 3, 1)]}, restore_best=False)
    with pytest.raises(ValueError, match="validation: X has shape .* so X needs 2 columns"):
        fastmlp.train(fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, validation=(XOR_X[:, :1], XOR_Y))
