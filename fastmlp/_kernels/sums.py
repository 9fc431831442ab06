"""Sums whose rounding error does not grow with the number of terms.

A sum is a pair: the total, and its compensation, which is the last rounding error. Terms have a fixed order, so that
the bits are fixed. `_simd.fold_compensated` does the same for a block of samples.
"""

import numpy as np

from fastmlp._simd.arithmetic import absolute, select
from fastmlp._simd.jit import inline


@inline
def add_compensated(total, rest, term):
    """Add a term to the pair (Kahan's summation; see `_simd.fold_compensated`)."""
    term = term + rest
    new = total + term
    return new, select(absolute(new) < np.inf, term - (new - total), 0.0)
