"""The processor that kernels are compiled for: its registers and suitable vectors."""

import functools
import os
import platform

import numpy as np

from fastmlp._simd.numba_internals import config, get_host_cpu_features, llvm
from fastmlp._simd.types import VectorSpec


def host_lanes(dtype, narrow=False):
    """The vectors to use on this processor: 128 bytes with AVX-512, 64 without; FASTMLP_LANES overrides.

    Several registers for a value hide the latency of a fused multiply-add: two of 64 bytes with AVX-512, two of
    32 with AVX2, four of 16 with NEON and SSE2. `narrow` gives one register, for loops with other independent sums.
    """
    return _lanes(np.dtype(dtype), narrow, register_bytes(), os.environ.get("FASTMLP_LANES"))


@functools.cache
def _lanes(dtype, narrow, register, asked):
    if asked is None:
        wide = 128 if register == 64 else 64
        return VectorSpec(dtype, (register if narrow else wide) // dtype.itemsize)
    if asked not in ("2", "4", "8", "16", "32", "64"):
        raise ValueError(f"FASTMLP_LANES={asked!r}: the number of float32 lanes must be 2, 4, 8, 16, 32 or 64")
    return VectorSpec(dtype, max(2, int(asked) * 4 // dtype.itemsize))  # one lane would mean the units kernel


MOST_UNITS = 4


def units_at_once(lanes, samples):
    """Number of units whose sums for `samples` samples fit into half of the registers."""
    fitting = register_count() // 2 * register_bytes() // (samples * lanes.count * lanes.dtype.itemsize)
    return max(1, min(fitting, MOST_UNITS))


def register_count():
    return 32 if "+avx512f" in cpu_features() or _is_arm() else 16


def register_bytes():
    features = cpu_features()
    return 64 if "+avx512f" in features else 32 if "+avx2" in features else 16


def roots_are_slow():
    """Whether float64 square roots by multiply-adds are faster than the instruction: with AVX-512, except on AMD."""
    name = _host_name() if config.CPU_NAME in (None, "host") else config.CPU_NAME
    return register_bytes() == 64 and not name.startswith("znver")


def _is_arm():
    return platform.machine().lower() in ("aarch64", "arm64")


def cpu_features():
    """LLVM's feature flags of the processor that numba compiles for."""
    return _features_of(config.CPU_NAME, config.CPU_FEATURES)


@functools.cache
def _features_of(name, features):
    if name in (None, "host"):
        features = features or get_host_cpu_features()
    return frozenset((features or "").split(","))


_host_name = functools.cache(llvm.get_host_cpu_name)
