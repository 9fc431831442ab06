"""Compile kernels in a thread of their own, and say so on standard error if it takes long."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator

from fastmlp._engine.workers import call_apart

PATIENT_SECONDS = 1.0  # compilation that takes longer is reported


def compile_apart(functions: list[Callable[[], object]], progress: bool = False) -> float:
    """Call functions that compile kernels, or load them from the cache; returns the seconds it took.

    They run in another thread: an exception in the middle, such as KeyboardInterrupt, would be lost in LLVM or leave an
    incomplete kernel. With `progress`, or on a terminal, a line on standard error says what takes so long.
    """
    begun = time.perf_counter()
    with _told(progress or _is_terminal()), _no_garbage_collection():
        for function in functions:
            call_apart(function)
    return time.perf_counter() - begun


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def _told(tells: bool) -> Iterator[None]:
    """Say after a second that kernels are compiled, and at the end how long it took."""
    begun, said = time.perf_counter(), threading.Event()

    def say() -> None:
        said.set()
        _write("fastmlp: compiling kernels for nets of this kind, once; later runs load them from a cache ... ")

    timer = threading.Timer(PATIENT_SECONDS, say)
    timer.daemon = True
    if tells:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if said.is_set():
            _write(f"{time.perf_counter() - begun:.1f} s\n")


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed stream must not end training
        sys.stderr.write(text)
        sys.stderr.flush()


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause garbage collection: it would take a sixth of the compile time to scan millions of long-lived objects."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
