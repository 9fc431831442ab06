"""The loop over epochs of both kernels: the passes of an epoch, and the decisions after each.

It knows nothing of users' settings. Samples are processed in chunks, whose outputs and gradients at every unit stay in
the thread's scratch memory. Symbols are those of `structs`, the kinds of vectors those of `lanes`.

An epoch of the full batch is one pass, which computes the loss and makes the update. An epoch of minibatches has one
pass for each of them. A pass before them records the loss if that is due; a pass after them confirms what the rules
concluded from the minibatches' losses. After the last epoch a final pass computes the loss.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.barrier import halted
from fastmlp._kernels.dispatch import backward, draw_masks, forward, squared_norm
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.optimizer_step import advance_powers, set_l2, set_rate
from fastmlp._kernels.output_layer import knows_bound, least_losses_of, output_deltas, outputs_and_losses
from fastmlp._kernels.own_samples import begin_pass, ending_of, fold_samples, most_samples, taking_part
from fastmlp._kernels.samples import block_weights, choose_chunk, inverse_of, weight_sum_of
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
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, fold_fma, ratio, repeat, select
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, store

EPOCHS_IN_DOUBT = 8  # epochs of exact losses after a bound could not rule out that a target is reached


class Epoch(NamedTuple):
    """The tasks of an epoch."""

    number: int
    training: bool  # whether to make updates; False after the last epoch
    minibatches: bool  # whether the epoch has minibatches, or treats the full batch as one
    due: bool  # whether to record losses in this epoch
    recording: bool  # whether a pass before the minibatches records them
    judging: bool  # whether the rules use the minibatches' losses
    measuring: bool  # whether a pass over all samples computes losses
    cautious: bool  # whether a lower bound of the loss can replace them
    n_steps: int  # number of minibatches


class Pass(NamedTuple):
    """A pass over some of the samples."""

    whole: bool  # whether over all samples, unshuffled
    measure: bool  # whether it computes losses
    learn: bool  # whether it makes an update
    first: bool  # whether it is the epoch's first minibatch
    last: bool  # whether it is the epoch's last minibatch
    confirming: bool
    start: int
    stop: int
    order: int  # position in `epochs.orders` of the order of samples, or of each net's own; −1 for unshuffled


class Sums(NamedTuple):
    """Sums over the samples of a pass for each net, each with its compensation (see `sums`)."""

    loss: Any
    loss_rest: Any
    right: Any
    right_rest: Any
    least: Any  # sum of lower bounds of the loss


class Means(NamedTuple):
    """Sums over the minibatches of an epoch."""

    loss: Any
    loss_rest: Any
    seen: Any  # weight of the measured samples
    seen_rest: Any
    right: Any  # weight of those on the right side
    right_rest: Any


@inline
def _epoch(net, data, flags, epochs, number, exact_until, n_samples):
    training = number < epochs.last
    due = flags.record_every > 0 and (number - epochs.begin) % flags.record_every == 0
    recording = due and not flags.sklearn
    minibatches = training and not flags.full_batch
    # the loss is not needed while a bound shows that the target is not reached
    cautious = knows_bound(net, flags) and flags.full_batch and training and not recording
    cautious = cautious and n_samples <= MOST_WITHIN_MARGIN and number >= exact_until and not data.by_net
    n_steps = (n_samples + flags.batch_size - 1) // flags.batch_size if minibatches else 1
    judging = (flags.rules or flags.sklearn) and minibatches
    measuring = flags.rules or recording or not training
    return Epoch(number, training, minibatches, due, recording, judging, measuring, cautious, n_steps)


@inline
def _pass(data, flags, tile, epochs, epoch, step, n):
    """Pass number `step` of an epoch: −1 records, `n_steps` confirms, others are minibatches or the full batch."""
    confirming = epoch.judging and step == epoch.n_steps
    whole = not epoch.minibatches or step < 0 or confirming
    start = 0 if whole else step * flags.batch_size
    stop = n if whole else min(n, start + flags.batch_size)
    number = epoch.number - epochs.first
    if data.by_net:
        order = number if flags.shuffle and not whole else -1
    else:
        if flags.order_by_net:
            number += tile * (epochs.stop - epochs.first)
        order = number * n if flags.shuffle and not whole else -1
    measure, learn = epoch.judging or (epoch.measuring and whole), epoch.training and 0 <= step < epoch.n_steps
    return Pass(whole, measure, learn, step == 0, step == epoch.n_steps - 1, confirming, start, stop, order)


@inline
def _sum_losses(Blk, F, net, data, flags, tiles, tile, count, scratch, exact, cautious, sums):
    """Compute a chunk's outputs from their weighted sums, and add up their losses, or bounds of these."""
    unit_step, out_row, B = net.n_unit_rows, net.unit_rows[net.n_layers], ratio(Blk, F)
    samples, units, outputs = scratch.samples, scratch.units, scratch.outputs
    loss, loss_rest, right_sum, right_rest, least = sums
    for s in range(0, count, B):
        row, within = s * unit_step + out_row, min(B, count - s)
        losses, right = outputs_and_losses(
            Blk, F, net, data, samples, s, units, outputs, row, 1, unit_step, exact, flags.counts_accuracy
        )
        weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
        if exact:
            loss, loss_rest = fold_samples(F, data, loss, loss_rest, weights * losses, s, within)
            if flags.counts_accuracy:
                right_sum, right_rest = fold_samples(F, data, right_sum, right_rest, weights * right, s, within)
        elif cautious:
            bounds = least_losses_of(Blk, F, net, data, samples, s, units, outputs, row, 1, unit_step)
            least = fold_fma(least, weights, bounds, within)
    return Sums(loss, loss_rest, right_sum, right_rest, least)


@inline
def _output_deltas(Blk, F, net, data, tiles, tile, count, scratch, inverse, probe):
    """Compute gradients by the weighted sums of a chunk's outputs; returns the probe for non-finite gradients."""
    for s in range(0, count, ratio(Blk, F)):
        weights = block_weights(Blk, F, data, tiles, tile, scratch.samples, s, scratch)
        scale, row = weights * repeat(Blk, inverse), s * net.n_unit_rows + net.unit_rows[net.n_layers]
        within = min(ratio(Blk, F), count - s)
        probe = output_deltas(
            Blk, F, net, data, scratch.samples, s, scale, scratch.outputs, row, 1, net.n_unit_rows, probe, within
        )
    return probe


@inline
def _add_to_means(F, data, flags, tiles, tile, part, loss, right, weight_sum, norm, means):
    """Add a pass to the epoch's means; returns its loss, which for a minibatch includes the L2 term, and the means."""
    mean, mean_rest, seen, seen_rest, all_right, all_right_rest = before = means
    if flags.counts_accuracy:
        seen, seen_rest = add_compensated(seen, seen_rest, weight_sum)
        all_right, all_right_rest = add_compensated(all_right, all_right_rest, right)
    if not part.whole:
        loss = select(weight_sum > 0.0, loss, 0.0)
        l2 = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.L2)
        loss = fma(0.5 * l2, norm, loss)
        mean, mean_rest = add_compensated(mean, mean_rest, _share_of(F, data, part) * loss)
    means = Means(mean, mean_rest, seen, seen_rest, all_right, all_right_rest)
    return loss, _means_of(F, data, means, before)


@inline
def _share_of(F, data, part):
    """The share of a net's samples that are in this minibatch."""
    if data.by_net:
        return load(F, data.chunk.counts, structs.IN_PASS) / load(F, data.chunk.counts, structs.OF_NET)
    return broadcast(F, (part.stop - part.start) / data.n_samples)


@inline
def _means_of(F, data, means, before):
    """`means`, or those `before` of nets without samples in this minibatch."""
    if data.by_net:
        here = load(F, data.chunk.counts, structs.IN_PASS) > 0.0
        return Means(
            select(here, means.loss, before.loss),
            select(here, means.loss_rest, before.loss_rest),
            select(here, means.seen, before.seen),
            select(here, means.seen_rest, before.seen_rest),
            select(here, means.right, before.right),
            select(here, means.right_rest, before.right_rest),
        )
    return means


@inline
def _apply_rules(F, flags, tiles, tile, results, epochs, epoch, part, scratch, active, suspects, loss, means):
    """Apply the rules to the losses of a pass over all samples, or of the last minibatch.

    Returns the masks of the nets that continue, and of the suspects, which may have to stop.
    """
    accuracy = broadcast(F, np.nan)
    if flags.counts_accuracy:
        accuracy = means.right / means.seen
    record = (epoch.number - epochs.begin) // flags.record_every if flags.record_every > 0 else 0
    if part.confirming:
        trained = active
        active = confirm(F, tiles, tile, results, active, suspects, loss, accuracy, epoch.number + 1, scratch.lanes)
        following = epoch.number + 1 - epochs.begin
        if flags.record_every > 0 and following % flags.record_every == 0 and not flags.sklearn:
            record = following // flags.record_every  # nets that stop here have no further pass
            record_losses(F, tiles, tile, results, trained & ~active, loss, record, scratch.lanes)
    elif not part.whole:
        active, suspects = judge_minibatches(
            F, flags, tiles, tile, results, active, means.loss, accuracy, epoch.number, scratch.lanes
        )
        if epoch.due and flags.sklearn:
            record_losses(F, tiles, tile, results, active, means.loss, record, scratch.lanes)
    else:
        if epoch.recording:
            record_losses(F, tiles, tile, results, active, loss, record, scratch.lanes)
        if not epoch.minibatches and (flags.rules or not epoch.training):
            active = apply_rules(
                F,
                flags,
                tiles,
                tile,
                results,
                active,
                loss,
                accuracy,
                epoch.number,
                epochs.last,
                flags.full_batch,
                scratch.lanes,
            )
    return active, suspects


@inline
def _run_pass(
    kinds,
    F,
    net,
    data,
    flags,
    tiles,
    tile,
    results,
    epochs,
    epoch,
    part,
    scratch,
    halt,
    active,
    suspects,
    empty,
    means,
    chosen,
    exact_until,
    n_samples,
):
    """One pass over some of the samples, chunk by chunk: forward, measure, backward, update.

    Returns the masks of the nets that continue and of the suspects, the means, whether `samples` holds all samples, the
    epoch up to which losses must be exact, and whether a halt ended the pass.
    """
    Units, Blk = kinds.Units, kinds.Blk
    filled, capacity, base = ratio(Units, F), scratch.capacity, tile * tiles.n_rows
    zero, nothing, cut_short = broadcast(F, 0.0), broadcast(F, np.nan), False
    slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
    if data.by_net:
        begin_pass(data, tiles, tile, part.start, part.stop)
    weight_sum = weight_sum_of(F, data, tiles, tile, epochs.orders, part.order, part.start, part.stop, scratch.lanes)
    inverse = inverse_of(flags, weight_sum)
    sums, probe, norm = Sums(zero, zero, zero, zero, zero), zero, zero
    if part.whole or part.first:
        means = Means(zero, zero, zero, zero, zero, zero)
    if part.learn:
        set_l2(F, flags, tiles, tile, weight_sum)
        if flags.method == Method.ADAM:
            advance_powers(F, flags, tiles, tile, taking_part(F, data, active), scratch)
    first, in_doubt = part.start, False
    while first < part.stop:
        if halted(scratch, halt):
            cut_short = True
            break
        count, last = min(capacity, part.stop - first), first + capacity >= part.stop
        if epoch.judging and flags.sklearn and flags.has_l2 and first == part.start:
            # no member of a team has made its step here
            norm = squared_norm(kinds, F, net, tiles.rows, base, scratch)
        if not part.whole or n_samples > capacity or not chosen:
            n_filled = (count + filled - 1) & -filled
            choose_chunk(
                F, net, data, tiles, tile, epochs.orders, part.order, part.stop, first, count, n_filled, scratch.samples
            )
            chosen = part.whole
        dropping = flags.dropping and part.learn
        if dropping:
            key = epochs.keys[epoch.number - epochs.first]
            draw_masks(kinds, F, net, data, tiles, tile, key, scratch.samples, count, scratch)
        forward(kinds, F, net, tiles.rows, base, data, scratch.samples, count, slope, scratch, dropping)
        exact = part.measure and (in_doubt or not epoch.cautious)
        sums = _sum_losses(Blk, F, net, data, flags, tiles, tile, count, scratch, exact, epoch.cautious, sums)
        if epoch.cautious and last and not in_doubt:
            in_doubt = target_in_doubt(F, flags, tiles, tile, active, sums.least / weight_sum * flags.loss_scale)
            if in_doubt:  # a second time over all samples
                first, exact_until = part.start, epoch.number + EPOCHS_IN_DOUBT
                continue
        if exact and last:
            loss = sums.loss / weight_sum * flags.loss_scale
            loss, means = _add_to_means(F, data, flags, tiles, tile, part, loss, sums.right, weight_sum, norm, means)
            if data.by_net:
                if part.first:
                    suspects = suspects & ~suspects
                judged = active
                if not part.whole:
                    judged = ending_of(F, data, active)
                if any_lane(judged):
                    going_on, doubtful = _apply_rules(
                        F, flags, tiles, tile, results, epochs, epoch, part, scratch, judged, suspects, loss, means
                    )
                    active = (active & ~judged) | going_on
                    suspects = suspects | doubtful
            elif part.whole or part.last:
                active, suspects = _apply_rules(
                    F, flags, tiles, tile, results, epochs, epoch, part, scratch, active, suspects, loss, means
                )
        if part.learn and (last or not in_doubt):
            probe = _output_deltas(Blk, F, net, data, tiles, tile, count, scratch, inverse, probe)
            if last:
                broken = taking_part(F, data, active) & ~(probe == 0.0)
                retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch.number, nothing, nothing, scratch.lanes)
                active = active & ~broken
            backward(
                kinds,
                F,
                net,
                flags,
                tiles,
                tile,
                data,
                scratch,
                count,
                slope,
                first == part.start,
                last,
                taking_part(F, data, active) | empty,
            )
        first += capacity
    return active, suspects, means, chosen, exact_until, cut_short


@inline
def _train_tile(kinds, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt):
    """Train one tile from epoch `begin` to `end`; returns whether a halt ended it."""
    nothing, zero = broadcast(F, np.nan), broadcast(F, 0.0)
    active = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE) != 0.0
    suspects, empty = active & ~active, empty_lanes(F, tiles, tile, scratch.lanes)
    n_samples = most_samples(data, tiles, tile)
    number, cut_short, exact_until, chosen = begin - 1, False, 0, False
    means = Means(zero, zero, zero, zero, zero, zero)
    while not cut_short:
        number += 1
        if number == end + (end == epochs.last) or not any_lane(active):
            break
        epoch = _epoch(net, data, flags, epochs, number, exact_until, n_samples)
        if epoch.training:
            set_rate(F, flags, tiles, tile, epochs.rate_factors[number - epochs.first])
        for step in range(-1 if epoch.recording and epoch.minibatches else 0, epoch.n_steps + epoch.judging):
            if step == epoch.n_steps and not any_lane(suspects):
                break
            part = _pass(data, flags, tile, epochs, epoch, step, n_samples)
            active, suspects, means, chosen, exact_until, cut_short = _run_pass(
                kinds,
                F,
                net,
                data,
                flags,
                tiles,
                tile,
                results,
                epochs,
                epoch,
                part,
                scratch,
                halt,
                active,
                suspects,
                empty,
                means,
                chosen,
                exact_until,
                n_samples,
            )
            if cut_short:
                break
    retire(F, tiles, tile, results, active, structs.INTERRUPTED, number, nothing, nothing, scratch.lanes)
    store(tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE, select(active, broadcast(F, 1.0), 0.0))
    return cut_short


@kernel
def train_tiles(kinds, F, net, data, flags, tiles, results, epochs, scratch, halt):
    """Train every tile for a slice of epochs; after the last slice, measure and finish the nets.

    Returns the epoch after the last one trained: `epochs.stop`, or the end of a stride after which fewer than
    `epochs.fewest` nets still train.

    With the full batch, rules use the weights between epochs: an epoch's forward pass gives the loss before its update.
    With minibatches, rules use the mean of the minibatches' losses, each before its update. If by that a net has
    reached its target or stalled, one more forward pass measures its weights, and only a target that they reach counts.
    With dropout, and with scikit-learn's conventions, the full batch is treated as a minibatch; with the latter, losses
    include the L2 term and are the ones recorded. When another thread sets `halt` (1,), the kernel returns after the
    current chunk, with the weights of the last update, and its return value has no meaning. The results of a net that
    still trains are valid if training ends here.
    """
    end, cut_short = epochs.first, False
    while True:
        begin, end = end, min(end + epochs.stride, epochs.stop)
        for tile in range(tiles.n_tiles):
            if _train_tile(kinds, F, net, data, flags, tiles, tile, results, epochs, begin, end, scratch, halt):
                cut_short = True
        if cut_short or end == epochs.stop or nets_in_training(F, tiles, scratch.lanes) < epochs.fewest:
            return end
