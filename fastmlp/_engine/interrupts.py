"""Ctrl-C and SIGTERM during training: the first stops it cleanly, a second Ctrl-C at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGTERM: signal.Signals | None = getattr(signal, "SIGTERM", None)  # not every system has it
STOP_SIGNALS = (signal.SIGINT,) if SIGTERM is None else (signal.SIGINT, SIGTERM)


class LeaveAtOnce(KeyboardInterrupt):
    """Ctrl-C was pressed a second time."""


class Stopping:
    """A context in the main thread that notes SIGINT and SIGTERM in `received`.

    `signals` limits it to some of them. A program's own handlers stay in place; their exceptions propagate.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or STOP_SIGNALS
        self.received: signal.Signals | None = None
        self.wake: Callable[[], None] = lambda: None  # called when a signal arrives
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
