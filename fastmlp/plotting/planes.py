"""The plane of two inputs: a grid of points, and the nets' outputs there."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine.trained_nets import TrainedNets

GRID = 200  # grid points along each axis
MARGIN = 0.25  # margin around the samples, relative to their extent


def plane(samples: np.ndarray, side: int = GRID) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two axes and all points of a plane around the samples."""
    low, high = samples.min(axis=0), samples.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    first, second = (np.linspace(low[k] - room[k], high[k] + room[k], side) for k in range(2))
    return first, second, np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)


def checked_plane(nets: TrainedNets, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The samples (S, 2) and their classes (S,)."""
    architecture = nets.architecture
    if architecture.sizes[0] != 2 or architecture.sizes[-1] > 2:
        raise ValueError(
            f"a plane needs nets of 2 inputs and one class against another, these are {architecture.sizes}"
        )
    samples = checks.inputs(X, architecture, np.dtype(np.float64))
    classes = checks.real_array("y", y)
    if classes.ndim == 2:
        classes = classes[:, -1]
    if len(classes) != len(samples):
        raise ValueError(f"y has {len(classes)} samples, X has {len(samples)}: both need the same number")
    return samples, classes


def outputs_over(nets: TrainedNets, points: np.ndarray, which: int | str) -> tuple[np.ndarray, str]:
    """Outputs at points of the plane (of one net, the mean of all, or their spread), and a title."""
    sizes = "-".join(map(str, nets.architecture.sizes))
    if not isinstance(which, str):
        number = checks.whole_number("which", which, 0, len(nets) - 1)
        net = nets[number]
        return net.predict(points)[:, -1].astype(float), f"net {number} of {sizes}, loss {net.loss:.4f}"
    choose("which", which, {"mean": None, "spread": None})
    mean = nets.predict(points, reduce="mean")[:, -1]
    if which == "mean":
        return mean, f"mean of {len(nets):,} nets {sizes}"
    squares = np.zeros(len(points))
    block = max(1, 2**24 // len(points))
    for first in range(0, len(nets), block):
        outputs = nets[first : first + block].predict(points)[:, :, -1]
        squares += ((outputs - mean) ** 2).sum(axis=0, dtype=np.float64)
    return np.sqrt(squares / len(nets)), f"spread of {len(nets):,} nets {sizes}"
