"""exp and its relatives against correctly rounded values, in units in the last place."""

from concurrent.futures import ThreadPoolExecutor

import mpmath
import numba
import numpy as np
import pytest

from fastmlp._simd import elementary
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros

LANES = 32
SPECIAL = [
    0.0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1.0,
    -1.0,
    0.625,
    -0.625,
    88.72283,
    88.72284,
    -87.33655,
    -103.97,
    -104.0,
    709.782712893384,
    709.7827128933841,
    -745.1332191019411,
    -745.2,
    1e-45,
    -1e-45,
    1.1754944e-38,
    3.4028235e38,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1.7976931348623157e308,
]
# function, its correctly rounded meaning, the interval it is for, the bound in ulp
FUNCTIONS = {
    "exp": (elementary.exp, np.exp, (-np.inf, np.inf)),
    "exp_of_negative": (elementary.exp_of_negative, np.exp, (-np.inf, 0.0)),
    "sigmoid": (elementary.sigmoid, lambda x: 1 / (1 + np.exp(-x)), (-np.inf, np.inf)),
    "tanh": (elementary.tanh, np.tanh, (-np.inf, np.inf)),
    "log": (elementary.log, np.log, (-np.inf, np.inf)),
    "log1p_of_fraction": (elementary.log1p_of_fraction, np.log1p, (0.0, 1.0)),
    "expm1_of_negative": (elementary.expm1_of_negative, np.expm1, (-np.inf, -0.0)),
}
# the bounds that the docstrings state
BOUNDS = {
    "exp": (0.92, 0.92),
    "exp_of_negative": (0.92, 0.92),
    "sigmoid": (2.0, 2.0),
    "tanh": (1.2, 1.2),
    "log": (0.83, 0.83),
    "log1p_of_fraction": (1.4, 1.4),
    "expm1_of_negative": (1.2, 1.2),
}


def applied(function):
    @numba.njit(nogil=True)
    def over(lanes, source, target, rows):
        for row in range(rows):
            store(target, row, function(load(lanes, source, row)))

    def run(x):
        padded = aligned_zeros(-(-x.size // LANES) * LANES, x.dtype)
        padded[: x.size] = x
        result = aligned_zeros(padded.size, x.dtype)
        over(VectorSpec(x.dtype, LANES), Buffer(padded), Buffer(result), padded.size // LANES)
        return result[: x.size]

    return run


POWERS = 2.0 ** np.arange(-1023 - 23, 1025 - 23)


@numba.njit(nogil=True)
def worst_ulp(found, exact, exact_bits):
    """The greatest error of float32 numbers in ulp, and how many are wrong in kind (NaN, infinity, zero or its sign)."""
    worst, wrong = 0.0, 0
    for i in range(found.size):
        y, e = np.float64(found[i]), exact[i]
        if np.isnan(e) or np.isnan(y):
            wrong += np.isnan(e) != np.isnan(y)
        elif np.isinf(y) or np.isinf(e):
            wrong += (y > 0) != (e > 0) or abs(e) < 3.4028235e38
        elif e == 0:
            wrong += y != 0 or np.signbit(y) != np.signbit(e)
        else:
            exponent = max((exact_bits[i] >> 52) & 0x7FF, 1023 - 126)
            worst = max(worst, abs(y - e) / POWERS[exponent])
    return worst, wrong


def inside(name, x):
    """Those of the numbers that the function is for, and NaN."""
    low, high = FUNCTIONS[name][-1]
    with np.errstate(invalid="ignore"):
        fits = (x >= low) & (x <= high)
        if low == 0:
            fits &= ~np.signbit(x)
    return x[fits | np.isnan(x)]


def check_single(name, x):
    _, exact, interval = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        if np.isfinite(interval).any():
            x = inside(name, x)
        wanted = exact(x.astype(np.float64))
    return worst_ulp(applied_single[name](x), wanted, wanted.view(np.int64))


applied_single = {name: applied(function) for name, (function, _, _) in FUNCTIONS.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_on_a_thousandth_of_all_inputs(name):
    with np.errstate(over="ignore", under="ignore"):
        special = np.array(SPECIAL).astype(np.float32)
    x = np.concatenate([np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32).view(np.float32), special])
    worst, wrong = check_single(name, x)
    assert wrong == 0
    assert worst <= BOUNDS[name][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_on_all_inputs(name):
    numbers = np.arange(2**19, dtype=np.uint32)  # this many at once fit into the cache

    def chunk(first):
        return check_single(name, (numbers + np.uint32(first)).view(np.float32))

    with ThreadPoolExecutor(2) as pool:
        errors, wrongs = zip(*pool.map(chunk, range(0, 2**32, numbers.size)), strict=True)
    print(f"{name}: {max(errors):.4f} ulp")
    assert sum(wrongs) == 0
    assert max(errors) <= min(2, BOUNDS[name][0])


def double_inputs(rng, n):
    third = n // 3
    return np.concatenate(
        [
            rng.normal(size=third) * 10 ** rng.uniform(-3, 3, third),
            rng.uniform(-1, 1, third),
            rng.integers(0, 2**64, n - 2 * third, dtype=np.uint64).view(np.float64),
            SPECIAL,
        ]
    )


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="needs a long double wider than float64")
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("n", [10**6, pytest.param(10**7, marks=pytest.mark.slow)])
def test_float64_on_random_and_special_inputs(name, n):
    function, exact, _ = FUNCTIONS[name]
    x = inside(name, double_inputs(np.random.default_rng(1), n))
    found = applied(function)(x)
    with np.errstate(all="ignore"):
        wanted = exact(x.astype(np.longdouble))
        rounded = wanted.astype(np.float64)
        ulp = np.spacing(np.abs(rounded)).astype(np.longdouble)
        errors = np.abs(found - wanted) / ulp
    finite = np.isfinite(rounded)
    assert ((found == rounded) | (np.isnan(found) & np.isnan(rounded)))[~finite].all()
    zero = rounded == 0
    assert (np.signbit(found) == np.signbit(rounded))[zero].all()
    assert errors[finite].max() <= BOUNDS[name][1]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_against_mpmath(name):
    """The long double reference above is itself checked: a few thousand values in 60 digits."""
    function, _, (_, high) = FUNCTIONS[name]
    x = np.random.default_rng(2).uniform(-20, min(20.0, high), 2000)
    x = {"log": np.abs(x), "log1p_of_fraction": np.abs(x) / 20}.get(name, x)
    found = applied(function)(x)
    exact = {
        "exp": mpmath.exp,
        "exp_of_negative": mpmath.exp,
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "tanh": mpmath.tanh,
        "log": mpmath.log,
        "log1p_of_fraction": mpmath.log1p,
        "expm1_of_negative": mpmath.expm1,
    }[name]
    with mpmath.workdps(60):
        errors = [
            abs(mpmath.mpf(f) - exact(mpmath.mpf(v))) / mpmath.mpf(np.spacing(abs(f)))
            for f, v in zip(found, x, strict=True)
        ]
    assert max(errors) <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_erf_against_mpmath(dtype):
    """Within the docstring's 1.2 ulp, odd, and 1 far out; NumPy has no long double error function."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(-7, 7, 4000), rng.normal(size=2000) * 1e-3, 10.0 ** rng.uniform(-30, 0, 2000)])
    x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 3.99, 4.0, 5.99, 6.0, 1e30]]).astype(dtype)
    found = applied(elementary.erf)(x)
    with mpmath.workdps(60):
        for value, got in zip(x, found, strict=True):
            if not np.isfinite(value):
                assert np.isnan(got) if np.isnan(value) else got == np.sign(value)
                continue
            exact = mpmath.erf(mpmath.mpf(float(value)))
            ulp = np.spacing(np.abs(dtype(float(exact))))
            assert abs(mpmath.mpf(float(got)) - exact) <= 1.2 * float(ulp), value
    np.testing.assert_array_equal(applied(elementary.erf)(-x), -found)


def test_normal_pair_is_box_and_mullers():
    @numba.njit
    def pairs(lanes, u, v, x, y):
        for row in range(64):
            a, b = elementary.normal_pair(load(lanes, u, row), load(lanes, v, row))
            store(x, row, a)
            store(y, row, b)

    rng = np.random.default_rng(3)
    u, v, x, y = (aligned_zeros(64 * LANES, np.float64) for _ in range(4))
    u[:], v[:] = 1 - rng.random(u.size), rng.random(v.size)
    u[:4], v[:4] = (1.0, 2.0**-52, 0.5, 0.5), (0.0, 0.25, 0.5, 0.75)
    pairs(VectorSpec("float64", LANES), *map(Buffer, (u, v, x, y)))
    with mpmath.workdps(40):
        for i in range(u.size):
            radius, angle = mpmath.sqrt(-2 * mpmath.log(mpmath.mpf(u[i]))), 2 * mpmath.pi * mpmath.mpf(v[i])
            assert abs(x[i] - radius * mpmath.cos(angle)) < 4e-15
            assert abs(y[i] - radius * mpmath.sin(angle)) < 4e-15
