"""The cause of every net that is built to have it, the report, the changes that are tried, and theory."""

import os
import pickle

import numpy as np
import pytest

import fastmlp
from fastmlp import Cause
from fastmlp._engine.unit_statistics import inspected
from fastmlp._kernels.formulas.losses import Loss
from fastmlp.diagnosis import baselines, causes, examine
from fastmlp.diagnosis.problem import Problem
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.diagnosis.trials import HeldOut
from fastmlp.diagnosis.verdict import CERTAIN, FAULT_THAT_A_CHANGE_SHOWS, FAULTS
from fastmlp.statistics import differ, restarts_needed, wilson_intervals
from tests.support.data import XOR_X, XOR_Y

RNG = np.random.default_rng(0)
N = 30  # of each cause
ALL = bool(os.environ.get("FASTMLP_TEST_ALL"))  # as many settings as the promises say


def nets(arch, weights, biases, X=XOR_X, y=XOR_Y, epochs=0, optimizer=None, **settings):
    """Runs of nets with these weights, trained a little or not at all."""
    return fastmlp.train(
        arch, X, y, init=(weights, biases), epochs=epochs, optimizer=optimizer or fastmlp.SGD(0.1), **settings
    )


def drawn(rng, arch, n=N, scale=1.0):
    weights = [rng.normal(size=(n, a, b)) * scale for a, b in arch.shapes]
    return weights, [rng.normal(size=(n, b)) * scale for _, b in arch.shapes] if arch.bias else []


def solved(rng):
    runs = fastmlp.train(
        fastmlp.Architecture((2, 8, 1), "tanh"), XOR_X, XOR_Y, n_nets=2 * N, optimizer=fastmlp.Adam(0.05)
    )
    return runs[np.flatnonzero((runs.predict(XOR_X)[:, :, 0].round() == XOR_Y).all(axis=1))[:N]], XOR_X, XOR_Y


def diverged(rng):
    X = rng.normal(size=(20, 2))
    arch = fastmlp.Architecture((2, 4, 1), output="identity")
    runs = fastmlp.train(arch, X, X[:, 0] * 2, n_nets=4 * N, optimizer=fastmlp.SGD(30.0), epochs=300)
    broken = ~np.isfinite(runs.predict(X)).all(axis=(1, 2)) | np.isnan(runs.loss)
    return runs[np.flatnonzero(broken)[:N]], X, X[:, 0] * 2


def zero_input(rng):
    arch = fastmlp.Architecture((2, 5, 3, 1), "tanh", bias=False)
    return nets(arch, *drawn(rng, arch), epochs=50), XOR_X, XOR_Y


def symmetric(rng):
    arch = fastmlp.Architecture((2, 4, 1), "tanh")
    values = rng.uniform(0.2, 1, (2, N))
    weights = [
        np.broadcast_to(values[0, :, None, None], (N, 2, 4)),
        np.broadcast_to(values[1, :, None, None], (N, 4, 1)),
    ]
    return nets(arch, weights, [np.zeros((N, 4)), np.zeros((N, 1))], epochs=200), XOR_X, XOR_Y


def dead_layer(rng):
    arch = fastmlp.Architecture((2, 6, 4, 1))
    weights, biases = drawn(rng, arch)
    biases[int(rng.integers(2))][...] = -50
    return nets(arch, weights, biases, epochs=20), XOR_X, XOR_Y


def dead_output(rng):
    arch = fastmlp.Architecture((2, 6, 1), output="relu")
    weights, biases = drawn(rng, arch)
    weights[1], biases[1] = -np.abs(weights[1]), np.full((N, 1), -0.1)
    return nets(arch, weights, biases, epochs=20), XOR_X, XOR_Y


def saturated_units(rng):
    arch = fastmlp.Architecture((2, 6, 1), "sigmoid")
    weights, biases = drawn(rng, arch)
    biases[0][...] = 30 * rng.choice([-1, 1], (N, 6))
    return nets(arch, weights, biases, epochs=20), XOR_X, XOR_Y


def saturated_outputs(rng):
    arch = fastmlp.Architecture((2, 6, 1), "tanh")
    weights, biases = drawn(rng, arch, scale=0.5)
    biases[1][...] = 15 * rng.choice([-1, 1], (N, 1))
    return nets(arch, weights, biases, epochs=20, loss="mse"), XOR_X, XOR_Y


def vanishing(rng):
    arch = fastmlp.Architecture((2, 6, 6, 6, 1), "sigmoid")
    return nets(arch, *drawn(rng, arch, scale=0.1), epochs=50), XOR_X, XOR_Y


def vanishing_tiny_weights(rng):
    arch = fastmlp.Architecture((2, 4, 4, 1), "tanh")
    return nets(arch, *drawn(rng, arch, scale=1e-3), epochs=50, optimizer=fastmlp.SGD(0.01)), XOR_X, XOR_Y


def one_unit_alive(rng):
    arch = fastmlp.Architecture((2, 6, 1))
    weights, biases = drawn(rng, arch)
    biases[0][:, 1:] = -50
    weights[0][:, :, 0], biases[0][:, 0] = np.abs(weights[0][:, :, 0]), 0.1
    weights[1] = np.abs(weights[1])
    return nets(arch, weights, biases, epochs=5, optimizer=fastmlp.SGD(0.01)), XOR_X, XOR_Y


def half_dead(rng):
    """Rings of which 14 of 16 units see nothing: what lives cannot close the ring."""
    X = rng.normal(size=(100, 2))
    y = (np.hypot(*X.T) < 1).astype(int)
    arch = fastmlp.Architecture((2, 16, 1))
    weights, biases = drawn(rng, arch, 2 * N)
    biases[0][:, 2:] = -50
    runs = nets(arch, weights, biases, X, y, epochs=10_000, optimizer=fastmlp.SGD(0.1))
    return runs[np.flatnonzero((runs.accuracy < 1) & (runs.predict(X).std(axis=1)[:, 0] > 0.1))[:N]], X, y


def on_plateau(rng):
    """Trained nets whose outputs NumPy finds on one of the three plateaus, two units of a layer alive at least."""
    runs = fastmlp.train(
        fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, n_nets=600, optimizer=fastmlp.SGD(0.5), epochs=3000
    )
    o = runs.predict(XOR_X)[:, :, 0]
    alive = (
        np.maximum(np.einsum("si,nij->nsj", XOR_X, runs.weights[0]) + runs.biases[0][:, None], 0).max(axis=1) > 0
    ).sum(axis=1)
    two = (np.abs(o - 0.5) < 0.03).sum(axis=1) == 2
    three = ((np.abs(o - 1 / 3) < 0.03).sum(axis=1) == 3) | ((np.abs(o - 2 / 3) < 0.03).sum(axis=1) == 3)
    learnt = (np.abs(o - XOR_Y) < 0.1).sum(axis=1)
    which = (alive >= 2) & ((two & (learnt == 2)) | (three & (learnt == 1)))
    return runs[np.flatnonzero(which)[: 2 * N]], XOR_X, XOR_Y


def linear_data(rng):
    X = rng.normal(size=(60, 2))
    return X, X @ [1.0, -2.0] + 0.05 * rng.normal(size=60)


def overshooting(rng):
    """A rate that is too high for one sample at a time: at a tenth of it the loss is much nearer to the least there is."""
    X = rng.normal(size=(60, 2))
    y = X @ [1.0, -2.0] + rng.normal(size=60)
    arch = fastmlp.Architecture((2, 1), output="identity")
    least = np.linalg.lstsq(np.c_[X, np.ones(60)], y)[1][0] / 60
    runs = fastmlp.train(
        arch, X, y, n_nets=4 * N, optimizer=fastmlp.SGD(0.1), epochs=40, batch_size=1, shuffle="by_net"
    )
    return runs[np.flatnonzero(np.isfinite(runs.loss) & (runs.loss > 1.2 * least))[:N]], X, y


def improving(rng):
    X, y = linear_data(rng)
    arch = fastmlp.Architecture((2, 1), output="identity")
    return fastmlp.train(arch, X, y, n_nets=N, optimizer=fastmlp.SGD(0.01), epochs=30), X, y


def all_it_can(rng):
    """The best line through a curve."""
    X = rng.normal(size=(60, 2))
    y = np.exp(X[:, 0])
    return (
        fastmlp.train(fastmlp.Architecture((2, 1), output="identity"), X, y, n_nets=N, optimizer=fastmlp.SGD(0.1)),
        X,
        y,
    )


def without_a_record(rng):
    """Nets that would have to be trained further to be told, and cannot be."""
    runs, X, y = improving(rng)
    runs.call, runs.settings = None, {}
    return runs, X, y


def unscaled_inputs(rng):
    """Age in years, income in thousands, and a share; the classes are in the sum of all three, standardised."""
    Z = rng.normal(size=(120, 3))
    X = Z * [15.0, 20.0, 0.3] + [45.0, 60.0, 0.5]
    y = (Z.sum(axis=1) + Z[:, 0] * Z[:, 1] > 0).astype(int)
    return (
        fastmlp.train(fastmlp.Architecture((3, 16, 1)), X, y, n_nets=N, optimizer=fastmlp.SGD(0.5), epochs=300, seed=1),
        X,
        y,
    )


def inputs_of_different_scales(rng):
    """0 to 1e5 next to 0 to 1: XOR of the two halves."""
    Z = rng.uniform(size=(100, 2))
    X, y = Z * [1e5, 1.0], ((Z[:, 0] > 0.5) ^ (Z[:, 1] > 0.5)).astype(int)
    return (
        fastmlp.train(
            fastmlp.Architecture((2, 16, 1), "tanh"), X, y, n_nets=N, epochs=1500, optimizer=fastmlp.Adam(0.03)
        ),
        X,
        y,
    )


def targets_out_of_range(rng):
    X = rng.normal(size=(40, 2))
    y = np.sign(X[:, 0] * X[:, 1])
    return (
        fastmlp.train(
            fastmlp.Architecture((2, 16, 1), "tanh"),
            X,
            y,
            n_nets=N,
            loss="mse",
            epochs=1500,
            optimizer=fastmlp.Adam(0.03),
        ),
        X,
        y,
    )


def negative_targets_of_relu(rng):
    X = rng.normal(size=(40, 2))
    arch = fastmlp.Architecture((2, 8, 1), output="relu")
    return fastmlp.train(arch, X, X[:, 0], n_nets=N, epochs=300, optimizer=fastmlp.Adam(0.02)), X, X[:, 0]


def large_targets(rng):
    X = rng.normal(size=(40, 2))
    y = 2e5 + 1e5 * X[:, 0]
    return (
        fastmlp.train(
            fastmlp.Architecture((2, 8, 1), output="identity"), X, y, n_nets=N, optimizer=fastmlp.SGD(0.05), epochs=300
        ),
        X,
        y,
    )


def small_targets(rng):
    X = rng.normal(size=(40, 2))
    y = 1e-4 * np.sin(3 * X[:, 0])
    return (
        fastmlp.train(
            fastmlp.Architecture((2, 8, 1), output="identity"), X, y, n_nets=N, optimizer=fastmlp.SGD(0.05), epochs=100
        ),
        X,
        y,
    )


def conflicting_targets(rng):
    """XOR, its last sample written down a second time with the other target."""
    X, y = [*XOR_X, XOR_X[-1]], [*XOR_Y, 1 - XOR_Y[-1]]
    arch = fastmlp.Architecture((2, 8, 1), "tanh")
    return fastmlp.train(arch, X, y, n_nets=N, optimizer=fastmlp.Adam(0.05)), X, y


def conflicting_numbers(rng):
    """Two measurements at each place, which differ."""
    X = np.repeat(rng.normal(size=(30, 2)), 2, axis=0)
    y = X[:, 0] + np.tile([-0.2, 0.2], 30)
    arch = fastmlp.Architecture((2, 8, 1), "tanh", output="identity")
    return fastmlp.train(arch, X, y, n_nets=N, optimizer=fastmlp.Adam(0.02), epochs=3000), X, y


BUILT = {
    conflicting_targets: Cause.CONFLICTING_TARGETS,
    conflicting_numbers: Cause.CONFLICTING_TARGETS,
    unscaled_inputs: Cause.INPUT_SCALES,
    inputs_of_different_scales: Cause.INPUT_SCALES,
    targets_out_of_range: Cause.TARGET_RANGE,
    negative_targets_of_relu: Cause.TARGET_RANGE,
    large_targets: Cause.TARGET_SCALE,
    small_targets: Cause.TARGET_SCALE,
    solved: Cause.SOLVED,
    diverged: Cause.DIVERGED,
    zero_input: Cause.ZERO_INPUT,
    symmetric: Cause.SYMMETRIC,
    dead_layer: Cause.DEAD_LAYER,
    dead_output: Cause.DEAD_LAYER,
    saturated_units: Cause.SATURATED,
    saturated_outputs: Cause.SATURATED,
    vanishing: Cause.VANISHING_GRADIENT,
    vanishing_tiny_weights: Cause.VANISHING_GRADIENT,
    one_unit_alive: Cause.DEAD_UNITS,
    half_dead: Cause.DEAD_UNITS,
    on_plateau: Cause.PLATEAU,
    overshooting: Cause.OVERSHOOTING,
    improving: Cause.STILL_IMPROVING,
    all_it_can: Cause.LOCAL_MINIMUM,
    without_a_record: Cause.UNDECIDED,
}


@pytest.mark.parametrize("seed", [7, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
@pytest.mark.parametrize("build", BUILT, ids=lambda build: build.__name__)
def test_the_cause_of_nets_that_are_built_to_have_it(build, seed):
    runs, X, y = build(np.random.default_rng(seed))
    assert len(runs) >= N
    found = runs.diagnose(X, y)
    right = found.causes == BUILT[build]
    assert right.mean() >= 0.95, found.counts()


def test_every_cause_is_built():
    assert set(BUILT.values()) == set(Cause)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_no_net_that_is_not_solved_is_called_solved(output):
    """Nets in every state, their outputs worked out by NumPy."""
    X, y = XOR_X, XOR_Y
    arch = fastmlp.Architecture((2, 5, 1 if output == "sigmoid" else 2), "tanh", output)
    for epochs in (5, 50, 300):
        runs = fastmlp.train(arch, X, y, n_nets=2000, optimizer=fastmlp.SGD(0.5), epochs=epochs, dtype="float64")
        a = np.tanh(np.einsum("si,nij->nsj", X, runs.weights[0]) + runs.biases[0][:, None])
        z = np.einsum("nsj,njk->nsk", a, runs.weights[1]) + runs.biases[1][:, None]
        answers = z[:, :, 0] > 0 if output == "sigmoid" else z.argmax(axis=2)
        expected = (answers == y).all(axis=1) & (z != 0).all(axis=(1, 2))  # 1/2 is no side
        assert 0 < expected.sum() < 2000
        assert ((runs.diagnose(X, y).causes == Cause.SOLVED) == expected).all()


def test_what_is_seen_in_nets_is_what_numpy_sees():
    """Losses, silent and saturated units, gradients, ranges of outputs, copies: each against plain formulas."""
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(11, 3)), rng.integers(0, 2, (11, 2))
    arch = fastmlp.Architecture((3, 6, 5, 2), ("relu", "sigmoid"))
    weights, biases = drawn(rng, arch, 37, 3.0)
    weights[0][:5, :, 2], biases[0][:5, 2], weights[1][:5, 2] = (
        weights[0][:5, :, 4],
        biases[0][:5, 4],
        weights[1][:5, 4],
    )
    runs = nets(arch, weights, biases, X, y, dtype="float64")
    facts = inspected(arch, "bce", runs.parameters, X, y.astype(float))
    a1 = np.maximum(np.einsum("si,nij->nsj", X, weights[0]) + biases[0][:, None], 0)
    a2 = 1 / (1 + np.exp(-(a1 @ weights[1] + biases[1][:, None])))
    o = 1 / (1 + np.exp(-(a2 @ weights[2] + biases[2][:, None])))
    d3 = o - y
    d2 = d3 @ weights[2].transpose(0, 2, 1) * a2 * (1 - a2)
    d1 = d2 @ weights[1].transpose(0, 2, 1) * (a1 > 0)
    loss = -(y * np.log(o) + (1 - y) * np.log(1 - o)).mean(axis=(1, 2))
    np.testing.assert_allclose(facts.loss, loss, rtol=1e-9)
    np.testing.assert_allclose(facts.right, (np.round(o) == y).all(axis=2).mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(facts.silent[:, 0], (a1.max(axis=1) == 0).sum(axis=1))
    assert facts.silent[:, 0].any()
    flat = (4 * a2 * (1 - a2)).max(axis=1) < causes_threshold()
    np.testing.assert_array_equal(facts.saturated[:, 1], flat.sum(axis=1))
    assert facts.saturated[:, 1].any()
    wrong = (np.abs(o - y) > 0.5) & (4 * o * (1 - o) < causes_threshold())
    np.testing.assert_array_equal(facts.saturated[:, 2], wrong.sum(axis=(1, 2)))
    rms = np.stack([np.sqrt((d**2).mean(axis=(1, 2))) for d in (d1, d2, d3)], axis=1)
    np.testing.assert_allclose(facts.gradient, rms, rtol=1e-9)
    np.testing.assert_allclose(facts.low, o.min(axis=1), rtol=1e-12)
    np.testing.assert_allclose(facts.high, o.max(axis=1), rtol=1e-12)
    assert facts.distinct.tolist() == [[5, 5]] * 5 + [[6, 5]] * 32


def causes_threshold():
    from fastmlp._kernels.unit_statistics import SATURATED_BELOW

    return SATURATED_BELOW


@pytest.mark.parametrize("n", [1, 3, 100])
def test_the_facts_do_not_depend_on_threads_or_on_how_many_nets_there_are(n):
    arch = fastmlp.Architecture((2, 5, 4, 1), "leaky_relu")
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=100, epochs=30)
    X, t = XOR_X.astype("f4"), XOR_Y[:, None].astype("f4")
    whole = inspected(arch, "bce", runs.parameters, X, t, 1)
    part = inspected(arch, "bce", runs.parameters[:n], X, t, 2)
    for name in ("loss", "right", "silent", "saturated", "gradient", "low", "high", "distinct"):
        np.testing.assert_array_equal(getattr(whole, name)[:n], getattr(part, name))


def test_plateaus_have_their_names_and_losses():
    given = Problem(
        fastmlp.Architecture((2, 2, 1)), Loss.BCE, XOR_X, XOR_Y[:, None], XOR_X, XOR_Y[:, None], True, None, True
    )
    outputs = np.array(
        [
            [0.5] * 4,
            [0, 0.5, 1, 0.5],
            [1 / 3, 1, 1 / 3, 1 / 3],
            [2 / 3, 2 / 3, 2 / 3, 0.01],
            [0, 1, 1, 0],
            [0.9, 0.1, 0.5, 0.5],
        ]
    )
    which, plateaus = causes.plateaus_of(outputs[:, :, None], given)
    assert [None if k < 0 else plateaus[k].name[:6] for k in which] == [
        "0.6931",
        "0.3466",
        "0.4774",
        "0.4774",
        None,
        None,
    ]
    _, plateaus = causes.plateaus_of(outputs[:, :, None], given._replace(loss=Loss.MSE))
    assert sorted({round(p.loss, 4) for p in plateaus}) == [0.125, 0.1667, 0.25]


def test_large_data_have_the_plateau_of_all_samples():
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(200, 4)), rng.integers(0, 3, 200)
    arch = fastmlp.Architecture((4, 5, 3), output="softmax")
    weights, biases = drawn(rng, arch, scale=0.3)
    weights[1] *= 1e-2
    biases[1][...] = np.log(np.bincount(y) / 200)
    found = nets(arch, weights, biases, X, y).diagnose(X, y)
    assert (found.plateau == 0).all()
    assert "mean of the targets" in found.plateaus[0].name


def test_fixes_are_tried_on_the_same_seeds_and_the_report_says_so():
    arch = fastmlp.Architecture((2, 6, 1), bias=False)
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=400, optimizer=fastmlp.SGD(0.5), epochs=1000, seed=3)
    found = runs.diagnose(XOR_X, XOR_Y, try_fixes=True)
    best = found.trials[0]
    again = fastmlp.train(
        fastmlp.Architecture((2, 6, 1)), XOR_X, XOR_Y, n_nets=400, optimizer=fastmlp.SGD(0.5), epochs=1000, seed=3
    )
    assert best.fix.name == "bias"
    assert (best.before, best.after, best.n_nets) == (0, int((again.accuracy == 1).sum()), 400)
    text = str(found)
    assert "Solved: 0 of 400 = 0.00%" in text
    assert f"0.00% -> {best.after / 400:7.2%}" in text
    assert "Most likely cause: missing biases." in text
    assert runs[:50].diagnose(XOR_X, XOR_Y, try_fixes=True).trials[0].n_nets == 50


@pytest.mark.parametrize(
    ("build", "change", "verdict"),
    [
        (inputs_of_different_scales, "standardize_inputs", "the scales of the inputs"),
        (
            targets_out_of_range,
            "identity_output",
            "which cannot give these targets; the squared error is at least 0.475",
        ),
        (negative_targets_of_relu, "identity_output", "which cannot give these targets"),
        (large_targets, "standardize_targets", "the scale of the targets"),
    ],
)
def test_scaled_data_are_tried_on_the_same_seeds(build, change, verdict):
    runs, X, y = build(np.random.default_rng(3))
    found = runs.diagnose(X, y, try_fixes=True)
    trial = next(trial for trial in found.trials if trial.fix.name == change)
    assert trial.after - trial.before >= 0.5 * trial.n_nets, str(found)
    assert verdict in found.verdict


def test_the_verdict_follows_the_trials():
    """Small initial weights are not the architecture, and a learning rate that most nets solve with is not too high."""
    arch = fastmlp.Architecture((2, 8, 1), "tanh")
    small = fastmlp.train(
        arch, XOR_X, XOR_Y, n_nets=200, init=fastmlp.Normal(1e-3), optimizer=fastmlp.SGD(0.5), epochs=1500
    ).diagnose(XOR_X, XOR_Y, try_fixes=True)
    best = max(small.trials, key=lambda trial: trial.after)
    assert best.after > 0.5 * best.n_nets > small.n_solved, str(small)
    assert "the initial weights" in small.verdict, str(small)
    most = fastmlp.train(
        fastmlp.Architecture((2, 16, 1)), XOR_X, XOR_Y, n_nets=300, optimizer=fastmlp.SGD(0.5), epochs=1000
    ).diagnose(XOR_X, XOR_Y, try_fixes=True)
    assert most.success_rate > 0.95
    assert "unlucky initial weights" in most.verdict or most.n_solved == 300


def random_setting(rng):
    """A net and how it is trained, on XOR or on data with more samples, some of them badly scaled or noisy."""
    if rng.random() < 0.5:
        X, y = XOR_X, XOR_Y
    else:
        X = rng.normal(size=(80, 2))
        y = ((X[:, 0] * X[:, 1] > 0) ^ (rng.random(80) < rng.choice([0, 0.1]))).astype(int)
        X = X * rng.choice([1.0, 1.0, 50.0], 2)
    hidden = [int(width) for width in rng.integers(1, 9, rng.integers(1, 3))]
    arch = fastmlp.Architecture(
        (2, *hidden, 1), str(rng.choice(["relu", "tanh", "sigmoid", "leaky_relu"])), bias=bool(rng.random() < 0.8)
    )
    init = [fastmlp.Normal(0.001), fastmlp.Normal(5.0), "he_uniform", "glorot_uniform", fastmlp.Uniform(0, 1)]
    kind = fastmlp.Adam if rng.random() < 0.3 else fastmlp.SGD
    return (
        fastmlp.train(
            arch,
            X,
            y,
            n_nets=60,
            seed=int(rng.integers(1000)),
            init=init[rng.integers(len(init))],
            optimizer=kind(10 ** rng.uniform(-3, 1)),
            epochs=int(rng.choice([50, 300])),
            loss=str(rng.choice(["bce", "mse"])),
        ),
        X,
        y,
    )


@pytest.mark.parametrize("number", [6, pytest.param(500 if ALL else 40, marks=pytest.mark.slow)])
def test_no_verdict_is_contradicted_by_its_own_trials(number):
    rng = np.random.default_rng(number)
    for _ in range(number):
        runs, X, y = random_setting(rng)
        found = runs.diagnose(X, y, try_fixes=True)
        single = [trial for trial in found.trials if " and " not in trial.fix.name]
        told = [cause for cause, fault in FAULTS.items() if f"cause: {fault}" in found.verdict]
        shown = [name for name, fault in FAULT_THAT_A_CHANGE_SHOWS.items() if f"cause: {fault}" in found.verdict]
        remedies = [t for t in single if t.fix.name in shown or set(t.fix.causes) & set(told)]
        if (told or shown) and remedies and not set(told) & set(CERTAIN):
            assert any(trial.helped for trial in remedies), str(found)
        if "unlucky" in found.verdict:
            assert found.success_rate >= 0.05, str(found)
        if "Nothing is wrong" in found.verdict and found.n_solved < len(runs):
            assert np.median(found.score) >= max(list(found.baselines.values())[1:]) - 0.02


def test_the_plateau_of_a_sample_of_zeros_is_named():
    """Without biases it has the output 1/2 for ever, whatever the others learn."""
    runs = fastmlp.train(
        fastmlp.Architecture((2, 10, 1), bias=False),
        XOR_X,
        XOR_Y,
        n_nets=200,
        epochs=10_000,
        optimizer=fastmlp.SGD(0.4),
        init=fastmlp.Uniform(0, 1),
    )
    found = runs.diagnose(XOR_X, XOR_Y)
    assert found.plateaus[0].name == "0.1733: 1 of 4 samples at 1/2, what zeros give without biases"
    assert found.plateaus[0].loss == pytest.approx(np.log(2) / 4)
    near = np.abs(runs.loss - np.log(2) / 4) < 0.01
    assert near.mean() > 0.85
    assert ((found.plateau == 0) == near).mean() > 0.98


def test_nets_that_are_solved_by_a_hair_are_said_to_be():
    arch, small = fastmlp.Architecture((2, 3, 3, 1)), fastmlp.Normal(0.001)
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=1000, init=small, optimizer=fastmlp.SGD(0.01), dtype="float64")
    found = runs.diagnose(XOR_X, XOR_Y)
    outputs = runs.predict(XOR_X)[:, :, 0]
    margins = ((outputs - 0.5) * np.where(np.array(XOR_Y) == 1, 1, -1)).min(axis=1)
    assert found.n_solved == (margins > 0).sum() > 0
    assert found.margin == pytest.approx(np.median(margins[margins > 0]))
    assert "so little that rounding decides" in str(found)
    good = fastmlp.train(fastmlp.Architecture((2, 8, 1), "tanh"), XOR_X, XOR_Y, n_nets=50, optimizer=fastmlp.Adam(0.05))
    assert good.diagnose(XOR_X, XOR_Y).margin > 0.3
    assert "rounding decides" not in str(good.diagnose(XOR_X, XOR_Y))


def test_noise_is_not_the_nets_fault():
    """A tenth of the labels is turned: no setting gets every sample right, and advice to try would be to overfit."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 2))
    clean = (X.sum(axis=1) > 0).astype(int)
    y = clean ^ (rng.random(300) < 0.1)
    arch = fastmlp.Architecture((2, 8, 1))
    runs = fastmlp.train(
        arch,
        X,
        y,
        n_nets=50,
        epochs=300,
        optimizer=fastmlp.Adam(0.01),
        validation=(X[:100], clean[:100]),
        validation_score="accuracy",
        restore_best=False,
    )
    found = runs.diagnose(X, y, try_fixes=True)
    assert found.as_good_as_the_data
    assert found.fixes == ()
    assert not any(trial.helped for trial in found.trials)
    assert found.verdict.startswith("Nothing is wrong")
    assert "No change that was tried does better" in found.verdict
    assert found.held_out_score > 0.9
    assert 0.85 < np.median(found.score) < 0.95
    assert found.baselines["a constant guess"] == pytest.approx(max(y.mean(), 1 - y.mean()))
    assert 0.8 < found.baselines["5 nearest neighbours"] < 0.95
    assert f"Accuracy on these samples: median {np.median(found.score):.3f}" in str(found)
    bad = fastmlp.train(arch, X, y, n_nets=50, epochs=3, optimizer=fastmlp.SGD(1e-4)).diagnose(X, y)
    assert not bad.as_good_as_the_data


def test_a_truth_table_has_no_samples_to_hold_out():
    """Neither neighbours nor lines learn the parity of eight bits, and that is no noise."""
    X = np.array([[number >> bit & 1 for bit in range(8)] for number in range(256)])
    y = X.sum(axis=1) % 2
    runs = fastmlp.train(fastmlp.Architecture((8, 8, 1)), X, y, n_nets=30, epochs=300, optimizer=fastmlp.Adam(0.01))
    found = runs.diagnose(X, y, try_fixes=True)
    assert not found.as_good_as_the_data
    assert found.baselines == {}
    assert found.held_out_score is None
    assert found.trials
    half = X.sum(axis=1) < 5  # is none any more
    again = runs.diagnose(X[half], y[half])
    assert again.baselines["5 nearest neighbours"] < 0.5
    assert not again.as_good_as_the_data


def test_what_any_net_can_do_with_equal_inputs_is_what_a_look_at_each_shows():
    rng = np.random.default_rng(4)
    X, y = rng.integers(0, 3, (90, 2)), rng.integers(0, 2, 90)
    groups = {key: y[(key == X).all(axis=1)] for key in map(tuple, X.tolist())}
    arch = fastmlp.Architecture((2, 16, 1))
    found = fastmlp.train(arch, X, y, n_nets=5, epochs=2000).diagnose(X, y)
    best = sum(max(of_one.sum(), len(of_one) - of_one.sum()) for of_one in groups.values()) / 90
    assert found.best_possible == pytest.approx(best)
    assert found.verdict.startswith("Nothing is wrong with the nets: samples have the same inputs")
    numbers = y + rng.normal(size=90)
    rest = sum(
        ((numbers[(key == X).all(axis=1)] - numbers[(key == X).all(axis=1)].mean()) ** 2).sum() for key in groups
    )
    arch = fastmlp.Architecture((2, 16, 1), output="identity")
    found = fastmlp.train(arch, X, numbers, n_nets=5, epochs=10).diagnose(X, numbers)
    assert found.best_possible == pytest.approx(1 - rest / ((numbers - numbers.mean()) ** 2).sum(), abs=1e-6)
    assert fastmlp.train(arch, X, X[:, 0], n_nets=2, epochs=1).diagnose(X, X[:, 0]).best_possible == 1
    assert f"a net has {found.best_possible:.3f} at best" in str(found)


def test_overfitting_is_named_and_changes_are_judged_by_samples_held_out():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    y = ((X[:, 0] > 0) ^ (rng.random(200) < 0.1)).astype(int)
    arch = fastmlp.Architecture((10, 16, 1))
    runs = fastmlp.train(arch, X, y, n_nets=30, epochs=500, optimizer=fastmlp.Adam(0.01))
    found = runs.diagnose(X, y, try_fixes=True)
    assert found.n_solved == 30
    assert found.overfits
    assert found.verdict.startswith(
        "Most likely cause: overfitting. The nets' accuracy is 1.000 on these samples and 0.7"
    )
    assert {trial.fix.name for trial in found.trials} >= {"l2", "more_l2", "fewer_epochs", "narrower"}
    for trial in found.trials:
        assert trial.held_out_before == found.held_out_score
        assert (trial.fix in found.fixes) == trial.helped
        assert trial.helped == (trial.held_out_after - trial.held_out_before > 1 / (2 * np.sqrt(200)))
        assert ("worse on held-out samples" in str(trial)) == (trial.held_out_after < trial.held_out_before - 0.005)
    quiet = runs.diagnose(X, y)
    assert not quiet.overfits
    assert quiet.verdict == "Nothing is wrong: every net is solved.\nHeld-out samples tell how they do on other data."
    y = rng.integers(0, 2, 200)
    runs = fastmlp.train(arch, X, y, n_nets=10, epochs=500, optimizer=fastmlp.Adam(0.01))
    assert "The inputs may say nothing about the targets" in runs.diagnose(X, y, try_fixes=True).verdict


def test_scores_on_samples_held_out_are_those_of_nets_trained_without_them():
    """By NumPy: each fifth of the samples, drawn from either class, is scored by ten nets that never saw it."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(60, 3))
    y = ((X[:, 0] > 0) ^ (rng.random(60) < 0.2)).astype(int)
    weight = rng.uniform(0.5, 2, 60)
    settings = {"epochs": 30, "optimizer": fastmlp.Adam(0.05), "batch_size": 55, "sample_weight": weight}
    runs = fastmlp.train(fastmlp.Architecture((3, 4, 1)), X, y, n_nets=14, seed=3, **settings)
    found = runs.diagnose(X, y, try_fixes=True)
    fold = baselines.folds(y[:, None])
    assert np.bincount(fold).tolist() == [12] * 5
    ones = [y[fold == k].sum() for k in range(5)]
    assert max(ones) - min(ones) <= 1
    right = np.zeros(10)
    for k in range(5):
        rest = {**settings, "batch_size": 48, "sample_weight": weight[fold != k]}
        nets_k = fastmlp.train(runs.architecture, X[fold != k], y[fold != k], n_nets=10, seed=3, **rest)
        right += ((nets_k.predict(X[fold == k])[:, :, 0] > 0.5) == y[fold == k]).sum(axis=1)
    assert found.held_out_score == pytest.approx(np.median(right / 60))


@pytest.mark.parametrize("output", ["softmax", "identity"])
def test_validation_data_are_scaled_with_the_training_data(output):
    rng = np.random.default_rng(8)
    X = rng.normal(size=(120, 2)) * [300.0, 1.0] + [1000.0, 0.0]
    y = 1 + np.sign(X[:, 0] - 1000) if output == "softmax" else X[:, 0] + 300 * X[:, 1]
    arch = fastmlp.Architecture((2, 12, 3 if output == "softmax" else 1), output=output)
    runs = fastmlp.train(
        arch,
        X[:60],
        y[:60].astype(int),
        n_nets=10,
        epochs=300,
        optimizer=fastmlp.Adam(0.02),
        validation=(X[60:], y[60:].astype(int)),
    )
    found = runs.diagnose(X[:60], y[:60].astype(int), try_fixes=True)
    best = found.trials[0]
    assert best.fix.name == ("standardize_inputs" if output == "softmax" else "standardize_both")
    assert best.held_out_after > 0.9 > best.held_out_before == found.held_out_score, str(found)


def test_changes_of_noisy_data_are_judged_by_their_score():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    y = 150 + 80 * (X[:, 0] + 0.7 * rng.normal(size=200))
    arch = fastmlp.Architecture((3, 8, 1), output="identity")
    runs = fastmlp.train(arch, X, y, n_nets=40, epochs=200, optimizer=fastmlp.Adam(0.01))
    found = runs.diagnose(X, y, try_fixes=True)
    trial = next(trial for trial in found.trials if trial.fix.name == "standardize_targets")
    assert trial.after == 0
    assert trial.score_before < 0.2
    assert trial.score_after > 0.4
    assert trial.helped
    assert "the scale of the targets" in found.verdict
    assert "R² on these samples" in str(found)


def test_classes_have_an_accuracy_with_the_squared_error_too():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(100, 2))
    y = (X[:, 0] > 0).astype(int) ^ (rng.random(100) < 0.1)
    runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=20, epochs=50, loss="mse")
    text = str(runs.diagnose(X, y))
    assert f"Accuracy on these samples: median {np.median(runs.accuracy):.3f}" in text
    assert "R²" not in text


def test_a_dead_layer_was_dead_from_the_start_or_died():
    arch = fastmlp.Architecture((2, 4, 1))
    born = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=200, epochs=50, init=fastmlp.Normal(0.1, bias=-1.0))
    assert born.diagnose(XOR_X, XOR_Y).dead_from_start == 1.0
    died = fastmlp.train(
        arch, XOR_X, XOR_Y, n_nets=200, epochs=50, optimizer=fastmlp.SGD(50.0), init=fastmlp.Normal(1.0, bias=1.0)
    )
    found = died.diagnose(XOR_X, XOR_Y)
    assert found.dead_from_start == 0.0
    assert "a learning rate that is too high" in found.verdict


def test_settings_of_each_net_follow_a_selection():
    rates = np.array([1e-4, 0.5] * 100)
    runs = fastmlp.train(
        fastmlp.Architecture((2, 8, 1), "tanh"), XOR_X, XOR_Y, n_nets=200, optimizer=fastmlp.SGD(rates), epochs=1000
    )
    slow = runs[rates < 0.1]
    assert (slow.call.optimizer.learning_rate == 1e-4).all()
    assert runs[::2].diagnose(XOR_X, XOR_Y, try_fixes=True).trials[0].before < 100


def test_nets_from_a_file_are_diagnosed_by_what_it_keeps(tmp_path):
    pytest.importorskip("safetensors")
    arch = fastmlp.Architecture((2, 4, 1))
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=100, optimizer=fastmlp.SGD(0.5), epochs=500)
    runs.save(tmp_path / "runs")
    loaded = fastmlp.load(tmp_path / "runs")
    one, other = (r.diagnose(XOR_X, XOR_Y, try_fixes=True) for r in (runs, loaded))
    assert (one.causes == other.causes).all()
    assert [t.after for t in one.trials] == [t.after for t in other.trials]
    arrays = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=2, optimizer=fastmlp.SGD(np.array([0.1, 0.2])), epochs=5)
    arrays.save(tmp_path / "arrays")
    with pytest.raises(ValueError, match="settings of these are not fully known"):
        fastmlp.load(tmp_path / "arrays").diagnose(XOR_X, XOR_Y, try_fixes=True)
    assert len(fastmlp.load(tmp_path / "arrays").diagnose(XOR_X, XOR_Y).causes) == 2


def test_nets_that_went_on_from_others_have_no_record_of_the_whole(tmp_path):
    pytest.importorskip("safetensors")
    arch = fastmlp.Architecture((2, 4, 1))
    first = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=50, optimizer=fastmlp.SGD(0.5), epochs=50)
    further = fastmlp.train(arch, XOR_X, XOR_Y, warm_start=first, optimizer=fastmlp.SGD(0.5), epochs=10)
    further.save(tmp_path / "further")
    for runs in (further, fastmlp.load(tmp_path / "further")):
        assert "undecided" in runs.diagnose(XOR_X, XOR_Y).counts()
        with pytest.raises(ValueError, match="except with warm_start"):
            runs.diagnose(XOR_X, XOR_Y, try_fixes=True)


@pytest.mark.parametrize("name", ["sample_weight", "validation"])
def test_a_file_that_lacks_weights_or_validation_is_not_trained_again(name, tmp_path):
    pytest.importorskip("safetensors")
    value = {"sample_weight": [0, 1, 1, 1], "validation": (XOR_X, XOR_Y)}[name]
    runs = fastmlp.train(fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, n_nets=5, epochs=5, **{name: value})
    runs.save(tmp_path / "runs")
    with pytest.raises(ValueError, match="weights or validation"):
        fastmlp.load(tmp_path / "runs").diagnose(XOR_X, XOR_Y, try_fixes=True)


def test_a_rate_that_has_decayed_does_not_overshoot():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, -2.0, 0.5] + 2 * rng.normal(size=100)
    runs = fastmlp.train(
        fastmlp.Architecture((3, 1), output="identity"),
        X,
        y,
        n_nets=20,
        optimizer=fastmlp.SGD(0.1),
        batch_size=5,
        epochs=300,
        schedule=lambda epoch: 0.97**epoch,
    )
    assert runs.diagnose(X, y).counts() == {"local_minimum": 20}


def test_a_sample_of_zeros_is_no_excuse_where_it_hardly_counts():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2)) * 10
    X[0] = 0
    y = 20 * np.abs(X[:, 0])
    y[0] = 0.5
    arch = fastmlp.Architecture((2, 8, 1), output="identity", bias=False)
    few = fastmlp.train(arch, X, y, n_nets=N, optimizer=fastmlp.Adam(0.01), epochs=50)
    assert "zero_input" not in few.diagnose(X, y).counts()
    assert few.diagnose(X, y, solved_loss=1e-4).counts() == {"zero_input": 30}


def test_leaky_units_are_dead_only_where_they_pass_next_to_nothing():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    for slope, dead in ((0.2, False), (1e-5, True)):
        arch = fastmlp.Architecture((2, 2, 1), "leaky_relu", "identity", leaky_slope=slope)
        runs = fastmlp.train(
            arch,
            X,
            X[:, 0] - X[:, 1],
            n_nets=500,
            optimizer=fastmlp.SGD(0.01),
            epochs=20,
            init=fastmlp.Normal(0.5, bias=-1.0),
        )
        found = runs.diagnose(X, X[:, 0] - X[:, 1])
        assert found.dead_units.any() == dead


def test_a_state_that_does_not_fit_the_nets_that_are_left_is_begun_anew():
    momentum = np.repeat([0.0, 0.9], 30)
    runs = fastmlp.train(
        fastmlp.Architecture((2, 4, 1)),
        XOR_X,
        XOR_Y,
        n_nets=60,
        optimizer=fastmlp.RMSprop(0.001, momentum=momentum),
        epochs=50,
        keep_state=True,
    )
    assert len(runs[:30].diagnose(XOR_X, XOR_Y).causes) == 30


def test_what_the_caller_changes_later_does_not_change_the_record():
    weights = np.array([1.0, 1, 1, 1])
    runs = fastmlp.train(
        fastmlp.Architecture((2, 4, 1)),
        XOR_X,
        XOR_Y,
        n_nets=50,
        optimizer=fastmlp.SGD(0.5),
        epochs=300,
        sample_weight=weights,
    )
    before = runs.diagnose(XOR_X, XOR_Y, try_fixes=True).trials
    weights[1:] = 0
    assert [t.after for t in runs.diagnose(XOR_X, XOR_Y, try_fixes=True).trials] == [t.after for t in before]


def test_runs_can_be_pickled_whatever_they_were_trained_with():
    runs = fastmlp.train(fastmlp.Architecture((2, 1)), XOR_X, XOR_Y, n_nets=3, epochs=3, schedule=lambda _epoch: 1.0)
    again = pickle.loads(pickle.dumps(runs))
    assert (again.parameters == runs.parameters).all()
    assert again.call is None


def test_a_change_that_cannot_be_tried_costs_nothing_but_itself(monkeypatch):
    runs = fastmlp.train(fastmlp.Architecture((2, 3, 1), bias=False), XOR_X, XOR_Y, n_nets=20, epochs=20)
    broken = fastmlp.diagnosis.Fix("broken", "a broken change", lambda c: c.changed(epochs=-1))
    fixes_for = examine.fixes_for
    monkeypatch.setattr(examine, "fixes_for", lambda *a: [broken, *fixes_for(*a)])
    with pytest.warns(RuntimeWarning, match="a broken change: could not be tried"):
        assert [t.fix.name for t in runs.diagnose(XOR_X, XOR_Y, try_fixes=True).trials] == ["bias"]


TRIED = {
    "regression with a ReLU output": {"output": "relu", "y": "numbers"},
    "counts": {"output": "exp", "y": "counts"},
    "softmax": {"output": "softmax", "sizes": (3, 4, 3), "y": "three"},
    "softmax by squared error": {"output": "softmax", "sizes": (3, 4, 3), "y": "three", "loss": "mse"},
    "no hidden layer": {"sizes": (3, 1)},
    "a slope each": {"hidden": "leaky_relu", "leaky_slope": np.linspace(0, 0.3, 12)},
    "a rate each": {"optimizer": fastmlp.SGD(np.linspace(0.1, 40, 12))},
    "a rate that adapts": {"optimizer": fastmlp.SGD(0.1), "schedule": "adaptive", "patience": 3},
    "a schedule": {"schedule": np.linspace(1, 0.1, 20)},
    "validation": {"validation": (np.eye(3), [0, 1, 1]), "patience": 5},
    "dropout and minibatches": {"dropout": 0.3, "batch_size": 8, "bootstrap": True, "shuffle": "by_net"},
    "weights of each net": {"sample_weight": RNG.uniform(0.1, 1, (12, 40))},
    "initial weights": {"init": ([np.ones((12, 3, 4)), np.ones((12, 4, 1))], []), "bias": False},
    "rprop in float64": {"optimizer": "rprop", "dtype": "float64"},
    "targets of each net": {"target_loss": np.linspace(0.01, 0.5, 12), "patience": np.arange(1, 13)},
    "no epochs": {"epochs": 0},
    "a schedule that is a table": {"schedule": lambda epoch: np.linspace(1, 0.1, 20)[epoch]},
    "squared error of numbers": {"loss": "mse", "y": "numbers", "target_loss": 1e-9},
    "one-hot rows": {"output": "softmax", "sizes": (3, 4, 3), "y": "rows", "loss": "mse"},
    "a score of the squared error": {
        "loss": "mse",
        "validation": (np.eye(3), [0, 1, 1]),
        "validation_score": "r2",
        "patience": 9,
    },
}


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize("rate", [0.001, pytest.param(1000.0, marks=pytest.mark.slow)])
def test_every_kind_of_nets_is_diagnosed_and_mended_by_every_change(name, rate):
    """All changes that any cause asks for are tried, whatever the nets were trained with."""
    settings = {"sizes": (3, 4, 1), "y": "classes", "epochs": 20, "optimizer": fastmlp.SGD(rate), **TRIED[name]}
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = {
        "classes": (X[:, 0] > 0).astype(int),
        "numbers": X[:, 0] ** 2,
        "counts": np.arange(40) % 4,
        "three": np.arange(40) % 3,
        "rows": np.eye(3)[np.arange(40) % 3],
    }[settings.pop("y")]
    own = ("sizes", "hidden", "output", "bias", "leaky_slope")
    arch = fastmlp.Architecture(**{k: settings.pop(k) for k in own if k in settings})
    runs = fastmlp.train(arch, X, y, n_nets=12, **settings)
    found = runs.diagnose(X, y, try_fixes=True)
    assert sum(found.counts().values()) == 12
    assert str(found).startswith("12 nets")
    given, loss = examine._problem_of(runs, X, y, None, None)
    changes = {
        fix.name: fix
        for cause in Cause
        for fix in [
            *examine.fixes_for(np.full(12, cause), given, runs.call, None, runs.status),
            *examine.fixes_of_overfitting(runs.call, given),
        ]
    }
    known = given.classes or loss == "mse"
    unseen = HeldOut(0.0, 0.0, 0.02) if known else None
    trials = examine.try_all(
        runs, runs.call, list(changes.values()), y, given, loss, unseen, 12, Retraining(fastmlp.Runs._train, 0, 1)
    )
    assert set(changes) <= {trial.fix.name for trial in trials}
    assert all((trial.held_out_after is not None) == known for trial in trials)


def test_wrong_calls_say_what_is_needed():
    runs = fastmlp.train(fastmlp.Architecture((2, 3, 1)), XOR_X, XOR_Y, n_nets=3, epochs=1)
    with pytest.raises(ValueError, match="2 columns"):
        runs.diagnose([[1, 2, 3]], [0])
    with pytest.raises(TypeError, match="try_fixes='yes'"):
        runs.diagnose(XOR_X, XOR_Y, try_fixes="yes")
    with pytest.raises(ValueError, match="selection is empty"):
        runs[:0].diagnose(XOR_X, XOR_Y)


# ------------------------------------------------------------------------------------------------ theory


def test_a_unit_is_dead_with_probability_13_48():
    """Weights and bias uniform on (−a, a): docs/diagnosis.md derives it. Ten million units."""
    a = 0.7
    init = fastmlp.Uniform(-a, a, bias=fastmlp.Uniform(-a, a))
    arch = fastmlp.Architecture((2, 40, 1))
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=250_000, epochs=0, init=init)
    facts = inspected(arch, "bce", runs.parameters, XOR_X.astype("f4"), XOR_Y[:, None].astype("f4"))
    units, p = 10_000_000, 13 / 48
    assert abs(facts.silent[:, 0].sum() / units - p) < 4 * np.sqrt(p * (1 - p) / units)


def test_the_shares_of_the_plateaus_are_those_of_other_seeds():
    arch, n, counts = fastmlp.Architecture((2, 4, 1)), 20_000, []
    for seed in range(4):
        found = fastmlp.train(
            arch, XOR_X, XOR_Y, n_nets=n, seed=seed, optimizer=fastmlp.SGD(0.5), epochs=1000
        ).diagnose(XOR_X, XOR_Y)
        counts.append({p.name: int((found.plateau == k).sum()) for k, p in enumerate(found.plateaus)})
    assert len(counts[0]) >= 4
    for name, count in counts[0].items():
        for other in counts[1:]:
            assert not differ(count, n, other.get(name, 0), n), name


def test_statistics_are_the_textbooks():
    assert restarts_needed(0.5) == 7
    assert restarts_needed(1.0) == 1
    assert restarts_needed(0.0) is None
    low, high = wilson_intervals([8, 0], [10, 10])
    assert low[0] == pytest.approx(0.4902, abs=1e-4)
    assert high[1] == pytest.approx(0.2775, abs=1e-4)
    assert differ(0, 100, 40, 100)
    assert not differ(50, 100, 52, 100)
