"""Run a job: distribute its chunks to threads, report progress, and stop when asked to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastmlp._engine import workers
from fastmlp._engine.chunk_trainer import ChunkTrainer, Report, compile_kernels
from fastmlp._engine.chunks import Chunk, all_chunks, unfinished_chunks
from fastmlp._engine.interrupts import Stopping
from fastmlp._engine.job import Job
from fastmlp._engine.team import Team
from fastmlp.runs import Runs, Status
from fastmlp.training.checkpoint import Checkpoint

SHORT_SECONDS = 0.01  # a job of one chunk that takes no longer runs in the calling thread: a signal can wait for it


class Progress(NamedTuple):
    """Progress of a call of `train`, for its callback.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> seen = []
    >>> runs = fastmlp.train(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, epochs=200, callback=seen.append
    ... )
    >>> seen[-1].net_epochs, seen[-1].finished, seen[-1].n_nets
    (20000, 100, 100)
    """

    net_epochs: int
    """Completed net-epochs; a net that stopped early counts with all its epochs."""
    total_net_epochs: int
    finished: int
    """Nets that have ended."""
    n_nets: int
    seconds: float
    """Seconds since training started, without compilation."""


Callback = Callable[[Progress], Any]
Work = TypeVar("Work")


class Runner:
    """Trains the nets of one job, with a trainer for each of its parts."""

    def __init__(
        self, job: Job, runs: Runs, threads: int, *, new_trainer: Callable[[Job], ChunkTrainer] = ChunkTrainer
    ) -> None:
        self.job, self.runs = job, runs
        self._threads = threads
        self._trainers = [new_trainer(part) for part in job.parts()]
        parts = [trainer.job for trainer in self._trainers]
        alone = all(part.plan.threads_per_net == 1 for part in parts)
        self._is_short = alone and sum(part.seconds for part in parts) <= SHORT_SECONDS

    def compile(self, progress: bool = False) -> None:
        """Compile or load the kernels, and note the seconds."""
        self.runs.compile_seconds = compile_kernels(self._trainers, progress)

    def run(
        self, progress: bool = False, callback: Callback | None = None, checkpoint: Checkpoint | None = None
    ) -> signal.Signals | None:
        """Train all nets; returns the signal that stopped training, or None."""
        job, begun = self.job, time.perf_counter()
        reporter = _Reporter(job, self.runs, progress, callback, checkpoint)
        # a process that SIGTERM ends loses no more than what is short
        signals = (signal.SIGINT,) if self._is_short and checkpoint is None else ()
        with Stopping(*signals) as stopping:
            while True:
                chunks = [(k, c) for k, t in enumerate(self._trainers) for c in unfinished_chunks(t.job, self._threads)]
                # the second part last, to fill the threads' remaining time; after the first, if it has other samples
                runs_of = [chunks] if job.own is None else [[c for c in chunks if c[0] == k] for k in (0, 1)]
                not_begun = list[tuple[int, Chunk]]()
                for some in runs_of:
                    if job.halt.any():
                        not_begun += some
                    elif some:
                        not_begun += self._on_threads(self._train_chunk, some, some[0][0], job.halt, reporter, stopping)
                if checkpoint is not None and chunks:
                    checkpoint.write(job, self.runs)
                if job.halt[0] or not job.halt[1]:
                    break
                job.halt[1] = 0
            for chunk in not_begun:
                self._train_chunk(chunk, self._new_teams(), lambda _report: None)
            if job.validation is not None and job.validation.decides:
                self._settle(reporter, stopping)
        reporter.close()
        self._finish()
        self.runs.train_seconds = time.perf_counter() - begun
        return stopping.received

    def _new_teams(self) -> list[Team]:
        return [trainer.new_team() for trainer in self._trainers]

    def _train_chunk(self, chunk: tuple[int, Chunk], teams: list[Team], report: Callable[[Report], None]) -> None:
        part, nets = chunk
        self._trainers[part].train_chunk(nets, teams[part], report)

    def _settle_chunk(self, chunk: Chunk, teams: list[Team], report: Callable[[Report], None]) -> None:
        self._trainers[0].settle_chunk(chunk, teams[0], report)

    def _settle(self, reporter: _Reporter, stopping: Stopping) -> None:
        """Restore the nets' best weights, even after an interrupt."""
        chunks, halt = all_chunks(self.job, self._threads), np.zeros(2, np.int8)
        for chunk in self._on_threads(self._settle_chunk, chunks, 0, halt, reporter, stopping):
            self._settle_chunk(chunk, self._new_teams(), lambda _report: None)

    def _on_threads(
        self,
        work: Callable[[Work, list[Team], Callable[[Report], None]], None],
        chunks: list[Work],
        part: int,
        halt: np.ndarray,
        reporter: _Reporter,
        stopping: Stopping,
    ) -> list[Work]:
        members = self._trainers[part].job.plan.threads_per_net
        several = min(max(1, self._threads // members), max(1, len(chunks)))
        if self._is_short and len(chunks) == 1:
            teams = [trainer.lent_team() for trainer in self._trainers]
            not_begun = workers.run_here(chunks, work, teams, halt, reporter, stopping)
            for trainer, team in zip(self._trainers, teams, strict=True):
                trainer.give_back(team)
            return not_begun
        return workers.run(chunks, work, self._new_teams, several, halt, reporter, stopping)

    def _finish(self) -> None:
        """Set the state's epoch, and count epochs from where each net began."""
        runs, begin, own = self.runs, self.job.begin, self.job.own
        if own is not None:
            runs.accuracy[~own.counts_accuracy] = np.nan
        if runs.state is not None and (runs.status == Status.INTERRUPTED).any():
            runs.state = runs.state._replace(epoch=int(runs.epochs.max()))
        if begin.earlier_epochs is not None:
            runs.epochs += begin.earlier_epochs - begin.first_epoch


class _Reporter:
    """Adds up the reports of slices, shows progress, and halts the job when asked to."""

    def __init__(
        self, job: Job, runs: Runs, progress: bool, callback: Callback | None, checkpoint: Checkpoint | None
    ) -> None:
        self._job, self._callback, self._checkpoint = job, callback, checkpoint
        self._is_silent = not progress and callback is None and checkpoint is None
        if self._is_silent:
            return
        self._n_nets, self._begun = len(runs), time.perf_counter()
        ended = runs.status != Status.INTERRUPTED
        self._finished = int(ended.sum())
        self._total = len(runs) * job.epochs
        self._done = self._finished * job.epochs + int((runs.epochs[~ended] - job.begin.first_epoch).sum())
        self._bar = _progress_bar(self._total, self._done) if progress else None

    def __call__(self, report: Report) -> None:
        if self._is_silent:
            return
        self._done += report.net_epochs
        self._finished += report.finished
        if self._bar is not None:
            self._bar.update(report.net_epochs)
        if self._checkpoint is not None and self._checkpoint.due():
            self._job.halt[1] = 1
        seconds = time.perf_counter() - self._begun
        state = Progress(self._done, self._total, self._finished, self._n_nets, seconds)
        if self._callback is not None and self._callback(state):
            self._job.halt[0] = 1

    def close(self) -> None:
        if not self._is_silent and self._bar is not None:
            self._bar.close()


def _progress_bar(total: int, done: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, unit=" net-epochs", unit_scale=True, mininterval=0.1, smoothing=0.1)
