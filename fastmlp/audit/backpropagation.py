"""Backpropagation in float64 with NumPy, both right and with mistakes of the catalogue.

Each mistake is one switch in the right program. Symbols: a₀ the inputs, z = a W + b, a = f(z); δ the derivative of the
loss by a layer's z, for each sample. The weights' gradient is aᵀ δ, the biases' Σ δ, and δ Wᵀ is passed down to the
layer below. Arrays may have leading axes for several nets.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from fastmlp._kernels.formulas.activations import BY_CODE, Activation
from fastmlp._kernels.formulas.activations import numpy_sigmoid as sigmoid
from fastmlp._kernels.formulas.losses import Loss
from fastmlp._kernels.mistake_codes import BiasSum, Derivative, Down, Forward, Output, Product, Scale
from fastmlp.audit.mistakes import BACKWARD, FORWARD, MISTAKES, Placed

Arrays = list[np.ndarray]

ROUNDING = 1e-2  # of the scale that tolerances are relative to: with 1e-4 this is 1e-6, a few float32 roundings at 1
KINK, ANYTHING = 1e-6, 1e6
MOST_TERMS = 2**22
RIGHT_FORWARD: tuple[Placed, ...] = ()


def activate(code: Activation, z: np.ndarray, slope: float) -> np.ndarray:
    """f(z)."""
    return BY_CODE[code].in_numpy(z, slope)


def _softmax(z: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    e = np.exp(z - z.max(axis=axes, keepdims=True))
    return e / e.sum(axis=axes, keepdims=True)


def derivative(code: Activation, z: np.ndarray, a: np.ndarray, slope: float) -> np.ndarray:
    """f'(z) elementwise; for softmax the diagonal of its Jacobian."""
    record = BY_CODE[code]
    return record.derivative_in_numpy(z if record.needs_sum or record.dies else a, slope)


class Made:
    """The mistakes of one layer, or of the net; each kind of code belongs to one switch."""

    def __init__(self, mistakes: Iterable[Placed] = ()) -> None:
        self.by_name = {mistake.name: mistake for mistake in mistakes}
        codes = [(MISTAKES[name].code, mistake) for name, mistake in self.by_name.items()]
        self._by_code = {(type(code), int(code)): mistake for code, mistake in codes}

    def __contains__(self, code: IntEnum) -> bool:
        return (type(code), int(code)) in self._by_code

    def __getitem__(self, code: IntEnum) -> Placed:
        return self._by_code[type(code), int(code)]


NONE_MADE = Made()


def turned(w: np.ndarray) -> np.ndarray:
    """The transpose of the last two axes."""
    return np.swapaxes(w, -1, -2)


@dataclass
class Problem:
    """A net with its data and loss, in float64."""

    activations: tuple[Activation, ...]
    slope: float
    weights: Arrays
    biases: Arrays  # zeros for a net without biases
    X: np.ndarray
    targets: np.ndarray  # (S, n_out)
    loss: Loss
    l2: float = 0.0
    given: Arrays = field(default_factory=list)  # the weight gradients to be audited
    forward_mistakes_made: tuple[Placed, ...] = RIGHT_FORWARD
    z: Arrays = field(init=False)
    a: Arrays = field(init=False)

    def __post_init__(self) -> None:
        self.z, self.a = self.forward(self.forward_mistakes_made)

    @property
    def n_layers(self) -> int:
        return len(self.weights)

    @property
    def sizes(self) -> list[int]:
        """Units of each layer, the inputs first."""
        return [self.X.shape[-1], *(w.shape[-1] for w in self.weights)]

    # ------------------------------------------------------------------------------------------------ forward

    def forward(self, mistakes: Iterable[Placed] = RIGHT_FORWARD) -> tuple[Arrays, Arrays]:
        """Compute z of every layer, and a of every layer, the inputs first."""
        slips = [Forward.RIGHT] * self.n_layers
        for mistake in mistakes:
            for layer in mistake.layers:
                slips[layer] = Forward(FORWARD[mistake.name].code)
        zs: Arrays = []
        outputs: Arrays = [self.X]
        for layer, slip in enumerate(slips):
            z = outputs[-1] @ self.weights[layer]
            b = self.biases[layer][..., None, :]
            if slip not in (Forward.NO_BIAS, Forward.BIAS_AFTER):
                z = z + b
            a = self._activated(layer, z, slip)
            zs.append(z)
            outputs.append(a + b if slip == Forward.BIAS_AFTER else a)
        return zs, outputs

    def _activated(self, layer: int, z: np.ndarray, slip: Forward) -> np.ndarray:
        if slip == Forward.SIGMOID_TWICE:
            return 1.0 / (1.0 + sigmoid(-z))
        if slip == Forward.SOFTMAX_OVER_SAMPLES:
            return _softmax(z, (-2,))
        if slip == Forward.SOFTMAX_OVER_EVERYTHING:
            return _softmax(z, (-2, -1))
        if slip == Forward.SOFTMAX_UNNORMALISED:
            return np.exp(z)
        return activate(self.applied(layer, slip), z, self.slope)

    def applied(self, layer: int, slip: Forward) -> Activation:
        """The activation that a layer applies, with the mistake if there is one."""
        if slip == Forward.NO_ACTIVATION:
            return Activation.IDENTITY
        if slip == Forward.OTHER_ACTIVATION:
            return self.activations[0 if layer == self.n_layers - 1 else -1]
        return self.activations[layer]

    # ------------------------------------------------------------------------------------------------ where

    def places(self, name: str) -> tuple[int, ...]:
        """The layers where a mistake is possible; (0,) or () for a mistake that belongs to no layer."""
        found = self._possible()[name]
        return found if isinstance(found, tuple) else (0,) * found

    def _possible(self) -> dict[str, tuple[int, ...] | bool]:
        return self._possible_in_gradients() | self._possible_in_forward()

    def _possible_in_gradients(self) -> dict[str, tuple[int, ...] | bool]:
        f, sizes, L, output = self.activations, self.sizes, self.n_layers, self.activations[-1]
        every, upper, hidden = range(L), range(1, L), range(L - 1)
        cross_entropy = self.loss in (Loss.BCE, Loss.CROSS_ENTROPY)
        several, own_loss = self.X.shape[-2] > 1, cross_entropy and output in (Activation.SIGMOID, Activation.SOFTMAX)

        def of(layers: range, which: Callable[[int], bool]) -> tuple[int, ...]:
            return tuple(layer for layer in layers if which(layer))

        curved = of(hidden, lambda k: BY_CODE[f[k]].saturates)
        steep = of(hidden, lambda k: BY_CODE[f[k]].saturates or f[k] == Activation.LEAKY_RELU)
        bent_below = of(upper, lambda k: f[k - 1] != Activation.IDENTITY)
        shapes = list(itertools.pairwise(sizes))
        parts = tuple(every) if several else ()
        return {
            "sum_for_mean": several,
            "mean_over_features": self.X.shape[-1] != self.X.shape[-2],
            "mean_twice": several,
            "one_sample": several,
            "one_minibatch": self.X.shape[-2] > 2,
            "sum_over_outputs": sizes[-1] > 1 and self.loss != Loss.CROSS_ENTROPY,
            "half_squared_error": self.loss == Loss.MSE,
            "sign_flipped": True,
            "output_derivative_of_output": output == Activation.SIGMOID,
            "output_derivative_twice": output in (Activation.SIGMOID, Activation.SOFTMAX),
            "output_derivative_left_out": output != Activation.IDENTITY
            and (output == Activation.SIGMOID or self.loss == Loss.MSE),
            "squared_error_with_cross_entropy": cross_entropy,
            "cross_entropy_first_term": own_loss,
            "minus_target_over_output": own_loss,
            "output_error_times_output": own_loss or (output == Activation.SIGMOID and self.loss == Loss.MSE),
            "hidden_derivative_of_output": curved,
            "hidden_derivative_twice": steep,
            "hidden_derivative_left_out": steep,
            "relu_derivative_at_least_zero": of(hidden, lambda k: f[k] == Activation.RELU),
            "leaky_slope_left_out": of(hidden, lambda k: f[k] == Activation.LEAKY_RELU),
            "tanh_derivative_one_minus_output": of(hidden, lambda k: f[k] == Activation.TANH),
            "tanh_derivative_of_sigmoid": of(hidden, lambda k: f[k] == Activation.TANH),
            "derivative_of_layer_below": of(hidden, lambda k: f[k] != Activation.IDENTITY and sizes[k] == sizes[k + 1]),
            "derivative_of_layer_above": of(
                hidden, lambda k: f[k] != Activation.IDENTITY and sizes[k + 2] in (1, sizes[k + 1])
            ),
            "bias_summed_over_units": of(every, lambda k: sizes[k + 1] > 1),
            "bias_gradient_zero": tuple(every),
            "weight_gradient_transposed": of(every, lambda k: min(shapes[k]) > 1),
            "weight_gradient_of_own_outputs": of(every, lambda k: sizes[k] == sizes[k + 1]),
            "weight_gradient_of_weighted_sums": bent_below,
            "outputs_overwritten_by_derivative": bent_below,
            "weights_sum_for_mean": parts,
            "weights_mean_twice": parts,
            "weights_of_one_sample": parts,
            "biases_sum_for_mean": parts,
            "biases_mean_twice": parts,
            "biases_of_one_sample": parts,
            "passed_down_by_untransposed_weights": of(upper, lambda k: shapes[k][0] == shapes[k][1] > 1),
            "passed_down_by_other_weights": of(upper, lambda k: shapes.count(shapes[k]) > 1),
            "weights_updated_before_passing_down": L > 1,
            "l2_in_gradient": True,
            "l2_left_out": self.l2 > 0.0,
        }

    def _possible_in_forward(self) -> dict[str, tuple[int, ...] | bool]:
        f, L, output = self.activations, self.n_layers, self.activations[-1]
        every, hidden = range(L), range(L - 1)
        biased = [bool(bias.any()) for bias in self.biases]
        softmax = (L - 1,) * (output == Activation.SOFTMAX)
        curved = [code != Activation.IDENTITY for code in f]
        return {
            "sigmoid_of_sigmoid": tuple(k for k in every if f[k] == Activation.SIGMOID),
            "bias_left_out_of_forward": tuple(k for k in every if biased[k]),
            "bias_after_activation": tuple(k for k in every if biased[k] and curved[k]),
            "hidden_activation_on_output": (L - 1,) * (L > 1 and f[0] != output),
            "output_activation_on_hidden": tuple(k for k in hidden if f[k] != output),
            "output_activation_left_out": (L - 1,) * curved[-1],
            "hidden_activation_left_out": tuple(k for k in hidden if curved[k]),
            "softmax_over_samples": softmax,
            "softmax_over_everything": softmax if self.X.shape[-2] > 1 else (),
            "softmax_unnormalised": softmax,
        }

    def forward_mistakes(self) -> list[Placed]:
        """Every mistake that this net can have: in each single layer, and in all of them."""
        found = []
        for name in FORWARD:
            layers = self.places(name)
            found += [Placed(name, (layer,)) for layer in layers]
            found += [Placed(name, layers)] if len(layers) > 1 else []
        return found

    def backward_mistakes(self) -> list[str]:
        """Names of the mistakes that this net can have."""
        return [name for name in BACKWARD if self.places(name)]

    # ------------------------------------------------------------------------------------------------ backward

    def gradients(self, mistakes: Iterable[Placed] = (), learning_rate: float = 0.0) -> tuple[Arrays, Arrays]:
        """Compute the gradients of weights and biases with the given mistakes.

        `learning_rate` applies to weights that are updated too early, with the audited gradients.
        """
        mistakes = list(mistakes)
        made = Made(m for m in mistakes if not BACKWARD[m.name].has_layers)
        in_layer = [Made(m for m in mistakes if layer in m.layers) for layer in range(self.n_layers)]
        delta = self.output_delta(made)
        weight_gradients: Arrays = [np.empty(0)] * self.n_layers
        bias_gradients = weight_gradients.copy()
        l2 = sum((m.number if m.name == "l2_in_gradient" else -self.l2 for m in mistakes if "l2" in m.name), self.l2)
        for layer in reversed(range(self.n_layers)):
            here = in_layer[layer]
            weight_gradients[layer] = self.weight_gradient(layer, delta, here) + l2 * self.weights[layer]
            bias_gradients[layer] = self.bias_gradient(delta, here)
            if layer:
                rate = learning_rate if Down.UPDATED in made else 0.0
                error = self.passed_down(layer, delta, here, rate)
                delta = error * self.hidden_derivative(layer - 1, in_layer[layer - 1])
        return weight_gradients, bias_gradients

    def weight_gradient(self, layer: int, delta: np.ndarray, here: Made) -> np.ndarray:
        """Σ aᵀ δ over the samples, or the mistake's version of it; without L2."""
        below = self._multiplied(layer, here)
        delta, factor = _part(here, "weights", delta, len(self.X))
        if Product.TRANSPOSED in here:
            shape = (*delta.shape[:-2], below.shape[-1], delta.shape[-1])
            return factor * (turned(delta) @ below).reshape(shape)
        return factor * (turned(below) @ delta)

    def _multiplied(self, layer: int, here: Made) -> np.ndarray:
        """What δ is multiplied with: the outputs of the layer below, or the mistake's version of them."""
        if Product.OWN_OUTPUTS in here:
            return self.a[layer + 1]
        if Product.WEIGHTED_SUMS in here:
            return self.z[layer - 1]
        if Product.DERIVATIVES in here:
            return derivative(self.activations[layer - 1], self.z[layer - 1], self.a[layer], self.slope)
        return self.a[layer]

    def terms(self, layer: int, delta: np.ndarray, here: Made) -> np.ndarray:
        """Each sample's term of the weights' gradient, (S, in · out); only the first unit's for large layers."""
        below = self._multiplied(layer, here)
        if below.shape[1] * delta.shape[1] * len(delta) > MOST_TERMS:
            return below * delta[:, :1]
        if Product.TRANSPOSED in here:
            return (delta[:, :, None] * below[:, None, :]).reshape(len(delta), -1)
        return (below[:, :, None] * delta[:, None, :]).reshape(len(delta), -1)

    def bias_gradient(self, delta: np.ndarray, here: Made) -> np.ndarray:
        """Σ δ over the samples, or the mistake's version of it."""
        delta, factor = _part(here, "biases", delta, len(self.X))
        db = factor * delta.sum(axis=-2)
        if BiasSum.OVER_UNITS in here:
            db = np.broadcast_to(db.sum(axis=-1, keepdims=True), db.shape).copy()
        return np.zeros_like(db) if BiasSum.ZERO in here else db

    def passed_down(self, layer: int, delta: np.ndarray, here: Made, rate: float) -> np.ndarray:
        """δ Wᵀ, or the mistake's version of it."""
        w = self.weights[layer]
        if Down.UNTRANSPOSED in here:
            return delta @ w
        if Down.OTHER_WEIGHTS in here:
            other = here[Down.OTHER_WEIGHTS].other
            w = self.weights[self.other_weights(layer)[0] if other is None else other]
        return delta @ turned(w - rate * self.given[layer] if rate else w)

    def other_weights(self, layer: int) -> list[int]:
        """Other layers whose weights have the same shape."""
        shapes = [w.shape for w in self.weights]
        return [k for k in range(self.n_layers) if k != layer and shapes[k] == shapes[layer]]

    def output_delta(self, made: Made) -> np.ndarray:
        """δ of the output layer: the gradient of the loss by its z."""
        output, code, t = self.a[-1], self.activations[-1], self.targets
        error, scale = output - t, self.scale(made)
        slope = derivative(code, self.z[-1], output, self.slope)
        of_output = sigmoid(output) * (1.0 - sigmoid(output))  # in place of f'(z) = a (1 − a)
        if Output.FIRST_TERM in made:
            delta = -t * (1.0 - output)
        elif Output.TARGET_OVER_OUTPUT in made:
            delta = -t / output
        elif self.loss == Loss.MSE or Output.SQUARED_ERROR in made:
            error = 2.0 * error
            if Output.TIMES_OUTPUT in made:
                delta = error * output
            elif Output.DERIVATIVE_OF_OUTPUT in made:
                delta = error * of_output
            elif Output.NO_DERIVATIVE in made:
                delta = error
            else:
                delta = error * slope
                if code == Activation.SOFTMAX:
                    delta = output * (error - (error * output).sum(axis=-1, keepdims=True))
                if Output.DERIVATIVE_TWICE in made:
                    delta = delta * slope
        # the derivative of a cross-entropy cancels with that of its output activation
        elif Output.TIMES_OUTPUT in made:
            delta = error * output
        elif Output.DERIVATIVE_OF_OUTPUT in made:
            delta = _cross_entropy_by_output(output, t) * of_output
        elif Output.NO_DERIVATIVE in made:
            delta = _cross_entropy_by_output(output, t)
        else:
            delta = error * slope if Output.DERIVATIVE_TWICE in made else error
        if Scale.ONE_SAMPLE in made or Scale.ONE_MINIBATCH in made:
            delta = _of_some(delta, made[Scale.ONE_SAMPLE if Scale.ONE_SAMPLE in made else Scale.ONE_MINIBATCH])
        return scale * delta

    def scale(self, made: Made) -> float:
        """The factor of a sample's δ, by which the loss is averaged."""
        n_samples, n_outputs = self.targets.shape
        scale = 1.0 / n_samples
        if Scale.SUM in made:
            scale = 1.0
        elif Scale.BY_FEATURES in made:
            scale = 1.0 / self.X.shape[-1]
        elif Scale.MEAN_TWICE in made:
            scale /= n_samples
        elif Scale.ONE_SAMPLE in made:
            scale = 1.0
        elif Scale.ONE_MINIBATCH in made:
            of_it = made[Scale.ONE_MINIBATCH]
            scale = 1.0 / ((of_it.stop or 1) - (of_it.sample or 0))
        if Scale.HALF in made:
            scale /= 2.0
        if self.loss != Loss.CROSS_ENTROPY and Scale.SUM_OVER_OUTPUTS not in made:
            scale /= n_outputs
        return -scale if Scale.TURNED in made else scale

    def hidden_derivative(self, layer: int, here: Made) -> np.ndarray:
        """f'(z) of a hidden layer, or the mistake's version of it."""
        code, z, a = self.activations[layer], self.z[layer], self.a[layer + 1]
        if Derivative.OF_LAYER_BELOW in here:
            a = z = self.a[layer]
        elif Derivative.OF_LAYER_ABOVE in here:
            a = z = self.a[layer + 2]
        elif Derivative.OF_OUTPUT in here:
            z, a = a, activate(code, a, self.slope)
        elif Derivative.LEFT_OUT in here:
            return np.ones_like(a)
        elif Derivative.ONE_MINUS_OUTPUT in here:
            return 1.0 - a
        elif Derivative.OF_SIGMOID in here:
            return a * (1.0 - a)
        elif Derivative.STEP in here:
            return (z > 0).astype(np.float64)
        right = derivative(code, z, a, self.slope)
        return right * right if Derivative.TWICE in here else right

    # ------------------------------------------------------------------------------------------------ rounding

    def magnitudes(self) -> tuple[Arrays, Arrays]:
        """The sum of the magnitudes of each gradient's terms, which rounding errors are relative to.

        A weighted sum within rounding of a ReLU's kink may fall on either side: there any gradient is accepted.
        """
        # the rounding error of o − t is relative to o and t, not to their difference
        known = ROUNDING * abs(self.scale(NONE_MADE)) * (np.abs(self.a[-1]) + np.abs(self.targets))
        delta = np.abs(self.output_delta(NONE_MADE)) + known
        weights: Arrays = [np.empty(0)] * self.n_layers
        biases = weights.copy()
        for layer in reversed(range(self.n_layers)):
            weights[layer], biases[layer] = np.abs(self.a[layer]).T @ delta, delta.sum(axis=0)
            weights[layer] = weights[layer] + self.l2 * np.abs(self.weights[layer])
            if layer:
                below, z = layer - 1, self.z[layer - 1]
                terms = np.abs(self.a[below]) @ np.abs(self.weights[below]) + np.abs(self.biases[below])
                slope = np.abs(derivative(self.activations[below], z, self.a[layer], self.slope))
                if BY_CODE[self.activations[below]].kinked:
                    slope = slope + ANYTHING * (np.abs(z) <= KINK * terms)
                else:
                    slope = slope + ROUNDING  # 1 − a, where a nearly is 1
                delta = (delta @ np.abs(self.weights[layer]).T) * slope
        return weights, biases


def _cross_entropy_by_output(o: np.ndarray, t: np.ndarray) -> np.ndarray:
    """dL/do = (1 − t) / (1 − o) − t / o; a term with factor 0 is left out."""
    with np.errstate(all="ignore"):
        return np.where(t < 1, (1.0 - t) / (1.0 - o), 0.0) - np.where(t > 0, t / o, 0.0)


def _of_some(delta: np.ndarray, mistake: Placed) -> np.ndarray:
    """δ of the samples that are kept: by default the last one."""
    first = delta.shape[-2] - 1 if mistake.sample is None else mistake.sample
    stop = first + 1 if mistake.stop is None else mistake.stop
    kept = np.zeros_like(delta)
    kept[..., first:stop, :] = delta[..., first:stop, :]
    return kept


_PART_NAMES = {
    "weights": ("weights_sum_for_mean", "weights_mean_twice", "weights_of_one_sample"),
    "biases": ("biases_sum_for_mean", "biases_mean_twice", "biases_of_one_sample"),
}


def _part(here: Made, which: str, delta: np.ndarray, n: int) -> tuple[np.ndarray, float]:
    """The samples that a layer's gradients are summed over, and the factor of the sum."""
    sums, twice, one = _PART_NAMES[which]
    if sums in here.by_name:
        return delta, float(n)
    if twice in here.by_name:
        return delta, 1.0 / n
    if one in here.by_name:
        return _of_some(delta, here.by_name[one]), here.by_name[one].number or 1.0
    return delta, 1.0
