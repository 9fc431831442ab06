"""Sums whose rounding error does not grow with the number of terms.

A sum is a pair: the total, and what its last rounding left out. The order of terms is fixed, so the bits are.
`_simd.fold_compensated` does the same for a block of samples.
"""

import numpy as np

from fastmlp._simd.arithmetic import absolute, select
from fastmlp._simd.jit import inline


@inline
def add_compensated(total, rest, term):
    """The pair with one term more (Kahan's sum; see `_simd.fold_compensated`)."""
    term = term + rest
    new = total + term
    return new, select(absolute(new) < np.inf, term - (new - total), 0.0)
