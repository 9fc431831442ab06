"""`estimate`: the memory of a call of `train`, by the rules that allocate it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.chunks import tiles_of_a_chunk
from fastmlp._engine.cost_model import choose_kernels
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.pacing import SLICE_SECONDS
from fastmlp._engine.processors import thread_count
from fastmlp._engine.slices import epochs_of_orders
from fastmlp._engine.team import SHARED
from fastmlp._engine.tile_arrays import TileArrays, rounded_up
from fastmlp._io.safetensors import PIECE_BYTES
from fastmlp._kernels import structs
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture
from fastmlp.optimizers import Optimizer
from fastmlp.settings import MAX_EPOCHS, as_optimizer

WITH_ITS_OWN = 1.07  # share added for small arrays and Python objects,
LEAST_WORKING = 72 * 1024  # and bytes added for every job
KEPT_IN_WRITING = 2**17  # bytes that small jobs still hold while a checkpoint is written: tiles, orders, objects


class Estimate(NamedTuple):
    """Upper bounds of memory, in bytes.

    Examples
    --------
    >>> import fastmlp
    >>> memory = fastmlp.estimate(fastmlp.Architecture((2, 8, 1)), n_samples=200, n_nets=1_000_000)
    >>> memory.results, memory.total > memory.results
    (157000000, True)
    >>> str(memory).split(" (")[1][:15]
    'results 149.7, '
    """

    results: int
    """The results, and what is kept for each net during training."""
    data: int
    """Copies of the samples."""
    working: int
    """Working memory of the threads, or memory held briefly before or between, whichever is more."""

    @property
    def total(self) -> int:
        return sum(self)

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value / 2**20:,.1f}" for name, value in zip(self._fields, self, strict=True))
        return f"{self.total / 2**20:,.1f} MiB ({parts})"


def results_bytes(
    architecture: Architecture,
    n_nets: int,
    optimizer: Optimizer,
    dtype: np.dtype,
    n_records: int = 0,
    validation: bool = False,
    restore_best: bool = False,
    *,
    keeps_state: bool = False,
    gradients: bool = False,
) -> int:
    """Bytes of the results of `n_nets` nets."""
    size = dtype.itemsize
    parameters = 1 + gradients + (validation and restore_best)
    per_net = 2 * size + 17 + size * n_records  # loss and accuracy; epochs, number and status; the curve
    if keeps_state:
        parameters += optimizer.n_state_rows
        per_net += 16 + 3 * size
    if validation:
        per_net += 24 + 16 * n_records
    return n_nets * (parameters * architecture.n_parameters * size + per_net)


def estimate(  # noqa: PLR0913
    architecture: Architecture,
    n_samples: int,
    *,
    n_nets: int = 1,
    optimizer: Optimizer | str = "adam",
    epochs: int = 1000,
    batch_size: int | None = None,
    weights_by_net: bool = False,
    record_every: int | None = None,
    validation_samples: int = 0,
    restore_best: bool = True,
    keep_state: bool = False,
    checkpoint: bool = False,
    dropout: bool = False,
    dtype: Any = "float32",
    threads: int | None = None,
) -> Estimate:
    """Estimate the most memory that `train` will take, in addition to the caller's own.

    It assumes that `train` chooses the kernel, and that all nets have one order of samples.

    Parameters
    ----------
    architecture : Architecture
    n_samples : int
    n_nets, optimizer, epochs, batch_size, record_every, restore_best, keep_state, dtype, threads
        As for `train`.
    weights_by_net : bool, default False
        Whether each net has sample weights of its own, as with ``bootstrap=True``.
    validation_samples : int, default 0
    checkpoint : bool, default False
        Whether a checkpoint is written, which briefly takes a copy of the weights.
    dropout : bool, default False
        Whether hidden units are left out.

    Returns
    -------
    Estimate
        Named tuple of bytes: `results`, `data`, `working`; and `total`.

    Examples
    --------
    >>> import fastmlp
    >>> print(fastmlp.estimate(fastmlp.Architecture((2, 4, 1)), 4, n_nets=1_000_000, threads=2).results)
    93000000
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    float_type = checks.float_dtype(dtype)
    n_samples = checks.whole_number("n_samples", n_samples, 1, checks.MAX_SAMPLES)
    held_out = checks.whole_number("validation_samples", validation_samples, 0, checks.MAX_SAMPLES)
    nets = checks.whole_number("n_nets", n_nets, 1, 2**40)
    epochs = checks.whole_number("epochs", epochs, 0, MAX_EPOCHS)
    every = 0 if record_every is None else checks.whole_number("record_every", record_every, 1)
    batch = n_samples if batch_size is None else min(n_samples, checks.whole_number("batch_size", batch_size, 1))
    method = as_optimizer(optimizer)
    n_threads = thread_count(threads)

    records, kept = epochs // every + 1 if every else 0, keep_state or checkpoint
    results = results_bytes(
        architecture, nets, method, float_type, records, held_out > 0, restore_best, keeps_state=kept
    )
    size, (n_in, n_out) = float_type.itemsize, (architecture.sizes[0], architecture.sizes[-1])
    choice, rest = choose_kernels(
        architecture, nets, n_samples, batch, float_type, n_threads, epochs, plain=not (held_out or dropout)
    )
    chosen = [(choice, nets - rest.nets), (rest.choice, rest.nets)] if rest else [(choice, nets)]
    loss = architecture.default_loss
    plans = [(ExecutionPlan.of(architecture, loss, float_type, one), count) for one, count in chosen]
    data = nets * n_samples * size if weights_by_net else 0
    for samples, fill in ((n_samples, max(plan.fill for plan, _ in plans)), (held_out, structs.BLOCK)):
        data += samples * size * (rounded_up(n_in + 1, fill) + n_out)
    places = len(plans) * 8 * architecture.n_parameters  # the row of each parameter in a tile
    working_of = [
        _working_bytes(plan, count, method, n_samples, batch, epochs, n_threads, weights_by_net, dropout, checkpoint)
        for plan, count in plans
    ]
    training = _training_bytes(working_of, max(1, n_threads // choice.threads_per_net))
    copied = n_samples * n_in * size  # from here on: held only before, between or after training
    # the samples, their targets, the held-out ones, and numbers in float64 for one output's spread
    checked = (n_samples + held_out) * (n_in + n_out) * size + held_out * (
        rounded_up(n_in + 1, structs.BLOCK) * size + 40
    )
    checked -= results + data
    cut = 32 * nets
    written = 0
    if checkpoint:
        written = nets * architecture.n_parameters * size + min(3 * PIECE_BYTES, 2**18 + results) + KEPT_IN_WRITING
    working = places + max(training, copied, checked, cut, written)
    return Estimate(results, data, int(WITH_ITS_OWN * working) + LEAST_WORKING)


class _Working(NamedTuple):
    """The memory of a thread with one execution plan: a chunk of tiles, orders of samples, and the team's memory."""

    chunk: int
    orders: int
    team: int
    all_tiles: int  # if all of them were held
    chunks: int


def _training_bytes(parts: list[_Working], teams: int) -> int:
    """Bytes held at once by `teams` teams, each of which may train a chunk of any part."""
    busy = min(teams, sum(part.chunks for part in parts))
    tiles = min(busy * max(part.chunk for part in parts), sum(part.all_tiles for part in parts))
    return tiles + busy * (max(part.orders for part in parts) + sum(part.team for part in parts))


def _working_bytes(
    plan: ExecutionPlan,
    nets: int,
    optimizer: Optimizer,
    n_samples: int,
    batch: int,
    epochs: int,
    threads: int,
    weights_by_net: bool,
    dropout: bool,
    checkpoint: bool,
) -> _Working:
    rows, weighted = plan.rows_of_a_tile(optimizer.n_state_rows), n_samples if weights_by_net else 0
    of_a_tile = TileArrays.nbytes(plan.vectors.width, plan.vectors, rows, weighted)
    tiles = -(-nets // plan.vectors.width)
    seconds = plan.nanoseconds / 1e9
    count = tiles_of_a_chunk(tiles, seconds * max(1, epochs), threads, of_a_tile)
    weights = plan.vectors.width * weighted * plan.vectors.F.dtype.itemsize
    with_copies = of_a_tile + weights + checkpoint * (of_a_tile - weights)
    orders = 0
    if batch < n_samples:
        drawn = max(1, min(epochs, epochs_of_orders(n_samples), int(2 * SLICE_SECONDS / (count * seconds))))
        orders = 4 * drawn * n_samples + 8 * n_samples
    scratch = plan.new_scratch(batch, dropout)
    sizes = {name: part.array.nbytes for name, part in scratch._asdict().items() if isinstance(part, Buffer)}
    sizes |= {f"own.{name}": part.array.nbytes for name, part in enumerate(scratch.own)}
    if plan.threads_per_net == 1:
        del sizes["outputs"]  # they lie in `deltas`; each member of a team has its own
    shared = sum(nbytes for name, nbytes in sizes.items() if name in SHARED)
    team = shared + plan.threads_per_net * (sum(sizes.values()) - shared)
    return _Working(count * with_copies, orders, team, tiles * with_copies, -(-tiles // count))
