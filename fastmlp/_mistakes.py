"""Backpropagation in float64 with NumPy, right, and with the mistakes that people make in it.

The right way is plain to see here; each mistake is one switch in it. Symbols: a₀ the inputs, z = a W + b, a = f(z);
δ the derivative of the loss by a layer's z, for each sample; the weights' gradient is aᵀ δ, the biases' Σ δ, and δ Wᵀ
is what is passed down to the layer below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastmlp._formulas import Activation, Loss

Arrays = list[np.ndarray]

ROUNDING = 1e-2  # of what tolerances are relative to: of 1e-4 that leaves 1e-6, some steps of float32 at 1
KINK, ANYTHING = 1e-6, 1e6


class Mistake(NamedTuple):
    """One entry of the catalogue."""

    name: str
    slots: frozenset[str]  # what it changes; two mistakes of one slot exclude each other
    meaning: str
    line: str  # the right way, in NumPy


def _mistake(name: str, slots: str, meaning: str, line: str) -> tuple[str, Mistake]:
    return name, Mistake(name, frozenset(slots.split()), meaning, line)


SIGMOID_LINE = "delta = error * a * (1 - a)  # a = sigmoid(z): its derivative, in terms of the output itself"
DELTA_LINE = "delta = (output - target) / n_samples  # cross-entropy with its own output activation"

BACKWARD: dict[str, Mistake] = dict(
    [
        _mistake(
            "sum_for_mean", "scale", "the gradient is that of the sum over the samples, not of the mean",
            "dW = a_below.T @ delta / n_samples",
        ),
        _mistake(
            "mean_over_features", "scale", "the sum over the samples is divided by the number of features",
            "dW = a_below.T @ delta / X.shape[0]  # X.shape[1] is the number of features",
        ),
        _mistake(
            "sum_over_outputs", "outputs", "the loss is summed over the outputs, not averaged",
            "delta = delta / n_outputs",
        ),
        _mistake(
            "half_squared_error", "half", "the gradient is that of half the squared error",
            "delta = 2 * (output - target) * derivative / output.size",
        ),
        _mistake("sign_flipped", "sign", "the sign is turned: a step along it climbs", "W -= learning_rate * dW"),
        _mistake(
            "output_derivative_of_output", "output",
            "the output's derivative is taken as sigmoid'(a) = sigmoid(a) (1 - sigmoid(a)), but a is a sigmoid already",
            SIGMOID_LINE,
        ),
        _mistake(
            "output_derivative_twice", "output",
            "the output activation's derivative is applied once too often, as in (output - target) * a * (1 - a) for a "
            "cross-entropy loss",
            DELTA_LINE,
        ),
        _mistake(
            "output_derivative_left_out", "output", "the output activation's derivative is left out",
            "delta = error * a * (1 - a)",
        ),
        _mistake(
            "squared_error_with_cross_entropy", "output half",
            "the gradient is that of the squared error, the loss is a cross-entropy", DELTA_LINE,
        ),
        _mistake(
            "hidden_derivative_of_output", "hidden",
            "a hidden layer's derivative is taken of its output a, as if that were z: the activation is applied twice",
            "delta = (delta_above @ W_above.T) * a * (1 - a)",
        ),
        _mistake(
            "hidden_derivative_twice", "hidden", "the hidden layers' derivative is applied twice",
            "delta = (delta_above @ W_above.T) * a * (1 - a)  # once",
        ),
        _mistake(
            "hidden_derivative_left_out", "hidden", "the hidden layers' derivative is left out",
            "delta = (delta_above @ W_above.T) * derivative(z)",
        ),
        _mistake(
            "relu_derivative_at_least_zero", "relu",
            "ReLU's derivative is taken as a >= 0, which holds for every output of a ReLU",
            "delta = (delta_above @ W_above.T) * (a > 0)",
        ),
        _mistake(
            "derivative_of_layer_below", "hidden relu",
            "a hidden layer's derivative is computed from the outputs of the layer below it",
            "delta[l] = (delta[l + 1] @ W[l + 1].T) * derivative(z[l])",
        ),
        _mistake(
            "derivative_of_layer_above", "hidden relu",
            "a hidden layer's derivative is computed from the outputs of the layer above it",
            "delta[l] = (delta[l + 1] @ W[l + 1].T) * derivative(z[l])",
        ),
        _mistake(
            "bias_summed_over_units", "bias", "the bias gradient is summed over the units as well as over the samples",
            "db = delta.sum(axis=0)",
        ),
        _mistake(
            "weight_gradient_transposed", "product",
            "the weight gradient is its own transpose, pressed into the shape: delta.T @ a_below",
            "dW = a_below.T @ delta",
        ),
        _mistake(
            "passed_down_by_untransposed_weights", "pass", "delta is passed down by W in place of its transpose",
            "delta_below = (delta @ W.T) * derivative(z_below)",
        ),
        _mistake(
            "weights_updated_before_passing_down", "pass",
            "weights are updated before delta is passed down through them",
            "compute all gradients first, with the old weights; then update every layer",
        ),
    ]
)  # fmt: skip

FORWARD: dict[str, Mistake] = dict(
    [
        _mistake(
            "sigmoid_of_sigmoid", "forward",
            "the output is 1 / (1 + expit(-z)), where expit is the sigmoid already: it lies between 1/2 and 1",
            "output = expit(z)",
        ),
        _mistake("bias_left_out_of_forward", "forward", "the biases are not added", "z = a_below @ W + b"),
        _mistake(
            "hidden_activation_on_output", "forward", "the hidden layers' activation is applied to the output layer",
            "output = output_activation(z_output)",
        ),
        _mistake(
            "output_activation_on_hidden", "forward", "the output's activation is applied to the hidden layers",
            "a = hidden_activation(z)",
        ),
        _mistake(
            "output_activation_left_out", "forward", "the output layer has no activation",
            "output = output_activation(z_output)",
        ),
        _mistake(
            "hidden_activation_left_out", "forward", "the hidden layers have no activation", "a = hidden_activation(z)"
        ),
        _mistake(
            "softmax_over_samples", "forward", "the softmax is taken over the samples, not over the classes",
            "output = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)",
        ),
    ]
)  # fmt: skip


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−z)), without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def activate(code: Activation, z: np.ndarray, slope: float) -> np.ndarray:
    """f(z)."""
    if code == Activation.SOFTMAX:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    functions: dict[Activation, Callable[[], np.ndarray]] = {
        Activation.IDENTITY: lambda: z,
        Activation.RELU: lambda: np.where(z > 0, z, 0.0),
        Activation.LEAKY_RELU: lambda: np.where(z > 0, z, slope * z),
        Activation.TANH: lambda: np.tanh(z),
        Activation.SIGMOID: lambda: sigmoid(z),
        Activation.EXP: lambda: np.exp(z),
    }
    return functions[code]()


def derivative(code: Activation, z: np.ndarray, a: np.ndarray, slope: float) -> np.ndarray:
    """f'(z), element by element; of softmax its diagonal."""
    if code == Activation.RELU:
        return (z > 0).astype(np.float64)
    if code == Activation.LEAKY_RELU:
        return np.where(z > 0, 1.0, slope)
    if code == Activation.TANH:
        return 1.0 - a * a
    if code in (Activation.SIGMOID, Activation.SOFTMAX):
        return a * (1.0 - a)
    return a if code == Activation.EXP else np.ones_like(z)


@dataclass
class Problem:
    """A net, its data and its loss, in float64."""

    activations: tuple[Activation, ...]
    slope: float
    weights: Arrays
    biases: Arrays  # zeros for a net without
    X: np.ndarray
    targets: np.ndarray  # (S, n_out)
    loss: Loss
    given: Arrays = field(default_factory=list)  # the weight gradients to be audited
    forward_mistake: str | None = None
    z: Arrays = field(init=False)
    a: Arrays = field(init=False)

    def __post_init__(self) -> None:
        self.z, self.a = self.forward(self.forward_mistake)

    @property
    def n_layers(self) -> int:
        return len(self.weights)

    def forward(self, mistake: str | None = None) -> tuple[Arrays, Arrays]:
        """z of every layer, and its a, the inputs first."""
        zs: Arrays = []
        outputs: Arrays = [self.X]
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = outputs[-1] @ w + (0.0 if mistake == "bias_left_out_of_forward" else b)
            last = layer == self.n_layers - 1
            code = self.activations[layer]
            if last and mistake == "hidden_activation_on_output":
                code = self.activations[0]
            elif last and mistake == "output_activation_left_out":
                code = Activation.IDENTITY
            elif not last and mistake == "output_activation_on_hidden":
                code = self.activations[-1]
            elif not last and mistake == "hidden_activation_left_out":
                code = Activation.IDENTITY
            if last and mistake == "sigmoid_of_sigmoid":
                a = 1.0 / (1.0 + sigmoid(-z))
            elif last and mistake == "softmax_over_samples":
                a = activate(code, z.T, self.slope).T
            else:
                a = activate(code, z, self.slope)
            zs.append(z)
            outputs.append(a)
        return zs, outputs

    def forward_mistakes(self) -> list[str]:
        """Those that this net can have."""
        output, hidden = self.activations[-1], self.activations[:-1]
        may = {
            "sigmoid_of_sigmoid": output == Activation.SIGMOID,
            "bias_left_out_of_forward": any(b.any() for b in self.biases),
            "hidden_activation_on_output": bool(hidden) and hidden[0] != output,
            "output_activation_on_hidden": any(code != output for code in hidden),
            "output_activation_left_out": output != Activation.IDENTITY,
            "hidden_activation_left_out": any(code != Activation.IDENTITY for code in hidden),
            "softmax_over_samples": output == Activation.SOFTMAX,
        }
        return [name for name, possible in may.items() if possible]

    def backward_mistakes(self) -> list[str]:
        """Those that this net can have."""
        sizes = [len(self.weights[0]), *(w.shape[1] for w in self.weights)]
        hidden, output = set(self.activations[:-1]), self.activations[-1]
        curved = bool(hidden & {Activation.TANH, Activation.SIGMOID})
        inner = range(1, self.n_layers)  # the layers with hidden units, counted as `sizes` does
        cross_entropy = self.loss in (Loss.BCE, Loss.CROSS_ENTROPY)
        may = {
            "sum_for_mean": True,
            "mean_over_features": True,
            "sum_over_outputs": sizes[-1] > 1 and self.loss != Loss.CROSS_ENTROPY,
            "half_squared_error": self.loss == Loss.MSE,
            "sign_flipped": True,
            "output_derivative_of_output": output == Activation.SIGMOID,
            "output_derivative_twice": output in (Activation.SIGMOID, Activation.SOFTMAX),
            "output_derivative_left_out": output == Activation.SIGMOID
            or (output != Activation.IDENTITY and self.loss == Loss.MSE),
            "squared_error_with_cross_entropy": cross_entropy,
            "hidden_derivative_of_output": curved,
            "hidden_derivative_twice": curved or Activation.LEAKY_RELU in hidden,
            "hidden_derivative_left_out": curved or Activation.LEAKY_RELU in hidden,
            "relu_derivative_at_least_zero": Activation.RELU in hidden,
            "derivative_of_layer_below": any(sizes[k - 1] == sizes[k] for k in inner),
            "derivative_of_layer_above": any(sizes[k + 1] in (1, sizes[k]) for k in inner),
            "bias_summed_over_units": any(size > 1 for size in sizes[1:]),
            "weight_gradient_transposed": any(min(w.shape) > 1 for w in self.weights),
            "passed_down_by_untransposed_weights": any(w.shape[0] == w.shape[1] > 1 for w in self.weights[1:]),
            "weights_updated_before_passing_down": self.n_layers > 1,
        }
        return [name for name, possible in may.items() if possible]

    # ------------------------------------------------------------------------------------------------ backward

    def gradients(self, mistakes: frozenset[str] = frozenset(), learning_rate: float = 0.0) -> tuple[Arrays, Arrays]:
        """The weights' and the biases' gradients, with these mistakes in them.

        `learning_rate` is that of weights that are updated too early, by the gradients that are audited.
        """
        delta = self._output_delta(mistakes)
        weight_gradients: Arrays = [np.empty(0)] * self.n_layers
        bias_gradients = weight_gradients.copy()
        for layer in reversed(range(self.n_layers)):
            below = self.a[layer]
            dw, db = below.T @ delta, delta.sum(axis=0)
            if "weight_gradient_transposed" in mistakes:
                dw = (delta.T @ below).reshape(dw.shape)
            if "bias_summed_over_units" in mistakes:
                db = np.full_like(db, db.sum())
            weight_gradients[layer], bias_gradients[layer] = dw, db
            if layer:
                w = self.weights[layer]
                if learning_rate and "weights_updated_before_passing_down" in mistakes:
                    w = w - learning_rate * self.given[layer]
                square = w.shape[0] == w.shape[1]
                error = delta @ (w if square and "passed_down_by_untransposed_weights" in mistakes else w.T)
                delta = error * self._hidden_derivative(layer - 1, mistakes)
        return weight_gradients, bias_gradients

    def magnitudes(self) -> tuple[Arrays, Arrays]:
        """What the terms of each gradient come to without their signs: what rounding errors are relative to.

        A sum within rounding of a ReLU's kink may fall on either side of it: there anything goes.
        """
        # outputs that nearly equal their targets are known only as well as both are
        known = ROUNDING * abs(self._scale(frozenset())) * (np.abs(self.a[-1]) + np.abs(self.targets))
        delta = np.abs(self._output_delta(frozenset())) + known
        weights: Arrays = [np.empty(0)] * self.n_layers
        biases = weights.copy()
        for layer in reversed(range(self.n_layers)):
            weights[layer], biases[layer] = np.abs(self.a[layer]).T @ delta, delta.sum(axis=0)
            if layer:
                below, z = layer - 1, self.z[layer - 1]
                terms = np.abs(self.a[below]) @ np.abs(self.weights[below]) + np.abs(self.biases[below])
                slope = np.abs(derivative(self.activations[below], z, self.a[layer], self.slope))
                if self.activations[below] in (Activation.RELU, Activation.LEAKY_RELU):
                    slope = slope + ANYTHING * (np.abs(z) <= KINK * terms)
                else:
                    slope = slope + ROUNDING  # 1 − a, where a nearly is 1
                delta = (delta @ np.abs(self.weights[layer]).T) * slope
        return weights, biases

    def _scale(self, mistakes: frozenset[str]) -> float:
        """What a sample's δ is multiplied with."""
        n_samples, n_outputs = self.targets.shape
        scale = 1.0 / n_samples
        if "sum_for_mean" in mistakes:
            scale = 1.0
        elif "mean_over_features" in mistakes:
            scale = 1.0 / self.X.shape[1]
        if self.loss != Loss.CROSS_ENTROPY and "sum_over_outputs" not in mistakes:
            scale /= n_outputs
        return -scale if "sign_flipped" in mistakes else scale

    def _output_delta(self, mistakes: frozenset[str]) -> np.ndarray:
        output, code = self.a[-1], self.activations[-1]
        error, scale = output - self.targets, self._scale(mistakes)
        slope = derivative(code, self.z[-1], output, self.slope)
        if self.loss == Loss.MSE or "squared_error_with_cross_entropy" in mistakes:
            error = error * (1.0 if "half_squared_error" in mistakes else 2.0)
            if code == Activation.SOFTMAX:
                right = output * (error - (error * output).sum(axis=1, keepdims=True))
                return scale * (right * slope if "output_derivative_twice" in mistakes else (
                    error if "output_derivative_left_out" in mistakes else right))  # fmt: skip
            return scale * error * self._power(mistakes, output, slope)
        # with its own output activation the derivative of a cross-entropy has cancelled
        if "output_derivative_of_output" in mistakes:
            return scale * error * self._power(mistakes, output, slope) / np.maximum(slope, 1e-300)
        if "output_derivative_left_out" in mistakes:
            return scale * error / np.maximum(slope, 1e-300)
        return scale * error * (slope if "output_derivative_twice" in mistakes else 1.0)

    @staticmethod
    def _power(mistakes: frozenset[str], output: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """The output's derivative, or what stands in its place."""
        if "output_derivative_of_output" in mistakes:
            twice = sigmoid(output)
            return twice * (1.0 - twice)
        if "output_derivative_left_out" in mistakes:
            return np.ones_like(slope)
        return slope * slope if "output_derivative_twice" in mistakes else slope

    def _hidden_derivative(self, layer: int, mistakes: frozenset[str]) -> np.ndarray:
        code, z, a = self.activations[layer], self.z[layer], self.a[layer + 1]
        if "derivative_of_layer_below" in mistakes and self.a[layer].shape == a.shape:
            a = z = self.a[layer]
        elif "derivative_of_layer_above" in mistakes and self.a[layer + 2].shape[1] in (1, a.shape[1]):
            a = z = self.a[layer + 2]
        if code == Activation.RELU:
            return np.ones_like(z) if "relu_derivative_at_least_zero" in mistakes else (z > 0).astype(np.float64)
        right = derivative(code, z, a, self.slope)
        if "hidden_derivative_left_out" in mistakes:
            return np.ones_like(right)
        if "hidden_derivative_twice" in mistakes:
            return right * right
        if "hidden_derivative_of_output" in mistakes:
            return derivative(code, a, activate(code, a, self.slope), self.slope)
        return right
