"""Gradients of one net's weights, its units as lanes, and the optimizer's step on them.

Vectors and symbols are those of `units`. Every sum runs through one accumulator in index order.
"""

from typing import Any, NamedTuple

from fastmlp._kernels.barrier import share_of
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.optimizer_step import adam_settings, adam_step, add_l2, update
from fastmlp._kernels.own_samples import inputs_in
from fastmlp._kernels.structs import Rows
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, ratio, repeat
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, load_grid, spread, store, store_grid
from fastmlp._simd.types import ALL

# From this many inputs of a layer on, gradients are copied, so that those of two vectors of units are adjacent. A
# sample's own inputs are always copied, hidden units from this many vectors for each member on
WORTH_COPYING, VECTORS_WORTH_COPYING = 128, 8


class Chunk(NamedTuple):
    """A chunk of the samples of a minibatch."""

    n_samples: int
    fresh: bool  # whether gradients start from zero
    last: bool  # whether the optimizer makes its step after this chunk
    active: Any  # the mask of the net


@inline
def part_of(Patch, Line, scratch, n_vectors, count):
    """A member's share of a product: vectors (first, stop), where first is even, and samples (first, stop).

    Pairs of vectors are divided, which keeps a member's weights in its cache; if there are too few, samples are.
    """
    pairs = (n_vectors + 1) // 2
    if pairs >= scratch.threads_per_net:
        first, stop = share_of(scratch, pairs)
        return 2 * first, min(2 * stop, n_vectors), 0, count
    rows = 2 * ratio(Patch, Line)
    first, stop = share_of(scratch, (count + rows - 1) // rows)
    return 0, n_vectors, min(count, first * rows), min(count, stop * rows)


@inline
def column_of(net, layer, j, V):
    """Position of vector `j` of a layer's units in its weights, in vectors, and the distance between its rows."""
    n_vectors, n_rows = (net.sizes[layer + 1] + V - 1) // V, net.own.padded[layer] + net.bias
    single = j == n_vectors - 1 and j % 2 == 0
    return (j & -2) * n_rows + j % 2, 1 if single else 2


@inline
def deltas_of(net, layer, scratch):
    """Position of the gradients by a layer's weighted sums."""
    if layer == net.n_layers - 1:
        return scratch.outputs
    return scratch.deltas


@inline
def gradients(Patch, Line, Column, F, net, flags, tiles, tile, layer, data, scratch, count, fresh, last, active):
    """Compute gradients of a layer's weights and biases, summed over a chunk's samples, and make the step.

    For each block of 2 R inputs the optimizer's step follows at once.
    """
    V, R, n_in = ratio(Column, F), ratio(Patch, Line), net.sizes[layer]
    n_vectors, n_rows = (net.sizes[layer + 1] + V - 1) // V, net.own.padded[layer] + net.bias
    weight = (tile * tiles.n_rows + net.weight_rows[layer]) // V
    # a member's share: pairs of vectors, or inputs if there are too few
    first, stop, i_first, i_stop = part_of(Patch, Line, scratch, n_vectors, n_in)
    own = Rows(deltas_of(net, layer, scratch), net.unit_rows[layer + 1] // V, net.n_unit_rows // V)
    deltas, pair_step = Rows(own.buffer, own.first + first, own.step), 2
    if n_in >= WORTH_COPYING and i_first < i_stop:
        deltas, pair_step = Rows(scratch.own.panels, 0, 2), 2 * count
        _copy_panels(Column, own, scratch, count, first, stop)
    chunk, size = Chunk(count, fresh, last, active), 2 * R
    copying = layer == 0 or stop - first >= VECTORS_WORTH_COPYING
    for i in range(i_first, i_stop, size):
        inputs, length = Rows(scratch.units, net.unit_rows[layer] + i, net.n_unit_rows), min(size, n_in - i)
        if copying:
            _lay_side_by_side(Column, F, net, layer, data, scratch, count, i, size)
            inputs = Rows(scratch.own.side_by_side, 0, size)
        for j in range(first, stop & -2, 2):
            target, pair = weight + j * n_rows + 2 * i, deltas.first + (j - first) // 2 * pair_step
            of_pair = Rows(deltas.buffer, pair, deltas.step)
            _block(Patch, Line, Column, F, net, flags, tiles, tile, scratch, chunk, inputs, of_pair, target, length)
        if stop & 1:
            target, pair = weight + (stop - 1) * n_rows + i, deltas.first + (stop - 1 - first) // 2 * pair_step
            of_last = Rows(deltas.buffer, pair, deltas.step)
            _block(Patch, Column, Column, F, net, flags, tiles, tile, scratch, chunk, inputs, of_last, target, length)
    if net.bias and i_first < i_stop == n_in:
        for j in range(first, stop):
            column, row_step = column_of(net, layer, j, V)
            bias = weight + column + net.own.padded[layer] * row_step
            of_vector = Rows(own.buffer, own.first + j, own.step)
            _bias(Column, F, net, flags, tiles, tile, scratch, chunk, of_vector, bias)


@inline
def _block(Patch, Line, Column, F, net, flags, tiles, tile, scratch, chunk, inputs, deltas, target, length):
    """Compute gradients of the weights from `length` of 2 R inputs to a Line of units, and make the step."""
    wide, R = ratio(Line, Column), ratio(Patch, Line)
    state_step = net.state_step // ratio(Column, F)
    # for Adam, gradients stay in the first-level cache: a large net's step is limited by memory
    at_once = chunk.last and flags.method == Method.ADAM
    places, here = (scratch.own.band, 0) if at_once else (tiles.rows, target + state_step)
    for part in range(0, length, R):
        total = broadcast(Patch, 0.0)
        if not chunk.fresh:
            total = load_grid(Patch, Line, Column, tiles.rows, target + state_step + part * wide, wide, 1)
        total = _patch(Patch, Line, Column, total, chunk.n_samples, inputs, part, deltas)
        store_grid(Line, Column, places, here + part * wide, wide, 1, total, wide)
    if at_once:
        if any_lane(chunk.active):
            _adam(Column, F, flags, tiles, tile, target, length * wide, state_step, scratch)
    elif chunk.last:
        _step(Column, F, net, flags, tiles, tile, target, length * wide, flags.has_l2, chunk.active, scratch)


@inline
def _bias(Column, F, net, flags, tiles, tile, scratch, chunk, deltas, bias):
    """Compute the gradients of a vector of biases, and make the step."""
    state_step, total = net.state_step // ratio(Column, F), broadcast(Column, 0.0)
    if not chunk.fresh:
        total = load(Column, tiles.rows, bias + state_step)
    for s in range(chunk.n_samples):
        total = total + load(Column, deltas.buffer, deltas.first + s * deltas.step)
    store(tiles.rows, bias + state_step, total)
    if chunk.last:
        _step(Column, F, net, flags, tiles, tile, bias, 1, False, chunk.active, scratch)


@inline
def _copy_panels(Column, deltas, scratch, count, first, stop):
    """Copy the gradients at vectors `first` to `stop` of a layer, so that those of each pair are adjacent."""
    for j in range(first, stop):
        target = (j - first) // 2 * 2 * count + (j - first) % 2
        for s in range(count):
            store(scratch.own.panels, target + 2 * s, load(Column, deltas.buffer, deltas.first + s * deltas.step + j))


@inline
def _lay_side_by_side(Column, F, net, layer, data, scratch, count, i, size):
    """Copy `size` inputs of a layer, from input `i` on, for all samples of a chunk."""
    V = ratio(Column, F)
    n_vectors = size // V
    for s in range(count):
        for v in range(n_vectors):
            if layer == 0:
                numbers = load(Column, inputs_in(data), (scratch.samples[s] * data.n_columns + i) // V + v)
            else:
                numbers = load(Column, scratch.units, (s * net.n_unit_rows + net.unit_rows[layer] + i) // V + v)
            store(scratch.own.side_by_side, s * n_vectors + v, numbers)


@inline
def _patch(Patch, Line, Column, total, count, inputs, part, deltas):
    """Add gradients of the weights from R inputs, number `part` on, to a Line of units, to `total`."""
    for s in range(count):
        of_units = repeat(Patch, load_grid(Line, Line, Column, deltas.buffer, deltas.first + s * deltas.step, 0, 1))
        x = spread(Patch, Line, inputs.buffer, inputs.first + part + s * inputs.step)
        total = fma(of_units, x, total)
    return total


@inline
def _adam(Column, F, flags, tiles, tile, first, length, state_step, scratch):
    """Adam's step on `length` vectors with gradients in the band."""
    rows, settings = tiles.rows, adam_settings(Column, F, tiles, tile, scratch.corrections)
    l2 = repeat(Column, load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.L2))
    for k in range(length):
        g = load(Column, scratch.own.band, k)
        if flags.has_l2:
            g = optimizers.add_l2(g, load(Column, rows, first + k), l2)
        adam_step(Column, flags, rows, first + k, state_step, g, ALL, settings)


@inline
def _step(Column, F, net, flags, tiles, tile, first, length, has_l2, active, scratch):
    """The optimizer's step on `length` vectors, if the net still trains."""
    if not any_lane(active):
        return
    if has_l2:
        add_l2(Column, F, net, tiles, tile, first, first + length)
    update(Column, F, net, flags, tiles, tile, first, length, 1, 1, ALL, scratch.corrections)
