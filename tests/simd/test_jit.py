"""How functions are compiled: those inside kernels once for all numbers, kernels once for each kind of arguments."""

import numpy as np
import pytest
from numba.core.caching import NullCache

from fastmlp._simd.arithmetic import broadcast
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros


@pytest.fixture
def functions():
    """One inside another, neither compiled yet nor found in the cache."""

    @inline
    def scaled(lanes, buffer, row, factor, negative):
        vector = load(lanes, buffer, row) * broadcast(lanes, factor)
        return -vector if negative else vector

    @kernel
    def fill(lanes, source, target, row):
        store(target, 0, scaled(lanes, source, 0, 2, False))
        store(target, 1, scaled(lanes, source, row, 3, True))
        last = 0
        while last < row:
            last += 1
        store(target, 2, scaled(lanes, source, last, last, negative=False))

    fill.dispatcher._cache = NullCache()
    return scaled, fill


def check(fill, dtype, count, row):
    source, target = (aligned_zeros((4, count), dtype) for _ in range(2))
    source[...] = np.arange(source.size).reshape(source.shape)
    fill(VectorSpec(dtype, count), Buffer(source), Buffer(target), row)
    assert (target[:3] == [2 * source[0], -3 * source[row], row * source[row]]).all()


def test_constants_are_of_no_kind_of_their_own(functions):
    scaled, fill = functions
    check(fill, "float32", 8, 1)
    assert len(scaled.overloads) == 1


def test_a_kernel_is_compiled_once_for_each_kind_of_arguments(functions):
    _, fill = functions
    for row in (1, 2, 3):
        for dtype, count in (("float32", 8), ("float32", 16), ("float64", 8)):
            check(fill, dtype, count, row)
    assert len(fill._codes) == len(fill.dispatcher.overloads) == 3
