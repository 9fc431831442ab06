"""The lanes kernel for tiny jobs such as XOR: full batches of at most B samples, and layers of a few units.

For these the general kernel's loops are so short that their overhead dominates. Here each unit is one short loop over
its inputs, and each parameter's gradient one line of code. All operations on a net's numbers are those of the general
kernel, in the same order, so the bits are the same.

Blk is the vector of B · W numbers, B samples of one unit. Rows of such vectors in scratch memory are the inputs, then
ones as the input of the biases, then the units, each layer followed by ones too. Other symbols are those of
`structs`.
"""

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activation_choice import activate, activation_backward, needs_sum
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.optimizer_step import adam_settings, add_l2, advance_powers, begin_adam, finish_adam, update
from fastmlp._kernels.output_layer import knows_bound, least_losses_of, output_deltas, outputs_and_losses
from fastmlp._kernels.samples import block_weights, choose_samples, inverse_of, weight_sum_of
from fastmlp._kernels.stopping import apply_rules, empty_lanes, nets_in_training, record_losses, retire, target_in_doubt
from fastmlp._kernels.tiny_xor import train_small
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, fold_compensated, fold_fma, ratio, repeat, select
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, spread_samples, store
from fastmlp._simd.types import ALL


@inline
def _lay_out_inputs(Blk, F, net, data, samples, units):
    """Write the inputs, and the ones that are the inputs of biases."""
    n_in = net.sizes[0]
    for i in range(n_in):
        store(units, i, spread_samples(Blk, F, data.inputs, samples, 0, data.n_columns, i))
    store(units, n_in, broadcast(Blk, 1.0))
    for layer in range(1, net.n_layers):
        store(units, n_in + 1 + net.unit_rows[layer] + net.sizes[layer], broadcast(Blk, 1.0))


@inline
def _forward(Blk, F, net, rows, base, slope, units, sums):
    """Compute outputs of every unit; weighted sums for the last layer."""
    below, here, weight = 0, net.sizes[0] + 1, base
    for layer in range(net.n_layers):
        n_in, hidden = net.sizes[layer], layer < net.n_layers - 1
        for j in range(net.sizes[layer + 1]):
            z = repeat(Blk, load(F, rows, weight + n_in)) if net.bias else broadcast(Blk, 0.0)
            for i in range(n_in):
                z = fma(repeat(Blk, load(F, rows, weight + i)), load(Blk, units, below + i), z)
            if hidden:
                if needs_sum(net.formulas, net.needs_sum, layer + 1):
                    store(sums, here + j, z)
                z = activate(net.formulas, net.activations[layer], z, repeat(Blk, slope))
            store(units, here + j, z)
            weight += n_in + net.bias
        below, here = here, here + net.sizes[layer + 1] + 1


@inline
def _input_gradients(Blk, F, net, rows, base, slope, units, sums, deltas):
    """Compute gradients by the weighted sums of all hidden units, from those of the outputs."""
    first_unit = net.sizes[0] + 1
    for layer in range(net.n_layers - 1, 0, -1):
        above, here = first_unit + net.unit_rows[layer + 1], first_unit + net.unit_rows[layer]
        n_columns, code = net.sizes[layer] + net.bias, net.activations[layer - 1]
        for i in range(net.sizes[layer]):
            weight = base + net.weight_rows[layer] + i
            down = broadcast(Blk, 0.0)
            for j in range(net.sizes[layer + 1]):
                down = fma(repeat(Blk, load(F, rows, weight)), load(Blk, deltas, above + j), down)
                weight += n_columns
            x = load(Blk, units, here + i)
            if needs_sum(net.formulas, net.needs_sum, layer):
                x = load(Blk, sums, here + i)
            store(deltas, here + i, activation_backward(net.formulas, code, x, down, repeat(Blk, slope)))


@inline
def _descend(Blk, F, net, flags, tiles, tile, units, deltas, n_samples, active, corrections):
    """Compute all gradients and make the optimizer's step; a bias is the weight of an input that is always 1."""
    rows, base, zero = tiles.rows, tile * tiles.n_rows, broadcast(F, 0.0)
    # Adam's divisions and roots overlap with the products of the next gradients: the first half of its step follows its
    # gradient at once, and the second half, which waits for a root, the next gradient
    if flags.method == Method.ADAM:
        settings = adam_settings(F, F, tiles, tile, corrections)
        l2 = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.L2)
    below, here, r = 0, net.sizes[0] + 1, base
    mean = root = zero  # those of row r − 1
    for layer in range(net.n_layers):
        n_columns = net.sizes[layer] + net.bias
        for j in range(net.sizes[layer + 1]):
            delta = load(Blk, deltas, here + j)
            for i in range(n_columns):
                g = fold_fma(zero, delta, load(Blk, units, below + i), n_samples)
                if flags.method == Method.ADAM:
                    if flags.has_l2 and i < net.sizes[layer]:
                        g = optimizers.add_l2(g, load(F, rows, r), l2)
                    if r > base:
                        finish_adam(F, flags, rows, r - 1, mean, root, active, settings)
                    mean, root = begin_adam(F, rows, r, net.state_step, g, active, settings)
                else:
                    store(rows, r + net.state_step, g)
                r += 1
        if flags.method != Method.ADAM and flags.has_l2:
            for unit in range(base + net.weight_rows[layer], r, n_columns):
                add_l2(F, F, net, tiles, tile, unit, unit + net.sizes[layer])
        below, here = here, here + net.sizes[layer + 1] + 1
    if flags.method == Method.ADAM:
        finish_adam(F, flags, rows, r - 1, mean, root, active, settings)
    else:
        update(F, F, net, flags, tiles, tile, base, net.n_parameters, 1, 1, active, corrections)


@inline
def _train_tile(Blk, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt, small):
    """Train one tile from epoch `begin` to `end`; the inputs are already written."""
    n, B, last_epoch = data.n_samples, ratio(Blk, F), epochs.last
    samples, units, deltas = scratch.samples, scratch.units, scratch.deltas
    outputs = (net.sizes[0] + 1 + net.unit_rows[net.n_layers]) * B
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    base, h = tile * tiles.n_rows, tile * optimizers.N_HYPERPARAMETERS
    slope = load(F, tiles.hyper, h + optimizers.LEAKY_SLOPE)
    active = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE) != 0.0
    empty = empty_lanes(F, tiles, tile, scratch.lanes)
    weights = block_weights(Blk, F, data, tiles, tile, samples, 0, scratch)
    weight_sum = weight_sum_of(F, data, tiles, tile, samples, -1, 0, n, scratch.lanes)
    scale = weights * repeat(Blk, inverse_of(flags, weight_sum))
    epoch = begin - 1
    while True:
        epoch += 1
        if small and any_lane(active):
            epoch += train_small(
                Blk,
                F,
                net,
                data,
                flags,
                tiles,
                tile,
                base,
                load(F, tiles.hyper, h + optimizers.LEARNING_RATE),
                scale,
                active,
                empty,
                end - epoch,
                scratch,
                halt,
            )
        if epoch == end + (end == last_epoch) or not any_lane(active) or halt[0]:
            break
        learn = epoch < last_epoch
        recording = flags.record_every > 0 and (epoch - epochs.begin) % flags.record_every == 0
        if learn and flags.method == Method.ADAM:
            advance_powers(F, flags, tiles, tile, active, scratch)
        _forward(Blk, F, net, tiles.rows, base, slope, units, scratch.sums)
        # the loss is not needed while a bound shows that the target is not reached
        cautious = knows_bound(net, flags) and learn and not recording
        measured = (flags.rules or recording or not learn) and not cautious
        losses, right = outputs_and_losses(
            Blk, F, net, data, samples, 0, units, deltas, outputs, B, 1, measured, flags.counts_accuracy
        )
        if cautious:
            bounds = least_losses_of(Blk, F, net, data, samples, 0, units, deltas, outputs, B, 1)
            least = fold_fma(zero, scale, bounds, n)
            if target_in_doubt(F, flags, tiles, tile, active, least):
                measured = True
                losses, right = outputs_and_losses(
                    Blk, F, net, data, samples, 0, units, deltas, outputs, B, 1, True, flags.counts_accuracy
                )
        if measured:
            loss_sum, _ = fold_compensated(zero, zero, weights * losses, n)
            loss = loss_sum / weight_sum * flags.loss_scale
            accuracy = nothing
            if flags.counts_accuracy:
                right_sum, _ = fold_compensated(zero, zero, weights * right, n)
                accuracy = right_sum / weight_sum
            if recording:
                record = (epoch - epochs.begin) // flags.record_every
                record_losses(F, tiles, tile, results, active, loss, record, scratch.lanes)
            if flags.rules or not learn:
                active = apply_rules(
                    F, flags, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, True, scratch.lanes
                )
        if learn:
            probe = output_deltas(Blk, F, net, data, samples, 0, scale, deltas, outputs, B, 1, zero, n)
            broken = active & ~(probe == 0.0)
            retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, scratch.lanes)
            active = active & ~broken
            _input_gradients(Blk, F, net, tiles.rows, base, slope, units, scratch.sums, deltas)
            if any_lane(~(active | empty)):
                _descend(Blk, F, net, flags, tiles, tile, units, deltas, n, active, scratch.corrections)
            else:
                _descend(Blk, F, net, flags, tiles, tile, units, deltas, n, ALL, scratch.corrections)
    retire(F, tiles, tile, results, active, structs.INTERRUPTED, epoch, nothing, nothing, scratch.lanes)
    store(tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE, select(active, broadcast(F, 1.0), 0.0))


@kernel
def train_tiny_tiles(Blk, F, net, data, flags, tiles, results, epochs, scratch, halt, small):
    """Do the same as `epoch_loop.train_tiles`, for a full batch of at most B samples and constant learning rates.

    `small`, a `StaticNumber`, is whether `tiny_xor.is_small`.
    """
    choose_samples(scratch.samples, -1, 0, data.n_samples, ratio(Blk, F), scratch.samples)
    _lay_out_inputs(Blk, F, net, data, scratch.samples, scratch.units)
    end = epochs.first
    while True:
        begin, end = end, min(end + epochs.stride, epochs.stop)
        for tile in range(tiles.n_tiles):
            _train_tile(Blk, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt, small)
        if halt[0] or end == epochs.stop or nets_in_training(F, tiles, scratch.lanes) < epochs.fewest:
            return end
