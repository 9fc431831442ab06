"""Losses, from outputs or logits, and their gradients by the outputs."""

from enum import IntEnum

from fastmlp._kernels.formulas.activations import Activation
from fastmlp._simd.arithmetic import bits, constant, fma, select
from fastmlp._simd.elementary import log, log1p_of_fraction
from fastmlp._simd.jit import inline
from fastmlp._simd.types import Constants


class Loss(IntEnum):
    """What training makes small; the exact means are in the docstring of `train`."""

    BCE = 0  # −t log o − (1 − t) log(1 − o), from logits
    CROSS_ENTROPY = 1  # −log o_class, from logits
    MSE = 2  # (o − t)²
    POISSON = 3  # o − t + t log(t / o), from logits: half the Poisson deviance


# the losses that go with an output, the default first
LOSSES = {
    Activation.SIGMOID: {"bce": Loss.BCE, "mse": Loss.MSE},
    Activation.SOFTMAX: {"cross_entropy": Loss.CROSS_ENTROPY, "mse": Loss.MSE},
    Activation.IDENTITY: {"mse": Loss.MSE},
    Activation.RELU: {"mse": Loss.MSE},
    Activation.EXP: {"poisson": Loss.POISSON},
}

_UPPER_EXPONENT = Constants(single=(0x60000000,), double=(0x6000000000000000,))


@inline
def bce(z, e, target):
    """−t log σ(z) − (1 − t) log(1 − σ(z)) = max(z, 0) − t z + log(1 + e), given e = exp(−|z|)."""
    return fma(-target, z, select(z < 0.0, 0.0, z)) + log1p_of_fraction(e)


@inline
def cross_entropy(z, greatest, log_sum, target):
    """−t log softmax(z), given the greatest logit and the log of Σ exp(z − greatest); 0 where t is 0."""
    return select(target > 0.0, target * ((greatest - z) + log_sum), 0.0)


@inline
def squared_error(output, target):
    """(o − t)²."""
    return (output - target) * (output - target)


@inline
def poisson(z, output, target):
    """o − t + t log(t / o), where o = exp(z); o where t is 0."""
    return output - select(target > 0.0, target * ((z + 1.0) - log(target)), 0.0)


@inline
def output_delta(output, target, scale):
    """(o − t) · scale: the gradient by the logit of all losses but the squared error, half that of this one by o."""
    return fma(output, scale, -(target * scale))


@inline
def without_negligible(delta):
    """A gradient by a weighted sum of the output layer, or 0 where it is below 2^-63 (float64: 2^-511).

    There its square is subnormal, and so is what passing it down and multiplying it soon makes of it, which slows some
    processors down twenty times. Such a number has the upper two bits of the exponent unset.
    """
    upper = bits(delta) & constant(bits(delta), _UPPER_EXPONENT)
    return select(upper != 0, delta, 0.0)
