"""How many threads a team uses while other processes want the same processors.

The members of a team wait for each other after every step. If another process takes a member's processor for half of
the time, all members lose more than half of theirs: fewer members are then faster.
"""

from __future__ import annotations

import sys
import time

# Shorter slices say nothing: Windows counts a thread's time in ticks of 15.6 ms
SHORT_SECONDS = 0.5 if sys.platform == "win32" else 0.002
LEAST_SHARE = 0.75  # a member that ran for a smaller share of a slice shared its processor with another process
SLICES = 2  # a team gives such members up after this number of slices in a row
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 16.0  # seconds until all members are tried again; the pause doubles if that fails


class Contention:
    """The number of members for the teams of this process, from how much of the last slices' time each has run.

    Teams of several threads share it without a lock: the worst that a lost note costs is a slice.
    """

    def __init__(self) -> None:
        self._limit, self._until, self._pause = 1, 0.0, FIRST_PAUSE
        self._slices = 0

    def members(self, wanted: int) -> int:
        """How many of the wanted members to use for the next slice."""
        return min(wanted, self._limit) if time.monotonic() < self._until else wanted

    def note(self, seconds: float, shares: list[float]) -> None:
        """Note a slice that took `seconds`, of which its members ran these shares."""
        if seconds < SHORT_SECONDS:
            return
        lost = sum(share < LEAST_SHARE for share in shares)
        if not lost:
            self._slices, self._pause = 0, FIRST_PAUSE
            return
        self._slices += 1
        if self._slices >= SLICES:  # when a pause is over, the first slice tells
            self._limit, self._until = max(1, len(shares) - lost), time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


CONTENTION = Contention()
