"""Square roots by Newton's method: those of IEEE 754, to the last bit, wherever the processor can do the method."""

import numpy as np
import pytest

from fastmlp._simd.cpu import register_bytes
from fastmlp._simd.jit import kernel
from fastmlp._simd.memory import load, store
from fastmlp._simd.sqrt import sqrt_by_newton
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from tests.support.data import bits

pytestmark = pytest.mark.skipif(register_bytes() < 64, reason="the estimates that it begins with need AVX-512")


@kernel
def roots(lanes, buffer, result, rows):
    for row in range(rows):
        store(result, row, sqrt_by_newton(load(lanes, buffer, row)))


def assert_rounded(numbers, registers=1):
    """`numbers`, as many as fill whole vectors, have the roots that NumPy gives them."""
    lanes = VectorSpec("float64", 8 * registers)
    given, found = (aligned_zeros(numbers.shape, np.float64) for _ in range(2))
    given[:] = numbers
    roots(lanes, Buffer(given), Buffer(found), numbers.size // lanes.count)
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(given)
    nan = np.isnan(expected)
    assert (np.isnan(found) == nan).all()
    assert bits(found[~nan]) == bits(expected[~nan])


@pytest.mark.parametrize("registers", [1, 2])
def test_unusual_numbers_in_every_lane(registers):
    lanes, info = 8 * registers, np.finfo(np.float64)
    unusual = [0.0, -0.0, np.inf, -1.0, np.nan, info.smallest_subnormal, info.tiny, info.max, info.tiny * 3]
    rng = np.random.default_rng(0)
    for number in unusual:
        rows = rng.uniform(0.1, 10, (lanes, lanes))
        rows[np.arange(lanes), np.arange(lanes)] = number
        assert_rounded(rows.ravel(), registers)


def test_all_exponents():
    numbers = np.random.default_rng(1).integers(0, np.iinfo(np.uint64).max, 2**20, np.uint64).view(np.float64)
    assert_rounded(np.abs(numbers))
    assert_rounded(np.abs(numbers), 2)


def roots_of_squares(c, modulus_bits):
    """Every M below 2^modulus_bits with M² ≡ c, for a c that is 1 modulo 8."""
    found = {1, 3, 5, 7}
    for n in range(4, modulus_bits + 1):
        found = {m for r in found for m in (r, r + 2 ** (n - 1)) if (m * m - c) % 2**n == 0}
    return found


def test_numbers_whose_roots_are_nearest_to_midpoints():
    """A root R of 53 bits is worked out with a relative error below 2^-102, and only then rounded.

    Rounding can go wrong only where R is that near to a midpoint M / 2, with an odd M of 54 bits. There
    R² = V · 2^(52 + e), with a V of 53 bits and e 0 or 1, so M² = V · 2^(54 + e) + c with a small c, and R is further
    from M / 2 than 2^-109 |c|, relative to it. These are all of them with |c| < 2^12, 32 times as far as needed.
    """
    numbers = []
    for c in range(1 - 2**12, 2**12, 8):
        for e in (0, 1):
            for M in roots_of_squares(c % 2 ** (54 + e), 54 + e):
                if 2**53 <= M < 2**54:
                    V = (M * M - c) >> (54 + e)
                    if 2**52 <= V < 2**53:
                        numbers.append(V * 2.0**e)
    assert len(numbers) > 1400
    whole = numbers[: len(numbers) // 8 * 8] + numbers[-8:]
    assert_rounded(np.array(whole))
