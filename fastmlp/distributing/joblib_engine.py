"""joblib as an engine: whatever `joblib.parallel_config` names, through `joblib.Parallel`.

`Parallel` takes its tasks at once and not one by one, so that they go to it in batches, from a thread of their own: all
tasks that wait when the batch before has ended.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from typing import Any

from fastmlp.distributing.data import SentData
from fastmlp.distributing.files import WithFiles
from fastmlp.distributing.tasks import Work, run_in_worker

WAIT_FOR_EVER = {
    "DaskDistributedBackend": "pass the dask.distributed.Client itself as executor",
    "MultiprocessingBackend": "use the backend 'loky', or a concurrent.futures.ProcessPoolExecutor as executor",
}
Call = tuple[Future, Work, Any, SentData]


class Joblib(WithFiles):
    """The active backend of joblib, with its number of jobs: 1 if none is configured."""

    tasks_a_slot = 8  # because some slots wait at the end of a batch

    def __init__(self, joblib: Any) -> None:
        super().__init__()
        backend, _ = joblib.parallel.get_active_backend()
        name = type(backend).__name__
        if name in WAIT_FOR_EVER:
            raise ValueError(
                f"executor='joblib' with joblib's {name}, which waits for ever when a worker dies: "
                f"{WAIT_FOR_EVER[name]}"
            )
        self._joblib, self._backend, self._jobs = joblib, backend, joblib.effective_n_jobs(None)
        self._waiting: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._closed = False
        threading.Thread(target=self._run, name="fastmlp-joblib", daemon=True).start()

    def slots(self) -> int:
        return self._jobs

    def submit(self, work: Work, task: Any, sent: SentData, threads: int) -> Future:  # noqa: ARG002
        future: Future = Future()
        self._waiting.put((future, work, task, sent))
        return future

    def rebuild(self) -> bool:
        return True  # `Parallel` begins with new workers

    def close(self) -> None:
        super().close()
        self._closed = True
        self._waiting.put(None)

    def _run(self) -> None:
        while not self._closed:
            batch = [call for call in self._batch() if call[0].set_running_or_notify_cancel()]
            if not batch:
                continue
            calls = [self._joblib.delayed(_numbered)(k, run_in_worker, *call) for k, (_, *call) in enumerate(batch)]
            results: Any = iter(())
            try:
                results = iter(self._parallel()(calls))
                for k, answer in results:
                    batch[k][0].set_result(answer)
                    if self._closed:
                        return
            except BaseException as error:
                for future, *_ in (*batch, *self._others()):  # those that wait too, as in other pools
                    if not future.done():
                        future.set_exception(BrokenExecutor(f"{type(error).__name__}: {error}"))
            finally:
                with contextlib.suppress(Exception):
                    getattr(results, "close", lambda: None)()  # what has not begun is cancelled

    def _parallel(self) -> Any:
        """A new one for each batch, because one whose workers have died goes on failing."""
        settings: dict[str, Any] = {"batch_size": 1, "pre_dispatch": "all"}
        with self._joblib.parallel_config(self._backend, n_jobs=self._jobs):
            try:
                return self._joblib.Parallel(return_as="generator_unordered", **settings)
            except ValueError:  # not every backend gives results one by one
                return self._joblib.Parallel(**settings)

    def _batch(self) -> Iterator[Call]:
        """Wait for a call; gives it and all that wait behind it."""
        call = self._waiting.get()
        if call is not None:
            yield call
            yield from self._others()

    def _others(self) -> Iterator[Call]:
        """The calls that wait now."""
        with contextlib.suppress(queue.Empty):
            while (call := self._waiting.get_nowait()) is not None:
                yield call


def _numbered(number: int, run: Callable[..., Any], *call: Any) -> tuple[int, Any]:
    return number, run(*call)
