"""The three products of a net for a chunk of samples: weighted sums, input gradients, weight gradients.

Symbols are those of `structs`. Vectors hold for each of the W nets of a tile: F one number, Blk B samples of a unit,
Units B samples of U units, Line I columns of a unit's gradients, Patch those of U units, Column one column of U units.
Each loaded vector is used in 4 or more multiply-adds, and the U · B · W sums of a loop fill half of the registers,
which hides the latency of a multiply-add. If U does not divide a layer, the remaining units are done one by one, with U
times as many samples or columns at once.

Every sum runs through one accumulator in index order, so a net's bits do not depend on its neighbours.
"""

from typing import Any, NamedTuple

from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activation_choice import activate, activation_backward, needs_sum
from fastmlp._kernels.formulas.activations import Activation, relu, relu_backward
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.optimizer_step import adam, adam_settings, add_l2, update
from fastmlp._kernels.structs import IN_CHUNK, Rows
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, ratio, repeat, select
from fastmlp._simd.cpu import register_count
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, load_grid, spread, spread_samples, store_grid
from fastmlp._simd.types import ALL

# Fewer registers cannot hold Adam's constants and a product's sums together
ENOUGH_REGISTERS = 32


class Due(NamedTuple):
    """Adam's step on rows with known gradients, which is made during the products of the next band."""

    first: int
    stop: int
    everyone: bool  # whether all nets make the step
    settings: Any


@inline
def forward(kinds, F, net, rows, base, data, samples, count, slope, scratch, dropping):
    """Compute outputs of every unit for the first `count` samples of a chunk; weighted sums for the last layer."""
    units = scratch.units
    Units, Blk = kinds.Units, kinds.Blk
    U = ratio(Units, Blk)
    for layer in range(net.n_layers):
        n_out = net.sizes[layer + 1]
        several = n_out & -U
        span = net.own.forward_spans[layer]
        for s in range(0, count, span):
            stop = min(count, s + span)
            _linear_forward(Units, Blk, F, net, rows, base, layer, data, samples, s, stop, units, 0, several)
        _linear_forward(Units, Units, F, net, rows, base, layer, data, samples, 0, count, units, several, n_out)
        if layer < net.n_layers - 1 and net.activations[layer] > Activation.RELU:
            _activate(Blk, F, net, layer, slope, units, scratch.sums, count)
        if dropping and layer < net.n_layers - 1:
            target = Rows(units, net.unit_rows[layer + 1], net.n_unit_rows)
            _drop(Blk, F, net, layer + 1, scratch.masks, count, 0, net.sizes[layer + 1], target)


@inline
def _linear_forward(Units, Blk, F, net, rows, base, layer, data, samples, first, stop, units, first_unit, stop_unit):
    """Compute biases plus weighted inputs of some units, and ReLU if it is their activation, for a range of samples."""
    n_in, n_columns = net.sizes[layer], net.sizes[layer] + net.bias
    below, here = net.unit_rows[layer], net.unit_rows[layer + 1]
    rectify = layer < net.n_layers - 1 and net.activations[layer] == Activation.RELU
    for j in range(first_unit, stop_unit, ratio(Units, Blk)):
        weight = base + net.weight_rows[layer] + j * n_columns
        for s in range(first, stop, ratio(Blk, F)):
            z = load_grid(Units, Blk, F, rows, weight + n_in, n_columns, 0) if net.bias else broadcast(Units, 0.0)
            if layer == 0:
                for i in range(n_in):
                    x = repeat(Units, _inputs_of(Blk, F, data, samples, s, i))
                    z = fma(load_grid(Units, Blk, F, rows, weight + i, n_columns, 0), x, z)
            else:
                source = s * net.n_unit_rows + below
                for i in range(n_in):
                    a = load_grid(Units, Blk, F, units, source + i, 0, net.n_unit_rows)
                    z = fma(load_grid(Units, Blk, F, rows, weight + i, n_columns, 0), a, z)
            if rectify:
                z = relu(z)
            store_grid(Blk, F, units, s * net.n_unit_rows + here + j, 1, net.n_unit_rows, z, ratio(Blk, F))


@inline
def _inputs_of(Blk, F, data, samples, s, i):
    """Input i of a block of samples."""
    if data.by_net:
        return load_grid(Blk, Blk, F, data.chunk.inputs, s * data.n_columns + i, 0, data.n_columns)
    return spread_samples(Blk, F, data.inputs, samples, s, data.n_columns, i)


@inline
def _activate(Blk, F, net, layer, slope, units, sums, count):
    """Apply the activation to weighted sums."""
    for s in range(0, count, ratio(Blk, F)):
        row = s * net.n_unit_rows + net.unit_rows[layer + 1]
        for j in range(net.sizes[layer + 1]):
            z = load_grid(Blk, Blk, F, units, row + j, 0, net.n_unit_rows)
            if needs_sum(net.formulas, net.needs_sum, layer + 1):
                store_grid(Blk, F, sums, row + j, 0, net.n_unit_rows, z, ratio(Blk, F))
            a = activate(net.formulas, net.activations[layer], z, repeat(Blk, slope))
            store_grid(Blk, F, units, row + j, 0, net.n_unit_rows, a, ratio(Blk, F))


@inline
def _drop(Blk, F, net, layer, masks, count, first_unit, stop_unit, target):
    """Multiply outputs or gradients of some units of a hidden layer by their dropout masks."""
    for s in range(0, count, ratio(Blk, F)):
        for i in range(first_unit, stop_unit):
            mask = load_grid(Blk, Blk, F, masks, s * net.n_unit_rows + net.unit_rows[layer] + i, 0, net.n_unit_rows)
            row = target.first + s * target.step + i - first_unit
            x = load_grid(Blk, Blk, F, target.buffer, row, 0, target.step)
            store_grid(Blk, F, target.buffer, row, 0, target.step, x * mask, ratio(Blk, F))


@inline
def squared_norm(kinds, F, net, rows, base, scratch):  # noqa: ARG001
    """The sum of all squared weights without biases: first for each unit, then over the units."""
    total = broadcast(F, 0.0)
    for layer in range(net.n_layers):
        n_columns = net.sizes[layer] + net.bias
        for j in range(net.sizes[layer + 1]):
            weight, of_unit = base + net.weight_rows[layer] + j * n_columns, broadcast(F, 0.0)
            for i in range(weight, weight + net.sizes[layer]):
                of_unit = fma(load(F, rows, i), load(F, rows, i), of_unit)
            total = total + of_unit
    return total


@inline
def backward(kinds, F, net, flags, tiles, tile, data, scratch, count, slope, fresh, last, active):
    """Add the gradients of a chunk's first `count` samples to the gradient rows; `fresh` starts them at zero.

    After the `last` chunk of a minibatch the optimizer makes its step. Gradients are computed in bands of U units,
    whose rows are consecutive. If there are enough registers, Adam's step on a band is made row by row within the loops
    of the next band's products, which hide its divisions and roots; otherwise it follows at once. A layer's weights
    change only after its input gradients are computed.
    """
    Patch, Line, Column, U = kinds.Patch, kinds.Line, kinds.Column, ratio(kinds.Units, kinds.Blk)
    kept = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.KEPT)
    _hidden_deltas(kinds, F, net, flags, tiles, tile, scratch, count, slope, kept)
    settings, everyone = adam_settings(F, F, tiles, tile, scratch.corrections), not any_lane(~active)
    due = Due(0, 0, everyone, settings)
    for layer in range(net.n_layers):
        n_out, n_columns = net.sizes[layer + 1], net.sizes[layer] + net.bias
        several = n_out & -U
        j = 0
        while j < n_out:
            first, j = j, j + (U if j < several else 1)
            deltas = Rows(scratch.deltas, net.unit_rows[layer + 1] + first, net.n_unit_rows)
            if layer == 0 and net.n_layers > 1:
                deltas = _band_of_first_deltas(kinds, F, net, flags, tiles, tile, scratch, count, slope, kept, first, j)
            band = tile * tiles.n_rows + net.weight_rows[layer] + first * n_columns
            if first < several:
                waiting = _gradients(
                    Patch, Line, Column, F, net, flags, tiles, layer, data, scratch, count, deltas, fresh, band, due
                )
            else:
                waiting = _gradients(
                    Patch, Patch, F, F, net, flags, tiles, layer, data, scratch, count, deltas, fresh, band, due
                )
            due = Due(waiting, due.stop, everyone, settings)
            if last:
                due = _step(
                    F, net, flags, tiles, tile, layer, scratch, band, band + (j - first) * n_columns, due, active
                )
    _adam(F, net, flags, tiles.rows, due, active)


@inline
def _hidden_deltas(kinds, F, net, flags, tiles, tile, scratch, count, slope, kept):
    """Compute gradients by the weighted sums of all hidden layers but the first, from those of the outputs."""
    Units, Blk = kinds.Units, kinds.Blk
    deltas, step = scratch.deltas, net.n_unit_rows
    for layer in range(net.n_layers - 1, 1, -1):
        n_units, span, row = net.sizes[layer], net.own.backward_spans[layer], net.unit_rows[layer]
        several = n_units & -ratio(Units, Blk)
        for s in range(0, count, span):
            stop = min(count, s + span)
            target, rest = Rows(deltas, row, step), Rows(deltas, row + several, step)
            _input_gradients(Units, Blk, F, net, tiles, tile, layer, scratch, s, stop, 0, several, target)
            _input_gradients(Blk, Blk, F, net, tiles, tile, layer, scratch, s, stop, several, n_units, rest)
        if flags.dropping:
            _drop(Blk, F, net, layer, scratch.masks, count, 0, n_units, Rows(deltas, row, step))
        if net.activations[layer - 1] > Activation.RELU:
            target = Rows(deltas, row, step)
            _activation_gradients(Blk, F, net, flags, layer, slope, kept, scratch, count, 0, n_units, target)


@inline
def _band_of_first_deltas(kinds, F, net, flags, tiles, tile, scratch, count, slope, kept, first, stop):
    """Compute gradients for some units of the first hidden layer: used only once, all bands share one memory."""
    Units, Blk = kinds.Units, kinds.Blk
    target = Rows(scratch.own.band, 0, ratio(Units, Blk))
    if stop - first == ratio(Units, Blk):
        _input_gradients(Units, Blk, F, net, tiles, tile, 1, scratch, 0, count, first, stop, target)
    else:
        _input_gradients(Blk, Blk, F, net, tiles, tile, 1, scratch, 0, count, first, stop, target)
    if flags.dropping:
        _drop(Blk, F, net, 1, scratch.masks, count, first, stop, target)
    if net.activations[0] > Activation.RELU:
        _activation_gradients(Blk, F, net, flags, 1, slope, kept, scratch, count, first, stop, target)
    return target


@inline
def _step(F, net, flags, tiles, tile, layer, scratch, first, stop, due, active):
    """Make the optimizer's step on a band's rows, or for Adam, if there are enough registers, on the due rows.

    Returns the rows that are due next.
    """
    if flags.has_l2:
        for unit in range(first, stop, net.sizes[layer] + net.bias):
            add_l2(F, F, net, tiles, tile, unit, unit + net.sizes[layer])
    this = Due(first, stop, due.everyone, due.settings)
    if flags.method == Method.ADAM and register_count() >= ENOUGH_REGISTERS:
        _adam(F, net, flags, tiles.rows, due, active)
        return this
    if flags.method == Method.ADAM:
        _adam(F, net, flags, tiles.rows, this, active)
    else:
        update(F, F, net, flags, tiles, tile, first, stop - first, 1, 1, active, scratch.corrections)
    return due


@inline
def _adam(F, net, flags, rows, due, active):
    """Adam's step on the due rows, without the mask if all nets train."""
    if due.everyone:
        adam(F, F, net, flags, rows, due.first, due.stop, ALL, due.settings)
    else:
        adam(F, F, net, flags, rows, due.first, due.stop, active, due.settings)


@inline
def _input_gradients(Units, Blk, F, net, tiles, tile, layer, scratch, first, stop, first_unit, stop_unit, target):
    """Compute gradients by the outputs of some units below `layer`, or of ReLU units by their weighted sums."""
    n_columns, n_unit_rows = net.sizes[layer] + net.bias, net.n_unit_rows
    base = tile * tiles.n_rows + net.weight_rows[layer]
    for i in range(first_unit, stop_unit, ratio(Units, Blk)):
        for s in range(first, stop, ratio(Blk, F)):
            above, here = s * n_unit_rows + net.unit_rows[layer + 1], s * n_unit_rows + net.unit_rows[layer] + i
            down = broadcast(Units, 0.0)
            for j in range(net.sizes[layer + 1]):
                delta = load_grid(Units, Blk, F, scratch.deltas, above + j, 0, n_unit_rows)
                down = fma(load_grid(Units, Blk, F, tiles.rows, base + i + j * n_columns, 1, 0), delta, down)
            if net.activations[layer - 1] == Activation.RELU:
                down = relu_backward(load_grid(Units, Blk, F, scratch.units, here, 1, n_unit_rows), down)
            row = target.first + s * target.step + i - first_unit
            store_grid(Blk, F, target.buffer, row, 1, target.step, down, ratio(Blk, F))


@inline
def _activation_gradients(Blk, F, net, flags, layer, slope, kept, scratch, count, first_unit, stop_unit, target):
    """Compute gradients by weighted sums from gradients by outputs; with dropout, from the outputs before it."""
    for s in range(0, count, ratio(Blk, F)):
        for i in range(first_unit, stop_unit):
            here = s * net.n_unit_rows + net.unit_rows[layer] + i
            if needs_sum(net.formulas, net.needs_sum, layer):
                x = load_grid(Blk, Blk, F, scratch.sums, here, 0, net.n_unit_rows)
            else:
                x = load_grid(Blk, Blk, F, scratch.units, here, 0, net.n_unit_rows)
                if flags.dropping:
                    x = x * repeat(Blk, kept)
            row = target.first + s * target.step + i - first_unit
            gradient = load_grid(Blk, Blk, F, target.buffer, row, 0, target.step)
            delta = activation_backward(net.formulas, net.activations[layer - 1], x, gradient, repeat(Blk, slope))
            store_grid(Blk, F, target.buffer, row, 0, target.step, delta, ratio(Blk, F))


@inline
def _gradients(Patch, Line, Column, F, net, flags, tiles, layer, data, scratch, count, deltas, fresh, band, due):
    """Compute gradients of weights and biases of a band of units, rows from `band` on, summed over a chunk's samples.

    Within its loops Adam's step is made on as many of the `due` rows as the loops have iterations, if all nets make it
    and there are enough registers; returns the first row left. A bias is the weight of an input that is always 1, which
    follows the others in `inputs` and `units`, unless the others fill whole lines: then biases have their own sums.
    """
    n_in, n_unit_rows, P = net.sizes[layer], net.n_unit_rows, net.state_step
    n_columns, rows = n_in + net.bias, tiles.rows
    apart = n_in & (ratio(Line, F) - 1) == 0
    at_once, waiting = due.everyone and register_count() >= ENOUGH_REGISTERS, due.first
    for i in range(0, n_in if apart else n_columns, ratio(Line, F)):
        total = broadcast(Patch, 0.0)
        if not fresh:
            total = load_grid(Patch, Line, F, rows, band + i + P, n_columns, 1)
        if data.by_net:
            waiting = _gradients_of_own(
                Patch, Line, F, net, flags, rows, layer, data, scratch, deltas, band, i, total, due, waiting, at_once
            )
            continue
        n_pairs = min(count // 2, due.stop - waiting) if at_once else 0
        if layer == 0:
            samples = scratch.samples
            for pair in range(n_pairs):
                for s in range(2 * pair, 2 * pair + 2):
                    delta = load_grid(Patch, Line, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
                    x = repeat(Patch, spread(Line, F, data.inputs, samples[s] * data.n_columns + i))
                    total = fma(delta, x, total)
                adam(F, F, net, flags, rows, waiting + pair, waiting + pair + 1, ALL, due.settings)
            for s in range(2 * n_pairs, count):
                delta = load_grid(Patch, Line, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
                x = repeat(Patch, spread(Line, F, data.inputs, samples[s] * data.n_columns + i))
                total = fma(delta, x, total)
        else:
            unit_row = net.unit_rows[layer] + i
            for pair in range(n_pairs):
                for s in range(2 * pair, 2 * pair + 2):
                    delta = load_grid(Patch, Line, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
                    a = load_grid(Patch, Line, F, scratch.units, unit_row + s * n_unit_rows, 0, 1)
                    total = fma(delta, a, total)
                adam(F, F, net, flags, rows, waiting + pair, waiting + pair + 1, ALL, due.settings)
            for s in range(2 * n_pairs, count):
                delta = load_grid(Patch, Line, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
                a = load_grid(Patch, Line, F, scratch.units, unit_row + s * n_unit_rows, 0, 1)
                total = fma(delta, a, total)
        waiting += n_pairs
        store_grid(Line, F, rows, band + i + P, n_columns, 1, total, n_columns - i)
    if apart and net.bias:
        total = broadcast(Column, 0.0)
        if not fresh:
            total = load_grid(Column, F, F, rows, band + n_in + P, n_columns, 0)
        if data.by_net:
            _bias_gradients_of_own(Column, F, data, deltas, rows, band + n_in + P, n_columns, total)
        else:
            for s in range(count):
                total = total + load_grid(Column, F, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
            store_grid(F, F, rows, band + n_in + P, n_columns, 0, total, 1)
    return waiting


@inline
def _gradients_of_own(
    Patch, Line, F, net, flags, rows, layer, data, scratch, deltas, band, i, total, due, waiting, at_once
):
    """The sums of `_gradients` for a line of columns from i on, over each net's own samples.

    The chunk's samples up to the first of `ends` are summed for all nets, those up to the next one for the nets that
    have so many, and so on.
    """
    n_columns, target = net.sizes[layer] + net.bias, band + i + net.state_step
    inputs = Rows(scratch.units, net.unit_rows[layer] + i, net.n_unit_rows)
    if layer == 0:
        inputs = Rows(data.chunk.inputs, i, data.n_columns)
    ends, counts, first, filled = data.chunk.ends, repeat(Patch, load(F, data.chunk.counts, IN_CHUNK)), 0, n_columns - i
    for k in range(1, ends[0] + 1):
        if k == 1 and at_once:
            n_pairs = min(ends[1] // 2, due.stop - waiting)
            for pair in range(n_pairs):
                total = _add_products(Patch, Line, F, inputs, deltas, 2 * pair, 2 * pair + 2, total)
                adam(F, F, net, flags, rows, waiting + pair, waiting + pair + 1, ALL, due.settings)
            waiting, first = waiting + n_pairs, 2 * n_pairs
        total = _add_products(Patch, Line, F, inputs, deltas, first, ends[k], total)
        if k > 1:
            before = load_grid(Patch, Line, F, rows, target, n_columns, 1)
            more = select(counts > broadcast(Patch, ends[k - 1]), total, before)
            store_grid(Line, F, rows, target, n_columns, 1, more, filled)
        else:
            store_grid(Line, F, rows, target, n_columns, 1, total, filled)
        first = ends[k]
    return waiting


@inline
def _add_products(Patch, Line, F, inputs, deltas, first, stop, total):
    """Add the products of some samples' inputs of a line and gradients of a band of units."""
    for s in range(first, stop):
        delta = load_grid(Patch, Line, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
        x = load_grid(Patch, Line, F, inputs.buffer, inputs.first + s * inputs.step, 0, 1)
        total = fma(delta, x, total)
    return total


@inline
def _bias_gradients_of_own(Column, F, data, deltas, rows, target, n_columns, total):
    """The sums of a band of biases over each net's own samples; see `_gradients_of_own`."""
    ends, counts, first = data.chunk.ends, repeat(Column, load(F, data.chunk.counts, IN_CHUNK)), 0
    for k in range(1, ends[0] + 1):
        for s in range(first, ends[k]):
            total = total + load_grid(Column, F, F, deltas.buffer, deltas.first + s * deltas.step, 1, 0)
        more = total
        if k > 1:
            before = load_grid(Column, F, F, rows, target, n_columns, 0)
            more = select(counts > broadcast(Column, ends[k - 1]), total, before)
        store_grid(F, F, rows, target, n_columns, 0, more, 1)
        first = ends[k]
