"""Allocate and fill what `_layout` names, from NumPy arrays that have been checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastmlp import _layout as layout
from fastmlp._formulas import LOSSES, N_HYPERPARAMETERS, Loss
from fastmlp._vectors import Buffer, Lanes, aligned_zeros, host_lanes

if TYPE_CHECKING:
    from fastmlp.architecture import Architecture


@dataclass(frozen=True)
class Vectors:
    """The kinds of vectors that the kernels of one call work with."""

    F: Lanes  # W numbers of the nets' dtype
    Blk: Lanes  # B · W of them
    D: Lanes  # W float64
    U: Lanes  # W uint64

    @classmethod
    def of(cls, dtype: np.dtype, samples: int = layout.BLOCK) -> Vectors:
        F = host_lanes(dtype)
        return cls(F, Lanes(dtype, F.count * samples), Lanes("float64", F.count), Lanes("uint64", F.count))

    @property
    def width(self) -> int:
        return self.F.count

    @property
    def block(self) -> int:
        return self.Blk.count // self.F.count


def net_buffers(architecture: Architecture, loss: str) -> layout.Net:
    """The architecture as the kernels read it."""
    sizes, weight_rows, bias_rows, unit_rows = np.array(architecture.sizes), [], [], [0, 0]
    row = 0
    for n_in, n_out in architecture.shapes:
        weight_rows.append(row)
        bias_rows.append(row + n_in * n_out)
        row += n_in * n_out + n_out * architecture.bias
        unit_rows.append(unit_rows[-1] + n_out)
    return layout.Net(
        sizes=Buffer(sizes),
        activations=Buffer(np.array([int(code) for code in architecture.activations])),
        weight_rows=Buffer(np.array(weight_rows)),
        bias_rows=Buffer(np.array(bias_rows)),
        unit_rows=Buffer(np.array(unit_rows[:-1])),
        n_layers=architecture.n_layers,
        n_parameters=row,
        bias=architecture.bias,
        loss=int(LOSSES[architecture.activations[-1]][loss]),
    )


def row_order(architecture: Architecture) -> np.ndarray:
    """For each parameter in the user's order (weights (in, out), then biases) its row in a tile ((out, in))."""
    rows, first = [], 0
    for n_in, n_out in architecture.shapes:
        rows.append(first + np.arange(n_in * n_out).reshape(n_out, n_in).T.ravel())
        first += n_in * n_out
        if architecture.bias:
            rows.append(first + np.arange(n_out))
            first += n_out
    return np.concatenate(rows)


def data_buffers(X: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, block: int) -> layout.Data:
    """The samples (S, n_in) and targets (S, n_out), of the nets' dtype; weights (S,), (n, S) or None."""
    weighting = layout.UNWEIGHTED if weights is None else (layout.BY_SAMPLE if weights.ndim == 1 else layout.BY_NET)
    return layout.Data(
        inputs=Buffer(X),
        targets=Buffer(targets),
        blocked_inputs=Buffer(_blocked(X, block)),
        blocked_targets=Buffer(_blocked(targets, block)),
        weights=Buffer(weights if weighting == layout.BY_SAMPLE else np.zeros(1, X.dtype)),
        n_samples=len(X),
        weighting=weighting,
    )


def _blocked(samples: np.ndarray, block: int) -> np.ndarray:
    """(S, n) → (⌈S / block⌉, n, block), the last block filled up with its last sample."""
    missing = -len(samples) % block
    filled = np.concatenate([samples, np.repeat(samples[-1:], missing, axis=0)]) if missing else samples
    return np.ascontiguousarray(filled.reshape(-1, block, samples.shape[1]).transpose(0, 2, 1))


def scratch_buffers(architecture: Architecture, vectors: Vectors) -> layout.Scratch:
    """One thread's working memory."""
    dtype, width, block = vectors.F.dtype, vectors.width, vectors.block
    units = sum(architecture.sizes[1:])
    return layout.Scratch(
        units=Buffer(aligned_zeros((units, block, width), dtype)),
        deltas=Buffer(aligned_zeros((units, block, width), dtype)),
        inputs=Buffer(aligned_zeros((architecture.sizes[0], block), dtype)),
        targets=Buffer(aligned_zeros((architecture.sizes[-1], block), dtype)),
        weights=Buffer(aligned_zeros((block, width), dtype)),
        lanes=Buffer(aligned_zeros((3, width), dtype)),
        corrections=Buffer(aligned_zeros((2, width), dtype)),
    )


class TileArrays:
    """Nets `first` to `stop` of a call, in tiles; `kernel_view` is what the kernels get."""

    def __init__(self, vectors: Vectors, first: int, stop: int, n_rows: int, n_samples_weighted: int = 0):
        width, dtype = vectors.width, vectors.F.dtype
        self.first, self.stop = first, stop
        self.count = -(-(stop - first) // width)
        self.width, self.n_rows = width, n_rows
        self.rows = aligned_zeros((self.count, n_rows, width), dtype)
        self.hyper = aligned_zeros((self.count, N_HYPERPARAMETERS, width), dtype)
        self.controls = aligned_zeros((self.count, layout.N_CONTROLS, width), dtype)
        self.powers = aligned_zeros((self.count, layout.N_POWERS, width), np.float64)
        self.sample_weights = aligned_zeros((self.count, n_samples_weighted, width), dtype)
        slots = np.arange(first, first + self.count * width).reshape(self.count, width)
        self.slots = np.where(slots < stop, slots, -1)
        self.controls[:, layout.ACTIVE] = self.slots >= 0
        self._buffers = [
            Buffer(array)
            for array in (self.rows, self.hyper, self.controls, self.powers, self.sample_weights, self.slots)
        ]

    @property
    def kernel_view(self) -> layout.Tiles:
        rows, hyper, controls, powers, sample_weights, slots = self._buffers
        return layout.Tiles(rows, hyper, controls, powers, sample_weights, slots, self.count, self.n_rows, self.width)

    def fill(self, row: np.ndarray, values: float | np.ndarray) -> None:
        """Write one value a net, or one for all, to a row (T, W) such as `hyper[:, k]`."""
        if not isinstance(values, np.ndarray):
            row[...] = values
        else:
            padded = np.resize(values[self.first : self.stop], row.size)
            row[...] = padded.reshape(row.shape)

    def fill_samples(self, weights: np.ndarray) -> None:
        """Write the sample weights (n, S) of these nets."""
        lanes = np.zeros((self.count * self.width, weights.shape[1]), weights.dtype)
        lanes[: self.stop - self.first] = weights[self.first : self.stop]
        self.sample_weights[...] = lanes.reshape(self.count, self.width, weights.shape[1]).transpose(0, 2, 1)

    @staticmethod
    def nbytes(nets: int, vectors: Vectors, n_rows: int, n_samples_weighted: int = 0) -> int:
        """Bytes that tiles of so many nets take."""
        rows = n_rows + N_HYPERPARAMETERS + layout.N_CONTROLS + n_samples_weighted
        tiles = -(-nets // vectors.width)
        return tiles * vectors.width * (rows * vectors.F.dtype.itemsize + 8 * (layout.N_POWERS + 1))


def loss_scales(loss: int, n_outputs: int) -> tuple[float, float]:
    """What a sample's summed loss, and its gradient, are multiplied with."""
    if loss == Loss.CROSS_ENTROPY:
        return 1.0, 1.0
    return 1.0 / n_outputs, (2.0 if loss == Loss.MSE else 1.0) / n_outputs
