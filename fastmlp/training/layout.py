"""Lay out a job and its empty results, from checked settings and data."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastmlp._check_values import choose
from fastmlp._engine import cost_model
from fastmlp._engine.cost_model import Choice, choose_kernels
from fastmlp._engine.early_stopping import Validation, curves
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.job import Beginning, Job, OwnSamples, Rest
from fastmlp._engine.optimizer_state import STATE_ARRAYS, OptimizerState, new_state
from fastmlp._engine.tile_arrays import data_buffers, loss_scales
from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.output_layer import MOST_WEIGHT
from fastmlp._kernels.tiles import InitSpec
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture
from fastmlp.initializers import INITIALIZERS, Initializer
from fastmlp.runs import Runs
from fastmlp.settings import MAX_EPOCHS, STOPPING_RULES, PerNet, TrainSettings, remembered


@dataclass(frozen=True)
class JobOptions:
    """Options of a job that only the library uses, in addition to the settings of `train`."""

    parameters: np.ndarray | None = None
    """Initial weights and biases, (n, P), in place of `init`."""
    gradients_only: bool = False
    """Whether to compute gradients without making a step."""
    sklearn: bool = False
    """Whether to follow scikit-learn's conventions: those of `TrainFlags.sklearn` in the kernels; for the squared
    error, half of it; and gradients summed over the outputs for the squared error and the binary loss."""
    watch_only: bool = False
    """Whether to only record validation scores: they neither stop a net nor choose its weights."""
    orders: Callable[[int, int], np.ndarray] | None = None
    """The function that gives the order of samples for a range of epochs of this call, (epochs, S) int32."""
    orders_by_net: tuple[list[Callable[[int, int], np.ndarray] | None], np.ndarray] | None = None
    """With samples of each net's own: several such functions, and which of them each net has, (n,)."""
    first_epoch: int = 0
    """The first epoch of a job that continues without `warm_start`."""
    resumable: bool = False
    """Whether the results always hold everything that the job can continue from."""


class Samples(NamedTuple):
    """The training data in the nets' dtype."""

    inputs: np.ndarray  # (S, n_in)
    targets: np.ndarray  # (S, n_out), classes one-hot
    weights: np.ndarray | None  # (S,) or (n, S); of samples of each net's own (M,)
    counts_accuracy: bool
    greatest_weight: float = 0.0  # the sum of the sample weights of a net
    rows: np.ndarray | None = None  # of samples of each net's own, as in `structs.Data`
    own: OwnSamples | None = None


class HeldOut(NamedTuple):
    """The validation data in the nets' dtype."""

    data: structs.Data
    spread: np.ndarray  # each output's, (n_out,), or of each net's own data (n, n_out)
    counts_accuracy: bool


def n_records(settings: TrainSettings, sklearn: bool) -> int:
    """Number of recorded losses of a net."""
    if settings.record_every is None:
        return 0
    every = min(settings.record_every, MAX_EPOCHS)
    return -(-settings.epochs // every) if sklearn else settings.epochs // every + 1


def laid_out(
    settings: TrainSettings,
    begin: Beginning,
    samples: Samples,
    held_out: HeldOut | None,
    options: JobOptions,
    kernel: Any,
    threads: int,
) -> tuple[Job, Runs]:
    """Lay out the job and its results before training."""
    n_out, own = settings.architecture.sizes[-1], samples.own
    n_samples = len(samples.inputs) if own is None else int(own.counts.max())
    validation = None if held_out is None else _validation(settings, held_out, begin, options)
    decides = validation is not None and validation.decides

    def flags_for(most_samples: int) -> structs.TrainFlags:
        return _flags(
            settings,
            most_samples,
            samples.counts_accuracy,
            are_moderate=samples.greatest_weight * n_out <= MOST_WEIGHT,
            decides=decides,
            continues=begin.state is not None,
            gradients_only=options.gradients_only,
            sklearn=options.sklearn,
            resumable=options.resumable,
            by_net=own is not None,
        )

    flags = flags_for(n_samples)
    plain = own is None and not (flags.scheduled or flags.sklearn or validation is not None or flags.dropping)

    def chosen(nets: int, typical_samples: int, of: structs.TrainFlags) -> tuple[Choice, cost_model.Rest | None]:
        batch, asked = min(of.batch_size, typical_samples), _kernel_asked_for(kernel, of)
        return choose_kernels(
            settings.architecture, nets, typical_samples, batch, settings.dtype, threads, settings.epochs, asked, plain
        )

    runs, final_state = _empty_results(settings, begin, validation, options)
    rest, stop = None, len(runs)
    if own is None:
        choice, other = chosen(len(runs), n_samples, flags)
        if other is not None:
            plan_of_rest = _plan(settings, other.choice, online=flags.batch_size == 1 and n_samples > 1)
            rest, stop = Rest(plan_of_rest, flags, n_samples), len(runs) - other.nets
    else:
        # nets whose samples are one batch are trained otherwise than those with minibatches
        counts, batch = own.counts[own.order], settings.batch_size or n_samples
        few = int(np.searchsorted(counts, batch, side="right"))
        if 0 < few < len(runs):
            choice, _ = chosen(len(runs) - few, int(counts[few:].mean()), flags)
            rest, stop = Rest(_plan(settings, choice, online=flags.batch_size == 1), flags, n_samples), few
            n_samples, counts = int(counts[few - 1]), counts[:few]
            flags = flags_for(n_samples)
        choice, _ = chosen(stop, int(counts.mean()), flags)
    plan = _plan(settings, choice, online=flags.batch_size == 1 and n_samples > 1)
    by_net = own is None and samples.weights is not None and samples.weights.ndim == 2
    fill = max(plan.fill, rest.plan.fill if rest else 1)
    spec_of = _init_spec if isinstance(settings.init, str) else _init_spec.__wrapped__
    init_spec = None if begin.parameters is not None else spec_of(settings.architecture, settings.init)
    job = Job(
        settings=settings,
        begin=_begin_in_results(begin, runs.parameters, final_state) if options.resumable else begin,
        init_spec=init_spec,
        data=data_buffers(samples.inputs, samples.targets, samples.weights, fill, samples.rows, n_samples),
        sample_weights=samples.weights if by_net else None,
        flags=flags,
        hyper=_hyperparameters(settings),
        stopping=_stopping_rows(settings, decides),
        plan=plan,
        stop=stop,
        parameters=runs.parameters,
        gradients=np.zeros_like(runs.parameters) if options.gradients_only else None,
        results=_result_buffers(runs),
        rest=rest,
        own=own,
        rate_factor=_rate_factor(settings, begin.first_epoch),
        order_source=options.orders,
        orders_by_net=options.orders_by_net,
        final_state=final_state,
        validation=validation,
        resumable=options.resumable,
    )
    return job, runs


def _begin_in_results(begin: Beginning, parameters: np.ndarray, final_state: OptimizerState | None) -> Beginning:
    """Put the initial state of a job into its results, so that it can continue from them at any time."""
    assert final_state is not None
    if begin.parameters is not None:
        parameters[...] = begin.parameters
    if begin.state is not None:
        for name in STATE_ARRAYS:
            getattr(final_state, name)[...] = getattr(begin.state, name)
    return begin._replace(parameters=parameters, state=final_state)


@remembered
def _flags(
    settings: TrainSettings,
    n_samples: int,
    counts_accuracy: bool,
    *,
    are_moderate: bool,
    decides: bool,
    continues: bool,
    gradients_only: bool,
    sklearn: bool,
    resumable: bool,
    by_net: bool,
) -> structs.TrainFlags:
    """`are_moderate`: whether a loss can overflow only if a weighted sum exceeds the kernels' limit (NEAR_OVERFLOW);
    `decides`: whether validation stops nets; `continues`: whether they begin with an optimizer's state.
    """
    optimizer, n_out = settings.optimizer, settings.architecture.sizes[-1]
    batch = n_samples if settings.batch_size is None else min(n_samples, settings.batch_size)
    # an array counts even if it is all 0: the losses that rules use must not depend on neighbours
    dropping = bool(np.ndim(settings.dropout) or settings.dropout) and not gradients_only
    patience = None if decides else settings.patience
    adaptive = isinstance(settings.schedule, str)
    rate = optimizer.settings["learning_rate"]
    loss_scale, delta_scale = loss_scales(settings.loss_code, n_out, sklearn)
    return structs.TrainFlags(
        method=int(Method.NONE if gradients_only else optimizer.method),
        batch_size=batch,
        full_batch=batch >= n_samples and not sklearn and not dropping,
        shuffle=bool(settings.shuffle) and batch < n_samples,
        order_by_net=settings.shuffle == "by_net" and batch < n_samples,
        dropping=dropping,
        record_every=0 if settings.record_every is None else min(settings.record_every, MAX_EPOCHS),
        rules=any(getattr(settings, name) is not None for name in STOPPING_RULES if name != "patience" or not decides),
        waits=patience is not None,
        bound_will_do=settings.target_accuracy is None and patience is None and are_moderate,
        has_l2=_any(settings.l2),
        has_momentum=_any(getattr(optimizer, "momentum", 0.0)),
        has_decay=_any(1.0 - rate * getattr(optimizer, "weight_decay", 0.0) != 1.0),
        nesterov=bool(getattr(optimizer, "nesterov", False)),
        same_powers=not (settings.keep_state or resumable)
        and not continues
        and not by_net
        and all(np.ndim(getattr(optimizer, name, 0.0)) == 0 for name in ("beta1", "beta2")),
        loss_scale=loss_scale,
        delta_scale=delta_scale,
        counts_accuracy=counts_accuracy,
        scheduled=settings.schedule is not None,
        adaptive=adaptive and not decides,
        sklearn=sklearn,
        loss_slack=4 * (n_out + 4) * float(np.finfo(settings.dtype).eps),
    )


def _any(values: PerNet) -> bool:
    return bool(values.any()) if isinstance(values, np.ndarray) else bool(values)


def _kernel_asked_for(kernel: Any, flags: structs.TrainFlags) -> str | None:
    if kernel is not None:
        choose("kernel", kernel, {"lanes": "lanes", "units": "units"})
    if not flags.order_by_net:
        return kernel
    if kernel == "lanes":
        raise ValueError("shuffle='by_net' needs one net at a time: leave kernel out, or pass kernel='units'")
    return "units"


@remembered
def _hyperparameters(settings: TrainSettings) -> dict[int, PerNet]:
    """The rows of hyperparameters for the kernels."""
    rows = settings.optimizer.rows()
    kept = 1.0 - settings.dropout
    return rows | {
        optimizers.L2: settings.l2,
        optimizers.GIVEN_L2: settings.l2,
        optimizers.GIVEN_RATE: rows[optimizers.LEARNING_RATE],
        optimizers.KEPT: kept,
        optimizers.DROPOUT_SCALE: 1.0 / kept,
        optimizers.LEAKY_SLOPE: settings.architecture.leaky_slope,
    }


@remembered
def _stopping_rows(settings: TrainSettings, decides: bool) -> dict[int, PerNet]:
    """The rows of the stopping rules' limits; limits of unused rules are never reached.

    Where validation `decides`, its patience replaces that on the training loss.
    """
    limits: dict[int, PerNet] = {structs.BEST_LOSS: np.inf, structs.TOLERANCE: settings.tol}
    for name, rule in STOPPING_RULES.items():
        limit = getattr(settings, name)
        limits[rule.row] = rule.never if limit is None else limit
    if decides:
        limits[structs.PATIENCE] = np.inf
    return limits


def _rate_factor(settings: TrainSettings, first_epoch: int) -> Callable[[int], float] | None:
    """The function that gives the learning rate's factor in an epoch."""
    schedule = settings.schedule
    if schedule is None or isinstance(schedule, str):
        return None
    if callable(schedule):
        return schedule
    return lambda epoch: float(schedule[epoch - first_epoch])


def _validation(settings: TrainSettings, held_out: HeldOut, begin: Beginning, options: JobOptions) -> Validation:
    return Validation(
        *held_out,
        settings,
        len(begin.net_ids),
        n_records(settings, options.sklearn),
        watches=options.watch_only,
        sklearn=options.sklearn,
    )


def _plan(settings: TrainSettings, choice: Choice, online: bool) -> ExecutionPlan:
    return ExecutionPlan.of(settings.architecture, settings.loss_name, settings.dtype, choice, online)


def _empty_results(
    settings: TrainSettings, begin: Beginning, validation: Validation | None, options: JobOptions
) -> tuple[Runs, OptimizerState | None]:
    """The results, with the optimizer's final state if wanted."""
    nets, records = len(begin.net_ids), n_records(settings, options.sklearn)
    runs = Runs(
        architecture=settings.architecture,
        parameters=np.zeros((nets, settings.architecture.n_parameters), settings.dtype),
        loss=np.full(nets, np.nan, settings.dtype),
        accuracy=np.full(nets, np.nan, settings.dtype),
        epochs=np.full(nets, begin.first_epoch, np.int64),
        status=np.full(nets, structs.INTERRUPTED, np.int8),
        net_ids=begin.net_ids,
        seed=begin.seed,
        history=curves(nets, records, settings.dtype, options.sklearn) if records else None,
        bits_version=begin.bits_version,
    )
    final_state = None
    if settings.keep_state or options.resumable:
        state = new_state(settings.optimizer, nets, settings.architecture.n_parameters, settings.dtype)
        final_state = state._replace(epoch=begin.first_epoch + settings.epochs)
        runs.state = final_state if settings.keep_state else None
    if validation is not None:
        runs.validation_score, runs.best_epoch = validation.best_score, validation.best_epoch
        if records:
            runs.validation_history, runs.validation_losses = validation.history, validation.losses
    return runs, final_state


def _result_buffers(runs: Runs) -> structs.Results:
    """Allocate the arrays that the kernels write results to."""
    curve = np.zeros((1, 1), runs.loss.dtype) if runs.history is None else runs.history
    n_records = 0 if runs.history is None else curve.shape[1]
    return structs.Results(
        Buffer(runs.loss), Buffer(runs.accuracy), Buffer(runs.epochs), Buffer(runs.status), Buffer(curve), n_records
    )


@functools.lru_cache(64)
def _init_spec(architecture: Architecture, init: str | Initializer) -> InitSpec:
    """Distributions of each layer's weights and biases, for the kernels."""
    initializer = init if isinstance(init, Initializer) else choose("init", init, INITIALIZERS)
    sizes, distributions = [], []
    for n_in, n_out in architecture.shapes:
        sizes.append(n_in * n_out)
        distributions.append(initializer.weights(n_in, n_out))
        if architecture.bias:
            sizes.append(n_out)
            distributions.append(initializer.biases(n_in, n_out))
    kinds, first, second = zip(*distributions, strict=True)
    return InitSpec(
        Buffer(np.array(sizes, np.int64)),
        Buffer(np.array(kinds, np.int64)),
        Buffer(np.array(first, np.float64)),
        Buffer(np.array(second, np.float64)),
        len(sizes),
    )
