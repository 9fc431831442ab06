"""How training ends, net by net: what is noted of nets that leave, and the rules that stop them.

It knows nothing of how nets compute. A mask or a vector has one entry for each net of a tile; symbols are those of
`structs`.
"""

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._simd.arithmetic import any_lane, broadcast, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, store

# A lower bound of the loss that is above this multiple of the target, plus what the rounding of outputs next to 1 makes
# (`TrainFlags.loss_slack`), says that the target cannot have been reached
MARGIN = 1.001
# Two float32 sums over at most this many samples differ by less than the margin through rounding alone
MOST_WITHIN_MARGIN = 4096
LEAST_RATE = 1e-6  # an adaptive learning rate that is no greater is not lowered further


@inline
def empty_lanes(F, tiles, tile, lanes):
    """The mask of a tile's lanes that hold no net: steps may be taken there: they are never read."""
    for lane in range(tiles.width):
        lanes[lane] = 1.0 if tiles.result_index[tile * tiles.width + lane] < 0 else 0.0
    return load(F, lanes, 0) != 0.0


@inline
def nets_in_training(F, tiles, lanes):
    """How many nets of all tiles still train."""
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
    """Note how the nets of the mask `leaving` ended."""
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
    """Put the losses of the active nets on their curves."""
    width = tiles.width
    store(lanes, 0, select(active, broadcast(F, 1.0), 0.0))
    store(lanes, 1, loss)
    for lane in range(width):
        slot = tiles.result_index[tile * width + lane]
        if lanes[lane] != 0.0 and slot >= 0:
            results.curve[slot * results.n_records + record] = lanes[width + lane]


@inline
def target_in_doubt(F, flags, tiles, tile, active, least_loss):
    """Whether an active net may have reached its target loss, or diverged, by a lower bound of its loss."""
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
    """Compare with the best loss so far, and note it; returns the mask of the nets that are out of patience.

    What is noted of a net that has stopped stays as it is.
    """
    c = tile * structs.N_STOP_STATE
    stop_state = tiles.stop_state
    best = load(F, stop_state, c + structs.BEST_LOSS)
    improved = loss <= best - load(F, stop_state, c + structs.TOLERANCE)
    if not flags.sklearn:  # there, without a tolerance, a loss that stays the same has improved
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
    """Stop the nets that diverged, by the means over an epoch's minibatches, each before its update.

    Returns the mask of the nets that go on, and that of those which may have to stop: `confirm` decides.
    """
    nothing = broadcast(F, np.nan)
    broken = active & ~(loss < np.inf)
    retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    stalled = _out_of_patience(F, flags, tiles, tile, active, loss)
    return active, active & (_reached(F, tiles, tile, loss, accuracy) | stalled)


@inline
def confirm(F, tiles, tile, results, active, suspects, loss, accuracy, epoch, lanes):
    """Stop those of the mask `suspects` that reached their target or ran out of patience, given their weights' loss."""
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
    """Stop the nets that reached their target, stalled or diverged, and at the end all; returns those that go on.

    With minibatches this is called at the end alone, where the rules have decided by the last epoch's minibatches.
    """
    nothing = broadcast(F, np.nan)
    broken = active & ~(loss < np.inf)
    retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, lanes)
    active = active & ~broken
    if flags.rules and full_batch:
        reached = active & _reached(F, tiles, tile, loss, accuracy)
        retire(F, tiles, tile, results, reached, structs.REACHED_TARGET, epoch, loss, accuracy, lanes)
        active = active & ~reached
        if epoch < last_epoch:  # training that goes on from here looks at this loss again
            stalled = _out_of_patience(F, flags, tiles, tile, active, loss)
            retire(F, tiles, tile, results, stalled, structs.STALLED, epoch, loss, accuracy, lanes)
            active = active & ~stalled
    if epoch == last_epoch:
        retire(F, tiles, tile, results, active, structs.RAN_ALL_EPOCHS, epoch, loss, accuracy, lanes)
        active = active & ~active
    return active
