"""Run independent tasks on threads; Ctrl-C and the caller's callbacks stay in the calling thread."""

from __future__ import annotations

import itertools
import queue
import signal
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from fastmlp._engine.interrupts import LeaveAtOnce, Stopping
from fastmlp._engine.kept_threads import Run

Task = TypeVar("Task")
Scratch = TypeVar("Scratch")
Report = TypeVar("Report")


class _Done(BaseException):
    """Marks the end of a worker in the queue of reports."""


_DONE = _Done()


def call_apart(function: Callable[[], object]) -> None:
    """Call a function in another thread, so that Ctrl-C returns at once without interrupting the function."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="fastmlp-apart", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def run_here(
    tasks: Iterable[Task],
    work: Callable[[Task, Scratch, Callable[[Report], None]], None],
    scratch: Scratch,
    halt: np.ndarray,
    on_report: Callable[[Report], None],
    stopping: Stopping,
) -> list[Task]:
    """Do the same as `run`, in the calling thread: for work that takes less time than a signal may wait."""
    remaining = iter(tasks)
    stopping.wake = lambda: halt.__setitem__(0, 1)
    for task in remaining:
        if halt.any():
            return [task, *remaining]
        work(task, scratch, on_report)
    return []


def run(
    tasks: Iterable[Task],
    work: Callable[[Task, Scratch, Callable[[Report], None]], None],
    new_scratch: Callable[[], Scratch],
    threads: int,
    halt: np.ndarray,
    on_report: Callable[[Report], None],
    stopping: Stopping,
) -> list[Task]:
    """Call `work(task, scratch, report)` for every task, on `threads` threads.

    Reports of tasks go to `on_report` in the calling thread. When an entry of `halt` is not 0, no further task starts,
    and `work` must return; SIGINT and SIGTERM set `halt[0]` to 1. Returns the tasks that did not start. An exception of
    a task or of `on_report` ends all tasks and is raised here. Only a second Ctrl-C returns while tasks still run.
    """
    remaining, lock = iter(tasks), threading.Lock()
    reports: queue.SimpleQueue[Report | BaseException | None] = queue.SimpleQueue()

    def worker() -> None:
        try:
            scratch = new_scratch()
            while not halt.any():
                with lock:
                    some = list(itertools.islice(remaining, 1))
                if not some:
                    break
                work(some[0], scratch, reports.put)
        except BaseException as error:
            halt[0] = 1
            reports.put(error)
        finally:
            reports.put(_DONE)

    workers = [Run(worker) for _ in range(threads)]
    stopping.wake = lambda: reports.put(None)
    failure = _wait_for(workers, reports, halt, on_report, stopping)
    if failure is not None:
        raise failure
    return list(remaining)


def _wait_for(
    workers: list[Run],
    reports: queue.SimpleQueue[Report | BaseException | None],
    halt: np.ndarray,
    on_report: Callable[[Report], None],
    stopping: Stopping,
) -> BaseException | None:
    """Start the workers and handle their reports until all have ended; returns the first exception.

    A program's own signal handler may raise KeyboardInterrupt between any two steps, even between taking a report and
    handling it. So each round first handles all reports; the count of finished workers only limits the waiting time.
    """
    waiting, begun, done = iter(workers), list[Run](), 0
    failure: BaseException | None = None
    while True:
        try:
            for thread in waiting:
                begun.append(thread)
                thread.start()
            if stopping.received is not None:
                halt[0] = 1
            # in this order: a worker reports before it ends
            if not any(thread.is_alive() for thread in begun) and reports.empty():
                return failure
            try:
                report = reports.get(timeout=0.5 if done < len(workers) else 0.001)
            except queue.Empty:
                continue
            if isinstance(report, _Done):
                done += 1
            elif isinstance(report, BaseException):
                failure, halt[0] = failure or report, 1
            elif report is not None:
                on_report(report)
        except LeaveAtOnce:
            halt[0] = 1
            raise
        except KeyboardInterrupt:
            stopping.received, halt[0] = stopping.received or signal.SIGINT, 1
        except BaseException as error:
            failure, halt[0] = failure or error, 1
