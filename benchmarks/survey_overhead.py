"""What an executor costs: net-epochs a second of a survey, beside `train` in one process on as many threads.

    python -m benchmarks.survey_overhead --executors train here processes dask --seconds 60

Steady work: the first and the last shards of a survey, when not all workers are busy, are left out. Each executor is
measured for so many seconds, one after the other, in rounds. Needs the extra ``dask`` for dask.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

import fastmlp
from benchmarks.workloads import XOR_X, XOR_Y
from fastmlp._engine.processors import thread_count

JOB: dict[str, Any] = {
    "architecture": fastmlp.Architecture((2, 4, 1)),
    "X": XOR_X,
    "y": XOR_Y,
    "optimizer": fastmlp.SGD(0.5),
    "epochs": 2000,
}
SHARD_SECONDS = 5.0
WARMING = 3 * SHARD_SECONDS


@contextlib.contextmanager
def executor_of(name: str, workers: int) -> Iterator[Any]:
    """The executor of this name, with so many single-threaded workers."""
    if name == "here":
        yield None
    elif name == "processes":
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    else:
        from distributed import Client, LocalCluster

        with LocalCluster(workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            yield client


def rate_of_train(seconds: float, threads: int) -> float:
    """Net-epochs a second of calls of `train`; Dask sets OMP_NUM_THREADS in this process too, hence `threads`."""
    n_nets, begun, done = 2**18, time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        runs = fastmlp.train(**JOB, net_ids=np.arange(done, done + n_nets), threads=threads)
        done += len(runs)
    return done * JOB["epochs"] / (time.perf_counter() - begun)


def rate_of_survey(name: str, seconds: float, workers: int) -> float:
    """Net-epochs a second of a survey in its steady part."""
    came: list[tuple[float, int]] = []

    def note(state: Any) -> bool:
        came.append((state.seconds, state.done))
        return state.seconds > seconds + 2 * WARMING

    with executor_of(name, workers) as executor:
        fastmlp.survey(**JOB, n_nets=2**50, executor=executor, shard_seconds=SHARD_SECONDS, callback=note)
    steady = [one for one in came if WARMING <= one[0] <= WARMING + seconds + SHARD_SECONDS]
    (begun, first), (ended, last) = steady[0], steady[-1]
    return (last - first) * JOB["epochs"] / (ended - begun)


def main() -> None:
    """Measure in rounds, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executors", nargs="+", default=["train", "here", "processes", "dask"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    workers = thread_count(None)
    rates: dict[str, list[float]] = {name: [] for name in options.executors}
    rate_of_train(1.0, workers)
    for _ in range(options.rounds):
        for name, found in rates.items():
            found.append(
                rate_of_train(options.seconds, workers)
                if name == "train"
                else rate_of_survey(name, options.seconds, workers)
            )
            print(f"{name:10} {found[-1] / 1e6:8.1f} million net-epochs a second", flush=True)
    base = statistics.median(next(iter(rates.values())))
    for name, found in rates.items():
        print(f"{name:10} {statistics.median(found) / base:.3f} of {options.executors[0]}, {workers} workers")


if __name__ == "__main__":
    main()
