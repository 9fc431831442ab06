"""Every activation: its formulas against mpmath, its bits in every kernel, and the table in the docs."""

from pathlib import Path

import mpmath
import numba
import numpy as np
import pytest

import fastmlp
from fastmlp._kernels.formulas import activation_choice
from fastmlp._kernels.formulas.activations import HIDDEN_ACTIVATIONS, RECORDS
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp.training.runner import Runner
from tests.support.cases import planned, random_job
from tests.support.data import bits
from tests.support.reference import run_reference

SLOPE = 0.125
ALPHA, SCALE = mpmath.mpf("1.6732632423543772848170429916717"), mpmath.mpf("1.0507009873554804934193349852946")
# what each hidden activation is, in 40 digits
FORMULAS = {
    "relu": lambda z: max(z, 0),
    "leaky_relu": lambda z: z if z > 0 else z * SLOPE,
    "tanh": mpmath.tanh,
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "identity": lambda z: z,
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
    "selu": lambda z: SCALE * (z if z > 0 else ALPHA * mpmath.expm1(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "softplus": lambda z: mpmath.log1p(mpmath.exp(z)),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "mish": lambda z: z * mpmath.tanh(mpmath.log1p(mpmath.exp(z))),
    "gelu": lambda z: z * mpmath.ncdf(z),
}
BY_NAME = {record.name: record for record in RECORDS}
NEW = tuple(HIDDEN_ACTIVATIONS)[5:]
LANES = 16


def applied(code, x, gradient=None):
    """The kernels' formula, or with a gradient that of the way back, on many numbers."""
    lanes, known = VectorSpec(x.dtype, LANES), activation_choice.ALL_ACTIVATIONS

    @numba.njit
    def forward(lanes, source, result, rows):
        for row in range(rows):
            z = load(lanes, source, row)
            store(result, row, activation_choice.activate(known, code, z, z * 0.0 + SLOPE))

    @numba.njit
    def backward(lanes, source, result, rows):
        for row in range(rows):
            z = load(lanes, source, row)
            store(result, row, activation_choice.activation_backward(known, code, z, z * 0.0 + 1.0, z * 0.0 + SLOPE))

    source, result = aligned_zeros(x.size, x.dtype), aligned_zeros(x.size, x.dtype)
    source[:] = x
    (forward if gradient is None else backward)(lanes, Buffer(source), Buffer(result), x.size // LANES)
    return result


def numbers(dtype):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=80) * 3, rng.normal(size=16) * 1e-3, [-80.0, -30, -9, -5, 5, 9, 30, 80]])
    return np.concatenate([x, rng.uniform(-6, 6, 128 - x.size)]).astype(dtype)


def test_every_hidden_activation_is_checked():
    assert set(FORMULAS) == set(HIDDEN_ACTIVATIONS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas_and_derivatives(name, dtype):
    """Within 4 eps of the exact value, relative to it or to what its terms come to."""
    record, z, eps = BY_NAME[name], numbers(dtype), float(np.finfo(dtype).eps)
    outputs = applied(int(record.code), z)
    x = z if record.needs_sum else outputs
    slopes = applied(int(record.code), x, gradient=1)
    in_numpy = record.in_numpy(z.astype(np.float64), SLOPE)
    derivative_in_numpy = record.derivative_in_numpy(z.astype(np.float64) if record.needs_sum else in_numpy, SLOPE)
    with mpmath.workdps(40):
        for k, v in enumerate(z):
            number = mpmath.mpf(float(v))
            exact, slope = float(FORMULAS[name](number)), float(mpmath.diff(FORMULAS[name], number))
            terms = max(abs(exact), min(abs(float(v)), 1.0))
            assert outputs[k] == pytest.approx(exact, rel=0, abs=4 * eps * terms), v
            assert slopes[k] == pytest.approx(slope, rel=0, abs=8 * eps), v
            assert in_numpy[k] == pytest.approx(exact, rel=1e-14, abs=1e-14)
            assert derivative_in_numpy[k] == pytest.approx(slope, rel=1e-13, abs=1e-14)
    assert np.abs(slopes).max() <= record.largest_derivative * (1 + 1e-4)
    assert record.saturates == (name not in ("identity", "relu", "leaky_relu"))
    assert np.isnan(applied(int(record.code), np.full(LANES, np.nan, dtype))).all()


@pytest.mark.slow  # the golden hashes have these activations in every kernel too
@pytest.mark.usefixtures("all_methods_in_one")
@pytest.mark.parametrize("kernel", ["lanes", "online", "units", "tiny"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_have_the_bits_of_the_scalar_reference(kernel, dtype):
    """Random jobs with layers of these activations alone."""
    rng, seen = np.random.default_rng(7), set()
    while len(seen) < len(NEW):
        settings = random_job(rng, max_width=9, max_nets=5, dtype=dtype, hidden=NEW)
        arch = settings["architecture"]
        if arch.n_layers == 1 or not settings["epochs"]:
            continue
        if kernel == "tiny":
            settings |= {"X": settings["X"][:4], "y": settings["y"][:4], "batch_size": None, "dropout": 0.0}
            settings |= {"sample_weight": None}
        if kernel == "online":
            settings["batch_size"] = 1
        elif kernel == "lanes" and settings["batch_size"] == 1:  # it would take a second kernel
            settings["batch_size"] = 2
        job, runs = planned(**settings, kernel="units" if kernel == "units" else "lanes")
        if job.plan.kernel == "tiny" and kernel != "tiny":
            continue
        Runner(job, runs, 2).run()
        assert job.plan.kernel == ("lanes" if kernel == "online" else kernel)
        for net in range(len(runs)):
            if runs.status[net] == fastmlp.Status.DIVERGED:
                continue
            parameters, loss, _ = run_reference(job, net)
            assert bits(runs.parameters[net]) == bits(parameters), (arch, settings["batch_size"])
            assert bits(runs.loss[net]) == bits(loss)
            seen |= set(arch.hidden)


def test_gradients_against_pytorch():
    torch = pytest.importorskip("torch")
    z = np.random.default_rng(1).normal(size=64) * 3
    for name in NEW:
        x = torch.tensor(z, requires_grad=True)
        a = getattr(torch.nn.functional, name)(x)
        a.sum().backward()
        record = BY_NAME[name]
        ours = applied(int(record.code), z)
        np.testing.assert_allclose(ours, a.detach().numpy(), rtol=1e-12, atol=1e-14)
        ours = applied(int(record.code), z if record.needs_sum else ours, gradient=1)
        np.testing.assert_allclose(ours, x.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_the_table_in_the_docs_is_that_of_the_code():
    text = (Path(fastmlp.__file__).parents[1] / "docs" / "activations.md").read_text(encoding="utf-8")
    for record in RECORDS:
        assert f"| `{record.name}` | {record.formula.replace('|', chr(92) + '|')} |" in text


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_estimators_and_diagnoses_know_them(name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = fastmlp.MLPClassifier((8,), activation=name, max_iter=60, learning_rate_init=0.05, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.7
    runs = fastmlp.train(fastmlp.Architecture((2, 4, 1), name), X, y, n_nets=8, epochs=3)
    assert sum(runs.diagnose(X, y).counts().values()) == 8


def test_a_layer_that_is_flat_for_every_sample_is_found_asleep():
    X, y = np.array([[0.0], [1.0]]), [0, 1]
    arch = fastmlp.Architecture((1, 3, 1), "gelu")
    weights, biases = [np.full((1, 1, 3), 0.1), np.ones((1, 3, 1))], [np.array([[-30.0, -31, -32]]), np.zeros((1, 1))]
    runs = fastmlp.train(arch, X, y, init=(weights, biases), epochs=0)
    assert runs.diagnose(X, y).counts() == {"saturated": 1}
