"""Check what the user wrote, decide how to compute it, and lay out the job and its still empty results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine import workers
from fastmlp._engine.cost_model import Choice, Rest, choose_kernels
from fastmlp._engine.early_stopping import SCORES, Validation, curves
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.job import Job, checked_factor
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._engine.optimizer_state import STATE_ARRAYS, for_optimizer, new_state
from fastmlp._engine.tile_arrays import data_buffers, loss_scales
from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.output_layer import MOST_WEIGHT
from fastmlp._kernels.tiles import InitSpec, draw_samples
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from fastmlp.architecture import Architecture
from fastmlp.estimation import results_bytes
from fastmlp.initializers import INITIALIZERS, Initializer
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.runs import Runs

MAX_EPOCHS = 2**53
MAX_SAMPLES_SINGLE = 2**24
MAX_PATIENCE = 2**24  # counted in the nets' dtype


def planned(
    *, architecture: Any, X: Any, y: Any, n_nets: Any, seed: Any, optimizer: Any, epochs: Any, loss: Any, init: Any,
    batch_size: Any, shuffle: Any, l2: Any, sample_weight: Any, target_loss: Any, target_accuracy: Any, patience: Any,
    tol: Any, record_every: Any, net_ids: Any, dtype: Any, kernel: Any = None, threads: Any = None,
    schedule: Any = None, validation: Any = None, validation_score: Any = "loss", restore_best: Any = True,
    warm_start: Any = None, keep_state: Any = False, dropout: Any = 0.0, bootstrap: Any = False,
    gradients_only: bool = False, sklearn: bool = False, watch_only: bool = False,
    orders: Callable[[int, int], np.ndarray] | None = None, first_epoch: int = 0, resumable: bool = False,
) -> tuple[Job, Runs]:  # fmt: skip
    """Check everything, and lay out the job and its still empty results.

    `sklearn` stands for scikit-learn's conventions: those that the kernels follow where `TrainFlags.sklearn` is set,
    and for the squared error half of it, its gradient summed over the outputs, as that of the binary loss. With
    `watch_only` validation data neither stop a net nor choose its weights. `orders` gives the order of samples of each
    epoch of this call from one up to another, (epochs, S) int32. `first_epoch` is where a job begins that goes on
    without `warm_start`; one that is `resumable` keeps, in its results, all that it can go on from at any time.
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    float_type = checks.float_dtype(dtype)
    seed = checks.whole_number("seed", seed, 0, 2**64 - 1)
    epochs = checks.whole_number("epochs", epochs, 0, MAX_EPOCHS)
    optimizer = _optimizer(optimizer)
    loss = architecture.default_loss if loss is None else loss
    loss_code = choose("loss", loss, LOSSES[architecture.activations[-1]])
    by_net = isinstance(shuffle, str) and choose("shuffle", shuffle, {"by_net": True})
    if not by_net and not isinstance(shuffle, (bool, np.bool_)):
        raise TypeError(f"shuffle={shuffle!r}: needs True, False or 'by_net'")

    for name, flag in (("keep_state", keep_state), ("restore_best", restore_best), ("bootstrap", bootstrap)):
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"{name}={flag!r}: needs True or False")
    state = None
    if warm_start is not None:
        seed, net_ids = _continued(warm_start, architecture, seed, net_ids, n_nets, init, float_type)
        init, state = warm_start.parameters, warm_start.state
        if state is not None:
            first_epoch = state.epoch
            state = for_optimizer(state, optimizer)
    initial, n_given = None, 1
    if isinstance(init, np.ndarray) and (gradients_only or sklearn or warm_start is not None):
        initial, n_given = init, len(init)
    elif isinstance(init, (tuple, list)):
        if len(init) != 2:
            raise ValueError(f"init has {len(init)} parts; needs the pair (weights, biases)")
        initial = checks.parameters(init[0], init[1], architecture, float_type)
        n_given = len(initial)
    every = 0 if record_every is None else min(checks.whole_number("record_every", record_every, 1), MAX_EPOCHS)
    n_records = (-(-epochs // every) if sklearn else epochs // every + 1) if every else 0
    wanted = checks.net_count(net_ids, n_nets, n_given)
    needed = results_bytes(
        architecture, wanted, optimizer, float_type, n_records=0 if sklearn else n_records,
        validation=validation is not None, restore_best=bool(restore_best), keeps_state=bool(keep_state or resumable),
        gradients=gradients_only,
    )  # fmt: skip
    refuse_if_too_large(
        needed, f"the results of {wanted:,} nets with {architecture.n_parameters:,} parameters"
        + (f" and {n_records:,} recorded losses" if n_records else ""),
        "train fewer nets at once, in shards of net_ids" + (", or record less often" if n_records else ""),
    )  # fmt: skip
    numbers = checks.net_numbers(net_ids, n_nets, wanted)
    nets = len(numbers)
    if initial is not None and n_given != nets:
        raise ValueError(f"init holds {n_given} nets, but {nets} are to be trained: both need the same number")
    slope = checks.one_each("leaky_slope", architecture.leaky_slope, nets)

    samples = checks.inputs(X, architecture, float_type)
    n_samples = len(samples)
    if float_type == np.float32 and n_samples > MAX_SAMPLES_SINGLE:
        raise ValueError(f"X has {n_samples:,} samples; float32 counts to {MAX_SAMPLES_SINGLE:,}: pass dtype='float64'")
    target_array = checks.targets(y, architecture, loss_code, n_samples, float_type)
    weights = checks.sample_weights(sample_weight, n_samples, nets, float_type)
    if bootstrap:
        weights = _drawn_samples(weights, n_samples, numbers, np.uint64(seed), float_type)
    batch = n_samples if batch_size is None else min(n_samples, checks.whole_number("batch_size", batch_size, 1))
    counting = checks.counts_accuracy(target_array)
    if target_accuracy is not None and not counting:
        raise ValueError("target_accuracy needs classes: a softmax output, or targets that are all 0 or 1")

    owner = type(optimizer).__name__
    for name, value in optimizer.settings.items():
        checks.in_dtype(f"{owner}({name}=…)", checks.one_each(f"{owner}({name}=…)", value, nets), float_type)
    hyper = optimizer.rows()
    hyper[optimizers.L2] = checks.in_dtype("l2", checks.bounded("l2", l2, nets, 0.0), float_type)
    hyper[optimizers.GIVEN_L2], hyper[optimizers.GIVEN_RATE] = hyper[optimizers.L2], hyper[optimizers.LEARNING_RATE]
    rate_of_dropout = checks.bounded("dropout", dropout, nets, 0.0, np.nextafter(1.0, 0.0))
    if np.any(rate_of_dropout) and architecture.n_layers == 1:
        raise ValueError(f"dropout={dropout!r} leaves out hidden units, and sizes={architecture.sizes} has none")
    hyper[optimizers.KEPT], hyper[optimizers.DROPOUT_SCALE] = 1.0 - rate_of_dropout, 1.0 / (1.0 - rate_of_dropout)
    hyper[optimizers.WEIGHT_DECAY] = getattr(optimizer, "weight_decay", 0.0)
    rate_factor, adaptive = _schedule(schedule, optimizer, first_epoch, epochs, patience)
    hyper[optimizers.LEAKY_SLOPE] = checks.in_dtype("leaky_slope", slope, float_type)
    stopping = {
        structs.BEST_LOSS: np.inf,
        structs.TARGET_LOSS: checks.bounded("target_loss", target_loss, nets, 0.0, none=-np.inf),
        structs.TARGET_ACCURACY: checks.bounded("target_accuracy", target_accuracy, nets, 0.0, 1.0, none=np.inf),
        structs.PATIENCE: checks.bounded("patience", patience, nets, 1.0, MAX_PATIENCE, none=np.inf),
        structs.TOLERANCE: checks.bounded("tol", tol, nets, 0.0, float(np.finfo(float_type).max)),
    }
    held_out = None
    if validation is not None:
        held_out = _validation(
            validation, validation_score, architecture, loss_code, float_type, nets, n_records, stopping, adaptive,
            bool(restore_best), watch_only, sklearn,
        )  # fmt: skip
        if not watch_only:  # patience on validation data replaces patience on the training loss
            stopping[structs.PATIENCE], patience = np.inf, None
    # an array counts even if it is all 0, for then neighbours must not change what the rules look at
    dropping = (np.ndim(dropout) > 0 or bool(dropout)) and not gradients_only
    loss_scale, delta_scale = loss_scales(loss_code, architecture.sizes[-1], sklearn)
    flags = structs.TrainFlags(
        method=int(Method.NONE if gradients_only else optimizer.method),
        batch_size=batch,
        full_batch=batch >= n_samples and not sklearn and not dropping,
        shuffle=bool(shuffle) and batch < n_samples,
        order_by_net=bool(by_net) and batch < n_samples,
        dropping=dropping,
        record_every=every,
        rules=any(rule is not None for rule in (target_loss, target_accuracy, patience)),
        bound_will_do=target_accuracy is None and patience is None and _are_moderate(weights, architecture.sizes[-1]),
        has_l2=bool(np.any(hyper[optimizers.L2])),
        has_momentum=bool(np.any(hyper.get(optimizers.MOMENTUM, 0.0))),
        has_decay=bool(np.any(hyper.get(optimizers.DECAY_FACTOR, 1.0) != 1.0)),
        nesterov=bool(getattr(optimizer, "nesterov", False)),
        same_powers=not (keep_state or resumable)
        and state is None
        and all(np.ndim(getattr(optimizer, name, 0.0)) == 0 for name in ("beta1", "beta2")),
        loss_scale=loss_scale,
        delta_scale=delta_scale,
        counts_accuracy=counting,
        scheduled=rate_factor is not None or adaptive,
        adaptive=adaptive and (held_out is None or watch_only),
        sklearn=sklearn,
        loss_slack=4 * (architecture.sizes[-1] + 4) * float(np.finfo(float_type).eps),
    )
    if kernel is not None:
        kernel = choose("kernel", kernel, {"lanes": "lanes", "units": "units"})
    if flags.order_by_net:
        if kernel == "lanes":
            raise ValueError("shuffle='by_net' needs one net at a time: leave kernel out, or pass kernel='units'")
        kernel = "units"
    choice, rest = choose_kernels(
        architecture, nets, n_samples, batch, float_type, workers.thread_count(threads), epochs, kernel,
        plain=not (flags.scheduled or sklearn or held_out is not None or flags.dropping),
    )  # fmt: skip
    job, runs = _allocated(
        architecture, loss, optimizer, init, initial, numbers, seed, epochs, samples, target_array, weights, hyper,
        stopping, flags, n_records, choice, rest,
    )  # fmt: skip
    job.first_epoch, job.rate_factor, job.state, job.validation = first_epoch, rate_factor, state, held_out
    job.order_source, job.dropout, job.adaptive = orders, rate_of_dropout, adaptive
    runs.epochs[:] = first_epoch
    if warm_start is not None:
        job.earlier_epochs = warm_start.epochs
    if keep_state or resumable:
        job.final_state = new_state(optimizer, nets, architecture.n_parameters, float_type)._replace(
            epoch=job.last_epoch
        )
        runs.state = job.final_state if keep_state else None
    if resumable:
        _begin_in_results(job)
    if held_out is not None:
        runs.validation_score, runs.best_epoch = held_out.best_score, held_out.best_epoch
        if n_records:
            runs.validation_history, runs.validation_losses = held_out.history, held_out.losses
    return job, runs


def _begin_in_results(job: Job) -> None:
    """Let a job go on from its results, with what it begins with in them."""
    assert job.final_state is not None
    if job.initial is not None:
        job.parameters[...] = job.initial
    if job.state is not None:
        for name in STATE_ARRAYS:
            getattr(job.final_state, name)[...] = getattr(job.state, name)
    job.initial, job.state, job.resumable = job.parameters, job.final_state, True


def _are_moderate(weights: np.ndarray | None, n_out: int) -> bool:
    """Whether a loss can only overflow where a weighted sum is as great as the kernels look for (NEAR_OVERFLOW)."""
    return weights is None or bool(np.max(weights.sum(axis=-1, dtype=np.float64)) * n_out <= MOST_WEIGHT)


def _drawn_samples(
    weights: np.ndarray | None, n_samples: int, net_ids: np.ndarray, seed: np.uint64, dtype: np.dtype
) -> np.ndarray:
    """Sample weights (n, S): how often each net has drawn each sample, times the weights there are."""
    D, U = VectorSpec("float64", 8), VectorSpec("uint64", 8)
    refuse_if_too_large(
        len(net_ids) * n_samples * dtype.itemsize, f"the weights of {n_samples:,} samples for {len(net_ids):,} nets",
        "train fewer nets at once, in shards of net_ids",
    )  # fmt: skip
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


def _continued(
    runs: Any, architecture: Architecture, seed: int, net_ids: Any, n_nets: Any, init: Any, dtype: np.dtype
) -> tuple[int, np.ndarray]:
    """The seed and the numbers of the nets that go on."""
    if not isinstance(runs, Runs):
        raise TypeError(f"warm_start={runs!r}: needs the Runs of an earlier call of train")
    if runs.architecture.with_slope(0.0) != architecture.with_slope(0.0):
        raise ValueError(f"warm_start holds nets of {runs.architecture}; these are of {architecture}: pass theirs")
    if net_ids is not None or (n_nets is not None and n_nets != len(runs)):
        raise ValueError(f"warm_start says which nets go on, {len(runs)}: leave n_nets and net_ids out")
    if seed not in (0, runs.seed):
        raise ValueError(f"seed={seed}, but the nets of warm_start have the seed {runs.seed}: leave it out")
    kept = runs.parameters.dtype
    if kept != dtype:
        raise ValueError(f"warm_start holds {kept} nets, dtype={str(dtype)!r}: pass dtype={str(kept)!r}")
    if isinstance(init, np.ndarray) or init not in (None, "he_uniform"):
        raise ValueError("warm_start holds the nets' weights: leave init out")
    return runs.seed, runs.net_ids


def _schedule(
    given: Any, optimizer: Optimizer, first_epoch: int, epochs: int, patience: Any
) -> tuple[Callable[[int], float] | None, bool]:
    """What the learning rate is multiplied with in an epoch, and whether the rules lower it."""
    if given is None:
        return None, False
    if optimizer.method == Method.RPROP:
        raise ValueError("schedule: Rprop finds its own steps and has no learning rate to change: leave schedule out")
    if isinstance(given, str):
        choose("schedule", given, {"adaptive": None})
        if patience is None:
            raise ValueError("schedule='adaptive' lowers the learning rate when patience is over: pass patience too")
        return None, True
    if callable(given):
        return given, False
    factors = checks.real_array("schedule", given).astype(np.float64)
    if factors.shape != (epochs,):
        raise ValueError(
            f"schedule has shape {factors.shape}; needs one factor for each of the {epochs} epochs, a function of the "
            "epoch's number, or 'adaptive'"
        )
    for epoch, factor in enumerate(factors):
        checked_factor(factor, epoch)
    return lambda epoch: float(factors[epoch - first_epoch]), False


def _validation(
    given: Any, score: Any, architecture: Architecture, loss: int, dtype: np.dtype, nets: int, n_records: int,
    stopping: dict, adaptive: bool, restore: bool, watch_only: bool, sklearn: bool,
) -> Validation:  # fmt: skip
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise TypeError("validation needs a pair (X, y), or (X, y, sample_weight)")
    choose("validation_score", score, SCORES)
    try:
        samples = checks.inputs(given[0], architecture, dtype)
        targets = checks.targets(given[1], architecture, loss, len(samples), dtype)
    except (ValueError, TypeError) as error:
        raise type(error)(f"validation: {error}") from None
    weights = None
    if len(given) == 3 and given[2] is not None:
        shape = np.shape(given[2])
        if shape != (len(samples),):
            raise ValueError(
                f"validation's sample_weight has shape {shape}; needs ({len(samples)},), one number a sample: all nets "
                "are scored with the same weights"
            )
        weights = checks.sample_weights(given[2], len(samples), 1, dtype)
    if score == "accuracy" and not checks.counts_accuracy(targets):
        raise ValueError("validation_score='accuracy' needs classes: a softmax output, or targets that are all 0 or 1")
    if score == "r2" and loss < Loss.MSE:
        raise ValueError("validation_score='r2' is for loss='mse' and 'poisson': use 'loss' or 'accuracy'")
    return Validation(
        data_buffers(samples, targets, weights), targets, weights, score, nets, architecture.n_parameters, n_records,
        np.inf if watch_only else stopping[structs.PATIENCE], stopping[structs.TOLERANCE], adaptive and not watch_only,
        restore and not watch_only, not watch_only, sklearn,
    )  # fmt: skip


def _optimizer(given: Any) -> Optimizer:
    if isinstance(given, Optimizer):
        return given
    return choose("optimizer", given, OPTIMIZERS)()


def _allocated(
    architecture: Architecture, loss: str, optimizer: Optimizer, init: Any, initial: np.ndarray | None,
    net_ids: np.ndarray, seed: int, epochs: int, samples: np.ndarray, target_array: np.ndarray,
    weights: np.ndarray | None, hyper: dict, stopping: dict, flags: structs.TrainFlags, n_records: int, choice: Choice,
    rest: Rest | None,
) -> tuple[Job, Runs]:  # fmt: skip
    nets, dtype, n_parameters = len(net_ids), samples.dtype, architecture.n_parameters
    online = flags.batch_size == 1 and len(samples) > 1
    plan = ExecutionPlan.of(architecture, loss, dtype, choice, online)
    plan_of_rest = ExecutionPlan.of(architecture, loss, dtype, rest.choice, online) if rest else None
    by_net = weights is not None and weights.ndim == 2
    runs = Runs(
        architecture=architecture,
        parameters=np.zeros((nets, n_parameters), dtype),
        loss=np.full(nets, np.nan, dtype),
        accuracy=np.full(nets, np.nan, dtype),
        epochs=np.zeros(nets, np.int64),
        status=np.full(nets, structs.INTERRUPTED, np.int8),
        net_ids=net_ids,
        seed=seed,
        history=curves(nets, n_records, dtype, flags.sklearn) if n_records else None,
    )
    curve = runs.history if runs.history is not None else np.zeros((1, 1), dtype)
    results = structs.Results(
        Buffer(runs.loss), Buffer(runs.accuracy), Buffer(runs.epochs), Buffer(runs.status), Buffer(curve), n_records
    )
    job = Job(
        architecture=architecture,
        plan=plan,
        data=data_buffers(samples, target_array, weights, max(plan.fill, plan_of_rest.fill if plan_of_rest else 1)),
        flags=flags,
        epochs=epochs,
        seed=np.uint64(seed),
        groups=None if initial is not None else _groups(init, architecture),
        initial=initial,
        net_ids=net_ids,
        hyper=hyper,
        stopping=stopping,
        betas=(getattr(optimizer, "beta1", 0.0), getattr(optimizer, "beta2", 0.0)),
        sample_weights=weights if by_net else None,
        n_state_rows=optimizer.n_state_rows,
        parameters=runs.parameters,
        gradients=np.zeros((nets, n_parameters), dtype) if flags.method == Method.NONE else None,
        results=results,
        halt=np.zeros(2, np.int8),
        stop=nets - rest.nets if rest else nets,
        plan_of_rest=plan_of_rest,
    )
    return job, runs


def _groups(init: Any, architecture: Architecture) -> InitSpec:
    """How each layer's weights and biases are drawn, as the kernels read it."""
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
        Buffer(np.array(sizes, np.int64)), Buffer(np.array(kinds, np.int64)), Buffer(np.array(first, np.float64)),
        Buffer(np.array(second, np.float64)), len(sizes),
    )  # fmt: skip
