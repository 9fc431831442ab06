"""The three products of one net, its units as lanes: weighted sums, gradients passed down, gradients of the weights.

Vectors: Column holds V numbers of a row, V units of a layer; Line two of those; Patch R rows by a Line, or 2 R rows by
a Column. A matrix has its rows `columns` numbers apart: a layer's weights one row an input, their biases in one more
row behind the rows that fill up the inputs; outputs and gradients of a chunk's samples one row a sample, with every
layer's units side by side. What fills rows up is 0 in the weights and in the gradients of the loss by the weighted
sums, and no sum takes it in. Other symbols are those of `_layout`, with one net a tile, so W = 1.

Every sum runs through one accumulator in index order, as in the lanes kernel, so the bits are the same.
"""

from fastmlp import _formulas as formulas
from fastmlp._formulas import Activation
from fastmlp._jit import inline
from fastmlp._simd import (
    broadcast,
    fma,
    load,
    load_grid,
    ratio,
    repeat,
    spread,
    spread_rows,
    spread_samples,
    store,
    store_grid,
    transpose,
)
from fastmlp._update import add_l2, update

# So many rows of weights, two vectors wide, stay in the first-level cache while all samples pass by
PANEL_ROWS = 128


@inline
def forward(kinds, F, net, rows, base, data, samples, count, slope, units):
    """Outputs of every unit for the first `count` samples of a chunk; of the last layer the weighted sums."""
    Patch, Line, Column, _, _ = kinds
    V = ratio(Column, F)
    for layer in range(net.n_layers):
        n_vectors = (net.sizes[layer + 1] + V - 1) // V
        for j in range(0, n_vectors & -2, 2):
            _weighted_sums(Patch, Line, Column, F, net, rows, base, layer, data, samples, count, units, j)
        if n_vectors & 1:
            _weighted_sums(Patch, Column, Column, F, net, rows, base, layer, data, samples, count, units, n_vectors - 1)
        if layer < net.n_layers - 1 and net.activations[layer] > Activation.RELU:
            step, here = net.n_unit_rows // V, net.unit_rows[layer + 1] // V
            for s in range(count):
                for r in range(s * step + here, s * step + here + n_vectors):
                    z = load(Column, units, r)
                    store(units, r, formulas.activate(net.activations[layer], z, repeat(Column, slope)))


@inline
def _weighted_sums(Patch, Line, Column, F, net, rows, base, layer, data, samples, count, units, j):
    """Bias plus weighted inputs of the units from vector `j` of a layer on, and ReLU if that is theirs."""
    n_in, columns, V, R = net.sizes[layer], net.columns[layer], ratio(Column, F), ratio(Patch, Line)
    step, wide = net.n_unit_rows, ratio(Line, Column)
    weight = (base + net.weight_rows[layer]) // V + j
    row_step = columns // V
    below, here = net.unit_rows[layer], net.unit_rows[layer + 1] // V + j
    rectify = layer < net.n_layers - 1 and net.activations[layer] == Activation.RELU
    for first in range(0, n_in, PANEL_ROWS):
        stop = min(n_in, first + PANEL_ROWS)
        for s in range(0, count, R):
            target = s * (step // V) + here
            total = broadcast(Patch, 0.0)
            if first > 0:
                total = load_grid(Patch, Line, Column, units, target, step // V, 1)
            elif net.bias:
                bias = weight + net.padded[layer] * row_step
                total = repeat(Patch, load_grid(Line, Line, Column, rows, bias, 0, 1))
            if layer == 0:
                for i in range(first, stop):
                    x = spread_samples(Patch, Line, data.inputs, samples, s, data.n_columns, i)
                    w = load_grid(Line, Line, Column, rows, weight + i * row_step, 0, 1)
                    total = fma(repeat(Patch, w), x, total)
            else:
                for i in range(first, stop):
                    x = spread_rows(Patch, Line, units, s * step + below + i, step)
                    w = load_grid(Line, Line, Column, rows, weight + i * row_step, 0, 1)
                    total = fma(repeat(Patch, w), x, total)
            if rectify and stop == n_in:
                total = formulas.relu(total)
            store_grid(Line, Column, units, target, step // V, 1, total, wide)


@inline
def backward(kinds, F, net, plan, tiles, tile, data, scratch, count, slope, fresh, last, active):
    """Add the gradients of a chunk's first `count` samples to the gradient rows; `fresh` starts them at zero.

    After the `last` chunk of a minibatch the optimizer takes its step on each few rows of parameters as soon as their
    gradients are known. A layer's weights change only after gradients were passed down through them.
    """
    Patch, Line, Column, _, _ = kinds
    V = ratio(Column, F)
    for layer in range(net.n_layers - 1, 0, -1):
        _transpose(Column, F, net, tiles.rows, tile * tiles.n_rows + net.weight_rows[layer], layer, scratch.transposed)
        n_vectors = (net.sizes[layer] + V - 1) // V
        for i in range(0, n_vectors & -2, 2):
            _pass_down(Patch, Line, Column, F, net, layer, scratch, count, i)
        if n_vectors & 1:
            _pass_down(Patch, Column, Column, F, net, layer, scratch, count, n_vectors - 1)
        if net.activations[layer - 1] > Activation.RELU:
            step, here = net.n_unit_rows // V, net.unit_rows[layer] // V
            for s in range(count):
                for r in range(s * step + here, s * step + here + n_vectors):
                    a, gradient = load(Column, scratch.units, r), load(Column, scratch.deltas, r)
                    delta = formulas.activation_backward(net.activations[layer - 1], a, gradient, repeat(Column, slope))
                    store(scratch.deltas, r, delta)
    for layer in range(net.n_layers):
        _gradients(Patch, Line, Column, F, net, plan, tiles, tile, layer, data, scratch, count, fresh, last, active)


@inline
def _transpose(Column, F, net, rows, weight, layer, transposed):
    """A layer's weights with one row a unit."""
    V, row_step, step = ratio(Column, F), net.columns[layer] // ratio(Column, F), net.padded[layer] // ratio(Column, F)
    for i in range(0, net.sizes[layer], V):
        for j in range(0, net.sizes[layer + 1], V):
            source, target = (weight // V) + i * row_step + j // V, j * step + i // V
            transpose(Column, rows, source, row_step, transposed, target, step)


@inline
def _pass_down(Patch, Line, Column, F, net, layer, scratch, count, i):
    """Gradients by the outputs of the units from vector `i` below `layer` on, or by their weighted sums if ReLU's."""
    n_out, V, R, step = net.sizes[layer + 1], ratio(Column, F), ratio(Patch, Line), net.n_unit_rows
    above, here, row_step = net.unit_rows[layer + 1], net.unit_rows[layer] // V + i, net.padded[layer] // V
    deltas = scratch.deltas
    for first in range(0, n_out, PANEL_ROWS):
        stop = min(n_out, first + PANEL_ROWS)
        for s in range(0, count, R):
            target = s * (step // V) + here
            down = broadcast(Patch, 0.0)
            if first > 0:
                down = load_grid(Patch, Line, Column, deltas, target, step // V, 1)
            for j in range(first, stop):
                delta = spread_rows(Patch, Line, deltas, s * step + above + j, step)
                w = load_grid(Line, Line, Column, scratch.transposed, j * row_step + i, 0, 1)
                down = fma(repeat(Patch, w), delta, down)
            if stop == n_out and net.activations[layer - 1] == Activation.RELU:
                down = formulas.relu_backward(load_grid(Patch, Line, Column, scratch.units, target, step // V, 1), down)
            store_grid(Line, Column, deltas, target, step // V, 1, down, ratio(Line, Column))


@inline
def _gradients(Patch, Line, Column, F, net, plan, tiles, tile, layer, data, scratch, count, fresh, last, active):
    """Gradients of a layer's weights and biases, summed over a chunk's samples, and the step."""
    V, n_in, rows = ratio(Column, F), net.sizes[layer], tiles.rows
    row_step, n_vectors = net.columns[layer] // V, (net.sizes[layer + 1] + V - 1) // V
    weight, state_step = (tile * tiles.n_rows + net.weight_rows[layer]) // V, net.state_step // V
    R = ratio(Patch, Line)
    for i in range(0, n_in, 2 * R):
        for j in range(0, n_vectors & -2, 2):
            _patch(Patch, Line, Column, F, net, rows, weight, layer, data, scratch, count, fresh, i, j)
            if i + R < n_in:
                _patch(Patch, Line, Column, F, net, rows, weight, layer, data, scratch, count, fresh, i + R, j)
        if n_vectors & 1:
            _patch(Patch, Column, Column, F, net, rows, weight, layer, data, scratch, count, fresh, i, n_vectors - 1)
        if last:
            first, stop = weight + i * row_step, weight + min(i + 2 * R, n_in) * row_step
            if plan.has_l2:
                add_l2(Column, F, net, tiles, tile, first, stop)
            update(Column, F, net, plan, tiles, tile, first, stop, active, scratch.corrections)
    if net.bias:
        bias, here = weight + net.padded[layer] * row_step, net.unit_rows[layer + 1] // V
        for j in range(n_vectors):
            total = broadcast(Column, 0.0)
            if not fresh:
                total = load(Column, rows, bias + j + state_step)
            for s in range(count):
                total = total + load(Column, scratch.deltas, s * (net.n_unit_rows // V) + here + j)
            store(rows, bias + j + state_step, total)
        if last:
            update(Column, F, net, plan, tiles, tile, bias, bias + n_vectors, active, scratch.corrections)


@inline
def _patch(Patch, Line, Column, F, net, rows, weight, layer, data, scratch, count, fresh, i, j):
    """Gradients of the weights from R inputs, from input `i` on, to a Line of units, from vector `j` on."""
    V, step, row_step = ratio(Column, F), net.n_unit_rows, net.columns[layer] // ratio(Column, F)
    target = weight + net.state_step // V + i * row_step + j
    total = broadcast(Patch, 0.0)
    if not fresh:
        total = load_grid(Patch, Line, Column, rows, target, row_step, 1)
    here, deltas = net.unit_rows[layer + 1] // V + j, scratch.deltas
    if layer == 0:
        for s in range(count):
            delta = load_grid(Line, Line, Column, deltas, s * (step // V) + here, 0, 1)
            x = spread(Patch, Line, data.inputs, scratch.samples[s] * data.n_columns + i)
            total = fma(repeat(Patch, delta), x, total)
    else:
        below = net.unit_rows[layer] + i
        for s in range(count):
            delta = load_grid(Line, Line, Column, deltas, s * (step // V) + here, 0, 1)
            a = spread(Patch, Line, scratch.units, s * step + below)
            total = fma(repeat(Patch, delta), a, total)
    store_grid(Line, Column, rows, target, row_step, 1, total, ratio(Line, Column))
