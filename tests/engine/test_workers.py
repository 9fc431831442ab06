"""Tasks on threads: all are done once, failures come out, a halt keeps the rest."""

import os
import threading
import time
import warnings

import numpy as np
import pytest

from fastmlp._engine import kept_threads, workers
from fastmlp._engine.interrupts import Stopping
from fastmlp._engine.processors import available_threads


def run(tasks, work, threads=3, on_report=lambda _: None, halt=None):
    halt = np.zeros(2, np.int8) if halt is None else halt
    with Stopping() as stopping:
        return workers.run(tasks, work, list, threads, halt, on_report, stopping)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_task_is_done_once_and_its_reports_come_in_the_calling_thread(threads):
    done, reported, scratches = [], [], []

    def work(task, scratch, report):
        scratch.append(task)
        if scratch not in scratches:
            scratches.append(scratch)
        done.append(task)
        report(task)

    def on_report(task):
        assert threading.current_thread() is threading.main_thread()
        reported.append(task)

    assert run(range(50), work, threads, on_report) == []
    assert sorted(done) == sorted(reported) == list(range(50))
    assert 1 <= len(scratches) <= threads


@pytest.mark.parametrize("where", ["work", "scratch", "report"])
def test_a_failure_anywhere_is_raised_and_ends_the_work(where):
    begun = []

    def work(task, _scratch, report):
        begun.append(task)
        if where == "work" and task == 3:
            raise KeyError("broken")
        report(task)
        while task > 3 and not halt.any():  # so that no speed of threads lets the tasks come to their end
            time.sleep(0.001)

    def on_report(task):
        if where == "report" and task == 3:
            raise KeyError("broken")

    def new_scratch():
        if where == "scratch":
            raise KeyError("broken")

    halt = np.zeros(2, np.int8)
    with Stopping() as stopping, pytest.raises(KeyError, match="broken"):
        workers.run(range(10_000), work, new_scratch, 2, halt, on_report, stopping)
    assert halt[0] == 1
    assert len(begun) < 10_000


@pytest.mark.parametrize("place", [0, 1])
def test_a_halt_returns_what_was_not_begun(place):
    halt, begun = np.zeros(2, np.int8), []

    def work(task, _scratch, report):
        begun.append(task)
        report(task)
        while task > 5 and not halt.any():
            time.sleep(0.001)

    def on_report(task):
        if task == 5:
            halt[place] = 1

    rest = run(iter(range(100_000)), work, 2, on_report, halt)
    assert rest
    assert sorted(begun) + rest == list(range(100_000))


def test_a_function_apart_raises_what_it_raised():
    names = []
    workers.call_apart(lambda: names.append(threading.current_thread().name))
    assert names == ["fastmlp-apart"]
    with pytest.raises(ZeroDivisionError):
        workers.call_apart(lambda: 1 // 0)


def test_threads_wait_for_the_next_call():
    def waiting():
        while not kept_threads._WAITING:
            time.sleep(0.001)
        return kept_threads._WAITING[-1]

    run(range(4), lambda *_: None, 1)
    thread = waiting()
    for _ in range(20):
        run(range(4), lambda *_: None, 1)
        assert waiting() is thread
    before = threading.active_count()
    run(range(64), lambda *_: time.sleep(0.001), 32)
    while threading.active_count() > before + available_threads():  # until the others have ended
        time.sleep(0.001)


def test_a_forked_process_starts_its_own_threads():
    def work(task, _scratch, report):
        report(task)

    run(range(4), work, 2)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of threads in the parent
        child = os.fork()
    if child == 0:
        found = []
        run(range(50), work, 2, found.append)
        os.write(writer, bytes(sorted(found)))
        os._exit(0)
    assert os.read(reader, 100) == bytes(range(50))
    assert os.waitpid(child, 0)[1] == 0


def test_an_exception_of_a_signal_handler_while_a_run_starts_leaves_no_run_behind(monkeypatch):
    done, wake = [], kept_threads._Thread.wake

    def interrupted(thread):
        monkeypatch.setattr(kept_threads._Thread, "wake", wake)
        raise KeyboardInterrupt

    one = kept_threads.Run(lambda: done.append(1))
    monkeypatch.setattr(kept_threads._Thread, "wake", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.start()
    while one.is_alive():
        time.sleep(0.001)
    assert done == [1]
