"""Instructions of the training kernels' innermost loops, counted from their machine code: `python -m benchmarks.loops`.

For each loop with multiply-adds, divisions or square roots: how often each kind of instruction occurs, and how many
cycles one turn takes at least on a processor that starts two multiply-adds, two loads and one store a cycle.
"""

import re
import sys

from numba.core.caching import NullCache

from benchmarks.workloads import WORKLOADS
from fastmlp._kernels.epoch_loop import train_tiles
from fastmlp._kernels.tiny import train_tiny_tiles

HEADER = ("kernel", "instructions", "multiply-adds", "other arithmetic", "loads", "stores", "divide, root", "cycles")


def innermost_loops(assembly):
    """The instructions of every block that jumps back to its own beginning."""
    block, label = [], None
    for line in assembly.splitlines():
        instruction = line.split("#")[0].strip()
        if match := re.match(r"(\.L\w+):", instruction):
            block, label = [], match[1]
        elif instruction and not instruction.startswith("."):
            block.append(instruction)
            if instruction.startswith("j"):
                if instruction.split()[-1] == label:
                    yield block
                block, label = [], None


def count(block):
    """How many instructions of each kind, and the cycles that they take at least."""
    fma = sum("fmadd" in i or "fnmadd" in i or "fmsub" in i for i in block)
    slow = sum(i.startswith(("vdiv", "vsqrt")) for i in block)
    packed = sum(bool(re.match(r"v\w+p[sd]\s", i)) for i in block)
    moves = sum(i.startswith(("vmova", "vmovu", "vbroadcast")) for i in block)
    stores = sum(i.startswith("vmov") and i.rstrip().endswith(")") for i in block)
    loads = sum("(" in i and i.startswith("v") for i in block) - stores
    other = max(0, packed - fma - slow - moves)
    cycles = max((fma + other) / 2, loads / 2, stores, len(block) / 8)
    return len(block), fma, other, loads, stores, slow, cycles


def main():
    for kernel in (train_tiny_tiles, train_tiles):
        kernel.dispatcher._cache = NullCache()  # Numba cannot show the machine code of what it has loaded
    for workload in (WORKLOADS[2], WORKLOADS[3]):
        workload.train(epochs=1, nets=32, threads=1, kernel="lanes")
    WORKLOADS[3].train(epochs=1, nets=1, threads=1, kernel="units")
    rows = [HEADER]
    for name, kernel in (("tiny", train_tiny_tiles), ("lanes", train_tiles)):
        for signature, assembly in kernel.dispatcher.inspect_asm().items():
            # the loop over epochs is compiled for each kernel: one number a net asks for units as lanes
            name = "units" if kernel is train_tiles and signature[1].vector.count == 1 else name  # noqa: PLW2901
            for block in innermost_loops(assembly):
                numbers = count(block)
                if numbers[1] >= 8 or numbers[5]:
                    rows.append((name, *map(str, numbers[:-1]), f"{numbers[-1]:g}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print("\n".join("  ".join(map(str.rjust, row, widths)) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
