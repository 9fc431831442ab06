"""Outputs of trained nets, computed in blocks of nets to bound memory."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine import workers
from fastmlp._engine.cost_model import Choice, choose_kernel
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.interrupts import Stopping
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._engine.tile_arrays import CHUNK_SAMPLES, TileArrays, data_buffers
from fastmlp._kernels import structs
from fastmlp._kernels.evaluation import predict_tiles
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.tiles import copy_in
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture

NETS_A_BLOCK = 1024  # fixed: the mean sums the nets of each block first, so its bits depend on this number
BLOCK_BYTES = 2**24
Task = TypeVar("Task")


class _Outputs:
    """The plan and threads for computing outputs."""

    def __init__(self, architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int):
        self.architecture, dtype, size = architecture, parameters.dtype, max(1, n_samples)
        choice = choose_kernel(architecture, max(1, len(parameters)), size, size, dtype, threads)
        if choice.kernel != "units":
            choice = Choice("lanes", host_lanes(dtype))
        self.halt = np.zeros(2, np.int8)
        self.plan = ExecutionPlan.of(architecture, architecture.default_loss, dtype, choice)

    def new_scratch(self) -> structs.Scratch:
        return self.plan.new_scratch(CHUNK_SAMPLES)

    def of(self, parameters: np.ndarray, nets: slice, samples: np.ndarray, scratch: structs.Scratch) -> np.ndarray:
        """Outputs of some nets for some samples."""
        own, slope = np.ascontiguousarray(parameters[nets]), self.architecture.leaky_slope
        plan = self.plan
        tiles = TileArrays(plan.vectors, 0, len(own), plan.rows_of_a_tile(-1))
        tiles.fill(tiles.hyper[:, optimizers.LEAKY_SLOPE], slope[nets] if isinstance(slope, np.ndarray) else slope)
        copy_in(plan.vectors.F, tiles.kernel_view, Buffer(own), plan.row_of, plan.net.n_parameters, 0, 0)
        outputs = np.empty((len(own), len(samples), self.architecture.sizes[-1]), parameters.dtype)
        data = data_buffers(samples, np.zeros_like(outputs[0]), None)
        predict_tiles(plan.vectors.kinds, plan.vectors.F, plan.net, data, tiles.kernel_view, Buffer(outputs), scratch)
        return outputs


def predict(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """Outputs (n, S, n_out) of the nets `parameters` (n, P) for inputs X (S, n_in)."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    shape = (len(parameters), len(samples), architecture.sizes[-1])
    refuse_if_too_large(
        math.prod(shape) * parameters.dtype.itemsize,
        f"predictions of shape {shape}",
        "predict fewer samples at once, or the mean with reduce='mean'",
    )
    outputs = np.empty(shape, parameters.dtype)
    n_threads = workers.thread_count(threads)
    parts = [
        (nets, part)
        for part in _sample_parts(architecture, parameters, len(samples), n_threads)
        for nets in _net_blocks(parameters)
    ]

    outputs_of = _Outputs(architecture, parameters, len(samples), n_threads)

    def work(task: tuple[slice, slice], scratch: structs.Scratch, _report: Callable[[None], None]) -> None:
        nets, part = task
        outputs[nets, part] = outputs_of.of(parameters, nets, samples[part], scratch)

    _run(outputs_of, parts, work, n_threads)
    return outputs


def predict_mean(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """The mean of the outputs over the nets, (S, n_out), in float64."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    if not len(parameters):
        raise ValueError("there are no nets to average: the selection is empty")
    total = np.zeros((len(samples), architecture.sizes[-1]))
    n_threads = workers.thread_count(threads)
    outputs_of = _Outputs(architecture, parameters, len(samples), n_threads)

    def work(part: slice, scratch: structs.Scratch, _report: Callable[[None], None]) -> None:
        for nets in _net_blocks(parameters):
            if outputs_of.halt[0]:
                return
            outputs = outputs_of.of(parameters, nets, samples[part], scratch)
            total[part] += outputs.sum(axis=0, dtype=np.float64)

    _run(outputs_of, _sample_parts(architecture, parameters, len(samples), n_threads), work, n_threads)
    return total / len(parameters)


def _net_blocks(parameters: np.ndarray) -> list[slice]:
    return [slice(first, first + NETS_A_BLOCK) for first in range(0, len(parameters), NETS_A_BLOCK)]


def _sample_parts(architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int) -> list[slice]:
    """Split the samples, so that a block's outputs fit into `BLOCK_BYTES` and every thread has a part."""
    nets = max(1, min(len(parameters), NETS_A_BLOCK))
    fitting = BLOCK_BYTES // (nets * architecture.sizes[-1] * parameters.dtype.itemsize)
    size = max(1, min(fitting, -(-n_samples // threads)))
    return [slice(first, first + size) for first in range(0, n_samples, size)]


def _run(
    outputs_of: _Outputs,
    tasks: list[Task],
    work: Callable[[Task, structs.Scratch, Callable[[None], None]], None],
    threads: int,
) -> None:
    threads = min(threads, max(1, len(tasks)))
    with Stopping(signal.SIGINT) as stopping:
        workers.run(tasks, work, outputs_of.new_scratch, threads, outputs_of.halt, lambda _report: None, stopping)
    if stopping.received is not None:
        raise KeyboardInterrupt
