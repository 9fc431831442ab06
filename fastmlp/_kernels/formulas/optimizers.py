"""Optimizer steps, and the rows of hyperparameters that they use."""

from enum import IntEnum

from fastmlp._simd.arithmetic import bits, constant, fma, select
from fastmlp._simd.elementary import ONE
from fastmlp._simd.jit import inline
from fastmlp._simd.sqrt import sqrt
from fastmlp._simd.types import Constants


class Method(IntEnum):
    """The optimizer's rule."""

    NONE = -1  # computes gradients only
    SGD = 0
    ADAM = 1
    RMSPROP = 2
    RPROP = 3


# Rows of a net's hyperparameters: those of every net,
LEARNING_RATE, L2, LEAKY_SLOPE = range(3)
KEPT, DROPOUT_SCALE = 3, 4  # with dropout p: 1 − p and 1 / (1 − p)
# the given learning rate and L2, from which the current ones are computed: the learning rate in each epoch, L2 in each
# minibatch,
GIVEN_RATE, GIVEN_L2 = 5, 6
# and from here on those of the net's optimizer
OWN = 7
SGD_MOMENTUM = OWN
ADAM_ONE_MINUS_BETA1, ADAM_ONE_MINUS_BETA2, ADAM_EPSILON = range(OWN, OWN + 3)
ADAM_WEIGHT_DECAY, ADAM_DECAY_FACTOR = OWN + 3, OWN + 4  # the factor is 1 − learning rate · weight decay
RMSPROP_MOMENTUM, RMSPROP_ONE_MINUS_ALPHA, RMSPROP_EPSILON = range(OWN, OWN + 3)
RPROP_ETA_MINUS, RPROP_ETA_PLUS, RPROP_MIN_STEP, RPROP_MAX_STEP = range(OWN, OWN + 4)
N_HYPERPARAMETERS = OWN + 5

_EXPONENT = Constants(single=(0x7F800000,), double=(0x7FF0000000000000,))


@inline
def without_subnormals(x):
    """x, or 0 where x is subnormal: otherwise decaying moments would become subnormal and slow the processor."""
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
