"""Ctrl-C and SIGTERM while nets are trained: asked to stop, training stops in order; by a second Ctrl-C, at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType


class LeaveAtOnce(KeyboardInterrupt):
    """Ctrl-C came for the second time."""


class Stopping:
    """While this context is open in the main thread, a signal that asks to stop is noted in `received`.

    Both are listened to, or those that are named.

    Handlers that a program has set itself are left alone: what they raise comes out of whatever runs then.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM)
        self.received: signal.Signals | None = None
        self.wake: Callable[[], None] = lambda: None  # called when a signal has come
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise LeaveAtOnce
        self.received = self.received or signal.Signals(number)
        self.wake()
