"""Data of the kernels: tuples of buffers, with the shape and meaning of each.

Symbols: L layers, S samples, n_in inputs and n_out outputs, W lanes, T tiles, B samples in a block, C samples in a
chunk, P parameters of a net. `_engine/tile_arrays` and `_engine/units_memory` fill them in; the kernels trust them.
"""

from typing import Any, NamedTuple

from fastmlp._simd.types import Buffer, Static, VectorSpec

LANES, UNITS = Static("nets as lanes"), Static("units as lanes")
BLOCK = 4  # samples in a block, and columns in a line of gradients

# Rows of a tile's controls
ACTIVE, BEST_LOSS, WAITED, TARGET_LOSS, TARGET_ACCURACY, PATIENCE, TOLERANCE = range(7)
N_STOP_STATE = 7
N_POWERS = 4

# A net's status
RAN_ALL_EPOCHS, REACHED_TARGET, STALLED, DIVERGED, INTERRUPTED = range(5)

# Kinds of sample weights
UNWEIGHTED, BY_SAMPLE, BY_NET = range(3)

# Where a net finds samples of its own: their number, and the first of its numbers in `Data.rows`, its first row of
# inputs and of targets, its first weight, and its first number in `Epochs.orders`
COUNT, FIRST_ROW, FIRST_INPUT, FIRST_TARGET, FIRST_WEIGHT, FIRST_ORDER = range(6)
N_SPANS = 6
# Rows of `OwnChunk.counts`
IN_CHUNK, IN_PASS, ENDING, OF_NET = range(4)
N_COUNTS = 4


class Kinds(NamedTuple):
    """Vectors of the passes; `lanes` and `units` describe their contents."""

    Patch: VectorSpec
    Line: VectorSpec
    Column: VectorSpec
    Units: VectorSpec  # samples are padded to a multiple of its numbers
    Blk: VectorSpec  # B samples of a unit
    Words: VectorSpec  # uint64 numbers of a draw of dropout


class Net(NamedTuple):
    """The architecture and its loss, the same for every net of a call."""

    kernel: Static  # LANES or UNITS: selects the compiled kernel
    formulas: Static  # selects the compiled hidden activations
    sizes: Buffer  # (L + 1,) units of each layer, the inputs first
    activations: Buffer  # (L,) activations.Activation
    needs_sum: Buffer  # (L + 1,) whether backward needs the weighted sums of a layer of units, the inputs first
    weight_rows: Buffer  # (L,) first parameter row of a layer; each unit has its weights, then its bias
    unit_rows: Buffer  # (L + 1,) first scratch row of a layer's outputs; [0] is unused
    own: Any  # `LanesNet` or `UnitsNet`
    n_layers: int
    n_parameters: int
    state_step: int  # rows from a parameter to its gradient, to the optimizer's first state, and so on
    n_unit_rows: int  # scratch rows of a sample
    bias: bool
    loss: int  # losses.Loss


class LanesNet(NamedTuple):
    """Additional fields of a net for the lanes kernel."""

    forward_spans: Buffer  # (L,) number of samples whose inputs of a layer fit into the first-level cache
    backward_spans: Buffer  # (L,) number of samples whose gradients by a layer's outputs do


class UnitsNet(NamedTuple):
    """Additional fields of a net for the units kernel."""

    padded: Buffer  # (L,) rows of a layer's weights, inputs padded


class Data(NamedTuple):
    """The samples; where each net has its own, those of all nets, and `n_samples` is the greatest number of one net."""

    inputs: Buffer  # (S, n_columns): inputs, 1 as the input of the bias, zeros
    targets: Buffer  # (S, n_out), classes one-hot
    weights: Buffer  # (S,) for BY_SAMPLE
    n_samples: int
    n_columns: int
    weighting: int
    by_net: bool  # a `StaticNumber`: whether each net has samples of its own
    rows: Buffer  # with samples of each net's own, their numbers among its inputs and targets
    first_span: int  # position of these samples among a tile's `spans`
    chunk: Any  # `OwnChunk` of the thread, or nothing


class OwnChunk(NamedTuple):
    """A chunk of samples of each net's own, laid out as the lanes' kernel has units: see `own_samples`."""

    inputs: Buffer  # (C, n_columns, W)
    targets: Buffer  # (C, n_out, W)
    weights: Buffer  # (C, W)
    places: Buffer  # (C, W) int64: the samples' numbers among those of the net, for dropout
    counts: Buffer  # (N_COUNTS, W) numbers of samples of each net; whether its minibatches end with this pass
    leads: Buffer  # (MOST_SETS,) int64: the first lane of each set of nets with the same inputs
    members: Buffer  # (MOST_SETS, W) whether a lane belongs to the set
    ends: Buffer  # (W + 2,) int64: how many there are, then the different numbers IN_CHUNK of nets, ascending


class Tiles(NamedTuple):
    """The nets of a call, W in each tile, one in each lane."""

    rows: Buffer  # (T, R, W): P parameters, P gradients, the optimizer's state, padding
    hyper: Buffer  # (T, N_HYPERPARAMETERS, W)
    stop_state: Buffer  # (T, N_STOP_STATE, W)
    powers: Buffer  # (T, 4, W) float64: Adam's β₁, β₂, β₁ᵗ, β₂ᵗ
    sample_weights: Buffer  # (T, S, W) for BY_NET
    rng_words: Buffer  # (T, 2, W) uint64: the nets' numbers, and 2³² times their dropout
    spans: Buffer  # (T, n_spans, W) int64: where nets find samples of their own
    result_index: Buffer  # (T, W) index of the lane's net in the results, −1 for none
    n_tiles: int  # T
    n_rows: int  # R
    width: int  # W
    n_spans: int


class Epochs(NamedTuple):
    """The slice of epochs of one kernel call, which may end early."""

    orders: Buffer  # (stop − first, S) shuffled sample numbers, or one such array for each tile or number of samples
    keys: Buffer  # (stop − first,) keys of dropout
    rate_factors: Buffer  # (stop − first,) factors of the learning rate, if `TrainFlags.scheduled`
    begin: int  # the first epoch of training, from which records are counted
    first: int
    stop: int
    stride: int  # number of epochs of every tile after which the kernel counts the nets that still train
    fewest: int  # the slice ends if fewer nets than this still train
    last: int  # the epoch after the last of training


class Results(NamedTuple):
    """One value for each net, written when it finishes; loss curves are written during training."""

    loss: Buffer  # (n,)
    accuracy: Buffer  # (n,)
    epochs: Buffer  # (n,)
    status: Buffer  # (n,)
    curve: Buffer  # (n, n_records)
    n_records: int


class TrainFlags(NamedTuple):
    """Settings of training for the kernels."""

    method: int  # optimizers.Method
    batch_size: int  # S for the full batch
    full_batch: bool  # one update in each epoch, and rules use the weights between epochs
    shuffle: bool
    order_by_net: bool  # each tile, which has one net, has its own order of samples
    dropping: bool  # dropout
    record_every: int  # epochs; 0 for never
    rules: bool  # a stopping rule looks at the loss between epochs
    waits: bool  # nets have patience
    bound_will_do: bool  # a cheap lower bound of the loss can rule out that a net stops
    has_l2: bool
    has_momentum: bool
    nesterov: bool
    has_decay: bool  # of weights, by Adam
    same_powers: bool  # Adam's βᵗ are the same in every lane, and those of stopped nets are never used
    loss_scale: float  # 1 / n_out for bce and mse, 1 for cross entropy
    delta_scale: float  # the same, twice that for mse
    counts_accuracy: bool
    scheduled: bool  # learning rates change from epoch to epoch
    adaptive: bool  # a net that is out of patience continues with a fifth of its learning rate
    sklearn: bool  # scikit-learn's conventions, described where the kernels follow them
    loss_slack: float  # largest rounding error of a lower bound of the loss, beyond a thousandth of it


class LanesScratch(NamedTuple):
    """Additional scratch memory of the lanes kernel."""

    band: Buffer  # (C, U, W) gradients of the loss by the weighted sums of a few units at a time


class UnitsScratch(NamedTuple):
    """Additional scratch memory of the units kernel."""

    transposed: Buffer  # a panel of a layer's weights, unit by unit
    side_by_side: Buffer  # a block of a layer's inputs, sample by sample
    panels: Buffer  # gradients of the loss by the weighted sums, for two vectors of units at a time
    band: Buffer  # gradients of a block of weights


class Scratch(NamedTuple):
    """One thread's working memory, for a chunk of up to C samples, a multiple of B.

    A sample's rows in `units` and `deltas` are the layers' units. Each hidden layer is followed by a row of ones, the
    input of the next layer's biases, and padded to whole lines.
    """

    units: Buffer  # (C, n_unit_rows, W) outputs of every unit
    sums: Buffer  # (C, n_unit_rows, W) weighted sums of hidden units, for the activations that need them
    deltas: Buffer  # (C, n_unit_rows, W) gradients of the loss by the weighted sum of every unit
    outputs: Buffer  # gradients of the output layer: `deltas`, or in a team the member's own copy
    masks: Buffer  # (C, n_unit_rows, W) factors of outputs by dropout
    own: Any  # `LanesScratch` or `UnitsScratch`; nothing for tiny jobs
    samples: Buffer  # (C,) the samples' numbers
    weights: Buffer  # (B, W)
    lanes: Buffer  # (3, W) values read lane by lane
    corrections: Buffer  # (2, W) Adam's factors of this step
    capacity: int  # C
    team: Buffer  # (N_SHARED,) int64, shared by the members of a team
    thread_number: int  # number of this thread in the team
    threads_per_net: int  # number of threads in the team


class Rows(NamedTuple):
    """The position of some numbers of every sample."""

    buffer: Buffer
    first: int  # row of the first sample
    step: int  # rows from sample to sample
