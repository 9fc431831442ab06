"""Losses, from outputs or logits, and their gradients: one record each, and one table of them.

To add one, write its formula, give it the next code, add it to `loss_of_output`, and add its record to `RECORDS`. If
its gradient by the logit is not (o − t) times a factor, change `output_delta` and `by_output` too.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from fastmlp._kernels.formulas.activations import OUTPUT_ACTIVATIONS, Activation
from fastmlp._simd.arithmetic import bits, constant, fma, select
from fastmlp._simd.elementary import log, log1p_of_fraction
from fastmlp._simd.jit import inline
from fastmlp._simd.types import Constants


class Loss(IntEnum):
    """Codes of the losses in the kernels; the docstring of `train` has the exact means."""

    BCE = 0  # −t log o − (1 − t) log(1 − o), from logits
    CROSS_ENTROPY = 1  # −log o_class, from logits
    MSE = 2  # (o − t)²
    POISSON = 3  # o − t + t log(t / o), from logits: half the Poisson deviance


@dataclass(frozen=True)
class Record:
    """The properties of a loss, for kernels and checks of targets."""

    code: Loss
    outputs: tuple[Activation, ...]
    """The output activations that it goes with."""
    targets: Literal["probabilities", "classes", "numbers", "counts"]
    mean_over_outputs: bool = True
    """Whether a sample's loss is the mean over its outputs; otherwise it is the sum."""
    gradient_factor: float = 1.0
    """The factor of o − t in the gradient of one output's loss, by the logit, or by the output if `by_output`."""
    by_output: bool = False
    bounded_below: bool = False
    """Whether Σ |o − t|, or half of it for a sum, is a lower bound; it can rule out a target without logarithms."""

    @property
    def name(self) -> str:
        """The name in `train`."""
        return self.code.name.lower()


RECORDS = (
    Record(Loss.BCE, (Activation.SIGMOID,), "probabilities", bounded_below=True),
    Record(Loss.CROSS_ENTROPY, (Activation.SOFTMAX,), "classes", mean_over_outputs=False, bounded_below=True),
    Record(
        Loss.MSE,
        (Activation.SIGMOID, Activation.SOFTMAX, Activation.IDENTITY, Activation.RELU),
        "numbers",
        gradient_factor=2.0,
        by_output=True,
    ),
    Record(Loss.POISSON, (Activation.EXP,), "counts"),
)
# Sets of codes as bits: lookups in a tuple take longer to compile
_BY_OUTPUT = sum(1 << record.code for record in RECORDS if record.by_output)
_BOUNDED_BELOW = sum(1 << record.code for record in RECORDS if record.bounded_below)
BY_CODE = {record.code: record for record in RECORDS}
LOSSES = {
    output: {record.name: record.code for record in RECORDS if output in record.outputs}
    for output in OUTPUT_ACTIVATIONS.values()
}
"""The losses for an output activation, the default first."""

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
def loss_of_output(code, z, output, target, greatest, log_sum):
    """The loss of one output with logit z; for softmax, also given the greatest logit and log Σ exp(z − greatest)."""
    if code == Loss.CROSS_ENTROPY:
        return cross_entropy(z, greatest, log_sum, target)
    if code == Loss.POISSON:
        return poisson(z, output, target)
    return squared_error(output, target)


@inline
def by_output(code):
    """Whether `output_delta` is the gradient by the output, which goes backward through the output activation."""
    return (_BY_OUTPUT >> code) & 1 != 0


@inline
def bounded_below(code):
    """Whether Σ |o − t| bounds the loss from below."""
    return (_BOUNDED_BELOW >> code) & 1 != 0


@inline
def output_delta(output, target, scale):
    """(o − t) · scale: the gradient by the logit; for the squared error, half the gradient by the output o."""
    return fma(output, scale, -(target * scale))


@inline
def without_negligible(delta):
    """A gradient by a weighted sum of the output layer, or 0 where it is below 2^-63 (float64: 2^-511).

    The square of such a number is subnormal, and so are soon the products of backpropagation; subnormal numbers make
    some processors twenty times slower. Such a number has the upper two bits of the exponent unset.
    """
    upper = bits(delta) & constant(bits(delta), _UPPER_EXPONENT)
    return select(upper != 0, delta, 0.0)
