"""Each operation of the vector type: compiled and in NumPy the same bits, at every width and dtype."""

import numba
import numpy as np
import pytest

from fastmlp._simd import arithmetic as simd
from fastmlp._simd import cpu
from fastmlp._simd import memory as access
from fastmlp._simd import sqrt as _roots
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.types import Buffer, Constants, VectorSpec, aligned_zeros
from tests.support.data import bits

KINDS = [VectorSpec(dtype, count) for dtype in ("float32", "float64") for count in (2, 8, 32)]
POLYNOMIAL = Constants(single=(0.25, -1.5, 3.0), double=(0.25, -1.5, 3.0))

OPERATIONS = {
    "fma": lambda L, x, y: simd.fma(x, y, x),
    "fma with numbers": lambda L, x, y: simd.fma(x, 2.0, 1),
    "arithmetic": lambda L, x, y: (x + y) * (x - 2.0) / (1.0 + y * y) - -x,
    "sqrt": lambda L, x, y: _roots.sqrt(simd.absolute(x)),
    "select": lambda L, x, y: simd.select((x < y) & ~(x == 1.0), x, 0.5),
    "select or": lambda L, x, y: simd.select((x >= y) | (x != x), 0.0, y),
    "bits": lambda L, x, y: simd.from_bits((simd.bits(x) >> 1) ^ ((simd.bits(y) << 3) & 0xFFF)),
    "polynomial": lambda L, x, y: simd.polynomial(x, POLYNOMIAL),
    "broadcast": lambda L, x, y: x + simd.broadcast(L, 0.1),
    "any": lambda L, x, y: x if simd.any_lane(x > y) else y,
}


def values(lanes, rng):
    rows = aligned_zeros((3, lanes.count), lanes.dtype)
    rows[:2] = rng.normal(size=(2, lanes.count)) * 10 ** rng.uniform(-3, 3, (2, lanes.count))
    rows[0, 0], rows[1, 1] = np.nan, -0.0
    return rows


@pytest.mark.parametrize("lanes", KINDS, ids=repr)
@pytest.mark.parametrize("name", OPERATIONS)
def test_compiled_and_numpy_agree(name, lanes):
    operation = OPERATIONS[name]
    inner = numba.njit(operation)

    @numba.njit
    def compiled(L, buffer):
        access.store(buffer, 2, inner(L, access.load(L, buffer, 0), access.load(L, buffer, 1)))

    rows = values(lanes, np.random.default_rng(1))
    other = rows.copy()
    compiled(lanes, Buffer(rows))
    with np.errstate(all="ignore"):
        other[2] = operation(lanes, other[0], other[1])
    nan = np.isnan(rows[2])
    assert (nan == np.isnan(other[2])).all()
    assert bits(rows[2][~nan]) == bits(other[2][~nan])


@pytest.mark.parametrize("lanes", KINDS, ids=repr)
@pytest.mark.parametrize("count", [1, 3, 4])
def test_blocks_fold_in_order(lanes, count):
    block = VectorSpec(lanes.dtype, 4 * lanes.count)

    def fold(block, lanes, buffer, total, result, count):
        a, b = access.load(block, buffer, 0), access.load(block, buffer, 1)
        start = access.load(lanes, total, 0)
        access.store(result, 0, simd.fold_fma(start, a, b, count))
        access.store(result, 1, simd.fold_add(start, a, count))
        access.store(result, 2, simd.fold_add(start, simd.repeat(block, start), simd.ratio(block, lanes)))
        access.store(result, 3, simd.fold_add(start, access.spread(block, lanes, total, 0), count))

    rng = np.random.default_rng(2)
    buffer, total = aligned_zeros((2, block.count), lanes.dtype), aligned_zeros(max(4, lanes.count), lanes.dtype)
    buffer[:], total[:] = rng.normal(size=buffer.shape), rng.normal(size=total.shape)
    found, expected = (aligned_zeros((4, lanes.count), lanes.dtype) for _ in range(2))
    numba.njit(fold)(block, lanes, Buffer(buffer), Buffer(total), Buffer(found), count)
    fold(block, lanes, Buffer(buffer), Buffer(total), Buffer(expected), count)
    assert bits(found) == bits(expected)
    one_by_one = total[: lanes.count].copy()
    for part in range(count):
        one_by_one += buffer[0].reshape(4, -1)[part]
    assert bits(found[1]) == bits(one_by_one)


def test_fma_is_rounded_once():
    x = np.array([1 + 2**-12], np.float32)
    assert simd.fma(x, x, -np.ones(1, np.float32) - np.float32(2**-11))[0] == np.float32(2**-24)


def test_width_follows_the_environment(monkeypatch):
    monkeypatch.setenv("FASTMLP_LANES", "16")
    assert host_lanes("float32") == VectorSpec("float32", 16)
    assert host_lanes("float64") == VectorSpec("float64", 8)
    monkeypatch.setenv("FASTMLP_LANES", "17")
    with pytest.raises(ValueError, match="FASTMLP_LANES='17'.*must be 2, 4, 8"):
        host_lanes("float32")


@pytest.mark.parametrize(("features", "lanes"), [("+avx2,+avx512f", 32), ("+avx2,+fma", 16), ("+neon", 16), ("", 16)])
def test_width_follows_the_processor(monkeypatch, features, lanes):
    monkeypatch.delenv("FASTMLP_LANES", raising=False)
    monkeypatch.setattr(cpu, "cpu_features", lambda: features.split(","))
    assert host_lanes("float32").count == lanes
    assert host_lanes("float64").count == lanes // 2


def test_a_buffer_needs_contiguous_memory():
    with pytest.raises(ValueError, match="C-contiguous"):
        Buffer(np.zeros((4, 4)).T[1:])
