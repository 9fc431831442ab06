"""One training job: its settings as the kernels read them, and how a chunk of its nets is trained, slice by slice.

A chunk is a run of nets small enough for a thread's cache and for an even share of the work. It is trained to the end
by one thread, in slices of epochs of some 50 ms; between slices progress is reported, and when nets have finished
the gaps they leave are closed, so that the cost follows the nets that still train.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
from fastmlp._buffers import TileArrays, Vectors, rows_of_a_tile, scratch_buffers, tiny_scratch_buffers
from fastmlp._formulas import Method
from fastmlp._lanes import train_tiles
from fastmlp._teams import Team
from fastmlp._tiles import Groups, close_gaps, copy_in, copy_out, draw, shuffle
from fastmlp._tiny import train_tiny_tiles
from fastmlp._unit_buffers import unit_rows_of_a_tile, unit_scratch_buffers
from fastmlp._vectors import Buffer, aligned_zeros
from fastmlp.architecture import Architecture

SLICE_SECONDS = 0.05
FIRST_SLICE_FLOPS = 1e8  # a few milliseconds, until the speed is known
SLICES_WITH_RULES = 24  # so many, so that gaps are closed in time,
SHORT_SLICE_SECONDS = 0.005  # but none shorter than this
CLOSE_GAPS_BELOW = 0.75  # of the lanes in use
MIN_CHUNK_FLOPS = 4 * 10**8  # some milliseconds: a chunk costs some tenths of one beside its training
MAX_CHUNK_BYTES = 2**22
MAX_CHUNK_TILES = 256
CHUNKS_A_THREAD = 16


class Report(NamedTuple):
    """What a slice has done."""

    net_epochs: int  # epochs · nets, those included that nets left out by finishing early
    finished: int  # nets


@dataclass
class Job:
    """Everything that the training of a net depends on, and where its results go."""

    architecture: Architecture
    vectors: Vectors
    net: layout.Net
    kernel: str  # "tiny", "lanes" or "units"
    members: int  # threads that train a net together, with the units kernel
    data: layout.Data
    plan: layout.Plan
    epochs: int
    seed: np.uint64
    row_of: Buffer
    groups: Groups | None  # how initial weights are drawn,
    initial: np.ndarray | None  # or the weights themselves, (n, P)
    net_ids: np.ndarray  # (n,) uint64
    hyper: dict[int, float | np.ndarray]
    controls: dict[int, float | np.ndarray]
    betas: tuple[float | np.ndarray, float | np.ndarray]
    sample_weights: np.ndarray | None  # (n, S)
    n_state_rows: int
    parameters: np.ndarray  # (n, P)
    gradients: np.ndarray | None  # (n, P), where they are wanted
    results: layout.Results
    halt: np.ndarray  # (1,) int8

    @property
    def n_rows(self) -> int:
        if self.kernel == "units":
            return unit_rows_of_a_tile(self.net, self.n_state_rows, self.vectors)
        return rows_of_a_tile(self.n_state_rows, self.net.state_step)

    @property
    def n_weighted(self) -> int:
        return 0 if self.sample_weights is None else self.sample_weights.shape[1]

    def chunks(self, threads: int) -> list[tuple[int, int]]:
        """(first, stop) of every chunk of nets."""
        width, nets = self.vectors.width, len(self.net_ids)
        tile_bytes = TileArrays.nbytes(width, self.vectors, self.n_rows, self.n_weighted)
        tiles = -(-nets // width)
        share = -(-tiles // (threads * CHUNKS_A_THREAD))
        worthwhile = MIN_CHUNK_FLOPS // max(1, self._flops_of_a_tile() * self.epochs)
        size = max(1, min(max(share, worthwhile), MAX_CHUNK_TILES, MAX_CHUNK_BYTES // tile_bytes)) * width
        return [(first, min(first + size, nets)) for first in range(0, nets, size)]

    def new_team(self) -> Team:
        """Working memory for `train_chunk`, and the threads beside the caller's."""
        if self.kernel == "tiny":
            return Team(tiny_scratch_buffers(self.net, self.vectors))
        buffers = unit_scratch_buffers if self.kernel == "units" else scratch_buffers
        scratch = buffers(self.architecture, self.net, self.vectors, self.plan.batch_size)
        return Team(scratch, self.members)

    def compile(self) -> float:
        """Compile the kernels, or load them from the cache; returns the seconds it took."""
        begun = time.perf_counter()
        with _no_garbage_collection():
            self._call_every_kernel()
        return time.perf_counter() - begun

    def _call_every_kernel(self) -> None:
        tiles = TileArrays(self.vectors, 0, 0, self.n_rows, self.n_weighted)  # none
        self._fill(tiles)
        self._train(tiles, self._orders(0, 0), 0, 0, 1, self.new_team())
        if self.plan.rules:
            close_gaps(self.vectors.F, tiles.kernel_view, self.n_weighted)
        self._copy_out(tiles, everything=True)

    def train_chunk(self, chunk: tuple[int, int], team: Team, report: Callable[[Report], None]) -> None:
        """Train the nets of one chunk to the end, or until `halt`."""
        tiles = TileArrays(self.vectors, *chunk, self.n_rows, self.n_weighted)
        self._fill(tiles)
        epoch, active = 0, chunk[1] - chunk[0]
        length = self._first_slice(tiles.count)
        while not self.halt[0]:
            stop = min(self.epochs, epoch + length)
            orders = self._orders(epoch, stop)
            begun = time.perf_counter()
            self._train(tiles, orders, epoch, stop, self.epochs, team)
            seconds = time.perf_counter() - begun
            still_active = int(np.count_nonzero(tiles.controls[: tiles.count, layout.ACTIVE]))
            left, active, ran = active - still_active, still_active, stop - epoch
            report(Report((active + left) * ran + left * (self.epochs - stop), left))
            if self.halt[0]:
                break
            epoch = stop
            if not active or epoch == self.epochs:
                break
            length = self._next_slice(length, seconds)
            if active <= CLOSE_GAPS_BELOW * tiles.count * tiles.width and tiles.count > 1:
                self._copy_out(tiles, everything=False)
                close_gaps(self.vectors.F, tiles.kernel_view, self.n_weighted)
                tiles.count = -(-active // tiles.width)
        self._copy_out(tiles, everything=True)

    def _first_slice(self, tiles: int) -> int:
        return self._within_limits(FIRST_SLICE_FLOPS / max(1, self._flops_of_a_tile() * tiles))

    def _flops_of_a_tile(self) -> int:
        """Useful ones, of an epoch."""
        return self.architecture.useful_flops(self.data.n_samples) * self.vectors.width

    def _next_slice(self, length: int, seconds: float) -> int:
        epochs_a_second = length / max(seconds, 1e-6)
        wanted = min(8 * length, SLICE_SECONDS * epochs_a_second)
        if self.plan.rules:
            wanted = min(wanted, max(self.epochs / SLICES_WITH_RULES, SHORT_SLICE_SECONDS * epochs_a_second))
        return self._within_limits(wanted)

    def _within_limits(self, length: float) -> int:
        if self.plan.shuffle:
            length = min(length, 2**20 / self.data.n_samples)
        return max(1, int(length))

    def _fill(self, tiles: TileArrays) -> None:
        """Settings, and initial weights."""
        F, D, U = self.vectors.F, self.vectors.D, self.vectors.U
        for row, values in self.hyper.items():
            tiles.fill(tiles.hyper[:, row], values)
        for row, values in self.controls.items():
            tiles.fill(tiles.controls[:, row], values)
        for row, values in enumerate(self.betas):
            tiles.fill(tiles.powers[:, row], values)
        tiles.powers[:, 2:] = 1
        if self.sample_weights is not None:
            tiles.fill_samples(self.sample_weights)
        if self.groups is not None:
            net_ids = aligned_zeros((tiles.count, tiles.width), np.uint64)
            net_ids.ravel()[: tiles.stop - tiles.first] = self.net_ids[tiles.first : tiles.stop]
            draw(F, D, U, tiles.kernel_view, self.groups, self.row_of, Buffer(net_ids), self.seed)
        elif self.initial is not None:
            copy_in(F, tiles.kernel_view, Buffer(self.initial), self.row_of, self.net.n_parameters, tiles.first)
        if self.plan.method == Method.RPROP:
            tiles.rows[:, 3 * self.net.state_step :] = tiles.hyper[:, formulas.LEARNING_RATE, None]

    def _orders(self, first: int, stop: int) -> Buffer:
        """The samples' order in each epoch of a slice."""
        if not self.plan.shuffle:
            return _NO_ORDERS
        n, D = self.data.n_samples, self.vectors.D
        orders = np.empty((stop - first, n), np.int32)
        uniforms = aligned_zeros(n + 2 * D.count, np.float64)
        shuffle(D, self.vectors.U, Buffer(orders), Buffer(uniforms), n, first, stop, self.seed)
        return Buffer(orders)

    def _train(self, tiles: TileArrays, orders: Buffer, first: int, stop: int, last: int, team: Team) -> None:
        v, halt = self.vectors, Buffer(self.halt)
        # copied before any member changes the original
        views = [tiles.kernel_view, *(tiles.view_of_a_member() for _ in team.scratches[1:])]

        def train(scratch: layout.Scratch) -> None:
            view = views[scratch.member]
            if self.kernel == "tiny":
                train_tiny_tiles(
                    v.Blk, v.F, self.net, self.data, self.plan, view, self.results, first, stop, last, scratch, halt
                )
                return
            train_tiles(
                v.kinds, v.F, self.net, self.data, self.plan, view, self.results, orders, first, stop, last, scratch,
                halt,
            )  # fmt: skip

        team.run(train)

    def _copy_out(self, tiles: TileArrays, everything: bool) -> None:
        F, n_parameters = self.vectors.F, self.net.n_parameters
        if self.gradients is not None:
            slots = tiles.slots.copy()
            gradients = Buffer(self.gradients)
            copy_out(F, tiles.kernel_view, gradients, self.row_of, n_parameters, self.net.state_step, everything)
            tiles.slots[...] = slots
        copy_out(F, tiles.kernel_view, Buffer(self.parameters), self.row_of, n_parameters, 0, everything)


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


_NO_ORDERS = Buffer(np.zeros(1, np.int32))
