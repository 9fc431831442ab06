"""Activations: one record each, and one table of them.

To add one, write its forward and backward formula, give it the next code, and add its record to `RECORDS`. Kernels,
checks, diagnosis, audits, the estimators, the command and the docs read the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from math import erf as erf_of_number
from typing import Any

import numpy as np

from fastmlp._simd.arithmetic import absolute, fma, select
from fastmlp._simd.elementary import (
    erf,
    exp,
    exp_of_negative,
    expm1_of_negative,
    log1p_of_fraction,
    sigmoid,
    sigmoid_from,
    tanh,
)
from fastmlp._simd.jit import inline


class Activation(IntEnum):
    """Codes of the activations in kernels and files; they never change."""

    IDENTITY = 0
    RELU = 1
    LEAKY_RELU = 2
    TANH = 3
    SIGMOID = 4
    SOFTMAX = 5
    EXP = 6
    ELU = 7
    SELU = 8
    SOFTSIGN = 9
    SOFTPLUS = 10
    SILU = 11
    MISH = 12
    GELU = 13


@dataclass(frozen=True)
class Record:
    """The properties of an activation f, which maps a weighted sum z to the output a."""

    code: Activation
    formula: str
    """The formula of f(z) for the docs."""
    forward: Callable[..., Any] | None
    """Computes a from z (leaky_relu: from z and slope), vectors; None for softmax, which needs its whole layer."""
    backward: Callable[..., Any] | None
    """Computes the gradient by z from x and the gradient by a (leaky_relu: also slope); x is a, or z if `needs_sum`."""
    in_numpy: Callable[[np.ndarray, float], np.ndarray]
    """Computes a from (z, slope) in float64, for audits."""
    derivative_in_numpy: Callable[[np.ndarray, float], np.ndarray]
    """Computes f'(z) from (x, slope) with x as for `backward`; for softmax the diagonal of its Jacobian."""
    needs_sum: bool = False
    hidden: bool = True
    output: bool = False
    dies: bool = False
    """Whether a unit whose outputs are all at most 0 passes on no gradient, or only the leaky slope times it."""
    saturates: bool = False
    """Whether f' approaches 0 far from the origin, on one side or both."""
    largest_derivative: float = 1.0
    kinked: bool = False
    """Whether f' jumps at 0."""
    scikit_learn: str | None = None
    """The name in scikit-learn, if different."""

    @property
    def name(self) -> str:
        """The name in `Architecture`."""
        return self.code.name.lower()


@inline
def relu(z):
    """0 if z < 0 else z: a NaN stays a NaN."""
    return select(z < 0.0, 0.0, z)


@inline
def relu_backward(a, gradient):
    """The gradient by z, from the output a and the gradient by a."""
    return select(a > 0.0, gradient, 0.0)


@inline
def _identity(z):
    return z


@inline
def _identity_backward(a, gradient):
    return gradient


@inline
def leaky_relu(z, slope):
    """z for z > 0, else slope · z."""
    return select(z < 0.0, z * slope, z)


@inline
def leaky_relu_backward(a, gradient, slope):
    """The gradient by z, from the output a and the gradient by a."""
    return select(a > 0.0, gradient, gradient * slope)


@inline
def _tanh_backward(a, gradient):
    return gradient * fma(-a, a, 1.0)


@inline
def sigmoid_backward(a, gradient):
    """The gradient by z, from the output a and the gradient by a."""
    return gradient * (a * (1.0 - a))


@inline
def _exp_backward(a, gradient):
    return gradient * a


@inline
def _elu(z):
    return select(z < 0.0, expm1_of_negative(z), z)


@inline
def _elu_backward(a, gradient):
    return select(a > 0.0, gradient, gradient * (a + 1.0))


# λ and λ α of Klambauer et al., Self-normalizing neural networks, NIPS 2017
SELU_SCALE, SELU_SCALE_ALPHA = 1.0507009873554805, 1.7580993408473766


@inline
def _selu(z):
    return select(z < 0.0, expm1_of_negative(z) * SELU_SCALE_ALPHA, z * SELU_SCALE)


@inline
def _selu_backward(a, gradient):
    return gradient * select(a > 0.0, SELU_SCALE, a + SELU_SCALE_ALPHA)


@inline
def _softsign(z):
    return z / (absolute(z) + 1.0)


@inline
def _softsign_backward(a, gradient):
    rest = 1.0 - absolute(a)
    return gradient * (rest * rest)


@inline
def _softplus(z):
    return relu(z) + log1p_of_fraction(exp_of_negative(-absolute(z)))


@inline
def _softplus_backward(z, gradient):
    return gradient * sigmoid(z)


@inline
def _silu(z):
    return z * sigmoid(z)


@inline
def _silu_backward(z, gradient):
    s = sigmoid(z)
    return gradient * (s * fma(z, 1.0 - s, 1.0))


@inline
def _tanh_of_softplus(z, e):
    """tanh(log(1 + exp(z))), given e = exp(−|z|)."""
    positive = fma(e, 2.0, 1.0)
    negative = e * (e + 2.0)
    return select(z < 0.0, negative / (negative + 2.0), positive / fma(e * e, 2.0, positive))


@inline
def _mish(z):
    return z * _tanh_of_softplus(z, exp_of_negative(-absolute(z)))


@inline
def _mish_backward(z, gradient):
    e = exp_of_negative(-absolute(z))
    t = _tanh_of_softplus(z, e)
    return gradient * fma(z * sigmoid_from(z, e), fma(-t, t, 1.0), t)


@inline
def _normal_cdf(z):
    """Φ(z), the share of a standard normal distribution below z."""
    return fma(erf(z * 0.7071067811865476), 0.5, 0.5)


@inline
def _gelu(z):
    return z * _normal_cdf(z)


@inline
def _gelu_backward(z, gradient):
    density = exp_of_negative(z * z * -0.5) * 0.3989422804014327
    return gradient * fma(z, density, _normal_cdf(z))


def numpy_sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−z)), without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _numpy_softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _numpy_mish_derivative(z: np.ndarray, _slope: float) -> np.ndarray:
    t = np.tanh(np.logaddexp(0.0, z))
    return np.asarray(t + z * (1.0 - t * t) * numpy_sigmoid(z))


def _numpy_normal_cdf(z: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.vectorize(erf_of_number, otypes=[np.float64])(z * np.sqrt(0.5)))


def _numpy_gelu_derivative(z: np.ndarray, _slope: float) -> np.ndarray:
    return np.asarray(_numpy_normal_cdf(z) + z * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))


RECORDS = (
    Record(
        Activation.RELU,
        "max(0, z)",
        relu,
        relu_backward,
        lambda z, _: np.where(z > 0, z, 0.0),
        lambda x, _: (x > 0).astype(np.float64),
        output=True,
        dies=True,
        kinked=True,
    ),
    Record(
        Activation.LEAKY_RELU,
        "z for z > 0, else leaky_slope · z",
        leaky_relu,
        leaky_relu_backward,
        lambda z, slope: np.where(z > 0, z, slope * z),
        lambda x, slope: np.where(x > 0, 1.0, slope),
        dies=True,
        kinked=True,
    ),
    Record(
        Activation.TANH,
        "tanh(z)",
        tanh,
        _tanh_backward,
        lambda z, _: np.tanh(z),
        lambda a, _: 1.0 - a * a,
        saturates=True,
    ),
    Record(
        Activation.SIGMOID,
        "1 / (1 + exp(−z))",
        sigmoid,
        sigmoid_backward,
        lambda z, _: numpy_sigmoid(z),
        lambda a, _: a * (1.0 - a),
        output=True,
        saturates=True,
        largest_derivative=0.25,
        scikit_learn="logistic",
    ),
    Record(
        Activation.IDENTITY,
        "z",
        _identity,
        _identity_backward,
        lambda z, _: z,
        lambda a, _: np.ones_like(a),
        output=True,
    ),
    Record(
        Activation.SOFTMAX,
        "exp(z_k) / Σ exp(z_j), over the layer",
        None,
        None,
        lambda z, _: _numpy_softmax(z),
        lambda a, _: a * (1.0 - a),
        hidden=False,
        output=True,
    ),
    Record(
        Activation.EXP, "exp(z)", exp, _exp_backward, lambda z, _: np.exp(z), lambda a, _: a, hidden=False, output=True
    ),
    Record(
        Activation.ELU,
        "z for z > 0, else exp(z) − 1",
        _elu,
        _elu_backward,
        lambda z, _: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
        lambda a, _: np.where(a > 0, 1.0, a + 1.0),
        saturates=True,
    ),
    Record(
        Activation.SELU,
        "1.0507 z for z > 0, else 1.7581 (exp(z) − 1)",
        _selu,
        _selu_backward,
        lambda z, _: np.where(z > 0, SELU_SCALE * z, SELU_SCALE_ALPHA * np.expm1(np.minimum(z, 0.0))),
        lambda a, _: np.where(a > 0, SELU_SCALE, a + SELU_SCALE_ALPHA),
        saturates=True,
        largest_derivative=SELU_SCALE_ALPHA,
        kinked=True,
    ),
    Record(
        Activation.SOFTSIGN,
        "z / (1 + |z|)",
        _softsign,
        _softsign_backward,
        lambda z, _: z / (1.0 + np.abs(z)),
        lambda a, _: (1.0 - np.abs(a)) ** 2,
        saturates=True,
    ),
    Record(
        Activation.SOFTPLUS,
        "log(1 + exp(z))",
        _softplus,
        _softplus_backward,
        lambda z, _: np.logaddexp(0.0, z),
        lambda z, _: numpy_sigmoid(z),
        needs_sum=True,
        saturates=True,
    ),
    Record(
        Activation.SILU,
        "z / (1 + exp(−z))",
        _silu,
        _silu_backward,
        lambda z, _: z * numpy_sigmoid(z),
        lambda z, _: numpy_sigmoid(z) * (1.0 + z * numpy_sigmoid(-z)),
        needs_sum=True,
        saturates=True,
        largest_derivative=1.0998,
    ),
    Record(
        Activation.MISH,
        "z · tanh(log(1 + exp(z)))",
        _mish,
        _mish_backward,
        lambda z, _: z * np.tanh(np.logaddexp(0.0, z)),
        _numpy_mish_derivative,
        needs_sum=True,
        saturates=True,
        largest_derivative=1.0885,
    ),
    Record(
        Activation.GELU,
        "z · Φ(z), Φ the standard normal distribution",
        _gelu,
        _gelu_backward,
        lambda z, _: z * _numpy_normal_cdf(z),
        _numpy_gelu_derivative,
        needs_sum=True,
        saturates=True,
        largest_derivative=1.1290,
    ),
)
BY_CODE = {record.code: record for record in RECORDS}
HIDDEN_ACTIVATIONS = {record.name: record.code for record in RECORDS if record.hidden}
OUTPUT_ACTIVATIONS = {record.name: record.code for record in RECORDS if record.output}


@inline
def activate_output(code, z):
    """An output activation; softmax, which needs its whole layer, is not among these."""
    if code == Activation.SIGMOID:
        return sigmoid(z)
    if code == Activation.EXP:
        return exp(z)
    return relu(z) if code == Activation.RELU else z


@inline
def output_backward(code, o, gradient):
    """The gradient by z, from an output o and the gradient by o; softmax is not among these."""
    if code == Activation.SIGMOID:
        return sigmoid_backward(o, gradient)
    return relu_backward(o, gradient) if code == Activation.RELU else gradient
