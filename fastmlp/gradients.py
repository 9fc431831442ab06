"""Losses and gradients of a batch of nets, for optimizers, checks and audits outside the library."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp.architecture import Architecture
from fastmlp.runs import Runs
from fastmlp.training import run
from fastmlp.training.prepare import planned


class LossAndGradients(NamedTuple):
    """What `loss_and_gradients` returns, for n nets."""

    loss: np.ndarray
    """The mean loss of each net, (n,)."""
    weight_gradients: list[np.ndarray]
    """Its derivatives by each layer's weights, (n, in, out)."""
    bias_gradients: list[np.ndarray]
    """Its derivatives by each layer's biases, (n, out); empty for nets without."""


def loss_and_gradients(
    architecture: Architecture,
    weights: Any,
    biases: Any,
    X: Any,
    y: Any,
    *,
    loss: str | None = None,
    sample_weight: Any = None,
    dtype: Any = "float64",
    threads: int | None = None,
) -> LossAndGradients:
    """The mean loss over all samples, and its gradient by every weight and bias, for each of n nets.

    Parameters
    ----------
    architecture : Architecture
    weights : list of array_like of shape (n, in, out)
        One array a layer.
    biases : list of array_like of shape (n, out)
        One array a layer; None or an empty list for nets without.
    X, y, loss, sample_weight, threads
        As for `train`.
    dtype : {"float64", "float32"}, default "float64"
        What the nets compute in.

    Returns
    -------
    LossAndGradients

    Examples
    --------
    >>> import fastmlp
    >>> arch = fastmlp.Architecture((2, 1))
    >>> result = fastmlp.loss_and_gradients(arch, [[[[0.0], [0.0]]]], [[[0.0]]], [[1.0, 2.0]], [1])
    >>> result.loss.round(4).tolist(), result.weight_gradients[0].ravel().tolist()
    ([0.6931], [-0.5, -1.0])
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    parameters = checks.parameters(weights, biases, architecture, checks.float_dtype(dtype))
    job, runs = planned(
        architecture=architecture, X=X, y=y, n_nets=len(parameters), seed=0, optimizer="sgd", epochs=1, loss=loss,
        init=parameters, batch_size=None, shuffle=False, l2=0.0, sample_weight=sample_weight, target_loss=None,
        target_accuracy=None, patience=None, tol=0.0, record_every=1, net_ids=None, dtype=dtype, threads=threads,
        gradients_only=True,
    )  # fmt: skip
    assert job.gradients is not None
    assert runs.history is not None
    job.compile()
    if run(job, runs, threads):
        raise KeyboardInterrupt
    gradients = Runs(architecture, job.gradients, runs.loss, runs.accuracy, runs.epochs, runs.status, runs.net_ids, 0)
    return LossAndGradients(runs.history[:, 0], gradients.weights, gradients.biases)
