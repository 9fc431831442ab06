"""Sums whose rounding error does not grow with the number of terms.

A sum is a pair: the running total, and the sum of what each of its roundings left out. The order of terms is fixed, so
the bits are. `_simd.fold_compensated` does the same for a block of samples.
"""

from fastmlp._jit import inline
from fastmlp._simd import select


@inline
def add_compensated(total, rest, term):
    """The pair with one term more (Knuth's two-sum; see `_simd.fold_compensated`)."""
    new = total + term
    taken = new - total
    return new, rest + ((total - (new - taken)) + (term - taken))


@inline
def sum_of(total, rest):
    """The sum that a pair stands for; an overflow stays infinite."""
    corrected = total + rest
    return select(corrected == corrected, corrected, total)
