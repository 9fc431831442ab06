"""Losses and gradients of a batch of nets, for other optimizers, checks and audits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.processors import thread_count
from fastmlp.architecture import Architecture
from fastmlp.optimizers import SGD
from fastmlp.runs import Runs
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job
from fastmlp.training.runner import Runner


class LossAndGradients(NamedTuple):
    """Losses and gradients of n nets.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=3, epochs=0)
    >>> found = fastmlp.loss_and_gradients(runs.architecture, runs.weights, runs.biases, X, y)
    >>> found.loss.shape, [gradient.shape for gradient in found.weight_gradients]
    ((3,), [(3, 2, 4), (3, 4, 1)])
    """

    loss: np.ndarray
    """The mean loss of each net, (n,)."""
    weight_gradients: list[np.ndarray]
    """Derivatives of the loss by each layer's weights, (n, in, out)."""
    bias_gradients: list[np.ndarray]
    """Derivatives of the loss by each layer's biases, (n, out); an empty list for nets without biases."""


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
    """Compute each net's mean loss over all samples, and its gradient by every weight and bias, for n nets.

    Parameters
    ----------
    architecture : Architecture
    weights : list of array_like of shape (n, in, out)
        One array a layer.
    biases : list of array_like of shape (n, out)
        One array a layer; None or an empty list for nets without biases.
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
    settings = TrainSettings(
        architecture,
        SGD(),
        epochs=1,
        loss=loss,
        shuffle=False,
        sample_weight=sample_weight,
        record_every=1,
        dtype=parameters.dtype,
    )
    options = JobOptions(parameters=parameters, gradients_only=True)
    job, runs = prepare_job(settings, X, y, NetSelection(len(parameters)), threads=threads, options=options)
    assert job.gradients is not None
    assert runs.history is not None
    runner = Runner(job, runs, thread_count(threads))
    runner.compile()
    if runner.run():
        raise KeyboardInterrupt
    gradients = Runs(architecture, job.gradients, runs.loss, runs.accuracy, runs.epochs, runs.status, runs.net_ids, 0)
    return LossAndGradients(runs.history[:, 0], gradients.weights, gradients.biases)
