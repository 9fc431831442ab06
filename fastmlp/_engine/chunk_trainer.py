"""Train one chunk of a job's nets to the end, slice by slice, on one thread or a team.

A chunk is a range of nets small enough for a thread's cache. It is trained in slices of epochs of about 50 ms. Between
slices progress is reported, and lanes of finished nets are compacted, so that the cost is that of the nets that still
train. A kernel divides a slice into strides, after each of which all tiles have trained equally many epochs; it ends
the slice early if many nets have finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.chunks import Chunk
from fastmlp._engine.compiling import compile_apart
from fastmlp._engine.job import Job
from fastmlp._engine.optimizer_state import fill_settings, take_settings
from fastmlp._engine.pacing import Pacing, fewest
from fastmlp._engine.slices import slice_of
from fastmlp._engine.team import Team
from fastmlp._engine.tile_arrays import TileArrays, own_chunk
from fastmlp._kernels import structs
from fastmlp._kernels.epoch_loop import train_tiles
from fastmlp._kernels.evaluation import N_MEASURES, measure_tiles
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.tiles import compact, copy_in, copy_out, draw
from fastmlp._kernels.tiny import train_tiny_tiles
from fastmlp._simd.types import Buffer, aligned_zeros, static

MOST_KEPT_BYTES = 2**18  # of a team's memory, and of tiles, that are kept for later jobs


class Report(NamedTuple):
    """The report of a slice."""

    net_epochs: int  # epochs · nets, including epochs that nets skipped by finishing early
    finished: int  # finished nets


# Kernels that are compiled without other optimizers: more of them would take longer for those who try several
METHODS_ALONE = {"tiny": (Method.SGD, Method.ADAM), "lanes": (Method.ADAM,), "units": (Method.ADAM,)}


class ChunkTrainer:
    """Trains chunks of the nets of a job, or of one part of it."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def new_team(self) -> Team:
        """Working memory for `train_chunk`, and the additional threads of a team."""
        job, plan, flags = self.job, self.job.plan, self.job.flags
        if job.own is None:
            return Team(plan.new_scratch(flags.batch_size, flags.dropping), plan.threads_per_net)
        n_out, data = job.architecture.sizes[-1], [job.data]
        if job.validation is not None and job.validation.data.by_net:
            data.append(job.validation.data)
        rows = sum(one.n_columns + n_out + 2 for one in data)
        team = Team(plan.new_scratch(flags.batch_size, flags.dropping, rows), plan.threads_per_net)
        for scratch in team.scratches:
            capacity = scratch.capacity
            team.chunks.append(
                tuple(own_chunk(job.architecture, one.n_columns, plan.vectors, capacity) for one in data)
            )
        return team

    def lent_team(self) -> Team:
        """A team of one thread from an earlier job, or a new one."""
        if self.job.own is not None:
            return self.new_team()
        return self.job.plan.teams.take(self._team_key) or self.new_team()

    def give_back(self, team: Team) -> None:
        """Keep the team for a later job, if it is small."""
        if self.job.own is not None:
            return
        scratch = team.scratches[0]
        if sum(value.array.nbytes for value in scratch if isinstance(value, Buffer)) <= MOST_KEPT_BYTES:
            self.job.plan.teams.give(self._team_key, team)

    @property
    def _team_key(self) -> tuple[int, bool]:
        return self.job.flags.batch_size, self.job.flags.dropping

    @property
    def kernels(self) -> tuple[str | int | None, ...]:
        """The group of kernels that this job calls, as an entry of `ExecutionPlan.compiled`."""
        job, flags = self.job, self.job.flags
        begins = (job.init_spec is None, job.begin.parameters is None, job.begin.state is None)
        draws = (flags.shuffle and job.order_source is None, flags.order_by_net, flags.dropping)
        held_out_by_net = None if job.validation is None else bool(job.validation.data.by_net)
        special = (held_out_by_net, bool(job.data.by_net), self._only_method, job.takes_short_cut)
        return (type(self).__name__, *begins, *draws, *special)

    @property
    def _only_method(self) -> int | None:
        """The only optimizer in the kernel that trains these nets; None for a kernel with all of them."""
        method = self.job.flags.method
        return method if method in METHODS_ALONE[self.job.plan.kernel] else None

    def call_every_kernel(self) -> None:
        """Compile the kernels, by calls without nets."""
        job = self.job
        tiles, begin = job.new_tiles(0, 0), job.begin.first_epoch
        self.fill(tiles, begin)
        team = self.new_team()
        self.train(tiles, slice_of(job, tiles, begin, begin)._replace(last=begin + 1), team)
        # also without rules, because nets may diverge
        job.plan.call(compact, job.vectors.F, tiles.kernel_view, job.n_weighted)
        if job.validation is not None:
            self._measured(tiles, self._data_for(team), False, team.scratches[0])
            if job.validation.data.by_net != job.data.by_net:
                self._measured(tiles, self._validation_data_for(team), False, team.scratches[0])
        self._copy_out(tiles, tiles.result_index >= 0)

    def train_chunk(self, chunk: Chunk, team: Team, report: Callable[[Report], None]) -> None:
        """Train the nets of one chunk to the end, or until the job halts."""
        job, nets = self.job, self.job.nets_of(*chunk)
        pacing, tiles = Pacing(job, nets), self._lent_tiles(chunk)
        unfinished = job.results.status.array[nets] == structs.INTERRUPTED
        begin, end = int(job.results.epochs.array[nets][unfinished][0]), job.last_epoch
        epoch = begin
        self.fill(tiles, epoch)
        self._leave_out(tiles, ~unfinished)
        held = active = int(unfinished.sum())
        pace = pacing.first(tiles.count)
        while not job.halt.any():
            begun = time.perf_counter()
            stop = self._train_slice(tiles, epoch, min(end, epoch + pace.length), pace.stride, fewest(held), team)
            if stop is None:
                break
            seconds = time.perf_counter() - begun
            still_active = int(np.count_nonzero(tiles.stop_state[: tiles.count, structs.ACTIVE]))
            left, active, ran = active - still_active, still_active, stop - epoch
            report(Report((active + left) * ran + left * (end - stop), left))
            epoch = stop
            if not active or epoch == end:
                break
            pace = pacing.next(ran, seconds, tiles.count, calm=0 if left else epoch - begin)
            if pacing.closes_gaps(held, active, seconds):
                self._close_gaps(tiles, active)
                held = active
        self._copy_out(tiles, tiles.result_index >= 0)
        self._give_back_tiles(chunk, tiles)

    def _tiles_key(self, chunk: Chunk) -> tuple[int, ...]:
        return *chunk, self.job.n_rows, self.job.n_weighted

    def _lent_tiles(self, chunk: Chunk) -> TileArrays:
        """Tiles of an earlier job, or new ones."""
        if self.job.own is not None:
            return self.job.new_tiles(*chunk)
        tiles = self.job.plan.tiles.take(self._tiles_key(chunk))
        if tiles is None:
            return self.job.new_tiles(*chunk)
        tiles.reset()
        return tiles

    def _give_back_tiles(self, chunk: Chunk, tiles: TileArrays) -> None:
        """Keep the tiles for `settle_chunk` and for a later job, if they are small."""
        if self.job.own is None and chunk == (self.job.first, self.job.stop) and tiles.n_bytes <= MOST_KEPT_BYTES:
            self.job.plan.tiles.give(self._tiles_key(chunk), tiles)

    def _train_slice(
        self, tiles: TileArrays, first: int, stop: int, stride: int, least_active: int, team: Team
    ) -> int | None:
        """Train a slice and score it; returns the epoch after its last, or None if a halt undid it."""
        job = self.job
        before = self._kept(tiles) if job.resumable else None
        epochs = slice_of(job, tiles, first, stop)._replace(stride=stride, fewest=least_active)
        ended = self.train(tiles, epochs, team)
        del epochs  # frees the memory of these orders before the next are drawn
        cut_short = bool(job.halt[0])  # read once: it may change at any time
        if before is not None and cut_short:
            self._put_back(tiles, before)
            return None
        if job.validation is not None and ended > first and not cut_short:
            self._validate(tiles, ended, team)
        return ended

    def _leave_out(self, tiles: TileArrays, ended: np.ndarray) -> None:
        """Remove nets that have ended before from their lanes."""
        if ended.any():
            leaving = np.resize(ended, tiles.result_index.shape) & (tiles.result_index >= 0)
            tiles.stop_state[:, structs.ACTIVE][leaving] = 0
            tiles.result_index[leaving] = -1
            self._close_gaps(tiles, int(np.count_nonzero(~ended)))

    def _close_gaps(self, tiles: TileArrays, active: int) -> None:
        """Copy out the nets that have ended, and compact the others."""
        self._copy_out(tiles, (tiles.result_index >= 0) & (tiles.stop_state[:, structs.ACTIVE] == 0))
        compact(self.job.vectors.F, tiles.kernel_view, self.job.n_weighted)
        tiles.count = -(-active // tiles.width)

    def _changing(self, tiles: TileArrays) -> list[tuple[np.ndarray, Any]]:
        """Everything that a slice may change: parameters, control values, and the results of these nets."""
        results = self.job.results
        noted = (results.status, results.epochs, results.loss, results.accuracy)
        of_tiles = (tiles.rows, tiles.hyper, tiles.stop_state, tiles.powers)
        return [*((array, ...) for array in of_tiles), *((values.array, tiles.nets) for values in noted)]

    def _kept(self, tiles: TileArrays) -> list[np.ndarray]:
        return [array[which].copy() for array, which in self._changing(tiles)]

    def _put_back(self, tiles: TileArrays, before: list[np.ndarray]) -> None:
        """Undo an unfinished slice."""
        for (array, which), earlier in zip(self._changing(tiles), before, strict=True):
            array[which] = earlier

    def fill(self, tiles: TileArrays, epoch: int) -> None:
        """Write settings, weights and the optimizer's state after `epoch` epochs into the tiles."""
        job, begin, v = self.job, self.job.begin, self.job.vectors
        self._fill_settings(tiles)
        if job.init_spec is not None and epoch == begin.first_epoch:
            job.plan.call(draw, v.F, v.D, v.U, tiles.kernel_view, job.init_spec, job.plan.row_of, job.seed)
        elif begin.parameters is not None:
            self.copy_in(tiles, begin.parameters, 0)
        if begin.state is not None:
            for k, rows in enumerate(begin.state.rows):
                self.copy_in(tiles, rows, (2 + k) * job.net.state_step)
            fill_settings(tiles, begin.state, adaptive=job.adaptive)
        elif job.flags.method == Method.RPROP:
            tiles.rows[:, 3 * job.net.state_step :] = tiles.hyper[:, optimizers.LEARNING_RATE, None]

    def _fill_settings(self, tiles: TileArrays) -> None:
        job = self.job
        tiles.fill_rows(tiles.hyper, job.hyper)
        tiles.fill_rows(tiles.stop_state, job.stopping)
        tiles.fill_rows(tiles.powers, dict(enumerate(job.settings.optimizer.betas)))
        tiles.powers[:, 2:] = 1
        net_ids, dropout = job.begin.net_ids, job.settings.dropout
        tiles.fill_words(0, net_ids)
        if job.flags.dropping:
            tiles.fill_words(1, np.broadcast_to(np.uint64(2.0**32 * np.asarray(dropout)), net_ids.shape))
        if job.sample_weights is not None:
            tiles.fill_samples(job.sample_weights)
        if job.own is not None:
            tiles.fill_spans(job.own.spans)

    def train(self, tiles: TileArrays, epochs: structs.Epochs, team: Team) -> int:
        """Train a slice; returns the epoch after its last, or None if a halt ended it."""
        job, v, halt, variant = self.job, self.job.vectors, Buffer(self.job.halt), self._only_method
        flags = job.flags if variant is None else job.flags._replace(method=static(variant))
        small = static(job.takes_short_cut)
        # copied before any thread changes the original
        views = [tiles.kernel_view, *(tiles.view_of_a_member() for _ in team.scratches[1:])]

        def train(scratch: structs.Scratch) -> int:
            view = views[scratch.thread_number]
            rest = job.net, self._data_for(team, scratch.thread_number), flags, view, job.results, epochs, scratch, halt
            if job.plan.kernel == "tiny":
                return job.plan.call(train_tiny_tiles, v.Blk, v.F, *rest, small, variant=(variant, small))
            return job.plan.call(train_tiles, v.kinds, v.F, *rest, variant=(variant, bool(job.data.by_net)))

        return team.run(train)

    def _data_for(self, team: Team, member: int = 0) -> structs.Data:
        """The training data, with the member's room for samples of each net's own."""
        data = self.job.data
        return data._replace(chunk=team.chunks[member][0]) if data.by_net else data

    def _validation_data_for(self, team: Team) -> structs.Data:
        assert self.job.validation is not None
        data = self.job.validation.data
        return data._replace(chunk=team.chunks[0][1]) if data.by_net else data

    def _validate(self, tiles: TileArrays, epoch: int, team: Team) -> None:
        """Score the nets after `epoch` epochs, and keep the weights of those with a better score."""
        job, validation = self.job, self.job.validation
        assert validation is not None
        data = self._validation_data_for(team)
        measures = self._measured(tiles, data, validation.counts_accuracy, team.scratches[0])
        trained, every = epoch - job.begin.first_epoch, job.flags.record_every
        record = trained // every - 1 if every and trained % every == 0 else None
        best = Buffer(validation.best_parameters)
        validation.judge(
            tiles,
            measures,
            epoch,
            record,
            job.flags.full_batch and epoch == job.last_epoch,
            job.results,
            lambda chosen: self.copy_rows(tiles, best, 0, chosen),
        )

    def _measured(
        self, tiles: TileArrays, data: structs.Data, counts_accuracy: bool, scratch: structs.Scratch
    ) -> np.ndarray:
        """Call `measure_tiles` with one thread; returns its measures (T, N_MEASURES + 2 n_out, W)."""
        job, v = self.job, self.job.vectors
        n_measures = N_MEASURES + 2 * job.architecture.sizes[-1]
        measures = aligned_zeros((tiles.count, n_measures, tiles.width), v.F.dtype)
        alone = scratch._replace(thread_number=0, threads_per_net=1)
        job.plan.call(
            measure_tiles,
            v.kinds,
            v.F,
            job.net,
            data,
            tiles.kernel_view,
            job.flags.loss_scale,
            counts_accuracy,
            Buffer(measures),
            alone,
            variant=bool(data.by_net),
        )
        return measures

    def settle_chunk(self, chunk: Chunk, team: Team, _report: Callable[[Report], None]) -> None:
        """Replace nets' last weights by those of their best validation score, if `restore_best` is set.

        They are measured on the training data. A net that has reached its target keeps its last weights.
        """
        job, validation = self.job, self.job.validation
        assert validation is not None
        nets = np.arange(job.n_nets)[job.nets_of(*chunk)]
        status = job.results.status.array[nets]
        scored = (status == structs.STALLED) & (not validation.restore)
        if validation.restore:
            scored = (validation.best_epoch[nets] > 0) & (status != structs.REACHED_TARGET)
            job.parameters[nets[scored]] = validation.best_parameters[nets[scored]]
        tiles = self._lent_tiles(chunk)
        self._fill_settings(tiles)
        self.copy_in(tiles, job.parameters, 0)
        measures = self._measured(tiles, self._data_for(team), job.flags.counts_accuracy, team.scratches[0])
        lanes = tiles.result_index >= 0  # those of `nets`, in their order
        for values, k in ((job.results.loss, 0), (job.results.accuracy, 1)):
            values.array[nets[scored]] = measures[:, k][lanes][scored]
        self._give_back_tiles(chunk, tiles)

    def copy_in(self, tiles: TileArrays, parameters: np.ndarray, first_row: int) -> None:
        """Copy parameters (n, P) into the nets' lanes."""
        plan, source = self.job.plan, Buffer(np.ascontiguousarray(parameters))
        plan.call(copy_in, plan.vectors.F, tiles.kernel_view, source, plan.row_of, plan.net.n_parameters, first_row)

    def copy_rows(self, tiles: TileArrays, target: Buffer, first_row: int, chosen: np.ndarray) -> None:
        """Copy the nets of the lanes of a mask (T, W) to their places in `target`, (n, P)."""
        plan, mask = self.job.plan, Buffer(np.ascontiguousarray(chosen, np.int8))
        plan.call(
            copy_out, plan.vectors.F, tiles.kernel_view, target, plan.row_of, plan.net.n_parameters, first_row, mask
        )

    def _copy_out(self, tiles: TileArrays, leaving: np.ndarray) -> None:
        """Copy the nets of the lanes of a mask (T, W) to the results, and free the lanes."""
        job, step = self.job, self.job.net.state_step
        self.copy_rows(tiles, Buffer(job.parameters), 0, leaving)
        if job.gradients is not None:
            self.copy_rows(tiles, Buffer(job.gradients), step, leaving)
        if job.final_state is not None:
            for k, rows in enumerate(job.final_state.rows):
                self.copy_rows(tiles, Buffer(rows), (2 + k) * step, leaving)
            take_settings(tiles, job.final_state, leaving)
        tiles.result_index[leaving] = -1


def compile_kernels(trainers: list[ChunkTrainer], progress: bool = False) -> float:
    """Compile the kernels that this process has not compiled yet, or load them; returns the seconds it took."""
    new = [trainer for trainer in trainers if trainer.kernels not in trainer.job.plan.compiled]
    if not new:
        return 0.0
    seconds = compile_apart([trainer.call_every_kernel for trainer in new], progress)
    for trainer in new:
        trainer.job.plan.compiled.add(trainer.kernels)
    return seconds
