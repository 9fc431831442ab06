"""Vector loads and stores, compiled to the processor's vector instructions.

As in `arithmetic`, each is a plain function on NumPy arrays, which defines its meaning, next to its LLVM code.
"""

import operator

import numpy as np

from fastmlp._simd.codegen import as_index, compiles, concatenate, part, place, splat
from fastmlp._simd.numba_internals import cgutils, types
from fastmlp._simd.numba_internals import llvm_ir as ir
from fastmlp._simd.types import BufferType, LanesType, VectorType, rows_of


def load(lanes, buffer, row):
    """Row `row` of a buffer seen as consecutive vectors."""
    return rows_of(buffer.array, lanes.count)[row].copy().view(lanes.dtype)


@compiles(load, LanesType, BufferType, types.Integer)
def _load(lanes, _buffer, row_type):
    vector = lanes.vector

    def emit(context, builder, _lanes, memory, row):
        row = as_index(context, builder, row_type, row)
        return builder.load(place(context, builder, memory, row, vector), align=vector.alignment)

    return vector, emit


def store(buffer, row, value):
    """Write `value` to row `row` of a buffer seen as consecutive vectors."""
    rows_of(buffer.array, value.size)[row] = value


@compiles(store, BufferType, types.Integer, VectorType)
def _store(_buffer, row_type, vector):
    def emit(context, builder, memory, row, value):
        row = as_index(context, builder, row_type, row)
        builder.store(value, place(context, builder, memory, row, vector), align=vector.alignment)
        return context.get_dummy_value()

    return types.none, emit


@compiles(operator.getitem, BufferType, types.Integer)
def _getitem(buffer, index_type):
    def emit(context, builder, memory, index):
        index = as_index(context, builder, index_type, index)
        return builder.load(place(context, builder, memory, index))

    return buffer.dtype, emit


@compiles(operator.setitem, BufferType, types.Integer, types.Number)
def _setitem(buffer, index_type, value_type):
    def emit(context, builder, memory, index, value):
        index = as_index(context, builder, index_type, index)
        value = context.cast(builder, value, types.unliteral(value_type), buffer.dtype)
        builder.store(value, place(context, builder, memory, index))
        return context.get_dummy_value()

    return types.none, emit


def prefetch(buffer, index):
    """Prefetch the cache line of a number of a buffer."""


@compiles(prefetch, BufferType, types.Integer)
def _prefetch(_buffer, index_type):
    def emit(context, builder, memory, index):
        index = as_index(context, builder, index_type, index)
        there = builder.bitcast(place(context, builder, memory, index), ir.IntType(8).as_pointer())
        numbers = [ir.IntType(32)] * 3
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [there.type, *numbers]), "llvm.prefetch.p0"
        )
        builder.call(function, [there, *(number(value) for number, value in zip(numbers, (0, 3, 1), strict=True))])
        return context.get_dummy_value()

    return types.none, emit


def spread(block, lanes, buffer, index):
    """The next `block.count / lanes.count` numbers of a buffer, each broadcast to `lanes.count` lanes."""
    return np.repeat(buffer.array[index : index + block.count // lanes.count], lanes.count)


@compiles(spread, LanesType, LanesType, BufferType, types.Integer)
def _spread(block, lanes, buffer, index_type):
    def emit(context, builder, _block, _lanes, memory, index):
        index = as_index(context, builder, index_type, index)
        parts = []
        for offset in range(block.vector.count // lanes.vector.count):
            number = builder.load(place(context, builder, memory, builder.add(index, index.type(offset))))
            parts.append(splat(context, builder, buffer.dtype, number, lanes.vector))
        return concatenate(builder, parts)

    return block.vector, emit


def spread_rows(block, lanes, buffer, index, step):
    """The numbers at index, index + step, … of a buffer, each broadcast to `lanes.count` lanes."""
    return np.repeat(buffer.array[index : index + step * (block.count // lanes.count) : step], lanes.count)


@compiles(spread_rows, LanesType, LanesType, BufferType, types.Integer, types.Integer)
def _spread_rows(block, lanes, buffer, *index_types):
    def emit(context, builder, _block, _lanes, memory, *indices):
        index, step = (
            as_index(context, builder, index_type, index)
            for index, index_type in zip(indices, index_types, strict=True)
        )
        parts = []
        for offset in range(block.vector.count // lanes.vector.count):
            there = builder.add(index, builder.mul(step, step.type(offset)))
            parts.append(
                splat(
                    context, builder, buffer.dtype, builder.load(place(context, builder, memory, there)), lanes.vector
                )
            )
        return concatenate(builder, parts)

    return block.vector, emit


def spread_samples(block, lanes, buffer, samples, first, step, column):
    """`column` of the next samples, each number broadcast to `lanes.count` lanes.

    Rows of the buffer are `step` numbers long; `samples[first]`, `samples[first + 1]`, … are row numbers.
    """
    rows = samples.array[first : first + block.count // lanes.count]
    return np.repeat(buffer.array[rows * step + column], lanes.count)


@compiles(spread_samples, LanesType, LanesType, BufferType, BufferType, types.Integer, types.Integer, types.Integer)
def _spread_samples(block, lanes, buffer, _samples, *index_types):
    def emit(context, builder, _block, _lanes, memory, samples, *indices):
        first, step, column = (
            as_index(context, builder, index_type, index)
            for index, index_type in zip(indices, index_types, strict=True)
        )
        parts = []
        for offset in range(block.vector.count // lanes.vector.count):
            sample = builder.load(place(context, builder, samples, builder.add(first, first.type(offset))))
            number = builder.load(place(context, builder, memory, builder.add(builder.mul(sample, step), column)))
            parts.append(splat(context, builder, buffer.dtype, number, lanes.vector))
        return concatenate(builder, parts)

    return block.vector, emit


def load_grid(grid, line, lanes, buffer, row, outer_step, inner_step):
    """The rows row + u · outer_step + i · inner_step of a buffer, end to end: u the outer index, i the inner one.

    `line` gives the number of inner rows, `grid` that of all. A step of 0 repeats a row.
    """
    return rows_of(buffer.array, lanes.count)[_grid(grid.count, line, lanes, row, outer_step, inner_step)].ravel()


def _grid(count, line, lanes, row, outer_step, inner_step):
    outer, inner = np.arange(count // line.count), np.arange(line.count // lanes.count)
    return row + outer[:, None] * outer_step + inner * inner_step


@compiles(load_grid, LanesType, LanesType, LanesType, BufferType, types.Integer, types.Integer, types.Integer)
def _load_grid(grid, line, lanes, _buffer, *index_types):
    vector = lanes.vector

    def emit(context, builder, _grid, _line, _lanes, memory, *indices):
        rows = _grid_rows(context, builder, grid.vector.count, line, lanes, indices, index_types)
        parts = []
        for _, row in rows:
            there = place(context, builder, memory, row, vector)
            parts.append(builder.load(there, align=vector.alignment))
        return concatenate(builder, parts)

    return grid.vector, emit


def _grid_rows(context, builder, count, line, lanes, indices, index_types):
    """(inner index, row number) of every row of a grid."""
    row, outer_step, inner_step = (
        as_index(context, builder, index_type, index) for index, index_type in zip(indices, index_types, strict=True)
    )
    for outer in range(count // line.vector.count):
        for inner in range(line.vector.count // lanes.vector.count):
            offset = builder.add(
                builder.mul(outer_step, outer_step.type(outer)), builder.mul(inner_step, inner_step.type(inner))
            )
            yield inner, builder.add(row, offset)


def store_grid(line, lanes, buffer, row, outer_step, inner_step, value, count):
    """Store the rows of a grid (see `load_grid`) whose inner index is below `count`."""
    index = _grid(value.size, line, lanes, row, outer_step, inner_step)
    parts = value.reshape(*index.shape, lanes.count)
    rows_of(buffer.array, lanes.count)[index[:, :count]] = parts[:, :count]


@compiles(
    store_grid, LanesType, LanesType, BufferType, types.Integer, types.Integer, types.Integer, VectorType, types.Integer
)
def _store_grid(line, lanes, _buffer, *rest):
    *index_types, value_type, _count_type = rest
    vector = lanes.vector

    def emit(context, builder, _line, _lanes, memory, *rest):
        *indices, value, count = rest
        rows = list(_grid_rows(context, builder, value_type.count, line, lanes, indices, index_types))
        for inner in range(line.vector.count // vector.count):
            with builder.if_then(builder.icmp_signed("<", count.type(inner), count), likely=True):
                for index, (own_inner, row) in enumerate(rows):
                    if own_inner == inner:
                        there = place(context, builder, memory, row, vector)
                        builder.store(part(builder, value, vector.count, index), there, align=vector.alignment)
        return context.get_dummy_value()

    return types.none, emit


def transpose(lanes, source, row, step, target, target_row, target_step):
    """Transpose a square: write the columns of the rows row, row + step, … to the rows target_row, target_row +
    target_step, …"""
    numbers = np.arange(lanes.count)
    square = rows_of(source.array, lanes.count)[row + step * numbers]
    rows_of(target.array, lanes.count)[target_row + target_step * numbers] = square.T


@compiles(transpose, LanesType, BufferType, types.Integer, types.Integer, BufferType, types.Integer, types.Integer)
def _transpose(lanes, _source, row_type, step_type, _target, target_row_type, target_step_type):
    vector = lanes.vector
    size = vector.count

    def places(context, builder, memory, kinds, values):
        row, step = (as_index(context, builder, kind, value) for value, kind in zip(values, kinds, strict=True))
        for number in range(size):
            index = builder.add(row, builder.mul(step, step.type(number)))
            yield place(context, builder, memory, index, vector)

    def emit(context, builder, _lanes, source, row, step, target, target_row, target_step):
        rows = [
            builder.load(there, align=vector.alignment)
            for there in places(context, builder, source, (row_type, step_type), (row, step))
        ]
        half = size // 2
        while half:
            # swap the upper right with the lower left quarter of every square of 2 · half rows and columns
            for i in range(size):
                if not i & half:
                    a, b = rows[i], rows[i + half]
                    upper = [c if not c & half else size + c - half for c in range(size)]
                    lower = [c + half if not c & half else size + c for c in range(size)]
                    masks = [ir.Constant(ir.VectorType(ir.IntType(32), size), mask) for mask in (upper, lower)]
                    rows[i], rows[i + half] = (builder.shuffle_vector(a, b, mask) for mask in masks)
            half //= 2
        targets = places(context, builder, target, (target_row_type, target_step_type), (target_row, target_step))
        for value, there in zip(rows, targets, strict=True):
            builder.store(value, there, align=vector.alignment)
        return context.get_dummy_value()

    return types.none, emit
