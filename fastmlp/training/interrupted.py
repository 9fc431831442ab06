"""`TrainingInterrupted`: the exception of an interrupted `train`, which holds the nets."""

from __future__ import annotations

import signal
from typing import Any

from fastmlp.runs import Runs
from fastmlp.training.checkpoint import Checkpoint


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted by Ctrl-C or SIGTERM; `runs` holds every net.

    Unfinished nets have `Status.INTERRUPTED`, the weights of their last update (or their initial weights), the number
    of completed epochs, and NaN for loss and accuracy; with validation data they have their best weights, with loss and
    accuracy of these.

    Attributes
    ----------
    runs : Runs
    checkpoint : Path or None
        The file that `resume` continues from, if there is one.
    signal : signal.Signals
        SIGINT or SIGTERM.

    Examples
    --------
    A callback that stops training, in place of Ctrl-C:

    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> def stop(progress):
    ...     raise KeyboardInterrupt
    >>> try:
    ...     runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=20_000, epochs=100_000, callback=stop)
    ... except fastmlp.TrainingInterrupted as stopped:
    ...     runs = stopped.runs
    >>> len(runs), runs.counts()["interrupted"] > 0
    (20000, True)
    """

    def __init__(self, runs: Runs, received: signal.Signals, checkpoint: Checkpoint | None = None) -> None:
        advice = "train with checkpoint=… to be able to continue later"
        if checkpoint is not None:
            advice = f"fastmlp.resume({str(checkpoint.path)!r}, X, y) continues it"
            if checkpoint.failure is not None:
                advice = f"the checkpoint {checkpoint.path} could not be updated: {checkpoint.failure}"
        super().__init__(f"training was interrupted; .runs holds the results so far: {runs!r}; {advice}")
        self.runs, self.signal = runs, received
        self.checkpoint = None if checkpoint is None else checkpoint.path

    def __reduce__(self) -> Any:
        return _interruption, (type(self), self.args, self.__dict__)


def _interruption(kind: type, arguments: tuple[Any, ...], attributes: dict[str, Any]) -> BaseException:
    """Restore the pickled exception, whose constructor takes other arguments than `args`."""
    result = kind.__new__(kind, *arguments)
    result.args = arguments
    result.__dict__.update(attributes)
    return result
