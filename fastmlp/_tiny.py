"""The lanes kernel for tiny jobs: a few samples, all at once in each update, and layers of a few units, like XOR.

There the general kernel's loops are too short to pay for their own upkeep. Here each unit is one short loop over its
inputs, and each parameter's gradient one line of code. Every operation on a net's numbers is the general kernel's, in
the same order, so the bits are the same.

Blk is the vector of B · W numbers, B samples of one unit. In scratch memory a block's rows of such vectors are the
inputs, ones as the input of the biases, and the layers' units, each layer followed by ones too. Other symbols are those
of `_layout`.
"""

import numpy as np

from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
from fastmlp._formulas import Method
from fastmlp._jit import inline, kernel
from fastmlp._outputs import losses_of, output_deltas, outputs_of
from fastmlp._rules import apply_rules, leave, record_losses
from fastmlp._samples import block_weights, choose_samples, inverse_of, weight_sum_of
from fastmlp._simd import (
    any_lane,
    broadcast,
    fma,
    fold_add,
    fold_fma,
    load,
    ratio,
    repeat,
    select,
    spread_samples,
    store,
)
from fastmlp._small import is_small, train_small
from fastmlp._update import adam_settings, adam_step, add_l2, advance_powers, update


@inline
def _lay_out_inputs(Blk, F, net, data, samples, s, units, first_row):
    for i in range(net.sizes[0]):
        store(units, first_row + i, spread_samples(Blk, F, data.inputs, samples, s, data.n_columns, i))
    store(units, first_row + net.sizes[0], broadcast(Blk, 1.0))
    for layer in range(1, net.n_layers):
        store(units, first_row + net.sizes[0] + 1 + net.unit_rows[layer] + net.sizes[layer], broadcast(Blk, 1.0))


@inline
def _forward(Blk, F, net, rows, base, slope, units, first_row):
    """Outputs of every unit for one block; of the last layer the weighted sums."""
    below, here, weight = first_row, first_row + net.sizes[0] + 1, base
    for layer in range(net.n_layers):
        n_in, hidden = net.sizes[layer], layer < net.n_layers - 1
        for j in range(net.sizes[layer + 1]):
            z = repeat(Blk, load(F, rows, weight + n_in)) if net.bias else broadcast(Blk, 0.0)
            for i in range(n_in):
                z = fma(repeat(Blk, load(F, rows, weight + i)), load(Blk, units, below + i), z)
            if hidden:
                z = formulas.activate(net.activations[layer], z, repeat(Blk, slope))
            store(units, here + j, z)
            weight += n_in + net.bias
        below, here = here, here + net.sizes[layer + 1] + 1


@inline
def _pass_down(Blk, F, net, rows, base, slope, units, deltas, first_row):
    """Gradients by the weighted sums of all hidden units, from those of the outputs."""
    first_row += net.sizes[0] + 1
    for layer in range(net.n_layers - 1, 0, -1):
        above, here = first_row + net.unit_rows[layer + 1], first_row + net.unit_rows[layer]
        n_columns, code = net.sizes[layer] + net.bias, net.activations[layer - 1]
        for i in range(net.sizes[layer]):
            weight = base + net.weight_rows[layer] + i
            down = broadcast(Blk, 0.0)
            for j in range(net.sizes[layer + 1]):
                down = fma(repeat(Blk, load(F, rows, weight)), load(Blk, deltas, above + j), down)
                weight += n_columns
            a = load(Blk, units, here + i)
            store(deltas, here + i, formulas.activation_backward(code, a, down, repeat(Blk, slope)))


@inline
def _gradient(Blk, F, ends, r, units, deltas, n_samples, n_unit_rows):
    """The gradient of parameter r: of a bias like that of a weight whose input is 1."""
    B, source, target = ratio(Blk, F), ends.sources[r], ends.targets[r]
    whole = n_samples & -B
    total = broadcast(F, 0.0)
    for _ in range(0, whole, B):
        total = fold_fma(total, load(Blk, deltas, target), load(Blk, units, source), B)
        source, target = source + n_unit_rows, target + n_unit_rows
    if whole < n_samples:
        total = fold_fma(total, load(Blk, deltas, target), load(Blk, units, source), n_samples - whole)
    return total


@inline
def _descend(Blk, F, net, ends, plan, tiles, tile, units, deltas, n_samples, n_unit_rows, active, corrections):
    """Work out all gradients and take the optimizer's step."""
    rows, base = tiles.rows, tile * tiles.n_rows
    if plan.method == Method.ADAM and not plan.has_l2:
        # at once, for the division and the square root then overlap with the next gradient's products
        settings = adam_settings(F, tiles, tile, corrections)
        for r in range(net.n_parameters):
            g = _gradient(Blk, F, ends, r, units, deltas, n_samples, n_unit_rows)
            adam_step(F, net, rows, base + r, g, active, settings)
    else:
        for r in range(net.n_parameters):
            g = _gradient(Blk, F, ends, r, units, deltas, n_samples, n_unit_rows)
            store(rows, base + net.n_parameters + r, g)
        if plan.has_l2:
            for layer in range(net.n_layers):
                add_l2(F, net, tiles, tile, layer, 0, net.sizes[layer + 1])
        update(F, net, plan, tiles, tile, base, base + net.n_parameters, active, corrections)


@kernel
def train_tiny_tiles(Blk, F, net, ends, data, plan, tiles, results, first_epoch, stop_epoch, last_epoch, scratch, halt):
    """Do what `_lanes.train_tiles` does, for a full batch that fits into the scratch memory."""
    n, B = data.n_samples, ratio(Blk, F)
    samples, units, deltas = scratch.samples, scratch.units, scratch.deltas
    n_unit_rows = net.sizes[0] + 1 + net.n_unit_rows
    outputs = net.sizes[0] + 1 + net.unit_rows[net.n_layers]
    small = is_small(Blk, F, net, data, plan)
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    choose_samples(samples, -1, 0, n, (n + B - 1) & -B, samples)
    for tile in range(tiles.n_tiles):
        base, h = tile * tiles.n_rows, tile * formulas.N_HYPERPARAMETERS
        slope = load(F, tiles.hyper, h + formulas.LEAKY_SLOPE)
        active = load(F, tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE) != 0.0
        weight_sum = weight_sum_of(F, data, tiles, tile, samples, -1, 0, n)
        inverse = inverse_of(plan, weight_sum)
        for s in range(0, n, B):
            _lay_out_inputs(Blk, F, net, data, samples, s, units, s // B * n_unit_rows)
        epoch = first_epoch - 1
        while True:
            epoch += 1
            if small and any_lane(active):
                weights = block_weights(Blk, F, data, tiles, tile, samples, 0, scratch)
                epoch += train_small(
                    Blk, F, net, data, plan, tiles, tile, base, load(F, tiles.hyper, h + formulas.LEARNING_RATE),
                    weights * repeat(Blk, inverse), active, stop_epoch - epoch, scratch, halt,
                )  # fmt: skip
            if epoch == stop_epoch + (stop_epoch == last_epoch) or not any_lane(active) or halt[0]:
                break
            learn = epoch < last_epoch
            recording = plan.record_every > 0 and epoch % plan.record_every == 0
            measure = plan.rules or recording or not learn
            loss_sum, right_sum, probe = zero, zero, zero
            for s in range(0, n, B):
                first_row = s // B * n_unit_rows
                row = (first_row + outputs) * B
                _forward(Blk, F, net, tiles.rows, base, slope, units, first_row)
                greatest, log_sum = outputs_of(Blk, F, net, units, deltas, row, B, 1)
                weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
                if measure:
                    losses, right = losses_of(
                        Blk, F, net, data, samples, s, units, deltas, row, B, 1, greatest, log_sum
                    )
                    loss_sum = fold_fma(loss_sum, weights, losses, min(B, n - s))
                    right_sum = fold_add(right_sum, right, min(B, n - s))
                if learn:
                    scale = weights * repeat(Blk, inverse)
                    probe = output_deltas(Blk, F, net, data, samples, s, scale, deltas, row, B, 1, probe)
            if measure:
                loss = loss_sum / weight_sum * plan.loss_scale
                accuracy = right_sum / n if plan.counts_accuracy else nothing
                if recording:
                    record_losses(F, tiles, tile, results, active, loss, epoch // plan.record_every, scratch.lanes)
                if plan.rules or not learn:
                    active = apply_rules(
                        F, plan, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, scratch.lanes
                    )
            if learn:
                broken = active & ~(probe == 0.0)
                leave(F, tiles, tile, results, broken, layout.DIVERGED, epoch, nothing, nothing, scratch.lanes)
                active = active & ~broken
                if plan.method == Method.ADAM:
                    advance_powers(F, plan, tiles, tile, scratch.corrections)
                for s in range(0, n, B):
                    _pass_down(Blk, F, net, tiles.rows, base, slope, units, deltas, s // B * n_unit_rows)
                _descend(
                    Blk, F, net, ends, plan, tiles, tile, units, deltas, n, n_unit_rows, active, scratch.corrections
                )
        leave(F, tiles, tile, results, active, layout.INTERRUPTED, epoch, nothing, nothing, scratch.lanes)
        store(tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE, select(active, broadcast(F, 1.0), 0.0))
