"""The end of training for each net: the stopping rules, and the results of nets that finish.

It knows nothing of how nets are computed. Masks and vectors have one entry for each net of a tile; symbols are those of
`structs`.
"""

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._simd.arithmetic import any_lane, broadcast, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, store

# A lower bound of the loss above this multiple of the target, plus the rounding error of outputs near 1
# (`TrainFlags.loss_slack`), shows that the target is not reached
MARGIN = 1.001
# Rounding errors of two float32 sums over at most this many samples are less than the margin
MOST_WITHIN_MARGIN = 4096
LEAST_RATE = 1e-6  # an adaptive learning rate that is no greater is not lowered further


@inline
def empty_lanes(F, tiles, tile, lanes):
    """The mask of a tile's lanes without a net; steps may change them, but they are never read."""
    for lane in range(tiles.width):
        lanes[lane] = 1.0 if tiles.result_index[tile * tiles.width + lane] < 0 else 0.0
    return load(F, lanes, 0) != 0.0


@inline
def nets_in_training(F, tiles, lanes):
    """Number of nets of all tiles that still train."""
    total = broadcast(F, 0.0)
    for tile in range(tiles.n_tiles):
        total = total + load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE)
    store(lanes, 0, total)
    count = 0
    for lane in range(tiles.width):
        count += int(lanes[lane])
    return count


@inline
def retire(F, tiles, tile, results, leaving, status, epoch, loss, accuracy, lanes):
    """Record the status and epochs of the nets of the mask `leaving`."""
    if any_lane(leaving):
        width = tiles.width
        store(lanes, 0, select(leaving, broadcast(F, 1.0), 0.0))
        store(lanes, 1, loss)
        store(lanes, 2, accuracy)
        for lane in range(width):
            slot = tiles.result_index[tile * width + lane]
            if lanes[lane] != 0.0 and slot >= 0:
                results.status[slot] = status
                results.epochs[slot] = epoch
                results.loss[slot] = lanes[width + lane]
                results.accuracy[slot] = lanes[2 * width + lane]


@inline
def record_losses(F, tiles, tile, results, active, loss, record, lanes):
    """Record the losses of the active nets in their curves."""
    width = tiles.width
    store(lanes, 0, select(active, broadcast(F, 1.0), 0.0))
    store(lanes, 1, loss)
    for lane in range(width):
        slot = tiles.result_index[tile * width + lane]
        if lanes[lane] != 0.0 and slot >= 0:
            results.curve[slot * results.n_records + record] = lanes[width + lane]


@inline
def target_in_doubt(F, flags, tiles, tile, active, least_loss):
    """Whether a lower bound of the losses leaves open that an active net has reached its target, or diverged."""
    target = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.TARGET_LOSS)
    return any_lane(active & ~(least_loss > target * MARGIN + flags.loss_slack))


@inline
def _reached(F, tiles, tile, loss, accuracy):
    c = tile * structs.N_STOP_STATE
    return (loss <= load(F, tiles.stop_state, c + structs.TARGET_LOSS)) | (
        accuracy >= load(F, tiles.stop_state, c + structs.TARGET_ACCURACY)
    )


@inline
def _out_of_patience(F, flags, tiles, tile, active, loss):
    """Update the best losses and the waiting times; returns the mask of the nets that are out of patience.

    Values of nets that have stopped do not change. Without patience none do: which losses are computed then depends on
    a net's neighbours.
    """
    if not flags.waits:
        return active & ~active
    c = tile * structs.N_STOP_STATE
    stop_state = tiles.stop_state
    best = load(F, stop_state, c + structs.BEST_LOSS)
    improved = loss <= best - load(F, stop_state, c + structs.TOLERANCE)
    if not flags.sklearn:  # by scikit-learn's conventions an equal loss counts as improved if the tolerance is 0
        improved = improved & (loss < best)
    before = load(F, stop_state, c + structs.WAITED)
    waited = select(improved, 0.0, before + 1.0)
    store(stop_state, c + structs.BEST_LOSS, select(active & (loss < best), loss, best))
    stalled = waited >= load(F, stop_state, c + structs.PATIENCE)
    if flags.adaptive:
        given = tile * optimizers.N_HYPERPARAMETERS + optimizers.GIVEN_RATE
        rate = load(F, tiles.hyper, given)
        slower = active & stalled & (rate > LEAST_RATE)
        store(tiles.hyper, given, select(slower, rate / 5.0, rate))
        waited = select(slower, 0.0, waited)
        stalled = stalled & ~slower
    store(stop_state, c + structs.WAITED, select(active, waited, before))
    return active & stalled


@inline
def judge_minibatches(F, flags, tiles, tile, results, active, loss, accuracy, epoch, lanes):
    """Stop nets that diverged, by the means of an epoch's minibatches, each before its update.

    Returns the mask of the nets that continue, and that of the suspects, about which `confirm` decides.
    """
    nothing = broadcast(F, np.nan)
    broken = active & ~(loss < np.inf)
    retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    stalled = _out_of_patience(F, flags, tiles, tile, active, loss)
    return active, active & (_reached(F, tiles, tile, loss, accuracy) | stalled)


@inline
def confirm(F, tiles, tile, results, active, suspects, loss, accuracy, epoch, lanes):
    """Stop suspects that reached their target or ran out of patience, given the loss of their weights."""
    c = tile * structs.N_STOP_STATE
    broken = active & suspects & ~(loss < np.inf)
    nothing = broadcast(F, np.nan)
    retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    reached = active & suspects & _reached(F, tiles, tile, loss, accuracy)
    retire(F, tiles, tile, results, reached, structs.REACHED_TARGET, epoch, loss, accuracy, lanes)
    active = active & ~reached
    waited = load(F, tiles.stop_state, c + structs.WAITED)
    stalled = active & suspects & (waited >= load(F, tiles.stop_state, c + structs.PATIENCE))
    retire(F, tiles, tile, results, stalled, structs.STALLED, epoch, loss, accuracy, lanes)
    return active & ~stalled


@inline
def apply_rules(F, flags, tiles, tile, results, active, loss, accuracy, epoch, last_epoch, full_batch, lanes):
    """Stop nets that reached their target, stalled or diverged, and at the end all; returns those that continue.

    With minibatches it is only called at the end, after the rules have decided by the last epoch's minibatches.
    """
    nothing = broadcast(F, np.nan)
    broken = active & ~(loss < np.inf)
    retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    if flags.rules and full_batch:
        reached = active & _reached(F, tiles, tile, loss, accuracy)
        retire(F, tiles, tile, results, reached, structs.REACHED_TARGET, epoch, loss, accuracy, lanes)
        active = active & ~reached
        if epoch < last_epoch:  # a continued training counts this loss again
            stalled = _out_of_patience(F, flags, tiles, tile, active, loss)
            retire(F, tiles, tile, results, stalled, structs.STALLED, epoch, loss, accuracy, lanes)
            active = active & ~stalled
    if epoch == last_epoch:
        retire(F, tiles, tile, results, active, structs.RAN_ALL_EPOCHS, epoch, loss, accuracy, lanes)
        active = active & ~active
    return active
