"""One name for the passes of both kernels: the type of `net.kernel` selects which one is compiled.

Both kernels have the same loop over epochs (`epoch_loop`), and each compiled loop has one of them. `kinds` are the
vectors of the passes: Patch, Line, Column, Units, Blk and Words, which each kernel's docstring describes.
"""

from typing import Any

from numba.extending import overload

from fastmlp._kernels import dropout, lanes, structs, units
from fastmlp._simd.jit import INLINE


def forward(kinds, F, net, *rest):
    """Compute outputs of every unit for the first samples of a chunk; weighted sums for the last layer."""
    return _FORWARD[net.kernel.word](kinds, F, net, *rest)


def backward(kinds, F, net, *rest):
    """Add a chunk's gradients to the gradient rows, and after the last of a minibatch take the optimizer's step."""
    return _BACKWARD[net.kernel.word](kinds, F, net, *rest)


def squared_norm(kinds, F, net, *rest):
    """The sum of all squared weights of each net."""
    return _SQUARED_NORM[net.kernel.word](kinds, F, net, *rest)


def draw_masks(kinds, F, net, *rest):
    """Compute the dropout masks: factors of the outputs of hidden units."""
    return _DRAW_MASKS[net.kernel.word](kinds, F, net, *rest)


Passes = dict[str, Any]
LANES, UNITS = structs.LANES.word, structs.UNITS.word
_FORWARD: Passes = {LANES: lanes.forward, UNITS: units.forward}
_BACKWARD: Passes = {LANES: lanes.backward, UNITS: units.backward}
_SQUARED_NORM: Passes = {LANES: lanes.squared_norm, UNITS: units.squared_norm}
_DRAW_MASKS: Passes = {LANES: dropout.lanes_masks, UNITS: dropout.units_masks}


def _compiled_for(net: Any, passes: Passes) -> Any:
    return passes[net.types[net.fields.index("kernel")].word].py_func


@overload(forward, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _forward(kinds, F, net, *rest):  # noqa: ARG001
    return _compiled_for(net, _FORWARD)


@overload(backward, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _backward(kinds, F, net, *rest):  # noqa: ARG001
    return _compiled_for(net, _BACKWARD)


@overload(squared_norm, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _squared_norm(kinds, F, net, *rest):  # noqa: ARG001
    return _compiled_for(net, _SQUARED_NORM)


@overload(draw_masks, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _draw_masks(kinds, F, net, *rest):  # noqa: ARG001
    return _compiled_for(net, _DRAW_MASKS)
