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
    """

    def __init__(self, survey: Survey, received: signal.Signals = signal.SIGINT) -> None:
        super().__init__(f"the survey was interrupted; .survey holds the nets so far: {survey!r}")
        self.survey, self.signal = survey, received

    def __reduce__(self) -> Any:
        return type(self), (self.survey, self.signal)
