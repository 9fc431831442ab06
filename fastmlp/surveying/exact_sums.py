"""Exact sums of floats and of their squares: whole numbers in units of the smallest float and of its square."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

PIECE_BITS = 16  # sums of 2^20 products of two such pieces are exact in float64
MOST_AT_ONCE = 2**20


@dataclass(frozen=True)
class ExactSums:
    """The number of some finite floats, their sum, and the sum of their squares, without any rounding."""

    dtype: np.dtype
    count: int = 0
    total: int = 0  # in units of the smallest float
    squares: int = 0  # in units of its square

    @classmethod
    def of(cls, values: np.ndarray) -> ExactSums:
        """The sums of finite floats."""
        result = cls(values.dtype)
        for first in range(0, len(values), MOST_AT_ONCE):
            result += cls._of_some(values[first : first + MOST_AT_ONCE])
        return result

    @classmethod
    def _of_some(cls, values: np.ndarray) -> ExactSums:
        signs, mantissas, exponents = _in_units(values)
        n_pieces = -(-(np.finfo(values.dtype).nmant + 1) // PIECE_BITS)
        pieces = [(mantissas >> (PIECE_BITS * k) & (2**PIECE_BITS - 1)).astype(np.float64) for k in range(n_pieces)]
        total = sum(_shifted(exponents, signs * piece) << (PIECE_BITS * k) for k, piece in enumerate(pieces))
        squares = sum(
            _shifted(exponents, pieces[j] * pieces[k], power=2) << (PIECE_BITS * (j + k) + (j < k))
            for j in range(n_pieces)
            for k in range(j, n_pieces)
        )
        return cls(values.dtype, len(values), total, squares)

    def __add__(self, other: ExactSums) -> ExactSums:
        if self.dtype != other.dtype:
            raise ValueError(f"sums of {self.dtype} and of {other.dtype} numbers do not add up")
        return ExactSums(self.dtype, self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The mean, rounded once; NaN without numbers."""
        if not self.count:
            return math.nan
        return float(Fraction(self.total, self.count) * Fraction(2) ** _least_exponent(self.dtype))

    @property
    def variance(self) -> float:
        """The mean squared deviation from the mean, rounded once; NaN without numbers."""
        if not self.count:
            return math.nan
        exact = Fraction(self.count * self.squares - self.total**2, self.count**2)
        return float(exact * Fraction(2) ** (2 * _least_exponent(self.dtype)))


def _least_exponent(dtype: np.dtype) -> int:
    """The binary exponent of the smallest float."""
    about = np.finfo(dtype)
    return int(about.minexp) - int(about.nmant)


def _in_units(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signs and whole numbers m and k: a value is sign · m · 2^k units of the smallest float."""
    n_mantissa = int(np.finfo(values.dtype).nmant)
    bits = values.view(np.dtype(f"i{values.dtype.itemsize}"))
    exponents = bits >> n_mantissa & (2 ** (8 * values.dtype.itemsize - 1 - n_mantissa) - 1)
    mantissas = bits & (2**n_mantissa - 1) | (exponents > 0).astype(bits.dtype) << n_mantissa
    return np.where(bits < 0, -1.0, 1.0), mantissas, np.maximum(exponents, 1) - 1


def _shifted(exponents: np.ndarray, numbers: np.ndarray, power: int = 1) -> int:
    """The exact sum of numbers · 2^(power · exponents)."""
    sums = np.bincount(exponents, weights=numbers)
    return sum(int(sums[k]) << power * int(k) for k in np.flatnonzero(sums))
