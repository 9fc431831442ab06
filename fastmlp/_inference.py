"""Outputs of trained nets, in blocks of nets, so that memory stays bounded."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp import _checks as checks
from fastmlp import _formulas as formulas
from fastmlp import _threads
from fastmlp._buffers import TileArrays, Vectors, data_buffers, net_buffers, row_order, scratch_buffers
from fastmlp._lanes import predict_tiles
from fastmlp._memory import refuse_if_too_large
from fastmlp._simd import Buffer
from fastmlp._tiles import copy_in
from fastmlp.architecture import Architecture

NETS_A_BLOCK = 1024  # a fixed number: the mean adds up the nets of a block first, and must not depend on the machine


def predict(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """Outputs (n, S, n_out) of the nets `parameters` (n, P) for inputs X (S, n_in)."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    shape = (len(parameters), len(samples), architecture.sizes[-1])
    refuse_if_too_large(
        int(np.prod(shape, dtype=np.int64)) * parameters.dtype.itemsize, f"predictions of shape {shape}",
        "predict fewer samples at once, or the mean with reduce='mean'",
    )  # fmt: skip
    outputs = np.empty(shape, parameters.dtype)

    def work(block: tuple[int, int], scratch: Any, _report: Any) -> None:
        outputs[slice(*block)] = _block(architecture, parameters, samples, block, scratch)

    _run(architecture, parameters, work, threads)
    return outputs


def predict_mean(architecture: Architecture, parameters: np.ndarray, X: Any, threads: int | None = None) -> np.ndarray:
    """The mean of the outputs over the nets, (S, n_out), in float64."""
    samples = checks.inputs(X, architecture, parameters.dtype)
    sums: dict[int, np.ndarray] = {}

    def work(block: tuple[int, int], scratch: Any, _report: Any) -> None:
        outputs = _block(architecture, parameters, samples, block, scratch)
        sums[block[0]] = outputs.sum(axis=0, dtype=np.float64)

    _run(architecture, parameters, work, threads)
    total = np.zeros((len(samples), architecture.sizes[-1]))
    for first in sorted(sums):
        total += sums[first]
    return total / len(parameters)


def _run(architecture: Architecture, parameters: np.ndarray, work: Any, threads: int | None) -> None:
    vectors, halt = Vectors.of(parameters.dtype), np.zeros(1, np.int8)
    nets = len(parameters)
    blocks = [(first, min(nets, first + NETS_A_BLOCK)) for first in range(0, nets, NETS_A_BLOCK)]
    n_threads = min(_threads.thread_count(threads), len(blocks))
    interrupted, _ = _threads.run(
        blocks, work, lambda: scratch_buffers(architecture, vectors), n_threads, halt, lambda _report: None
    )
    if interrupted:
        raise KeyboardInterrupt


def _block(
    architecture: Architecture, parameters: np.ndarray, samples: np.ndarray, block: tuple[int, int], scratch: Any
) -> np.ndarray:
    """Outputs of the nets of one block."""
    vectors = Vectors.of(parameters.dtype)
    net = net_buffers(architecture, architecture.default_loss)
    tiles = TileArrays(vectors, 0, block[1] - block[0], net.n_parameters)
    slope = architecture.leaky_slope
    tiles.fill(tiles.hyper[:, formulas.LEAKY_SLOPE], slope[slice(*block)] if isinstance(slope, np.ndarray) else slope)
    own = np.ascontiguousarray(parameters[slice(*block)])
    row_of = Buffer(row_order(architecture))
    copy_in(vectors.F, tiles.kernel_view, Buffer(own), row_of, net.n_parameters, 0)
    outputs = np.empty((len(own), len(samples), architecture.sizes[-1]), parameters.dtype)
    none = np.zeros((len(samples), architecture.sizes[-1]), parameters.dtype)
    data = data_buffers(samples, none, None, vectors.block)
    predict_tiles(vectors.Blk, vectors.F, net, data, tiles.kernel_view, Buffer(outputs), scratch)
    return outputs
