"""The processor's peak: a loop of fused multiply-adds on the library's own vectors, and nothing else."""

import time

import numba
import numpy as np

from fastmlp import _threads
from fastmlp._simd import broadcast, fma, load, store
from fastmlp._vectors import Buffer, aligned_zeros, host_lanes

CHAINS = 6  # times the registers of a vector: enough independent sums to hide the latency
ROUNDS = 1_000_000


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
    """Multiplications and additions a second on so many threads: the median of a few measurements."""
    F = host_lanes(dtype)
    buffers = [Buffer(aligned_zeros((CHAINS, F.count), dtype)) for _ in range(threads)]
    _multiply_and_add(F, buffers[0], 1)
    rates = []
    for _ in range(repeats):
        begun = time.perf_counter()
        _threads.run(
            buffers, lambda buffer, _scratch, _report: _multiply_and_add(F, buffer, ROUNDS), lambda: None, threads,
            np.zeros(1, np.int8), lambda _report: None,
        )  # fmt: skip
        rates.append(2 * threads * CHAINS * F.count * ROUNDS / (time.perf_counter() - begun))
    return float(np.median(rates))
