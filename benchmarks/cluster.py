"""How surveys scale on a Dask cluster: a real scheduler, up to a thousand workers that sleep, and a model of the cost.

    python -m benchmarks.cluster --workers 2 20 50 100 200 1000

Workers share one process, and their tasks sleep for the durations that real shards took, scaled to a mean, and return
real pieces. So the driver, the client, the scheduler and the messages between them are real, and cost what they cost on
this machine, where they share its processors with all workers. Workers' heartbeats, profilers and monitors are switched
off: a thousand of them in one process took two processors. What is left out: these, networks, workers' own processors,
start-up, failures. Needs the extra ``dask``.

The model: a shard begins when a worker is free and has waited for a seconds, the k-th not before k · c seconds, which
the driver, the scheduler and this machine need for each, one after the other. c and a are fitted to the runs of up to
200 workers.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import heapq
import importlib
import itertools
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp.distributing import engines
from fastmlp.distributing.tasks import Answer, identity
from fastmlp.surveying.description import described
from fastmlp.surveying.driver import Driver, HowToRun
from fastmlp.surveying.shard import Piece, Shard, train_shard

NETS = 2**16  # of a shard whose duration and piece are real
MEASURED = 8
FITTED = 200  # workers, at most, of the runs that the model is fitted to
SHARDS_A_WORKER = 5
SECONDS = {"short": 0.2, "long": 10.0}
PIECES = "FASTMLP_BENCHMARK_PIECES"  # the variable with the path of the file with real pieces
X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def sleeping(work: Any, task: tuple[Shard, float], sent: Any) -> Answer:  # noqa: ARG001
    """In place of training a shard: its duration, and a piece that was found before."""
    shard, seconds = task
    time.sleep(seconds)
    pieces = found_before(os.environ[PIECES])
    piece = pieces[shard.first // NETS % len(pieces)]._replace(first=shard.first, stop=shard.stop)
    return Answer(piece, identity(), "a worker that sleeps", seconds)


@functools.cache
def found_before(path: str) -> list[Piece]:
    """The real pieces, once a process."""
    return pickle.loads(Path(path).read_bytes())


def real_pieces() -> tuple[Any, list[Piece], np.ndarray]:
    """A description, pieces of its first shards, and how long each took, relative to their mean."""
    about = described(
        fastmlp.Architecture((2, 4, 1)),
        X,
        Y,
        n_nets=2**50,
        first_net=0,
        keep=100,
        solved_loss=None,
        settings={"optimizer": fastmlp.SGD(0.5), "epochs": 2000, "target_loss": 0.1},
    )
    pieces, seconds = [], []
    for k in range(-1, MEASURED):  # the first one compiles
        begun = time.perf_counter()
        pieces.append(train_shard(Shard(about, max(k, 0) * NETS, (max(k, 0) + 1) * NETS, 1, "none"), about.data))
        seconds.append(time.perf_counter() - begun)
    return about, pieces[1:], np.array(seconds[1:]) / np.mean(seconds[1:])


class Sleeping(engines.Dask):
    """Dask, with tasks that sleep."""

    def __init__(self, client: Any, durations: np.ndarray) -> None:
        super().__init__(client)
        self._durations = durations

    def submit(self, work: Any, task: Shard, sent: Any, threads: int) -> Any:
        """Send a real task, and how long it is to sleep."""
        return super().submit(work, (task, float(self._durations[task.first // NETS])), sent, threads)


def run(client: Any, durations: np.ndarray, about: Any) -> float:
    """Wall time of a survey of shards of these durations."""
    n = len(durations)
    how = HowToRun(NETS, 10.0, 1, 3, 0.0, "raise")
    driver = Driver(about, "none", (0, n * NETS), Sleeping(client, durations), how, lambda _: False, None)
    begun = time.perf_counter()
    driver.run()
    wall = time.perf_counter() - begun
    assert driver.found.done == [(0, n * NETS)]
    return wall


def in_one_process(address: str, workers: int) -> None:
    """Run so many workers until the process is stopped."""
    import dask
    from distributed import Worker

    async def serve() -> None:
        started = [Worker(address, nthreads=1, name=k, memory_limit=0, dashboard=False) for k in range(workers)]
        for first in range(0, workers, 50):
            await asyncio.gather(*started[first : first + 50])
        for worker in started:
            worker.periodic_callbacks["heartbeat"].stop()
        await asyncio.gather(*(worker.finished() for worker in started))

    rarely = {"distributed.admin.system-monitor.interval": "1h", "distributed.admin.tick.interval": "1h"}
    with dask.config.set({"distributed.worker.profile.enabled": False, **rarely}):
        asyncio.run(serve())


def main() -> None:
    """Measure, fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 20, 50, 100, 200, 1000])
    parser.add_argument("--serve", nargs=2, metavar=("ADDRESS", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        in_one_process(options.serve[0], int(options.serve[1]))
        return
    engines.run_in_worker = sleeping  # type: ignore[assignment]
    about, pieces, spread = real_pieces()
    print(f"real shards took {spread.min():.2f} to {spread.max():.2f} of their mean")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[PIECES] = f"{folder}/pieces"
        Path(os.environ[PIECES]).write_bytes(pickle.dumps(pieces))
        report([row for workers in options.workers for row in measured(workers, about, spread)])


def measured(workers: int, about: Any, spread: np.ndarray) -> list[tuple[int, np.ndarray, float]]:
    """Start a cluster of so many workers; (workers, durations of the shards, wall time) of each kind of shards."""
    import psutil
    from distributed import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address, rows = f"tcp://127.0.0.1:{port}", []
    commands = [
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"],
        ["benchmarks.cluster", "--serve", address, str(workers)],
    ]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    others = [
        subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL, env=environment)
        for command in commands
    ]
    processes = [psutil.Process(), *(psutil.Process(other.pid) for other in others)]
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=300)
            for name, seconds in SECONDS.items():
                if name == "short" and workers > FITTED:
                    continue  # the processors of this machine would be all that is measured
                before = [sum(process.cpu_times()[:2]) for process in processes]
                n = SHARDS_A_WORKER * workers
                durations = seconds * np.random.default_rng(0).choice(spread, n)
                wall = run(client, durations, about)
                spent = [sum(p.cpu_times()[:2]) - b for p, b in zip(processes, before, strict=True)]
                each = ", ".join(f"{1e3 * one / n:.1f}" for one in spent)
                rows.append((workers, durations, wall))
                print(
                    f"{workers:5} workers, {name} shards of {seconds} s: {wall:7.2f} s, {n / wall:6.1f} a second, "
                    f"{durations.sum() / (workers * wall):.3f} of the workers' time; "
                    f"ms of a processor for a shard: {each} (driver, scheduler, all workers)",
                    flush=True,
                )
    finally:
        for other in others:
            other.kill()
            other.wait()
    return rows


def predicted(durations: np.ndarray, workers: int, c: float, a: float) -> float:
    """Wall time by the model."""
    free = [0.0] * workers
    for k, seconds in enumerate(durations):
        heapq.heapreplace(free, max(free[0] + a, k * c) + seconds)
    return max(free)


def report(rows: list[tuple[int, np.ndarray, float]]) -> None:
    """Fit the model to the smaller clusters, and compare all with it."""
    from scipy.optimize import minimize

    fitted = [row for row in rows if row[0] <= FITTED]

    def error(x: np.ndarray) -> float:
        return sum(np.log(predicted(durations, workers, *np.exp(x)) / wall) ** 2 for workers, durations, wall in fitted)

    starts = itertools.product(np.log([1e-3, 3e-3, 1e-2]), np.log([1e-3, 1e-2, 1e-1]))
    best = min((minimize(error, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
    c, a = np.exp(best.x)
    print(f"fitted to up to {FITTED} workers: c = {1e3 * c:.2f} ms, a = {1e3 * a:.1f} ms")
    for workers, durations, wall in rows:
        model = predicted(durations, workers, c, a)
        print(
            f"{workers:5} workers, {np.mean(durations):5.2f} s: measured {wall:7.2f} s, model {model:7.2f} s, "
            f"{wall / model:.2f}"
        )


if __name__ == "__main__":
    importlib.import_module("benchmarks.cluster").main()  # by its name, under which workers know it
