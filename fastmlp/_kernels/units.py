"""Products of one net with its units as lanes: weighted sums and input gradients.

Vectors: Column holds V numbers of a row, V units of a layer; Line two of those; Patch R rows by a Line, or 2 R rows by
a Column. A layer's weights are divided into panels of two vectors of units; the last panel has one if their number is
odd. Each panel has one row for each input, rows of padding, and one row of biases. Outputs and gradients of a chunk's
samples have one row for each sample, with the units of all layers side by side. Padding is 0 in the weights and in the
gradients by the weighted sums, and no sum includes it. Other symbols are those of `structs`, with one net in each tile,
so W = 1.

Gradients of the weights are in `units_weight_gradients`. Every sum runs through one accumulator in index order, as in
the lanes kernel, so the bits are the same.
"""

from fastmlp._kernels.barrier import wait
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activation_choice import activate, activation_backward, needs_sum
from fastmlp._kernels.formulas.activations import Activation, relu, relu_backward
from fastmlp._kernels.own_samples import inputs_in
from fastmlp._kernels.units_weight_gradients import column_of, deltas_of, gradients, part_of
from fastmlp._simd.arithmetic import broadcast, fma, ratio, repeat
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, load_grid, prefetch, spread_rows, spread_samples, store, store_grid, transpose

# This many rows of weights, two vectors wide, stay in the first-level cache during the loop over samples
PANEL_ROWS = 128
# From this many inputs on, a sample is prefetched
WORTH_PREFETCHING = 128


@inline
def forward(kinds, F, net, rows, base, data, samples, count, slope, scratch, dropping):
    """Compute outputs of every unit for the first `count` samples of a chunk; weighted sums for the last layer."""
    Patch, Line, Column = kinds.Patch, kinds.Line, kinds.Column
    V, units = ratio(Column, F), scratch.units
    for layer in range(net.n_layers):
        n_vectors = (net.sizes[layer + 1] + V - 1) // V
        first, stop, s_first, s_stop = part_of(Patch, Line, scratch, n_vectors, count)
        for j in range(first, stop & -2, 2):
            _linear_forward(
                Patch, Line, Column, F, net, rows, base, layer, data, samples, s_first, s_stop, units, j, j == first
            )
        if stop & 1:
            _linear_forward(
                Patch,
                Column,
                Column,
                F,
                net,
                rows,
                base,
                layer,
                data,
                samples,
                s_first,
                s_stop,
                units,
                stop - 1,
                stop - 1 == first,
            )
        if layer < net.n_layers - 1 and net.activations[layer] > Activation.RELU:
            step, here = net.n_unit_rows // V, net.unit_rows[layer + 1] // V
            for s in range(s_first, s_stop):
                for r in range(s * step + here + first, s * step + here + stop):
                    z = load(Column, units, r)
                    if needs_sum(net.formulas, net.needs_sum, layer + 1):
                        store(scratch.sums, r, z)
                    store(units, r, activate(net.formulas, net.activations[layer], z, repeat(Column, slope)))
        if dropping and layer < net.n_layers - 1:
            _drop(Column, net, layer + 1, scratch.masks, units, V, s_first, s_stop, first, stop)
        wait(scratch)


@inline
def _drop(Column, net, layer, masks, target, V, s_first, s_stop, first, stop):
    """Multiply outputs or gradients of some vectors of units of a hidden layer by their dropout masks."""
    step, here = net.n_unit_rows // V, net.unit_rows[layer] // V
    for s in range(s_first, s_stop):
        for r in range(s * step + here + first, s * step + here + stop):
            store(target, r, load(Column, target, r) * load(Column, masks, r))


@inline
def _linear_forward(Patch, Line, Column, F, net, rows, base, layer, data, samples, s_first, s_stop, units, j, fetching):
    """Compute biases plus weighted inputs of the units from vector `j` of a layer on, and ReLU if it is their
    activation.

    With `fetching`, for the first pass over these samples, it prefetches the inputs of the next ones.
    """
    n_in, V, R = net.sizes[layer], ratio(Column, F), ratio(Patch, Line)
    step, wide = net.n_unit_rows, ratio(Line, Column)
    weight = (base + net.weight_rows[layer]) // V + j * (net.own.padded[layer] + net.bias)
    below, here = net.unit_rows[layer], net.unit_rows[layer + 1] // V + j
    rectify = layer < net.n_layers - 1 and net.activations[layer] == Activation.RELU
    inputs = inputs_in(data)
    for first in range(0, n_in, PANEL_ROWS):
        stop = min(n_in, first + PANEL_ROWS)
        for s in range(s_first, s_stop, R):
            target = s * (step // V) + here
            total = broadcast(Patch, 0.0)
            if first > 0:
                total = load_grid(Patch, Line, Column, units, target, step // V, 1)
            elif net.bias:
                bias = weight + net.own.padded[layer] * wide
                total = repeat(Patch, load_grid(Line, Line, Column, rows, bias, 0, 1))
            if layer == 0:
                if fetching and s + R < s_stop and n_in >= WORTH_PREFETCHING:
                    for r in range(s + R, s + 2 * R):
                        for i in range(first, stop, V):
                            prefetch(inputs, samples[r] * data.n_columns + i)
                for i in range(first, stop):
                    x = spread_samples(Patch, Line, inputs, samples, s, data.n_columns, i)
                    w = load_grid(Line, Line, Column, rows, weight + i * wide, 0, 1)
                    total = fma(repeat(Patch, w), x, total)
            else:
                for i in range(first, stop):
                    x = spread_rows(Patch, Line, units, s * step + below + i, step)
                    w = load_grid(Line, Line, Column, rows, weight + i * wide, 0, 1)
                    total = fma(repeat(Patch, w), x, total)
            if rectify and stop == n_in:
                total = relu(total)
            store_grid(Line, Column, units, target, step // V, 1, total, wide)


@inline
def squared_norm(kinds, F, net, rows, base, scratch):
    """The sum of all squared weights without biases: first for each unit, then over the units."""
    Column = kinds.Column
    V, total = ratio(Column, F), broadcast(F, 0.0)
    for layer in range(net.n_layers):
        n_out = net.sizes[layer + 1]
        for j in range((n_out + V - 1) // V):
            first, row_step = column_of(net, layer, j, V)
            weight, of_units = (base + net.weight_rows[layer]) // V + first, broadcast(Column, 0.0)
            for i in range(net.sizes[layer]):
                w = load(Column, rows, weight + i * row_step)
                of_units = fma(w, w, of_units)
            store(scratch.weights, 0, of_units)
            for k in range(min(V, n_out - j * V)):
                total = total + load(F, scratch.weights, k)
    return total


@inline
def backward(kinds, F, net, flags, tiles, tile, data, scratch, count, slope, fresh, last, active):
    """Add the gradients of a chunk's first `count` samples to the gradient rows; `fresh` starts them at zero.

    After the `last` chunk of a minibatch the optimizer makes its step on a few rows of parameters at a time, as soon as
    their gradients are known. A layer's weights change only after its input gradients are computed.
    """
    Patch, Line, Column = kinds.Patch, kinds.Line, kinds.Column
    kept = repeat(Column, load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.KEPT))
    V, units, deltas = ratio(Column, F), scratch.units, scratch.deltas
    for layer in range(net.n_layers - 1, 0, -1):
        n_vectors = (net.sizes[layer] + V - 1) // V
        first, stop, s_first, s_stop = part_of(Patch, Line, scratch, n_vectors, count)
        if s_first < s_stop:
            weight = tile * tiles.n_rows + net.weight_rows[layer]
            for i in range(first, stop & -2, 2):
                _input_gradients(Patch, Line, Column, F, net, tiles.rows, weight, layer, scratch, s_first, s_stop, i)
            if stop & 1:
                _input_gradients(
                    Patch, Column, Column, F, net, tiles.rows, weight, layer, scratch, s_first, s_stop, stop - 1
                )
        if flags.dropping:
            _drop(Column, net, layer, scratch.masks, deltas, V, s_first, s_stop, first, stop)
        if net.activations[layer - 1] > Activation.RELU:
            step, here = net.n_unit_rows // V, net.unit_rows[layer] // V
            for s in range(s_first, s_stop):
                for r in range(s * step + here + first, s * step + here + stop):
                    gradient, code = load(Column, deltas, r), net.activations[layer - 1]
                    if needs_sum(net.formulas, net.needs_sum, layer):
                        x = load(Column, scratch.sums, r)
                    else:
                        x = load(Column, units, r)
                        if flags.dropping:  # the output before dropout
                            x = x * kept
                    store(deltas, r, activation_backward(net.formulas, code, x, gradient, repeat(Column, slope)))
        wait(scratch)
    for layer in range(net.n_layers):
        gradients(Patch, Line, Column, F, net, flags, tiles, tile, layer, data, scratch, count, fresh, last, active)


@inline
def _input_gradients(Patch, Line, Column, F, net, rows, weight, layer, scratch, s_first, s_stop, i):
    """Compute gradients by the outputs of the units from vector `i` below `layer` on, of ReLU units by weighted sums.

    The layer's weights, from number `weight` on, are transposed panel by panel, so that each panel stays in the cache.
    """
    n_out, V, R, step = net.sizes[layer + 1], ratio(Column, F), ratio(Patch, Line), net.n_unit_rows
    above, here = net.unit_rows[layer + 1], net.unit_rows[layer] // V + i
    deltas, deltas_above, wide = scratch.deltas, deltas_of(net, layer, scratch), ratio(Line, Column)
    for first in range(0, n_out, PANEL_ROWS):
        stop = min(n_out, first + PANEL_ROWS)
        for v in range(wide):
            for j in range(first, stop, V):
                column, row_step = column_of(net, layer, j // V, V)
                source = weight // V + column + (i + v) * V * row_step
                transpose(Column, rows, source, row_step, scratch.own.transposed, (j - first) * wide + v, wide)
        for s in range(s_first, s_stop, R):
            target = s * (step // V) + here
            down = broadcast(Patch, 0.0)
            if first > 0:
                down = load_grid(Patch, Line, Column, deltas, target, step // V, 1)
            for j in range(first, stop):
                delta = spread_rows(Patch, Line, deltas_above, s * step + above + j, step)
                w = load_grid(Line, Line, Column, scratch.own.transposed, (j - first) * wide, 0, 1)
                down = fma(repeat(Patch, w), delta, down)
            if stop == n_out and net.activations[layer - 1] == Activation.RELU:
                down = relu_backward(load_grid(Patch, Line, Column, scratch.units, target, step // V, 1), down)
            store_grid(Line, Column, deltas, target, step // V, 1, down, wide)
