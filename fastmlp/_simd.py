"""The vector type: a fixed number of numbers in one value, compiled to the processor's vector instructions.

It knows nothing of nets. Each operation below is a plain function on NumPy arrays, which is its meaning and
what runs under NUMBA_DISABLE_JIT=1; beside it stands the LLVM code that compiled kernels get instead. Only
operations that IEEE 754 rounds in one way are here, and none carries a fast-math flag, so both give one result.

A `Lanes` object says which vectors are meant (`float32x32`). Kernels take it as an argument: it is part of
their compiled signature, so one process may run several widths, and numba's cache keeps them apart.
"""

import ctypes
import ctypes.util
import functools
import hashlib
import itertools
import math
import operator
import os
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.core.datamodel import models
from numba.core.imputils import lower_constant
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import NativeValue, lower_builtin, register_model, typeof_impl, unbox


def _fingerprint():
    """Eight characters that change with the sources of the compiled code.

    Numba's cache looks only at the file of the function it caches; as part of every kernel's signature this
    also sees a change in the modules below it.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("_*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:8]


_FINGERPRINT = _fingerprint()


class Lanes:
    """A kind of vector: `count` numbers of `dtype` (float32, float64, uint32 or uint64)."""

    __slots__ = ("count", "dtype")

    def __init__(self, dtype, count):
        self.dtype = np.dtype(dtype)
        self.count = int(count)

    def __repr__(self):
        return f"{self.dtype}x{self.count}"

    def __eq__(self, other):
        return isinstance(other, Lanes) and (self.dtype, self.count) == (other.dtype, other.count)

    def __hash__(self):
        return hash((self.dtype, self.count))


class Buffer:
    """An array as kernels see it: its numbers one after another, with no shape and no reference count.

    A kernel that gets arrays counts references to them at every use, which costs more than a small net's
    arithmetic. Whoever makes a buffer from an array keeps it alive: the buffer does, for as long as it lives.
    """

    __slots__ = ("_numba_type_", "address", "array")

    def __init__(self, array):
        if not array.flags.c_contiguous:
            raise ValueError("a buffer needs a C-contiguous array")
        self.array = array.reshape(-1)
        self.address = array.ctypes.data
        self._numba_type_ = _buffer_type(array.dtype)

    def __getitem__(self, index):
        return self.array[index]

    def __setitem__(self, index, value):
        self.array[index] = value


def aligned_zeros(shape, dtype):
    """A C-contiguous array of zeros on a 64-byte boundary, as vectors are loaded from."""
    size = math.prod(np.atleast_1d(shape).tolist()) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


class Constants:
    """Numbers that a formula embeds: `single` for lanes of 4 bytes, `double` for lanes of 8."""

    __slots__ = ("double", "single")

    def __init__(self, *, single, double):
        self.single = tuple(single)
        self.double = tuple(double)


def host_lanes(dtype):
    """The vectors to use on this processor: 128 bytes with AVX-512, 64 without; FASTMLP_LANES overrides.

    Several registers a value hide the latency of a fused multiply-add: two of 64 bytes with AVX-512, two of
    32 with AVX2, four of 16 with NEON and SSE2.
    """
    dtype = np.dtype(dtype)
    asked = os.environ.get("FASTMLP_LANES")
    if asked is None:
        return Lanes(dtype, (128 if "+avx512f" in cpu_features() else 64) // dtype.itemsize)
    if asked not in ("2", "4", "8", "16", "32", "64"):
        raise ValueError(f"FASTMLP_LANES={asked!r}: the number of float32 lanes must be 2, 4, 8, 16, 32 or 64")
    return Lanes(dtype, int(asked) * 4 // dtype.itemsize)


def cpu_features():
    """LLVM's feature flags of the processor that numba compiles for."""
    if config.CPU_NAME in (None, "host"):
        return (config.CPU_FEATURES or get_host_cpu_features()).split(",")
    return (config.CPU_FEATURES or "").split(",")


# ------------------------------------------------------------------------------------------- Numba's types


class VectorType(types.Type):
    """`count` lanes of a Numba scalar type; of booleans for a mask."""

    def __init__(self, dtype, count):
        self.dtype = dtype
        self.count = count
        super().__init__(name=f"vector({dtype}x{count})")

    def of(self, dtype):
        return VectorType(dtype, self.count)

    @property
    def llvm(self):
        return ir.VectorType(_llvm_scalar(self.dtype), self.count)

    @property
    def alignment(self):
        """Bytes: buffers are 64-byte aligned, and so is each row of a vector of 64 bytes or more."""
        return min(64, self.count * self.dtype.bitwidth // 8)


class LanesType(types.Type):
    def __init__(self, lanes):
        self.vector = VectorType(getattr(types, lanes.dtype.name), lanes.count)
        super().__init__(name=f"lanes({lanes}, {_FINGERPRINT})")


class BufferType(types.Type):
    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"buffer({dtype})")


@functools.cache
def _buffer_type(dtype):
    return BufferType(getattr(types, dtype.name))


class ConstantsType(types.Type):
    def __init__(self, constants):
        self.values = {32: constants.single, 64: constants.double}
        super().__init__(name=f"constants({self.values})")


_NUMBER_TYPES = {int: types.intp, bool: types.boolean, float: types.float64}


@functools.cache
def _tuple_type(kind, fields):
    return types.NamedTuple([_NUMBER_TYPES.get(field, field) for field in fields], kind)


def kernel_argument(kind):
    """Mark a NamedTuple of buffers and numbers: its Numba type is then looked up, not worked out, at every call."""

    def typeof_tuple(value, _context):
        return _tuple_type(kind, tuple(x._numba_type_ if type(x) is Buffer else type(x) for x in value))

    typeof_impl.register(kind)(typeof_tuple)
    return kind


def _llvm_scalar(dtype):
    if isinstance(dtype, types.Float):
        return ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    return ir.IntType(1 if dtype == types.boolean else dtype.bitwidth)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, vector.llvm)


@register_model(BufferType)
class _BufferModel(models.PrimitiveModel):
    def __init__(self, manager, buffer):
        super().__init__(manager, buffer, _llvm_scalar(buffer.dtype).as_pointer())


register_model(LanesType)(models.OpaqueModel)
register_model(ConstantsType)(models.OpaqueModel)
typeof_impl.register(Lanes)(lambda lanes, _context: LanesType(lanes))
typeof_impl.register(Constants)(lambda constants, _context: ConstantsType(constants))


@lower_constant(LanesType)
@lower_constant(ConstantsType)
def _lower_to_nothing(context, _builder, _type, _value):
    return context.get_dummy_value()


typeof_impl.register(Buffer)(lambda buffer, _context: buffer._numba_type_)


@unbox(BufferType)
def _unbox_buffer(buffer_type, value, unboxing):
    address = unboxing.pyapi.object_getattr_string(value, "address")
    pointer = unboxing.pyapi.long_as_voidptr(address)
    unboxing.pyapi.decref(address)
    return NativeValue(unboxing.builder.bitcast(pointer, unboxing.context.get_value_type(buffer_type)))


@unbox(LanesType)
def _unbox_lanes(_type, _value, unboxing):
    return NativeValue(unboxing.context.get_dummy_value())


# -------------------------------------------------------------------------------- how an operation is compiled


def _compiles(function, *kinds):
    """Give `function` on arguments of these kinds its code.

    The decorated `define(*types)` returns the result's Numba type and `emit(context, builder, *values)`.
    """

    def register(define):
        class Template(AbstractTemplate):
            key = function

            def generic(self, args, keywords):
                fits = len(args) == len(kinds) and all(map(isinstance, args, kinds))
                return signature(define(*args)[0], *args) if fits and not keywords else None

        infer_global(function)(Template)

        @lower_builtin(function, *kinds)
        def lower(context, builder, sig, values):
            return define(*sig.args)[1](context, builder, *values)

        return define

    return register


def _splat(context, builder, scalar_type, scalar, vector):
    """`scalar`, cast to the dtype of `vector`, in every lane."""
    value = context.cast(builder, scalar, types.unliteral(scalar_type), vector.dtype)
    first = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), value, ir.IntType(32)(0))
    return _shuffle(builder, first, [0] * vector.count)


def _as_vectors(context, builder, vector, kinds, values):
    """`values`, those that are plain numbers in every lane."""
    return [
        value if isinstance(kind, VectorType) else _splat(context, builder, kind, value, vector)
        for kind, value in zip(kinds, values, strict=True)
    ]


def _shuffle(builder, value, mask):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(mask)), mask)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def _part(builder, value, count, index):
    return _shuffle(builder, value, list(range(index * count, (index + 1) * count)))


def _concatenate(builder, parts):
    while len(parts) > 1:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [builder.shuffle_vector(a, b, mask) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _intrinsic(builder, name, vector, *values):
    suffix = f"v{vector.count}f{vector.dtype.bitwidth}"
    function_type = ir.FunctionType(vector.llvm, [vector.llvm] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), values)


def _address(context, builder, row_type, row, vector, pointer):
    row = context.cast(builder, row, types.unliteral(row_type), types.intp)
    return builder.gep(builder.bitcast(pointer, vector.llvm.as_pointer()), [row])


def _vectors_like(array, count):
    """`array`, C-contiguous, seen as rows of `count` numbers."""
    return array.reshape(-1)[: array.size // count * count].reshape(-1, count)


# ---------------------------------------------------------------------------------------- memory and constants


def load(lanes, buffer, row):
    """Row `row` of a buffer seen as consecutive vectors."""
    return _vectors_like(buffer.array, lanes.count)[row].copy()


@_compiles(load, LanesType, BufferType, types.Integer)
def _load(lanes, _buffer, row_type):
    vector = lanes.vector

    def emit(context, builder, _lanes, pointer, row):
        return builder.load(_address(context, builder, row_type, row, vector, pointer), align=vector.alignment)

    return vector, emit


def store(buffer, row, value):
    """Write `value` to row `row` of a buffer seen as consecutive vectors."""
    _vectors_like(buffer.array, value.size)[row] = value


@_compiles(store, BufferType, types.Integer, VectorType)
def _store(_buffer, row_type, vector):
    def emit(context, builder, pointer, row, value):
        builder.store(value, _address(context, builder, row_type, row, vector, pointer), align=vector.alignment)
        return context.get_dummy_value()

    return types.none, emit


@_compiles(operator.getitem, BufferType, types.Integer)
def _getitem(buffer, index_type):
    def emit(context, builder, pointer, index):
        index = context.cast(builder, index, types.unliteral(index_type), types.intp)
        return builder.load(builder.gep(pointer, [index]))

    return buffer.dtype, emit


@_compiles(operator.setitem, BufferType, types.Integer, types.Number)
def _setitem(buffer, index_type, value_type):
    def emit(context, builder, pointer, index, value):
        index = context.cast(builder, index, types.unliteral(index_type), types.intp)
        value = context.cast(builder, value, types.unliteral(value_type), buffer.dtype)
        builder.store(value, builder.gep(pointer, [index]))
        return context.get_dummy_value()

    return types.none, emit


def broadcast(lanes, scalar):
    """`scalar` in every lane."""
    return np.full(lanes.count, scalar, lanes.dtype)


@_compiles(broadcast, LanesType, types.Number)
def _broadcast(lanes, scalar):
    return lanes.vector, lambda context, builder, _, value: _splat(context, builder, scalar, value, lanes.vector)


def lane_numbers(lanes, first):
    """first, first + 1, … for integer lanes."""
    return np.arange(lanes.count, dtype=lanes.dtype) + lanes.dtype.type(first)


@_compiles(lane_numbers, LanesType, types.Integer)
def _lane_numbers(lanes, first_type):
    vector = lanes.vector
    numbers = ir.Constant(vector.llvm, list(range(vector.count)))

    def emit(context, builder, _lanes, first):
        return builder.add(_splat(context, builder, first_type, first, vector), numbers)

    return vector, emit


def spread(block, lanes, buffer, index):
    """The next `block.count / lanes.count` numbers of a buffer, each filling one vector's worth of lanes."""
    return np.repeat(buffer.array[index : index + block.count // lanes.count], lanes.count)


@_compiles(spread, LanesType, LanesType, BufferType, types.Integer)
def _spread(block, lanes, buffer, index_type):
    def emit(context, builder, _block, _lanes, pointer, index):
        index = context.cast(builder, index, types.unliteral(index_type), types.intp)
        parts = []
        for offset in range(block.vector.count // lanes.vector.count):
            number = builder.load(builder.gep(pointer, [builder.add(index, index.type(offset))]))
            parts.append(_splat(context, builder, buffer.dtype, number, lanes.vector))
        return _concatenate(builder, parts)

    return block.vector, emit


def ratio(block, lanes):
    """How many vectors of `lanes` fit into one of `block`: a constant of the compiled code."""
    return block.count // lanes.count


@_compiles(ratio, LanesType, LanesType)
def _ratio(block, lanes):
    count = block.vector.count // lanes.vector.count
    return types.intp, lambda context, builder, _block, _lanes: context.get_constant(types.intp, count)


def lane_count(lanes):
    """How many lanes there are: a constant of the compiled code."""
    return lanes.count


@_compiles(lane_count, LanesType)
def _lane_count(lanes):
    return types.intp, lambda context, builder, _lanes: context.get_constant(types.intp, lanes.vector.count)


def repeat(block, value):
    """`value`, again and again, until `block.count` lanes are full."""
    return np.tile(value, block.count // value.size)


@_compiles(repeat, LanesType, VectorType)
def _repeat(block, vector):
    times = block.vector.count // vector.count
    return block.vector, lambda context, builder, _, value: _concatenate(builder, [value] * times)


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


@_compiles(constant, VectorType, ConstantsType)
@_compiles(polynomial, VectorType, ConstantsType)
def _polynomial(vector, constants):
    values = [
        ir.Constant(vector.llvm, [_as_llvm(value, vector.dtype)] * vector.count)
        for value in constants.values[vector.dtype.bitwidth]
    ]

    def emit(context, builder, x, _constants):
        total = values[-1]
        for value in values[-2::-1]:
            total = _intrinsic(builder, "fma", vector, total, x, value)
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
        return _intrinsic(builder, "fma", vector, *_as_vectors(context, builder, vector, args, values))

    return vector, emit


for _kinds in itertools.product((VectorType, types.Number), repeat=3):
    if VectorType in _kinds:
        _compiles(fma, *_kinds)(_fma)


def fold_fma(total, a, b, count):
    """total + a₀·b₀ + a₁·b₁ + …, in this order; aᵢ, bᵢ are the first `count` vectors that lie end to end in a, b."""
    for a_part, b_part in zip(_parts(a, total, count), _parts(b, total, count), strict=True):
        total = fma(a_part, b_part, total)
    return total


@_compiles(fold_fma, VectorType, VectorType, VectorType, types.Integer)
def _fold_fma(vector, long, _long, _count):
    def add_part(builder, total, index, a, b):
        parts = [_part(builder, value, vector.count, index) for value in (a, b)]
        return _intrinsic(builder, "fma", vector, *parts, total)

    return vector, _fold(vector, long, add_part)


def fold_add(total, a, count):
    """total + a₀ + a₁ + …, in this order; aᵢ are the first `count` vectors that lie end to end in a."""
    for part in _parts(a, total, count):
        total = total + part
    return total


@_compiles(fold_add, VectorType, VectorType, types.Integer)
def _fold_add(vector, long, _count):
    def add_part(builder, total, index, a):
        return builder.fadd(total, _part(builder, a, vector.count, index))

    return vector, _fold(vector, long, add_part)


def _parts(long, short, count):
    return long.reshape(-1, short.size)[:count]


def _fold(vector, long, add_part):
    """Code that adds all parts when `count` is all of them, the usual case, and else one after the other."""
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


def sqrt(x):
    """The square root, correctly rounded."""
    return np.sqrt(x)


@_compiles(sqrt, VectorType)
def _sqrt(vector):
    return vector, lambda context, builder, x: _intrinsic(builder, "sqrt", vector, x)


def absolute(x):
    """x without its sign bit."""
    return np.abs(x)


@_compiles(absolute, VectorType)
def _absolute(vector):
    return vector, lambda context, builder, x: _intrinsic(builder, "fabs", vector, x)


def itemsize(x):
    """Bytes a lane: a constant of the compiled code, so that a branch on it costs nothing."""
    return x.itemsize


@_compiles(itemsize, VectorType)
def _itemsize(vector):
    return types.intp, lambda context, builder, x: context.get_constant(types.intp, vector.dtype.bitwidth // 8)


def select(mask, a, b):
    """a where the mask is true, b elsewhere."""
    dtype = a.dtype if isinstance(a, np.ndarray) else b.dtype
    return np.where(mask, a, b).astype(dtype)


@_compiles(select, VectorType, VectorType, VectorType)
@_compiles(select, VectorType, VectorType, types.Number)
@_compiles(select, VectorType, types.Number, VectorType)
def _select(_mask, *args):
    vector = next(arg for arg in args if isinstance(arg, VectorType))

    def emit(context, builder, mask, *values):
        return builder.select(mask, *_as_vectors(context, builder, vector, args, values))

    return vector, emit


def any_lane(mask):
    """Whether the mask is true somewhere."""
    return bool(mask.any())


@_compiles(any_lane, VectorType)
def _any_lane(vector):
    def emit(context, builder, mask):
        integer = builder.bitcast(mask, ir.IntType(vector.count))
        return builder.icmp_unsigned("!=", integer, integer.type(0))

    return types.boolean, emit


def bits(x):
    """The same bits as unsigned integers."""
    return x.view(np.uint32 if x.itemsize == 4 else np.uint64)


@_compiles(bits, VectorType)
def _bits(vector):
    result = vector.of(types.uint32 if vector.dtype.bitwidth == 32 else types.uint64)
    return result, lambda context, builder, x: builder.bitcast(x, result.llvm)


def from_bits(x):
    """The same bits as floating-point numbers."""
    return x.view(np.float32 if x.itemsize == 4 else np.float64)


@_compiles(from_bits, VectorType)
def _from_bits(vector):
    result = vector.of(types.float32 if vector.dtype.bitwidth == 32 else types.float64)
    return result, lambda context, builder, x: builder.bitcast(x, result.llvm)


def convert(lanes, x):
    """float64 lanes rounded to the dtype of `lanes`."""
    return x.astype(lanes.dtype)


@_compiles(convert, LanesType, VectorType)
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
            a, b = _as_vectors(context, builder, vector, (left, right), (a, b))
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
        _compiles(function, *kinds)(define)


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
    (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">="),
    (operator.eq, "=="), (operator.ne, "!="),
):  # fmt: skip
    _binary(_function, _sign, _sign, lambda vector: vector.of(types.boolean))


@_compiles(operator.neg, VectorType)
def _negative(vector):
    return vector, lambda context, builder, x: builder.fneg(x)


@_compiles(operator.invert, VectorType)
def _invert(vector):
    return vector, lambda context, builder, x: builder.not_(x)
