"""The three products of a net, on a chunk of samples: weighted sums, gradients passed down, gradients of the weights.

Symbols are those of `_layout`. Vectors, by what they hold for each net of a tile: F one number (W in all), Blk B
samples of a unit, Units B samples of U units, Line I columns of a unit's gradients, Patch those of U units. A vector
that was loaded serves 4 or more multiply-adds, and the U · B · W sums of a loop fill half of the registers, which hides
the latency of a multiply-add. What is left over when U does not divide a layer is done unit by unit.

Every sum runs through one accumulator in index order, so a net's bits do not depend on what lies beside it.
"""

from fastmlp import _formulas as formulas
from fastmlp._formulas import Activation
from fastmlp._jit import inline
from fastmlp._simd import broadcast, fma, load_grid, ratio, repeat, spread, spread_samples, store_grid
from fastmlp._update import add_l2, update


@inline
def forward(Units, Blk, F, net, rows, base, data, samples, count, slope, units):
    """Outputs of every unit for the first `count` samples of a chunk; of the last layer the weighted sums."""
    U = ratio(Units, Blk)
    for layer in range(net.n_layers):
        n_out = net.sizes[layer + 1]
        several = n_out & -U
        span = net.forward_spans[layer]
        for s in range(0, count, span):
            stop = min(count, s + span)
            _weighted_sums(Units, Blk, F, net, rows, base, layer, data, samples, s, stop, units, 0, several)
            _weighted_sums(Blk, Blk, F, net, rows, base, layer, data, samples, s, stop, units, several, n_out)
            if layer < net.n_layers - 1 and net.activations[layer] > Activation.RELU:
                _activate(Blk, F, net, layer, slope, units, s, stop)


@inline
def _weighted_sums(Units, Blk, F, net, rows, base, layer, data, samples, first, stop, units, first_unit, stop_unit):
    """Bias plus weighted inputs of some units of a layer, and ReLU if that is theirs, for samples `first` to `stop`."""
    n_in, n_columns = net.sizes[layer], net.sizes[layer] + net.bias
    below, here = net.unit_rows[layer], net.unit_rows[layer + 1]
    rectify = layer < net.n_layers - 1 and net.activations[layer] == Activation.RELU
    for j in range(first_unit, stop_unit, ratio(Units, Blk)):
        weight = base + net.weight_rows[layer] + j * n_columns
        for s in range(first, stop, ratio(Blk, F)):
            z = load_grid(Units, Blk, F, rows, weight + n_in, n_columns, 0) if net.bias else broadcast(Units, 0.0)
            if layer == 0:
                for i in range(n_in):
                    x = repeat(Units, spread_samples(Blk, F, data.inputs, samples, s, data.n_columns, i))
                    z = fma(load_grid(Units, Blk, F, rows, weight + i, n_columns, 0), x, z)
            else:
                source = s * net.n_unit_rows + below
                for i in range(n_in):
                    a = load_grid(Units, Blk, F, units, source + i, 0, net.n_unit_rows)
                    z = fma(load_grid(Units, Blk, F, rows, weight + i, n_columns, 0), a, z)
            if rectify:
                z = formulas.relu(z)
            store_grid(Blk, F, units, s * net.n_unit_rows + here + j, 1, net.n_unit_rows, z, ratio(Blk, F))


@inline
def _activate(Blk, F, net, layer, slope, units, first, stop):
    """Turn weighted sums into outputs."""
    for s in range(first, stop, ratio(Blk, F)):
        row = s * net.n_unit_rows + net.unit_rows[layer + 1]
        for j in range(net.sizes[layer + 1]):
            z = load_grid(Blk, Blk, F, units, row + j, 0, net.n_unit_rows)
            a = formulas.activate(net.activations[layer], z, repeat(Blk, slope))
            store_grid(Blk, F, units, row + j, 0, net.n_unit_rows, a, ratio(Blk, F))


@inline
def backward(
    Patch, Line, Units, Blk, F, net, plan, tiles, tile, data, samples, count, slope, units, deltas, fresh, last, active,
    corrections,
):  # fmt: skip
    """Add the gradients of a chunk's first `count` samples to the gradient rows; `fresh` starts them at zero.

    After the `last` chunk of a minibatch the optimizer takes its step, unit by unit of the first layer and layer by
    layer above it, while the gradients are in cache. A layer's weights change only after gradients were passed down
    through them.
    """
    U, base = ratio(Units, Blk), tile * tiles.n_rows
    for layer in range(net.n_layers - 1, -1, -1):
        if layer > 0:
            n_below = net.sizes[layer]
            several = n_below & -U
            span = net.backward_spans[layer]
            for s in range(0, count, span):
                stop = min(count, s + span)
                _pass_down(Units, Blk, F, net, tiles.rows, base, layer, s, stop, units, deltas, 0, several)
                _pass_down(Blk, Blk, F, net, tiles.rows, base, layer, s, stop, units, deltas, several, n_below)
            if net.activations[layer - 1] > Activation.RELU:
                _derive(Blk, F, net, layer, slope, units, deltas, count)
        n_out = net.sizes[layer + 1]
        several = n_out & -U
        j = 0
        while j < n_out:
            first, j = j, n_out
            if first < several:
                j = first + U if layer == 0 else several
                _gradients(
                    Patch, Line, F, net, tiles.rows, base, layer, data, samples, count, units, deltas, fresh, first, j
                )
            else:
                _gradients(
                    Line, Line, F, net, tiles.rows, base, layer, data, samples, count, units, deltas, fresh, first, j
                )
            if last:
                if plan.has_l2:
                    add_l2(F, net, tiles, tile, layer, first, j)
                row, n_columns = base + net.weight_rows[layer], net.sizes[layer] + net.bias
                update(F, net, plan, tiles, tile, row + first * n_columns, row + j * n_columns, active, corrections)


@inline
def _pass_down(Units, Blk, F, net, rows, base, layer, first, stop, units, deltas, first_unit, stop_unit):
    """Gradients by the outputs of some units below `layer`, or by their weighted sums, if they are ReLU units."""
    n_columns, n_unit_rows = net.sizes[layer] + net.bias, net.n_unit_rows
    for i in range(first_unit, stop_unit, ratio(Units, Blk)):
        weight = base + net.weight_rows[layer] + i
        for s in range(first, stop, ratio(Blk, F)):
            above, here = s * n_unit_rows + net.unit_rows[layer + 1], s * n_unit_rows + net.unit_rows[layer] + i
            down = broadcast(Units, 0.0)
            for j in range(net.sizes[layer + 1]):
                delta = load_grid(Units, Blk, F, deltas, above + j, 0, n_unit_rows)
                down = fma(load_grid(Units, Blk, F, rows, weight + j * n_columns, 1, 0), delta, down)
            if net.activations[layer - 1] == Activation.RELU:
                down = formulas.relu_backward(load_grid(Units, Blk, F, units, here, 1, n_unit_rows), down)
            store_grid(Blk, F, deltas, here, 1, n_unit_rows, down, ratio(Blk, F))


@inline
def _derive(Blk, F, net, layer, slope, units, deltas, count):
    """Turn gradients by outputs into gradients by weighted sums."""
    for s in range(0, count, ratio(Blk, F)):
        row = s * net.n_unit_rows + net.unit_rows[layer]
        for i in range(net.sizes[layer]):
            a = load_grid(Blk, Blk, F, units, row + i, 0, net.n_unit_rows)
            gradient = load_grid(Blk, Blk, F, deltas, row + i, 0, net.n_unit_rows)
            delta = formulas.activation_backward(net.activations[layer - 1], a, gradient, repeat(Blk, slope))
            store_grid(Blk, F, deltas, row + i, 0, net.n_unit_rows, delta, ratio(Blk, F))


@inline
def _gradients(
    Patch, Line, F, net, rows, base, layer, data, samples, count, units, deltas, fresh, first_unit, stop_unit
):
    """Gradients of the weights and biases of some units of a layer, summed over a chunk's samples.

    A bias is the weight of an input that is always 1, which follows the others in `inputs` and `units`.
    """
    n_columns, n_unit_rows = net.sizes[layer] + net.bias, net.n_unit_rows
    for i in range(0, n_columns, ratio(Line, F)):
        for j in range(first_unit, stop_unit, ratio(Patch, Line)):
            gradient = base + net.n_parameters + net.weight_rows[layer] + j * n_columns + i
            total = broadcast(Patch, 0.0)
            if not fresh:
                total = load_grid(Patch, Line, F, rows, gradient, n_columns, 1)
            delta_row, unit_row = net.unit_rows[layer + 1] + j, net.unit_rows[layer] + i
            if layer == 0:
                for s in range(count):
                    delta = load_grid(Patch, Line, F, deltas, delta_row + s * n_unit_rows, 1, 0)
                    x = repeat(Patch, spread(Line, F, data.inputs, samples[s] * data.n_columns + i))
                    total = fma(delta, x, total)
            else:
                for s in range(count):
                    delta = load_grid(Patch, Line, F, deltas, delta_row + s * n_unit_rows, 1, 0)
                    a = load_grid(Patch, Line, F, units, unit_row + s * n_unit_rows, 0, 1)
                    total = fma(delta, a, total)
            store_grid(Line, F, rows, gradient, n_columns, 1, total, n_columns - i)
