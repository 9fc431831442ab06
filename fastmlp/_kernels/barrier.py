"""Synchronisation of the threads of a team: barriers, and the division of work.

Each member of a team runs the whole loop over epochs with its own copy of the control values, and makes the same
decisions. Members share a net's parameters and its units' outputs and gradients. A barrier separates a step from those
that read its results. Members stay in the kernel, because a return to Python would take longer than a minibatch. A team
of one never waits.
"""

import sys
import threading
import time

from fastmlp._simd.codegen import as_index, compiles, place
from fastmlp._simd.jit import inline
from fastmlp._simd.numba_internals import cgutils, types
from fastmlp._simd.numba_internals import llvm_ir as ir
from fastmlp._simd.types import BufferType

# Positions in the team's shared memory, in different cache lines
ARRIVALS, HALT, ABANDONED = 0, 8, 16
N_SHARED = 24
_LOCK = threading.Lock()
SPINS = 300  # a few microseconds; after that the thread yields the processor


def add_atomically(buffer, index, value):
    """Atomically add to a shared number; returns the sum."""
    with _LOCK:
        buffer[index] += value
        return int(buffer[index])


def read_atomically(buffer, index):
    """Atomically load a shared number."""
    return int(buffer[index])


def pause(spins):
    """Wait a moment: spin the first few times, then yield the processor."""
    if spins > SPINS:
        time.sleep(0)


@compiles(add_atomically, BufferType, types.Integer, types.Integer)
def _add_atomically(buffer, index_type, value_type):
    def emit(context, builder, memory, index, value):
        index = as_index(context, builder, index_type, index)
        value = context.cast(builder, value, types.unliteral(value_type), buffer.dtype)
        before = builder.atomic_rmw("add", place(context, builder, memory, index), value, "seq_cst")
        return builder.add(before, value)

    return buffer.dtype, emit


@compiles(read_atomically, BufferType, types.Integer)
def _read_atomically(buffer, index_type):
    def emit(context, builder, memory, index):
        index = as_index(context, builder, index_type, index)
        return builder.load_atomic(place(context, builder, memory, index), "seq_cst", 8)

    return buffer.dtype, emit


@compiles(pause, types.Integer)
def _pause(_spins):
    def emit(context, builder, spins):
        architecture = builder.module.triple.split("-")[0]
        if architecture == "x86_64":
            hint = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.x86.sse2.pause"), [])
        elif architecture in ("aarch64", "arm64"):
            hint, to_yield = ir.FunctionType(ir.VoidType(), [ir.IntType(32)]), ir.IntType(32)(1)
            builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint"), [to_yield])
        if sys.platform != "win32":
            with builder.if_then(builder.icmp_signed(">", spins, spins.type(SPINS)), likely=False):
                leave = cgutils.get_or_insert_function(
                    builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield"
                )
                builder.call(leave, [])
        return context.get_dummy_value()

    return types.none, emit


@inline
def wait(scratch):
    """Barrier: wait for every member of the team; afterwards each sees the others' writes.

    If a thread has failed, the team is abandoned, and no thread waits.
    """
    if scratch.threads_per_net > 1:
        arrived = add_atomically(scratch.team, ARRIVALS, 1)
        everyone = (arrived + scratch.threads_per_net - 1) // scratch.threads_per_net * scratch.threads_per_net
        spins = 0
        while read_atomically(scratch.team, ARRIVALS) < everyone and not read_atomically(scratch.team, ABANDONED):
            spins += 1
            pause(spins)


@inline
def halted(scratch, halt):
    """Whether to halt: a common decision of all members, made at a barrier."""
    if scratch.threads_per_net == 1:
        return halt[0] != 0
    if scratch.thread_number == 0:
        scratch.team[HALT] = halt[0]
    wait(scratch)
    return scratch.team[HALT] != 0 or read_atomically(scratch.team, ABANDONED) != 0


@inline
def share_of(scratch, count):
    """(first, stop): this member's part of `count` pieces of work."""
    return count * scratch.thread_number // scratch.threads_per_net, count * (
        scratch.thread_number + 1
    ) // scratch.threads_per_net
