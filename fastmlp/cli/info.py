"""The commands `fastmlp info` and `fastmlp warmup`."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from typing import Any

import llvmlite
import numba
import numpy as np

import fastmlp
from fastmlp._engine.processors import available_threads
from fastmlp._engine.tile_arrays import TINY_PARAMETERS
from fastmlp._kernels import epoch_loop
from fastmlp._simd.cache import ADVICE
from fastmlp._simd.cpu import cpu_features, host_lanes
from fastmlp._simd.numba_internals import config, llvm


def cache_folder() -> str:
    """The folder of compiled kernels."""
    dispatcher = getattr(epoch_loop.train_tiles, "dispatcher", None)
    if dispatcher is None:
        return "none: NUMBA_DISABLE_JIT is set"
    folder = dispatcher.stats.cache_path
    return f"none: {ADVICE}" if folder is None else str(folder)


def show(_options: argparse.Namespace) -> int:
    """Print versions and the facts about the processor that matter for speed."""
    cpu = getattr(config, "CPU_NAME", None) or llvm.get_host_cpu_name()
    interesting = ("sse2", "avx2", "fma", "avx512f", "neon", "sve")
    present = [name for name in interesting if f"+{name}" in cpu_features()]
    rows = {
        "fastmlp": f"{fastmlp.__version__}, bits version {fastmlp.BITS_VERSION}",
        "Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "numpy, numba, llvmlite": f"{np.__version__}, {numba.__version__}, {llvmlite.__version__}",
        "processor": f"{cpu}: {', '.join(present) or 'no vector features found'}",
        "vector width": ", ".join(f"{_widths(t)} {t} lanes" for t in ("float32", "float64")),
        "threads": available_threads(),
        "cache folder": cache_folder(),
    }
    for name, value in rows.items():
        print(f"{name + ':':24}{value}")
    return 0


def _widths(dtype: str) -> str:
    tiny, larger = host_lanes(dtype).count, host_lanes(dtype, narrow=True).count
    return str(tiny) if tiny == larger else f"{tiny} (nets beyond {TINY_PARAMETERS} parameters: {larger})"


def warm_up(_options: argparse.Namespace) -> int:
    """Compile every kernel, by training and predicting with a few tiny nets."""
    from fastmlp.audit.training import train_with_mistakes

    X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    arch = fastmlp.Architecture((2, 4, 1))
    ways: dict[str, dict[str, Any]] = {
        "many tiny nets": {"n_nets": 64, "target_loss": 0.1},
        "few tiny nets": {"n_nets": 1, "target_loss": 0.1},
        "many nets": {"n_nets": 64, "batch_size": 2, "kernel": "lanes"},
        "many nets, one sample at a time": {"n_nets": 64, "batch_size": 1, "kernel": "lanes"},
        "few nets": {"n_nets": 1, "batch_size": 2, "kernel": "units"},
    }
    begun = time.perf_counter()
    for dtype in ("float32", "float64"):
        for name, settings in ways.items():
            first = time.perf_counter()
            runs = fastmlp.train(arch, X, y, epochs=2, dtype=dtype, **settings)
            for samples in (X, 200 * X):
                runs.predict(samples)
            fastmlp.train(arch, X, y, epochs=2, dtype=dtype, init=(runs.weights, runs.biases), **settings)
            if "kernel" in settings:  # early stopping, bootstrap and dropout
                fastmlp.train(
                    arch, X, y, epochs=2, dtype=dtype, validation=(X, y), bootstrap=True, dropout=0.1, **settings
                )
            print(f"{dtype}, {name}: {time.perf_counter() - first:.1f} s", flush=True)
        first = time.perf_counter()
        for nets in (1, 64):
            fastmlp.train(arch, X, y, n_nets=nets, epochs=2, dtype=dtype).diagnose(X, y)
        print(f"{dtype}, diagnosis: {time.perf_counter() - first:.1f} s", flush=True)
        first = time.perf_counter()
        for batch_size in (1, None):
            train_with_mistakes(
                arch, X, y, mistakes="sum_for_mean", n_nets=64, epochs=2, batch_size=batch_size, dtype=dtype
            )
        print(f"{dtype}, mistakes: {time.perf_counter() - first:.1f} s", flush=True)
    print(f"All compiled in {time.perf_counter() - begun:.1f} s into {cache_folder()}", file=sys.stdout)
    return 0
