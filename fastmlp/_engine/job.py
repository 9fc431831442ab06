"""One training job: its settings as the kernels read them, and how a chunk of its nets is trained, slice by slice.

A chunk is a run of nets small enough for a thread's cache and for an even share of the work. It is trained to the end
by one thread, in slices of epochs of some 50 ms; between slices progress is reported, and when nets have finished
the gaps they leave are closed, so that the cost follows the nets that still train. A kernel goes through a slice in
strides, after each of which all tiles have come equally far, and ends it early where many nets have left.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.cost_model import rounds
from fastmlp._engine.early_stopping import Validation
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.optimizer_state import OptimizerState, fill_settings, take_settings
from fastmlp._engine.team import Team
from fastmlp._engine.tile_arrays import MAX_CHUNK_BYTES, TileArrays, Vectors
from fastmlp._engine.workers import call_apart
from fastmlp._kernels import structs
from fastmlp._kernels.epoch_loop import train_tiles
from fastmlp._kernels.evaluation import N_MEASURES, measure_tiles
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.tiles import InitSpec, compact, copy_in, copy_out, derive_keys, draw, shuffle
from fastmlp._kernels.tiny import train_tiny_tiles
from fastmlp._simd.philox import DROPOUT, SHUFFLING_BY_NET
from fastmlp._simd.types import Buffer, aligned_zeros
from fastmlp.architecture import Architecture

# What else was tried for the values of slices, strides and gaps stands in docs/performance.md
SLICE_SECONDS = 0.05
FIRST_SLICE_SECONDS = 0.003  # roughly, until the speed is known
SHORT_SLICE_SECONDS = 0.005  # with rules, where a slice is one stride
STRIDES = 24  # so many with rules, so that gaps are closed in time,
STRIDE_SECONDS_A_BYTE = 6e-9  # of the chunk: but none shorter, since each brings all tiles into the cache,
STRIDE_OF_CALM = 1 / 3  # nor than this part of the epochs so far, if no net left in the last slice
CLOSE_GAPS_BELOW = 0.85  # as soon as no more than this part of the nets in the tiles still train,
CLOSE_GAPS_AFTER = 0.005  # and at the end of a slice if any has left, but so many seconds after the last time
WORTHWHILE_CHUNK_SECONDS = 0.02  # roughly: a chunk costs some tenths of a millisecond on top of its training
LEAST_CHUNK_SECONDS = 0.0015  # where there is less, another thread does not pay
MAX_CHUNK_TILES = 256
MOST_IN_ORDERS = 2**20  # numbers of samples
MOST_CHUNKS_A_THREAD = 16


class Report(NamedTuple):
    """What a slice has done."""

    net_epochs: int  # epochs · nets, those included that nets left out by finishing early
    finished: int  # nets


@dataclass
class Job:
    """Everything that the training of a net depends on, and where its results go."""

    architecture: Architecture
    plan: ExecutionPlan
    data: structs.Data
    flags: structs.TrainFlags
    epochs: int
    seed: np.uint64
    groups: InitSpec | None  # how initial weights are drawn,
    initial: np.ndarray | None  # or the weights themselves, (n, P)
    net_ids: np.ndarray  # (n,) uint64
    hyper: dict[int, float | np.ndarray]
    stopping: dict[int, float | np.ndarray]
    betas: tuple[float | np.ndarray, float | np.ndarray]
    sample_weights: np.ndarray | None  # (n, S)
    n_state_rows: int
    parameters: np.ndarray  # (n, P)
    gradients: np.ndarray | None  # (n, P), where they are wanted
    results: structs.Results
    halt: np.ndarray  # (2,) int8: training is to end at once, or once the slices that it is at are done
    stop: int  # which nets are trained in this way: from `first` on up to this one,
    first: int = 0
    plan_of_rest: ExecutionPlan | None = None  # and in which way those from there on are
    lock: threading.Lock = field(default_factory=threading.Lock)
    dropout: float | np.ndarray = 0.0
    first_epoch: int = 0  # how many epochs the nets were trained before
    rate_factor: Callable[[int], float] | None = None  # of the learning rate, in an epoch
    order_source: Callable[[int, int], np.ndarray] | None = None  # instead of the library's own orders
    state: OptimizerState | None = None  # to go on from
    final_state: OptimizerState | None = None  # to be filled, where it is wanted
    resumable: bool = False  # whether every net is left as it was between two epochs
    validation: Validation | None = None
    earlier_epochs: np.ndarray | None = None  # (n,) of nets that are trained further
    adaptive: bool = False  # whether rules, of whichever data, lower learning rates

    def parts(self) -> list[Job]:
        """The job, and where the last nets are trained in another way the job of those."""
        if self.plan_of_rest is None:
            return [self]
        return [self, replace(self, plan=self.plan_of_rest, first=self.stop, stop=len(self.net_ids), plan_of_rest=None)]

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + self.epochs

    @property
    def vectors(self) -> Vectors:
        return self.plan.vectors

    @property
    def net(self) -> structs.Net:
        return self.plan.net

    @property
    def n_rows(self) -> int:
        return self.plan.rows_of_a_tile(self.n_state_rows)

    @property
    def tile_bytes(self) -> int:
        return TileArrays.nbytes(self.vectors.width, self.vectors, self.n_rows, self.n_weighted)

    @property
    def n_weighted(self) -> int:
        return 0 if self.sample_weights is None else self.sample_weights.shape[1]

    def chunks(self, threads: int) -> list[tuple[int, int]]:
        """(first, stop) of every chunk of this part's nets that are still to be trained.

        Those of a chunk have been trained equally far, and what has ended among them stays out of it.
        """
        unfinished = np.flatnonzero(self.results.status.array[: self.stop] == structs.INTERRUPTED)
        unfinished = unfinished[unfinished >= self.first]
        trained = self.results.epochs.array[unfinished]
        parts = np.split(unfinished, np.flatnonzero(np.diff(trained)) + 1) if unfinished.size else []
        size, found = self._chunk_size(threads), []
        for nets in parts:
            # of the pieces of a stretch those that have a net to train
            pieces = np.unique((nets - nets[0]) // size)
            first, stop = int(nets[0]), int(nets[-1]) + 1
            found += [(first + int(k) * size, min(first + (int(k) + 1) * size, stop)) for k in pieces]
        return found

    def all_chunks(self, threads: int) -> list[tuple[int, int]]:
        """(first, stop) of chunks of all nets."""
        size, nets = self._chunk_size(threads), len(self.net_ids)
        return [(first, min(first + size, nets)) for first in range(0, nets, size)]

    def _chunk_size(self, threads: int) -> int:
        width, nets = self.vectors.width, self.stop - self.first
        seconds = self._seconds_of_a_tile() * max(1, self.epochs)
        return tiles_of_a_chunk(-(-nets // width), seconds, threads, self.tile_bytes) * width

    def new_team(self) -> Team:
        """Working memory for `train_chunk`, and the threads in addition to the caller's."""
        return Team(self.plan.new_scratch(self.flags.batch_size, self.flags.dropping), self.plan.threads_per_net)

    def compile(self) -> float:
        """Compile the kernels, or load them from the cache; returns the seconds it took.

        An exception that comes in the middle, such as that of Ctrl-C, would be lost in LLVM or leave half a kernel.
        """
        begun = time.perf_counter()
        with _no_garbage_collection():
            for part in self.parts():
                call_apart(part._call_every_kernel)
        return time.perf_counter() - begun

    def _call_every_kernel(self) -> None:
        tiles = TileArrays(self.vectors, 0, 0, self.n_rows, self.n_weighted)  # none
        begin = self.first_epoch
        self._fill(tiles, begin)
        team = self.new_team()
        self._train(tiles, self._epochs(tiles, begin, begin)._replace(last=begin + 1), team)
        compact(self.vectors.F, tiles.kernel_view, self.n_weighted)  # without rules too, for nets may diverge
        if self.validation is not None:
            self._measured(tiles, self.data, False, team.scratches[0])
        self._copy_out(tiles, tiles.result_index >= 0)

    def train_chunk(self, chunk: tuple[int, int], team: Team, report: Callable[[Report], None]) -> None:
        """Train the nets of one chunk to the end, or until `halt`."""
        tiles = TileArrays(self.vectors, *chunk, self.n_rows, self.n_weighted)
        unfinished = self.results.status.array[slice(*chunk)] == structs.INTERRUPTED
        begin, end = int(self.results.epochs.array[slice(*chunk)][unfinished][0]), self.last_epoch
        epoch = begin
        self._fill(tiles, epoch)
        self._leave_out(tiles, ~unfinished)
        held = active = int(unfinished.sum())
        since_closing = 0.0
        length = stride = self._first_slice(tiles.count)
        while not self.halt.any():
            fewest = int(CLOSE_GAPS_BELOW * held) + 1
            begun = time.perf_counter()
            before = self._kept(tiles) if self.resumable else None
            epochs = self._epochs(tiles, epoch, min(end, epoch + length))._replace(stride=stride, fewest=fewest)
            stop = self._train(tiles, epochs, team)
            del epochs  # the next slice's orders need no memory in addition to these
            cut_short = bool(self.halt[0])  # read once: it may change at any time
            if before is not None and cut_short:
                self._put_back(tiles, before)
                break
            del before
            if self.validation is not None and stop > epoch and not cut_short:
                self._validate(tiles, stop, team.scratches[0])
            seconds = time.perf_counter() - begun
            still_active = int(np.count_nonzero(tiles.stop_state[: tiles.count, structs.ACTIVE]))
            left, active, ran = active - still_active, still_active, stop - epoch
            report(Report((active + left) * ran + left * (end - stop), left))
            epoch = stop
            if not active or epoch == end:
                break
            length, stride = self._pace(ran, seconds, tiles.count, calm=0 if left else epoch - begin)
            since_closing += seconds
            if active < fewest or (active < held and since_closing > CLOSE_GAPS_AFTER):
                self._close_gaps(tiles, active)
                held, since_closing = active, 0.0
        self._copy_out(tiles, tiles.result_index >= 0)

    def _leave_out(self, tiles: TileArrays, ended: np.ndarray) -> None:
        """Take those nets of a chunk that have ended before out of their lanes."""
        if ended.any():
            leaving = np.resize(ended, tiles.result_index.shape) & (tiles.result_index >= 0)
            tiles.stop_state[:, structs.ACTIVE][leaving] = 0
            tiles.result_index[leaving] = -1
            self._close_gaps(tiles, int(np.count_nonzero(~ended)))

    def _close_gaps(self, tiles: TileArrays, active: int) -> None:
        """Copy out who has ended, and move the others together."""
        self._copy_out(tiles, (tiles.result_index >= 0) & (tiles.stop_state[:, structs.ACTIVE] == 0))
        compact(self.vectors.F, tiles.kernel_view, self.n_weighted)
        tiles.count = -(-active // tiles.width)

    def _changing(self, tiles: TileArrays) -> list[np.ndarray]:
        """Everything that a slice may change: what steers the nets, and what is noted of them."""
        noted = (self.results.status, self.results.epochs, self.results.loss, self.results.accuracy)
        chunk = slice(tiles.first, tiles.stop)
        return [tiles.rows, tiles.hyper, tiles.stop_state, tiles.powers, *(values.array[chunk] for values in noted)]

    def _kept(self, tiles: TileArrays) -> list[np.ndarray]:
        return [array.copy() for array in self._changing(tiles)]

    def _put_back(self, tiles: TileArrays, before: list[np.ndarray]) -> None:
        """Undo a slice that was cut short."""
        for array, earlier in zip(self._changing(tiles), before, strict=True):
            array[...] = earlier

    def _first_slice(self, tiles: int) -> int:
        if self.validation is not None:
            return 1
        return self._within_limits(FIRST_SLICE_SECONDS / (self._seconds_of_a_tile() * max(1, tiles)), tiles)

    def _seconds_of_a_tile(self) -> float:
        """An epoch's, roughly."""
        return self.plan.nanoseconds / 1e9

    def _pace(self, ran: int, seconds: float, tiles: int, calm: int) -> tuple[int, int]:
        """How many epochs are next, and after how many of them the kernel looks for gaps.

        The last slice ran so many epochs; `calm` epochs went by and no net just left.
        """
        if self.validation is not None:
            return 1, 1
        speed = ran / max(seconds, 1e-6)
        length = stride = min(8 * ran, SLICE_SECONDS * speed)
        if self.flags.rules:
            # what a slice that ends early has not used is drawn twice: where orders and the like are, none ends early
            drawing = self.flags.shuffle or self.flags.dropping or self.rate_factor is not None
            least = SHORT_SLICE_SECONDS if drawing else STRIDE_SECONDS_A_BYTE * tiles * self.tile_bytes
            stride = max(self.epochs / STRIDES, least * speed, STRIDE_OF_CALM * calm)
            length = min(length, stride) if drawing else length
        return self._within_limits(length, tiles), max(1, int(stride))

    def _within_limits(self, length: float, tiles: int) -> int:
        if self.flags.shuffle:
            length = min(length, epochs_of_orders(self.data.n_samples))
        if self.flags.order_by_net:
            length = min(length, 2**24 / (self.data.n_samples * tiles))
        return max(1, int(length))

    def _fill(self, tiles: TileArrays, epoch: int) -> None:
        """Settings, and the weights and the optimizer's state after so many epochs."""
        F, D, U = self.vectors.F, self.vectors.D, self.vectors.U
        self._fill_settings(tiles)
        if self.groups is not None and epoch == self.first_epoch:
            draw(F, D, U, tiles.kernel_view, self.groups, self.plan.row_of, self.seed)
        elif self.initial is not None:
            self._copy_in(tiles, self.initial, 0)
        if self.state is not None:
            for k, rows in enumerate(self.state.rows):
                self._copy_in(tiles, rows, (2 + k) * self.net.state_step)
            fill_settings(tiles, self.state, adaptive=self.adaptive)
        elif self.flags.method == Method.RPROP:
            tiles.rows[:, 3 * self.net.state_step :] = tiles.hyper[:, optimizers.LEARNING_RATE, None]

    def _fill_settings(self, tiles: TileArrays) -> None:
        for row, values in self.hyper.items():
            tiles.fill(tiles.hyper[:, row], values)
        for row, values in self.stopping.items():
            tiles.fill(tiles.stop_state[:, row], values)
        for row, values in enumerate(self.betas):
            tiles.fill(tiles.powers[:, row], values)
        tiles.powers[:, 2:] = 1
        tiles.fill_words(0, self.net_ids)
        tiles.fill_words(1, np.broadcast_to(np.uint64(2.0**32 * np.asarray(self.dropout)), self.net_ids.shape))
        if self.sample_weights is not None:
            tiles.fill_samples(self.sample_weights)

    def _orders(self, first: int, stop: int, seed: np.uint64 | None = None) -> Buffer:
        """The samples' order in each epoch of a slice, by the job's seed or a net's own."""
        if not self.flags.shuffle:
            return _NO_ORDERS
        if self.order_source is not None:
            return Buffer(self.order_source(first - self.first_epoch, stop - self.first_epoch))
        n, D = self.data.n_samples, self.vectors.D
        orders = np.empty((stop - first, n), np.int32)
        uniforms = aligned_zeros(n + 2 * D.count, np.float64)
        shuffle(
            D, self.vectors.U, Buffer(orders), Buffer(uniforms), n, first, stop, self.seed if seed is None else seed
        )
        return Buffer(orders)

    def _orders_by_net(self, tiles: TileArrays, first: int, stop: int) -> Buffer:
        """The samples' order in each epoch of a slice, for each net."""
        keys = self._keys(tiles.rng_words[: tiles.count, 0].ravel(), SHUFFLING_BY_NET)
        if not tiles.count:
            return _NO_ORDERS
        return Buffer(np.concatenate([self._orders(first, stop, key).array for key in keys]))

    def _keys(self, numbers: np.ndarray, purpose: int) -> np.ndarray:
        """A seed for each of the numbers, which are those of epochs or nets."""
        U = self.vectors.U
        rows = max(1, -(-len(numbers) // U.count))
        padded, keys = (aligned_zeros(rows * U.count, np.uint64) for _ in range(2))
        padded[: len(numbers)] = numbers
        derive_keys(U, Buffer(padded), Buffer(keys), rows, np.uint64(purpose), self.seed)
        return keys[: max(1, len(numbers))]

    def _epochs(self, tiles: TileArrays, first: int, stop: int) -> structs.Epochs:
        """A slice of one stride, as the kernels read it."""
        factors = np.ones(max(1, stop - first), self.vectors.F.dtype)
        if self.rate_factor is not None:
            with self.lock:  # functions of the user's are called by one thread at a time
                factors[: stop - first] = [checked_factor(self.rate_factor(e), e) for e in range(first, stop)]
        orders = self._orders_by_net(tiles, first, stop) if self.flags.order_by_net else self._orders(first, stop)
        keys = self._keys(np.arange(first, stop, dtype=np.uint64), DROPOUT) if self.flags.dropping else _NO_KEYS
        return structs.Epochs(
            orders, Buffer(keys), Buffer(factors), self.first_epoch, first, stop, stride=max(1, stop - first), fewest=0,
            last=self.last_epoch,
        )  # fmt: skip

    def _train(self, tiles: TileArrays, epochs: structs.Epochs, team: Team) -> int:
        """Train a slice; returns the epoch that it ended before, unless `halt` cut it short."""
        v, halt = self.vectors, Buffer(self.halt)
        # copied before any member changes the original
        views = [tiles.kernel_view, *(tiles.view_of_a_member() for _ in team.scratches[1:])]

        def train(scratch: structs.Scratch) -> int:
            view, results = views[scratch.thread_number], self.results
            if self.plan.kernel == "tiny":
                return train_tiny_tiles(
                    v.Blk, v.F, self.net, self.data, self.flags, view, results, epochs, scratch, halt
                )
            return train_tiles(v.kinds, v.F, self.net, self.data, self.flags, view, results, epochs, scratch, halt)

        return team.run(train)

    def _validate(self, tiles: TileArrays, epoch: int, scratch: structs.Scratch) -> None:
        """Score the nets after so many epochs, and keep the weights of those that got better."""
        validation = self.validation
        assert validation is not None
        measures = self._measured(tiles, validation.data, validation.counts_accuracy, scratch)
        trained, every = epoch - self.first_epoch, self.flags.record_every
        record = trained // every - 1 if every and trained % every == 0 else None
        best = Buffer(validation.best_parameters)
        validation.judge(
            tiles, measures, epoch, record, self.flags.full_batch and epoch == self.last_epoch, self.results,
            lambda chosen: self._copy_rows(tiles, best, 0, chosen),
        )  # fmt: skip

    def _measured(
        self, tiles: TileArrays, data: structs.Data, counts_accuracy: bool, scratch: structs.Scratch
    ) -> np.ndarray:
        """What `measure_tiles` writes, with one thread: its measures (T, N_MEASURES + 2 n_out, W)."""
        v = self.vectors
        n_measures = N_MEASURES + 2 * self.architecture.sizes[-1]
        measures = aligned_zeros((tiles.count, n_measures, tiles.width), v.F.dtype)
        flags, alone = (
            self.flags._replace(counts_accuracy=counts_accuracy),
            scratch._replace(thread_number=0, threads_per_net=1),
        )
        measure_tiles(v.kinds, v.F, self.net, data, flags, tiles.kernel_view, Buffer(measures), alone)
        return measures

    def settle_chunk(self, chunk: tuple[int, int], team: Team, _report: Callable[[Any], None]) -> None:
        """Where validation data decide, put nets' best weights in the place of their last ones, if asked for.

        They are measured on the training data. A net that has reached its target keeps the weights that did.
        """
        validation = self.validation
        assert validation is not None
        status = self.results.status.array
        scored = np.zeros(len(self.net_ids), bool)
        scored[slice(*chunk)] = validation.best_epoch[slice(*chunk)] > 0
        if validation.restore:
            scored &= status != structs.REACHED_TARGET
            self.parameters[scored] = validation.best_parameters[scored]
        else:
            scored[slice(*chunk)] = status[slice(*chunk)] == structs.STALLED
        tiles = TileArrays(self.vectors, *chunk, self.n_rows, self.n_weighted)
        self._fill_settings(tiles)
        self._copy_in(tiles, self.parameters, 0)
        measures = self._measured(tiles, self.data, self.flags.counts_accuracy, team.scratches[0])
        lanes = tiles.result_index >= 0
        for values, k in ((self.results.loss, 0), (self.results.accuracy, 1)):
            values.array[scored] = measures[:, k][lanes][scored[slice(*chunk)]]

    def _copy_in(self, tiles: TileArrays, parameters: np.ndarray, first_row: int) -> None:
        n_parameters = self.net.n_parameters
        copy_in(
            self.vectors.F,
            tiles.kernel_view,
            Buffer(np.ascontiguousarray(parameters)),
            self.plan.row_of,
            n_parameters,
            tiles.first,
            first_row,
        )

    def _copy_rows(self, tiles: TileArrays, target: Buffer, first_row: int, chosen: np.ndarray) -> None:
        """Copy the nets of the lanes of a mask (T, W) to their places in `target`, (n, P)."""
        mask = Buffer(np.ascontiguousarray(chosen, np.int8))
        copy_out(self.vectors.F, tiles.kernel_view, target, self.plan.row_of, self.net.n_parameters, first_row, mask)

    def _copy_out(self, tiles: TileArrays, leaving: np.ndarray) -> None:
        """Copy the nets of the lanes of a mask (T, W) to the results; they leave their lanes."""
        step = self.net.state_step
        self._copy_rows(tiles, Buffer(self.parameters), 0, leaving)
        if self.gradients is not None:
            self._copy_rows(tiles, Buffer(self.gradients), step, leaving)
        if self.final_state is not None:
            for k, rows in enumerate(self.final_state.rows):
                self._copy_rows(tiles, Buffer(rows), (2 + k) * step, leaving)
            take_settings(tiles, self.final_state, leaving)
        tiles.result_index[leaving] = -1


def tiles_of_a_chunk(tiles: int, seconds_of_a_tile: float, threads: int, tile_bytes: int) -> int:
    """How many tiles are trained together by one thread, of a job of so many."""
    seconds = tiles * seconds_of_a_tile
    busy = max(1, min(threads, int(seconds / LEAST_CHUNK_SECONDS)))
    chunks = max(1, min(int(seconds / busy / WORTHWHILE_CHUNK_SECONDS), MOST_CHUNKS_A_THREAD))
    largest = max(1, min(-(-tiles // (busy * chunks)), MAX_CHUNK_TILES, MAX_CHUNK_BYTES // tile_bytes))
    # the busiest thread is to have least to do
    return min(range(largest, largest // 2, -1), key=lambda size: rounds(tiles, size, busy) * size)


def epochs_of_orders(n_samples: int) -> int:
    """For how many epochs at most the samples' orders are drawn at once."""
    return max(1, MOST_IN_ORDERS // n_samples)


def checked_factor(factor: object, epoch: int) -> float:
    """What a schedule says of an epoch, if it makes sense."""
    if not isinstance(factor, (int, float, np.integer, np.floating)) or isinstance(factor, bool):
        raise TypeError(f"schedule gives {factor!r} for epoch {epoch}; needs a number")
    if not np.isfinite(factor) or factor < 0:
        raise ValueError(f"schedule gives {factor!r} for epoch {epoch}; needs a finite number of at least 0")
    return float(factor)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Compiling makes millions of objects that live on: looking through them again and again takes a sixth of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_NO_KEYS = np.zeros(1, np.uint64)
_NO_ORDERS = Buffer(np.zeros(1, np.int32))
