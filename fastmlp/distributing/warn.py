"""Warnings that point to the line of the user's that called fastmlp, however deep they arise."""

from __future__ import annotations

import sys
import warnings

OURS = ("fastmlp.", "contextlib")


def warn_caller(message: str) -> None:
    """Warn, as if from the first frame outside fastmlp."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level + 1)
