"""Drives a survey: hands shards to an engine, retries what fails, and adds up what comes back.

At most two tasks a slot are in flight, so that a survey of any length takes little memory, and slots that come and go
are used. A task is counted as failed only for its own fault: shards that were in flight when a worker died are run
again one at a time, so that the one that kills its worker is found.
"""

from __future__ import annotations

import contextlib
import math
import queue
import random
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastmlp.runs import Runs
from fastmlp.surveying.description import Data, Description, identity
from fastmlp.surveying.engines import Engine
from fastmlp.surveying.folder import Folder
from fastmlp.surveying.shard import Failure, Piece, Shard, numbers_of, together
from fastmlp.surveying.summary import Summary

FIRST_SHARE = 0.1  # of `shard_seconds`, for the first shards, whose speed is only estimated
LEAST_NETS = 2**10
MOST_DIFFERENT = 2  # results of a verified shard that differ, before it counts as failed
BREAKING_SECONDS = 10.0  # for a broken pool to give up its tasks
CALLER = 6  # frames from a warning to the caller of survey
WAIT_SECONDS = 1.0  # between looks at the slots, which for a cluster is a question to its scheduler
NO_DATA = Data(np.zeros((0, 0)), np.zeros(0), None, None)

Range = tuple[int, int]  # net numbers, from the first to before the last


class FailedShard(NamedTuple):
    """Nets that are missing in a survey, and why."""

    first: int
    stop: int
    message: str


class Progress(NamedTuple):
    """Progress of a survey, for its callback."""

    done: int
    """Nets."""
    n_nets: int
    solved: int
    failed: int
    """Nets of shards that have failed for good."""
    seconds: float


@dataclass
class Found:
    """What has been merged so far."""

    summary: Summary
    done: list[Range] = field(default_factory=list)  # in rising order, joined where they touch
    failed: list[FailedShard] = field(default_factory=list)
    nets: list[Runs] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Merge a piece, whose nets no other piece has had."""
        first, stop = piece.first, piece.stop
        if any(first < b and a < stop for a, b in self.done):
            raise ValueError(f"nets {first} to {stop - 1} were merged already")
        self.summary += piece.summary
        self.done = joined([*self.done, (first, stop)])
        self.nets += piece.nets


def joined(ranges: list[Range]) -> list[Range]:
    """The same ranges in rising order, with those that touch joined."""
    result: list[Range] = []
    for first, stop in sorted(ranges):
        if result and result[-1][1] == first:
            result[-1] = result[-1][0], stop
        else:
            result.append((first, stop))
    return result


def gaps(first: int, stop: int, done: list[Range]) -> list[Range]:
    """The ranges from `first` to `stop` that are not among those in `done`, which rise."""
    ends = [first, *[end for nets in done for end in nets], stop]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


class Plan(NamedTuple):
    """How a survey is run; nothing here affects its results."""

    shard_nets: int | None
    shard_seconds: float
    shard_threads: int | None
    retries: int
    verify: float
    nets: str


class ShardError(RuntimeError):
    """A shard has failed as often as `retries` allows."""


class Driver:
    """Runs the nets of one survey on one engine."""

    def __init__(
        self,
        about: Description,
        engine: Engine,
        plan: Plan,
        report: Callable[[Progress], object] | None,
        folder: Folder | None = None,
    ) -> None:
        self.about, self.engine, self.plan, self._report, self._folder = about, engine, plan, report, folder
        self.found = Found(Summary.empty(about.settings.dtype, about.keep))
        self._without_data = replace(about, data=NO_DATA)
        self._left: list[Range] = [(about.first_net, about.stop)]  # not handed out yet
        self._again: deque[Range] = deque()  # shards to run again
        self._suspects: deque[Range] = deque()  # shards that were in flight when a worker died
        self._alone: Range | None = None  # the suspect in flight
        self._failures: dict[Range, list[Failure]] = {}
        self._unverified: dict[Range, list[Piece]] = {}  # pieces that wait for another of the same nets
        self._flying: dict[Any, Range] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._seconds_a_net = about.seconds_a_net / FIRST_SHARE
        self._stopped = False  # by the callback
        self._begun = time.perf_counter()
        self._slots, self._looked_at = 1, -math.inf

    def run(self, on_failure: str) -> Found:
        """Run everything; if this raises, `found` has what is there."""
        if self._folder is not None:
            for piece in self._folder.pieces():
                self._add(piece)
            if self.found.done:
                self._tell()
            self._left = gaps(self.about.first_net, self.about.stop, self.found.done)
        self._data = self.engine.send(self.about.data)
        try:
            while not self._stopped:
                self._submit()
                if not self._flying:
                    break
                self._take()
                if on_failure == "raise":
                    self._raise_if_failed()
        except KeyboardInterrupt:
            self._merge_what_is_done()
            raise
        finally:
            for future in self._flying:
                with contextlib.suppress(Exception):  # a cluster that is gone
                    future.cancel()
        return self.found

    # ------------------------------------------------------------------------------------------------- submitting

    def slots(self) -> int:
        """The engine's slots, as they were at most a second ago."""
        if time.perf_counter() - self._looked_at > WAIT_SECONDS:
            try:
                self._slots, self._looked_at = self.engine.slots(), time.perf_counter()
            except Exception as error:
                raise ShardError(f"the executor does not answer: {type(error).__name__}: {error}") from error
        return self._slots

    def _submit(self) -> None:
        most = self.engine.tasks_a_slot * self.slots()
        while self._alone is None and len(self._flying) < most:
            if self._suspects:
                if not self._flying:
                    self._alone = self._suspects.popleft()
                    self._send(self._alone)
                return
            nets = self._next_range()
            if nets is None:
                return
            self._send(nets)

    def _send(self, nets: Range) -> None:
        first, stop = nets
        about = self._without_data
        if not about.settings.never_change:  # only the values of these nets
            about = replace(about, settings=self.about.settings_of(first, stop), first_net=first, n_nets=stop - first)
        shard = Shard(about, self._data, first, stop, self.plan.shard_threads, self.plan.nets)
        try:
            future = self.engine.submit(shard)
        except BrokenExecutor as error:
            self._alone = None
            self._pool_broke(nets, False, error)
            return
        except Exception as error:  # it was shut down, say
            raise ShardError(f"the executor takes no more tasks: {type(error).__name__}: {error}") from error
        self._flying[future] = nets
        future.add_done_callback(self._done.put)

    def _next_range(self) -> Range | None:
        if self._again:
            return self._again.popleft()
        if not self._left:
            return None
        first, end = self._left[0]
        stop = min(end, first + self._size(sum(b - a for a, b in self._left)))
        self._left[:1] = [(stop, end)] if stop < end else []
        return first, stop

    def _size(self, left: int) -> int:
        """Nets of the next shard: smaller ones at the end, so that no worker is long alone."""
        if self.plan.shard_nets is not None:
            return self.plan.shard_nets
        size = int(self.plan.shard_seconds / self._seconds_a_net)
        share = -(-left // (self.engine.tasks_a_slot * self.slots()))
        return max(1, min(size, max(share, LEAST_NETS)))

    # --------------------------------------------------------------------------------------------------- gathering

    def _take(self) -> None:
        """Wait for one task, and merge it or note its failure."""
        while True:
            try:
                future = self._done.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                self._submit()  # slots may have come
                continue
            if future in self._flying:
                break
        nets = self._flying.pop(future)
        was_alone, self._alone = self._alone == nets, None if self._alone == nets else self._alone
        try:
            result = future.result()
        except BrokenExecutor as error:
            self._pool_broke(nets, was_alone, error)
        except (Exception, CancelledError) as error:
            details = traceback.format_exc()
            self._failed(Failure(*nets, f"{type(error).__name__}: {error}", details, "the executor"))
        else:
            self._came(result)

    def _pool_broke(self, nets: Range, was_alone: bool, error: BrokenExecutor) -> None:
        """Run what was in flight one by one; a shard that was alone is charged with the failure."""
        lost = [nets]
        for future in list(self._flying):
            try:
                future.result(timeout=BREAKING_SECONDS)
            except (Exception, CancelledError):
                lost.append(self._flying.pop(future))
        if not self.engine.rebuild():
            raise ShardError(f"the executor's workers have died, and it cannot be replaced: {error}") from error
        if was_alone:
            self._failed(Failure(*nets, f"its worker died: {error}", "", "a worker"), alone=True)
        else:
            self._suspects += sorted(lost)

    def _merge_what_is_done(self) -> None:
        """After an interrupt: what has come and needs no second look, but was not merged yet."""
        for future, nets in list(self._flying.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                result = future.result()
                once = nets not in self._unverified and not self._is_verified(nets)
                if isinstance(result, Piece) and result.identity == identity() and once:
                    self._flying.pop(future)
                    self._keep(result)

    def _came(self, result: Piece | Failure) -> None:
        if isinstance(result, Failure):
            self._failed(result)
        elif result.identity != identity():
            theirs, ours = _shown(result.identity), _shown(identity())
            message = f"{result.where} has {theirs}, this process {ours}: install the same version on all workers"
            self._failed(Failure(result.first, result.stop, message, "", result.where))
        else:
            self._seconds_a_net = max(1e-12, result.seconds / (result.stop - result.first))
            self._verify(result)

    def _failed(self, failure: Failure, alone: bool = False) -> None:
        nets = failure.first, failure.stop
        if failure.needs_data:
            self._data = self.engine.send(self.about.data, inside=True)
            self._again.append(nets)
            return
        failures = self._failures.setdefault(nets, [])
        failures.append(failure)
        if len(failures) < self.plan.retries:
            (self._suspects if alone else self._again).append(nets)
        else:
            self.found.failed.append(FailedShard(*nets, failure.message))

    def _verify(self, piece: Piece) -> None:
        """Merge a piece, if it is not one of those that must come out the same twice."""
        nets = piece.first, piece.stop
        others = self._unverified.pop(nets, [])
        if not others and not self._is_verified(nets):
            self._merge(piece)
            return
        same = [other for other in others if other.summary == piece.summary]
        if same:
            for wrong in others:
                if wrong not in same:
                    warnings.warn(
                        f"nets {nets[0]} to {nets[1] - 1} came out differently in {wrong.where}, and the same in "
                        f"{same[0].where} and {piece.where}: the first may be a faulty machine; its results were not "
                        "used",
                        RuntimeWarning,
                        stacklevel=CALLER,
                    )
            self._merge(piece)
        elif len(others) >= MOST_DIFFERENT:
            places = ", ".join(other.where for other in (*others, piece))
            self.found.failed.append(FailedShard(*nets, f"it came out differently each time ({places})"))
        else:
            self._unverified[nets] = [*others, piece]
            self._again.append(nets)

    def _is_verified(self, nets: Range) -> bool:
        return random.Random(f"{self.about.seed} {nets}").random() < self.plan.verify

    def _merge(self, piece: Piece) -> None:
        self._keep(piece)
        self._tell()

    def _keep(self, piece: Piece) -> None:
        if self._folder is not None:
            self._folder.add(piece)
        self._add(piece)

    def _tell(self) -> None:
        """Report the progress; the callback may stop the survey."""
        if self._report is not None:
            summary, failed = self.found.summary, sum(stop - first for first, stop, _ in self.found.failed)
            seconds = time.perf_counter() - self._begun
            progress = Progress(summary.n_nets, self.about.n_nets, summary.solved, failed, seconds)
            try:
                self._stopped = bool(self._report(progress))
            except Exception as error:
                raise ShardError(f"callback raised {type(error).__name__}: {error}") from error

    def _add(self, piece: Piece) -> None:
        self.found.add(piece)
        if self.plan.nets == "best":
            self.found.nets = best_of(self.found.nets, self.about)

    def _raise_if_failed(self) -> None:
        if not self.found.failed:
            return
        first, stop, message = self.found.failed[-1]
        failures = self._failures.get((first, stop), [])
        times = f" {len(failures)} times" if len(failures) > 1 else ""
        details = f"\n\nIn the worker:\n{failures[-1].details}" if failures and failures[-1].details else ""
        raise ShardError(f"nets {first} to {stop - 1} failed{times}: {message}{details}")


def best_of(nets: list[Runs], about: Description) -> list[Runs]:
    """The nets of least loss that are to be kept, by loss and then by number."""
    if not nets:
        return []
    runs = together(nets)
    order = np.lexsort((numbers_of(runs, about), runs.loss))[: about.keep]
    return [runs[order]]


def _shown(identity: dict[str, str]) -> str:
    return f"fastmlp {identity['fastmlp']} with kernels {identity['kernels']}"
