"""Scores of many nets on samples: one value for each net, from blocks of outputs that are never held all at once.

Definitions are those of `sklearn.metrics`, of which the names are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp import _own_samples as own_samples
from fastmlp._check_values import choose
from fastmlp._engine.predict import predict
from fastmlp._engine.trained_nets import Train, TrainedNets
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import LOSSES
from fastmlp.architecture import Architecture
from fastmlp.settings import NetSelection, TrainSettings

COPIED_BYTES = 2**25  # of parameters
BLOCK_BYTES = 2**23  # most bytes of the outputs of a block of nets in float64, if one net's are no more


class MissingClassError(ValueError):
    """A score needs samples of every class."""


class Samples(NamedTuple):
    """Checked targets, their weights, and what the outputs mean."""

    targets: np.ndarray
    """(S, n_out) in float64, classes one-hot."""
    weights: np.ndarray
    """(S,) in float64, with the sum 1."""
    softmax: bool
    are_classes: bool

    @property
    def labels(self) -> np.ndarray:
        """The class of each sample, for one column of classes."""
        return self.targets.argmax(axis=1) if self.softmax else self.targets[:, 0].astype(np.int64)


# Each takes the outputs of some nets, (n, S, n_out) in float64, and gives (n,).
Metric = Callable[[np.ndarray, Samples], np.ndarray]


def _mean(values: np.ndarray, samples: Samples) -> np.ndarray:
    """The weighted mean over the samples of values (n, S)."""
    return values @ samples.weights


def _right(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    """Whether each sample has the right class, (n, S); an output of exactly 1/2 stands for none, as in training."""
    if samples.softmax:
        return np.asarray(outputs.argmax(axis=2) == samples.labels)
    return np.all((outputs - 0.5) * (samples.targets - 0.5) > 0, axis=2)


def _accuracy(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    return _mean(_right(outputs, samples), samples)


def _balanced_accuracy(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    right = _right(outputs, samples)
    recalls = []
    for label in np.unique(samples.labels):
        own = np.where(samples.labels == label, samples.weights, 0)
        if own.sum():
            recalls.append(right @ (own / own.sum()))
    return np.mean(recalls, axis=0)


def _area(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve of scores (n, S): the share of pairs in the right order, ties counted half."""
    order = np.argsort(scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    above = np.where(positive, weights, 0.0)[order]
    below = np.where(positive, 0.0, weights)[order]
    passed = np.cumsum(below, axis=1)
    is_first = np.ones(ranked.shape, bool)
    is_first[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    places = np.arange(ranked.shape[1])
    first = np.maximum.accumulate(np.where(is_first, places, 0), axis=1)  # of the scores that tie with each
    is_last = np.ones(ranked.shape, bool)
    is_last[:, :-1] = is_first[:, 1:]
    last = np.minimum.accumulate(np.where(is_last, places, ranked.shape[1])[:, ::-1], axis=1)[:, ::-1]
    before = np.take_along_axis(passed - below, first, axis=1)
    through = np.take_along_axis(passed, last, axis=1)
    total = weights[positive].sum() * weights[~positive].sum()
    return np.einsum("ns,ns->n", above, (before + through) / 2) / total


def _roc_auc(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    n_outputs = outputs.shape[2]
    columns = range(n_outputs) if n_outputs != 2 or not samples.softmax else (1,)
    areas = []
    for k in columns:
        positive = samples.targets[:, k] == 1
        for some, what in ((positive, "in"), (~positive, "outside")):
            if not samples.weights[some].sum():
                raise MissingClassError(
                    f"metric 'roc_auc': there are no samples {what} class {k if n_outputs > 1 else 1}"
                )
        areas.append(_area(outputs[:, :, k], positive, samples.weights))
    return np.mean(areas, axis=0)


def _squared_error(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    """(n, n_out)"""
    return np.einsum("nsk,s->nk", (outputs - samples.targets) ** 2, samples.weights)


def _mean_squared_error(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    return _squared_error(outputs, samples).mean(axis=1)


def _root_mean_squared_error(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    return np.sqrt(_squared_error(outputs, samples)).mean(axis=1)


def _mean_absolute_error(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    return np.einsum("nsk,s->nk", np.abs(outputs - samples.targets), samples.weights).mean(axis=1)


def _r2(outputs: np.ndarray, samples: Samples) -> np.ndarray:
    """NaN for one sample, as r2_score has it; for targets without any spread 1 for no error, and else 0."""
    counted = samples.targets[samples.weights > 0]
    if len(counted) < 2:
        return np.full(len(outputs), np.nan)
    spread = counted.max(axis=0) > counted.min(axis=0)
    total = samples.weights @ (samples.targets - samples.weights @ samples.targets) ** 2
    residual = _squared_error(outputs, samples)
    scores = 1 - residual / np.where(spread, total, 1.0)
    return np.where(spread, scores, (residual == 0).astype(np.float64)).mean(axis=1)


OF_CLASSES: dict[str, Metric] = {"accuracy": _accuracy, "balanced_accuracy": _balanced_accuracy, "roc_auc": _roc_auc}
OF_NUMBERS: dict[str, Metric] = {
    "r2": _r2,
    "mean_absolute_error": _mean_absolute_error,
    "mean_squared_error": _mean_squared_error,
    "root_mean_squared_error": _root_mean_squared_error,
}
LOSS = "loss"
METRICS = (LOSS, *OF_CLASSES, *OF_NUMBERS)
LOWER_IS_BETTER = (LOSS, "mean_absolute_error", "mean_squared_error", "root_mean_squared_error")


def evaluate(
    runs: TrainedNets,
    X: Any,
    y: Any,
    sample_weight: Any,
    metrics: Any,
    train: Train,
    threads: int | None,
    rows: Any = None,
    rows_of: Any = None,
) -> dict[str, np.ndarray]:
    """The scores of `Runs.evaluate`; `train` computes the loss, in a call without epochs."""
    arch, dtype = runs.architecture, runs.parameters.dtype
    call = TrainSettings(
        arch, loss=loss_name(runs), epochs=0, dtype=dtype, sample_weight=sample_weight, rows=rows, rows_of=rows_of
    )
    if own_samples.is_by_net(call, X, y):
        return _evaluate_by_net(runs, X, y, call, metrics, train, threads)
    inputs = checks.inputs(X, arch, dtype)
    samples = _samples(arch, loss_name(runs), y, len(inputs), sample_weight)
    asked = named_metrics(metrics, samples)
    found = {name: np.full(len(runs), np.nan) for name in asked}
    if LOSS in asked and asked[LOSS] is None:
        _put_losses(runs, X, y, call, found[LOSS], train, threads)
    if not any(asked.values()):
        return found
    given = np.asarray(y), sample_weight
    size = max(1, BLOCK_BYTES // max(1, 8 * samples.targets.size))
    for first in range(0, len(runs), size):
        nets = slice(first, first + size)
        outputs = predict(_of_nets(arch, nets), runs.parameters[nets], inputs, threads=threads)
        for name, scores in _scores(outputs, samples, asked, given).items():
            found[name][nets] = scores
    return found


def _evaluate_by_net(
    runs: TrainedNets, X: Any, y: Any, call: TrainSettings, metrics: Any, train: Train, threads: int | None
) -> dict[str, np.ndarray]:
    """`evaluate` where nets have samples of their own: set of samples by set of samples."""
    arch, softmax = runs.architecture, runs.architecture.activations[-1] == Activation.SOFTMAX
    part = own_samples.training_part(call.changed(dtype=np.dtype(np.float64)), X, y, len(runs))

    def samples_of(net: int) -> Samples:
        targets, weights = part.targets_of(net), part.weights_of(net)
        each = np.ones(len(targets)) if weights is None else weights
        return Samples(targets, each / each.sum(), softmax, are_classes)

    are_classes = checks.counts_accuracy(part.targets)
    asked = named_metrics(metrics, Samples(part.targets[:1], np.ones(1), softmax, are_classes))
    found = {name: np.full(len(runs), np.nan) for name in asked}
    if LOSS in asked and asked[LOSS] is None:
        _put_losses(runs, X, y, call, found[LOSS], train, threads)
    if not any(asked.values()):
        return found
    first, which = part.first_of_each()
    sets = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    for net, members in zip(first.tolist(), sets, strict=True):
        samples = samples_of(net)
        targets = samples.labels if softmax and are_classes else samples.targets
        given = targets[:, 0] if targets.ndim == 2 and targets.shape[1] == 1 else targets, part.weights_of(net)
        inputs = part.inputs_of(net).astype(runs.parameters.dtype)
        size = max(1, BLOCK_BYTES // max(1, 8 * samples.targets.size))
        for start in range(0, len(members), size):
            nets = members[start : start + size]
            outputs = predict(_of_nets(arch, nets), runs.parameters[nets], inputs, threads=threads)
            for name, metric in asked.items():
                try:
                    scores = _scores(outputs, samples, {name: metric}, given)
                except MissingClassError:
                    continue
                if name in scores:
                    found[name][nets] = scores[name]
    return found


def scores_of_outputs(
    architecture: Architecture, loss: str, outputs: np.ndarray, y: Any, sample_weight: Any, metrics: Any
) -> dict[str, float]:
    """The scores of outputs (S, n_out), such as means over nets; all metrics but the loss."""
    samples = _samples(architecture, loss, y, len(outputs), sample_weight)
    found = _scores(outputs[None], samples, named_metrics(metrics, samples), (np.asarray(y), sample_weight))
    return {name: float(scores[0]) for name, scores in found.items()}


def _scores(
    outputs: np.ndarray, samples: Samples, asked: dict[str, Metric | OfOneNet | None], given: tuple[np.ndarray, Any]
) -> dict[str, np.ndarray]:
    """The scores of some nets' outputs (n, S, n_out); `given` are y and the weights for the user's functions."""
    whole, outputs = np.isfinite(outputs).all(axis=(1, 2)), outputs.astype(np.float64)
    found = {}
    for name, metric in asked.items():
        if metric is None:
            continue
        if isinstance(metric, OfOneNet):
            each = [metric.score(one, *given) if ok else np.nan for one, ok in zip(outputs, whole, strict=True)]
            found[name] = np.array(each, np.float64)
        else:
            with np.errstate(invalid="ignore", over="ignore"):  # of outputs that are not finite, or huge
                found[name] = np.where(whole, metric(outputs, samples), np.nan)
    return found


def _put_losses(
    runs: TrainedNets, X: Any, y: Any, call: TrainSettings, losses: np.ndarray, train: Train, threads: int | None
) -> None:
    """The mean losses, with the bits that training has."""
    size = max(1, COPIED_BYTES // (runs.parameters.itemsize * runs.architecture.n_parameters))
    for first in range(0, len(runs), size):
        which = np.arange(first, min(first + size, len(runs)))
        nets = runs[which]
        own, own_X, own_y = own_samples.of_nets(call.of(which), X, y, which, len(runs))
        own = own.changed(architecture=nets.architecture)
        nets.state = None  # of the optimizer that they were trained with
        losses[which] = train(own, own_X, own_y, NetSelection(warm_start=nets), threads).loss


class OfOneNet(NamedTuple):
    """A function of the user's, from y and the outputs (S, n_out) of one net to a number."""

    function: Callable[..., float]

    def score(self, outputs: np.ndarray, y: np.ndarray, sample_weight: Any) -> float:
        """Its number; weights go to it as those of scikit-learn's functions."""
        weights = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)}
        return self.function(y, outputs, **weights)


def named_metrics(metrics: Any, samples: Samples) -> dict[str, Metric | OfOneNet | None]:
    """The metrics by their names; None for the loss. Refuses those that the targets do not allow."""
    if metrics is None:
        metrics = default_metrics(samples.are_classes)
    if isinstance(metrics, str) or callable(metrics):
        metrics = (metrics,)
    if not isinstance(metrics, Sequence) or not metrics:
        raise TypeError(f"metrics={metrics!r}: needs names such as 'accuracy', or functions of (y, outputs)")
    found: dict[str, Metric | OfOneNet | None] = {}
    for metric in metrics:
        name = getattr(metric, "__name__", repr(metric)) if callable(metric) else metric
        if name in found:
            raise ValueError(f"metrics has {name!r} twice: leave one out, or give your function another name")
        if callable(metric):
            found[name] = OfOneNet(metric)
            continue
        choose("metrics", metric, dict.fromkeys(METRICS))
        if metric in OF_CLASSES and not samples.are_classes:
            raise ValueError(f"metric {metric!r} is for classes, and y has other numbers than 0 and 1: use 'r2'")
        if metric == "balanced_accuracy" and not samples.softmax and samples.targets.shape[1] > 1:
            raise ValueError(
                "metric 'balanced_accuracy' is for one output or softmax; these nets have "
                f"{samples.targets.shape[1]} outputs of their own: use 'accuracy' or 'roc_auc'"
            )
        found[metric] = {**OF_CLASSES, **OF_NUMBERS}.get(metric)
    return found


def default_metrics(are_classes: bool) -> tuple[str, str]:
    """The loss, and the usual score."""
    return LOSS, "accuracy" if are_classes else "r2"


def _samples(architecture: Architecture, loss: str, y: Any, n_samples: int, sample_weight: Any) -> Samples:
    output, dtype = architecture.activations[-1], np.dtype(np.float64)
    targets = checks.targets(y, architecture, LOSSES[output][loss], n_samples, dtype)
    weights = checks.sample_weights(sample_weight, n_samples, 1, dtype)
    if weights is not None and weights.ndim == 2:
        raise ValueError(f"sample_weight has shape {weights.shape}; needs ({n_samples},), one a sample")
    each = np.ones(n_samples) if weights is None else weights
    return Samples(targets, each / each.sum(), output == Activation.SOFTMAX, checks.counts_accuracy(targets))


def loss_name(runs: TrainedNets) -> str:
    """The loss that nets were trained with."""
    return runs.settings.get("loss") or runs.architecture.default_loss


def _of_nets(architecture: Architecture, nets: slice | np.ndarray) -> Architecture:
    slope = architecture.leaky_slope
    return architecture.with_slope(slope[nets]) if isinstance(slope, np.ndarray) else architecture


Reduction = Callable[[np.ndarray], np.ndarray]
REDUCTIONS = ("std", "median", "quantile", "vote")


def reduction(name: str, q: Any, architecture: Architecture) -> Reduction:
    """The reduction of this name, of outputs (n, S, n_out) over the nets."""
    if name == "std":
        return lambda outputs: outputs.std(axis=0, dtype=np.float64)
    if name == "median":
        return lambda outputs: np.median(outputs.astype(np.float64), axis=0)
    if name == "quantile":
        if q is None:
            raise ValueError("reduce='quantile' needs quantiles: pass q, such as q=(0.05, 0.5, 0.95)")
        shares = checks.real_array("q", q).astype(np.float64)
        if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all() or not shares.size:
            raise ValueError(f"q={q!r}: needs numbers from 0 to 1")
        return lambda outputs: np.quantile(outputs.astype(np.float64), shares, axis=0)
    output = architecture.activations[-1]
    if output not in (Activation.SOFTMAX, Activation.SIGMOID):
        raise ValueError(f"reduce='vote' is for classes, and the output is {architecture.output!r}: use 'mean'")
    classes = np.arange(architecture.sizes[-1])

    def vote(outputs: np.ndarray) -> np.ndarray:
        chosen = outputs > 0.5
        if output == Activation.SOFTMAX:
            chosen = outputs.argmax(axis=2)[:, :, None] == classes
        return np.where(np.isfinite(outputs).all(axis=0), chosen.mean(axis=0), np.nan)

    return vote
