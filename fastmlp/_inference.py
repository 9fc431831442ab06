"""Outputs of trained nets, in blocks of nets, so that memory stays bounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastmlp import _checks as checks
from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
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
from fastmlp._choice import choose_kernel
from fastmlp._evaluation import predict_tiles
from fastmlp._memory import refuse_if_too_large
from fastmlp._signals import Stopping
from fastmlp._tiles import copy_in
from fastmlp._unit_buffers import (
    unit_net_buffers,
    unit_row_order,
    unit_rows_of_a_tile,
    unit_scratch_buffers,
    unit_vectors,
)
from fastmlp._vectors import Buffer, host_lanes
from fastmlp.architecture import Architecture

NETS_A_BLOCK = 1024  # a fixed number: the mean adds up the nets of a block first, and must not depend on the machine
BLOCK_BYTES = 2**24


class _Way:
    """How the outputs are computed: which kernel, and what it works on."""

    def __init__(self, architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int):
        self.architecture, dtype, loss = architecture, parameters.dtype, architecture.default_loss
        size = max(1, n_samples)
        choice = choose_kernel(architecture, max(1, len(parameters)), size, size, dtype, threads)
        self.units = choice.kernel == "units"
        if self.units:
            self.vectors = unit_vectors(dtype)
            self.net = unit_net_buffers(architecture, loss, self.vectors)
            self.n_rows = unit_rows_of_a_tile(self.net, -1, self.vectors)  # no gradients
            self.row_of = Buffer(unit_row_order(architecture, self.net))
        else:
            self.vectors = Vectors.of(host_lanes(dtype))
            self.net = net_buffers(architecture, loss, self.vectors)
            self.n_rows = self.net.n_parameters
            self.row_of = Buffer(row_order(architecture))

    def new_scratch(self) -> layout.Scratch:
        if self.units:
            return unit_scratch_buffers(self.net, self.vectors, CHUNK_SAMPLES)
        return scratch_buffers(self.architecture, self.net, self.vectors, CHUNK_SAMPLES)

    def outputs(self, parameters: np.ndarray, nets: slice, samples: np.ndarray, scratch: layout.Scratch) -> np.ndarray:
        """Outputs of some nets for some samples."""
        own, slope = np.ascontiguousarray(parameters[nets]), self.architecture.leaky_slope
        tiles = TileArrays(self.vectors, 0, len(own), self.n_rows)
        tiles.fill(tiles.hyper[:, formulas.LEAKY_SLOPE], slope[nets] if isinstance(slope, np.ndarray) else slope)
        copy_in(self.vectors.F, tiles.kernel_view, Buffer(own), self.row_of, self.net.n_parameters, 0, 0)
        outputs = np.empty((len(own), len(samples), self.architecture.sizes[-1]), parameters.dtype)
        data = data_buffers(samples, np.zeros_like(outputs[0]), None)
        predict_tiles(self.vectors.kinds, self.vectors.F, self.net, data, tiles.kernel_view, Buffer(outputs), scratch)
        return outputs


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

    way = _Way(architecture, parameters, len(samples), n_threads)

    def work(task: tuple[slice, slice], scratch: Any, _report: Any) -> None:
        nets, part = task
        outputs[nets, part] = way.outputs(parameters, nets, samples[part], scratch)

    _run(way, parts, work, n_threads)
    return outputs


def predict_mean(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """The mean of the outputs over the nets, (S, n_out), in float64."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    if not len(parameters):
        raise ValueError("the mean over no nets is not defined: the selection is empty")
    total = np.zeros((len(samples), architecture.sizes[-1]))
    n_threads = _threads.thread_count(threads)
    way = _Way(architecture, parameters, len(samples), n_threads)

    def work(part: slice, scratch: Any, _report: Any) -> None:
        for nets in _net_blocks(parameters):
            outputs = way.outputs(parameters, nets, samples[part], scratch)
            total[part] += outputs.sum(axis=0, dtype=np.float64)

    _run(way, _sample_parts(architecture, parameters, len(samples), n_threads), work, n_threads)
    return total / len(parameters)


def _net_blocks(parameters: np.ndarray) -> list[slice]:
    return [slice(first, first + NETS_A_BLOCK) for first in range(0, len(parameters), NETS_A_BLOCK)]


def _sample_parts(architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int) -> list[slice]:
    """Parts of the samples, so that a block's outputs fit into `BLOCK_BYTES` and every thread has some."""
    nets = max(1, min(len(parameters), NETS_A_BLOCK))
    fitting = BLOCK_BYTES // (nets * architecture.sizes[-1] * parameters.dtype.itemsize)
    size = max(1, min(fitting, -(-n_samples // threads)))
    return [slice(first, first + size) for first in range(0, n_samples, size)]


def _run(way: _Way, tasks: list[Any], work: Any, threads: int) -> None:
    stopping = Stopping()
    _threads.run(
        tasks, work, way.new_scratch, min(threads, max(1, len(tasks))), np.zeros(2, np.int8), lambda _report: None,
        stopping,
    )  # fmt: skip
    if stopping.received is not None:
        raise KeyboardInterrupt
