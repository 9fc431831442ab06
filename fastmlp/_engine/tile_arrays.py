"""Allocate and fill the tuples of `_kernels/structs`, from checked NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.barrier import N_SHARED
from fastmlp._kernels.formulas import losses
from fastmlp._kernels.formulas.activation_choice import formulas_for
from fastmlp._kernels.formulas.activations import BY_CODE
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp._kernels.formulas.optimizers import N_HYPERPARAMETERS
from fastmlp._kernels.own_samples import MOST_SETS
from fastmlp._simd.cpu import MOST_UNITS, units_at_once
from fastmlp._simd.types import Buffer, VectorSpec, aligned_copy, aligned_zeros, static

if TYPE_CHECKING:
    from fastmlp.architecture import Architecture


# Most samples of a chunk, and most bytes of its outputs and gradients at all units
CHUNK_SAMPLES = 112
CHUNK_BYTES = 2**19
MAX_CHUNK_BYTES = 2**22  # of a chunk of nets
CACHED_BYTES = 24 * 1024  # half of the first-level cache of most servers
MOST_COLUMNS = MOST_UNITS * structs.BLOCK  # of a line of gradients
ALIASING_BYTES = 4096
TINY_PARAMETERS = 1024  # `_kernels/tiny` is faster at least up to here: measured, see docs/performance.md


FOR_ALL, BY_NET = static(False), static(True)
NO_ROWS = Buffer(np.zeros(1, np.int32))


def is_tiny(architecture: Architecture, n_samples: int, batch_size: int) -> bool:
    """Whether the kernel of tiny jobs can train a job."""
    return batch_size >= n_samples <= structs.BLOCK and architecture.n_parameters <= TINY_PARAMETERS


@dataclass(frozen=True)
class Vectors:
    """The kinds of vectors of one kernel call."""

    F: VectorSpec  # W numbers of the nets' dtype
    Blk: VectorSpec  # B · W of them: B samples of a unit
    Units: VectorSpec  # U · B · W: of U units
    Line: VectorSpec  # I · W: I columns of a unit's gradients
    Patch: VectorSpec  # U · I · W: of U units
    Column: VectorSpec  # U · W: one column of U units' gradients
    D: VectorSpec  # W float64
    U: VectorSpec  # W uint64
    Words: VectorSpec  # uint64 that dropout draws at once: W, or with units as lanes V

    @classmethod
    def of(cls, F: VectorSpec, samples: int = structs.BLOCK) -> Vectors:
        dtype = F.dtype
        units = units_at_once(F, structs.BLOCK)

        def times(number: int) -> VectorSpec:
            return VectorSpec(dtype, F.count * number)

        return cls(
            F,
            times(samples),
            times(units * samples),
            times(structs.BLOCK),
            times(units * structs.BLOCK),
            times(units),
            VectorSpec("float64", F.count),
            VectorSpec("uint64", F.count),
            VectorSpec("uint64", F.count),
        )

    @property
    def kinds(self) -> structs.Kinds:
        return structs.Kinds(self.Patch, self.Line, self.Column, self.Units, self.Blk, self.Words)

    @property
    def width(self) -> int:
        return self.F.count

    @property
    def block(self) -> int:
        return self.Blk.count // self.F.count


def net_buffers(architecture: Architecture, loss: str, vectors: Vectors) -> structs.Net:
    """The architecture, for the kernels."""

    def span(units: int) -> int:
        rows = CACHED_BYTES // (vectors.width * vectors.F.dtype.itemsize)
        return max(1, min(rows // units, CHUNK_SAMPLES) // vectors.block) * vectors.block

    sizes, weight_rows, unit_rows = np.array(architecture.sizes), [], [0, 0]
    row = 0
    for n_in, n_out in architecture.shapes:
        weight_rows.append(row)
        row += (n_in + architecture.bias) * n_out
        unit_rows.append(unit_rows[-1] + n_out + 1)
    return structs.Net(
        kernel=structs.LANES,
        formulas=formulas_for(architecture.activations),
        sizes=Buffer(sizes),
        activations=Buffer(np.array([int(code) for code in architecture.activations])),
        needs_sum=Buffer(np.array([0, *(BY_CODE[code].needs_sum for code in architecture.activations)])),
        weight_rows=Buffer(np.array(weight_rows)),
        unit_rows=Buffer(np.array(unit_rows[:-1])),
        # inputs are the same for all nets, so that the first weights are loaded only once for each chunk
        own=structs.LanesNet(
            forward_spans=Buffer(np.array([CHUNK_SAMPLES, *map(span, architecture.sizes[1:-1])])),
            backward_spans=Buffer(np.array([*map(span, architecture.sizes[1:])])),
        ),
        n_layers=architecture.n_layers,
        n_parameters=row,
        state_step=separated(row, vectors.width * vectors.F.dtype.itemsize),
        n_unit_rows=unit_rows[-1] | 1,  # odd, so that samples do not compete for the same cache sets
        bias=architecture.bias,
        loss=int(LOSSES[architecture.activations[-1]][loss]),
    )


def rounded_up(number: int, size: int) -> int:
    """`number` rounded up to a multiple of `size`."""
    return -(-number // size) * size


def row_order(architecture: Architecture) -> np.ndarray:
    """The row in a tile of each parameter in the user's order: weights (in, out), then biases."""
    rows, first = np.empty(architecture.n_parameters, np.int64), 0
    for n_in, n_out in architecture.shapes:
        n_columns = n_in + architecture.bias
        of_layer = rows[first : first + n_columns * n_out].reshape(n_columns, n_out)
        np.add(np.arange(n_columns)[:, None], first + n_columns * np.arange(n_out), out=of_layer)
        first += of_layer.size
    return rows


def data_buffers(
    X: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    fill: int = structs.BLOCK,
    rows: np.ndarray | None = None,
    most_samples: int = 0,
    first_span: int = 0,
) -> structs.Data:
    """The samples (S, n_in) and targets (S, n_out), of the nets' dtype; weights (S,), (n, S) or None.

    A sample's inputs are padded to a multiple of `fill` numbers. Nets with samples of their own have them as `rows`, up
    to `most_samples` of them, and the place of their spans; they have their weights one after the other.
    """
    weighting = structs.UNWEIGHTED if weights is None else (structs.BY_SAMPLE if weights.ndim == 1 else structs.BY_NET)
    n_samples, n_in = X.shape
    inputs, data = data_memory(n_samples, n_in, X.dtype, targets, fill)
    inputs[:, :n_in] = X
    of_samples = weights if weighting == structs.BY_SAMPLE else np.zeros(1, X.dtype)
    data = data._replace(weights=Buffer(of_samples), weighting=weighting)
    if rows is None:
        return data
    return data._replace(rows=Buffer(rows), n_samples=most_samples, first_span=first_span, by_net=BY_NET)


def data_memory(
    n_samples: int, n_in: int, dtype: np.dtype, targets: np.ndarray, fill: int = structs.BLOCK
) -> tuple[np.ndarray, structs.Data]:
    """Room for samples without weights: their inputs (S, n_columns), to be filled in, and the data of the kernels."""
    columns = rounded_up(n_in + 1, fill)
    # a line of gradients may read beyond a sample's inputs, also after the last sample
    memory = aligned_zeros(n_samples * columns + MOST_COLUMNS, dtype)
    inputs = memory[: n_samples * columns].reshape(n_samples, columns)
    inputs[:, n_in] = 1
    data = structs.Data(
        inputs=Buffer(memory),
        targets=Buffer(targets),
        weights=Buffer(np.zeros(1, dtype)),
        n_samples=n_samples,
        n_columns=columns,
        weighting=structs.UNWEIGHTED,
        by_net=FOR_ALL,
        rows=NO_ROWS,
        first_span=0,
        chunk=(),
    )
    return inputs, data


def own_chunk(architecture: Architecture, n_columns: int, vectors: Vectors, capacity: int) -> structs.OwnChunk:
    """One thread's room for a chunk of samples of each net's own."""
    dtype, width, n_in, n_out = vectors.F.dtype, vectors.width, architecture.sizes[0], architecture.sizes[-1]
    inputs = aligned_zeros((capacity * n_columns + MOST_COLUMNS, width), dtype)
    inputs[: capacity * n_columns].reshape(capacity, n_columns, width)[:, n_in] = 1
    return structs.OwnChunk(
        inputs=Buffer(inputs),
        targets=Buffer(aligned_zeros((capacity * n_out, width), dtype)),
        weights=Buffer(aligned_zeros((capacity, width), dtype)),
        places=Buffer(aligned_zeros((capacity, width), np.int64)),
        counts=Buffer(aligned_zeros((structs.N_COUNTS, width), dtype)),
        leads=Buffer(aligned_zeros((MOST_SETS,), np.int64)),
        members=Buffer(aligned_zeros((MOST_SETS, width), dtype)),
        ends=Buffer(aligned_zeros((width + 2,), np.int64)),
    )


def scratch_buffers(
    architecture: Architecture,
    net: structs.Net,
    vectors: Vectors,
    n_samples: int,
    dropping: bool = False,
    other_rows: int = 0,
) -> structs.Scratch:
    """One thread's working memory, for chunks of at most `n_samples`, each of which takes `other_rows` elsewhere."""
    dtype, width = vectors.F.dtype, vectors.width
    of_a_sample = (2 * net.n_unit_rows + other_rows) * width * dtype.itemsize
    fitting = min(CHUNK_SAMPLES, max(1, CHUNK_BYTES // of_a_sample))
    chunks = -(-n_samples // fitting)
    block = vectors.Units.count // width  # samples at once when working unit by unit
    capacity = -(-n_samples // (chunks * block)) * block
    # a line may read a few rows beyond a layer's, also after the last sample
    units, deltas = (aligned_zeros((capacity * net.n_unit_rows + MOST_COLUMNS, width), dtype) for _ in range(2))
    for n_out, row in zip(architecture.sizes[1:], net.unit_rows[1:], strict=True):
        units[row + n_out :: net.n_unit_rows] = 1
    band = aligned_zeros((capacity, vectors.Units.count // vectors.Blk.count, width), dtype)
    return new_scratch(net, units, deltas, capacity, vectors, structs.LanesScratch(Buffer(band)), dropping)


def tiny_scratch_buffers(net: structs.Net, vectors: Vectors) -> structs.Scratch:
    """One thread's working memory for `_kernels/tiny`."""
    shape = (net.sizes[0] + 1 + net.n_unit_rows, vectors.block, vectors.width)
    units, deltas = (aligned_zeros(shape, vectors.F.dtype) for _ in range(2))
    return new_scratch(net, units, deltas, vectors.block, vectors, own=())


def new_scratch(
    net: structs.Net,
    units: np.ndarray,
    deltas: np.ndarray,
    capacity: int,
    vectors: Vectors,
    own: structs.LanesScratch | structs.UnitsScratch | tuple[()],
    dropping: bool = False,
) -> structs.Scratch:
    """A thread's working memory, except the outputs and gradients of its units."""
    dtype, width, block = vectors.F.dtype, vectors.width, vectors.block
    return structs.Scratch(
        units=Buffer(units),
        sums=Buffer(aligned_zeros(units.shape if net.needs_sum.array.any() else (1,), dtype)),
        deltas=Buffer(deltas),
        outputs=Buffer(deltas),
        masks=Buffer(aligned_zeros(units.shape if dropping else (1,), dtype)),
        own=own,
        samples=Buffer(aligned_zeros((capacity,), np.int64)),
        weights=Buffer(aligned_zeros((block, width), dtype)),
        lanes=Buffer(aligned_zeros((3, width), dtype)),
        corrections=Buffer(aligned_zeros((2, width), dtype)),
        capacity=capacity,
        team=Buffer(np.zeros(N_SHARED, np.int64)),
        thread_number=0,
        threads_per_net=1,
    )


def separated(n_rows: int, row_bytes: int) -> int:
    """Number of rows from a parameter to its gradient, and from there to each state: at least `n_rows`.

    A load must wait for a recent store whose address has the same last 12 bits. So the step, except for the smallest
    nets, is 1 KB more than a multiple of 4 KB, which keeps a parameter's rows as far apart as possible.
    """
    if n_rows * row_bytes < 4 * ALIASING_BYTES:
        return n_rows
    period = ALIASING_BYTES // row_bytes
    return n_rows + (period // 4 - n_rows) % period


def rows_of_a_tile(n_state_rows: int, state_step: int) -> int:
    """Rows for parameters, gradients, the optimizer's state, and padding that a line of gradients may read."""
    return (2 + n_state_rows) * state_step + MOST_COLUMNS


class TileArrays:
    """Nets `first` to `stop` of a call, in tiles; `kernel_view` is passed to the kernels.

    If `order` (n,) is given, they are the nets at these places of it.
    """

    def __init__(
        self,
        vectors: Vectors,
        first: int,
        stop: int,
        n_rows: int,
        n_samples_weighted: int = 0,
        order: np.ndarray | None = None,
        n_spans: int = 0,
    ):
        width, dtype = vectors.width, vectors.F.dtype
        self.first, self.stop = first, stop
        self.nets: slice | np.ndarray = slice(first, stop) if order is None else order[first:stop]
        self.count = -(-(stop - first) // width)
        self.width, self.n_rows = width, n_rows
        self.rows = aligned_zeros((self.count, n_rows, width), dtype)
        self.hyper = aligned_zeros((self.count, N_HYPERPARAMETERS, width), dtype)
        self.stop_state = aligned_zeros((self.count, structs.N_STOP_STATE, width), dtype)
        self.powers = aligned_zeros((self.count, structs.N_POWERS, width), np.float64)
        self.sample_weights = aligned_zeros((self.count, n_samples_weighted, width), dtype)
        self.rng_words = aligned_zeros((self.count, 2, width), np.uint64)
        self.spans = aligned_zeros((self.count, n_spans, width), np.int64)
        self.result_index = np.empty((self.count, width), np.int64)
        self._place()
        self._buffers = [
            Buffer(array)
            for array in (
                self.rows,
                self.hyper,
                self.stop_state,
                self.powers,
                self.sample_weights,
                self.rng_words,
                self.spans,
                self.result_index,
            )
        ]

    def _place(self) -> None:
        """Put the first net into the first lane, and so on."""
        index = np.arange(self.first, self.first + self.result_index.size).reshape(self.result_index.shape)
        self.result_index[...] = index
        if not isinstance(self.nets, slice):
            self.result_index.ravel()[: self.stop - self.first] = self.nets
        self.result_index[index >= self.stop] = -1
        self.stop_state[:, structs.ACTIVE] = index < self.stop

    @property
    def n_bytes(self) -> int:
        return sum(buffer.array.nbytes for buffer in self._buffers)

    def reset(self) -> None:
        """Make the tiles as they were when they were allocated."""
        for buffer in self._buffers[:-1]:
            buffer.array[...] = 0
        self.count = len(self.result_index)
        self._place()

    @property
    def kernel_view(self) -> structs.Tiles:
        rows, hyper, stop_state, powers, sample_weights, rng_words, spans, result_index = self._buffers
        return structs.Tiles(
            rows,
            hyper,
            stop_state,
            powers,
            sample_weights,
            rng_words,
            spans,
            result_index,
            self.count,
            self.n_rows,
            self.width,
            self.spans.shape[1],
        )

    def view_of_a_member(self) -> structs.Tiles:
        """A view for another thread of a team: shared parameters, and a copy of the control values."""
        hyper, stop_state, powers = (Buffer(aligned_copy(buffer.array)) for buffer in self._buffers[1:4])
        return self.kernel_view._replace(hyper=hyper, stop_state=stop_state, powers=powers)

    def fill(self, row: np.ndarray, values: float | np.ndarray) -> None:
        """Write one value a net, or one for all, to a row (T, W) such as `hyper[:, k]`."""
        if not isinstance(values, np.ndarray):
            row[...] = values
        elif self.stop - self.first == 1:  # the same in a fifth of the time
            row[...] = values[self.nets]
        else:
            padded = np.resize(values[self.nets], row.size)
            row[...] = padded.reshape(row.shape)

    def fill_rows(self, rows: np.ndarray, values: dict[int, float | np.ndarray]) -> None:
        """Write rows of (T, n_rows, W), each one value a net or one for all."""
        numbers = {row: value for row, value in values.items() if not isinstance(value, np.ndarray)}
        rows[:, list(numbers)] = np.array(list(numbers.values()), rows.dtype)[:, None]
        for row, value in values.items():
            if isinstance(value, np.ndarray):
                self.fill(rows[:, row], value)

    def fill_words(self, k: int, values: np.ndarray) -> None:
        """Write one number a net to a row of `rng_words`."""
        row = np.zeros(self.count * self.width, np.uint64)
        row[: self.stop - self.first] = values[self.nets]
        self.rng_words[:, k] = row.reshape(self.count, self.width)

    def fill_samples(self, weights: np.ndarray) -> None:
        """Write the sample weights (n, S) of these nets."""
        self._fill_columns(self.sample_weights, weights)

    def fill_spans(self, spans: np.ndarray) -> None:
        """Write where these nets find samples of their own, (n, n_spans)."""
        self._fill_columns(self.spans, spans)

    def _fill_columns(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Write several numbers of each net, (n, k), to rows (T, k, W)."""
        lanes = np.zeros((self.count * self.width, values.shape[1]), values.dtype)
        lanes[: self.stop - self.first] = values[self.nets]
        rows[...] = lanes.reshape(self.count, self.width, values.shape[1]).transpose(0, 2, 1)

    @staticmethod
    def nbytes(nets: int, vectors: Vectors, n_rows: int, n_samples_weighted: int = 0, n_spans: int = 0) -> int:
        """Bytes that tiles of `nets` nets take."""
        rows = n_rows + N_HYPERPARAMETERS + structs.N_STOP_STATE + n_samples_weighted
        tiles = -(-nets // vectors.width)
        return tiles * vectors.width * (rows * vectors.F.dtype.itemsize + 8 * (structs.N_POWERS + 3 + n_spans))


def loss_scales(loss: int, n_outputs: int, sklearn: bool) -> tuple[float, float]:
    """The factors of a sample's summed loss and of its gradient."""
    record = losses.BY_CODE[Loss(loss)]
    if sklearn:  # its gradients are those of sums over the outputs
        return (0.5 / n_outputs if record.code == Loss.MSE else 1.0), 1.0
    share = 1.0 / n_outputs if record.mean_over_outputs else 1.0
    return share, record.gradient_factor * share
