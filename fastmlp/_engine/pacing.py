"""Choose the lengths of slices, so that progress is reported in time, and lanes are compacted when it pays off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastmlp._engine.job import Job
from fastmlp._engine.slices import epochs_of_orders

# docs/performance.md has the other values that were tried
SLICE_SECONDS = 0.05
FIRST_SLICE_SECONDS = 0.003  # approximate, until the speed is known
SHORT_SLICE_SECONDS = 0.005  # with rules, where a slice is one stride
STRIDES = 24  # with rules, number of strides in all epochs, so that lanes are compacted in time
STRIDE_SECONDS_A_BYTE = 6e-9  # shortest stride per byte of the chunk: each stride loads all tiles into the cache
STRIDE_OF_CALM = 1 / 3  # shortest stride as a share of the epochs so far, if no net finished in the last slice
CLOSE_GAPS_BELOW = 0.85  # lanes are compacted when at most this share of the nets in the tiles still train,
CLOSE_GAPS_AFTER = 0.005  # or when a net has finished and this many seconds have passed since the last time
MOST_ORDERS_BY_NET = 2**24  # numbers of samples


class Pace(NamedTuple):
    """Length of the next slice and of its strides."""

    length: int  # epochs of the slice
    stride: int  # epochs after which the kernel counts the nets that still train


class Pacing:
    """Chooses the pace of one chunk from its speed so far."""

    def __init__(self, job: Job, nets: slice | np.ndarray) -> None:
        """`nets` are those of the chunk."""
        self.job, self._since_closing, self._in_orders = job, 0.0, job.data.n_samples
        if job.own is not None and job.flags.shuffle:
            self._in_orders = int(np.unique(job.own.counts[nets]).sum())

    def first(self, n_tiles: int) -> Pace:
        """The pace of the first slice."""
        if self.job.validation is not None:
            return Pace(1, 1)
        length = self._within_limits(FIRST_SLICE_SECONDS / (self.job.seconds_of_a_tile * max(1, n_tiles)), n_tiles)
        return Pace(length, length)

    def next(self, ran: int, seconds: float, n_tiles: int, calm: int) -> Pace:
        """The pace after a slice of `ran` epochs; no net has finished for `calm` epochs."""
        job = self.job
        if job.validation is not None:
            return Pace(1, 1)
        speed = ran / max(seconds, 1e-6)
        length = stride = min(8 * ran, SLICE_SECONDS * speed)
        if job.flags.rules:
            # a slice that ends early must draw the rest of its orders again, so slices with orders have one stride
            drawing = job.draws_every_slice
            least = SHORT_SLICE_SECONDS if drawing else STRIDE_SECONDS_A_BYTE * n_tiles * job.tile_bytes
            stride = max(job.epochs / STRIDES, least * speed, STRIDE_OF_CALM * calm)
            length = min(length, stride) if drawing else length
        return Pace(self._within_limits(length, n_tiles), max(1, int(stride)))

    def closes_gaps(self, held: int, active: int, seconds: float) -> bool:
        """Whether to compact now: `active` of `held` nets in lanes still train, after a slice of `seconds`."""
        self._since_closing += seconds
        if active < fewest(held) or (active < held and self._since_closing > CLOSE_GAPS_AFTER):
            self._since_closing = 0.0
            return True
        return False

    def _within_limits(self, length: float, n_tiles: int) -> int:
        n_samples = self.job.data.n_samples
        if self.job.flags.shuffle:
            length = min(length, epochs_of_orders(self._in_orders))
        if self.job.flags.order_by_net:
            length = min(length, MOST_ORDERS_BY_NET / (n_samples * n_tiles))
        return max(1, int(length))


def fewest(held: int) -> int:
    """A slice ends when fewer than this many nets in lanes still train."""
    return int(CLOSE_GAPS_BELOW * held) + 1
