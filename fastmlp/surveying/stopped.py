"""The exceptions of a survey that ends early; both hold the nets so far, and can be pickled."""

from __future__ import annotations

import signal
from typing import Any

from fastmlp.surveying.results import Survey


class SurveyError(RuntimeError):
    """A shard failed as often as `retries` allows.

    Attributes
    ----------
    survey : Survey
        The other nets so far.

    Examples
    --------
    An executor whose tasks all fail:

    >>> import fastmlp
    >>> from concurrent.futures import Future
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> class Broken:
    ...     def submit(self, *task):
    ...         future = Future()
    ...         future.set_exception(RuntimeError("no memory"))
    ...         return future
    >>> try:
    ...     fastmlp.survey(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, executor=Broken(), retries=1)
    ... except fastmlp.SurveyError as error:
    ...     print(error.survey.complete)
    False
    """

    def __init__(self, message: str, survey: Survey) -> None:
        super().__init__(f"{message}\n.survey holds the other nets so far: {survey!r}")
        self.survey, self._message = survey, message

    def __reduce__(self) -> Any:
        return type(self), (self._message, self.survey)


class SurveyInterrupted(KeyboardInterrupt):
    """A survey was interrupted by Ctrl-C or SIGTERM.

    Attributes
    ----------
    survey : Survey
        The nets so far.
    signal : signal.Signals
        SIGINT or SIGTERM.

    Examples
    --------
    A callback that stops the survey, in place of Ctrl-C:

    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> def stop(progress):
    ...     raise KeyboardInterrupt
    >>> try:
    ...     fastmlp.survey(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, shard_nets=100, epochs=10, callback=stop)
    ... except fastmlp.SurveyInterrupted as stopped:
    ...     found = stopped.survey
    >>> len(found) < 1000, found.complete
    (True, False)
    """

    def __init__(self, survey: Survey, received: signal.Signals = signal.SIGINT) -> None:
        super().__init__(f"the survey was interrupted; .survey holds the nets so far: {survey!r}")
        self.survey, self.signal = survey, received

    def __reduce__(self) -> Any:
        return type(self), (self.survey, self.signal)
