"""Compile operations on vectors and buffers: registration, and shared pieces of LLVM code."""

from numba.extending import lower_builtin

from fastmlp._simd.numba_internals import AbstractTemplate, cgutils, infer_global, signature, types
from fastmlp._simd.numba_internals import llvm_ir as ir
from fastmlp._simd.types import BOUNDS_CHECKED, VectorType


def compiles(function, *kinds):
    """Register LLVM code for `function` on arguments of these types.

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


def splat(context, builder, scalar_type, scalar, vector):
    """`scalar`, cast to the dtype of `vector`, in every lane."""
    value = context.cast(builder, scalar, types.unliteral(scalar_type), vector.dtype)
    first = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), value, ir.IntType(32)(0))
    return shuffled(builder, first, [0] * vector.count)


def as_vectors(context, builder, vector, kinds, values):
    """`values`, with plain numbers broadcast to every lane."""
    return [
        value if isinstance(kind, VectorType) else splat(context, builder, kind, value, vector)
        for kind, value in zip(kinds, values, strict=True)
    ]


def shuffled(builder, value, mask):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(mask)), mask)
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), mask)


def part(builder, value, count, index):
    return shuffled(builder, value, list(range(index * count, (index + 1) * count)))


def concatenate(builder, parts):
    while len(parts) > 1:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 2 * parts[0].type.count), list(range(2 * parts[0].type.count)))
        parts = [builder.shuffle_vector(a, b, mask) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def intrinsic(builder, name, vector, *values):
    suffix = f"v{vector.count}f{vector.dtype.bitwidth}"
    function_type = ir.FunctionType(vector.llvm, [vector.llvm] * len(values))
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, f"llvm.{name}.{suffix}"), values)


def place(context, builder, buffer, index, vector=None):
    """The address of a number of a buffer, or of a row when seen as consecutive vectors; the index is an intp."""
    pointer = buffer
    if BOUNDS_CHECKED:
        pointer, length = builder.extract_value(buffer, 0), builder.extract_value(buffer, 1)
        rows = length if vector is None else builder.sdiv(length, length.type(vector.count))
        cgutils.do_boundscheck(context, builder, index, rows)
    if vector is not None:
        pointer = builder.bitcast(pointer, vector.llvm.as_pointer())
    return builder.gep(pointer, [index])


def as_index(context, builder, kind, value):
    """A whole number as an intp."""
    return context.cast(builder, value, types.unliteral(kind), types.intp)
