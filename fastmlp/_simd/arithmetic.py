"""The operations on vectors, compiled to the processor's vector instructions.

They know nothing of nets. Each is a plain function on NumPy arrays, which defines its meaning and runs under
NUMBA_DISABLE_JIT=1; next to it is the LLVM code for compiled kernels. All operations are correctly rounded by IEEE 754
and use no fast-math flags, so both give the same result.
"""

import ctypes
import ctypes.util
import functools
import itertools
import operator
import os

import numpy as np

from fastmlp._simd.codegen import as_vectors, compiles, concatenate, intrinsic, part, splat
from fastmlp._simd.cpu import register_count
from fastmlp._simd.numba_internals import cgutils, types
from fastmlp._simd.numba_internals import llvm_ir as ir
from fastmlp._simd.types import ALL, AllLanesType, ConstantsType, LanesType, VectorType

# ------------------------------------------------------------------------------------- constants and copies


def broadcast(lanes, scalar):
    """`scalar` in every lane."""
    return np.full(lanes.count, scalar, lanes.dtype)


@compiles(broadcast, LanesType, types.Number)
def _broadcast(lanes, scalar):
    return lanes.vector, lambda context, builder, _, value: splat(context, builder, scalar, value, lanes.vector)


def lane_numbers(lanes, first):
    """first, first + 1, … for integer lanes."""
    return np.arange(lanes.count, dtype=lanes.dtype) + lanes.dtype.type(first)


@compiles(lane_numbers, LanesType, types.Integer)
def _lane_numbers(lanes, first_type):
    vector = lanes.vector
    numbers = ir.Constant(vector.llvm, list(range(vector.count)))

    def emit(context, builder, _lanes, first):
        return builder.add(splat(context, builder, first_type, first, vector), numbers)

    return vector, emit


def ratio(block, lanes):
    """Number of vectors of `lanes` in one of `block`: a compile-time constant."""
    return block.count // lanes.count


@compiles(ratio, LanesType, LanesType)
def _ratio(block, lanes):
    count = block.vector.count // lanes.vector.count
    return types.intp, lambda context, builder, _block, _lanes: context.get_constant(types.intp, count)


def lane_count(lanes):
    """Number of lanes: a compile-time constant."""
    return lanes.count


@compiles(lane_count, LanesType)
def _lane_count(lanes):
    return types.intp, lambda context, builder, _lanes: context.get_constant(types.intp, lanes.vector.count)


@compiles(register_count)
def _register_count():
    return types.intp, lambda context, _builder: context.get_constant(types.intp, register_count())


def repeat(block, value):
    """Repeat `value` to fill `block.count` lanes; ALL stays ALL."""
    return ALL if value is ALL else np.tile(value, block.count // value.size)


@compiles(repeat, LanesType, VectorType)
def _repeat(block, vector):
    times = block.vector.count // vector.count
    return vector.of_count(block.vector.count), lambda context, builder, _, value: concatenate(builder, [value] * times)


@compiles(repeat, LanesType, AllLanesType)
def _repeat_all(_block, every):
    return every, lambda context, builder, _block, value: value


def constant(like, constants):
    """The only number of `constants` in every lane, in the dtype of `like`."""
    return polynomial(like, constants)


def polynomial(x, constants):
    """c[0] + c[1] x + c[2] x² + …, by Horner's rule with fused multiply-adds."""
    values = constants.single if x.dtype.itemsize == 4 else constants.double
    total = np.full_like(x, values[-1])
    for value in values[-2::-1]:
        total = fma(total, x, np.full_like(x, value))
    return total


@compiles(constant, VectorType, ConstantsType)
@compiles(polynomial, VectorType, ConstantsType)
def _polynomial(vector, constants):
    values = [
        ir.Constant(vector.llvm, [_as_llvm(value, vector.dtype)] * vector.count)
        for value in constants.values[vector.dtype.bitwidth]
    ]

    def emit(context, builder, x, _constants):
        total = values[-1]
        for value in values[-2::-1]:
            total = intrinsic(builder, "fma", vector, total, x, value)
        return total

    return vector, emit


def _as_llvm(value, dtype):
    return float(np.float32(value)) if dtype == types.float32 else value


# ------------------------------------------------------------------------------------------------ arithmetic


@functools.cache
def _library_fma(dtype):
    """The C library's fused multiply-add, which is rounded once, as a function of arrays."""
    library = ctypes.CDLL(ctypes.util.find_library("m")) if os.name == "posix" else ctypes.cdll.ucrtbase
    function, number = (library.fmaf, ctypes.c_float) if dtype == np.float32 else (library.fma, ctypes.c_double)
    function.argtypes, function.restype = [number] * 3, number
    return np.frompyfunc(function, 3, 1)


def fma(a, b, c):
    """a · b + c, rounded once; each is a vector or a number."""
    dtype = next(value.dtype for value in (a, b, c) if isinstance(value, np.ndarray))
    return _library_fma(dtype)(*(np.asarray(value, dtype) for value in (a, b, c))).astype(dtype)


def _fma(*args):
    vector = next(arg for arg in args if isinstance(arg, VectorType))

    def emit(context, builder, *values):
        return intrinsic(builder, "fma", vector, *as_vectors(context, builder, vector, args, values))

    return vector, emit


for _kinds in itertools.product((VectorType, types.Number), repeat=3):
    if VectorType in _kinds:
        compiles(fma, *_kinds)(_fma)


def fold_fma(total, a, b, count):
    """total + a₀·b₀ + a₁·b₁ + …, in this order; aᵢ, bᵢ are the first `count` consecutive vectors in a, b."""
    for a_part, b_part in zip(_parts(a, total, count), _parts(b, total, count), strict=True):
        total = fma(a_part, b_part, total)
    return total


@compiles(fold_fma, VectorType, VectorType, VectorType, types.Integer)
def _fold_fma(vector, long, _long, _count):
    def add_part(builder, total, index, a, b):
        parts = [part(builder, value, vector.count, index) for value in (a, b)]
        return intrinsic(builder, "fma", vector, *parts, total)

    return vector, _fold(vector, long, add_part)


def fold_add(total, a, count):
    """total + a₀ + a₁ + …, in this order; aᵢ are the first `count` consecutive vectors in a."""
    for piece in _parts(a, total, count):
        total = total + piece
    return total


@compiles(fold_add, VectorType, VectorType, types.Integer)
def _fold_add(vector, long, _count):
    def add_part(builder, total, index, a):
        return builder.fadd(total, part(builder, a, vector.count, index))

    return vector, _fold(vector, long, add_part)


def fold_compensated(total, rest, a, count):
    """total + a₀ + a₁ + …, in this order, and the last rounding error, which the next term compensates.

    aᵢ are the first `count` consecutive vectors in a. A total that overflows stays infinite. Reference: Kahan,
    Further remarks on reducing truncation errors, Communications of the ACM, 1965.
    """
    for piece in _parts(a, total, count):
        term = piece + rest
        new = total + term
        rest = np.where(np.abs(new) < np.inf, term - (new - total), np.zeros_like(new))
        total = new
    return total, rest


@compiles(fold_compensated, VectorType, VectorType, VectorType, types.Integer)
def _fold_compensated(vector, _rest, long, _count):
    times = long.count // vector.count
    pair = types.UniTuple(vector, 2)
    infinity, zero = (ir.Constant(vector.llvm, [value] * vector.count) for value in (float("inf"), 0.0))

    def add_part(builder, total, rest, a, index):
        term = builder.fadd(part(builder, a, vector.count, index), rest)
        new = builder.fadd(total, term)
        left_out = builder.fsub(term, builder.fsub(new, total))
        finite = builder.fcmp_ordered("<", intrinsic(builder, "fabs", vector, new), infinity)
        return new, builder.select(finite, left_out, zero)

    def emit(context, builder, total, rest, a, count):
        results = [cgutils.alloca_once_value(builder, value) for value in (total, rest)]
        with builder.if_else(builder.icmp_signed("==", count, count.type(times)), likely=True) as (all_of_them, some):
            with all_of_them:
                for index in range(times):
                    total, rest = add_part(builder, total, rest, a, index)
                for value, result in zip((total, rest), results, strict=True):
                    builder.store(value, result)
            with some:
                for index in range(times - 1):
                    with builder.if_then(builder.icmp_signed("<", count.type(index), count)):
                        values = add_part(builder, *map(builder.load, results), a, index)
                        for value, result in zip(values, results, strict=True):
                            builder.store(value, result)
        return context.make_tuple(builder, pair, [builder.load(result) for result in results])

    return pair, emit


def _parts(long, short, count):
    return long.reshape(-1, short.size)[:count]


def _fold(vector, long, add_part):
    """Code that adds all parts without a loop if `count` is their number, the usual case, and otherwise in a loop."""
    times = long.count // vector.count

    def emit(context, builder, total, *values):
        *values, count = values
        result = cgutils.alloca_once_value(builder, total)
        with builder.if_else(builder.icmp_signed("==", count, count.type(times)), likely=True) as (all_of_them, some):
            with all_of_them:
                folded = total
                for index in range(times):
                    folded = add_part(builder, folded, index, *values)
                builder.store(folded, result)
            with some:
                for index in range(times - 1):
                    with builder.if_then(builder.icmp_signed("<", count.type(index), count)):
                        builder.store(add_part(builder, builder.load(result), index, *values), result)
        return builder.load(result)

    return emit


def absolute(x):
    """x without its sign bit."""
    return np.abs(x)


@compiles(absolute, VectorType)
def _absolute(vector):
    return vector, lambda context, builder, x: intrinsic(builder, "fabs", vector, x)


def itemsize(x):
    """Bytes of a lane: a compile-time constant, so that a branch on it costs nothing."""
    return x.itemsize


@compiles(itemsize, VectorType)
def _itemsize(vector):
    return types.intp, lambda context, builder, x: context.get_constant(types.intp, vector.dtype.bitwidth // 8)


def select(mask, a, b):
    """a where the mask is true, b elsewhere."""
    if mask is ALL:
        return a
    dtype = a.dtype if isinstance(a, np.ndarray) else b.dtype
    return np.where(mask, a, b).astype(dtype)


@compiles(select, VectorType, VectorType, VectorType)
@compiles(select, VectorType, VectorType, types.Number)
@compiles(select, VectorType, types.Number, VectorType)
def _select(_mask, *args):
    vector = next(arg for arg in args if isinstance(arg, VectorType))

    def emit(context, builder, mask, *values):
        return builder.select(mask, *as_vectors(context, builder, vector, args, values))

    return vector, emit


@compiles(select, AllLanesType, VectorType, VectorType)
def _select_all(_all, vector, _other):
    return vector, lambda context, builder, _all, a, _b: a


def any_lane(mask):
    """Whether any lane of the mask is true."""
    return bool(mask.any())


@compiles(any_lane, VectorType)
def _any_lane(vector):
    def emit(context, builder, mask):
        integer = builder.bitcast(mask, ir.IntType(vector.count))
        return builder.icmp_unsigned("!=", integer, integer.type(0))

    return types.boolean, emit


def bits(x):
    """The same bits as unsigned integers."""
    return x.view(np.uint32 if x.itemsize == 4 else np.uint64)


@compiles(bits, VectorType)
def _bits(vector):
    result = vector.of(types.uint32 if vector.dtype.bitwidth == 32 else types.uint64)
    return result, lambda context, builder, x: builder.bitcast(x, result.llvm)


def from_bits(x):
    """The same bits as floating-point numbers."""
    return x.view(np.float32 if x.itemsize == 4 else np.float64)


@compiles(from_bits, VectorType)
def _from_bits(vector):
    result = vector.of(types.float32 if vector.dtype.bitwidth == 32 else types.float64)
    return result, lambda context, builder, x: builder.bitcast(x, result.llvm)


def convert(lanes, x):
    """float64 lanes rounded to the dtype of `lanes`."""
    return x.astype(lanes.dtype)


@compiles(convert, LanesType, VectorType)
def _convert(lanes, vector):
    result = lanes.vector
    same = result.dtype == vector.dtype
    return result, lambda context, builder, _, x: x if same else builder.fptrunc(x, result.llvm)


# ------------------------------------------------------------------------------------------------- operators


def _binary(function, floats, integers, result=lambda vector: vector):
    """An operator between two vectors, or a vector and a scalar on either side."""

    def define(left, right):
        vector = left if isinstance(left, VectorType) else right
        name = floats if isinstance(vector.dtype, types.Float) else integers

        def emit(context, builder, a, b):
            a, b = as_vectors(context, builder, vector, (left, right), (a, b))
            if name in ("==", "!=", "<", "<=", ">", ">="):
                unordered = name == "!=" and isinstance(vector.dtype, types.Float)
                compare = (
                    builder.icmp_unsigned
                    if isinstance(vector.dtype, types.Integer)
                    else (builder.fcmp_unordered if unordered else builder.fcmp_ordered)
                )
                return compare(name, a, b)
            return getattr(builder, name)(a, b)

        return result(vector), emit

    for kinds in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
        compiles(function, *kinds)(define)


for _function, _float_name, _integer_name in (
    (operator.add, "fadd", "add"),
    (operator.sub, "fsub", "sub"),
    (operator.mul, "fmul", "mul"),
    (operator.truediv, "fdiv", None),
    (operator.and_, None, "and_"),
    (operator.or_, None, "or_"),
    (operator.xor, None, "xor"),
    (operator.lshift, None, "shl"),
    (operator.rshift, None, "lshr"),
):
    _binary(_function, _float_name, _integer_name)
for _function, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _binary(_function, _sign, _sign, lambda vector: vector.of(types.boolean))


@compiles(operator.neg, VectorType)
def _negative(vector):
    return vector, lambda context, builder, x: builder.fneg(x)


@compiles(operator.invert, VectorType)
def _invert(vector):
    return vector, lambda context, builder, x: builder.not_(x)
