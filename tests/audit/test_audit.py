"""The audit of somebody's own backpropagation: it names every mistake, and calls nothing wrong that is right."""

import os
from itertools import combinations, islice

import numpy as np
import pytest

import fastmlp
from fastmlp import _check_data as checks
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp.audit.backpropagation import Problem
from fastmlp.audit.mistakes import BACKWARD, FORWARD, Placed

UPDATED = "weights_updated_before_passing_down"


ALL = bool(os.environ.get("FASTMLP_TEST_ALL"))  # as many nets as the promises say, more than there is time for each day


def random_net(rng):
    """Architecture, data, weights, biases and loss of a small net."""
    output = str(rng.choice(["sigmoid", "sigmoid", "softmax", "identity", "relu"]))
    n_hidden, n = int(rng.integers(1, 4)), int(rng.integers(5, 40))
    sizes = [int(size) for size in rng.integers(2, 7, n_hidden + 1)]
    if rng.random() < 0.4:
        sizes = sizes[:1] * (n_hidden + 1)
    sizes.append(int(rng.integers(2, 5)) if output == "softmax" else int(rng.integers(1, 4)))
    hidden = [str(name) for name in rng.choice(["relu", "relu", "sigmoid", "tanh", "leaky_relu"], n_hidden)]
    arch = fastmlp.Architecture(sizes, hidden, output, leaky_slope=0.1)
    y = {"softmax": lambda: rng.integers(0, sizes[-1], n), "sigmoid": lambda: rng.integers(0, 2, (n, sizes[-1]))}.get(
        output, lambda: rng.normal(size=(n, sizes[-1])) + (output == "relu")
    )()
    weights = [rng.normal(size=shape) * 1.2 / np.sqrt(shape[0]) for shape in arch.shapes]
    biases = [rng.normal(size=shape[1]) * 0.4 for shape in arch.shapes]
    if output == "relu":
        biases[-1] = np.abs(biases[-1]) + 0.5
    loss = str(rng.choice(list(LOSSES[arch.activations[-1]])))
    return {
        "architecture": arch,
        "weights": weights,
        "biases": biases,
        "X": rng.normal(size=(n, sizes[0])),
        "y": y,
        "loss": loss,
    }


def problem(net, l2=0.0):
    arch = net["architecture"]
    code = Loss(LOSSES[arch.activations[-1]][net["loss"]])
    targets = checks.targets(net["y"], arch, code, len(net["X"]), np.dtype(float))
    return Problem(arch.activations, 0.1, net["weights"], net["biases"], net["X"], targets, code, l2)


SQUARE_ONLY = {  # layers of equal sizes
    "derivative_of_layer_below",
    "derivative_of_layer_above",
    "weight_gradient_of_own_outputs",
    "passed_down_by_untransposed_weights",
    "passed_down_by_other_weights",
}
TANH_ONLY = {"tanh_derivative_one_minus_output", "tanh_derivative_of_sigmoid"}
OF_OUTPUT_ACTIVATION = {
    "output_derivative_of_output",
    "output_derivative_twice",
    "output_derivative_left_out",
    "squared_error_with_cross_entropy",
    "cross_entropy_first_term",
    "minus_target_over_output",
    "output_error_times_output",
}


@pytest.mark.parametrize(
    ("sizes", "hidden", "output", "impossible"),
    [
        (
            (3, 3, 3, 2),
            ("sigmoid", "tanh"),
            "sigmoid",
            {"half_squared_error", "relu_derivative_at_least_zero", "leaky_slope_left_out", "l2_left_out"},
        ),
        (
            (2, 4, 5, 3),
            ("relu", "leaky_relu"),
            "softmax",
            SQUARE_ONLY
            | TANH_ONLY
            | {
                "sum_over_outputs",
                "half_squared_error",
                "output_derivative_of_output",
                "output_derivative_left_out",
                "hidden_derivative_of_output",  # the sign of a is that of z
                "l2_left_out",
            },
        ),
        (
            (2, 4, 1),
            "relu",
            "identity",
            OF_OUTPUT_ACTIVATION
            | TANH_ONLY
            | (
                SQUARE_ONLY
                - {
                    "derivative_of_layer_above"  # of one number, for all units
                }
            )
            | {
                "sum_over_outputs",
                "hidden_derivative_of_output",
                "hidden_derivative_twice",
                "hidden_derivative_left_out",  # 1, and that of a >= 0
                "leaky_slope_left_out",
                "l2_left_out",
            },
        ),
    ],
)
def test_a_net_can_have_every_mistake_that_its_parts_allow(sizes, hidden, output, impossible):
    """By thinking, not by the catalogue: one that leaves a mistake out would never name it."""
    rng = np.random.default_rng(0)
    arch = fastmlp.Architecture(sizes, hidden, output, leaky_slope=0.1)
    y = {"sigmoid": rng.integers(0, 2, (6, 2)), "softmax": np.arange(6) % 3, "identity": rng.normal(size=6)}[output]
    net = {
        "architecture": arch,
        "weights": [rng.normal(size=shape) for shape in arch.shapes],
        "loss": arch.default_loss,
        "biases": [rng.normal(size=shape[1]) for shape in arch.shapes],
        "X": rng.normal(size=(6, sizes[0])),
        "y": y,
    }
    assert set(BACKWARD) - set(problem(net).backward_mistakes()) == impossible
    with_l2 = set(BACKWARD) - set(problem(net, l2=0.1).backward_mistakes())
    assert with_l2 == impossible - {"l2_left_out"}


def somewhere(rng, p, name):
    """The mistake, in some of the layers that it can be in, with numbers of its own."""
    layers, n = np.array(p.places(name)), len(p.X)
    if not BACKWARD[name].has_layers:
        if name == "one_sample":
            return Placed(name, sample=int(rng.integers(n)))
        if name == "one_minibatch":
            first = int(rng.integers(n - 2))
            return Placed(name, sample=first, stop=int(rng.integers(first + 2, n if first == 0 else n + 1)))
        return Placed(name, number=10 ** rng.uniform(-2, 0) if name in ("l2_in_gradient", UPDATED) else 0.0)
    chosen = layers if rng.random() < 0.5 else layers[rng.random(len(layers)) < 0.5]
    chosen = tuple(int(layer) for layer in (chosen if len(chosen) else layers[:1]))
    other = None
    if name == "passed_down_by_other_weights":
        chosen = chosen[:1]
        other = int(rng.choice(p.other_weights(chosen[0])))
    return Placed(name, chosen, sample=int(rng.integers(n)) if name.endswith("of_one_sample") else None, other=other)


def with_mistakes(p, mistakes):
    """The gradients that somebody with these mistakes computes; weights are updated by the gradients themselves."""
    rate = next((m.number for m in mistakes if m.name == UPDATED), 0.0)
    p.given = [np.zeros_like(w) for w in p.weights]
    for _ in range(p.n_layers):  # from the top down, each layer's is known when it is passed through
        p.given = p.gradients(mistakes, rate)[0]
    return p.gradients(mistakes, rate)


def differ(one, other):
    pairs = zip([*one[0], *one[1]], [*other[0], *other[1]], strict=True)
    return any(np.abs(a - b).max() > 0.01 * max(np.abs(b).max(), 1e-12) for a, b in pairs)


def audited(net, gradients, **more):
    return fastmlp.audit_gradients(**net, weight_gradients=gradients[0], bias_gradients=gradients[1], **more)


def nets_that_show(rng, names, tries=10**6):
    """Nets where these mistakes can be made, and cannot be told from nothing, or from fewer of them or in fewer layers.

    No net can have, or show, some pairs: after a given number of nets without one there are no more.
    """
    in_vain = 0
    while in_vain < tries:
        in_vain += 1
        net = random_net(rng)
        p = problem(net, 0.1 if "l2_left_out" in names else 0.0)
        if not all(p.places(name) for name in names):
            continue
        mistakes = [somewhere(rng, p, name) for name in names]
        gradients = with_mistakes(p, mistakes)
        if not all(np.isfinite(g).all() for arrays in gradients for g in arrays):
            continue
        fewer = [[*mistakes[:k], *mistakes[k + 1 :]] for k in range(len(mistakes))]
        for k, mistake in enumerate(mistakes):
            for layer in mistake.layers if len(mistake.layers) > 1 else ():
                left = mistake._replace(layers=tuple(other for other in mistake.layers if other != layer))
                fewer.append([*mistakes[:k], left, *mistakes[k + 1 :]])
        if all(differ(gradients, with_mistakes(p, others)) for others in fewer):
            in_vain = 0
            yield net, p, gradients, mistakes


@pytest.mark.parametrize("number", [5, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", BACKWARD)
def test_every_mistake_is_named_with_its_layers(name, number):
    found = nets_that_show(np.random.default_rng(number), [name])
    for _ in range(number):
        net, p, gradients, (mistake,) = next(found)
        audit = audited(net, gradients, l2=p.l2)
        assert not audit.right
        assert (name,) in (audit.mistakes, *audit.alternatives), audit
        told = next(places[0] for places in (audit.places, *audit.other_places) if places[0].name == name)
        assert told.layers == mistake.layers, audit
        if audit.mistakes == (name,):
            if told.sample != mistake.sample:  # then the two give the same gradients
                assert not differ(with_mistakes(p, [told]), gradients), audit
            assert np.isclose(told.number or 1.0, mistake.number or 1.0), audit
            assert told.other == mistake.other, audit
        if audit.mistakes == (UPDATED,):
            assert np.isclose(audit.learning_rate, mistake.number)


PAIRS = [
    (one, other)
    for one, other in combinations(BACKWARD, 2)
    if not BACKWARD[one].slots & BACKWARD[other].slots and "one_minibatch" not in (one, other)
]


@pytest.mark.parametrize("number", [1, pytest.param(10 if ALL else 2, marks=pytest.mark.slow)])
def test_pairs_of_mistakes_are_named(number):
    """Every fifteenth of them in the quick run."""
    rng = np.random.default_rng(number)
    named = shown = 0
    for pair in PAIRS[:: 15 if number == 1 else 1]:
        for net, p, gradients, _ in islice(nets_that_show(rng, pair, 400), number):
            audit = audited(net, gradients, l2=p.l2)
            named += tuple(sorted(pair)) in (audit.mistakes, *audit.alternatives)
            shown += 1
    assert shown >= 0.7 * number * len(PAIRS[:: 15 if number == 1 else 1])
    assert named >= 0.9 * shown


@pytest.mark.parametrize("number", [1, pytest.param(400 if ALL else 60, marks=pytest.mark.slow)])
def test_right_gradients_are_called_right(number):
    """As fastmlp's kernels compute them, 25 nets at once, in float32 and in float64."""
    rng = np.random.default_rng(0)
    for _ in range(number):
        net = random_net(rng)
        weights = [np.stack([rng.normal(size=w.shape) * np.abs(w).mean() for _ in range(25)]) for w in net["weights"]]
        biases = [np.stack([rng.permutation(b) for _ in range(25)]) for b in net["biases"]]
        for dtype in ("float32", "float64"):
            rounded = [w.astype(dtype) for w in weights], [b.astype(dtype) for b in biases]
            found = fastmlp.loss_and_gradients(
                net["architecture"], *rounded, net["X"], net["y"], loss=net["loss"], dtype=dtype
            )
            for k in range(25):
                own = {**net, "weights": [w[k] for w in rounded[0]], "biases": [b[k] for b in rounded[1]]}
                audit = audited(own, ([g[k] for g in found.weight_gradients], [g[k] for g in found.bias_gradients]))
                assert audit.right, audit
                assert str(audit) == "The gradients are right."


# ------------------------------------------------------------------- mistakes as people write them, by hand

X = np.random.default_rng(5).normal(size=(12, 3))
Y = (X[:, :1] * X[:, 1:2] > 0).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class ByHand:
    """A 3-4-1 net, sigmoid hidden or ReLU, written out as in a tutorial."""

    def __init__(self, hidden):
        rng = np.random.default_rng(1)
        self.W1, self.b1 = rng.normal(size=(3, 4)), rng.normal(size=(1, 4))
        self.W2, self.b2 = rng.normal(size=(4, 1)), rng.normal(size=(1, 1))
        self.Z1 = X @ self.W1 + self.b1
        self.A1 = sigmoid(self.Z1) if hidden == "sigmoid" else np.maximum(0, self.Z1)
        self.Z2 = self.A1 @ self.W2 + self.b2
        self.A2 = sigmoid(self.Z2)
        self.m = len(X)


def audit_by_hand(hidden, backward, **more):
    net = ByHand(hidden)
    dW1, db1, dW2, db2 = backward(net)
    return fastmlp.audit_gradients(
        fastmlp.Architecture((3, 4, 1), hidden=hidden),
        [net.W1, net.W2],
        [net.b1, net.b2],
        X,
        Y,
        [dW1, dW2],
        [db1, db2],
        **more,
    )


def derivative(a):
    return a * (1 - a)


def backward(n, top=None, hidden=None, pass_down=None):
    top = (n.A2 - Y) / n.m if top is None else top
    below = (top @ n.W2.T if pass_down is None else pass_down) * (derivative(n.A1) if hidden is None else hidden)
    return X.T @ below, below.sum(axis=0), n.A1.T @ top, top.sum(axis=0)


def updated_too_early(n):
    top = (n.A2 - Y) / n.m
    W2 = n.W2 - 0.5 * n.A1.T @ top
    return backward(n, pass_down=top @ W2.T)


def bias_over_all(n):
    dW1, db1, dW2, db2 = backward(n)
    return dW1, np.full(4, db1.sum()), dW2, db2


@pytest.mark.parametrize(
    ("name", "hidden", "written"),
    [
        (None, "sigmoid", backward),
        (None, "relu", lambda n: backward(n, hidden=n.Z1 > 0)),
        ("hidden_derivative_of_output", "sigmoid", lambda n: backward(n, hidden=sigmoid(n.A1) * (1 - sigmoid(n.A1)))),
        ("hidden_derivative_left_out", "sigmoid", lambda n: backward(n, hidden=1)),
        ("output_derivative_twice", "sigmoid", lambda n: backward(n, top=(n.A2 - Y) * n.A2 * (1 - n.A2) / n.m)),
        (
            "squared_error_with_cross_entropy",
            "sigmoid",
            lambda n: backward(n, top=2 * (n.A2 - Y) * n.A2 * (1 - n.A2) / n.m),
        ),
        ("relu_derivative_at_least_zero", "relu", lambda n: backward(n, hidden=n.A1 >= 0)),
        ("sum_for_mean", "sigmoid", lambda n: backward(n, top=n.A2 - Y)),
        ("mean_over_features", "sigmoid", lambda n: backward(n, top=(n.A2 - Y) / X.shape[1])),
        ("sign_flipped", "sigmoid", lambda n: backward(n, top=(Y - n.A2) / n.m)),
        ("derivative_of_layer_above", "sigmoid", lambda n: backward(n, hidden=derivative(n.A2))),
        (UPDATED, "sigmoid", updated_too_early),
        ("bias_summed_over_units", "sigmoid", bias_over_all),
    ],
)
def test_mistakes_as_people_write_them(name, hidden, written):
    audit = audit_by_hand(hidden, written)
    if name is None:
        assert audit.right
    else:
        assert not audit.gradients_right
        assert audit.mistakes == (name,), audit
        assert BACKWARD[name].meaning in str(audit)
        assert BACKWARD[name].line in str(audit)


def test_the_report_says_which_array_and_how_far_off():
    text = str(audit_by_hand("relu", lambda n: backward(n, hidden=n.A1 >= 0)))
    assert text.startswith("The gradients are wrong: bias_gradients[0][")
    assert "and should be" in text
    assert "These are right: weight_gradients[1], bias_gradients[1]." in text


def test_a_factor_that_no_mistake_explains():
    audit = audit_by_hand("sigmoid", lambda n: tuple(1.7 * g for g in backward(n)))
    assert not audit.right
    assert audit.mistakes == ()
    assert np.isclose(audit.factor, 1.7)
    assert "All gradients are 1.7 times the right ones." in str(audit)


def test_what_nothing_explains():
    rng = np.random.default_rng(0)
    audit = audit_by_hand("sigmoid", lambda n: tuple(g + rng.normal(size=g.shape) for g in backward(n)))
    assert not audit.right
    assert "No known mistake, and no pair of them, explains this." in str(audit)


# ------------------------------------------------------------------------------------------------ forward


@pytest.mark.parametrize("number", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FORWARD)
def test_every_forward_mistake_is_named(name, number):
    rng, seen = np.random.default_rng(3), 0
    while seen < number:
        net = random_net(rng)
        p = problem(net)
        possible = [mistake for mistake in p.forward_mistakes() if mistake.name == name]
        if not possible:
            continue
        mistake = possible[rng.integers(len(possible))]
        outputs = p.forward([mistake])[1][-1]
        fewer = [mistake._replace(layers=tuple(k for k in mistake.layers if k != layer)) for layer in mistake.layers]
        if any(np.abs(outputs - p.forward([other])[1][-1]).max() < 0.01 for other in fewer):
            continue
        seen += 1
        p.z, p.a = p.forward([mistake])
        audit = audited(net, p.gradients(), outputs=outputs)
        assert not audit.right
        assert audit.outputs_right is False
        assert name in audit.forward_mistakes, audit
        assert mistake in audit.forward_places, audit
        if audit.forward_mistakes[0] == name:
            assert audit.gradients_right
        assert FORWARD[audit.forward_mistakes[0]].meaning in str(audit)


def test_a_sigmoid_applied_twice_by_hand():
    net = ByHand("sigmoid")
    outputs = 1 / (1 + sigmoid(-net.Z2))
    audit = audit_by_hand("sigmoid", lambda n: backward(n, top=(outputs - Y) / n.m), outputs=outputs[:, 0])
    assert audit.forward_mistakes == ("sigmoid_of_sigmoid",)
    assert audit.gradients_right
    assert "lies between 1/2 and 1" in str(audit)
    right = audit_by_hand("sigmoid", backward, outputs=net.A2)
    assert right.right
    assert right.outputs_right


# ------------------------------------------------------------------------------------------------ input


@pytest.mark.parametrize("square", [False, True])
def test_weights_in_either_orientation(square):
    rng = np.random.default_rng(2)
    arch = fastmlp.Architecture((3, 3, 3) if square else (3, 4, 2))
    weights, biases = [rng.normal(size=s) for s in arch.shapes], [rng.normal(size=s[1]) for s in arch.shapes]
    y = rng.integers(0, 2, (12, arch.sizes[-1]))
    exact = fastmlp.loss_and_gradients(arch, [w[None] for w in weights], [b[None] for b in biases], X, y)
    gradients = [g[0] for g in exact.weight_gradients], [g[0] for g in exact.bias_gradients]
    turned = [w.T for w in weights], biases, X, y, [g.T for g in gradients[0]], gradients[1]
    assert fastmlp.audit_gradients(arch, weights, biases, X, y, *gradients).right
    assert fastmlp.audit_gradients(arch, *turned).right
    assert fastmlp.audit_gradients(arch, weights, biases, X, y, gradients[0]).right  # the weights' alone


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": (3, 4, 1)}, r"needs a fastmlp\.Architecture"),
        ({"weights": [np.zeros((3, 4))]}, "weights is 1 arrays; needs a list of 2"),
        ({"weights": [np.zeros((3, 5)), np.zeros((5, 1))]}, r"weights have the shapes .*; needs"),
        (
            {"weight_gradients": [np.zeros((4, 3)), np.zeros((1, 4))]},
            r"weight_gradients\[0\] has shape \(4, 3\); needs \(3, 4\)",
        ),
        ({"biases": [np.zeros(3), np.zeros(1)]}, r"biases\[0\] has shape \(3,\); needs 4 numbers"),
        ({"bias_gradients": None, "weight_gradients": [np.full((3, 4), np.nan), np.zeros((4, 1))]}, "nan"),
        ({"outputs": np.zeros((12, 2))}, r"outputs have shape \(12, 2\); needs \(12, 1\)"),
        ({"loss": "hinge"}, "hinge"),
        ({"X": np.zeros((12, 2))}, "needs 3 columns|X needs 3"),
    ],
)
def test_bad_input_is_refused(changes, message):
    net = ByHand("sigmoid")
    dW1, db1, dW2, db2 = backward(net)
    arguments = {
        "architecture": fastmlp.Architecture((3, 4, 1), hidden="sigmoid"),
        "weights": [net.W1, net.W2],
        "biases": [net.b1, net.b2],
        "X": X,
        "y": Y,
        "weight_gradients": [dW1, dW2],
        "bias_gradients": [db1, db2],
    }
    assert fastmlp.audit_gradients(**arguments).right
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.audit_gradients(**{**arguments, **changes})
