"""Statistics of the units of many nets: `_kernels/unit_statistics` on threads, block by block to bound memory."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fastmlp._engine import workers
from fastmlp._engine.cost_model import Choice
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.interrupts import Stopping
from fastmlp._engine.processors import thread_count
from fastmlp._engine.tile_arrays import CHUNK_SAMPLES, TileArrays, data_buffers, loss_scales
from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activations import BY_CODE, Activation
from fastmlp._kernels.tiles import copy_in
from fastmlp._kernels.unit_statistics import (
    GRADIENT,
    LOSS,
    N_OF_LAYER,
    N_OF_NET,
    N_OF_OUTPUT,
    RIGHT,
    SATURATED,
    SILENT,
    count_distinct,
    inspect_tiles,
)
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp.architecture import Architecture

# A leaky ReLU with a smaller slope passes less than a thousandth of a gradient, and counts as a ReLU
DEAD_SLOPE = 1e-3
NETS_A_BLOCK = 4096
FEW_NETS = 4  # up to this many nets, narrow vectors waste less


class UnitStatistics(NamedTuple):
    """Statistics of n nets of L layers."""

    loss: np.ndarray
    """The mean loss, each sample with weight 1, (n,)."""
    right: np.ndarray
    """The share of samples with every output on the right side, (n,); meaningless if targets are not classes."""
    silent: np.ndarray
    """Number of units of each layer that can die and are silent on every sample, (n, L) int64."""
    saturated: np.ndarray
    """Number of units of each hidden layer that are saturated on every sample; for the output layer, number of wrong,
    saturated outputs over all samples; (n, L) int64."""
    gradient: np.ndarray
    """Root mean square gradient of a sample's loss by the weighted sums of each layer, (n, L)."""
    low: np.ndarray
    """Each output's least value over the samples, (n, n_out)."""
    high: np.ndarray
    """Each output's greatest value, (n, n_out)."""
    distinct: np.ndarray
    """Number of different units in each hidden layer, (n, L − 1) int64."""
    output_loss: np.ndarray | None = None
    """The mean loss of each output, (n, n_out), or None."""


def inspected(
    architecture: Architecture,
    loss: str,
    parameters: np.ndarray,
    samples: np.ndarray,
    targets: np.ndarray,
    threads: int | None = None,
) -> UnitStatistics:
    """Statistics of the nets `parameters` (n, P), for checked samples and targets of their dtype."""
    dtype, n, layers, n_out = parameters.dtype, len(parameters), architecture.n_layers, architecture.sizes[-1]
    lanes = host_lanes(dtype, narrow=True) if n > FEW_NETS else VectorSpec(dtype, FEW_NETS)
    plan = ExecutionPlan.of(architecture, loss, dtype, Choice("lanes", lanes))
    F, data = plan.vectors.F, data_buffers(samples, targets, None)
    n_facts = N_OF_NET + layers * N_OF_LAYER + n_out * N_OF_OUTPUT
    facts = np.empty((n, n_facts), dtype)
    distinct = np.ones((n, max(0, layers - 1)), np.int64)
    sizes, slope = Buffer(np.array(architecture.sizes)), architecture.leaky_slope
    records = [BY_CODE[code] for code in architecture.activations]
    dies = np.array([0, *(record.dies for record in records)])
    inverse_slopes = np.array([1.0, *(1.0 / record.largest_derivative for record in records)], dtype)

    def work(nets: slice, scratch: structs.Scratch, _report: Callable[[None], None]) -> None:
        own = np.ascontiguousarray(parameters[nets])
        tiles = TileArrays(plan.vectors, 0, len(own), plan.rows_of_a_tile(-1))
        tiles.fill(tiles.hyper[:, optimizers.LEAKY_SLOPE], slope[nets] if isinstance(slope, np.ndarray) else slope)
        copy_in(F, tiles.kernel_view, Buffer(own), plan.row_of, plan.net.n_parameters, 0)
        found = aligned_zeros((tiles.count, n_facts, tiles.width), dtype)
        peaks = aligned_zeros((plan.net.n_unit_rows, tiles.width), dtype)
        view, room = tiles.kernel_view, (Buffer(found), Buffer(peaks))
        inspect_tiles(plan.vectors.kinds, F, plan.net, data, view, *room, scratch, Buffer(dies), Buffer(inverse_slopes))
        facts[nets] = found.transpose(0, 2, 1).reshape(-1, n_facts)[: len(own)]
        if layers > 1:
            counts = np.empty((len(own), layers - 1), np.int64)
            count_distinct(
                F, Buffer(own), sizes, int(architecture.bias), layers, len(own), plan.net.n_parameters, Buffer(counts)
            )
            distinct[nets] = counts

    blocks = [slice(first, first + NETS_A_BLOCK) for first in range(0, n, NETS_A_BLOCK)]
    several = min(thread_count(threads), max(1, len(blocks)))
    with Stopping(signal.SIGINT) as stopping:
        new_scratch = partial(plan.new_scratch, min(len(samples), CHUNK_SAMPLES))
        workers.run(blocks, work, new_scratch, several, np.zeros(2, np.int8), lambda _report: None, stopping)
    if stopping.received is not None:
        raise KeyboardInterrupt
    scale = dtype.type(loss_scales(plan.net.loss, n_out, False)[0])
    return _statistics(architecture, facts, distinct, scale)


def _statistics(
    architecture: Architecture, facts: np.ndarray, distinct: np.ndarray, loss_scale: np.floating
) -> UnitStatistics:
    """Split the kernel's rows (n, n_facts) into statistics."""
    n, layers, n_out = len(facts), architecture.n_layers, architecture.sizes[-1]
    by_layer = facts[:, N_OF_NET : N_OF_NET + layers * N_OF_LAYER].reshape(n, layers, N_OF_LAYER)
    by_output = facts[:, N_OF_NET + layers * N_OF_LAYER :].reshape(n, n_out, N_OF_OUTPUT)
    with np.errstate(invalid="ignore"):
        silent, saturated = (np.nan_to_num(by_layer[:, :, k]).astype(np.int64) for k in (SILENT, SATURATED))
    leaky = np.array([code == Activation.LEAKY_RELU for code in architecture.activations])
    silent[np.broadcast_to(np.asarray(architecture.leaky_slope) > DEAD_SLOPE, n)[:, None] & leaky] = 0
    return UnitStatistics(
        facts[:, LOSS] * loss_scale,
        facts[:, RIGHT],
        silent,
        saturated,
        np.sqrt(by_layer[:, :, GRADIENT]),
        by_output[:, :, 0],
        by_output[:, :, 1],
        distinct,
    )
