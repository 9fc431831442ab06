"""Drives a survey: cuts its nets into shards, and adds up what comes back."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastmlp.distributing.data import Data
from fastmlp.distributing.dispatcher import Dispatcher
from fastmlp.distributing.engines import Engine
from fastmlp.distributing.tasks import Answer, Failure
from fastmlp.distributing.warn import warn_caller
from fastmlp.surveying.description import Description
from fastmlp.surveying.folder import Folder
from fastmlp.surveying.found import FailedShard, Found, Range, gaps, joined
from fastmlp.surveying.shard import Piece, Shard, train_shard

FIRST_SHARE = 0.1  # of `shard_seconds`, for the first shards, whose speed is only estimated
LEAST_NETS = 2**10
MOST_DIFFERENT = 2  # results of a verified shard that differ, before it counts as failed
NO_DATA = Data(np.zeros((0, 0)), np.zeros(0))


class Progress(NamedTuple):
    """Progress of a survey, for its callback.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> seen = []
    >>> _ = fastmlp.survey(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, epochs=10, callback=seen.append)
    >>> seen[-1].done, seen[-1].n_nets, seen[-1].failed
    (1000, 1000, 0)
    """

    done: int
    """Nets."""
    n_nets: int
    solved: int
    failed: int
    """Nets of shards that have failed for good."""
    seconds: float


class HowToRun(NamedTuple):
    """How a survey is run; nothing here affects its results."""

    shard_nets: int | None
    shard_seconds: float
    shard_threads: int | None
    retries: int
    verify: float
    on_failure: str


class ShardError(RuntimeError):
    """A shard has failed as often as `retries` allows, or the callback has raised."""


class Driver:
    """Runs nets of one survey on one engine."""

    def __init__(
        self,
        about: Description,
        nets: str,
        part: Range,
        engine: Engine,
        how: HowToRun,
        report: Callable[[Progress], object],
        folder: Folder | None,
    ) -> None:
        """`nets` says which to keep, as for `survey`; `part` are the numbers of those to train."""
        self._about, self._nets, self._part, self._how = about, nets, part, how
        self._report, self._folder = report, folder
        self.found = Found.nothing(about, nets)
        self._dispatcher: Dispatcher[Range] = Dispatcher(
            engine,
            train_shard,
            self._shard,
            about.data,
            retries=how.retries,
            threads=how.shard_threads,
            file=None if folder is None else folder.file_of_data,
        )
        self._without_data = replace(about, data=NO_DATA)
        self._left: list[Range] = [part]  # not handed out yet
        self._unverified: dict[Range, list[Piece]] = {}  # pieces that wait for another of the same nets
        self._seconds_a_net = about.seconds_a_net / FIRST_SHARE
        self._stopped = False  # by the callback
        self._elsewhere = 0  # nets of the part in files that have other nets too
        self.net_epochs_before = 0  # of what was in the folder
        self._begun = time.perf_counter()

    def _find(self) -> None:
        """Merge what is in the folder."""
        if self._folder is None:
            return
        (begin, end), there = self._part, []
        for piece in self._folder.pieces(begin, end):
            own = max(begin, piece.first), min(end, piece.stop)
            there.append(own)
            if own == (piece.first, piece.stop):
                self.found.add(piece)
            else:
                self._elsewhere += own[1] - own[0]
        self.net_epochs_before = self.found.summary.net_epochs
        if there:
            self._tell()
        self._left = gaps(begin, end, joined(there))

    def run(self) -> None:
        """Run everything; `found` has what is there, even if this raises."""
        self._find()
        if self._stopped:
            return
        try:
            for nets, outcome in self._dispatcher.run(self._next_range):
                if isinstance(outcome, Answer):
                    self._came(outcome)
                else:
                    self._failed(nets, outcome)
                if self._stopped:
                    break
        finally:
            with contextlib.suppress(OSError):  # of the folder, whose first error is on its way
                self._merge_what_is_done()
            self._dispatcher.cancel()

    # ------------------------------------------------------------------------------------------------- submitting

    def _shard(self, nets: Range) -> Shard:
        first, stop = nets
        about = self._without_data
        if not about.settings.never_change:  # only the values of these nets
            about = replace(about, settings=self._about.settings_of(first, stop), first_net=first, n_nets=stop - first)
        return Shard(about, first, stop, self._how.shard_threads, self._nets)

    def _next_range(self) -> Range | None:
        if not self._left:
            return None
        first, end = self._left[0]
        stop = min(end, first + self._size(sum(b - a for a, b in self._left)))
        self._left[:1] = [(stop, end)] if stop < end else []
        return first, stop

    def _size(self, left: int) -> int:
        """Nets of the next shard: smaller ones at the end, so that no worker is long alone."""
        if self._how.shard_nets is not None:
            return self._how.shard_nets
        size = self._how.shard_seconds / self._seconds_a_net
        share = max(LEAST_NETS, -(-left // self._dispatcher.most_in_flight))
        return share if size >= share else max(1, int(size))

    # --------------------------------------------------------------------------------------------------- gathering

    def _came(self, answer: Answer) -> None:
        piece = _piece(answer)
        self._seconds_a_net = max(1e-12, piece.seconds / (piece.stop - piece.first))
        self._verify(piece)

    def _failed(self, nets: Range, failures: list[Failure]) -> None:
        last, times = failures[-1], f" {len(failures)} times" if len(failures) > 1 else ""
        details = f"\n\nIn the worker:\n{last.details}" if last.details else ""
        self._leave_out(nets, last.message, times, details)

    def _leave_out(self, nets: Range, message: str, times: str = "", details: str = "") -> None:
        self.found.failed.append(FailedShard(*nets, message))
        if self._how.on_failure == "raise":
            raise ShardError(f"nets {nets[0]} to {nets[1] - 1} failed{times}: {message}{details}")

    def _merge_what_is_done(self) -> None:
        """After an early end: what has come and needs no second look, but was not merged yet."""
        for nets, answer in self._dispatcher.unread():
            if nets not in self._unverified and not self._is_verified(nets):
                self._keep(_piece(answer))

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
                    warn_caller(
                        f"nets {nets[0]} to {nets[1] - 1} came out differently in {wrong.where}, and the same in "
                        f"{same[0].where} and {piece.where}: the first may be a faulty machine; its results were not "
                        "used"
                    )
            self._merge(piece)
        elif len(others) >= MOST_DIFFERENT:
            places = ", ".join(other.where for other in (*others, piece))
            self._leave_out(nets, f"it came out differently each time ({places})")
        else:
            self._unverified[nets] = [*others, piece]
            self._dispatcher.run_again(nets)

    def _is_verified(self, nets: Range) -> bool:
        return random.Random(f"{self._about.seed} {nets}").random() < self._how.verify

    def _merge(self, piece: Piece) -> None:
        self._keep(piece)
        self._tell()

    def _keep(self, piece: Piece) -> None:
        if self._folder is not None:
            self._folder.add(piece)
        self.found.add(piece)

    def _tell(self) -> None:
        """Report the progress; the callback may stop the survey."""
        (first, stop), failed = self._part, sum(stop - first for first, stop, _ in self.found.failed)
        summary, seconds = self.found.summary, time.perf_counter() - self._begun
        try:
            self._stopped = bool(
                self._report(Progress(summary.n_nets + self._elsewhere, stop - first, summary.solved, failed, seconds))
            )
        except Exception as error:
            raise ShardError(f"callback raised {type(error).__name__}: {error}") from error


def _piece(answer: Answer) -> Piece:
    return answer.result._replace(where=answer.where, seconds=answer.seconds)
