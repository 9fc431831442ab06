"""Outputs of trained nets, in blocks of nets, so that memory stays bounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastmlp import _checks as checks
from fastmlp import _formulas as formulas
from fastmlp import _threads
from fastmlp._buffers import (
    CHUNK_SAMPLES,
    TileArrays,
    Vectors,
    data_buffers,
    net_buffers,
    row_order,
    scratch_buffers,
)
from fastmlp._lanes import predict_tiles
from fastmlp._memory import refuse_if_too_large
from fastmlp._tiles import copy_in
from fastmlp._vectors import Buffer, host_lanes
from fastmlp.architecture import Architecture

NETS_A_BLOCK = 1024  # a fixed number: the mean adds up the nets of a block first, and must not depend on the machine
BLOCK_BYTES = 2**24


def predict(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """Outputs (n, S, n_out) of the nets `parameters` (n, P) for inputs X (S, n_in)."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    shape = (len(parameters), len(samples), architecture.sizes[-1])
    refuse_if_too_large(
        math.prod(shape) * parameters.dtype.itemsize, f"predictions of shape {shape}",
        "predict fewer samples at once, or the mean with reduce='mean'",
    )  # fmt: skip
    outputs = np.empty(shape, parameters.dtype)
    n_threads = _threads.thread_count(threads)
    parts = [
        (nets, part)
        for part in _sample_parts(architecture, parameters, len(samples), n_threads)
        for nets in _net_blocks(parameters)
    ]

    def work(task: tuple[slice, slice], scratch: Any, _report: Any) -> None:
        nets, part = task
        outputs[nets, part] = _block(architecture, parameters, nets, samples[part], scratch)

    _run(architecture, parameters, parts, work, n_threads)
    return outputs


def predict_mean(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """The mean of the outputs over the nets, (S, n_out), in float64."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    if not len(parameters):
        raise ValueError("the mean over no nets is not defined: the selection is empty")
    total = np.zeros((len(samples), architecture.sizes[-1]))
    n_threads = _threads.thread_count(threads)

    def work(part: slice, scratch: Any, _report: Any) -> None:
        for nets in _net_blocks(parameters):
            outputs = _block(architecture, parameters, nets, samples[part], scratch)
            total[part] += outputs.sum(axis=0, dtype=np.float64)

    _run(architecture, parameters, _sample_parts(architecture, parameters, len(samples), n_threads), work, n_threads)
    return total / len(parameters)


def _net_blocks(parameters: np.ndarray) -> list[slice]:
    return [slice(first, first + NETS_A_BLOCK) for first in range(0, len(parameters), NETS_A_BLOCK)]


def _sample_parts(architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int) -> list[slice]:
    """Parts of the samples, so that a block's outputs fit into `BLOCK_BYTES` and every thread has some."""
    nets = max(1, min(len(parameters), NETS_A_BLOCK))
    fitting = BLOCK_BYTES // (nets * architecture.sizes[-1] * parameters.dtype.itemsize)
    size = max(1, min(fitting, -(-n_samples // threads)))
    return [slice(first, first + size) for first in range(0, n_samples, size)]


def _run(architecture: Architecture, parameters: np.ndarray, tasks: list[Any], work: Any, threads: int) -> None:
    vectors, halt = Vectors.of(host_lanes(parameters.dtype)), np.zeros(1, np.int8)
    net = net_buffers(architecture, architecture.default_loss, vectors)
    interrupted, _ = _threads.run(
        tasks, work, lambda: scratch_buffers(architecture, net, vectors, CHUNK_SAMPLES),
        min(threads, max(1, len(tasks))), halt, lambda _report: None,
    )  # fmt: skip
    if interrupted:
        raise KeyboardInterrupt


def _block(
    architecture: Architecture, parameters: np.ndarray, nets: slice, samples: np.ndarray, scratch: Any
) -> np.ndarray:
    """Outputs of some nets for some samples."""
    vectors, own = Vectors.of(host_lanes(parameters.dtype)), np.ascontiguousarray(parameters[nets])
    net = net_buffers(architecture, architecture.default_loss, vectors)
    tiles = TileArrays(vectors, 0, len(own), net.n_parameters)
    slope = architecture.leaky_slope
    tiles.fill(tiles.hyper[:, formulas.LEAKY_SLOPE], slope[nets] if isinstance(slope, np.ndarray) else slope)
    row_of = Buffer(row_order(architecture))
    copy_in(vectors.F, tiles.kernel_view, Buffer(own), row_of, net.n_parameters, 0)
    outputs = np.empty((len(own), len(samples), architecture.sizes[-1]), parameters.dtype)
    data = data_buffers(samples, np.zeros_like(outputs[0]), None)
    predict_tiles(
        vectors.kinds, vectors.F, net, data, tiles.kernel_view, Buffer(outputs), scratch,
    )  # fmt: skip
    return outputs
