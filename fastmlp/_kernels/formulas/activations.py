"""Activations, and their derivatives from an activation's output, which is all that the forward pass keeps."""

from enum import IntEnum

from fastmlp._simd.arithmetic import fma, select
from fastmlp._simd.elementary import exp, sigmoid, tanh
from fastmlp._simd.jit import inline


class Activation(IntEnum):
    """How the output of a unit follows from the weighted sum z of its inputs."""

    IDENTITY = 0  # z
    RELU = 1  # max(0, z), derivative 0 at 0
    LEAKY_RELU = 2  # z for z > 0, slope · z otherwise; the derivative likewise
    TANH = 3  # tanh(z)
    SIGMOID = 4  # 1 / (1 + exp(−z))
    SOFTMAX = 5  # exp(z_k) / Σ exp(z_j), over the layer
    EXP = 6  # exp(z)


HIDDEN_ACTIVATIONS = {
    thread_number.name.lower(): thread_number
    for thread_number in (
        Activation.RELU,
        Activation.LEAKY_RELU,
        Activation.TANH,
        Activation.SIGMOID,
        Activation.IDENTITY,
    )
}
OUTPUT_ACTIVATIONS = {
    thread_number.name.lower(): thread_number
    for thread_number in (Activation.SIGMOID, Activation.SOFTMAX, Activation.IDENTITY, Activation.RELU, Activation.EXP)
}


@inline
def relu(z):
    """0 if z < 0 else z: a NaN stays a NaN."""
    return select(z < 0.0, 0.0, z)


@inline
def relu_backward(a, gradient):
    """The gradient by z, from the output a and the gradient by a."""
    return select(a > 0.0, gradient, 0.0)


@inline
def activate(code, z, slope):
    """A hidden activation's output."""
    if code == Activation.RELU:
        return relu(z)
    if code == Activation.LEAKY_RELU:
        return select(z < 0.0, z * slope, z)
    if code == Activation.TANH:
        return tanh(z)
    if code == Activation.SIGMOID:
        return sigmoid(z)
    return z


@inline
def activation_backward(code, a, gradient, slope):
    """The gradient by z, from a hidden activation's output a and the gradient by a."""
    if code == Activation.RELU:
        return relu_backward(a, gradient)
    if code == Activation.LEAKY_RELU:
        return select(a > 0.0, gradient, gradient * slope)
    if code == Activation.TANH:
        return gradient * fma(-a, a, 1.0)
    if code == Activation.SIGMOID:
        return gradient * (a * (1.0 - a))
    return gradient


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
        return gradient * (o * (1.0 - o))
    return relu_backward(o, gradient) if code == Activation.RELU else gradient
