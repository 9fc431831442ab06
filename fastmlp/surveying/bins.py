"""Counts of numbers in bins of a float's own bits, from which order statistics are bracketed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

MANTISSA_BITS = 10  # a bin's ends differ by a factor of 1 + 2^-10 at most
MOST_AS_ARRAY = 2**22  # bins between the least and the greatest number, counted in an array
INTEGERS: dict[int, np.dtype] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}


@dataclass(frozen=True)
class Bins:
    """How many numbers fall into each bin; a bin has the floats that share sign, exponent and 10 bits of mantissa.

    The bins of two parts add up, in any order. NaN is in none.
    """

    dtype: np.dtype
    counts: dict[int, int]  # by the bin's number, in rising order

    @classmethod
    def of(cls, values: np.ndarray, dtype: Any = None) -> Bins:
        """The bins of some numbers."""
        kind = np.dtype(dtype or values.dtype)
        numbers = _bin_numbers(values.astype(kind, copy=False))
        first = int(numbers.min()) if len(numbers) else 0
        if not len(numbers) or numbers.max() - first < MOST_AS_ARRAY:
            counts = np.bincount(numbers - first)
            found = np.flatnonzero(counts)
            return cls(kind, dict(zip((found + first).tolist(), counts[found].tolist(), strict=True)))
        found, counts = np.unique(numbers, return_counts=True)
        return cls(kind, dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def __add__(self, other: Bins) -> Bins:
        if self.dtype != other.dtype:
            raise ValueError(f"bins of {self.dtype} and of {other.dtype} numbers do not add up")
        return Bins(self.dtype, dict(sorted((Counter(self.counts) + Counter(other.counts)).items())))

    def __len__(self) -> int:
        return sum(self.counts.values())

    def ends(self, number: int) -> tuple[float, float]:
        """The least and the greatest float of a bin."""
        if number < 0:
            low, high = self.ends(~number)
            return -high, -low
        dropped = _dropped_bits(self.dtype)
        return _float_of(number << dropped, self.dtype), _float_of(((number + 1) << dropped) - 1, self.dtype)

    def order_statistic(self, rank: int) -> tuple[float, float]:
        """Bounds of the number with `rank` numbers below it, counted from 0."""
        if not 0 <= rank < len(self):
            raise ValueError(f"rank={rank}: needs a number from 0 to {len(self) - 1}")
        seen = 0
        for number, count in self.counts.items():
            seen += count
            if rank < seen:
                return self.ends(number)
        raise AssertionError("unreachable")

    def quantile(self, share: float) -> float:
        """About the number that this share of the numbers lies below: the middle of its bin; NaN without numbers."""
        n = len(self)
        if not n:
            return float("nan")
        low, high = self.order_statistic(min(n - 1, int(share * n)))
        return (low + high) / 2

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The least and the greatest float of each bin, rising, and how many numbers are in it."""
        ends = np.array([self.ends(number) for number in self.counts]).reshape(-1, 2)
        return ends[:, 0], ends[:, 1], np.array([*self.counts.values()], np.int64)

    def counts_below(self, limits: np.ndarray) -> np.ndarray:
        """How many numbers lie in bins that begin below each of the limits."""
        starts = np.array([self.ends(number)[0] for number in self.counts])
        counts = np.cumsum([0, *self.counts.values()])
        return counts[np.searchsorted(starts, limits, "left")]


def _dropped_bits(dtype: np.dtype) -> int:
    return int(np.finfo(dtype).nmant) - MANTISSA_BITS


def _bin_numbers(values: np.ndarray) -> np.ndarray:
    """The bin of each number, rising with the numbers: 0, 1, … for positive ones, −1, −2, … for negative ones.

    -0.0 is in the bin of 0.0, and NaN in none.
    """
    values = values[~np.isnan(values)] + values.dtype.type(0)
    integers = INTEGERS[values.dtype.itemsize]
    bits = values.view(integers).astype(np.int64)
    numbers = (bits & int(np.iinfo(integers).max)) >> _dropped_bits(values.dtype)
    return np.where(bits < 0, ~numbers, numbers)


def _float_of(bits: int, dtype: np.dtype) -> float:
    """The float with these bits, or infinity where they are those of NaN."""
    integers = INTEGERS[dtype.itemsize]
    infinity = int(np.array(np.inf, dtype).view(integers))
    return float(np.array(min(bits, infinity), integers).view(dtype))
