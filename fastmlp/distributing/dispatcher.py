"""Hands tasks to an engine, and runs those that fail again.

At most two tasks a slot are in flight, so that any number of tasks takes little memory, and slots that come and go are
used. A task is counted as failed only for its own fault: those that were in flight when a worker died are run again one
at a time, so that the one that kills its worker is found.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from typing import Any, Generic, TypeVar

from fastmlp.distributing.data import Data, FileOfData
from fastmlp.distributing.engines import Engine
from fastmlp.distributing.tasks import Answer, Failure, Work, identity
from fastmlp.distributing.warn import warn_caller

BREAKING_SECONDS = 10.0  # for a broken pool to give up its tasks
MOST_BROKEN = 3  # pools in a row that are broken before they take a task
RETRIES = 3  # of `run_tasks`
WAIT_SECONDS = 1.0  # between looks at the slots, which for a cluster is a question to its scheduler
PATIENT_SECONDS = 30.0  # without any worker, before a warning

K = TypeVar("K", bound=Hashable)


class ExecutorError(RuntimeError):
    """The executor takes no more tasks."""


class Dispatcher(Generic[K]):
    """Runs tasks, which it knows by their keys, on an engine."""

    def __init__(
        self,
        engine: Engine,
        work: Work,
        task_of: Callable[[K], Any],
        data: Data,
        *,
        retries: int,
        threads: int | None,
        file: FileOfData | None = None,
    ) -> None:
        """`task_of` makes the task of a key when it is submitted; `file` is one that holds the data already."""
        self._engine, self._work, self._task_of, self._data, self._retries = engine, work, task_of, data, retries
        self._threads, self._file = threads or 1, file
        self._again: deque[K] = deque()  # tasks to run again
        self._suspects: deque[K] = deque()  # tasks that were in flight when a worker died
        self._alone: K | None = None  # the suspect in flight
        self._failures: dict[K, list[Failure]] = {}
        self._flying: dict[Any, K] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._slots, self._looked_at, self._idle_since = 1, -math.inf, math.inf
        self._broken = 0  # pools in a row

    @property
    def most_in_flight(self) -> int:
        """The engine's slots, as they were at most a second ago, times the tasks that each has or waits for."""
        now = time.perf_counter()
        if now - self._looked_at > WAIT_SECONDS:
            try:
                slots = self._engine.slots()
            except Exception as error:
                raise ExecutorError(f"the executor does not answer: {type(error).__name__}: {error}") from error
            self._warn_if_idle(slots, now)
            self._slots, self._looked_at = max(1, slots), now
        return self._engine.tasks_a_slot * self._slots

    def run(self, next_key: Callable[[], K | None]) -> Generator[tuple[K, Answer | list[Failure]]]:
        """Give each task's answer, or its failures once there are `retries` of them, until `next_key` gives None."""
        self._sent = self._engine.send(self._data, file=self._file)
        while True:
            self._submit(next_key)
            if not self._flying:
                return
            yield from self._take(next_key)

    def cancel(self) -> None:
        """Cancel what is queued."""
        for future in self._flying:
            with contextlib.suppress(Exception):  # a cluster that is gone
                future.cancel()

    def run_again(self, key: K) -> None:
        """Run a task that has given an answer once more."""
        self._again.append(key)

    def unread(self) -> Iterator[tuple[K, Answer]]:
        """After an early end: answers that have come and that `run` has not given."""
        for future, key in list(self._flying.items()):
            if future.done() and not future.cancelled() and future.exception() is None:
                answer = future.result()
                if isinstance(answer, Answer) and answer.identity == identity():
                    self._flying.pop(future)
                    yield key, answer

    # ------------------------------------------------------------------------------------------------- submitting

    def _submit(self, next_key: Callable[[], K | None]) -> None:
        most = self.most_in_flight
        while self._alone is None and len(self._flying) < most:
            if self._suspects:
                if not self._flying:
                    self._alone = self._suspects.popleft()
                    self._send(self._alone)
                return
            key = self._again.popleft() if self._again else next_key()
            if key is None:
                return
            self._send(key)

    def _send(self, key: K) -> None:
        task = self._task_of(key)
        try:
            future = self._engine.submit(self._work, task, self._sent, self._threads)
        except BrokenExecutor as error:
            self._alone = None
            self._broken += 1
            if self._broken > MOST_BROKEN:
                raise ExecutorError(f"the executor's workers die at once: {error}") from error
            self._replace_pool([key], error)
            return
        except Exception as error:  # it was shut down, say
            raise ExecutorError(f"the executor takes no more tasks: {type(error).__name__}: {error}") from error
        self._broken = 0
        self._flying[future] = key
        future.add_done_callback(self._done.put)

    # --------------------------------------------------------------------------------------------------- gathering

    def _take(self, next_key: Callable[[], K | None]) -> Iterator[tuple[K, Answer | list[Failure]]]:
        """Wait for one task; gives its answer, or its failures if they are too many."""
        while True:
            try:
                future = self._done.get(timeout=WAIT_SECONDS)
            except queue.Empty:
                self._submit(next_key)  # slots may have come
                continue
            if future in self._flying:
                break
        key = self._flying.pop(future)
        was_alone, self._alone = self._alone == key, None if self._alone == key else self._alone
        try:
            result = future.result()
        except BrokenExecutor as error:
            self._replace_pool([] if was_alone else [key], error)
            if was_alone:
                yield from self._failed(key, Failure(f"its worker died: {error}", "", "a worker"), alone=True)
        except (Exception, CancelledError) as error:
            details = traceback.format_exc()
            yield from self._failed(key, Failure(f"{type(error).__name__}: {error}", details, "the executor"))
        else:
            yield from self._came(key, result)

    def _came(self, key: K, result: Answer | Failure) -> Iterator[tuple[K, Answer | list[Failure]]]:
        if isinstance(result, Failure):
            yield from self._failed(key, result)
        elif result.identity != identity():
            theirs, ours = _shown(result.identity), _shown(identity())
            message = f"{result.where} has {theirs}, this process {ours}: install the same version on all workers"
            yield from self._failed(key, Failure(message, "", result.where))
        else:
            yield key, result

    def _failed(self, key: K, failure: Failure, alone: bool = False) -> Iterator[tuple[K, list[Failure]]]:
        if failure.needs_data:
            self._sent = self._engine.send(self._data, inside=True)
            self._again.append(key)
            return
        failures = self._failures.setdefault(key, [])
        failures.append(failure)
        if len(failures) < self._retries:
            (self._suspects if alone else self._again).append(key)
        else:
            yield key, self._failures.pop(key)

    def _replace_pool(self, lost: list[K], error: BrokenExecutor) -> None:
        """Replace a broken pool, and run what it has lost one by one."""
        for future in list(self._flying):
            try:
                future.result(timeout=BREAKING_SECONDS)
            except (Exception, CancelledError):
                lost.append(self._flying.pop(future))
        if not self._engine.rebuild():
            raise ExecutorError(f"the executor's workers have died, and it cannot be replaced: {error}") from error
        self._suspects += lost

    def _warn_if_idle(self, slots: int, now: float) -> None:
        if slots:
            self._idle_since = math.inf
        elif self._idle_since == math.inf:
            self._idle_since = now
        elif now - self._idle_since > PATIENT_SECONDS:
            self._idle_since = math.nan  # so that it warns once
            warn_caller("the executor has no workers: waiting for some")


def run_tasks(
    engine: Engine | None,
    work: Work,
    keys: Iterable[K],
    task_of: Callable[[K], Any],
    data: Data,
    *,
    threads: int | None,
    named: Callable[[K], str],
) -> Iterator[tuple[K, Any]]:
    """Give the result of each task, as they come; without an engine, one after the other in this process.

    Raises RuntimeError, with the task's name by `named`, if one has failed `RETRIES` times.
    """
    if engine is None:
        for key in keys:
            yield key, work(task_of(key), data)
        return
    dispatcher = Dispatcher(engine, work, task_of, data, retries=RETRIES, threads=threads)
    left = iter(keys)
    try:
        for key, outcome in dispatcher.run(lambda: next(left, None)):
            if not isinstance(outcome, Answer):
                last = outcome[-1]
                details = f"\n\nIn the worker:\n{last.details}" if last.details else ""
                raise RuntimeError(f"{named(key)} failed {len(outcome)} times: {last.message}{details}")
            yield key, outcome.result
    finally:
        dispatcher.cancel()


def _shown(identity: dict[str, str]) -> str:
    return f"fastmlp {identity['fastmlp']} with kernels {identity['kernels']}"
