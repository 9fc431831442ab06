"""The lanes kernel: one net a lane, a tile of nets trained at once while it sits in cache.

It knows nothing of what the user wrote down. Samples are worked on in chunks, whose outputs and gradients at every unit
stay in the thread's scratch memory. Symbols are those of `_layout`, the kinds of vectors those of `_passes`.
"""

import numpy as np

from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
from fastmlp._formulas import Method
from fastmlp._jit import kernel
from fastmlp._outputs import losses_of, output_deltas, outputs_of
from fastmlp._passes import backward, forward
from fastmlp._rules import apply_rules, leave, record_losses
from fastmlp._samples import block_weights, choose_samples, inverse_of, weight_sum_of
from fastmlp._simd import any_lane, broadcast, fold_add, fold_fma, load, ratio, repeat, select, store
from fastmlp._update import advance_powers


@kernel
def train_tiles(
    Patch, Line, Column, Units, Blk, F, net, data, plan, tiles, results, orders, first_epoch, stop_epoch, last_epoch,
    scratch, halt,
):  # fmt: skip
    """Train every tile from `first_epoch` up to `stop_epoch`; when that is `last_epoch`, measure and finish.

    The rules look at the weights as they stand between epochs. With the full batch this costs no extra pass, because
    the epoch's own forward pass yields the loss before its update; with minibatches it is one more forward pass.
    `orders` (epochs, S) holds the shuffled sample numbers from `first_epoch` on. When another thread makes `halt` (1,)
    true, the kernel returns after the chunk that it is at, with every weight as the last update left it. What the
    results say of a net that still trains holds if training ends here.
    """
    n, B, filled = data.n_samples, ratio(Blk, F), ratio(Units, F)
    samples, units, deltas = scratch.samples, scratch.units, scratch.deltas
    full_batch = plan.batch_size >= n
    chosen = False  # whether `samples` holds all of them
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    for tile in range(tiles.n_tiles):
        base, h = tile * tiles.n_rows, tile * formulas.N_HYPERPARAMETERS
        slope = load(F, tiles.hyper, h + formulas.LEAKY_SLOPE)
        active = load(F, tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE) != 0.0
        epoch, cut_short = first_epoch - 1, False
        while not cut_short:
            epoch += 1
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
                weight_sum = weight_sum_of(F, data, tiles, tile, orders, order, start, stop)
                inverse = inverse_of(plan, weight_sum)
                loss_sum, right_sum, probe = zero, zero, zero
                if learn and plan.method == Method.ADAM:
                    advance_powers(F, plan, tiles, tile, scratch.corrections)
                for first in range(start, stop, scratch.capacity):
                    if halt[0]:
                        learn, cut_short = False, True
                        break
                    count, last = min(scratch.capacity, stop - first), first + scratch.capacity >= stop
                    if not whole or n > scratch.capacity or not chosen:
                        choose_samples(orders, order, first, count, (count + filled - 1) & -filled, samples)
                        chosen = whole
                    forward(Units, Blk, F, net, tiles.rows, base, data, samples, count, slope, units)
                    for s in range(0, count, B):
                        row = s * net.n_unit_rows + net.unit_rows[net.n_layers]
                        weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
                        greatest, log_sum = outputs_of(Blk, F, net, units, deltas, row, 1, net.n_unit_rows)
                        if measure:
                            losses, right = losses_of(
                                Blk, F, net, data, samples, s, units, deltas, row, 1, net.n_unit_rows, greatest, log_sum
                            )
                            loss_sum = fold_fma(loss_sum, weights, losses, min(B, count - s))
                            right_sum = fold_add(right_sum, right, min(B, count - s))
                        if learn:
                            scale = weights * repeat(Blk, inverse)
                            probe = output_deltas(
                                Blk, F, net, data, samples, s, scale, deltas, row, 1, net.n_unit_rows, probe
                            )
                    if measure and last:
                        loss = loss_sum / weight_sum * plan.loss_scale
                        accuracy = right_sum / n if plan.counts_accuracy else nothing
                        if recording:
                            record = epoch // plan.record_every
                            record_losses(F, tiles, tile, results, active, loss, record, scratch.lanes)
                        if plan.rules or not training:
                            active = apply_rules(
                                F, plan, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, scratch.lanes
                            )
                    if learn:
                        if last:
                            broken = active & ~(probe == 0.0)
                            leave(
                                F, tiles, tile, results, broken, layout.DIVERGED, epoch, nothing, nothing, scratch.lanes
                            )
                            active = active & ~broken
                        backward(
                            Patch, Line, Column, Units, Blk, F, net, plan, tiles, tile, data, scratch, count, slope,
                            first == start, last, active,
                        )  # fmt: skip
                if cut_short:
                    break
        leave(F, tiles, tile, results, active, layout.INTERRUPTED, epoch, nothing, nothing, scratch.lanes)
        store(tiles.controls, tile * layout.N_CONTROLS + layout.ACTIVE, select(active, broadcast(F, 1.0), 0.0))


@kernel
def predict_tiles(Units, Blk, F, net, data, tiles, predictions, scratch):
    """Write the outputs of every net for every sample to `predictions` (n, S, n_out)."""
    n, B, width, filled = data.n_samples, ratio(Blk, F), tiles.width, ratio(Units, F)
    samples, n_out, here = scratch.samples, net.sizes[net.n_layers], net.unit_rows[net.n_layers]
    for tile in range(tiles.n_tiles):
        base = tile * tiles.n_rows
        slope = load(F, tiles.hyper, tile * formulas.N_HYPERPARAMETERS + formulas.LEAKY_SLOPE)
        for first in range(0, n, scratch.capacity):
            count = min(scratch.capacity, n - first)
            choose_samples(scratch.samples, -1, first, count, (count + filled - 1) & -filled, samples)
            forward(Units, Blk, F, net, tiles.rows, base, data, samples, count, slope, scratch.units)
            for s in range(0, count, B):
                row = s * net.n_unit_rows + here
                outputs_of(Blk, F, net, scratch.units, scratch.deltas, row, 1, net.n_unit_rows)
            for lane in range(width):
                slot = tiles.slots[tile * width + lane]
                if slot >= 0:
                    for s in range(count):
                        for k in range(n_out):
                            output = scratch.deltas[(s * net.n_unit_rows + here + k) * width + lane]
                            predictions[(slot * n + first + s) * n_out + k] = output
