"""Executors whose workers fail in a chosen way, for nets that include a chosen number."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from fastmlp.surveying.shard import run_shard

CHOSEN = 150


def faulty(kind, marks, shard):
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
            piece = run_shard(shard)
            return piece._replace(summary=_changed(piece.summary), where="the faulty machine")
        if kind == "another version":
            return run_shard(shard)._replace(identity={"fastmlp": "0.0.1", "kernels": "00000000"})
        if kind == "no file" and not hasattr(shard.data, "X"):
            shard = shard._replace(data=shard.data._replace(path="/no/such/file"))
    return run_shard(shard)


def _changed(summary):
    import dataclasses

    return dataclasses.replace(summary, fingerprint=summary.fingerprint ^ 1)


class FaultyPool(ProcessPoolExecutor):
    """A pool of processes in which the fault happens."""

    kind, marks = "", ""  # set by the test, also for a pool that replaces a broken one

    def submit(self, function, shard):
        assert function is run_shard
        return super().submit(faulty, self.kind, self.marks, shard)
