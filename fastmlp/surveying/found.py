"""What a survey has found so far, as it adds up from pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastmlp.runs import Runs
from fastmlp.surveying.description import Description
from fastmlp.surveying.shard import Piece, numbers_of, together
from fastmlp.surveying.summary import Summary

Range = tuple[int, int]  # net numbers, from the first to before the last


class FailedShard(NamedTuple):
    """Nets that are missing in a survey, and why."""

    first: int
    stop: int
    message: str


@dataclass
class Found:
    """What has been merged so far."""

    about: Description
    keeps: str  # which nets, as `nets` of `survey`
    summary: Summary
    done: list[Range] = field(default_factory=list)  # in rising order, joined where they touch
    failed: list[FailedShard] = field(default_factory=list)
    nets: list[Runs] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """Merge a piece, whose nets no other piece has had."""
        first, stop = piece.first, piece.stop
        if any(first < b and a < stop for a, b in self.done):
            raise ValueError(f"nets {first} to {stop - 1} were merged already")
        self.summary += piece.summary
        self.done = joined([*self.done, (first, stop)])
        self.nets += piece.nets
        if self.keeps == "best":
            self.nets = _best_of(self.nets, self.about)

    @classmethod
    def nothing(cls, about: Description, keeps: str) -> Found:
        """What there is before the first piece."""
        return cls(about, keeps, Summary.empty(about.settings.dtype, about.keep))


def joined(ranges: list[Range]) -> list[Range]:
    """The same ranges in rising order, with those that touch joined."""
    result: list[Range] = []
    for first, stop in sorted(ranges):
        if result and result[-1][1] == first:
            result[-1] = result[-1][0], stop
        else:
            result.append((first, stop))
    return result


def gaps(first: int, stop: int, done: list[Range]) -> list[Range]:
    """The ranges from `first` to `stop` that are not among those in `done`, which rise."""
    ends = [first, *[end for nets in done for end in nets], stop]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


def _best_of(nets: list[Runs], about: Description) -> list[Runs]:
    """The nets of least loss that are to be kept, by loss and then by number."""
    if not nets:
        return []
    runs = together(nets)
    order = np.lexsort((numbers_of(runs, about), runs.loss))[: about.keep]
    return [runs[order]]
