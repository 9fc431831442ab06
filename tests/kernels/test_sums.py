"""Means over many samples in float32: losses, accuracies, R² and gradients' scales do not drift with their number."""

import numpy as np
import pytest

import fastmlp

N = 10**7
ONE = fastmlp.Architecture((1, 1))


def weights(kind, n):
    rng = np.random.default_rng(1)
    return {"none": None, "equal": np.full(n, 0.1), "drawn": rng.uniform(0, 2, n)}[kind]


@pytest.mark.parametrize("kernel", ["lanes", "units"])
@pytest.mark.parametrize("kind", ["none", "equal", "drawn"])
def test_the_loss_of_ten_million_equal_samples(kind, kernel):
    """With an input of 0 and no bias yet each has the loss log 2."""
    X, y = np.zeros((N, 1), np.float32), np.full(N, 0.3, np.float32)
    runs = fastmlp.train(ONE, X, y, epochs=0, record_every=1, sample_weight=weights(kind, N), kernel=kernel)
    assert runs.loss[0] == pytest.approx(np.log(2), rel=1e-6)
    assert runs.history[0, 0] == runs.loss[0]


@pytest.mark.parametrize("kind", ["none", "drawn"])
def test_means_over_a_million_samples_are_those_of_float64(kind):
    n = 10**6
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=n) > 0).astype(int)
    weight, init = weights(kind, n), ([rng.normal(size=(2, 2, 1))], [np.zeros((2, 1))])
    held_out = (X, y) if weight is None else (X, y, weight)
    settings = {
        "init": init,
        "epochs": 1,
        "sample_weight": weight,
        "optimizer": fastmlp.SGD(1e-30),
        "patience": 3,
        "keep_state": True,
        "validation": held_out,
        "record_every": 1,
        "batch_size": 500,
    }
    one, other = (
        fastmlp.train(fastmlp.Architecture((2, 1)), X, y, dtype=d, **settings) for d in ("float32", "float64")
    )
    for name in ("loss", "accuracy", "validation_losses", "history"):
        found, wanted = (np.asarray(getattr(runs, name)).reshape(2, -1)[:, 0] for runs in (one, other))
        np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=name)
    settings = {**settings, "validation": None}
    one, other = (
        fastmlp.train(fastmlp.Architecture((2, 1)), X, y, dtype=d, **settings) for d in ("float32", "float64")
    )
    np.testing.assert_allclose(one.state.watched[0], other.state.watched[0], rtol=1e-6)  # means over 2,000 minibatches


def test_r2_over_many_samples():
    n = 3 * 10**6
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 1)).astype(np.float32)
    y = 3 * X[:, 0] + 1
    settings = {
        "init": ([np.full((1, 1, 1), 2.0)], [np.zeros((1, 1))]),
        "epochs": 1,
        "optimizer": fastmlp.SGD(1e-30),
        "validation": (X, y),
        "validation_score": "r2",
        "loss": "mse",
    }
    arch = fastmlp.Architecture((1, 1), output="identity")
    one, other = (fastmlp.train(arch, X[:9], y[:9], dtype=d, **settings) for d in ("float32", "float64"))
    assert one.validation_score[0] == pytest.approx(other.validation_score[0], rel=1e-6)


def test_the_loss_of_a_diagnosis():
    n = 4 * 10**6
    runs = fastmlp.train(ONE, np.zeros((1, 1)), [0.3], epochs=0)
    found = runs.diagnose(np.zeros((n, 1), np.float32), np.full(n, 0.3, np.float32))
    assert found.loss[0] == pytest.approx(np.log(2), rel=1e-6)


def test_an_infinite_sum_stays_infinite_and_a_net_is_seen_to_diverge():
    arch = fastmlp.Architecture((1, 1), output="identity")
    init = ([np.full((1, 1, 1), 1e25)], [np.zeros((1, 1))])
    runs = fastmlp.train(arch, [[1.0], [2.0]], [0.0, 0.0], init=init, epochs=0)
    assert runs.status[0] == fastmlp.Status.DIVERGED


# ------------------------------------------------------------------------------------------------ weights


@pytest.mark.parametrize("kernel", ["lanes", "units", None])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_accuracy_counts_by_weight_and_samples_without_one_not_at_all(kernel, batch_size):
    X, y = np.arange(8.0)[:, None] - 3.5, np.array([0, 0, 0, 0, 1, 1, 1, 1])
    wrong = y.copy()
    wrong[[0, 7]] = 1 - wrong[[0, 7]]
    init = ([np.ones((1, 1, 1))], [np.zeros((1, 1))])
    weight = np.array([0, 1, 2, 3, 1, 1, 1, 0.0])
    settings = {"init": init, "optimizer": fastmlp.SGD(1e-6), "batch_size": batch_size, "kernel": kernel}
    runs = fastmlp.train(ONE, X, wrong, epochs=3, sample_weight=weight, target_accuracy=1.0, **settings)
    assert runs.accuracy[0] == 1
    assert runs.status[0] == fastmlp.Status.REACHED_TARGET
    weight[0] = 3
    runs = fastmlp.train(ONE, X, wrong, epochs=3, sample_weight=weight, target_accuracy=1.0, **settings)
    assert runs.accuracy[0] == pytest.approx(9 / 12)
    assert runs.status[0] == fastmlp.Status.RAN_ALL_EPOCHS
    both = fastmlp.train(
        ONE,
        X,
        wrong,
        epochs=1,
        sample_weight=np.stack([weight, 0 * weight + 1]),
        **{**settings, "init": tuple([np.repeat(a, 2, axis=0) for a in part] for part in init)},
    )
    assert both.accuracy == pytest.approx([9 / 12, 6 / 8])


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e10, -123.456])
def test_r2_of_constant_targets_is_0_so_that_patience_runs_out(value):
    X = np.random.default_rng(0).normal(size=(30, 2))
    arch = fastmlp.Architecture((2, 1), output="identity")
    weight = np.random.default_rng(1).uniform(0.5, 2, 10)
    runs = fastmlp.train(
        arch,
        X[:20],
        X[:20, 0],
        epochs=300,
        n_nets=3,
        validation=(X[20:], np.full(10, value), weight),
        validation_score="r2",
        patience=4,
        dtype="float64",
    )
    assert (runs.validation_score == 0).all()
    assert (runs.epochs < 300).all()
