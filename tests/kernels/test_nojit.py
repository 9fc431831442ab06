"""The kernels as plain Python on NumPy vectors: the same bits as compiled, on small cases of every branch.

Under NUMBA_DISABLE_JIT=1 this measures the kernels' coverage; compiled, it is a quick test of the same hashes.
"""

import hashlib

import numpy as np
import pytest
from numba.core import config

import fastmlp
from fastmlp._kernels import lanes as _passes
from fastmlp.audit.training import train_with_mistakes
from fastmlp.training.runner import Runner
from tests.support.cases import planned
from tests.support.data import XOR_X, XOR_Y, bits

# name: optimizer, second hidden activation, output, loss, batch size, hash of parameters and losses
JOBS = {
    "sgd": (fastmlp.SGD(0.5), "leaky_relu", "sigmoid", "bce", None, "68133f7c5e928a58"),
    "momentum": (fastmlp.SGD(0.2, 0.9), "tanh", "softmax", "cross_entropy", 4, "27a3984a499a874b"),
    "nesterov": (fastmlp.SGD(0.2, 0.9, True), "sigmoid", "softmax", "mse", 1, "223fba3c77627638"),
    "adam": (
        fastmlp.Adam(0.05, beta1=[0.9, 0.8, 0.9], weight_decay=0.01),
        "identity",
        "sigmoid",
        "mse",
        4,
        "3547faae38a44d48",
    ),
    "rmsprop": (fastmlp.RMSprop(0.02, momentum=0.5), "relu", "relu", "mse", None, "62c51211e99b2da4"),
    "rprop": (fastmlp.Rprop(0.05), "tanh", "identity", "mse", None, "3f2d16f9c4b585a8"),
    "tiny, XOR": (fastmlp.SGD(0.5), None, None, "bce", None, "baa32949d5aa9046"),
}
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def run(name):
    optimizer, activation, output, loss, batch_size, _ = JOBS[name]
    if activation is None:
        return fastmlp.train(
            fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, n_nets=9, epochs=30, optimizer=optimizer, target_loss=0.4
        )
    rng = np.random.Generator(np.random.PCG64(3))
    arch = fastmlp.Architecture((2, 3, 2, 2), ("relu", activation), output)
    X, y = rng.integers(-8, 9, (6, 2)) / 4, rng.integers(0, 2, 6)
    return fastmlp.train(
        arch,
        X,
        y if output == "softmax" else np.stack([y, 1 - y], axis=1),
        n_nets=3,
        epochs=3,
        optimizer=optimizer,
        loss=loss,
        batch_size=batch_size,
        l2=[0.0, 0.01, 0.02],
        record_every=2,
        threads=1,
        patience=2,
        tol=0.05,
        init=fastmlp.Normal(0.5, bias=fastmlp.Uniform(-1, 1)),
        sample_weight=[None, np.arange(1, 7), np.arange(1, 19).reshape(3, 6)][len(name) % 3],
    )


def digest(name):
    runs = run(name)
    return hashlib.sha256(bits(runs.parameters) + bits(runs.loss)).hexdigest()[:16]


@pytest.mark.parametrize("name", JOBS)
def test_the_bits_of_compiled_code(name):
    assert digest(name) == JOBS[name][-1]


# Settings of `train`; hash of parameters, losses and best epochs
OWN_SAMPLES = {
    "full batch": ({"optimizer": fastmlp.Adam(0.05), "patience": 2}, "e7adbe21491aa003"),
    "minibatches": (
        {"batch_size": 3, "optimizer": fastmlp.SGD(0.2, 0.9), "dropout": 0.3, "patience": 2, "record_every": 1},
        "4d7d5278b148976a",
    ),
    "weights": (
        {"batch_size": 2, "sample_weight": np.arange(12) % 4 + 0.5, "bootstrap": True, "loss": "mse"},
        "d8b0d0dc2622c4c6",
    ),
    "validation": (
        {"batch_size": 4, "validation_rows": "rest", "patience": 1, "validation_score": "accuracy"},
        "5b394056dd4550c1",
    ),
    "units": ({"batch_size": 4, "kernel": "units", "validation_rows": "rest", "dropout": 0.2}, "6ed575ebf67ec043"),
    "one set": ({"rows": np.tile([0, 3, 5, 8, 9], (7, 1)), "optimizer": "adam", "batch_size": 2}, "29084b16515715ef"),
}


@pytest.mark.parametrize("name", OWN_SAMPLES)
def test_the_bits_of_samples_of_each_nets_own(name):
    settings, expected = OWN_SAMPLES[name]
    rng = np.random.Generator(np.random.PCG64(4))
    X, y = rng.integers(-8, 9, (12, 4)) / 4, rng.integers(0, 3, 12)
    rows = [rng.integers(0, 12, n) for n in (1, 3, 3, 7, 8, 9, 10)]
    arch = fastmlp.Architecture((4, 5, 3), output="softmax")
    runs = fastmlp.train(arch, X, y, **{"rows": rows, "epochs": 3, "threads": 1, **settings})
    best = b"" if runs.best_epoch is None else bits(runs.best_epoch)
    found = hashlib.sha256(bits(runs.parameters) + bits(runs.loss) + best).hexdigest()[:16]
    assert found == expected


# The architecture's hidden activations, output and loss; mistakes; hash of parameters
MISTAKEN = {
    "scales": (
        ("tanh", "tanh"),
        "softmax",
        "cross_entropy",
        ["one_sample", "hidden_derivative_twice", "bias_summed_over_units", "passed_down_by_untransposed_weights"],
    ),
    "products": (
        ("leaky_relu", "sigmoid"),
        "softmax",
        "mse",
        [
            "output_derivative_twice",
            ("weight_gradient_transposed", 0),
            ("outputs_overwritten_by_derivative", 1),
            ("weight_gradient_of_weighted_sums", 2),
            "weights_sum_for_mean",
            "hidden_derivative_left_out",
        ],
    ),
    "outputs": (
        ("relu", "tanh"),
        "sigmoid",
        "bce",
        [
            "output_derivative_of_output",
            "weights_updated_before_passing_down",
            ("tanh_derivative_of_sigmoid", 1),
            "biases_mean_twice",
            "sigmoid_of_sigmoid",
        ],
    ),
    "alone": (
        ("tanh", "leaky_relu"),
        "sigmoid",
        "bce",
        [
            "minus_target_over_output",
            ("tanh_derivative_one_minus_output", 0),
            "leaky_slope_left_out",
            ("bias_after_activation", 2),
            "bias_gradient_zero",
        ],
    ),
    "first": (
        ("sigmoid", "relu"),
        "softmax",
        "cross_entropy",
        [
            "cross_entropy_first_term",
            "softmax_over_samples",
            ("hidden_derivative_of_output", 0),
            ("derivative_of_layer_below", 1),
            "passed_down_by_other_weights",
        ],
    ),
    "all samples": (
        ("tanh", "relu"),
        "softmax",
        "cross_entropy",
        [
            "squared_error_with_cross_entropy",
            "softmax_over_everything",
            ("weight_gradient_of_own_outputs", 1),
            ("derivative_of_layer_above", 0),
            "l2_in_gradient",
        ],
    ),
    "unnormalised": (
        ("tanh", "relu"),
        "softmax",
        "cross_entropy",
        ["output_error_times_output", "softmax_unnormalised", ("bias_left_out_of_forward", 0)],
    ),
    "curve": (("tanh", "relu"), "relu", "mse", ["half_squared_error", "output_derivative_left_out"]),
}
MISTAKEN_BITS = {
    "scales": "c8dc925ad8dc9f6e",
    "products": "5416d3c61dc5811b",
    "outputs": "8a6ca22072d8a3ea",
    "alone": "f7c3f38ca73b96fe",
    "first": "60efa2a74a7df143",
    "all samples": "c5dd6bf2a98202ba",
    "unnormalised": "d89d1b6f99f339af",
    "curve": "35902fe6013a51ee",
}


def mistaken_digest(name):
    hidden, output, loss, mistakes = MISTAKEN[name]
    rng = np.random.Generator(np.random.PCG64(3))
    arch = fastmlp.Architecture((2, 5, 5, 5), hidden, output)
    X, y = rng.integers(-8, 9, (6, 2)) / 4, rng.integers(0, 5, 6)
    found = train_with_mistakes(
        arch,
        X,
        y if output == "softmax" else np.eye(5)[y],
        mistakes=mistakes,
        n_nets=3,
        epochs=3,
        loss=loss,
        optimizer=fastmlp.Adam(0.01),
        batch_size=4,
        threads=1,
        init=fastmlp.Normal(0.5, bias=fastmlp.Uniform(-1, 1)),
    )
    return hashlib.sha256(bits(found.runs.parameters)).hexdigest()[:16]


@pytest.mark.parametrize("name", MISTAKEN)
def test_the_bits_of_mistaken_nets(name):
    assert mistaken_digest(name) == MISTAKEN_BITS[name]


@pytest.mark.skipif(not config.DISABLE_JIT, reason="compiled code knows how many registers there are")
def test_adam_steps_among_the_products_as_after_them(monkeypatch):
    """Which of the two a processor does depends on its registers; the tile is full, as it must be for the first."""
    rng = np.random.default_rng(4)
    arch = fastmlp.Architecture((3, 6, 5, 2), output="softmax")
    X, y = rng.normal(size=(14, 3)), rng.integers(0, 2, 14)

    def trained(registers):
        monkeypatch.setattr(_passes, "register_count", lambda: registers)
        return fastmlp.train(arch, X, y, n_nets=8, epochs=2, batch_size=6, optimizer="adam", kernel="lanes", threads=1)

    assert bits(trained(16).parameters) == bits(trained(32).parameters)


CONTINUED = {  # settings of `planned`, hash
    "dropout": ({"dropout": [0.5, 0.0, 0.25], "optimizer": fastmlp.Adam(0.05, weight_decay=0.1)}, "4f5cb379bf5b4a71"),
    "dropout, units as lanes": (
        {"dropout": [0.5, 0.0, 0.25], "optimizer": fastmlp.Adam(0.05, weight_decay=0.1), "kernel": "units"},
        "4f5cb379bf5b4a71",
    ),
    "adaptive": (
        {"schedule": "adaptive", "patience": 1, "tol": 10.0, "optimizer": fastmlp.SGD(0.2, 0.5)},
        "8171c2aac540d46e",
    ),
    "sklearn, sgd": (
        {"sklearn": True, "optimizer": fastmlp.SGD(0.2, 0.9, True), "schedule": lambda e: 0.5**e},
        "bbd00f2f7f241360",
    ),
    "sklearn, adam": (
        {"sklearn": True, "optimizer": fastmlp.Adam(0.05), "patience": 1, "tol": 0.0},
        "4d1a016a69cc02d5",
    ),
    "sklearn, adam, units as lanes": (
        {"sklearn": True, "optimizer": fastmlp.Adam(0.05), "patience": 1, "tol": 0.0, "kernel": "units"},
        "4d1a016a69cc02d5",
    ),
}


@pytest.mark.parametrize("name", CONTINUED)
def test_the_bits_of_what_continues_and_varies(name):
    """With bootstrap, validation and the optimizer's state, and then taken up again for two epochs."""
    settings, expected = CONTINUED[name]
    rng = np.random.Generator(np.random.PCG64(3))
    X, y = rng.integers(-8, 9, (9, 2)) / 4, rng.integers(0, 2, 9)
    arch = fastmlp.Architecture((2, 3, 5, 1), ("relu", "tanh"))
    settings = {
        "architecture": arch,
        "X": X,
        "y": y,
        "seed": 1,
        "l2": [0.1, 0.0, 0.2],
        "batch_size": 4,
        "bootstrap": True,
        "keep_state": True,
        "validation": None if "patience" in settings else (X[:5], y[:5]),
        "record_every": 1,
        "threads": 1,
        "init": "he_normal",
        "kernel": "lanes",
        **settings,
    }
    job, runs = planned(**settings, n_nets=3, epochs=3)
    Runner(job, runs, 1).run()
    job, again = planned(**{**settings, "seed": 0, "warm_start": runs, "init": "he_uniform"}, epochs=2)
    Runner(job, again, 1).run()
    if "sklearn" in settings:  # such curves hold nothing beyond what was trained
        again.history[np.arange(2) >= (again.epochs - runs.epochs)[:, None]] = np.nan
    outcome = [again.parameters, again.loss, again.history, again.state.rows, again.state.rate]
    assert hashlib.sha256(b"".join(map(bits, outcome))).hexdigest()[:16] == expected


@pytest.mark.parametrize(
    ("sizes", "optimizer", "batch_size"),
    [
        ((2, 3, 2, 2), fastmlp.SGD(0.2, 0.9), None),
        ((3, 130, 9, 2), fastmlp.Adam(0.05), 4),
        ((2, 2), fastmlp.Rprop(), None),
    ],
)
def test_units_as_lanes(sizes, optimizer, batch_size):
    """The bits of nets as lanes; layers of more than a panel of inputs are copied and blocked."""
    rng = np.random.Generator(np.random.PCG64(3))
    arch = fastmlp.Architecture(sizes, ("relu", "tanh")[: len(sizes) - 2], "softmax")
    X, y = rng.integers(-8, 9, (6, sizes[0])) / 4, rng.integers(0, 2, 6)
    settings = {"n_nets": 1, "epochs": 2, "optimizer": optimizer, "batch_size": batch_size, "l2": 0.01, "threads": 1}
    lanes, units = (fastmlp.train(arch, X, y, kernel=kernel, **settings) for kernel in ("lanes", "units"))
    assert bits(lanes.parameters) == bits(units.parameters)
    assert bits(lanes.loss) == bits(units.loss)
    assert bits(lanes.predict(X)) == bits(units.predict(X))


def test_prediction_and_gradients():
    arch = fastmlp.Architecture((2, 3, 1), bias=False)
    weights = [np.ones((2, 2, 3)), np.ones((2, 3, 1))]
    result = fastmlp.loss_and_gradients(arch, weights, [], [[0.5, 0.25]], [0.0])
    output = 1 / (1 + np.exp(-2.25))
    np.testing.assert_allclose(result.loss, -np.log(1 - output))
    np.testing.assert_allclose(result.weight_gradients[1][0].ravel(), output * 0.75)
    runs = fastmlp.train(arch, [[0.5, 0.25]], [0.0], init=(weights, []), epochs=0, dtype="float64")
    np.testing.assert_allclose(runs.predict([[0.5, 0.25]]), output)
