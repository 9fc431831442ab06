"""Branches that a number in a kernel's signature decides: what the other branch would have called is not compiled."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pytest
from numba.core import config
from numba.core.caching import NullCache
from numba.core.errors import TypingError

from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.types import Buffer, static


class Rule(IntEnum):
    FIRST = 0
    SECOND = 1


class Flags(NamedTuple):
    rule: int
    doubled: bool
    free: bool


@inline
def uncompilable(x):
    return x.no_such_attribute


@pytest.fixture
def choose():
    """A kernel whose code for FIRST, doubled, can't be compiled."""

    @kernel
    def choose(flags, negative, target):
        x = 1.0
        if flags.rule == Rule.SECOND and not flags.doubled:
            x = 2.0
        elif flags.rule != Rule.FIRST:
            x = 3.0
        if flags.rule == Rule.FIRST and flags.doubled:
            x = uncompilable(target)
        if flags.free or negative:
            x = -x
        target[0] = x

    if not config.DISABLE_JIT:
        choose.dispatcher._cache = NullCache()
    return choose


def result(choose, flags, negative=False):
    target = np.zeros(1)
    choose(flags, negative, Buffer(target))
    return target[0]


@pytest.mark.parametrize(
    ("rule", "doubled", "expected"), [(Rule.FIRST, False, 1), (Rule.SECOND, False, 2), (Rule.SECOND, True, 3)]
)
def test_the_branch_that_is_taken(choose, rule, doubled, expected):
    for free in (False, True):
        flags = Flags(static(int(rule)), static(doubled), free)
        assert result(choose, flags) == (-expected if free else expected)
        for negative in (False, True):
            assert result(choose, flags, static(negative)) == (-expected if free or negative else expected)
    if not config.DISABLE_JIT:
        assert len(choose.dispatcher.overloads) == 3  # `negative` is a number, static and false, static and true


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("flags", [Flags(static(0), static(True), False), Flags(0, False, False)], ids=str)
def test_a_branch_that_may_be_taken_is_compiled(choose, flags):
    with pytest.raises(TypingError, match="no_such_attribute"):
        result(choose, flags)


def test_true_is_not_the_same_as_one():
    assert static(True)._numba_type_ != static(1)._numba_type_
    assert static(True)._numba_type_ == static(np.bool_(True))._numba_type_
    assert static(2)._numba_type_ == static(Rule.SECOND + 1)._numba_type_
    assert static(2) == 2
    assert not static(False)
