"""`train` and `resume`: collect the settings, prepare the job, run it, and record the settings in the results."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, replace
from typing import Any, Literal, Never

import numpy as np

from fastmlp import _own_samples as own_samples
from fastmlp._check_values import refuse_unknown
from fastmlp._engine.job import Job
from fastmlp._engine.processors import thread_count
from fastmlp.architecture import Architecture
from fastmlp.initializers import Initializer
from fastmlp.optimizers import Optimizer
from fastmlp.runs import Runs, Status
from fastmlp.settings import AN_ARRAY, NOT_KEPT, NetSelection, TrainSettings, as_optimizer
from fastmlp.training.checkpoint import Checkpoint, load_checkpoint
from fastmlp.training.interrupted import TrainingInterrupted
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job
from fastmlp.training.restarts import most_restarts, train_until_solved
from fastmlp.training.runner import Callback, Progress, Runner

__all__ = ["Progress", "Runs", "Status", "TrainingInterrupted", "resume", "train"]


def train(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    n_nets: int | None = None,
    seed: int = 0,
    optimizer: Optimizer | Literal["sgd", "adam", "rmsprop", "rprop"] = "adam",
    epochs: int = 1000,
    loss: str | None = None,
    init: str | Initializer | tuple[Any, Any] = "he_uniform",
    batch_size: int | None = None,
    shuffle: bool | Literal["by_net"] = True,
    l2: Any = 0.0,
    dropout: Any = 0.0,
    sample_weight: Any = None,
    bootstrap: bool = False,
    target_loss: Any = None,
    target_accuracy: Any = None,
    patience: Any = None,
    tol: Any = 1e-4,
    schedule: Any = None,
    validation: Any = None,
    rows: Any = None,
    rows_of: Any = None,
    groups: Any = None,
    validation_rows: Any = None,
    validation_score: Literal["loss", "accuracy", "r2"] = "loss",
    restore_best: bool = True,
    restart_stuck: int | None = None,
    record_every: int | None = None,
    net_ids: Any = None,
    warm_start: Runs | None = None,
    keep_state: bool = False,
    dtype: Any = "float32",
    kernel: Literal["lanes", "units"] | None = None,
    threads: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: float = 60.0,
    progress: bool = False,
    callback: Callback | None = None,
    **unknown: Never,
) -> Runs:
    """Train many nets of one architecture at once, on the same samples or each on its own.

    The same data, settings, seed and net number give the same bits, for any number of other nets, any number of
    threads, and on any processor. A net with samples of its own has the bits of a call with only these.

    Parameters
    ----------
    architecture : Architecture
        The layers and their activations.
    X : array_like of shape (n_samples, n_inputs) or (n_nets, n_samples, n_inputs), or a list of n_nets tables
        Inputs of any real dtype: NumPy, pandas or lists. They are copied and rounded to `dtype`. With three dimensions,
        or as a list of tables (which can have different numbers of samples), each net has its own.
    y : array_like, or a list of n_nets of them
        Targets. Class numbers 0 … k − 1 of shape (n_samples,) for softmax; else (n_samples, n_outputs), or
        (n_samples,) for one output. For "bce" they are 0 and 1, or between. With one more dimension in front, n_nets,
        each net has its own.
    n_nets : int, optional
        Number of nets; default 1, or as many as the data and `rows` are for.
    seed : int, default 0
        From 0 to 2**64 − 1. Seed and net number determine initial weights, dropout and bootstrap. The order of samples
        in an epoch depends only on the seed, unless each net has its own order.
    optimizer : Optimizer or str, default "adam"
        `SGD`, `Adam`, `RMSprop`, `Rprop`, or one of "sgd", "adam", "rmsprop", "rprop" for its defaults.
    epochs : int, default 1000
        Passes over the samples at most.
    loss : str, optional
        "bce" (default for sigmoid): mean over samples and outputs of −t log o − (1 − t) log(1 − o).
        "cross_entropy" (default for softmax): mean over samples of −log o of the class.
        "mse" (default for identity and relu): mean over samples and outputs of (o − t)².
        "poisson" (for exp): mean over samples and outputs of o − t + t log(t / o), half the Poisson deviance.
        All but "mse" are computed from logits.
    init : str, Initializer, or pair of lists, default "he_uniform"
        "he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "lecun_normal", "torch"; an initializer such as
        ``Uniform(-1, 1)``; or the arrays themselves: ``(weights, biases)``, lists over the layers of shapes
        (n_nets, in, out) and (n_nets, out).
    batch_size : int, optional
        Samples in a minibatch; None for all. The last minibatch of an epoch can be smaller.
    shuffle : bool or "by_net", default True
        Whether samples are shuffled before each epoch: True for one order for all nets, "by_net" for a different order
        for each net. The latter trains one net at a time, which takes several times as long for small nets.
    l2 : float or array of shape (n_nets,), default 0.0
        Adds l2/2 times the sum of squared weights (not biases) to the loss.
    dropout : float or array of shape (n_nets,), default 0.0
        The probability, from 0 to below 1, that a hidden unit is left out for a sample during training; outputs of the
        other units are divided by 1 − dropout. The choice depends only on the seed, the net's number, the epoch and
        the sample. Final losses and predictions are those of the whole net; stopping rules use the losses during
        training.
    sample_weight : array_like of shape (n_samples,) or (n_nets, n_samples), optional
        Means over samples are then weighted means, in each minibatch. A list of arrays if X is a list of tables.
    bootstrap : bool, default False
        Whether each net trains on a bootstrap sample: n_samples samples drawn with replacement, from the seed and the
        net's number. The net's sample weights are multiplied by the number of draws.
    target_loss, target_accuracy : float or array of shape (n_nets,), optional
        A net stops when its loss is at most this, or its accuracy (by sample weight) at least this.
    patience : int or array of shape (n_nets,), optional
        A net stops when its loss has not fallen by `tol` below its best for this many epochs in a row.
    tol : float or array of shape (n_nets,), default 1e-4
        See `patience`.
    schedule : function, array of shape (epochs,) or "adaptive", optional
        Factors of the learning rate: an array with one for each epoch, or a function of the epoch's number, from 0.
        Several threads call the function, one at a time, in any order and more than once for an epoch: it must depend
        only on its argument. "adaptive" divides a net's learning rate by 5 whenever its `patience` ends, and stops the
        net when the rate is at most 1e-6.
    validation : pair (X, y) or triple (X, y, sample_weight), optional
        Held-out samples. Every net is scored on them after each epoch; `patience` then counts epochs in which the score
        has not risen by `tol`. X and y can have the same forms as for training.
    rows : list of arrays of int, or of masks, optional
        The samples of X and y that each net trains on: their numbers, in this order, repeated ones counting repeatedly,
        or masks (n_samples,) of bool. One for each net, or with `rows_of` a few. X and y are stored once.
    rows_of : array_like of int, shape (n_nets,), optional
        Which of the arrays in `rows` each net has.
    groups : array_like of shape (n_samples,), optional
        In place of `rows`: a label for each sample. The first net trains on the samples with the first label in
        ascending order, and so on; or with `rows_of` each net on those with the label of this number.
    validation_rows : list of arrays of int, or of masks, or "rest", optional
        As `rows`, the samples of `validation`, or without it of X and y, that each net is scored on; in the order of
        `rows`, if `rows_of` is given. "rest" is what a net's `rows` leave out. They have no weights, unless
        `validation` has.
    validation_score : {"loss", "accuracy", "r2"}, default "loss"
        The score: the negative loss; the accuracy, which is the share of samples, by weight, with every output on the
        right side; or the coefficient of determination R², for "mse" and "poisson".
    record_every : int, optional
        Keep the loss after every `record_every` epochs, in ``runs.history``.
    net_ids : array_like of int, optional
        The nets' numbers, from 0 to 2**63 − 1; default ``range(n_nets)``. Shards of a larger job have different ranges.
    restore_best : bool, default True
        Whether each net ends with the weights of its best score on the validation data, unless it reached a target.
    restart_stuck : int, optional
        Replace each net that ends unsolved by one with a fresh seed, at most this many times. A net is solved if it
        reached `target_loss` or `target_accuracy`, or without these if every sample is on the right side. The k-th
        restart of net i is the net with number i + k · 2**40; ``runs.restarts`` counts restarts, and ``runs.net_ids``
        has the numbers of the final nets. `patience` ends stuck nets before the last epoch.
    warm_start : Runs, optional
        Nets to train further for `epochs` epochs, stopped or not, with their weights, numbers and seed; leave out
        `n_nets`, `net_ids`, `init` and `seed`. If they were trained with `keep_state`, the optimizer's state, the
        counts of `patience` on the training loss, and the order of samples continue too: a epochs and b more then give
        the bits of a + b. Otherwise these start fresh. Validation scores from before are never kept.
    keep_state : bool, default False
        Whether to keep the state that `warm_start` continues from, in ``runs.state``.
    dtype : {"float32", "float64"}, default "float32"
        The dtype of all computations of the nets.
    kernel : {"lanes", "units"}, optional
        "lanes" trains one net in each vector lane, "units" one net at a time with its units as lanes. Both give the
        same bits; by default the faster one is chosen.
    threads : int, optional
        Default: the processors that this process may use.
    checkpoint : path, optional
        A new file that keeps the job while it runs (extra ``files``), so that `resume` can continue it after a kill, an
        interrupt or a crash, to the same bits. A complete file exists at any moment; the data are not in it. A
        checkpoint takes the memory of the optimizer's state, and of a copy of the weights while it is written.
    checkpoint_every : float, default 60.0
        Least number of seconds between two writes of the checkpoint; epochs are completed first.
    progress : bool, default False
        Whether to show a progress bar on standard error.
    callback : callable, optional
        Called repeatedly with a `Progress`, in the calling thread. If it returns a true value, training stops
        and unfinished nets have `Status.INTERRUPTED`.

    Returns
    -------
    Runs

    Raises
    ------
    ValueError, TypeError
        For invalid input, before any work starts.
    MemoryError
        If the results do not fit into free memory.
    OSError
        If the first checkpoint cannot be written; later failures are warnings.
    TrainingInterrupted
        On Ctrl-C or SIGTERM, within half a second plus the time to draw initial weights of nets that have not started,
        and to write the checkpoint; its `runs` holds the results so far. A second Ctrl-C returns at once. This applies
        in the main thread, unless the program has its own handlers of the signals.

    Notes
    -----
    `record_every` records the loss of the weights between epochs. With the full batch, stopping rules use this loss
    too, from epoch 0 on; only computing the loss costs time. With minibatches or dropout (also with an array of dropout
    that is all 0) the rules use, after each epoch, the mean of its minibatches' losses, each before its update, and the
    accuracy likewise, as scikit-learn does. A net that seems to have reached its target by these is then measured, and
    stops only if it has. So a net with `Status.RAN_ALL_EPOCHS` can have a loss below its target. ``runs.loss`` is
    always the loss of the weights in ``runs``.

    A net has diverged, and stops, if a gradient at its outputs is not finite, or its loss when a rule or the end of
    training computes it. It keeps its weights, which may have overflowed too.

    Examples
    --------
    >>> import fastmlp
    >>> arch = fastmlp.Architecture((2, 4, 1))
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(arch, X, y, n_nets=1000, optimizer=fastmlp.SGD(0.5), epochs=2000)
    >>> runs.best().predict(X).round().ravel().tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    refuse_unknown("train", unknown, _ARGUMENTS)
    settings = TrainSettings(
        architecture, as_optimizer(optimizer), epochs, loss, init, batch_size, shuffle, l2, dropout
    )
    settings = settings.changed(sample_weight=sample_weight, bootstrap=bootstrap, schedule=schedule, dtype=dtype)
    settings = settings.changed(
        target_loss=target_loss, target_accuracy=target_accuracy, patience=patience, tol=tol, validation=validation
    )
    settings = settings.changed(
        validation_score=validation_score, restore_best=restore_best, record_every=record_every, keep_state=keep_state
    )
    rows = own_samples.rows_or_groups(rows, groups, X)
    settings = settings.changed(rows=rows, rows_of=rows_of, validation_rows=validation_rows)
    own_samples.refuse_two_readings(settings, X, y, n_nets)
    nets, how = NetSelection(n_nets, net_ids, seed, warm_start), HowToRun(kernel, threads, progress, callback)
    kept = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every, settings.optimizer)
    if restart_stuck is None:
        return train_nets(settings, X, y, nets, how, kept)
    return _train_until_solved(settings, X, y, nets, how, restart_stuck, kept)


_ARGUMENTS = set(inspect.signature(train).parameters) - {"unknown"}


@dataclass(frozen=True)
class HowToRun:
    """Arguments of `train` that do not affect the results."""

    kernel: str | None = None
    threads: int | None = None
    progress: bool = False
    callback: Callback | None = None


def train_nets(
    settings: TrainSettings,
    X: Any,
    y: Any,
    nets: NetSelection,
    how: HowToRun = HowToRun(),
    checkpoint: Checkpoint | None = None,
) -> Runs:
    """`train` with collected settings; keeps a new `checkpoint` up to date."""
    _refuse_uncallable(how.callback)
    how = replace(how, threads=thread_count(how.threads))
    options = JobOptions(resumable=checkpoint is not None)
    job, runs = prepare_job(settings, X, y, nets, kernel=how.kernel, threads=how.threads, options=options)
    _record(runs, job, nets.warm_start is not None)
    return _to_the_end(job, runs, how, checkpoint)


def _train_until_solved(
    settings: TrainSettings,
    X: Any,
    y: Any,
    nets: NetSelection,
    how: HowToRun,
    restart_stuck: Any,
    checkpoint: Checkpoint | None,
) -> Runs:
    others = {"warm_start": nets.warm_start, "checkpoint": checkpoint, "callback": how.callback}
    most = most_restarts(restart_stuck, settings, y, nets.net_ids, others)

    def train_some(some: TrainSettings, ids: np.ndarray, stuck: np.ndarray, n_nets: int) -> Runs:
        again = some.changed(record_every=settings.record_every)
        again, own_X, own_y = own_samples.of_nets(again, X, y, stuck, n_nets)
        return train_nets(again, own_X, own_y, NetSelection(net_ids=ids, seed=nets.seed), how)

    return train_until_solved(most, settings, lambda: train_nets(settings, X, y, nets, how), train_some)


def _train_again(settings: TrainSettings, X: Any, y: Any, nets: NetSelection, threads: int | None) -> Runs:
    return train_nets(settings, X, y, nets, HowToRun(threads=threads))


Runs._train = staticmethod(_train_again)  # diagnoses and animations train nets again


def _record(runs: Runs, job: Job, went_on: bool) -> None:
    """Record the settings in the results.

    After a warm start they do not describe the whole training. With samples of each net's own no call is kept, because
    it could not be repeated with the same samples for all nets.
    """
    runs.settings = job.settings.recorded(len(runs), went_on)
    if job.own is not None:
        runs.settings["rows"] = AN_ARRAY
    runs.call = None if went_on or job.own is not None else job.settings.kept()


def resume(  # noqa: PLR0913
    path: str | os.PathLike,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    validation: Any = None,
    rows: Any = None,
    rows_of: Any = None,
    groups: Any = None,
    validation_rows: Any = None,
    schedule: Any = None,
    checkpoint_every: float = 60.0,
    kernel: str | None = None,
    threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> Runs:
    """Continue a job of ``train(..., checkpoint=path)``, to the same bits as without the stop.

    The number of threads, the kernel and the processor may differ from before. A job that was begun with another
    `fastmlp.BITS_VERSION` goes on with a warning, for its nets may end with other bits.

    Parameters
    ----------
    path : str or path
        The checkpoint. It is kept up to date as before. The checkpoint of a finished job gives its results again.
    X, y, sample_weight, validation, rows, rows_of, groups, validation_rows
        The data of the job. The file has a hash of them, and other data are refused.
    schedule : function, optional
        The schedule of the job, if that was a function, which a file cannot hold.
    checkpoint_every, kernel, threads, progress, callback
        As for `train`.

    Returns
    -------
    Runs

    Raises
    ------
    FileFormatError
        If the file is incomplete, damaged, or of another kind.
    ValueError, TypeError
        For other data than those of the job, or invalid input.
    MemoryError, OSError, TrainingInterrupted
        As for `train`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> job = pathlib.Path(tempfile.mkdtemp()) / "job"
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, epochs=50, checkpoint=job)
    >>> again = fastmlp.resume(job, X, y)  # here the job had ended: its results
    >>> again.weights_sha256() == runs.weights_sha256()
    True
    """
    _refuse_uncallable(callback)
    saved = load_checkpoint(path)
    if saved.needs_schedule != (schedule is not None) or (schedule is not None and not callable(schedule)):
        needed = "schedule, the function" if saved.needs_schedule else "no schedule, because the file holds the one"
        raise ValueError(f"schedule={schedule!r}: needs {needed} that the job started with")
    held_out = validation is not None or validation_rows is not None
    if (saved.hashes["validation"] is None) == held_out:
        raise ValueError(
            "the job has no validation data: leave validation out"
            if held_out
            else "the job has validation data: pass the same data as validation"
        )
    settings = saved.settings.changed(sample_weight=sample_weight, validation=validation, init="he_uniform")
    rows = own_samples.rows_or_groups(rows, groups, X)
    settings = settings.changed(rows=rows, rows_of=rows_of, validation_rows=validation_rows)
    if schedule is not None:
        settings = settings.changed(schedule=schedule)
    kept = Checkpoint(path, checkpoint_every, settings.optimizer, saved.hashes)
    job, runs = prepare_job(
        settings,
        X,
        y,
        NetSelection(net_ids=saved.runs.net_ids, seed=saved.runs.seed),
        kernel=kernel,
        threads=threads,
        options=JobOptions(first_epoch=saved.first_epoch, resumable=True),
    )
    saved.refuse_other_data(job)
    job = saved.put_into(job, runs)
    _record(runs, job, went_on=False)
    if job.settings.init is NOT_KEPT:
        runs.call = None
    return _to_the_end(job, runs, HowToRun(kernel, threads, progress, callback), kept)


def _refuse_uncallable(callback: object) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r}: needs a function of one argument")


def _to_the_end(job: Job, runs: Runs, how: HowToRun, checkpoint: Checkpoint | None) -> Runs:
    if checkpoint is not None and (runs.status == Status.INTERRUPTED).any():
        checkpoint.begin(job, runs)
    runner = Runner(job, runs, thread_count(how.threads))
    try:
        runner.compile(how.progress)
    except KeyboardInterrupt:
        if checkpoint is None:
            raise
        path = str(checkpoint.path)
        raise KeyboardInterrupt(f"before training started; fastmlp.resume({path!r}, X, y) starts it") from None
    received = runner.run(how.progress, how.callback, checkpoint)
    if received is not None:
        raise TrainingInterrupted(runs, received, checkpoint)
    return runs
