"""What `train` raises when it is interrupted: an exception that holds the nets."""

from __future__ import annotations

import signal
from typing import Any

from fastmlp.runs import Runs
from fastmlp.training.checkpoint import Checkpoint


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came; `runs` holds every net as it stood.

    Nets that were not yet at their end have `Status.INTERRUPTED`, the weights of their last update (or their initial
    ones), the epochs they had completed, and NaN for loss and accuracy; with validation data they have their best
    weights, and what those come to.

    Attributes
    ----------
    runs : Runs
    checkpoint : Path or None
        The file that `resume` goes on from, where there is one.
    signal : signal.Signals
        SIGINT or SIGTERM.
    """

    def __init__(self, runs: Runs, received: signal.Signals, checkpoint: Checkpoint | None = None) -> None:
        advice = "train with checkpoint=… to go on another time"
        if checkpoint is not None:
            advice = f"fastmlp.resume({str(checkpoint.path)!r}, X, y) goes on with it"
            if checkpoint.failure is not None:
                advice = f"the checkpoint {checkpoint.path} could not be brought up to date: {checkpoint.failure}"
        super().__init__(f"training was interrupted; .runs holds what is trained so far: {runs!r}; {advice}")
        self.runs, self.signal = runs, received
        self.checkpoint = None if checkpoint is None else checkpoint.path

    def __reduce__(self) -> Any:
        return _interruption, (type(self), self.args, self.__dict__)


def _interruption(kind: type, arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    """An exception as it was pickled; its constructor takes other arguments than it shows."""
    result = kind.__new__(kind, *arguments)
    result.args = arguments
    result.__dict__.update(attributes)
    return result
