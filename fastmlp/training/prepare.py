"""Check settings and data, and lay out the job and its empty results."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp import _own_samples as own_samples
from fastmlp._check_values import choose
from fastmlp._engine.early_stopping import SCORES, spread_of
from fastmlp._engine.job import Beginning, Job, OwnSamples
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._engine.optimizer_state import for_optimizer
from fastmlp._engine.processors import thread_count
from fastmlp._engine.tile_arrays import data_buffers
from fastmlp._kernels import structs
from fastmlp._kernels.formulas.losses import Loss
from fastmlp._kernels.tiles import draw_samples
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp._version import BITS_VERSION
from fastmlp.estimation import results_bytes
from fastmlp.runs import Runs
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.layout import HeldOut, JobOptions, Samples, laid_out, n_records

MAX_SAMPLES_SINGLE = 2**24


def prepare_job(
    settings: TrainSettings,
    X: Any,
    y: Any,
    nets: NetSelection,
    *,
    kernel: Any = None,
    threads: Any = None,
    options: JobOptions = JobOptions(),  # noqa: B008
    parts: tuple[own_samples.Part, own_samples.Part | None] | None = None,
) -> tuple[Job, Runs]:
    """Check everything, and lay out the job, with checked settings, and its empty results.

    `parts`, in place of X and y, are samples of each net's own that are checked already.
    """
    settings = settings.validated()
    begin = _beginning(settings, nets, options, own_samples.implied_nets(settings, X, y))
    settings = settings.validated_for(len(begin.net_ids))
    choose("validation_score", settings.validation_score, SCORES)
    if parts is None and own_samples.is_by_net(settings, X, y):
        parts = own_samples.parts_of(settings, X, y, len(begin.net_ids))
    if parts is not None:
        samples, held_out = _samples_by_net(settings, *parts, begin)
    else:
        samples = _samples(settings, X, y, begin)
        held_out = None if settings.validation is None else _held_out(settings)
    return laid_out(settings, begin, samples, held_out, options, kernel, thread_count(threads))


def _beginning(settings: TrainSettings, nets: NetSelection, options: JobOptions, implied_nets: int | None) -> Beginning:
    """The nets' numbers and initial weights; raises MemoryError if the results do not fit into memory."""
    architecture = settings.architecture
    seed, net_ids, n_nets = checks.whole_number("seed", nets.seed, 0, 2**64 - 1), nets.net_ids, nets.n_nets
    initial, state, first_epoch, earlier = options.parameters, None, options.first_epoch, None
    if nets.warm_start is not None:
        warm = _continued(nets, seed, settings, begins_otherwise=initial is not None)
        seed, net_ids, initial, state, earlier = warm.seed, warm.net_ids, warm.parameters, warm.state, warm.epochs
        if state is not None:
            first_epoch = state.epoch
            state = for_optimizer(state, settings.optimizer)
    elif initial is None and isinstance(settings.init, tuple):
        initial = checks.parameters(*settings.init, architecture, settings.dtype)
    n_given = len(initial) if initial is not None else implied_nets or 1
    count = checks.net_count(net_ids, n_nets, n_given)
    _refuse_what_takes_too_much(settings, count, options)
    numbers = checks.net_numbers(net_ids, n_nets, count)
    if initial is not None and n_given != len(numbers):
        raise ValueError(
            f"init holds {n_given} nets, but n_nets or net_ids ask for {len(numbers)}: both need the same number"
        )
    before = BITS_VERSION if nets.warm_start is None else nets.warm_start.bits_version
    version = BITS_VERSION if before == BITS_VERSION else None
    return Beginning(numbers, seed, initial, state, first_epoch, earlier, version)


def _refuse_what_takes_too_much(settings: TrainSettings, n_nets: int, options: JobOptions) -> None:
    records = n_records(settings, options.sklearn)
    needed = results_bytes(
        settings.architecture,
        n_nets,
        settings.optimizer,
        settings.dtype,
        n_records=0 if options.sklearn else records,
        validation=settings.validation is not None or settings.validation_rows is not None,
        restore_best=settings.restore_best,
        keeps_state=settings.keep_state or options.resumable,
        gradients=options.gradients_only,
    )
    refuse_if_too_large(
        needed,
        f"the results of {n_nets:,} nets with {settings.architecture.n_parameters:,} parameters"
        + (f" and {records:,} recorded losses" if records else ""),
        "train fewer nets at once, in shards of net_ids" + (", or record less often" if records else ""),
    )


def _continued(nets: NetSelection, seed: int, settings: TrainSettings, begins_otherwise: bool) -> Runs:
    """Check that the nets of `warm_start` fit the settings."""
    runs, dtype = nets.warm_start, settings.dtype
    if not isinstance(runs, Runs):
        raise TypeError(f"warm_start={runs!r}: needs the Runs of an earlier call of train")
    if not runs.architecture.has_layers_of(settings.architecture):
        raise ValueError(
            f"warm_start holds nets of {runs.architecture}; these are of {settings.architecture}: pass theirs"
        )
    if nets.net_ids is not None or (nets.n_nets is not None and nets.n_nets != len(runs)):
        raise ValueError(f"warm_start determines the nets, {len(runs)} of them: leave n_nets and net_ids out")
    if seed not in (0, runs.seed):
        raise ValueError(f"seed={seed}, but the nets of warm_start have the seed {runs.seed}: leave it out")
    kept = runs.parameters.dtype
    if kept != dtype:
        raise ValueError(f"warm_start holds {kept} nets, dtype={str(dtype)!r}: pass dtype={str(kept)!r}")
    if begins_otherwise or settings.begins_with_arrays or settings.init != "he_uniform":
        raise ValueError("warm_start holds the nets' weights: leave init out")
    return runs


def _samples(settings: TrainSettings, X: Any, y: Any, begin: Beginning) -> Samples:
    inputs = checks.inputs(X, settings.architecture, settings.dtype)
    n_samples, n_nets = len(inputs), len(begin.net_ids)
    if settings.dtype == np.float32 and n_samples > MAX_SAMPLES_SINGLE:
        raise ValueError(f"X has {n_samples:,} samples; float32 counts to {MAX_SAMPLES_SINGLE:,}: pass dtype='float64'")
    targets = checks.targets(y, settings.architecture, settings.loss_code, n_samples, settings.dtype)
    weights = checks.sample_weights(settings.sample_weight, n_samples, n_nets, settings.dtype)
    if settings.bootstrap:
        weights = _drawn_samples(weights, n_samples, begin.net_ids, np.uint64(begin.seed), settings.dtype)
    counts_accuracy = checks.counts_accuracy(targets)
    if settings.target_accuracy is not None and not counts_accuracy:
        raise ValueError(_NEEDS_CLASSES)
    greatest = 0.0 if weights is None else float(np.max(weights.sum(axis=-1, dtype=np.float64)))
    return Samples(inputs, targets, weights, counts_accuracy, greatest)


_NEEDS_CLASSES = "target_accuracy needs classes: a softmax output, or targets that are all 0 or 1"


def _samples_by_net(
    settings: TrainSettings, part: own_samples.Part, validation: own_samples.Part | None, begin: Beginning
) -> tuple[Samples, HeldOut | None]:
    """The training and validation data where nets have samples of their own."""
    held_out = None
    if settings.dtype == np.float32 and part.counts.max() > MAX_SAMPLES_SINGLE:
        raise ValueError(f"a net has {part.counts.max():,} samples; float32 counts to {MAX_SAMPLES_SINGLE:,}")
    if settings.bootstrap:
        part = _drawn_by_net(part, begin, settings.dtype)
    spans, classes = part.spans, _classes_by_net(part)
    if settings.target_accuracy is not None and not classes.all():
        raise ValueError(f"{_NEEDS_CLASSES}: those of net {begin.net_ids[np.argmin(classes)]} are not")
    if validation is not None:
        held_out = _held_out_by_net(settings, validation, structs.N_SPANS)
        spans = np.hstack([spans, validation.spans])
    elif settings.validation is not None:
        held_out = _held_out(settings)
    order = np.lexsort(spans.T[::-1])  # by their number first
    greatest = 0.0 if part.weights is None else _greatest_sum(part)
    own = OwnSamples(spans, order, classes)
    return Samples(part.inputs, part.targets, part.weights, bool(classes.any()), greatest, part.rows, own), held_out


def _classes_by_net(part: own_samples.Part) -> np.ndarray:
    """Whether each net's targets are classes, (n,)."""
    if checks.counts_accuracy(part.targets):
        return np.ones(len(part.spans), bool)
    first, which = part.first_of_each()
    return np.array([checks.counts_accuracy(part.targets_of(net)) for net in first.tolist()])[which]


def _greatest_sum(part: own_samples.Part) -> float:
    first, _ = part.first_of_each()
    return max(float(part.weights_of(net).sum(dtype=np.float64)) for net in first.tolist())  # type: ignore[union-attr]


def _drawn_by_net(part: own_samples.Part, begin: Beginning, dtype: np.dtype) -> own_samples.Part:
    """The part with the numbers of times that each net draws each of its samples, times the samples' weights."""
    counts, spans = part.counts, part.spans.copy()
    own_samples.refuse_weights(int(counts.sum()), len(counts), dtype)
    spans[:, structs.FIRST_WEIGHT] = np.cumsum([0, *counts[:-1]])
    drawn = np.empty(int(counts.sum()), dtype)
    for size in np.unique(counts).tolist():
        nets = np.flatnonzero(counts == size)
        weights = None
        if part.weights is not None:
            weights = np.array([part.weights_of(net) for net in nets.tolist()])
        numbers = np.ascontiguousarray(begin.net_ids[nets])
        of_size = _drawn_samples(weights, size, numbers, np.uint64(begin.seed), dtype)
        for net, own in zip(nets.tolist(), of_size, strict=True):
            begin_of_net = spans[net, structs.FIRST_WEIGHT]
            drawn[begin_of_net : begin_of_net + size] = own
    return part._replace(weights=drawn, spans=spans)


def _held_out_by_net(settings: TrainSettings, part: own_samples.Part, first_span: int) -> HeldOut:
    classes = _classes_by_net(part)
    _refuse_score(settings, bool(classes.all()))
    spread = np.zeros(settings.architecture.sizes[-1])
    if settings.validation_score == "r2":
        first, which = part.first_of_each()
        spread = np.array([spread_of(part.targets_of(net), part.weights_of(net)) for net in first.tolist()])[which]
    most = int(part.counts.max())
    data = data_buffers(
        part.inputs, part.targets, part.weights, rows=part.rows, most_samples=most, first_span=first_span
    )
    return HeldOut(data, spread, bool(classes.all()))


def _drawn_samples(
    weights: np.ndarray | None, n_samples: int, net_ids: np.ndarray, seed: np.uint64, dtype: np.dtype
) -> np.ndarray:
    """Sample weights (n, S): the number of times that each net draws each sample, times the sample's weight."""
    D, U = VectorSpec("float64", 8), VectorSpec("uint64", 8)
    refuse_if_too_large(
        len(net_ids) * n_samples * dtype.itemsize,
        f"the weights of {n_samples:,} samples for {len(net_ids):,} nets",
        "train fewer nets at once, in shards of net_ids",
    )
    counts = np.zeros((len(net_ids), n_samples), dtype)
    uniforms = aligned_zeros(2 * D.count, np.float64)
    draw_samples(D, U, Buffer(counts), Buffer(uniforms), n_samples, Buffer(net_ids), len(net_ids), seed)
    if weights is not None:
        counts *= weights
        without = ~counts.any(axis=1)
        if without.any():
            raise ValueError(
                f"net {net_ids[np.argmax(without)]} draws only samples whose sample_weight is 0: leave those out of X"
            )
    return counts


def _held_out(settings: TrainSettings) -> HeldOut:
    given, loss = settings.validation, settings.loss_code
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise TypeError("validation needs a pair (X, y), or (X, y, sample_weight)")
    try:
        inputs = checks.inputs(given[0], settings.architecture, settings.dtype)
        targets = checks.targets(given[1], settings.architecture, loss, len(inputs), settings.dtype)
    except (ValueError, TypeError) as error:
        raise type(error)(f"validation: {error}") from None
    weights = None
    if len(given) == 3 and given[2] is not None:
        shape = np.shape(given[2])
        if shape != (len(inputs),):
            raise ValueError(
                f"validation's sample_weight has shape {shape}; needs ({len(inputs)},), one number a sample: all nets "
                "are scored with the same weights"
            )
        weights = checks.sample_weights(given[2], len(inputs), 1, settings.dtype)
    classes = checks.counts_accuracy(targets)
    _refuse_score(settings, classes)
    return HeldOut(data_buffers(inputs, targets, weights), spread_of(targets, weights), classes)


def _refuse_score(settings: TrainSettings, classes: bool) -> None:
    score, loss = settings.validation_score, settings.loss_code
    if score == "accuracy" and not classes:
        raise ValueError("validation_score='accuracy' needs classes: a softmax output, or targets that are all 0 or 1")
    if score == "r2" and loss < Loss.MSE:
        raise ValueError("validation_score='r2' is for loss='mse' and 'poisson': use 'loss' or 'accuracy'")
