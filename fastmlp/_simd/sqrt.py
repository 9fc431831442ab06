"""Correctly rounded square roots: by the processor's instruction, or by multiply-adds where that is slow.

Intel's processors with AVX-512 take about 25 cycles for the roots of a register of float64 numbers, the time of 50
multiply-adds. There Newton's method starts from the processor's 14-bit estimate, and a last correction by the exact
remainder makes the result correctly rounded (tests/simd/test_roots.py). For float32 this gained nothing: roots take
half as long and overlap with other work. Reference: Markstein, Computation of elementary functions on the IBM RISC
System/6000 processor, 1990.
"""

import numpy as np

from fastmlp._simd.codegen import compiles, concatenate, intrinsic, part
from fastmlp._simd.cpu import roots_are_slow
from fastmlp._simd.numba_internals import cgutils
from fastmlp._simd.numba_internals import llvm_ir as ir
from fastmlp._simd.types import VectorType

REGISTER = 8  # float64 numbers
# Bounds on a number's bits between which no remainder is subnormal
LOWEST, HIGHEST = 0x1000000000000000, 0x7000000000000000


def sqrt(x):
    """The square root, correctly rounded."""
    return np.sqrt(x)


def sqrt_by_newton(x):
    """The square root of float64 numbers, always by Newton's method: for tests."""
    return np.sqrt(x)


@compiles(sqrt, VectorType)
def _sqrt(vector):
    fits = vector.dtype.bitwidth == 64 and vector.count % REGISTER == 0
    return vector, _newton(vector) if fits and roots_are_slow() else _own(vector)


@compiles(sqrt_by_newton, VectorType)
def _sqrt_by_newton(vector):
    return vector, _newton(vector)


def _own(vector):
    return lambda _context, builder, x: intrinsic(builder, "sqrt", vector, x)


def _newton(vector):
    """Newton's method if all numbers are 0 or far from overflow and underflow; otherwise the instruction."""
    numbers = ir.VectorType(ir.IntType(64), vector.count)

    def all_lanes(number):
        return ir.Constant(numbers, [number] * vector.count)

    def emit(_context, builder, x):
        pattern = builder.bitcast(x, numbers)
        not_zero = builder.icmp_unsigned("!=", pattern, all_lanes(0))
        above_lowest = builder.sub(pattern, all_lanes(LOWEST))
        outside = builder.icmp_unsigned(">=", above_lowest, all_lanes(HIGHEST - LOWEST))
        unusual = builder.bitcast(builder.and_(outside, not_zero), ir.IntType(vector.count))
        result = cgutils.alloca_once(builder, vector.llvm)
        usual = builder.icmp_unsigned("==", unusual, unusual.type(0))
        with builder.if_else(usual, likely=True) as (by_newton, by_processor):
            with by_newton:
                builder.store(_steps(builder, vector, x, not_zero), result)
            with by_processor:
                builder.store(intrinsic(builder, "sqrt", vector, x), result)
        return builder.load(result)

    return emit


def _steps(builder, vector, x, not_zero):
    """r -> r + r (1/2 − r h) and h -> h + h (1/2 − r h), where r is nearly √x and h nearly 1 / (2 √x)."""
    half = ir.Constant(vector.llvm, [0.5] * vector.count)
    estimate = _estimate(builder, vector, x, not_zero)
    h, r = builder.fmul(estimate, half), builder.fmul(estimate, x)
    for _ in range(2):
        error = intrinsic(builder, "fma", vector, builder.fneg(r), h, half)
        r, h = (intrinsic(builder, "fma", vector, value, error, value) for value in (r, h))
    remainder = intrinsic(builder, "fma", vector, builder.fneg(r), r, x)
    return intrinsic(builder, "fma", vector, remainder, h, r)


def _estimate(builder, vector, x, not_zero):
    """1 / √x to 14 bits, and 0 where x is 0."""
    register, mask = vector.of_count(REGISTER), ir.IntType(REGISTER)
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(register.llvm, [register.llvm, register.llvm, mask]),
        "llvm.x86.avx512.rsqrt14.pd.512",
    )
    nothing, parts = ir.Constant(register.llvm, [0.0] * REGISTER), []
    for index in range(vector.count // REGISTER):
        numbers, wanted = (part(builder, value, REGISTER, index) for value in (x, not_zero))
        parts.append(builder.call(function, [numbers, nothing, builder.bitcast(wanted, mask)]))
    return concatenate(builder, parts)
