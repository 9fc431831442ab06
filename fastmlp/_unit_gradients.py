"""Gradients of one net's weights, its units as lanes, and the optimizer's step on them.

Vectors and symbols are those of `_units`. Every sum runs through one accumulator in index order.
"""

from fastmlp._jit import inline
from fastmlp._simd import any_lane, broadcast, fma, load, load_grid, ratio, repeat, spread, store, store_grid
from fastmlp._team import share_of
from fastmlp._update import add_l2, update
from fastmlp._vectors import ALL

# A layer with so many inputs has its samples' gradients copied, so that those of two vectors of units are side by side;
# one with so many vectors of units has its inputs copied
WORTH_COPYING, VECTORS_WORTH_COPYING = 128, 8


@inline
def part_of(Patch, Line, scratch, n_vectors, count):
    """A member's part of a product: vectors (first, stop), from an even one on, and samples (first, stop).

    Vectors are shared out two by two, which keeps a member's weights in its cache, or else samples.
    """
    pairs = (n_vectors + 1) // 2
    if pairs >= scratch.members:
        first, stop = share_of(scratch, pairs)
        return 2 * first, min(2 * stop, n_vectors), 0, count
    rows = 2 * ratio(Patch, Line)
    first, stop = share_of(scratch, (count + rows - 1) // rows)
    return 0, n_vectors, min(count, first * rows), min(count, stop * rows)


@inline
def deltas_of(net, layer, scratch):
    """Where the gradients by a layer's weighted sums are."""
    if layer == net.n_layers - 1:
        return scratch.outputs
    return scratch.deltas


@inline
def gradients(Patch, Line, Column, F, net, plan, tiles, tile, layer, data, scratch, count, fresh, last, active):
    """Gradients of a layer's weights and biases, summed over a chunk's samples, and the step.

    Blocks of 2 R inputs are worked on one after the other; the optimizer's step on a block's weights follows at once.
    """
    V, R, n_in, rows = ratio(Column, F), ratio(Patch, Line), net.sizes[layer], tiles.rows
    row_step, n_vectors = net.columns[layer] // V, (net.sizes[layer + 1] + V - 1) // V
    weight, state_step = (tile * tiles.n_rows + net.weight_rows[layer]) // V, net.state_step // V
    # a member's share: two by two vectors, or, if those are too few, inputs
    first, stop, i_first, i_stop = part_of(Patch, Line, scratch, n_vectors, n_in)
    own, own_row, own_step = deltas_of(net, layer, scratch), net.unit_rows[layer + 1] // V, net.n_unit_rows // V
    deltas, row, pair_step, step = own, own_row + first, 2, own_step
    if n_in >= WORTH_COPYING:
        deltas, row, pair_step, step = scratch.panels, 0, 2 * count, 2
        _copy_panels(Column, own, own_row, own_step, scratch, count, first, stop)
    size, wide = 2 * R, stop - first
    copying = layer == 0 or wide >= VECTORS_WORTH_COPYING
    inputs, input_step = (scratch.side_by_side, size) if copying else (scratch.units, net.n_unit_rows)
    for i in range(i_first, i_stop, size):
        if copying:
            _lay_side_by_side(Column, F, net, layer, data, scratch, count, i, size)
        x = 0 if copying else net.unit_rows[layer] + i
        target, length = weight + i * row_step + first, min(size, n_in - i)
        for j in range(0, wide & -2, 2):
            for part in range(0, length, R):
                _patch(
                    Patch, Line, Column, rows, state_step, count, fresh, inputs, x + part, input_step, deltas,
                    row + j // 2 * pair_step, step, target + part * row_step + j, row_step,
                )  # fmt: skip
        if wide & 1:
            _patch(
                Patch, Column, Column, rows, state_step, count, fresh, inputs, x, input_step, deltas,
                row + wide // 2 * pair_step, step, target + wide - 1, row_step,
            )  # fmt: skip
        if last:
            _step(Column, F, net, plan, tiles, tile, target, wide, length, row_step, plan.has_l2, active, scratch)
    if net.bias and i_first < i_stop == n_in:
        bias = weight + net.padded[layer] * row_step
        for j in range(first, stop):
            total = broadcast(Column, 0.0)
            if not fresh:
                total = load(Column, rows, bias + j + state_step)
            for s in range(count):
                total = total + load(Column, own, s * own_step + own_row + j)
            store(rows, bias + j + state_step, total)
        if last:
            _step(Column, F, net, plan, tiles, tile, bias + first, stop - first, 1, row_step, False, active, scratch)


@inline
def _copy_panels(Column, deltas, row, step, scratch, count, first, stop):
    """Copy the gradients at vectors `first` to `stop` of a layer, pair by pair, so that a pair's lie side by side."""
    for j in range(first, stop):
        target = (j - first) // 2 * 2 * count + (j - first) % 2
        for s in range(count):
            store(scratch.panels, target + 2 * s, load(Column, deltas, row + s * step + j))


@inline
def _lay_side_by_side(Column, F, net, layer, data, scratch, count, i, size):
    """Copy `size` inputs of a layer, from input `i` on, for all samples of a chunk."""
    V = ratio(Column, F)
    n_vectors = size // V
    for s in range(count):
        for v in range(n_vectors):
            if layer == 0:
                numbers = load(Column, data.inputs, (scratch.samples[s] * data.n_columns + i) // V + v)
            else:
                numbers = load(Column, scratch.units, (s * net.n_unit_rows + net.unit_rows[layer] + i) // V + v)
            store(scratch.side_by_side, s * n_vectors + v, numbers)


@inline
def _patch(
    Patch, Line, Column, rows, state_step, count, fresh, inputs, x, input_step, deltas, delta, delta_step, target,
    row_step,
):  # fmt: skip
    """Gradients of the weights from R inputs to a Line of units, those from row `target` on.

    A sample's inputs are from number `x` on, those of the next sample `input_step` further; its gradients by the units
    from vector `delta` on, those of the next `delta_step` vectors further.
    """
    total = broadcast(Patch, 0.0)
    if not fresh:
        total = load_grid(Patch, Line, Column, rows, target + state_step, row_step, 1)
    for s in range(count):
        of_units = repeat(Patch, load_grid(Line, Line, Column, deltas, delta + s * delta_step, 0, 1))
        total = fma(of_units, spread(Patch, Line, inputs, x + s * input_step), total)
    store_grid(Line, Column, rows, target + state_step, row_step, 1, total, ratio(Line, Column))


@inline
def _step(Column, F, net, plan, tiles, tile, first, length, n_rows, row_step, has_l2, active, scratch):
    """The optimizer's step on the first `length` vectors of so many rows, if the net still trains."""
    if not any_lane(active):
        return
    if length == row_step:
        length, n_rows = n_rows * row_step, 1
    if has_l2:
        for r in range(first, first + n_rows * row_step, row_step):
            add_l2(Column, F, net, tiles, tile, r, r + length)
    update(Column, F, net, plan, tiles, tile, first, length, n_rows, row_step, ALL, scratch.corrections)
