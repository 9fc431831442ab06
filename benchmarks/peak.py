"""The processor's peak: a loop of fused multiply-adds on the library's own vectors, and nothing else."""

import threading
import time

import numba
import numpy as np

from fastmlp._simd.arithmetic import broadcast, fma
from fastmlp._simd.cpu import register_bytes
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros

CHAINS = 6  # of two registers: enough independent sums to hide the latency
ROUNDS = 500_000


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _multiply_and_add(F, buffer, rounds):
    scale, shift = broadcast(F, 0.999), broadcast(F, 0.001)
    a, b, c = load(F, buffer, 0), load(F, buffer, 1), load(F, buffer, 2)
    d, e, f = load(F, buffer, 3), load(F, buffer, 4), load(F, buffer, 5)
    for _ in range(rounds):
        a, b, c = fma(a, scale, shift), fma(b, scale, shift), fma(c, scale, shift)
        d, e, f = fma(d, scale, shift), fma(e, scale, shift), fma(f, scale, shift)
    store(buffer, 0, a + b + c + d + e + f)


def peak_flops(dtype="float32", threads=1, repeats=3):
    """Multiplications and additions a second on `threads` threads at once: the median of a few measurements.

    Each thread counts from when all have begun to when it is done itself; the rates of the threads are added.
    """
    F = VectorSpec(dtype, 2 * register_bytes() // np.dtype(dtype).itemsize)
    _multiply_and_add(F, Buffer(aligned_zeros((CHAINS, F.count), dtype)), 1)
    return float(np.median([sum(_rates(F, threads)) for _ in range(repeats)]))


def _rates(F, threads):
    ready, rates = threading.Barrier(threads), []

    def work():
        buffer = Buffer(aligned_zeros((CHAINS, F.count), F.dtype))
        ready.wait()
        begun = time.perf_counter()
        _multiply_and_add(F, buffer, ROUNDS)
        rates.append(2 * CHAINS * F.count * ROUNDS / (time.perf_counter() - begun))

    workers = [threading.Thread(target=work) for _ in range(threads - 1)]
    for worker in workers:
        worker.start()
    work()
    for worker in workers:
        worker.join()
    return rates
