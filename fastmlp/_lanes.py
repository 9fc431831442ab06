"""The lanes kernel: one net a lane, a tile of nets trained at once while it sits in cache.

It knows nothing of what the user wrote down. `Blk` is the vector of B · W numbers (B samples of W nets, sample by
sample), F the one of W; the other symbols are those of `_layout`. Each weight that is loaded serves the B samples of
a block. Every sum runs through one accumulator in index order, so a net's bits do not depend on what lies beside it.
"""

import numpy as np

from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
from fastmlp._formulas import Activation, Loss, Method
from fastmlp._jit import inline, kernel
from fastmlp._math import exp_of_negative, log
from fastmlp._simd import any_lane, broadcast, fma, fold_add, fold_fma, load, ratio, repeat, select, spread, store
from fastmlp._small import is_small, train_small
from fastmlp._update import advance_powers, update

# ------------------------------------------------------------------------------------------------ one block


@inline
def forward(Blk, F, net, rows, base, inputs, first_input, slope, units):
    """Outputs of every unit for one block; of the last layer the weighted sums."""
    for layer in range(net.n_layers):
        n_in, n_out = net.sizes[layer], net.sizes[layer + 1]
        weight, bias = base + net.weight_rows[layer], base + net.bias_rows[layer]
        below, here = net.unit_rows[layer], net.unit_rows[layer + 1]
        code = net.activations[layer] if layer < net.n_layers - 1 else Activation.IDENTITY
        for j in range(n_out):
            z = repeat(Blk, load(F, rows, bias + j)) if net.bias else broadcast(Blk, 0.0)
            if layer == 0:
                for i in range(n_in):
                    x = spread(Blk, F, inputs, first_input + i * ratio(Blk, F))
                    z = fma(repeat(Blk, load(F, rows, weight + i)), x, z)
            else:
                for i in range(n_in):
                    z = fma(repeat(Blk, load(F, rows, weight + i)), load(Blk, units, below + i), z)
            store(units, here + j, formulas.activate(code, z, repeat(Blk, slope)))
            weight += n_in


@inline
def outputs_of(Blk, net, units, outputs):
    """The output activation, from the weighted sums; returns the greatest sum z and log Σ exp(z_k − z)."""
    here, n_out = net.unit_rows[net.n_layers], net.sizes[net.n_layers]
    code = net.activations[net.n_layers - 1]
    greatest = load(Blk, units, here)
    log_sum = broadcast(Blk, 0.0)
    if code == Activation.SOFTMAX:
        for k in range(1, n_out):
            z = load(Blk, units, here + k)
            greatest = select(greatest < z, z, greatest)
        total = broadcast(Blk, 0.0)
        for k in range(n_out):
            e = exp_of_negative(load(Blk, units, here + k) - greatest)
            total = total + e
            store(outputs, here + k, e)
        log_sum = log(total)
        share = 1.0 / total
        for k in range(n_out):
            store(outputs, here + k, load(Blk, outputs, here + k) * share)
    else:
        for k in range(n_out):
            z = load(Blk, units, here + k)
            store(outputs, here + k, formulas.activate_output(code, z))
    return greatest, log_sum


@inline
def _losses(Blk, F, net, units, targets, first_target, outputs, greatest, log_sum):
    """Each sample's loss, summed over the outputs, and 1 where the sample is on the right side, 0 where not."""
    here = net.unit_rows[net.n_layers]
    losses, right = broadcast(Blk, 0.0), broadcast(Blk, 1.0)
    best, target_of_best = broadcast(Blk, -np.inf), broadcast(Blk, 0.0)
    for k in range(net.sizes[net.n_layers]):
        z, o = load(Blk, units, here + k), load(Blk, outputs, here + k)
        t = spread(Blk, F, targets, first_target + k * ratio(Blk, F))
        if net.loss == Loss.BCE:
            losses = losses + formulas.bce(z, t)
        elif net.loss == Loss.CROSS_ENTROPY:
            losses = losses + formulas.cross_entropy(z, greatest, log_sum, t)
        else:
            losses = losses + formulas.squared_error(o, t)
        right = select((o - 0.5) * (t - 0.5) > 0.0, right, 0.0)
        better = best < z
        best = select(better, z, best)
        target_of_best = select(better, t, target_of_best)
    if net.activations[net.n_layers - 1] == Activation.SOFTMAX:
        right = target_of_best
    return losses, right


@inline
def _output_deltas(Blk, F, net, targets, first_target, scale, deltas, probe):
    """Turn the outputs in `deltas` into the gradients of the loss by the weighted sums.

    Returns `probe`, a sum of zeros, which becomes NaN with the first gradient that is not finite.
    """
    here, n_out = net.unit_rows[net.n_layers], net.sizes[net.n_layers]
    code = net.activations[net.n_layers - 1]
    dot = broadcast(Blk, 0.0)
    if net.loss == Loss.MSE and code == Activation.SOFTMAX:
        for k in range(n_out):
            o = load(Blk, deltas, here + k)
            t = spread(Blk, F, targets, first_target + k * ratio(Blk, F))
            dot = fma(formulas.output_delta(o, t, scale), o, dot)
    for k in range(n_out):
        o = load(Blk, deltas, here + k)
        t = spread(Blk, F, targets, first_target + k * ratio(Blk, F))
        delta = formulas.output_delta(o, t, scale)
        if net.loss == Loss.MSE:
            delta = o * (delta - dot) if code == Activation.SOFTMAX else formulas.output_backward(code, o, delta)
        probe = fold_fma(probe, delta, broadcast(Blk, 0.0), ratio(Blk, F))
        store(deltas, here + k, delta)
    return probe


@inline
def _passed_down(Blk, F, net, rows, base, layer, i, slope, units, deltas):
    """Gradient by the weighted sum of unit i below `layer`, from the gradients of the layer's own units."""
    down = broadcast(Blk, 0.0)
    weight, here = base + net.weight_rows[layer] + i, net.unit_rows[layer + 1]
    n_in = net.sizes[layer]
    for j in range(net.sizes[layer + 1]):
        down = fma(repeat(Blk, load(F, rows, weight)), load(Blk, deltas, here + j), down)
        weight += n_in
    a = load(Blk, units, net.unit_rows[layer] + i)
    return formulas.activation_backward(net.activations[layer - 1], a, down, repeat(Blk, slope))


@inline
def _descend(F, net, rows, base, row, gradient, fused, active, learning_rate):
    """Keep a parameter's gradient; or, `fused`, take the step of plain gradient descent at once."""
    if fused:
        w = load(F, rows, base + row)
        store(rows, base + row, select(active, formulas.sgd(w, gradient, learning_rate), w))
    else:
        store(rows, base + net.n_parameters + row, gradient)


@inline
def _first_layer_gradients(
    Blk, F, net, rows, base, j, delta, inputs, first_input, count, fresh, fused, active, learning_rate
):
    """Add one block's gradients of the weights and the bias of unit j of the first layer."""
    gradients, row = base + net.n_parameters, net.weight_rows[0] + j * net.sizes[0]
    for i in range(net.sizes[0]):
        total = broadcast(F, 0.0) if fresh else load(F, rows, gradients + row + i)
        x = spread(Blk, F, inputs, first_input + i * ratio(Blk, F))
        total = fold_fma(total, delta, x, count)
        _descend(F, net, rows, base, row + i, total, fused, active, learning_rate)
    _bias_gradient(F, net, rows, base, net.bias_rows[0] + j, delta, count, fresh, fused, active, learning_rate)


@inline
def _bias_gradient(F, net, rows, base, row, delta, count, fresh, fused, active, learning_rate):
    if net.bias:
        total = broadcast(F, 0.0) if fresh else load(F, rows, base + net.n_parameters + row)
        _descend(F, net, rows, base, row, fold_add(total, delta, count), fused, active, learning_rate)


@inline
def _backward(
    Blk, F, net, rows, base, inputs, first_input, count, slope, units, deltas, fresh, fused, active, learning_rate
):
    """Add one block's gradients to the gradient rows; `fresh` starts them at zero.

    `fused` also takes the step; a layer's weights change only after its gradients were passed down through them.
    """
    gradients = base + net.n_parameters
    for layer in range(max(net.n_layers - 1, 1), 0, -1):
        # `layer` is the upper one of two; a net of one layer has its outputs in the place of hidden units
        n_units, below = net.sizes[layer], net.unit_rows[layer]
        for i in range(n_units):
            if layer < net.n_layers:
                delta = _passed_down(Blk, F, net, rows, base, layer, i, slope, units, deltas)
            else:
                delta = load(Blk, deltas, below + i)
            if layer == 1:
                _first_layer_gradients(
                    Blk, F, net, rows, base, i, delta, inputs, first_input, count, fresh, fused, active, learning_rate
                )
            else:
                store(deltas, below + i, delta)
        if layer < net.n_layers:
            row = net.weight_rows[layer]
            for j in range(net.sizes[layer + 1]):
                delta = load(Blk, deltas, net.unit_rows[layer + 1] + j)
                bias_row = net.bias_rows[layer] + j
                _bias_gradient(F, net, rows, base, bias_row, delta, count, fresh, fused, active, learning_rate)
                for i in range(n_units):
                    total = broadcast(F, 0.0) if fresh else load(F, rows, gradients + row)
                    total = fold_fma(total, delta, load(Blk, units, below + i), count)
                    _descend(F, net, rows, base, row, total, fused, active, learning_rate)
                    row += 1


# ----------------------------------------------------------------------------------------- samples and weights


@inline
def _sample_at(orders, order, place):
    """The sample at a place of the order that begins at `order`; −1 stands for the samples' own order."""
    return orders[order + place] if order >= 0 else place


@inline
def _gather(data, orders, order, position, count, block, n_in, n_out, scratch):
    """Lay the samples at `position` of the order side by side; a block that is not full repeats its last one."""
    for s in range(block):
        sample = _sample_at(orders, order, position + min(s, count - 1))
        for i in range(n_in):
            scratch.inputs[i * block + s] = data.inputs[sample * n_in + i]
        for k in range(n_out):
            scratch.targets[k * block + s] = data.targets[sample * n_out + k]


@inline
def _block_weights(Blk, F, data, tiles, tile, orders, order, position, count, scratch):
    """The weights of the samples at `position` of the order."""
    weights = broadcast(Blk, 1.0)
    if data.weighting != layout.UNWEIGHTED:
        for s in range(ratio(Blk, F)):
            sample = _sample_at(orders, order, position + min(s, count - 1))
            if data.weighting == layout.BY_SAMPLE:
                scratch.weights[s] = data.weights[sample]
            else:
                store(scratch.weights, s, load(F, tiles.sample_weights, tile * data.n_samples + sample))
        weights = (
            spread(Blk, F, scratch.weights, 0) if data.weighting == layout.BY_SAMPLE else load(Blk, scratch.weights, 0)
        )
    return weights


@inline
def _inverse(plan, weight_sum):
    """What turns a sum over samples into the gradient of the mean; 0 for a minibatch without weight."""
    return select(weight_sum > 0.0, plan.delta_scale / weight_sum, 0.0)


@inline
def _weight_sum(F, data, tiles, tile, orders, order, start, stop):
    """Sum of the weights of the samples from `start` to `stop`."""
    total = broadcast(F, 0.0)
    if data.weighting == layout.UNWEIGHTED:
        total = broadcast(F, stop - start)
    else:
        for position in range(start, stop):
            sample = _sample_at(orders, order, position)
            if data.weighting == layout.BY_SAMPLE:
                total = total + broadcast(F, data.weights[sample])
            else:
                total = total + load(F, tiles.sample_weights, tile * data.n_samples + sample)
    return total


# --------------------------------------------------------------------------------------- stopping, net by net


@inline
def _leave(F, tiles, tile, results, leaving, status, epoch, loss, accuracy, lanes):
    """Note how the nets of the mask `leaving` ended."""
    if any_lane(leaving):
        width = tiles.width
        store(lanes, 0, select(leaving, broadcast(F, 1.0), 0.0))
        store(lanes, 1, loss)
        store(lanes, 2, accuracy)
        for lane in range(width):
            slot = tiles.slots[tile * width + lane]
            if lanes[lane] != 0.0 and slot >= 0:
                results.status[slot] = status
                results.epochs[slot] = epoch
                results.loss[slot] = lanes[width + lane]
                results.accuracy[slot] = lanes[2 * width + lane]


@inline
def _record(F, tiles, tile, results, active, loss, record, lanes):
    """Put the losses of the active nets on their curves."""
    width = tiles.width
    store(lanes, 0, select(active, broadcast(F, 1.0), 0.0))
    store(lanes, 1, loss)
    for lane in range(width):
        slot = tiles.slots[tile * width + lane]
        if lanes[lane] != 0.0 and slot >= 0:
            results.curve[slot * results.n_records + record] = lanes[width + lane]


@inline
def _apply_rules(F, plan, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, lanes):
    """Stop the nets that reached their target, stalled or diverged, and at the end all; returns who goes on."""
    c = tile * layout.N_CONTROLS
    controls = tiles.controls
    nothing = broadcast(F, np.nan)
    broken = active & ~(loss < np.inf)
    _leave(F, tiles, tile, results, broken, layout.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    if plan.rules:
        reached = (loss <= load(F, controls, c + layout.TARGET_LOSS)) | (
            accuracy >= load(F, controls, c + layout.TARGET_ACCURACY)
        )
        reached = active & reached
        _leave(F, tiles, tile, results, reached, layout.REACHED_TARGET, epoch, loss, accuracy, lanes)
        active = active & ~reached
        best = load(F, controls, c + layout.BEST_LOSS)
        improved = (loss < best) & (loss <= best - load(F, controls, c + layout.TOLERANCE))
        waited = select(improved, 0.0, load(F, controls, c + layout.WAITED) + 1.0)
        store(controls, c + layout.WAITED, waited)
        store(controls, c + layout.BEST_LOSS, select(loss < best, loss, best))
        if epoch < last_epoch:
            stalled = active & (waited >= load(F, controls, c + layout.PATIENCE))
            _leave(F, tiles, tile, results, stalled, layout.STALLED, epoch, loss, accuracy, lanes)
            active = active & ~stalled
    if epoch == last_epoch:
        _leave(F, tiles, tile, results, active, layout.RAN_ALL_EPOCHS, epoch, loss, accuracy, lanes)
        active = active & ~active
    return active


# ------------------------------------------------------------------------------------------------ the kernel


@kernel
def train_tiles(Blk, F, net, data, plan, tiles, results, orders, first_epoch, stop_epoch, last_epoch, scratch, halt):
    """Train every tile from `first_epoch` up to `stop_epoch`; when that is `last_epoch`, measure and finish.

    The rules look at the weights as they stand between epochs. With the full batch this costs no extra pass, because
    the epoch's own forward pass yields the loss before its update; with minibatches it is one more forward pass.
    `orders` (epochs, S) holds the shuffled sample numbers from `first_epoch` on. When another thread makes `halt` (1,)
    true, the kernel returns after the block that it is at, with every weight as the last update left it. What the
    results say of a net that still trains holds if training ends here.
    """
    n, B = data.n_samples, ratio(Blk, F)
    n_in, n_out = net.sizes[0], net.sizes[net.n_layers]
    full_batch = plan.batch_size >= n
    fusing = plan.method == Method.SGD and not plan.has_l2 and not plan.has_momentum
    small = is_small(Blk, F, net, data, plan)
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    for tile in range(tiles.n_tiles):
        base, h = tile * tiles.n_rows, tile * formulas.N_HYPERPARAMETERS
        slope = load(F, tiles.hyper, h + formulas.LEAKY_SLOPE)
        learning_rate = load(F, tiles.hyper, h + formulas.LEARNING_RATE)
        active = load(F, tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE) != 0.0
        scale = broadcast(Blk, 0.0)
        if small:
            weights = _block_weights(Blk, F, data, tiles, tile, orders, -1, 0, n, scratch)
            scale = weights * repeat(Blk, _inverse(plan, _weight_sum(F, data, tiles, tile, orders, -1, 0, n)))
        epoch, cut_short = first_epoch - 1, False
        while not cut_short:
            epoch += 1
            if small and any_lane(active):
                epoch += train_small(
                    Blk, F, net, data, plan, tiles, tile, base, learning_rate, scale, active, stop_epoch - epoch,
                    scratch, halt,
                )  # fmt: skip
            if epoch == stop_epoch + (stop_epoch == last_epoch) or not any_lane(active) or halt[0]:
                break
            training = epoch < last_epoch
            recording = plan.record_every > 0 and epoch % plan.record_every == 0
            measuring = plan.rules or recording or not training
            n_steps = 1 if full_batch or not training else (n + plan.batch_size - 1) // plan.batch_size
            for step in range(-1 if measuring and training and not full_batch else 0, n_steps):
                whole = full_batch or step < 0 or not training
                measure, learn = measuring and whole, training and step >= 0
                start = 0 if whole else step * plan.batch_size
                stop = n if whole else min(n, start + plan.batch_size)
                order = (epoch - first_epoch) * n if plan.shuffle and not whole else -1
                weight_sum = _weight_sum(F, data, tiles, tile, orders, order, start, stop)
                inverse = _inverse(plan, weight_sum)
                loss_sum, right_sum, probe = zero, zero, zero
                for position in range(start, stop, B):
                    if halt[0]:
                        learn, cut_short = False, True
                        break
                    count, last = min(B, stop - position), position + B >= stop
                    inputs, targets = data.blocked_inputs, data.blocked_targets
                    first_input, first_target = position * n_in, position * n_out
                    if not whole:
                        _gather(data, orders, order, position, count, B, n_in, n_out, scratch)
                        inputs, targets = scratch.inputs, scratch.targets
                        first_input, first_target = 0, 0
                    weights = _block_weights(Blk, F, data, tiles, tile, orders, order, position, count, scratch)
                    forward(Blk, F, net, tiles.rows, base, inputs, first_input, slope, scratch.units)
                    greatest, log_sum = outputs_of(Blk, net, scratch.units, scratch.deltas)
                    if measure:
                        losses, right = _losses(
                            Blk, F, net, scratch.units, targets, first_target, scratch.deltas, greatest, log_sum
                        )
                        loss_sum = fold_fma(loss_sum, weights, losses, count)
                        right_sum = fold_add(right_sum, right, count)
                        if last:
                            loss = loss_sum / weight_sum * plan.loss_scale
                            accuracy = right_sum / n if plan.counts_accuracy else nothing
                            if recording:
                                _record(
                                    F, tiles, tile, results, active, loss, epoch // plan.record_every, scratch.lanes
                                )
                            if plan.rules or not training:
                                active = _apply_rules(
                                    F, plan, tiles, tile, results, active, loss, accuracy, epoch, last_epoch,
                                    scratch.lanes,
                                )  # fmt: skip
                    if learn:
                        scale = weights * repeat(Blk, inverse)
                        probe = _output_deltas(Blk, F, net, targets, first_target, scale, scratch.deltas, probe)
                        if last:
                            broken = active & ~(probe == 0.0)
                            _leave(
                                F, tiles, tile, results, broken, layout.DIVERGED, epoch, nothing, nothing, scratch.lanes
                            )
                            active = active & ~broken
                        _backward(
                            Blk, F, net, tiles.rows, base, inputs, first_input, count, slope, scratch.units,
                            scratch.deltas, position == start, fusing and last, active, learning_rate,
                        )  # fmt: skip
                if cut_short:
                    break
                if learn and not fusing:
                    if plan.method == Method.ADAM:
                        advance_powers(F, plan, tiles, tile, scratch.corrections)
                    update(F, net, plan, tiles, tile, active, scratch.corrections)
        _leave(F, tiles, tile, results, active, layout.INTERRUPTED, epoch, nothing, nothing, scratch.lanes)
        store(tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE, select(active, broadcast(F, 1.0), 0.0))


@kernel
def predict_tiles(Blk, F, net, data, tiles, predictions, scratch):
    """Write the outputs of every net for every sample to `predictions` (n, S, n_out)."""
    n, B, width = data.n_samples, ratio(Blk, F), tiles.width
    n_in, n_out, here = net.sizes[0], net.sizes[net.n_layers], net.unit_rows[net.n_layers]
    for tile in range(tiles.n_tiles):
        base = tile * tiles.n_rows
        slope = load(F, tiles.hyper, tile * formulas.N_HYPERPARAMETERS + formulas.LEAKY_SLOPE)
        for position in range(0, n, B):
            forward(Blk, F, net, tiles.rows, base, data.blocked_inputs, position * n_in, slope, scratch.units)
            outputs_of(Blk, net, scratch.units, scratch.deltas)
            for lane in range(width):
                slot = tiles.slots[tile * width + lane]
                if slot >= 0:
                    for s in range(min(B, n - position)):
                        for k in range(n_out):
                            output = scratch.deltas[((here + k) * B + s) * width + lane]
                            predictions[(slot * n + position + s) * n_out + k] = output
