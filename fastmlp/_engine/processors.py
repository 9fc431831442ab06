"""The number of processors that this process may use."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fastmlp._check_data import whole_number

QUOTA_SECONDS = 10.0  # after this time the quota is read again, which takes a tenth of a millisecond
# what joblib sets in its workers, what Dask, Ray and schedulers set, and what users set for joblib
VARIABLES = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def available_threads() -> int:
    """The least of the processors that the system allows, the control groups' CPU quota, and the variables above."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [int(limit) for limit in map(_first_number, VARIABLES) if limit.isdecimal() and int(limit)]
    return min(processors, _QUOTA.processors(), *limits)


def thread_count(threads: object) -> int:
    """The checked number of threads; None for all processors that this process may use."""
    return available_threads() if threads is None else whole_number("threads", threads, 1, 1024)


def _first_number(variable: str) -> str:
    """The number in an environment variable; OpenMP allows a list with one for each level of nesting."""
    return os.environ.get(variable, "").split(",")[0].strip()


class _Quota:
    """The CPU quota, read at most every `QUOTA_SECONDS`."""

    def __init__(self) -> None:
        self._read_at, self._processors = -math.inf, 1

    def processors(self) -> int:
        now = time.monotonic()
        if now - self._read_at > QUOTA_SECONDS:
            self._processors, self._read_at = quota_processors(), now
        return self._processors


_QUOTA = _Quota()


def quota_processors(root: Path = Path("/")) -> int:
    """Processors' worth of time that the control groups of this process allow, rounded up; very many without a quota.

    A group is limited by those above it too. Reference: Linux, Documentation/admin-guide/cgroup-v2.rst, "cpu.max".
    """
    shares = [share for share in map(_share_of, _groups(root)) if share is not None]
    return max(1, math.ceil(min(shares, default=2.0**20)))


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups for CPU time, and of the groups above them."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup"
        if controllers:
            mount = mount / controllers if (mount / controllers).exists() else mount / "cpu"
        folder = mount / path.lstrip("/")
        yield folder
        while folder != mount:
            folder = folder.parent
            yield folder


def _share_of(folder: Path) -> float | None:
    """The processors' worth of time of a group; None without a quota."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(quota) / float(period) if float(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
