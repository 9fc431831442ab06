"""Where shards run: this process, or what the user already has, each seen as something that takes tasks.

An engine submits tasks and gives futures, which call back when they are done. It knows how many tasks run at once, and
can replace a pool whose worker has died. It schedules and retries nothing: the dispatcher does.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from importlib import import_module
from typing import Any, Protocol

from fastmlp.distributing.data import MOST_IN_A_TASK, Data, FileOfData, SentData
from fastmlp.distributing.files import WithFiles
from fastmlp.distributing.joblib_engine import Joblib
from fastmlp.distributing.tasks import Work, run_here, run_in_worker

FETCHING = 16  # results of Dask that are on their way at once


class Engine(Protocol):
    """What the driver needs."""

    tasks_a_slot: int
    """Tasks to have in flight for each slot, so that none waits for the next."""

    def slots(self) -> int:
        """Tasks that run at once at present; 0 if there are no workers."""

    def send(self, data: Data, inside: bool = False, file: FileOfData | None = None) -> Any:
        """What tasks get in place of the samples; `inside` for the samples themselves. `file` holds them already."""

    def submit(self, work: Work, task: Any, sent: Any, threads: int) -> Any:
        """Begin a task of so many threads; returns a future with `add_done_callback`, `result` and `cancel`."""

    def rebuild(self) -> bool:
        """Replace a broken pool; False if that is not possible."""

    def close(self) -> None:
        """Give back what this engine, and not the user, has made."""


class ThisProcess:
    """Runs each task at once."""

    tasks_a_slot = 1

    def slots(self) -> int:
        return 1

    def send(self, data: Data, inside: bool = False, file: FileOfData | None = None) -> SentData:  # noqa: ARG002
        return data

    def submit(self, work: Work, task: Any, sent: SentData, threads: int) -> Future:  # noqa: ARG002
        future: Future = Future()
        try:
            future.set_result(run_here(work, task, sent))
        except Exception as error:
            future.set_exception(error)
        return future

    def rebuild(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Futures(WithFiles):
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

    def submit(self, work: Work, task: Any, sent: SentData, threads: int) -> Future:  # noqa: ARG002
        return self._executor.submit(run_in_worker, work, task, sent)

    def rebuild(self) -> bool:
        old: Any = self._executor
        if type(old).__name__ == "_ReusablePoolExecutor":
            module = import_module(type(old).__module__)
            settings = module._executor_kwargs or {}
            self._executor = module.get_reusable_executor(max_workers=old._max_workers, **settings)
            return True
        if not isinstance(self._executor, ProcessPoolExecutor):
            return False
        old.shutdown(wait=False, cancel_futures=True)
        settings = {name: getattr(old, f"_{name}") for name in ("mp_context", "initializer", "initargs")}
        if old._max_tasks_per_child is not None:
            settings["max_tasks_per_child"] = old._max_tasks_per_child
        self._executor, self._own = type(old)(old._max_workers, **settings), True
        return True

    def close(self) -> None:
        super().close()
        if self._own:
            self._executor.shutdown(wait=False, cancel_futures=True)


class Dask:
    """A `dask.distributed.Client`: larger samples are a task's result, which Dask computes again if it is lost.

    Results are fetched by several threads, because each takes a round trip through the scheduler to its worker.
    """

    tasks_a_slot = 2

    def __init__(self, client: Any) -> None:
        self._client = client
        self._come: queue.SimpleQueue[tuple[Any, Future] | None] = queue.SimpleQueue()
        for _ in range(FETCHING):  # daemons, which may wait for a cluster that is gone
            threading.Thread(target=_fetch_all, args=(self._come,), name="fastmlp-fetch", daemon=True).start()

    def slots(self) -> int:
        return sum(self._client.nthreads().values())

    def send(self, data: Data, inside: bool = False, file: FileOfData | None = None) -> Any:  # noqa: ARG002
        if inside or data.nbytes <= MOST_IN_A_TASK:
            return data
        return self._client.submit(_same, data, pure=False)

    def submit(self, work: Work, task: Any, sent: Any, threads: int) -> Future:  # noqa: ARG002
        there = self._client.submit(run_in_worker, work, task, sent, pure=False)
        here: Future = Future()

        def cancel(here: Future) -> None:
            if here.cancelled():
                with contextlib.suppress(Exception):  # a cluster that is gone
                    there.cancel()

        there.add_done_callback(lambda there: self._come.put((there, here)))
        here.add_done_callback(cancel)
        return here

    def rebuild(self) -> bool:
        return False

    def close(self) -> None:
        for _ in range(FETCHING):
            self._come.put(None)


def _fetch_all(come: queue.SimpleQueue[tuple[Any, Future] | None]) -> None:
    """Bring the results of Dask's futures that are done."""
    while (one := come.get()) is not None:
        _fetch(*one)


def _fetch(there: Any, here: Future) -> None:
    if not here.set_running_or_notify_cancel():
        return
    try:
        here.set_result(there.result())
    except Exception as error:
        here.set_exception(error)
    except BaseException as error:  # asyncio's CancelledError
        here.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))


class Ray(WithFiles):
    """Ray, which is running or is started here; a node that cannot read the file of large samples gets them inside."""

    def __init__(self, ray: Any) -> None:
        super().__init__()
        self._ray = ray
        if not ray.is_initialized():
            ray.init()
        self._run = ray.remote(max_retries=0)(run_in_worker)

    def slots(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def submit(self, work: Work, task: Any, sent: SentData, threads: int) -> Future:
        return self._run.options(num_cpus=threads).remote(work, task, sent).future()

    def rebuild(self) -> bool:
        return False


def _same(data: Data) -> Data:
    return data


def engine_of(executor: Any) -> Engine:
    """The engine for the argument `executor` of `survey` and `sweep`."""
    if executor is None:
        return ThisProcess()
    if isinstance(executor, str) and executor == "joblib":
        try:
            return Joblib(import_module("joblib"))
        except ImportError as error:
            raise ImportError("executor='joblib' needs the package joblib: pip install joblib") from error
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
        "a dask.distributed.Client, the module ray, or 'joblib'"
    )
