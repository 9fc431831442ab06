"""The two kernels' passes under one name: vectors of one net ask for units as lanes.

The loop over epochs (`epoch_loop`) is the same for both. Which passes it gets is decided while it is compiled, by the
type of F, the vector of one number a net: so each compiled loop holds one kernel. `kinds` are the other vectors that
the passes work with: Patch, Line, Column, Units, Blk and Words, each kernel's docstring says of what.
"""

from numba.extending import overload

from fastmlp._kernels import dropout as _dropout
from fastmlp._kernels import lanes as _passes
from fastmlp._kernels import units as _units
from fastmlp._simd.jit import INLINE


def forward(kinds, F, *rest):
    """Outputs of every unit for the first samples of a chunk; of the last layer the weighted sums."""
    return (_units if F.count == 1 else _passes).forward(kinds, F, *rest)


def backward(kinds, F, *rest):
    """Add a chunk's gradients to the gradient rows, and after the last of a minibatch take the optimizer's step."""
    return (_units if F.count == 1 else _passes).backward(kinds, F, *rest)


def squared_norm(kinds, F, *rest):
    """The sum of all squared weights of each net."""
    return (_units if F.count == 1 else _passes).squared_norm(kinds, F, *rest)


def draw_masks(kinds, F, *rest):
    """What dropout multiplies the outputs of hidden units with."""
    return (_dropout.units_masks if F.count == 1 else _dropout.lanes_masks)(kinds, F, *rest)


@overload(forward, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _forward(kinds, F, *rest):  # noqa: ARG001
    return (_units if F.vector.count == 1 else _passes).forward.py_func


@overload(backward, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _backward(kinds, F, *rest):  # noqa: ARG001
    return (_units if F.vector.count == 1 else _passes).backward.py_func


@overload(squared_norm, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _squared_norm(kinds, F, *rest):  # noqa: ARG001
    return (_units if F.vector.count == 1 else _passes).squared_norm.py_func


@overload(draw_masks, jit_options=INLINE, strict=False)  # type: ignore[arg-type]
def _draw_masks(kinds, F, *rest):  # noqa: ARG001
    return (_dropout.units_masks if F.vector.count == 1 else _dropout.lanes_masks).py_func
