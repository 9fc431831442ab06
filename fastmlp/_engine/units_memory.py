"""Allocate and fill memory for `_kernels/units`: one net in each tile, parameters in panels of two unit vectors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from fastmlp._engine.tile_arrays import MOST_COLUMNS, Vectors, new_scratch, rounded_up, separated
from fastmlp._kernels import structs
from fastmlp._kernels.formulas.activation_choice import formulas_for
from fastmlp._kernels.formulas.activations import BY_CODE
from fastmlp._kernels.formulas.losses import LOSSES
from fastmlp._kernels.units import PANEL_ROWS
from fastmlp._kernels.units_weight_gradients import WORTH_COPYING
from fastmlp._simd.cpu import host_lanes, register_count
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros

if TYPE_CHECKING:
    from fastmlp.architecture import Architecture

# Most bytes of a chunk of samples, which has at least `CHUNK_SAMPLES` samples
CHUNK_BYTES = 2**19
CHUNK_SAMPLES = 128


def unit_vectors(dtype: np.dtype) -> Vectors:
    """Vector kinds: `Column` has V numbers of a row; `Patch` has 16 or 8 such sums, half of the registers."""
    rows = register_count() // 4
    V = min(host_lanes(dtype, narrow=True).count, 2 * rows)  # a block of inputs is whole vectors

    def of(count: int) -> VectorSpec:
        return VectorSpec(dtype, count)

    return Vectors(
        F=of(1),
        Blk=of(V),
        Units=of(max(V, 2 * rows)),
        Line=of(2 * V),
        Patch=of(rows * 2 * V),
        Column=of(V),
        D=VectorSpec("float64", 1),
        U=VectorSpec("uint64", 1),
        Words=VectorSpec("uint64", V),
    )


def unit_net_buffers(architecture: Architecture, loss: str, vectors: Vectors) -> structs.Net:
    """The architecture, for the kernels."""
    weight_rows, unit_rows, padded = [], [0, 0], []
    # units are padded to whole vectors, which the loops read
    row, V, fill = 0, vectors.Column.count, vectors.Units.count
    for n_in, n_out in architecture.shapes:
        weight_rows.append(row)
        padded.append(rounded_up(n_in, fill))
        row += (padded[-1] + architecture.bias) * rounded_up(n_out, V)
        unit_rows.append(unit_rows[-1] + rounded_up(n_out, fill))
    return structs.Net(
        kernel=structs.UNITS,
        formulas=formulas_for(architecture.activations),
        sizes=Buffer(np.array(architecture.sizes)),
        activations=Buffer(np.array([int(code) for code in architecture.activations])),
        needs_sum=Buffer(np.array([0, *(BY_CODE[code].needs_sum for code in architecture.activations)])),
        weight_rows=Buffer(np.array(weight_rows)),
        unit_rows=Buffer(np.array(unit_rows[:-1])),
        own=structs.UnitsNet(Buffer(np.array(padded))),
        n_layers=architecture.n_layers,
        n_parameters=architecture.n_parameters,
        state_step=separated(row // V, V * vectors.F.dtype.itemsize) * V,
        n_unit_rows=V * (unit_rows[-1] // V | 1),
        bias=architecture.bias,
        loss=int(LOSSES[architecture.activations[-1]][loss]),
    )


def unit_row_order(architecture: Architecture, net: structs.Net, vectors: Vectors) -> np.ndarray:
    """The position in a tile of each parameter in the user's order: weights (in, out), then biases."""
    rows, begin, V = np.empty(architecture.n_parameters, np.int64), 0, vectors.Column.count
    for layer, (n_in, n_out) in enumerate(architecture.shapes):
        units, n_rows = np.arange(n_out), net.own.padded[layer] + architecture.bias
        panel = units // (2 * V)
        panel_columns = np.minimum(2 * V, rounded_up(n_out, V) - 2 * V * panel)  # of each unit's panel
        first = net.weight_rows[layer] + panel * 2 * V * n_rows + units % (2 * V)
        of_layer = rows[begin : begin + n_in * n_out].reshape(n_in, n_out)
        np.multiply(np.arange(n_in)[:, None], panel_columns, out=of_layer)
        of_layer += first
        begin += of_layer.size
        if architecture.bias:
            rows[begin : begin + n_out] = first + net.own.padded[layer] * panel_columns
            begin += n_out
    return rows


def unit_scratch_buffers(net: structs.Net, vectors: Vectors, n_samples: int, dropping: bool = False) -> structs.Scratch:
    """One thread's working memory, for chunks of at most `n_samples`."""
    dtype, fill = vectors.F.dtype, vectors.Units.count
    fitting = max(CHUNK_SAMPLES, CHUNK_BYTES // (2 * net.n_unit_rows * dtype.itemsize))
    chunks = -(-n_samples // fitting)
    capacity = -(-n_samples // (chunks * fill)) * fill
    units, deltas = (aligned_zeros((capacity * net.n_unit_rows + MOST_COLUMNS * fill,), dtype) for _ in range(2))
    block = vectors.Patch.count // vectors.Column.count  # inputs
    copied = [n_out for n_in, n_out in itertools.pairwise(net.sizes.array.tolist()) if n_in >= WORTH_COPYING]
    widest = rounded_up(max(copied, default=1), vectors.Line.count)
    own = structs.UnitsScratch(
        transposed=Buffer(aligned_zeros((PANEL_ROWS * vectors.Line.count,), dtype)),
        side_by_side=Buffer(aligned_zeros((capacity * block,), dtype)),
        panels=Buffer(aligned_zeros((capacity * widest,), dtype)),
        band=Buffer(aligned_zeros((2 * vectors.Patch.count,), dtype)),
    )
    return new_scratch(net, units, deltas, capacity, vectors, own, dropping)


def unit_rows_of_a_tile(net: structs.Net, n_state_rows: int, vectors: Vectors) -> int:
    """Size of parameters, gradients, the optimizer's state, and padding that loops read."""
    fill = MOST_COLUMNS * vectors.Column.count
    return (2 + n_state_rows) * net.state_step + fill
