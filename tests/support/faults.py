"""Executors whose workers fail in a chosen way, for nets that include a chosen number."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fastmlp.distributing.tasks import run_in_worker

CHOSEN = 150


def faulty(kind, marks, work, shard, sent):
    """Run a shard; that of the net CHOSEN fails, once or always, and leaves a mark each time."""
    if shard.first <= CHOSEN < shard.stop:
        mark = Path(marks) / f"{len(os.listdir(marks))}"
        mark.touch()
        once = mark.name == "0"
        if kind == "dies always" or (kind == "dies once" and once):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "raises always" or (kind == "raises once" and once):
            raise RuntimeError("this worker is out of order")
        if kind == "wrong once" and once:
            answer = run_in_worker(work, shard, sent)
            wrong = answer.result._replace(summary=_changed(answer.result.summary))
            return answer._replace(result=wrong, where="the faulty machine")
        if kind == "another version":
            return run_in_worker(work, shard, sent)._replace(identity={"fastmlp": "0.0.1", "kernels": "00000000"})
        if kind == "no file" and not hasattr(sent, "X"):
            sent = sent._replace(path="/no/such/file")
    return run_in_worker(work, shard, sent)


def _changed(summary):
    import dataclasses

    return dataclasses.replace(summary, fingerprint=summary.fingerprint ^ 1)


class FaultyPool(ProcessPoolExecutor):
    """A pool of processes in which the fault happens."""

    kind, marks = "", ""  # set by the test, also for a pool that replaces a broken one

    def submit(self, function, *task):
        assert function is run_in_worker
        return super().submit(faulty, self.kind, self.marks, *task)


def noting(marks, work, shard, sent):
    """Run a shard, and leave a mark with its nets when it has ended."""
    answer = run_in_worker(work, shard, sent)
    time.sleep(0.2)
    with open(f"{marks}/{shard.first}-{time.time_ns()}", "x", encoding="utf-8"):
        return answer


def worker_that(function, *arguments):
    """A function, which Ray wants, that does in a worker what `function` does."""

    def run(*task):
        return function(*arguments, *task)

    return run
