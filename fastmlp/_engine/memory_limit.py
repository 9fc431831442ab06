"""Compare the memory that a call needs with the memory that is available."""

from __future__ import annotations

import os
from pathlib import Path

ALWAYS_AVAILABLE = 2**20  # bytes that are not worth reading the system's files, which takes a third of a millisecond


def available_bytes() -> int | None:
    """Bytes that this process can still allocate, or None if the system does not tell.

    On Linux, the minimum of free memory and the limits of control groups.
    """
    limits = [limit for limit in (_free(), _control_group()) if limit is not None]
    return min(limits, default=None)


def _free() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _control_group() -> int | None:
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            taken = int(Path(used).read_text(encoding="utf-8")) - _page_cache(Path(used).with_name("memory.stat"))
            return max(0, int(Path(limit).read_text(encoding="utf-8")) - taken)
        except (OSError, ValueError):
            continue
    return None


def _page_cache(statistics: Path) -> int:
    """Bytes of file cache in a control group, which the system frees when needed."""
    for line in statistics.read_text(encoding="utf-8").splitlines():
        if line.startswith(("inactive_file ", "total_inactive_file ")):
            return int(line.split()[1])
    return 0


def refuse_if_too_large(needed: int, what: str, advice: str) -> None:
    """Raise MemoryError if `needed` bytes are not available."""
    if needed <= ALWAYS_AVAILABLE:
        return
    available = available_bytes()
    if available is not None and needed > available:
        raise MemoryError(
            f"{what} need about {needed / 2**20:,.0f} MiB, {available / 2**20:,.0f} MiB are free: {advice}"
        )
