"""Threads that wait for the next call when they have nothing to do: starting one takes a tenth of a millisecond.

At most as many as there are processors wait. A forked process starts its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable

from fastmlp._engine.processors import available_threads


class Run:
    """A function that runs once on a kept thread; it must not raise."""

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function
        self._thread: _Thread | None = None

    def start(self) -> None:
        """Run the function on a waiting thread, or on a new one."""
        try:
            self._thread = _WAITING.pop()
        except IndexError:
            self._thread = _Thread()
        self._thread.run = self
        self._thread.wake()

    def is_alive(self) -> bool:
        """Whether the function was started and has not ended.

        An exception of a signal handler may have come in the middle of `start`: then this wakes the thread.
        """
        thread = self._thread
        if thread is None or thread.run is not self:
            return False
        thread.wake()
        return True


class _Thread:
    def __init__(self) -> None:
        self.run: Run | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()
        threading.Thread(target=self._work, name="fastmlp-worker", daemon=True).start()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is awake already
            self._asleep.release()

    def _work(self) -> None:
        while True:
            self._asleep.acquire()
            if self.run is not None:
                try:
                    self.run.function()
                finally:
                    self.run = None
                if len(_WAITING) >= available_threads():
                    return
                _WAITING.append(self)


_WAITING: deque[_Thread] = deque()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WAITING.clear)
