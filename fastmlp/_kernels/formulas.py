"""Activations, losses and optimizer steps: their names, and each formula once, on vectors.

Both kernels, the checks, the scalar reference and the docs read the tables here. It knows nothing of how nets are
laid out. Derivatives are taken from an activation's output, which is all that the forward pass keeps.
"""

from enum import IntEnum

from fastmlp._simd.arithmetic import bits, constant, fma, select
from fastmlp._simd.elementary import ONE, exp, log, log1p_of_fraction, sigmoid, tanh
from fastmlp._simd.jit import inline
from fastmlp._simd.sqrt import sqrt
from fastmlp._simd.types import Constants


class Activation(IntEnum):
    """How the output of a unit follows from the weighted sum z of its inputs."""

    IDENTITY = 0  # z
    RELU = 1  # max(0, z), derivative 0 at 0
    LEAKY_RELU = 2  # z for z > 0, slope · z otherwise; the derivative likewise
    TANH = 3  # tanh(z)
    SIGMOID = 4  # 1 / (1 + exp(−z))
    SOFTMAX = 5  # exp(z_k) / Σ exp(z_j), over the layer
    EXP = 6  # exp(z)


class Loss(IntEnum):
    """What training makes small; the exact means are in the docstring of `train`."""

    BCE = 0  # −t log o − (1 − t) log(1 − o), from logits
    CROSS_ENTROPY = 1  # −log o_class, from logits
    MSE = 2  # (o − t)²
    POISSON = 3  # o − t + t log(t / o), from logits: half the Poisson deviance


class Method(IntEnum):
    """The optimizer's rule."""

    NONE = -1  # gradients alone are wanted
    SGD = 0
    ADAM = 1
    RMSPROP = 2
    RPROP = 3


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
# the losses that go with an output, the default first
LOSSES = {
    Activation.SIGMOID: {"bce": Loss.BCE, "mse": Loss.MSE},
    Activation.SOFTMAX: {"cross_entropy": Loss.CROSS_ENTROPY, "mse": Loss.MSE},
    Activation.IDENTITY: {"mse": Loss.MSE},
    Activation.RELU: {"mse": Loss.MSE},
    Activation.EXP: {"poisson": Loss.POISSON},
}

# Rows of a net's hyperparameters, as the kernels read them. What a method does not use is zero.
LEARNING_RATE, L2, LEAKY_SLOPE, MOMENTUM = 0, 1, 2, 3
ONE_MINUS_BETA1, ONE_MINUS_BETA2 = 4, 5  # RMSprop: alpha in the place of beta2
EPSILON, DECAY_FACTOR = 6, 7  # DECAY_FACTOR = 1 − learning rate · weight decay
ETA_MINUS, ETA_PLUS, MIN_STEP, MAX_STEP = 4, 5, 6, 7  # Rprop
# What changes while a net trains is worked out from what was given: a learning rate from epoch to epoch, and L2 from
# minibatch to minibatch
GIVEN_RATE, WEIGHT_DECAY, GIVEN_L2 = 8, 9, 10
KEPT, DROPOUT_SCALE = 11, 12  # with dropout p: 1 − p and 1 / (1 − p)
N_HYPERPARAMETERS = 13

_UPPER_EXPONENT = Constants(single=(0x60000000,), double=(0x6000000000000000,))
_EXPONENT = Constants(single=(0x7F800000,), double=(0x7FF0000000000000,))


# ---------------------------------------------------------------------------------------------- activations


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


# --------------------------------------------------------------------------------------------------- losses


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


# ----------------------------------------------------------------------------------------------- optimizers


@inline
def without_subnormals(x):
    """x, or 0 where x is subnormal: a moment that decays for ever would slow the processor down there."""
    exponent = bits(x) & constant(bits(x), _EXPONENT)
    return select(exponent != 0, x, 0.0)


@inline
def add_l2(gradient, weight, l2):
    """The gradient of loss + l2/2 Σ w²; where l2 is 0 the bits do not change."""
    return select(l2 != 0.0, fma(l2, weight, gradient), gradient)


@inline
def sgd(weight, gradient, learning_rate):
    """w − η g."""
    return fma(-learning_rate, gradient, weight)


@inline
def sgd_momentum(weight, gradient, velocity, learning_rate, momentum, nesterov):
    """v ← μ v + g; w − η v, or with Nesterov w − η (g + μ v). Returns w, v. Where μ is 0 this is plain SGD."""
    moving = momentum != 0.0
    velocity = select(moving, fma(momentum, velocity, gradient), gradient)
    step = velocity
    if nesterov:
        step = select(moving, fma(momentum, velocity, gradient), gradient)
    return fma(-learning_rate, step, weight), without_subnormals(velocity)


@inline
def sgd_rate_in_velocity(weight, gradient, velocity, learning_rate, momentum, nesterov):
    """v ← μ v + η g; w − v, or with Nesterov w − (μ v + η g), as scikit-learn has it. Returns w, v.

    Where μ is 0 this is plain SGD.
    """
    downhill = learning_rate * gradient
    velocity = fma(momentum, velocity, downhill)
    step = fma(momentum, velocity, downhill) if nesterov else velocity
    new = select(momentum != 0.0, weight - step, sgd(weight, gradient, learning_rate))
    return new, without_subnormals(velocity)


@inline
def decaying_mean(mean, one_minus_beta, gradient):
    """β · mean + (1 − β) · g = mean + (1 − β) (g − mean)."""
    return without_subnormals(fma(one_minus_beta, gradient - mean, mean))


@inline
def decaying_square(square, one_minus_beta, gradient):
    """β · square + (1 − β) · g² = square + (1 − β) (g² − square), which rounding never makes negative."""
    return without_subnormals(fma(one_minus_beta, fma(gradient, gradient, -square), square))


@inline
def adam(weight, mean, root, step, square_correction, epsilon):
    """w − η m̂ / (√v̂ + ε), where `root` = √v, `step` = η / (1 − β₁ᵗ) and `square_correction` = 1 / √(1 − β₂ᵗ)."""
    return fma(-step, mean / fma(root, square_correction, epsilon), weight)


@inline
def rmsprop_direction(gradient, square, epsilon):
    """g / (√v + ε)."""
    return gradient / (sqrt(square) + epsilon)


@inline
def sign(x):
    """−1, 0 or 1."""
    return select(x > 0.0, 1.0, select(x < 0.0, -1.0, x * 0.0))


@inline
def rprop(weight, gradient, previous, step, eta_minus, eta_plus, min_step, max_step):
    """iRprop−: the step grows where the gradient keeps its sign and shrinks where it turned. Returns w, g, step."""
    agreement = sign(gradient) * sign(previous)
    step = step * select(agreement > 0.0, eta_plus, select(agreement < 0.0, eta_minus, constant(step, ONE)))
    step = select(step < min_step, min_step, select(step > max_step, max_step, step))
    gradient = select(agreement < 0.0, 0.0, gradient)
    return fma(-sign(gradient), step, weight), gradient, step
