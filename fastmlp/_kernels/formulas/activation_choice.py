"""Select hidden activations: which are compiled into a kernel, and which one a layer uses.

Kernels for nets of the first few activations have no others, to save compile time. The type of `formulas`, a field of
each net, says which are compiled.
"""

from typing import Any

from numba.extending import overload

from fastmlp._kernels.formulas.activations import BY_CODE, RECORDS, Activation, Record, leaky_relu, leaky_relu_backward
from fastmlp._simd.jit import INLINE, inline
from fastmlp._simd.types import Static

_FIRST = tuple(BY_CODE[code] for code in (Activation.RELU, Activation.TANH, Activation.SIGMOID))
_APART = (Activation.IDENTITY, Activation.LEAKY_RELU)  # identity does nothing, leaky_relu has a slope
_OTHERS = tuple(r for r in RECORDS if r.hidden and r not in _FIRST and r.code not in _APART)
FIRST_ACTIVATIONS, ALL_ACTIVATIONS = Static("first activations"), Static("all activations")


def formulas_for(activations: tuple[Activation, ...]) -> Static:
    """The activations to compile for a net with these layers."""
    return ALL_ACTIVATIONS if {r.code for r in _OTHERS} & set(activations[:-1]) else FIRST_ACTIVATIONS


def _first_three(records: tuple[Record, ...]) -> tuple[list[int], tuple[Record, ...], tuple[Record, ...]]:
    """Split off three records: their codes, the records (padded with the last one), and the other records."""
    three = records[:3]
    codes = [int(record.code) for record in three]
    return codes + [-1] * (3 - len(three)), three + three[-1:] * (3 - len(three)), records[3:]


def _forward_among(records: tuple[Record, ...]) -> Any:
    """A function that applies the formula with a given code; identity for any other code."""
    (c0, c1, c2), (r0, r1, r2), rest = _first_three(records)
    f0, f1, f2 = r0.forward, r1.forward, r2.forward
    if rest:
        other = inline(_forward_among(rest))

        def choose(formulas, code, z, slope):
            if code == c0:
                return f0(z)
            if code == c1:
                return f1(z)
            if code == c2:
                return f2(z)
            return other(formulas, code, z, slope)

        return choose

    def choose_last(formulas, code, z, slope):
        if code == c0:
            return f0(z)
        if code == c1:
            return f1(z)
        if code == c2:
            return f2(z)
        return leaky_relu(z, slope) if code == Activation.LEAKY_RELU else z

    return choose_last


def _backward_among(records: tuple[Record, ...]) -> Any:
    """A function that applies the gradient formula with a given code."""
    (c0, c1, c2), (r0, r1, r2), rest = _first_three(records)
    f0, f1, f2 = r0.backward, r1.backward, r2.backward
    if rest:
        other = inline(_backward_among(rest))

        def choose(formulas, code, x, gradient, slope):
            if code == c0:
                return f0(x, gradient)
            if code == c1:
                return f1(x, gradient)
            if code == c2:
                return f2(x, gradient)
            return other(formulas, code, x, gradient, slope)

        return choose

    def choose_last(formulas, code, x, gradient, slope):
        if code == c0:
            return f0(x, gradient)
        if code == c1:
            return f1(x, gradient)
        if code == c2:
            return f2(x, gradient)
        return leaky_relu_backward(x, gradient, slope) if code == Activation.LEAKY_RELU else gradient

    return choose_last


_FIRST_WORD, _ALL_WORD = FIRST_ACTIVATIONS.word, ALL_ACTIVATIONS.word
_FORWARD = {_FIRST_WORD: _forward_among(_FIRST), _ALL_WORD: _forward_among(_FIRST + _OTHERS)}
_BACKWARD = {_FIRST_WORD: _backward_among(_FIRST), _ALL_WORD: _backward_among(_FIRST + _OTHERS)}


def activate(formulas, code, z, slope):
    """A hidden activation's output; `formulas` says which activations are compiled."""
    return _FORWARD[formulas.word](formulas, code, z, slope)


def activation_backward(formulas, code, x, gradient, slope):
    """The gradient by z, from the gradient by a hidden activation's output; x is that output, or z if needed."""
    return _BACKWARD[formulas.word](formulas, code, x, gradient, slope)


def needs_sum(formulas, of_layers, layer):
    """Whether backward needs the weighted sums of a layer of units, the inputs being layer 0; see `Net.needs_sum`."""
    return formulas == ALL_ACTIVATIONS and of_layers[layer] != 0


@overload(activate, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _activate(formulas, code, z, slope):
    return _FORWARD[formulas.word]


@overload(activation_backward, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _activation_backward(formulas, code, x, gradient, slope):
    return _BACKWARD[formulas.word]


@overload(needs_sum, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _needs_sum(formulas, of_layers, layer):
    if formulas.word == _FIRST_WORD:
        return lambda formulas, of_layers, layer: False
    return lambda formulas, of_layers, layer: of_layers[layer] != 0
