"""A team: threads that train a net together, each pinned to a processor meanwhile."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from fastmlp._engine.contention import CONTENTION
from fastmlp._kernels import structs
from fastmlp._kernels.barrier import ABANDONED, ARRIVALS, N_SHARED
from fastmlp._simd.types import Buffer, aligned_copy, aligned_zeros

# Shared fields of `Scratch`; each member has its own copy of all others
SHARED = ("units", "sums", "deltas", "masks", "team")
T = TypeVar("T")


class Team:
    """The calling thread and `threads_per_net` − 1 other threads."""

    def __init__(self, scratch: structs.Scratch, threads_per_net: int = 1):
        self.scratches = [scratch]
        self.chunks: list[tuple[structs.OwnChunk, ...]] = []
        """For each member, room for samples of each net's own, in training and in validation."""
        if threads_per_net > 1:
            scratch = scratch._replace(
                team=Buffer(aligned_zeros((N_SHARED,), np.int64)), threads_per_net=threads_per_net
            )
            self.scratches = [_own(scratch, thread_number) for thread_number in range(threads_per_net)]
            self._threads = ThreadPoolExecutor(threads_per_net - 1, thread_name_prefix="fastmlp-member")

    def run(self, work: Callable[[structs.Scratch], T]) -> T:
        """Call `work` with every member's working memory, each on its own thread; returns the first one's result.

        While other processes want the same processors, there are fewer members.
        """
        wanted = len(self.scratches)
        members = CONTENTION.members(wanted) if wanted > 1 else 1
        if members == 1:
            return work(self._of_members(1)[0])
        leader, *others = self._of_members(members)
        processors = self._processors() if members == wanted else []
        shares = [1.0] * members

        def run_member(scratch: structs.Scratch) -> T:
            try:
                with pinned(processors[scratch.thread_number] if processors else None):
                    begun, ran = time.perf_counter(), time.thread_time()
                    result = work(scratch)
                    seconds = time.perf_counter() - begun
                    shares[scratch.thread_number] = (time.thread_time() - ran) / max(seconds, 1e-9)
                    return result
            except BaseException:
                self._abandon()
                raise

        leader.team[ARRIVALS] = 0  # the barrier counts in multiples of the number of members
        futures, begun = [], time.perf_counter()
        try:
            for scratch in others:
                futures.append(self._threads.submit(run_member, scratch))
            result = run_member(leader)
        except BaseException:
            self._abandon()
            raise
        finally:
            wait(futures)
        for future in futures:
            future.result()
        CONTENTION.note(time.perf_counter() - begun, shares)
        return result

    def _of_members(self, members: int) -> list[structs.Scratch]:
        """The working memory of a team of the first members."""
        if members == len(self.scratches):
            return self.scratches
        return [scratch._replace(threads_per_net=members) for scratch in self.scratches[:members]]

    def _abandon(self) -> None:
        """Release waiting threads after a failure."""
        self.scratches[0].team[ABANDONED] = 1

    def _processors(self) -> list[int]:
        """A processor for each member; None if there are too few, so that the system places the threads."""
        if not hasattr(os, "sched_getaffinity"):
            return []
        allowed = sorted(os.sched_getaffinity(0))
        return allowed if len(allowed) == len(self.scratches) else []


def _own(scratch: structs.Scratch, thread_number: int) -> structs.Scratch:
    """The working memory of one member."""
    fields: dict[str, Any] = {
        name: Buffer(aligned_copy(value.array))
        for name, value in scratch._asdict().items()
        if isinstance(value, Buffer) and name not in SHARED
    }
    own = type(scratch.own)(*(Buffer(aligned_copy(value.array)) for value in scratch.own))
    return scratch._replace(**fields, own=own, thread_number=thread_number)


@contextlib.contextmanager
def pinned(processor: int | None) -> Iterator[None]:
    """Pin the calling thread to one processor in this context, if one is given and the system allows it."""
    before = None
    if processor is not None:
        with contextlib.suppress(OSError):
            allowed = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {processor})
            before = allowed
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, before)
