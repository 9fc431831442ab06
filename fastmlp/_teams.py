"""Threads that run a kernel together, each pinned to a processor while it does."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fastmlp import _layout as layout
from fastmlp._team import N_SHARED
from fastmlp._vectors import Buffer, aligned_zeros

# What members share; of everything else in `Scratch` each has its own
SHARED = ("units", "deltas", "transposed", "team")
_numbers = itertools.count()  # of teams, so that two at work at once share no processor


class Team:
    """The thread that asks, and `members` − 1 threads more."""

    def __init__(self, scratch: layout.Scratch, members: int = 1):
        self.scratches = [scratch]
        if members > 1:
            scratch = scratch._replace(team=Buffer(aligned_zeros((N_SHARED,), np.int64)), members=members)
            self.scratches = [_own(scratch, member) for member in range(members)]
            self._threads = ThreadPoolExecutor(members - 1, thread_name_prefix="fastmlp-member")
            self._number = next(_numbers)

    def run(self, work: Callable[[layout.Scratch], None]) -> None:
        """Call `work` with every member's working memory, each on a thread of its own."""
        leader, *others = self.scratches
        if not others:
            work(leader)
            return
        processors = self._processors()

        def run_member(scratch: layout.Scratch) -> None:
            with pinned(processors[scratch.member] if processors else None):
                work(scratch)

        futures = [self._threads.submit(run_member, scratch) for scratch in others]
        run_member(leader)
        for future in futures:
            future.result()

    def _processors(self) -> list[int]:
        """One for each member, or none where they do not suffice."""
        if not hasattr(os, "sched_getaffinity"):
            return []
        allowed, members = sorted(os.sched_getaffinity(0)), len(self.scratches)
        places = len(allowed) // members
        first = self._number % places * members if places else 0
        return allowed[first : first + members] if places else []


def _own(scratch: layout.Scratch, member: int) -> layout.Scratch:
    """The working memory of one member."""
    fields: dict[str, Any] = {
        name: Buffer(_aligned_copy(value.array))
        for name, value in scratch._asdict().items()
        if isinstance(value, Buffer) and name not in SHARED
    }
    return scratch._replace(**fields, member=member)


def _aligned_copy(array: np.ndarray) -> np.ndarray:
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


@contextlib.contextmanager
def pinned(processor: int | None) -> Iterator[None]:
    """Keep the calling thread on one processor meanwhile; None leaves it where it is."""
    if processor is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
