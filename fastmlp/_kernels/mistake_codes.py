"""Codes of mistakes: one enumeration for each place of the forward pass and of backpropagation."""

from enum import IntEnum


class Forward(IntEnum):
    """A layer's outputs from its inputs."""

    RIGHT = 0
    NO_BIAS = 1  # f(a W)
    BIAS_AFTER = 2  # f(a W) + b
    SIGMOID_TWICE = 3  # 1 / (1 + s(−z)), where s is the sigmoid
    SOFTMAX_OVER_SAMPLES = 4
    SOFTMAX_OVER_EVERYTHING = 5
    SOFTMAX_UNNORMALISED = 6  # exp(z)
    OTHER_ACTIVATION = 7  # the hidden activation at the output, or the output activation in a hidden layer
    NO_ACTIVATION = 8


class Output(IntEnum):
    """The gradient of a sample's loss by the output layer's z."""

    RIGHT = 0
    DERIVATIVE_OF_OUTPUT = 1
    DERIVATIVE_TWICE = 2
    NO_DERIVATIVE = 3
    SQUARED_ERROR = 4
    FIRST_TERM = 5  # −t / o · o (1 − o)
    TARGET_OVER_OUTPUT = 6  # −t / o
    TIMES_OUTPUT = 7  # (o − t) o


class Derivative(IntEnum):
    """The value used as a hidden layer's f'(z)."""

    RIGHT = 0
    OF_OUTPUT = 1  # f'(a)
    TWICE = 2
    LEFT_OUT = 3  # 1
    OF_LAYER_BELOW = 4
    OF_LAYER_ABOVE = 5
    ONE_MINUS_OUTPUT = 6  # 1 − a
    OF_SIGMOID = 7  # a (1 − a)
    STEP = 8  # 0 for z <= 0


class Product(IntEnum):
    """The factor of δ in the weights' gradient."""

    RIGHT = 0
    TRANSPOSED = 1
    OWN_OUTPUTS = 2
    WEIGHTED_SUMS = 3  # z of the layer below
    DERIVATIVES = 4  # f'(z) of the layer below


class BiasSum(IntEnum):
    """The biases' gradient."""

    RIGHT = 0
    OVER_UNITS = 1
    ZERO = 2


class Down(IntEnum):
    """The weights that pass δ down from a layer."""

    RIGHT = 0
    UNTRANSPOSED = 1
    OTHER_WEIGHTS = 2  # those of another layer
    UPDATED = 3  # those after the step


class Part(IntEnum):
    """The error in a layer's weight or bias gradient as a mean over the samples."""

    RIGHT = 0
    SUM = 1
    MEAN_TWICE = 2
    ONE_SAMPLE = 3  # one sample's term of the mean; the others are lost


class Penalty(IntEnum):
    """The L2 term in the weights' gradient."""

    RIGHT = 0
    ADDED = 1  # although the loss has none, or a smaller one
    LEFT_OUT = 2


class Scale(IntEnum):
    """The factor of all gradients."""

    RIGHT = 0
    SUM = 1
    BY_FEATURES = 2  # the sum over the samples, divided by the number of features
    MEAN_TWICE = 3
    SUM_OVER_OUTPUTS = 4
    HALF = 5
    TURNED = 6
    ONE_SAMPLE = 7  # the gradient is that of one sample
    ONE_MINIBATCH = 8
