"""What the kernels read and write: tuples of buffers, and what each row in them is.

Symbols: L layers, S samples, n_in and n_out units of the net's ends, W lanes, T tiles, B samples a block, C samples a
chunk, P parameters of a net. `_engine/tile_arrays` and `_engine/units_memory` fill these in; the kernels trust them.
"""

from typing import Any, NamedTuple

from fastmlp._simd.types import Buffer, Static, VectorSpec

LANES, UNITS = Static("nets as lanes"), Static("units as lanes")
BLOCK = 4  # samples of a block, and columns of a line of gradients

# Rows of a tile's controls
ACTIVE, BEST_LOSS, WAITED, TARGET_LOSS, TARGET_ACCURACY, PATIENCE, TOLERANCE = range(7)
N_STOP_STATE = 7
N_POWERS = 4

# What became of a net
RAN_ALL_EPOCHS, REACHED_TARGET, STALLED, DIVERGED, INTERRUPTED = range(5)

# How samples are weighted
UNWEIGHTED, BY_SAMPLE, BY_NET = range(3)


class Kinds(NamedTuple):
    """Vectors that the passes work with; what is in them is said in `lanes` and `units`."""

    Patch: VectorSpec
    Line: VectorSpec
    Column: VectorSpec
    Units: VectorSpec  # samples are filled up to its numbers
    Blk: VectorSpec  # B samples of a unit
    Words: VectorSpec  # uint64 that dropout draws at once


class Net(NamedTuple):
    """The architecture and its loss, the same for every net of a call."""

    kernel: Static  # LANES or UNITS: which kernel's passes are compiled
    formulas: Static  # which hidden activations are
    sizes: Buffer  # (L + 1,) units of each layer, the inputs first
    activations: Buffer  # (L,) activations.Activation
    needs_sum: Buffer  # (L + 1,) whether backward needs the weighted sums of a layer of units, the inputs first
    weight_rows: Buffer  # (L,) first parameter row of a layer: for each unit its weights, then its bias
    unit_rows: Buffer  # (L + 1,) first scratch row of a layer's outputs; [0] is unused
    own: Any  # `LanesNet` or `UnitsNet`
    n_layers: int
    n_parameters: int
    state_step: int  # rows from a parameter to its gradient, from there to the optimizer's first state, and so on
    n_unit_rows: int  # scratch rows a sample
    bias: bool
    loss: int  # losses.Loss


class LanesNet(NamedTuple):
    """What the lanes kernel reads of a net in addition."""

    forward_spans: Buffer  # (L,) for how many samples a layer's inputs fit into the first-level cache
    backward_spans: Buffer  # (L,) for how many samples the gradients by its outputs do


class UnitsNet(NamedTuple):
    """What the units kernel reads of a net in addition."""

    padded: Buffer  # (L,) rows of a layer's weights, the inputs filled up


class Data(NamedTuple):
    """The samples."""

    inputs: Buffer  # (S, n_columns): the inputs, 1 as the input of the bias, zeros
    targets: Buffer  # (S, n_out), classes one-hot
    weights: Buffer  # (S,) for BY_SAMPLE
    n_samples: int
    n_columns: int
    weighting: int


class Tiles(NamedTuple):
    """The nets of a call, W a tile, one a lane."""

    rows: Buffer  # (T, R, W): P parameters, P gradients, the optimizer's state, room to read over the end
    hyper: Buffer  # (T, N_HYPERPARAMETERS, W)
    stop_state: Buffer  # (T, N_STOP_STATE, W)
    powers: Buffer  # (T, 4, W) float64: Adam's β₁, β₂, β₁ᵗ, β₂ᵗ
    sample_weights: Buffer  # (T, S, W) for BY_NET
    rng_words: Buffer  # (T, 2, W) uint64: the nets' numbers, and 2³² times their dropout
    result_index: Buffer  # (T, W) where in the results the lane's net belongs, −1 for none
    n_tiles: int  # T
    n_rows: int  # R
    width: int  # W


class Epochs(NamedTuple):
    """The slice of epochs that one call of a kernel trains, or begins to train."""

    orders: Buffer  # (stop − first, S) shuffled sample numbers, or for each tile such
    keys: Buffer  # (stop − first,) of dropout
    rate_factors: (
        Buffer  # (stop − first,) what each epoch's learning rate is multiplied with, if `TrainFlags.scheduled`
    )
    begin: int  # where training began, from where records are counted
    first: int
    stop: int
    stride: int  # after this many epochs of every tile the kernel counts the nets that still train,
    fewest: int  # and ends the slice if there are fewer than this
    last: int  # where training ends, however many slices it takes


class Results(NamedTuple):
    """One value a net, written when it finishes; its loss curve as it goes."""

    loss: Buffer  # (n,)
    accuracy: Buffer  # (n,)
    epochs: Buffer  # (n,)
    status: Buffer  # (n,)
    curve: Buffer  # (n, n_records)
    n_records: int


class TrainFlags(NamedTuple):
    """How to train."""

    method: int  # optimizers.Method
    batch_size: int  # S for the full batch
    full_batch: bool  # one update an epoch, and the rules look at the weights between epochs
    shuffle: bool
    order_by_net: bool  # each tile, of one net, has an order of its own
    dropping: bool  # dropout
    record_every: int  # epochs; 0 for never
    rules: bool  # a stopping rule looks at the loss between epochs
    bound_will_do: bool  # a lower bound of the loss can tell that no rule ends a net's training
    has_l2: bool
    has_momentum: bool
    nesterov: bool
    has_decay: bool  # of weights, by Adam
    same_powers: bool  # Adam's βᵗ are the same in every lane, and those of nets that have stopped are never asked for
    loss_scale: float  # 1 / n_out for bce and mse, 1 for cross entropy
    delta_scale: float  # the same, twice that for mse
    counts_accuracy: bool
    scheduled: bool  # learning rates change from epoch to epoch
    adaptive: bool  # a net that is out of patience goes on with a fifth of its learning rate
    sklearn: bool  # scikit-learn's conventions; what they are is said where the kernels ask
    loss_slack: float  # how far rounding may put a lower bound of the loss above it, in addition to a thousandth


class LanesScratch(NamedTuple):
    """What the lanes kernel works in in addition."""

    band: Buffer  # (C, U, W) gradients of the loss by the weighted sums of a few units at a time


class UnitsScratch(NamedTuple):
    """What the units kernel works in in addition."""

    transposed: Buffer  # a panel of a layer's weights, unit by unit
    side_by_side: Buffer  # a block of a layer's inputs, sample by sample
    panels: Buffer  # gradients of the loss by the weighted sums, two vectors of units after the other
    band: Buffer  # gradients of a block of weights


class Scratch(NamedTuple):
    """One thread's working memory, for a chunk of up to C samples, a multiple of B.

    A sample's rows in `units` and `deltas` are the layers' units, each hidden layer followed by a row of ones, as the
    input of the next layer's biases, and filled up to whole lines.
    """

    units: Buffer  # (C, n_unit_rows, W) outputs of every unit
    sums: Buffer  # (C, n_unit_rows, W) weighted sums of hidden units, for the activations that need them
    deltas: Buffer  # (C, n_unit_rows, W) gradients of the loss by the weighted sum of every unit
    outputs: Buffer  # `deltas`, or in a team the member's own copy of it: the output layer's
    masks: Buffer  # (C, n_unit_rows, W) what dropout multiplies the outputs with
    own: Any  # `LanesScratch` or `UnitsScratch`; nothing for tiny jobs
    samples: Buffer  # (C,) the samples' numbers
    weights: Buffer  # (B, W)
    lanes: Buffer  # (3, W) values to be looked at lane by lane
    corrections: Buffer  # (2, W) Adam's factors of this step
    capacity: int  # C
    team: Buffer  # (N_SHARED,) int64: what the members of a team share
    thread_number: int  # which of them this thread is,
    threads_per_net: int  # of how many


class Rows(NamedTuple):
    """Where some numbers of every sample are."""

    buffer: Buffer
    first: int  # row of the first sample's
    step: int  # rows from sample to sample
