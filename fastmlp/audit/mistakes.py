"""The catalogue of mistakes in a net's forward pass and in its backpropagation.

Each is a switch at one place of the program in `backpropagation`, of the compiled one in `_kernels/mistakes`, or of
both. It knows nothing of nets: `backpropagation.Problem` says which mistakes a net can have, and in which layers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from fastmlp._kernels.formulas.losses import Loss
from fastmlp._kernels.mistake_codes import BiasSum, Derivative, Down, Forward, Output, Part, Penalty, Product, Scale


class Mistake(NamedTuple):
    """One entry of the catalogue."""

    name: str
    slots: frozenset[str]  # the code that it changes; a layer has at most one mistake of each slot
    code: IntEnum  # the first slot's value
    meaning: str
    line: str  # the right code, in NumPy
    has_layers: bool  # whether it belongs to layers, one or several


def _mistake(name: str, slots: str, code: IntEnum, meaning: str, line: str) -> tuple[str, Mistake]:
    layered = isinstance(code, (Derivative, Product, BiasSum, Down, Part, Forward)) and code is not Down.UPDATED
    return name, Mistake(name, frozenset(slots.split()), code, meaning, line, layered)


SIGMOID_LINE = "delta = error * a * (1 - a)  # a = sigmoid(z): its derivative, in terms of the output itself"
DELTA_LINE = "delta = (output - target) / n_samples  # cross-entropy with its own output activation"
HIDDEN_LINE = "delta = (delta_above @ W_above.T) * a * (1 - a)"
AUDITED = (Loss.BCE, Loss.CROSS_ENTROPY, Loss.MSE)  # the losses that the catalogue's formulas are for
TANH_LINE = "delta = (delta_above @ W_above.T) * (1 - a ** 2)  # a = tanh(z)"
LAYERS_LINE = "delta[l] = (delta[l + 1] @ W[l + 1].T) * derivative(z[l])"
PRODUCT_LINE = "dW = a_below.T @ delta"
MEAN_LINE = "dW = a_below.T @ delta / n_samples; db = delta.sum(axis=0) / n_samples"

BACKWARD: dict[str, Mistake] = dict(
    [
        _mistake(
            "sum_for_mean",
            "scale",
            Scale.SUM,
            "the gradient is that of the sum over the samples, not of the mean",
            "dW = a_below.T @ delta / n_samples",
        ),
        _mistake(
            "mean_over_features",
            "scale",
            Scale.BY_FEATURES,
            "the sum over the samples is divided by the number of features",
            "dW = a_below.T @ delta / X.shape[0]  # X.shape[1] is the number of features",
        ),
        _mistake(
            "mean_twice", "scale", Scale.MEAN_TWICE, "the gradient is divided by the number of samples twice", MEAN_LINE
        ),
        _mistake(
            "one_sample",
            "scale",
            Scale.ONE_SAMPLE,
            "the gradient is that of a single sample, not of all",
            "dW += np.outer(a_below[s], delta[s])  # for every sample s; then divide by their number",
        ),
        _mistake(
            "one_minibatch",
            "scale",
            Scale.ONE_MINIBATCH,
            "the gradient is that of some of the samples, not of all",
            "compute the gradient on the same samples as the loss",
        ),
        _mistake(
            "sum_over_outputs",
            "outputs",
            Scale.SUM_OVER_OUTPUTS,
            "the loss is summed over the outputs, not averaged",
            "delta = delta / n_outputs",
        ),
        _mistake(
            "half_squared_error",
            "half",
            Scale.HALF,
            "the gradient is that of half the squared error",
            "delta = 2 * (output - target) * derivative / output.size",
        ),
        _mistake(
            "sign_flipped", "sign", Scale.TURNED, "the sign is wrong: each step climbs", "W -= learning_rate * dW"
        ),
        _mistake(
            "output_derivative_of_output",
            "output",
            Output.DERIVATIVE_OF_OUTPUT,
            "the output's derivative is taken as sigmoid'(a) = sigmoid(a) (1 - sigmoid(a)), but a is a sigmoid already",
            SIGMOID_LINE,
        ),
        _mistake(
            "output_derivative_twice",
            "output",
            Output.DERIVATIVE_TWICE,
            "the output activation's derivative is applied once too often, as in (output - target) * a * (1 - a) for a "
            "cross-entropy loss",
            DELTA_LINE,
        ),
        _mistake(
            "output_derivative_left_out",
            "output",
            Output.NO_DERIVATIVE,
            "the output activation's derivative is left out",
            "delta = error * a * (1 - a)",
        ),
        _mistake(
            "squared_error_with_cross_entropy",
            "output half",
            Output.SQUARED_ERROR,
            "the gradient is that of the squared error, the loss is a cross-entropy",
            DELTA_LINE,
        ),
        _mistake(
            "cross_entropy_first_term",
            "output",
            Output.FIRST_TERM,
            "only the term -t log o of the cross-entropy is differentiated: that of the other class is missing",
            "error = -target / output + (1 - target) / (1 - output)",
        ),
        _mistake(
            "minus_target_over_output",
            "output",
            Output.TARGET_OVER_OUTPUT,
            "-t / o alone, the loss's derivative by the output, is passed down: the output activation's derivative and "
            "the other class are missing",
            DELTA_LINE,
        ),
        _mistake(
            "output_error_times_output",
            "output",
            Output.TIMES_OUTPUT,
            "the output's gradient is (o - t) o: the output itself is used in place of its derivative",
            DELTA_LINE,
        ),
        _mistake(
            "hidden_derivative_of_output",
            "hidden",
            Derivative.OF_OUTPUT,
            "a hidden layer's derivative is taken of its output a, as if that were z: the activation is applied twice",
            HIDDEN_LINE,
        ),
        _mistake(
            "hidden_derivative_twice",
            "hidden",
            Derivative.TWICE,
            "a hidden layer's derivative is applied twice",
            HIDDEN_LINE + "  # once",
        ),
        _mistake(
            "hidden_derivative_left_out",
            "hidden",
            Derivative.LEFT_OUT,
            "a hidden layer's derivative is left out",
            "delta = (delta_above @ W_above.T) * derivative(z)",
        ),
        _mistake(
            "relu_derivative_at_least_zero",
            "hidden",
            Derivative.LEFT_OUT,
            "ReLU's derivative is left out, or taken as a >= 0, which holds for every output of a ReLU",
            "delta = (delta_above @ W_above.T) * (a > 0)",
        ),
        _mistake(
            "leaky_slope_left_out",
            "hidden",
            Derivative.STEP,
            "a leaky ReLU's derivative is taken as that of a ReLU, 0 where z is negative",
            "delta = (delta_above @ W_above.T) * np.where(z > 0, 1, slope)",
        ),
        _mistake(
            "tanh_derivative_one_minus_output",
            "hidden",
            Derivative.ONE_MINUS_OUTPUT,
            "the derivative of tanh is taken as 1 - a",
            TANH_LINE,
        ),
        _mistake(
            "tanh_derivative_of_sigmoid",
            "hidden",
            Derivative.OF_SIGMOID,
            "the derivative of tanh is taken as a (1 - a), which is the sigmoid's",
            TANH_LINE,
        ),
        _mistake(
            "derivative_of_layer_below",
            "hidden",
            Derivative.OF_LAYER_BELOW,
            "a hidden layer's derivative is computed from the outputs of the layer below it",
            LAYERS_LINE,
        ),
        _mistake(
            "derivative_of_layer_above",
            "hidden",
            Derivative.OF_LAYER_ABOVE,
            "a hidden layer's derivative is computed from the outputs of the layer above it",
            LAYERS_LINE,
        ),
        _mistake(
            "bias_summed_over_units",
            "bias",
            BiasSum.OVER_UNITS,
            "the bias gradient is summed over the units as well as over the samples",
            "db = delta.sum(axis=0)",
        ),
        _mistake(
            "bias_gradient_zero",
            "bias bias_part",
            BiasSum.ZERO,
            "the bias gradient is 0: the biases never learn",
            "db = delta.sum(axis=0)",
        ),
        _mistake(
            "weight_gradient_transposed",
            "product",
            Product.TRANSPOSED,
            "the weight gradient is its own transpose, reshaped: delta.T @ a_below",
            PRODUCT_LINE,
        ),
        _mistake(
            "weight_gradient_of_own_outputs",
            "product",
            Product.OWN_OUTPUTS,
            "the weight gradient is computed from the layer's own outputs, not from its inputs",
            PRODUCT_LINE,
        ),
        _mistake(
            "weight_gradient_of_weighted_sums",
            "product",
            Product.WEIGHTED_SUMS,
            "the weight gradient is computed from z of the layer below, before its activation",
            PRODUCT_LINE,
        ),
        _mistake(
            "outputs_overwritten_by_derivative",
            "product",
            Product.DERIVATIVES,
            "the outputs of the layer below were overwritten by their derivative before the weight gradient used them",
            "derivative = a * (1 - a)  # into an array of its own",
        ),
        _mistake(
            "weights_sum_for_mean",
            "weight_part",
            Part.SUM,
            "the weights' gradient alone is a sum over the samples, not the mean",
            MEAN_LINE,
        ),
        _mistake(
            "weights_mean_twice",
            "weight_part",
            Part.MEAN_TWICE,
            "the weights' gradient alone is divided by the number of samples twice",
            MEAN_LINE,
        ),
        _mistake(
            "weights_of_one_sample",
            "weight_part",
            Part.ONE_SAMPLE,
            "the weights' gradient is one sample's term, as when a loop has = in place of +=",
            "dW += np.outer(a_below[s], delta[s])",
        ),
        _mistake(
            "biases_sum_for_mean",
            "bias_part",
            Part.SUM,
            "the biases' gradient alone is a sum over the samples, not the mean",
            MEAN_LINE,
        ),
        _mistake(
            "biases_mean_twice",
            "bias_part",
            Part.MEAN_TWICE,
            "the biases' gradient alone is divided by the number of samples twice",
            MEAN_LINE,
        ),
        _mistake(
            "biases_of_one_sample",
            "bias_part",
            Part.ONE_SAMPLE,
            "the biases' gradient is one sample's term, as when a loop has = in place of +=",
            "db += delta[s]",
        ),
        _mistake(
            "passed_down_by_untransposed_weights",
            "pass",
            Down.UNTRANSPOSED,
            "delta is passed down by W in place of its transpose",
            "delta_below = (delta @ W.T) * derivative(z_below)",
        ),
        _mistake(
            "passed_down_by_other_weights",
            "pass",
            Down.OTHER_WEIGHTS,
            "delta is passed down by the weights of another layer",
            "delta[l] = (delta[l + 1] @ W[l + 1].T) * derivative(z[l])  # W[l + 1] leads from layer l to delta[l + 1]",
        ),
        _mistake(
            "weights_updated_before_passing_down",
            "pass",
            Down.UPDATED,
            "weights are updated before delta is passed down through them",
            "compute all gradients first, with the old weights; then update every layer",
        ),
        _mistake(
            "l2_in_gradient",
            "l2",
            Penalty.ADDED,
            "the weights' gradient includes an L2 term that the loss does not have",
            "dW = a_below.T @ delta  # or pass l2 to the audit",
        ),
        _mistake(
            "l2_left_out",
            "l2",
            Penalty.LEFT_OUT,
            "the gradient of L2's term is missing",
            "dW = a_below.T @ delta + l2 * W",
        ),
    ]
)

FORWARD: dict[str, Mistake] = dict(
    [
        _mistake(
            "sigmoid_of_sigmoid",
            "forward",
            Forward.SIGMOID_TWICE,
            "the output is 1 / (1 + expit(-z)), where expit is the sigmoid already: it lies between 1/2 and 1",
            "output = expit(z)",
        ),
        _mistake(
            "bias_left_out_of_forward", "forward", Forward.NO_BIAS, "the biases are not added", "z = a_below @ W + b"
        ),
        _mistake(
            "bias_after_activation",
            "forward",
            Forward.BIAS_AFTER,
            "the biases are added after the activation: f(a W) + b",
            "a = f(a_below @ W + b)",
        ),
        _mistake(
            "hidden_activation_on_output",
            "forward",
            Forward.OTHER_ACTIVATION,
            "the hidden layers' activation is applied to the output layer",
            "output = output_activation(z_output)",
        ),
        _mistake(
            "output_activation_on_hidden",
            "forward",
            Forward.OTHER_ACTIVATION,
            "the output's activation is applied to hidden layers",
            "a = hidden_activation(z)",
        ),
        _mistake(
            "output_activation_left_out",
            "forward",
            Forward.NO_ACTIVATION,
            "the output layer has no activation",
            "output = output_activation(z_output)",
        ),
        _mistake(
            "hidden_activation_left_out",
            "forward",
            Forward.NO_ACTIVATION,
            "hidden layers have no activation",
            "a = hidden_activation(z)",
        ),
        _mistake(
            "softmax_over_samples",
            "forward",
            Forward.SOFTMAX_OVER_SAMPLES,
            "the softmax is taken over the samples, not over the classes",
            "output = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)",
        ),
        _mistake(
            "softmax_over_everything",
            "forward",
            Forward.SOFTMAX_OVER_EVERYTHING,
            "the softmax is taken over the whole array, not over each sample's classes",
            "output = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)",
        ),
        _mistake(
            "softmax_unnormalised",
            "forward",
            Forward.SOFTMAX_UNNORMALISED,
            "the softmax is not divided by its sum: the output is exp(z)",
            "output = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)",
        ),
    ]
)

MISTAKES: dict[str, Mistake] = BACKWARD | FORWARD


class Placed(NamedTuple):
    """A mistake and its place."""

    name: str
    layers: tuple[
        int, ...
    ] = ()  # layers, counted from 0 for the inputs' weights; empty for a mistake that belongs to no layer
    sample: int | None = None  # the only sample left, or the first of those left, for a mistake that loses the others
    stop: int | None = None  # one past the last sample left
    other: int | None = None  # the layer whose weights are used in place of the right ones
    number: float = 0.0  # the learning rate, or L2's factor


def said_layers(layers: tuple[int, ...], n_layers: int) -> str:
    """Name layers for a message, hidden layers counted from 1."""
    names = ["the output layer" if layer == n_layers - 1 else f"hidden layer {layer + 1}" for layer in layers]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
