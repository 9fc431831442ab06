"""Where shards run: this process, or what the user already has, each seen as something that takes tasks.

An engine submits shards and gives futures, which call back when they are done. It knows how many tasks run at once, and
can replace a pool whose worker has died. It schedules and retries nothing: the driver does.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from fastmlp.surveying.data import MOST_IN_A_TASK, SentData, write_data
from fastmlp.surveying.description import Data
from fastmlp.surveying.shard import Shard, run_shard, train_shard


class Engine(Protocol):
    """What the driver needs."""

    tasks_a_slot: int
    """Tasks to have in flight for each slot, so that none waits for the next."""

    def slots(self) -> int:
        """Tasks that run at once at present."""

    def submit(self, shard: Shard) -> Any:
        """Begin a shard; returns a future with `add_done_callback`, `result` and `cancel`."""

    def send(self, data: Data, inside: bool = False) -> SentData:
        """What shards hold in place of the samples; `inside` for the samples themselves."""

    def rebuild(self) -> bool:
        """Replace a broken pool; False if that is not possible."""

    def close(self) -> None:
        """Give back what this engine, and not the user, has made."""


class ThisProcess:
    """Runs each shard at once, on all threads."""

    tasks_a_slot = 1

    def slots(self) -> int:
        return 1

    def submit(self, shard: Shard) -> Future:
        future: Future = Future()
        try:
            future.set_result(train_shard(shard))
        except Exception as error:
            future.set_exception(error)
        return future

    def send(self, data: Data, inside: bool = False) -> SentData:  # noqa: ARG002
        return data

    def rebuild(self) -> bool:
        return False

    def close(self) -> None:
        pass


class _WithFiles:
    """Sends large samples through a file that all workers of this machine, or of a shared folder, can read."""

    tasks_a_slot = 2

    def __init__(self) -> None:
        self._files: list[str] = []

    def send(self, data: Data, inside: bool = False) -> SentData:
        if inside or data.nbytes <= MOST_IN_A_TASK:
            return data
        written = write_data(data)
        self._files.append(written.path)
        return written

    def close(self) -> None:
        for path in self._files:
            Path(path).unlink(missing_ok=True)


class Futures(_WithFiles):
    """Anything that follows `concurrent.futures.Executor`: process pools, loky, mpi4py's."""

    def __init__(self, executor: Executor) -> None:
        super().__init__()
        self._executor, self._own = executor, False

    def slots(self) -> int:
        for name in ("_max_workers", "num_workers"):
            number = getattr(self._executor, name, None)
            if isinstance(number, int) and number > 0:
                return number
        return os.cpu_count() or 1

    def submit(self, shard: Shard) -> Future:
        return self._executor.submit(run_shard, shard)

    def rebuild(self) -> bool:
        old: Any = self._executor
        if type(old).__name__ == "_ReusablePoolExecutor":
            loky = import_module(type(old).__module__.rpartition(".")[0])
            self._executor = loky.get_reusable_executor(max_workers=old._max_workers)
            return True
        if not isinstance(self._executor, ProcessPoolExecutor):
            return False
        old.shutdown(wait=False, cancel_futures=True)
        settings = {name: getattr(old, f"_{name}") for name in ("mp_context", "initializer", "initargs")}
        self._executor, self._own = type(old)(old._max_workers, **settings), True
        return True

    def close(self) -> None:
        super().close()
        if self._own:
            self._executor.shutdown(wait=False, cancel_futures=True)


class Dask:
    """A `dask.distributed.Client`: larger samples are a task's result, which Dask computes again if it is lost."""

    tasks_a_slot = 2

    def __init__(self, client: Any) -> None:
        self._client, self._data = client, None

    def slots(self) -> int:
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, shard: Shard) -> Any:
        more = () if self._data is None else (self._data,)
        return self._client.submit(run_shard, shard, *more, pure=False)

    def send(self, data: Data, inside: bool = False) -> SentData:
        self._data = None
        if inside or data.nbytes <= MOST_IN_A_TASK:
            return data
        self._data = self._client.submit(_same, data, pure=False)
        return Data(data.X[:0], data.y[:0], None, None)

    def rebuild(self) -> bool:
        return False

    def close(self) -> None:
        self._data = None


class Ray(_WithFiles):
    """Ray, which is running or is started here; a node that cannot read the file of large samples gets them inside."""

    def __init__(self, ray: Any) -> None:
        super().__init__()
        self._ray = ray
        if not ray.is_initialized():
            ray.init()
        self._run = ray.remote(max_retries=0)(run_shard)

    def slots(self) -> int:
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, shard: Shard) -> Future:
        return self._run.options(num_cpus=shard.threads or 1).remote(shard).future()

    def rebuild(self) -> bool:
        return False


def _same(data: Data) -> Data:
    return data


def engine_of(executor: Any) -> Engine:
    """The engine for the argument `executor` of `survey`."""
    if executor is None:
        return ThisProcess()
    if isinstance(executor, type):
        raise TypeError(f"executor={executor.__name__} is a class: pass an executor, such as {executor.__name__}()")
    if isinstance(executor, Executor):
        return Futures(executor)
    module = type(executor).__module__.partition(".")[0]
    if module == "distributed" and hasattr(executor, "nthreads"):
        return Dask(executor)
    if getattr(executor, "__name__", None) == "ray":
        return Ray(executor)
    if callable(getattr(executor, "submit", None)):
        return Futures(executor)
    raise TypeError(
        f"executor={executor!r}: needs None, an executor such as concurrent.futures.ProcessPoolExecutor(), "
        "a dask.distributed.Client, or the module ray"
    )
