"""Kinds of vectors, buffers, embedded constants, and their Numba types.

Operations are in `arithmetic` and `memory`. A `VectorSpec` such as `float32x32` is a kind of vectors. Kernels take it
as an argument, so that it is part of their compiled signature: one process can run several widths, which have different
cache entries.
"""

import ctypes
import functools
import math
from typing import TypeVar

import numpy as np
from numba.extending import NativeValue, register_model, typeof_impl, unbox

from fastmlp._simd.cache import sources_hash
from fastmlp._simd.numba_internals import cgutils, config, lower_constant, models, types
from fastmlp._simd.numba_internals import llvm_ir as ir

# With NUMBA_BOUNDSCHECK=1, for tests, every access to a buffer is checked, and a buffer carries its length
BOUNDS_CHECKED = bool(config.BOUNDSCHECK)  # type: ignore[attr-defined]


# A part of every kernel's signature, which identifies the sources
_FINGERPRINT = f"{sources_hash()}{' checked' if BOUNDS_CHECKED else ''}"


class VectorSpec:
    """A kind of vector: `count` numbers of `dtype` (float32, float64, uint32 or uint64)."""

    __slots__ = ("_numba_type_", "count", "dtype")

    def __init__(self, dtype, count):
        self.dtype = np.dtype(dtype)
        self.count = int(count)
        self._numba_type_ = _lanes_type(self.dtype.name, self.count)

    def __repr__(self):
        return f"{self.dtype}x{self.count}"

    def __eq__(self, other):
        return isinstance(other, VectorSpec) and (self.dtype, self.count) == (other.dtype, other.count)

    def __hash__(self):
        return hash((self.dtype, self.count))


class Buffer:
    """An array for kernels: contiguous numbers without a shape and without a reference count.

    A kernel counts references to an array at every use, which costs more than a small net's arithmetic. A buffer keeps
    its array alive.
    """

    __slots__ = ("_numba_type_", "address", "array")

    def __init__(self, array):
        if not array.flags.c_contiguous:
            raise ValueError("a buffer needs a C-contiguous array")
        self.array = array.reshape(-1)
        self.address = _address(array)
        self._numba_type_ = _buffer_type(array.dtype)

    def __getitem__(self, index):
        return self.array[index]

    def __setitem__(self, index, value):
        self.array[index] = value


def aligned_zeros(shape, dtype):
    """A C-contiguous array of zeros on a 64-byte boundary, as vectors are loaded from."""
    dtype, shape = np.dtype(dtype), shape if isinstance(shape, tuple) else (shape,)
    memory = np.zeros(math.prod(shape) * dtype.itemsize + 64, np.uint8)
    return np.ndarray(shape, dtype, memory, -_address(memory) % 64)


def _address(array):
    """The same as `array.ctypes.data`, in half the time for arrays that can be written."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # read-only, or without any bytes
        return array.ctypes.data


def aligned_copy(array):
    """A copy on a 64-byte boundary."""
    copy = aligned_zeros(array.shape, array.dtype)
    copy[...] = array
    return copy


class Constants:
    """Constants of a formula: `single` for lanes of 4 bytes, `double` for lanes of 8."""

    __slots__ = ("double", "single")

    def __init__(self, *, single, double):
        self.single = tuple(single)
        self.double = tuple(double)


class Static:
    """A word in a kernel's compiled signature, which can select what is compiled."""

    __slots__ = ("_numba_type_", "word")

    def __init__(self, word):
        self.word = word
        self._numba_type_ = _static_type(word)

    def __repr__(self):
        return f"Static({self.word!r})"

    def __eq__(self, other):
        return isinstance(other, Static) and self.word == other.word

    def __hash__(self):
        return hash(self.word)


class StaticNumber(int):
    """A number or truth value in a kernel's compiled signature, which leaves out branches: see `static_branches`.

    In Python it is an ordinary number.
    """

    def __new__(cls, value):
        self = super().__new__(cls, value)
        self._numba_type_ = _static_type(bool(value) if isinstance(value, bool | np.bool_) else int(value))
        return self


Number = TypeVar("Number", int, bool)


def static(value: Number) -> Number:
    """The same number as a `StaticNumber`."""
    return StaticNumber(value)  # type: ignore[return-value]


class AllLanes:
    """The type of `ALL`, a mask that is true in every lane and that compiles to nothing."""

    __slots__ = ()


ALL = AllLanes()


# ------------------------------------------------------------------------------------------- Numba's types


class VectorType(types.Type):
    """`count` lanes of a Numba scalar type; of booleans for a mask."""

    def __init__(self, dtype, count):
        self.dtype = dtype
        self.count = count
        super().__init__(name=f"vector({dtype}x{count})")

    def of(self, dtype):
        return VectorType(dtype, self.count)

    def of_count(self, count):
        return VectorType(self.dtype, count)

    @property
    def llvm(self):
        return ir.VectorType(_llvm_scalar(self.dtype), self.count)

    @property
    def alignment(self):
        """Alignment in bytes: buffers are aligned to 64 bytes, and so is each row of a vector of at least 64 bytes."""
        return min(64, self.count * self.dtype.bitwidth // 8)


class LanesType(types.Type):
    def __init__(self, dtype, count):
        self.vector = VectorType(getattr(types, dtype), count)
        super().__init__(name=f"lanes({dtype}x{count}, {_FINGERPRINT})")


class StaticType(types.Type):
    def __init__(self, word):
        self.word = word
        super().__init__(name=f"static({word!r})")


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


class AllLanesType(types.Type):
    def __init__(self):
        super().__init__(name="all lanes")


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
        pointer = _llvm_scalar(buffer.dtype).as_pointer()
        super().__init__(
            manager, buffer, ir.LiteralStructType([pointer, ir.IntType(64)]) if BOUNDS_CHECKED else pointer
        )


register_model(LanesType)(models.OpaqueModel)
register_model(StaticType)(models.OpaqueModel)
register_model(ConstantsType)(models.OpaqueModel)
register_model(AllLanesType)(models.OpaqueModel)
_lanes_type = functools.cache(LanesType)
_static_type = functools.lru_cache(maxsize=None, typed=True)(StaticType)  # True is not 1
typeof_impl.register(Static)(lambda static, _context: static._numba_type_)
typeof_impl.register(StaticNumber)(lambda number, _context: number._numba_type_)
typeof_impl.register(VectorSpec)(lambda lanes, _context: lanes._numba_type_)
typeof_impl.register(Constants)(lambda constants, _context: ConstantsType(constants))
typeof_impl.register(AllLanes)(lambda _all, _context: AllLanesType())


@lower_constant(LanesType)
@lower_constant(StaticType)
@lower_constant(ConstantsType)
@lower_constant(AllLanesType)
def _lower_to_nothing(context, _builder, _type, _value):
    return context.get_dummy_value()


typeof_impl.register(Buffer)(lambda buffer, _context: buffer._numba_type_)


@unbox(BufferType)
def _unbox_buffer(buffer_type, value, unboxing):
    address = unboxing.pyapi.object_getattr_string(value, "address")
    pointer = unboxing.pyapi.long_as_voidptr(address)
    unboxing.pyapi.decref(address)
    pointer = unboxing.builder.bitcast(pointer, _llvm_scalar(buffer_type.dtype).as_pointer())
    return NativeValue(_with_length(value, unboxing, pointer) if BOUNDS_CHECKED else pointer)


def _with_length(value, unboxing, pointer):
    array = unboxing.pyapi.object_getattr_string(value, "array")
    size = unboxing.pyapi.object_getattr_string(array, "size")
    length = unboxing.pyapi.long_as_longlong(size)
    for reference in (array, size):
        unboxing.pyapi.decref(reference)
    return cgutils.pack_struct(unboxing.builder, [pointer, length])


@unbox(LanesType)
@unbox(StaticType)
def _unbox_lanes(_type, _value, unboxing):
    return NativeValue(unboxing.context.get_dummy_value())


def rows_of(array, count):
    """`array`, C-contiguous, seen as rows of `count` numbers."""
    return array.reshape(-1)[: array.size // count * count].reshape(-1, count)
