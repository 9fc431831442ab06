"""`train`: check what the user wrote, plan, allocate, run chunks of nets on threads, gather."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _checks as checks
from fastmlp import _formulas as formulas
from fastmlp import _layout as layout
from fastmlp import _threads
from fastmlp._buffers import (
    TileArrays,
    Vectors,
    data_buffers,
    loss_scales,
    net_buffers,
    row_order,
    rows_of_a_tile,
)
from fastmlp._choice import Choice, choose_kernel
from fastmlp._formulas import LOSSES, Method
from fastmlp._jobs import Job, Report
from fastmlp._memory import refuse_if_too_large
from fastmlp._names import choose
from fastmlp._tiles import Groups
from fastmlp._unit_buffers import unit_net_buffers, unit_row_order, unit_vectors
from fastmlp._vectors import Buffer, host_lanes
from fastmlp.architecture import Architecture
from fastmlp.initializers import INITIALIZERS, Initializer
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.runs import Runs

MAX_EPOCHS = 2**53
MAX_SAMPLES_SINGLE = 2**24
MAX_PATIENCE = 2**24  # counted in the nets' dtype


class Progress(NamedTuple):
    """How far a call of `train` has come, as its callback sees it."""

    net_epochs: int
    """Epochs times nets that are done; a net that stopped early counts with all its epochs."""
    total_net_epochs: int
    finished: int
    """Nets that have ended."""
    n_nets: int
    seconds: float
    """Since training began, compilation left out."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C came; `runs` holds every net as it stood.

    Nets that were not yet at their end have `Status.INTERRUPTED`, the weights of their last update (or their initial
    ones), the epochs they had completed, and NaN for loss and accuracy.
    """

    def __init__(self, runs: Runs) -> None:
        super().__init__(f"training was interrupted; .runs holds what is trained so far: {runs!r}")
        self.runs = runs


def train(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    n_nets: int | None = None,
    seed: int = 0,
    optimizer: Optimizer | str = "adam",
    epochs: int = 1000,
    loss: str | None = None,
    init: str | Initializer | tuple[Any, Any] = "he_uniform",
    batch_size: int | None = None,
    shuffle: bool = True,
    l2: Any = 0.0,
    sample_weight: Any = None,
    target_loss: Any = None,
    target_accuracy: Any = None,
    patience: Any = None,
    tol: Any = 1e-4,
    record_every: int | None = None,
    net_ids: Any = None,
    dtype: Any = "float32",
    kernel: str | None = None,
    threads: int | None = None,
    progress: bool = False,
    callback: Callable[[Progress], Any] | None = None,
) -> Runs:
    """Train many nets of one architecture on the same samples, at once.

    The same data, settings, seed and net number give the same bits, whatever the number of nets beside it, the number
    of threads, or the processor.

    Parameters
    ----------
    architecture : Architecture
        The layers and their activations.
    X : array_like of shape (n_samples, n_inputs)
        Inputs; any real dtype, NumPy, pandas or lists. It is copied and rounded to `dtype`.
    y : array_like
        Targets. Class numbers 0 … k − 1 of shape (n_samples,) for softmax; else (n_samples, n_outputs), or
        (n_samples,) for one output. For "bce" they are 0 and 1, or between.
    n_nets : int, default 1
        How many nets.
    seed : int, default 0
        From 0 to 2**64 − 1. With the net's number it fixes the initial weights; the order of samples in an epoch
        follows from the seed alone.
    optimizer : Optimizer or str, default "adam"
        `SGD`, `Adam`, `RMSprop`, `Rprop`, or one of "sgd", "adam", "rmsprop", "rprop" for its defaults.
    epochs : int, default 1000
        Passes over the samples, at most.
    loss : str, optional
        "bce" (default for sigmoid): mean over samples and outputs of −t log o − (1 − t) log(1 − o).
        "cross_entropy" (default for softmax): mean over samples of −log o of the class.
        "mse" (default for identity and relu): mean over samples and outputs of (o − t)².
        The first two are computed from logits.
    init : str, Initializer, or pair of lists, default "he_uniform"
        "he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "lecun_normal", "torch"; an initializer such as
        ``Uniform(-1, 1)``; or the arrays themselves: ``(weights, biases)``, lists over the layers of shapes
        (n_nets, in, out) and (n_nets, out).
    batch_size : int, optional
        Samples in a minibatch; None for all. The last minibatch of an epoch may be smaller.
    shuffle : bool, default True
        Whether minibatches are drawn in a new order each epoch, the same for all nets.
    l2 : float or array of shape (n_nets,), default 0.0
        Adds l2/2 times the sum of squared weights (not biases) to the loss.
    sample_weight : array_like of shape (n_samples,) or (n_nets, n_samples), optional
        A mean is then the weighted sum over the sum of the weights, in each minibatch.
    target_loss, target_accuracy : float or array of shape (n_nets,), optional
        A net stops when its loss is at most, or its accuracy at least, this.
    patience : int or array of shape (n_nets,), optional
        A net stops when its loss has not fallen by `tol` below its best for so many epochs in a row.
    tol : float or array of shape (n_nets,), default 1e-4
        See `patience`.
    record_every : int, optional
        Keep the loss every so many epochs, in ``runs.history``.
    net_ids : array_like of int, optional
        The nets' numbers, from 0 to 2**63 − 1; default ``range(n_nets)``. A shard of a larger job is a range of them.
    dtype : {"float32", "float64"}, default "float32"
        What the nets compute in.
    kernel : {"lanes", "units"}, optional
        How to compute: one net a vector lane, or one net at a time with its units as lanes. The bits are the same, and
        the faster one is chosen by default.
    threads : int, optional
        Default: the processors that this process may use.
    progress : bool, default False
        Whether to show a progress bar on standard error.
    callback : callable, optional
        Called with a `Progress` now and then, in the calling thread. If it returns something true, training ends and
        the nets that were not done have `Status.INTERRUPTED`.

    Returns
    -------
    Runs

    Raises
    ------
    ValueError, TypeError
        For input that makes no sense, before any work starts.
    MemoryError
        When the results would not fit into the memory that is free.
    TrainingInterrupted
        On Ctrl-C, within half a second plus the time to draw initial weights for nets not yet begun; its `runs` holds
        what is trained so far.

    Notes
    -----
    `record_every` looks at the weights between epochs, and so do stopping rules with the full batch, from epoch 0 on,
    at no cost but the loss. With minibatches the rules look, after each epoch, at the mean of the losses that its
    minibatches had, each before its update, and likewise at the accuracy, as scikit-learn does; a net that seems to
    have reached its target is measured, and stops if it has. ``runs.loss`` is always the loss of the weights in
    ``runs``.

    A net has diverged, and stops, when the gradients at its outputs are no longer finite, or its loss where a rule or
    the end looks at it. It keeps the weights it has then, which may have overflowed themselves.

    Examples
    --------
    >>> import fastmlp
    >>> arch = fastmlp.Architecture((2, 4, 1))
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(arch, X, y, n_nets=1000, optimizer=fastmlp.SGD(0.5), epochs=2000)
    >>> runs.best().predict(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    settings = {name: value for name, value in locals().items() if name not in _HOW_TO_RUN}
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r}: needs a function of one argument")
    job, runs = planned(**settings)
    runs.compile_seconds = job.compile()
    if run(job, runs, threads, progress, callback):
        raise TrainingInterrupted(runs)
    return runs


_HOW_TO_RUN = ("progress", "callback")


def planned(
    *, architecture: Any, X: Any, y: Any, n_nets: Any, seed: Any, optimizer: Any, epochs: Any, loss: Any, init: Any,
    batch_size: Any, shuffle: Any, l2: Any, sample_weight: Any, target_loss: Any, target_accuracy: Any, patience: Any,
    tol: Any, record_every: Any, net_ids: Any, dtype: Any, kernel: Any = None, threads: Any = None,
    gradients_only: bool = False,
) -> tuple[Job, Runs]:  # fmt: skip
    """Check everything, and lay out the job and its still empty results."""
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    float_type = checks.float_dtype(dtype)
    seed = checks.whole_number("seed", seed, 0, 2**64 - 1)
    epochs = checks.whole_number("epochs", epochs, 0, MAX_EPOCHS)
    optimizer = _optimizer(optimizer)
    loss = architecture.default_loss if loss is None else loss
    loss_code = choose("loss", loss, LOSSES[architecture.activations[-1]])
    if not isinstance(shuffle, (bool, np.bool_)):
        raise TypeError(f"shuffle={shuffle!r}: needs True or False")

    initial, n_given = None, 1
    if isinstance(init, np.ndarray) and gradients_only:
        initial, n_given = init, len(init)
    elif isinstance(init, (tuple, list)):
        if len(init) != 2:
            raise ValueError(f"init has {len(init)} parts; needs the pair (weights, biases)")
        initial = checks.parameters(init[0], init[1], architecture, float_type)
        n_given = len(initial)
    every = 0 if record_every is None else checks.whole_number("record_every", record_every, 1)
    n_records = epochs // every + 1 if every else 0
    wanted = checks.net_count(net_ids, n_nets, n_given)
    _refuse_if_too_large(wanted, architecture, optimizer, float_type, n_records, gradients_only)
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
    batch = n_samples if batch_size is None else min(n_samples, checks.whole_number("batch_size", batch_size, 1))
    counting = checks.counts_accuracy(target_array)
    if target_accuracy is not None and not counting:
        raise ValueError("target_accuracy needs classes: a softmax output, or targets that are all 0 or 1")

    owner = type(optimizer).__name__
    for name, value in optimizer.settings.items():
        checks.in_dtype(f"{owner}({name}=…)", checks.one_each(f"{owner}({name}=…)", value, nets), float_type)
    hyper = optimizer.rows()
    hyper[formulas.L2] = checks.in_dtype("l2", checks.bounded("l2", l2, nets, 0.0), float_type)
    hyper[formulas.LEAKY_SLOPE] = checks.in_dtype("leaky_slope", slope, float_type)
    controls = {
        layout.BEST_LOSS: np.inf,
        layout.TARGET_LOSS: checks.bounded("target_loss", target_loss, nets, 0.0, none=-np.inf),
        layout.TARGET_ACCURACY: checks.bounded("target_accuracy", target_accuracy, nets, 0.0, 1.0, none=np.inf),
        layout.PATIENCE: checks.bounded("patience", patience, nets, 1.0, MAX_PATIENCE, none=np.inf),
        layout.TOLERANCE: checks.bounded("tol", tol, nets, 0.0, float(np.finfo(float_type).max)),
    }
    loss_scale, delta_scale = loss_scales(loss_code, architecture.sizes[-1])
    plan = layout.Plan(
        method=int(Method.NONE if gradients_only else optimizer.method),
        batch_size=batch,
        shuffle=bool(shuffle) and batch < n_samples,
        record_every=every,
        rules=any(rule is not None for rule in (target_loss, target_accuracy, patience)),
        only_target_loss=target_accuracy is None and patience is None,
        has_l2=bool(np.any(hyper[formulas.L2])),
        has_momentum=bool(np.any(hyper.get(formulas.MOMENTUM, 0.0))),
        has_decay=bool(np.any(hyper.get(formulas.DECAY_FACTOR, 1.0) != 1.0)),
        nesterov=bool(getattr(optimizer, "nesterov", False)),
        same_betas=all(np.ndim(getattr(optimizer, name, 0.0)) == 0 for name in ("beta1", "beta2")),
        loss_scale=loss_scale,
        delta_scale=delta_scale,
        counts_accuracy=counting,
        loss_slack=4 * (architecture.sizes[-1] + 4) * float(np.finfo(float_type).eps),
    )
    if kernel is not None:
        kernel = choose("kernel", kernel, {"lanes": "lanes", "units": "units"})
    choice = choose_kernel(architecture, nets, n_samples, batch, float_type, _threads.thread_count(threads), kernel)
    return _allocated(
        architecture, loss, optimizer, init, initial, numbers, seed, epochs, samples, target_array, weights, hyper,
        controls, plan, n_records, choice,
    )  # fmt: skip


def _optimizer(given: Any) -> Optimizer:
    if isinstance(given, Optimizer):
        return given
    return choose("optimizer", given, OPTIMIZERS)()


def _allocated(
    architecture: Architecture, loss: str, optimizer: Optimizer, init: Any, initial: np.ndarray | None,
    net_ids: np.ndarray, seed: int, epochs: int, samples: np.ndarray, target_array: np.ndarray,
    weights: np.ndarray | None, hyper: dict, controls: dict, plan: layout.Plan, n_records: int, choice: Choice,
) -> tuple[Job, Runs]:  # fmt: skip
    nets, dtype, n_parameters = len(net_ids), samples.dtype, architecture.n_parameters
    if choice.kernel == "units":
        vectors = unit_vectors(dtype)
        net = unit_net_buffers(architecture, loss, vectors)
        row_of = unit_row_order(architecture, net)
    else:
        # online learning needs no blocks of samples
        block = 1 if plan.batch_size == 1 and len(samples) > 1 else layout.BLOCK
        vectors = Vectors.of(choice.lanes, block)
        net = net_buffers(architecture, loss, vectors)
        row_of = row_order(architecture)
    by_net = weights is not None and weights.ndim == 2
    runs = Runs(
        architecture=architecture,
        parameters=np.zeros((nets, n_parameters), dtype),
        loss=np.full(nets, np.nan, dtype),
        accuracy=np.full(nets, np.nan, dtype),
        epochs=np.zeros(nets, np.int64),
        status=np.full(nets, layout.INTERRUPTED, np.int8),
        net_ids=net_ids,
        seed=seed,
        history=np.full((nets, n_records), np.nan, dtype) if n_records else None,
    )
    curve = runs.history if runs.history is not None else np.zeros((1, 1), dtype)
    results = layout.Results(
        Buffer(runs.loss), Buffer(runs.accuracy), Buffer(runs.epochs), Buffer(runs.status), Buffer(curve), n_records
    )
    job = Job(
        architecture=architecture,
        vectors=vectors,
        net=net,
        kernel=choice.kernel,
        members=choice.members,
        data=data_buffers(samples, target_array, weights),
        plan=plan,
        epochs=epochs,
        seed=np.uint64(seed),
        row_of=Buffer(row_of),
        groups=None if initial is not None else _groups(init, architecture),
        initial=initial,
        net_ids=net_ids,
        hyper=hyper,
        controls=controls,
        betas=(getattr(optimizer, "beta1", 0.0), getattr(optimizer, "beta2", 0.0)),
        sample_weights=weights if by_net else None,
        n_state_rows=optimizer.n_state_rows,
        parameters=runs.parameters,
        gradients=np.zeros((nets, n_parameters), dtype) if plan.method == Method.NONE else None,
        results=results,
        halt=np.zeros(1, np.int8),
    )
    return job, runs


def _refuse_if_too_large(
    nets: int, architecture: Architecture, optimizer: Optimizer, dtype: np.dtype, n_records: int, gradients: bool
) -> None:
    vectors, n_parameters = Vectors.of(host_lanes(dtype)), architecture.n_parameters
    rows = rows_of_a_tile(optimizer.n_state_rows, n_parameters)
    working = min(1, nets / vectors.width) * TileArrays.nbytes(
        vectors.width, vectors, rows
    ) + 2 * vectors.Blk.count * dtype.itemsize * sum(architecture.sizes)
    refuse_if_too_large(
        nets * (dtype.itemsize * ((1 + gradients) * n_parameters + n_records + 2) + 25) + working,
        f"the results of {nets:,} nets with {n_parameters:,} parameters"
        + (f" and {n_records:,} recorded losses" if n_records else ""),
        "train fewer nets at once, in shards of net_ids" + (", or record less often" if n_records else ""),
    )


def _groups(init: Any, architecture: Architecture) -> Groups:
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
    return Groups(
        Buffer(np.array(sizes)), Buffer(np.array(kinds)), Buffer(np.array(first)), Buffer(np.array(second)), len(sizes)
    )


def run(
    job: Job, runs: Runs, threads: int | None, progress: bool = False, callback: Callable[[Progress], Any] | None = None
) -> bool:
    """Train all chunks; returns whether Ctrl-C came."""
    nets, n_threads = len(runs), _threads.thread_count(threads)
    chunks = job.chunks(n_threads)
    begun = time.perf_counter()
    done = finished = 0
    bar = _progress_bar(nets * job.epochs) if progress else None

    def on_report(report: Report) -> bool:
        nonlocal done, finished
        done += report.net_epochs
        finished += report.finished
        if bar is not None:
            bar.update(report.net_epochs)
        if callback is None:
            return False
        state = Progress(done, nets * job.epochs, finished, nets, time.perf_counter() - begun)
        return bool(callback(state))

    interrupted, not_begun = _threads.run(
        chunks, job.train_chunk, job.new_team, min(max(1, n_threads // job.members), len(chunks)), job.halt, on_report
    )
    for chunk in not_begun:
        job.train_chunk(chunk, job.new_team(), lambda _report: None)
    if bar is not None:
        bar.close()
    runs.train_seconds = time.perf_counter() - begun
    return interrupted


def _progress_bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=" net-epochs", unit_scale=True, mininterval=0.1, smoothing=0.1)
