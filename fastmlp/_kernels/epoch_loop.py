"""The lanes kernel: one net a lane, a tile of nets trained at once while it sits in cache.

It knows nothing of what the user wrote down. Samples are worked on in chunks, whose outputs and gradients at every unit
stay in the thread's scratch memory. Symbols are those of `structs`, the kinds of vectors those of `lanes`.
"""

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.barrier import halted
from fastmlp._kernels.dispatch import backward, draw_masks, forward, squared_norm
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.optimizer_step import advance_powers, set_l2, set_rate
from fastmlp._kernels.output_layer import knows_bound, least_losses_of, output_deltas, outputs_and_losses
from fastmlp._kernels.samples import block_weights, choose_samples, inverse_of, weight_sum_of
from fastmlp._kernels.stopping import (
    MOST_WITHIN_MARGIN,
    apply_rules,
    confirm,
    empty_lanes,
    judge_minibatches,
    nets_in_training,
    record_losses,
    retire,
    target_in_doubt,
)
from fastmlp._kernels.sums import add_compensated
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, fold_compensated, fold_fma, ratio, repeat, select
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, store

EPOCHS_IN_DOUBT = 8  # once a bound has left a target in doubt, losses are worked out for so many epochs


@inline
def _train_tile(kinds, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt):
    """Train one tile from epoch `begin` to `end`; returns whether it was cut short."""
    _, _, _, Units, Blk, _ = kinds
    n, B, filled = data.n_samples, ratio(Blk, F), ratio(Units, F)
    samples, units, outputs = scratch.samples, scratch.units, scratch.outputs
    unit_step, out_row = net.n_unit_rows, net.unit_rows[net.n_layers]
    full_batch, last_epoch = flags.full_batch, epochs.last
    chosen = False  # whether `samples` holds all of them
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    base, h = tile * tiles.n_rows, tile * optimizers.N_HYPERPARAMETERS
    slope = load(F, tiles.hyper, h + optimizers.LEAKY_SLOPE)
    active = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE) != 0.0
    suspects, empty = active & ~active, empty_lanes(F, tiles, tile, scratch.lanes)
    epoch, cut_short, exact_until = begin - 1, False, 0
    while not cut_short:
        epoch += 1
        if epoch == end + (end == last_epoch) or not any_lane(active):
            break
        training = epoch < last_epoch
        due = flags.record_every > 0 and (epoch - epochs.begin) % flags.record_every == 0
        recording = due and not flags.sklearn
        minibatches = training and not full_batch
        judging = (flags.rules or flags.sklearn) and minibatches
        if training:
            set_rate(F, flags, tiles, tile, epochs.rate_factors[epoch - epochs.first])
        measuring = flags.rules or recording or not training
        # the loss need not be known as long as a bound of it shows that the target is not reached
        cautious = knows_bound(net, flags) and full_batch and training and not recording
        cautious = cautious and n <= MOST_WITHIN_MARGIN and epoch >= exact_until
        n_steps = (n + flags.batch_size - 1) // flags.batch_size if minibatches else 1
        mean_loss, mean_rest, norm = zero, zero, zero
        # of all samples that were measured: their weight, and that of those on the right side
        seen, seen_rest, all_right, all_right_rest = zero, zero, zero, zero
        for step in range(-1 if recording and minibatches else 0, n_steps + judging):
            confirming = judging and step == n_steps
            if confirming and not any_lane(suspects):
                break
            whole = not minibatches or step < 0 or confirming
            measure, learn = judging or (measuring and whole), training and 0 <= step < n_steps
            start = 0 if whole else step * flags.batch_size
            stop = n if whole else min(n, start + flags.batch_size)
            number = epoch - epochs.first
            if flags.order_by_net:
                number += tile * (epochs.stop - epochs.first)
            order = number * n if flags.shuffle and not whole else -1
            weight_sum = weight_sum_of(F, data, tiles, tile, epochs.orders, order, start, stop)
            inverse = inverse_of(flags, weight_sum)
            loss_sum, loss_rest, right_sum, right_rest, least, probe = zero, zero, zero, zero, zero, zero
            if whole or step == 0:
                mean_loss, mean_rest = zero, zero
                seen, seen_rest, all_right, all_right_rest = zero, zero, zero, zero
            if learn:
                set_l2(F, flags, tiles, tile, weight_sum)
                if flags.method == Method.ADAM:
                    advance_powers(F, flags, tiles, tile, active, scratch)
            first, in_doubt = start, False
            while first < stop:
                if halted(scratch, halt):
                    learn, cut_short = False, True
                    break
                count, last = min(scratch.capacity, stop - first), first + scratch.capacity >= stop
                if judging and flags.sklearn and flags.has_l2 and first == start:
                    # here no member of a team has taken its step yet
                    norm = squared_norm(kinds, F, net, tiles.rows, base, scratch)
                if not whole or n > scratch.capacity or not chosen:
                    choose_samples(epochs.orders, order, first, count, (count + filled - 1) & -filled, samples)
                    chosen = whole
                dropping = flags.dropping and learn
                if dropping:
                    key = epochs.keys[epoch - epochs.first]
                    draw_masks(kinds, F, net, tiles, tile, key, samples, count, scratch)
                forward(kinds, F, net, tiles.rows, base, data, samples, count, slope, scratch, dropping)
                exact = measure and (in_doubt or not cautious)
                for s in range(0, count, B):
                    row, within = s * unit_step + out_row, min(B, count - s)
                    losses, right = outputs_and_losses(
                        Blk, F, net, data, samples, s, units, outputs, row, 1, unit_step, exact,
                        flags.counts_accuracy,
                    )  # fmt: skip
                    weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
                    if exact:
                        loss_sum, loss_rest = fold_compensated(loss_sum, loss_rest, weights * losses, within)
                        if flags.counts_accuracy:
                            right_sum, right_rest = fold_compensated(right_sum, right_rest, weights * right, within)
                    elif cautious:
                        bounds = least_losses_of(Blk, F, net, data, samples, s, units, outputs, row, 1, unit_step)
                        least = fold_fma(least, weights, bounds, within)
                if cautious and last and not in_doubt:
                    in_doubt = target_in_doubt(F, flags, tiles, tile, active, least / weight_sum * flags.loss_scale)
                    if in_doubt:  # once more over all samples
                        first, exact_until = start, epoch + EPOCHS_IN_DOUBT
                        continue
                if exact and last:
                    loss = loss_sum / weight_sum * flags.loss_scale
                    if flags.counts_accuracy:
                        seen, seen_rest = add_compensated(seen, seen_rest, weight_sum)
                        all_right, all_right_rest = add_compensated(all_right, all_right_rest, right_sum)
                    if not whole:
                        loss = select(weight_sum > 0.0, loss, 0.0)
                        loss = fma(0.5 * load(F, tiles.hyper, h + optimizers.L2), norm, loss)
                        mean_loss, mean_rest = add_compensated(
                            mean_loss, mean_rest, broadcast(F, (stop - start) / n) * loss
                        )
                if exact and last and (whole or step == n_steps - 1):
                    accuracy = nothing
                    if flags.counts_accuracy:
                        accuracy = all_right / seen
                    if confirming:
                        trained = active
                        active = confirm(
                            F, tiles, tile, results, active, suspects, loss, accuracy, epoch + 1, scratch.lanes
                        )
                        next_epoch = epoch + 1 - epochs.begin
                        if flags.record_every > 0 and next_epoch % flags.record_every == 0 and not flags.sklearn:
                            record = next_epoch // flags.record_every  # those that stop here see no other pass
                            record_losses(F, tiles, tile, results, trained & ~active, loss, record, scratch.lanes)
                    elif not whole:
                        active, suspects = judge_minibatches(
                            F, flags, tiles, tile, results, active, mean_loss, accuracy, epoch, scratch.lanes
                        )
                        if due and flags.sklearn:
                            record = (epoch - epochs.begin) // flags.record_every
                            record_losses(F, tiles, tile, results, active, mean_loss, record, scratch.lanes)
                    else:
                        if recording:
                            record = (epoch - epochs.begin) // flags.record_every
                            record_losses(F, tiles, tile, results, active, loss, record, scratch.lanes)
                        if not minibatches and (flags.rules or not training):
                            active = apply_rules(
                                F, flags, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, full_batch,
                                scratch.lanes,
                            )  # fmt: skip
                if learn and (last or not in_doubt):
                    for s in range(0, count, B):
                        weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
                        scale = weights * repeat(Blk, inverse)
                        row = s * unit_step + out_row
                        probe = output_deltas(
                            Blk, F, net, data, samples, s, scale, outputs, row, 1, unit_step, probe,
                            min(B, count - s),
                        )  # fmt: skip
                    if last:
                        broken = active & ~(probe == 0.0)
                        retire(
                            F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, scratch.lanes
                        )
                        active = active & ~broken
                    backward(
                        kinds, F, net, flags, tiles, tile, data, scratch, count, slope,
                        first == start, last, active | empty,
                    )  # fmt: skip
                first += scratch.capacity
            if cut_short:
                break
    retire(F, tiles, tile, results, active, structs.INTERRUPTED, epoch, nothing, nothing, scratch.lanes)
    store(tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE, select(active, broadcast(F, 1.0), 0.0))
    return cut_short


@kernel
def train_tiles(kinds, F, net, data, flags, tiles, results, epochs, scratch, halt):
    """Train every tile for a slice of epochs; when that is the last one, measure and finish.

    Returns up to which epoch: `epochs.stop`, or the end of a stride after which fewer than `epochs.fewest` nets train.

    With the full batch the rules look at the weights as they stand between epochs: the epoch's own forward pass yields
    the loss before its update. With minibatches they look at the mean of the losses that the epoch's minibatches had,
    each before its update; where that says that a net reached its target or stalled, its weights are measured in one
    more forward pass, and only a target that they reach counts. With dropout, and by scikit-learn's conventions, the
    full batch is a minibatch too; by the latter those losses have L2's part in them, and they are what is recorded.
    When another thread makes `halt` (1,) true, the kernel returns after the chunk that it is at, with every weight as
    the last update left it, and with no meaning in what it returns. What the results say of a net that still trains
    holds if training ends here.
    """
    end, cut_short = epochs.first, False
    while True:
        begin, end = end, min(end + epochs.stride, epochs.stop)
        for tile in range(tiles.n_tiles):
            if _train_tile(kinds, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt):
                cut_short = True
        if cut_short or end == epochs.stop or nets_in_training(F, tiles, scratch.lanes) < epochs.fewest:
            return end
