"""Outputs of trained nets, computed in blocks of nets to bound memory."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine import workers
from fastmlp._engine.compiling import compile_apart
from fastmlp._engine.cost_model import Choice, choose_kernel
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.interrupts import Stopping
from fastmlp._engine.kept import Kept
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._engine.processors import thread_count
from fastmlp._engine.tile_arrays import CHUNK_SAMPLES, TileArrays, data_memory
from fastmlp._kernels import structs
from fastmlp._kernels.evaluation import predict_nets
from fastmlp._kernels.formulas import optimizers
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.jit import code_for
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture

NETS_A_BLOCK = 1024  # fixed: the mean sums the nets of each block first, so its bits depend on this number
BLOCK_BYTES = 2**24
SMALL_CALL = 2**20  # multiply-adds: the calling thread does so many in less time than it takes to start threads
MOST_KEPT_NUMBERS = 2**16  # parameters, and inputs, of calls whose working memory is kept
DATA = 3  # position of the samples among the arguments of `predict_nets`
Task = TypeVar("Task")


class _Forward:
    """A forward pass for at most `most_samples` samples, with all memory that the kernel works on.

    `parameters` (n_nets, P) is that memory for the nets' parameters.
    """

    def __init__(
        self, plan: ExecutionPlan, parameters: np.ndarray, most_samples: int, scratch: structs.Scratch
    ) -> None:
        architecture, dtype, n_nets = plan.architecture, plan.vectors.F.dtype, len(parameters)
        self._tiles = TileArrays(plan.vectors, 0, n_nets, plan.rows_of_a_tile(-1))
        self._slopes, self._slope = self._tiles.hyper[:, optimizers.LEAKY_SLOPE], 0.0
        self._parameters = parameters
        self._outputs = np.empty((n_nets * most_samples, architecture.sizes[-1]), dtype)
        memory, data = data_memory(most_samples, architecture.sizes[0], dtype, targets=np.zeros(1, dtype))
        self._inputs = memory[:, : architecture.sizes[0]]
        kinds, F = plan.vectors.kinds, plan.vectors.F
        buffers, view = (Buffer(parameters), Buffer(self._outputs)), self._tiles.kernel_view
        self._arguments: list[Any] = [kinds, F, plan.net, data, view, plan.row_of, *buffers, scratch]
        self._code: Callable[..., None] | None = None

    def __call__(self, parameters: np.ndarray, slope: float | np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Outputs (n_nets, S, n_out) of the nets `parameters` (n_nets, P): a view of memory that the next call uses."""
        n_nets, n_samples = len(parameters), len(samples)
        if isinstance(slope, np.ndarray):
            self._tiles.fill(self._slopes, slope)
            self._slope = np.nan
        elif slope != self._slope:
            self._slopes[...] = self._slope = slope
        data = self._arguments[DATA]
        if data.n_samples != n_samples:
            self._arguments[DATA] = data._replace(n_samples=n_samples)
        if parameters is not self._parameters:
            self._parameters[...] = parameters
        self._inputs[:n_samples] = samples
        if self._code is None:
            self._code = code_for(predict_nets, tuple(self._arguments))
        self._code(*self._arguments)
        return self._outputs[: n_nets * n_samples].reshape(n_nets, n_samples, -1)


_KEPT: Kept[_Forward] = Kept()


REDUCED_BYTES = 2**25  # most bytes of the outputs of all nets for some samples, if one sample's are no more


def is_small(parameters: np.ndarray, n_samples: int) -> bool:
    """Whether the calling thread computes the outputs, whatever the number of threads."""
    return parameters.size * n_samples <= SMALL_CALL


def predict(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """Outputs (n, S, n_out) of the nets `parameters` (n, P) for inputs X (S, n_in)."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    if threads is not None:
        thread_count(threads)
    if is_small(parameters, len(samples)) and len(parameters):
        return _predict_here(architecture, parameters, samples)
    shape = (len(parameters), len(samples), architecture.sizes[-1])
    refuse_if_too_large(
        math.prod(shape) * parameters.dtype.itemsize,
        f"predictions of shape {shape}",
        "predict fewer samples at once, or the mean with reduce='mean'",
    )
    n_threads = thread_count(threads)
    outputs = np.empty(shape, parameters.dtype)
    plan = _plan_for(architecture, parameters, len(samples), n_threads)
    parts = [
        (nets, part)
        for part in _sample_parts(architecture, parameters, len(samples), n_threads)
        for nets in _net_blocks(parameters)
    ]

    def work(task: tuple[slice, slice], scratch: structs.Scratch, _report: Callable[[None], None]) -> None:
        nets, part = task
        outputs[nets, part] = _outputs_of(plan, architecture, parameters, nets, samples[part], scratch)

    _run(plan, parts, work, n_threads, np.zeros(2, np.int8))
    return outputs


def predict_mean(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """The mean of the outputs over the nets, (S, n_out), in float64."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    n_threads, n_nets = thread_count(threads), len(parameters)
    if not n_nets:
        raise ValueError("there are no nets to average: the selection is empty")
    total, halt = np.zeros((len(samples), architecture.sizes[-1])), np.zeros(2, np.int8)
    if is_small(parameters, len(samples)):
        outputs = _predict_here(architecture, parameters, samples)
        for nets in _net_blocks(parameters):
            total += _sum_over_nets(outputs[nets])
        return total / n_nets
    plan = _plan_for(architecture, parameters, len(samples), n_threads)

    def work(part: slice, scratch: structs.Scratch, _report: Callable[[None], None]) -> None:
        for nets in _net_blocks(parameters):
            if halt[0]:
                return
            total[part] += _sum_over_nets(_outputs_of(plan, architecture, parameters, nets, samples[part], scratch))

    _run(plan, _sample_parts(architecture, parameters, len(samples), n_threads), work, n_threads, halt)
    return total / n_nets


def predict_over_nets(
    architecture: Architecture,
    parameters: np.ndarray,
    X: Any,
    reduce: Callable[[np.ndarray], np.ndarray],
    threads: int | None = None,
) -> np.ndarray:
    """What `reduce` makes of the outputs (n, s, n_out) of all nets for some samples, (…, s, n_out), for all samples."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    if not len(parameters):
        raise ValueError("there are no nets to reduce: the selection is empty")
    each = len(parameters) * architecture.sizes[-1] * parameters.dtype.itemsize
    size = max(1, REDUCED_BYTES // each)
    parts = [samples[first : first + size] for first in range(0, max(1, len(samples)), size)]
    return np.concatenate([reduce(predict(architecture, parameters, part, threads)) for part in parts], axis=-2)


def _sum_over_nets(outputs: np.ndarray) -> np.ndarray:
    """Sum outputs (n, S, n_out) over the nets in their order, in float64.

    NumPy adds rows in order, but single numbers in pairs: then the bits would depend on the number of samples.
    """
    if outputs[0].size == 1:
        return np.add.accumulate(outputs, axis=0, dtype=np.float64)[-1]
    return outputs.sum(axis=0, dtype=np.float64)


def _predict_here(architecture: Architecture, parameters: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Outputs by the calling thread, in memory that is kept from call to call."""
    n_nets, n_samples, n_inputs = len(parameters), *samples.shape
    keeps = max(parameters.size, n_samples * n_inputs) <= MOST_KEPT_NUMBERS
    size = CHUNK_SAMPLES if n_samples <= CHUNK_SAMPLES and CHUNK_SAMPLES * n_inputs <= MOST_KEPT_NUMBERS else n_samples
    key = (architecture, parameters.dtype, n_nets, size)
    forward = _KEPT.take(key)
    if forward is None:
        plan = _plan_for(architecture, parameters, size, threads=1)
        forward = _Forward(plan, np.empty_like(parameters, order="C"), size, plan.new_scratch(min(size, CHUNK_SAMPLES)))
        if "predict" not in plan.compiled:
            compile_apart([lambda: forward(parameters, architecture.leaky_slope, samples)])
            plan.compiled.add("predict")
    outputs = forward(parameters, architecture.leaky_slope, samples).copy()
    if keeps:
        _KEPT.give(key, forward)
    return outputs


def _outputs_of(
    plan: ExecutionPlan,
    architecture: Architecture,
    parameters: np.ndarray,
    nets: slice,
    samples: np.ndarray,
    scratch: structs.Scratch,
) -> np.ndarray:
    own, slope = np.ascontiguousarray(parameters[nets]), architecture.leaky_slope
    own_slope = slope[nets] if isinstance(slope, np.ndarray) else slope
    return _Forward(plan, own, len(samples), scratch)(own, own_slope, samples)


def _plan_for(architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int) -> ExecutionPlan:
    dtype, size = parameters.dtype, max(1, n_samples)
    choice = choose_kernel(architecture, max(1, len(parameters)), size, size, dtype, threads)
    if choice.kernel != "units":
        choice = Choice("lanes", host_lanes(dtype))
    return ExecutionPlan.of(architecture, architecture.default_loss, dtype, choice)


def _net_blocks(parameters: np.ndarray) -> list[slice]:
    return [slice(first, first + NETS_A_BLOCK) for first in range(0, len(parameters), NETS_A_BLOCK)]


def _sample_parts(architecture: Architecture, parameters: np.ndarray, n_samples: int, threads: int) -> list[slice]:
    """Split the samples, so that a block's outputs fit into `BLOCK_BYTES` and every thread has a part."""
    nets = max(1, min(len(parameters), NETS_A_BLOCK))
    fitting = BLOCK_BYTES // (nets * architecture.sizes[-1] * parameters.dtype.itemsize)
    size = max(1, min(fitting, -(-n_samples // threads)))
    return [slice(first, first + size) for first in range(0, n_samples, size)]


def _run(
    plan: ExecutionPlan,
    tasks: list[Task],
    work: Callable[[Task, structs.Scratch, Callable[[None], None]], None],
    threads: int,
    halt: np.ndarray,
) -> None:
    threads = min(threads, max(1, len(tasks)))
    new_scratch = partial(plan.new_scratch, CHUNK_SAMPLES)
    with Stopping(signal.SIGINT) as stopping:
        workers.run(tasks, work, new_scratch, threads, halt, lambda _report: None, stopping)
    if stopping.received is not None:
        raise KeyboardInterrupt
