"""`train` against a second implementation: losses, curves, scores, stopping epochs and statuses, over 500 settings."""

import itertools

import numpy as np
import pytest

import fastmlp
from tests.support import independent

LOSSES = {
    "sigmoid": ("bce", "mse"),
    "softmax": ("cross_entropy", "mse"),
    "identity": ("mse",),
    "relu": ("mse",),
    "exp": ("poisson",),
}
OPTIMIZERS = ("sgd", "adam", "rmsprop", "rprop")


def random_setting(rng):
    """The keyword arguments of `train` for three nets, and those of the second implementation for each of them."""
    n, depth = int(rng.integers(5, 18)), int(rng.integers(1, 4))
    output = str(rng.choice(list(LOSSES)))
    n_out = int(rng.integers(2, 4)) if output == "softmax" else int(rng.integers(1, 3))
    sizes = (*(int(size) for size in rng.integers(2, 6, depth)), n_out)
    hidden = [str(name) for name in rng.choice(["relu", "leaky_relu", "tanh", "sigmoid", "identity"], depth - 1)]
    bias, slope, loss = bool(rng.random() < 0.8), float(rng.uniform(0.01, 0.3)), str(rng.choice(LOSSES[output]))

    def data(count):
        X = rng.normal(size=(count, sizes[0]))
        if output == "softmax":
            return X, rng.integers(0, n_out, count)
        if output == "exp":
            return X, rng.poisson(2.0, (count, n_out))
        return X, rng.integers(0, 2, (count, n_out)) if rng.random() < 0.6 else rng.uniform(0, 1, (count, n_out))

    X, y = data(n)
    weight = [None, rng.uniform(0.1, 2, n) * (rng.random(n) < 0.8) + 0.01 * (np.arange(n) == 0)][rng.integers(2)]
    bootstrap = bool(rng.random() < 0.15)
    name = str(rng.choice(OPTIMIZERS))
    own = {
        "sgd": {"momentum": float(rng.choice([0.0, 0.7])), "nesterov": bool(rng.integers(2))},
        "adam": {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": float(rng.choice([0.0, 0.1]))},
        "rmsprop": {"alpha": 0.9, "epsilon": 1e-8, "momentum": float(rng.choice([0.0, 0.5]))},
        "rprop": {},
    }[name]
    rate = float(rng.uniform(0.02, 0.3)) * (0.1 if name in ("adam", "rmsprop", "rprop") or output == "exp" else 1)
    epochs = int(rng.integers(0, 15))
    classes = output == "softmax" or bool(np.isin(y, (0, 1)).all())
    patience = [None, int(rng.integers(1, 4))][rng.integers(2)]
    schedule = [None, None, "adaptive", rng.uniform(0.3, 1.2, epochs)][rng.integers(4)]
    if name == "rprop" or (isinstance(schedule, str) and patience is None):
        schedule = None
    shared = {
        "epochs": epochs,
        "batch_size": [None, 2, 3, 5, 100][rng.integers(5)],
        "shuffle": bool(rng.random() < 0.7),
        "seed": int(rng.integers(0, 2**63)),
        "l2": float(rng.choice([0.0, 0.05])),
        "dropout": float(rng.choice([0.0, 0.0, 0.3])) if depth > 1 else 0.0,
        "target_loss": [None, None, float(rng.uniform(0.1, 0.7))][rng.integers(3)],
        "target_accuracy": [None, None, float(rng.uniform(0.5, 1.0))][rng.integers(3)] if classes else None,
        "patience": patience,
        "tol": float(rng.choice([0.0, 1e-3, 0.02])),
        "schedule": schedule,
        "record_every": [None, 1, 2, 3][rng.integers(4)],
        "restore_best": bool(rng.random() < 0.7),
    }
    validation, score = None, "loss"
    if rng.random() < 0.35:
        X_held, y_held = data(9)
        held_classes = output == "softmax" or bool(np.isin(y_held, (0, 1)).all())
        scores = [
            "loss",
            *(["accuracy"] * held_classes),
            *(["r2"] * (loss in ("mse", "poisson") and output != "softmax")),
        ]
        score = str(rng.choice(scores))
        validation = (X_held, y_held, [None, rng.uniform(0.1, 2, 9)][rng.integers(2)])
        if score == "r2" and np.ptp(np.reshape(y_held, (9, -1)), axis=0).min() == 0:
            validation = None
    nets = 3
    init = (
        [rng.normal(size=(nets, a, b)) * 0.7 for a, b in itertools.pairwise(sizes)],
        [rng.normal(size=(nets, b)) * 0.3 for b in sizes[1:]] if bias else [],
    )
    kinds = {"sgd": fastmlp.SGD, "adam": fastmlp.Adam, "rmsprop": fastmlp.RMSprop, "rprop": fastmlp.Rprop}
    settings = {
        **shared,
        "architecture": fastmlp.Architecture(sizes, hidden, output, bias, slope),
        "X": X,
        "y": y,
        "optimizer": kinds[name](rate, **own),
        "loss": loss,
        "init": init,
        "sample_weight": weight,
        "bootstrap": bootstrap,
        "validation": validation,
        "validation_score": score,
        "dtype": "float64",
        "net_ids": rng.integers(0, 2**40, nets),
    }
    return settings, {**shared, "optimizer": name, "settings": own, "score": score}, rate


def targets(y, output, n_out):
    return np.eye(n_out)[y] if output == "softmax" else np.asarray(y, float).reshape(len(y), n_out)


def by_hand(settings, own, rate, k, state=None, **changes):
    """Net k by the second implementation; None where it draws only samples of weight 0."""
    arch, net_id = settings["architecture"], int(settings["net_ids"][k])
    hidden, n_out = [code.name.lower() for code in arch.activations[:-1]], arch.sizes[-1]
    weight = settings["sample_weight"]
    if settings["bootstrap"]:
        counts = independent.drawn_counts(len(settings["X"]), net_id, settings["seed"])
        weight = counts if weight is None else counts * weight
    T = targets(settings["y"], arch.output, n_out)
    task = independent.Task(
        hidden, arch.output, arch.bias, arch.leaky_slope, settings["loss"], settings["X"], T, weight
    )
    validation = settings["validation"]
    if validation is not None:
        held = validation[2] if validation[2] is not None else np.ones(len(validation[0]))
        validation = validation[0], targets(validation[1], arch.output, n_out), held
    net = state
    if net is None:
        weights, biases = settings["init"]
        net = independent.Net([w[k].copy() for w in weights], [b[k].copy() for b in biases], rate)
    return independent.train(task, net, net_id=net_id, validation=validation, **{**own, **changes})


def assert_same(runs, k, expected, where):
    assert runs.epochs[k] == expected.epochs, where
    assert runs.status[k] == expected.status, where
    found = [*(w[k] for w in runs.weights), *(b[k] for b in runs.biases)]
    for one, other in zip(found, [*expected.net.weights, *expected.net.biases], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11, err_msg=where)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(
            getattr(runs, name)[k], getattr(expected, name), rtol=1e-9, err_msg=f"{where}: {name}"
        )
    for name in ("history", "validation_history", "validation_losses"):
        if getattr(runs, name) is not None:
            curve = getattr(runs, name)[k]
            np.testing.assert_allclose(
                curve, getattr(expected, name), rtol=1e-9, atol=1e-12, err_msg=f"{where}: {name}"
            )
    if runs.validation_score is not None:
        assert runs.best_epoch[k] == expected.best_epoch, where
        np.testing.assert_allclose(runs.validation_score[k], expected.validation_score, rtol=1e-9, err_msg=where)


@pytest.mark.parametrize("seed", range(20))
def test_500_random_settings_are_those_of_a_second_implementation(seed):
    rng = np.random.default_rng(1000 + seed)
    for number in range(25):
        settings, own, rate = random_setting(rng)
        kernel = ["lanes", "units", None][number % 3]
        runs = fastmlp.train(**settings, kernel=kernel, threads=1)
        for k in range(len(runs)):
            with np.errstate(over="ignore", invalid="ignore"):
                expected = by_hand(settings, own, rate, k)
            where = f"seed {seed}, setting {number}, net {k}: {own}"
            assert_same(runs, k, expected, where)


@pytest.mark.parametrize("seed", range(8))
def test_a_call_may_end_after_any_epoch_and_nobody_sees_it(seed):
    """a epochs and b more are a + b in one go, wherever the call ends; nets that a rule has stopped stay as they are."""
    rng, tried = np.random.default_rng(2000 + seed), 0
    while tried < 4:
        settings, own, _ = random_setting(rng)
        if settings["validation"] is not None or settings["epochs"] < 4:
            continue
        tried += 1
        whole = fastmlp.train(**settings, keep_state=True, threads=1)
        rest = {name: value for name, value in settings.items() if name not in ("init", "net_ids", "seed")}
        for split in range(1, settings["epochs"]):

            def part(first, last, rest=rest):
                schedule = rest["schedule"]
                cut = schedule if schedule is None or isinstance(schedule, str) else schedule[first:last]
                return {**rest, "epochs": last - first, "schedule": cut, "record_every": None, "threads": 1}

            ids = {name: settings[name] for name in ("init", "net_ids", "seed")}
            runs = fastmlp.train(**part(0, split), **ids, keep_state=True)
            going = np.flatnonzero(runs.status == fastmlp.Status.RAN_ALL_EPOCHS)
            where = f"seed {seed}, split after {split} of {settings['epochs']} epochs: {own}"
            assert set(going) == set(np.flatnonzero(whole.epochs >= split)) - {
                k for k in np.flatnonzero(whole.epochs == split) if runs.status[k] != fastmlp.Status.RAN_ALL_EPOCHS
            }, where
            ended = {}
            if len(going):
                more = fastmlp.train(**part(split, settings["epochs"]), warm_start=runs[going], keep_state=True)
                ended = dict(zip(going, range(len(more)), strict=True))
            for k in range(len(whole)):
                own_runs, own_k = (more, ended[k]) if k in ended else (runs, k)
                for name in ("parameters", "loss", "accuracy", "epochs", "status"):
                    one, other = getattr(own_runs, name)[own_k], getattr(whole, name)[k]
                    assert np.array_equal(one, other, equal_nan=True), (where, name, k)


@pytest.mark.parametrize("seed", range(4))
def test_sweeps_with_halving_are_separate_calls(seed):
    """25 sweeps a seed, with rules, minibatches and dropout: each row is a call of `train` of its epochs."""
    rng = np.random.default_rng(3000 + seed)
    for _ in range(25):
        n = int(rng.integers(6, 20))
        X = rng.normal(size=(n, 2))
        y = (X[:, 0] * X[:, 1] > 0).astype(int)
        grid = {"sizes": [(2, 3, 1), (2, 5, 1)], "learning_rate": [0.01, 0.1], "hidden": ["tanh", "relu"]}
        fixed = {
            "optimizer": str(rng.choice(["sgd", "adam", "rmsprop"])),
            "epochs": int(rng.integers(8, 30)),
            "batch_size": [None, 2, 4, 7][rng.integers(4)],
            "dropout": float(rng.choice([0.0, 0.0, 0.2])),
            "target_loss": [None, float(rng.uniform(0.4, 0.7))][rng.integers(2)],
            "target_accuracy": [None, float(rng.uniform(0.6, 1.0))][rng.integers(2)],
            "patience": [None, int(rng.integers(1, 4))][rng.integers(2)],
            "tol": float(rng.choice([0.0, 1e-3, 0.02])),
        }
        found = fastmlp.sweep(X, y, grid, n_seeds=6, seed=int(rng.integers(0, 99)), halving=2, threads=1, **fixed)
        whole = fixed["epochs"]
        assert (found.table["epochs"] == whole).sum() == 1
        for row in range(len(found)):
            alone = found.train(row)
            assert np.array_equal(alone.loss.astype(float), found.loss[row], equal_nan=True), (row, fixed)
            assert np.array_equal(alone.accuracy == 1, found.solved[row])
            assert alone.settings["epochs"] == found.table["epochs"][row]
