"""Training with mistakes: the compiled program is `audit/backpropagation`'s, and without a mistake it is `train`."""

import numpy as np
import pytest

import fastmlp
from fastmlp import _check_data as checks
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp.audit.backpropagation import Problem
from fastmlp.audit.mistakes import FORWARD, MISTAKES, Placed
from fastmlp.audit.training import L2_ADDED, train_with_mistakes

RNG = np.random.default_rng(4)
X = RNG.normal(size=(9, 3))
ARCHITECTURES = [
    (
        fastmlp.Architecture((3, 5, 5, 5, 1), ("tanh", "relu", "leaky_relu"), leaky_slope=0.1),
        RNG.integers(0, 2, 9),
        None,
    ),
    (fastmlp.Architecture((3, 3, 3, 3), ("sigmoid", "tanh"), "softmax"), RNG.integers(0, 3, 9), None),
    (fastmlp.Architecture((3, 6, 6, 2), ("relu", "relu")), RNG.integers(0, 2, (9, 2)), "mse"),
    (fastmlp.Architecture((3, 4, 4), "tanh", "softmax"), RNG.integers(0, 4, 9), "mse"),
    (
        fastmlp.Architecture((3, 6, 6, 2), ("leaky_relu", "sigmoid"), "identity", leaky_slope=0.1),
        RNG.normal(size=(9, 2)),
        None,
    ),
    (fastmlp.Architecture((3, 5, 2), "tanh", "relu"), RNG.normal(size=(9, 2)), None),
    (fastmlp.Architecture((3, 2), output="sigmoid"), RNG.integers(0, 2, (9, 2)), None),
]
INIT = fastmlp.initializers.Normal(0.6, bias=fastmlp.initializers.Normal(0.3))


def possible(name):
    """The nets that can have a mistake."""
    found = []
    for arch, y, loss in ARCHITECTURES:
        try:
            train_with_mistakes(
                arch, X, y, loss=loss, mistakes=name, n_nets=1, epochs=0, l2=0.1 if name == "l2_left_out" else 0.0
            )
        except ValueError:
            continue
        found.append((arch, y, loss))
    return found


@pytest.mark.parametrize("name", [name for name in MISTAKES if name != "one_minibatch"])
def test_a_step_is_along_the_gradients_of_the_reference(name):
    nets, l2, rate = possible(name), 0.1 if name == "l2_left_out" else 0.0, 0.125
    assert nets
    for arch, y, loss in nets:
        settings = {"loss": loss, "n_nets": 3, "seed": 5, "init": INIT, "optimizer": fastmlp.SGD(rate), "l2": l2}
        before = train_with_mistakes(arch, X, y, mistakes=name, epochs=0, **settings).runs
        after = train_with_mistakes(arch, X, y, mistakes=name, epochs=1, **settings)
        code = Loss(LOSSES[arch.activations[-1]][loss or arch.default_loss])
        targets = checks.targets(y, arch, code, len(X), np.dtype(float))
        for k in range(3):
            w, b = [layer[k] for layer in before.weights], [layer[k] for layer in before.biases]
            moved = [(old - new[k]) / rate for old, new in zip(w, after.runs.weights, strict=True)]
            moved += [(old - new[k]) / rate for old, new in zip(b, after.runs.biases, strict=True)]
            made = [m._replace(number=L2_ADDED) if m.name == "l2_in_gradient" else m for m in after.mistakes]
            forward = tuple(m for m in made if m.name in FORWARD)
            p = Problem(arch.activations, 0.1, w, b, X, targets, code, l2, given=moved, forward_mistakes_made=forward)
            weights, biases = p.gradients([m for m in made if m not in forward], rate)
            for found, wanted in zip(moved, [*weights, *biases], strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-10 * (1 + np.abs(wanted).max()))


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_size": 1, "shuffle": False},
        {"batch_size": 4, "optimizer": fastmlp.Adam(0.01, weight_decay=0.1), "l2": 0.01},
        {"optimizer": fastmlp.SGD(0.1, momentum=0.9, nesterov=True)},
        {"batch_size": 5, "optimizer": fastmlp.RMSprop(0.01)},
        {"optimizer": fastmlp.Rprop(0.01)},
    ],
)
def test_without_a_mistake_it_is_train(settings, dtype):
    for arch, y, loss in ARCHITECTURES:
        asked = {"n_nets": 21, "seed": 3, "epochs": 12, "loss": loss, "dtype": dtype, "init": INIT, **settings}
        right = fastmlp.train(arch, X, y, **asked)
        found = train_with_mistakes(arch, X, y, mistakes=[], **asked)
        np.testing.assert_array_equal(found.runs.parameters, right.parameters)
        np.testing.assert_array_equal(found.runs.status, right.status)
        np.testing.assert_allclose(found.runs.loss, right.loss, rtol=1e-4 if dtype == "float32" else 1e-9)
        np.testing.assert_array_equal(found.runs.accuracy, right.accuracy)
        np.testing.assert_allclose(found.outputs, right.predict(X), rtol=1e-4, atol=1e-5)


def test_bits_do_not_depend_on_threads_or_on_the_nets_beside():
    arch, y, loss = ARCHITECTURES[0]
    asked = {
        "mistakes": ["bias_summed_over_units", ("hidden_derivative_twice", 0)],
        "seed": 3,
        "epochs": 40,
        "loss": loss,
    }
    all_nets = train_with_mistakes(arch, X, y, n_nets=70, threads=2, **asked)
    some = train_with_mistakes(arch, X, y, net_ids=[69, 3, 40], threads=1, **asked)
    np.testing.assert_array_equal(all_nets.runs.parameters[[69, 3, 40]], some.runs.parameters)


@pytest.mark.parametrize(
    ("mistakes", "message"),
    [
        ("nonsense", "nonsense"),
        ("softmax_over_samples", "cannot be made in"),
        (("hidden_derivative_twice", 1), "cannot be made in layer 1"),
        (("sum_for_mean", 0), "leave the layers out"),
        (["sum_for_mean", "mean_twice"], "change the same code"),
        ("one_minibatch", "pass batch_size"),
        (3, "needs a name"),
    ],
)
def test_what_cannot_be_made_is_refused(mistakes, message):
    arch, y, _ = ARCHITECTURES[0]
    with pytest.raises((ValueError, TypeError), match=message):
        train_with_mistakes(arch, X, y, mistakes=mistakes, n_nets=2, epochs=1)


def test_nets_that_diverge_leave():
    arch, y, loss = ARCHITECTURES[4]
    found = train_with_mistakes(
        arch, X, y, mistakes="sign_flipped", n_nets=5, epochs=2000, optimizer=fastmlp.SGD(1.0), loss=loss
    )
    assert (found.runs.status == fastmlp.Status.DIVERGED).all()
    assert found.n_solved == 0


def test_a_place_is_a_pair_of_a_name_and_layers():
    arch, y, _ = ARCHITECTURES[0]
    found = train_with_mistakes(arch, X, y, mistakes=[("bias_gradient_zero", (0, 2))], n_nets=2, epochs=3)
    assert found.mistakes == (Placed("bias_gradient_zero", (0, 2)),)
    before = train_with_mistakes(arch, X, y, mistakes=[], n_nets=2, epochs=0).runs
    changed = [not np.array_equal(a, b) for a, b in zip(before.biases, found.runs.biases, strict=True)]
    assert changed == [False, True, False, True]
