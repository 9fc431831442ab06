"""`train` and `resume`: put the settings together, prepare the job, run it, and let its results tell of it."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from typing import Any, Literal, Never

import numpy as np

from fastmlp._check_values import refuse_unknown
from fastmlp._engine.job import Job
from fastmlp.architecture import Architecture
from fastmlp.initializers import Initializer
from fastmlp.optimizers import Optimizer
from fastmlp.runs import Runs, Status
from fastmlp.settings import NOT_KEPT, NetSelection, TrainSettings, as_optimizer
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
    """Train many nets of one architecture on the same samples, at once.

    The same data, settings, seed and net number give the same bits, whatever the number of other nets, the number
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
        From 0 to 2**64 − 1. With the net's number it fixes the initial weights, dropout and bootstrap; the order of
        samples in an epoch follows from the seed alone, unless each net has its own.
    optimizer : Optimizer or str, default "adam"
        `SGD`, `Adam`, `RMSprop`, `Rprop`, or one of "sgd", "adam", "rmsprop", "rprop" for its defaults.
    epochs : int, default 1000
        Passes over the samples, at most.
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
        Samples in a minibatch; None for all. The last minibatch of an epoch may be smaller.
    shuffle : bool or "by_net", default True
        Whether minibatches are drawn in a new order each epoch, the same for all nets, or for each net its own; the
        latter trains one net at a time, which takes several times as long for small nets.
    l2 : float or array of shape (n_nets,), default 0.0
        Adds l2/2 times the sum of squared weights (not biases) to the loss.
    dropout : float or array of shape (n_nets,), default 0.0
        The probability, from 0 to below 1, with which a hidden unit is left out while a sample is trained on; what
        stays is divided by the probability to stay. Which are left out follows from the seed, the net's number, the
        epoch and the sample. Losses after training, and predictions, are those of the whole net; the rules see the
        losses of training.
    sample_weight : array_like of shape (n_samples,) or (n_nets, n_samples), optional
        A mean is then the weighted sum over the sum of the weights, in each minibatch.
    bootstrap : bool, default False
        Whether each net trains on as many samples as there are, drawn with replacement from its seed and number: its
        sample weights are multiplied with how often it drew each.
    target_loss, target_accuracy : float or array of shape (n_nets,), optional
        A net stops when its loss is at most, or its accuracy (by sample weight) at least, this.
    patience : int or array of shape (n_nets,), optional
        A net stops when its loss has not fallen by `tol` below its best for this many epochs in a row.
    tol : float or array of shape (n_nets,), default 1e-4
        See `patience`.
    schedule : function, array of shape (epochs,) or "adaptive", optional
        What the learning rate is multiplied with in each epoch: a function of the epoch's number, from 0, or the
        factors themselves. A function is called by several threads, though one at a time, in no fixed order and more
        than once for an epoch: it must depend on its argument alone. "adaptive" divides a net's learning rate by 5
        whenever its `patience` is over, and stops it only when its rate is no more than 1e-6.
    validation : pair (X, y) or triple (X, y, sample_weight), optional
        Samples that are not trained on. Every net is scored on them after each epoch; `patience` then counts epochs in
        which the score has not risen by `tol`.
    validation_score : {"loss", "accuracy", "r2"}, default "loss"
        What the score is: the loss with its sign turned; the share of samples, by weight, with every output on the
        right side; or the coefficient of determination, for the squared error.
    record_every : int, optional
        Keep the loss after every `record_every` epochs, in ``runs.history``.
    net_ids : array_like of int, optional
        The nets' numbers, from 0 to 2**63 − 1; default ``range(n_nets)``. A shard of a larger job is a range of them.
    restore_best : bool, default True
        Whether each net in the end gets back the weights that scored best on the validation data, but for those that
        reached a target.
    restart_stuck : int, optional
        Start a net that ends unsolved again, from a fresh seed, at most this many times, until all `n_nets` are solved:
        have reached `target_loss` or `target_accuracy`, or without these have every sample on the right side. The k-th
        restart of net i is the net of number i + k · 2**40; ``runs.restarts`` counts them, and ``runs.net_ids`` has the
        numbers of those that stayed. With `patience` a net that is stuck is found out before its epochs are over.
    warm_start : Runs, optional
        Train these nets, stopped or not, for `epochs` more, with their weights, numbers and seed; leave `n_nets`,
        `net_ids`, `init` and `seed` out. If they were trained with `keep_state`, the optimizer's state, what `patience`
        has seen of the training loss, and the order of samples go on too, so that a + b epochs give the bits of a and b
        in one go; else those start fresh. What was seen of validation data is not kept.
    keep_state : bool, default False
        Whether to keep what `warm_start` can go on from, in ``runs.state``.
    dtype : {"float32", "float64"}, default "float32"
        What the nets compute in.
    kernel : {"lanes", "units"}, optional
        How to compute: one net a vector lane, or one net at a time with its units as lanes. The bits are the same, and
        the faster one is chosen by default.
    threads : int, optional
        Default: the processors that this process may use.
    checkpoint : path, optional
        A new file to keep the job in while it runs (extra ``files``): `resume` goes on from it, to the same bits,
        after a kill, an interrupt or a crash. At any moment there is a whole one; the data are not in it. It takes the
        memory of the optimizer's state in addition to the results, and of a copy of the weights while it is written.
    checkpoint_every : float, default 60.0
        Seconds from one writing of the checkpoint to the next, at least; an epoch is not cut short for it.
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
    OSError
        When the checkpoint cannot be written at the beginning; later that is a warning.
    TrainingInterrupted
        On Ctrl-C or SIGTERM, within half a second plus the time to draw initial weights for nets not yet begun, and to
        write the checkpoint; its `runs` holds what is trained so far. A second Ctrl-C leaves at once. This holds in the
        main thread, and unless the program has set handlers of its own for the signals.

    Notes
    -----
    `record_every` looks at the weights between epochs, and so do stopping rules with the full batch, from epoch 0 on,
    at no cost but the loss. With minibatches or dropout (an array of dropout counts even where it is 0) the rules look,
    after each epoch, at the mean of the losses that its minibatches had, each before its update, and likewise at the
    accuracy, as scikit-learn does; a net that seems to have reached its target is measured, and stops if it has. So a
    net that ends with `Status.RAN_ALL_EPOCHS` may have a loss below its target. ``runs.loss`` is always the loss of
    the weights in ``runs``.

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
    nets, how = NetSelection(n_nets, net_ids, seed, warm_start), HowToRun(kernel, threads, progress, callback)
    kept = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every, settings.optimizer)
    if restart_stuck is None:
        return train_nets(settings, X, y, nets, how, kept)
    return _train_until_solved(settings, X, y, nets, how, restart_stuck, kept)


_ARGUMENTS = set(inspect.signature(train).parameters) - {"unknown"}


@dataclass(frozen=True)
class HowToRun:
    """What changes nothing about the results; `train` describes it."""

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
    """`train`, by settings that are put together already; a new `checkpoint` is kept up to date."""
    _refuse_uncallable(how.callback)
    options = JobOptions(resumable=checkpoint is not None)
    job, runs = prepare_job(settings, X, y, nets, kernel=how.kernel, threads=how.threads, options=options)
    _record(runs, job.settings, nets.warm_start is not None)
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

    def train_some(some: TrainSettings, ids: np.ndarray) -> Runs:
        again = some.changed(record_every=settings.record_every)
        return train_nets(again, X, y, NetSelection(net_ids=ids, seed=nets.seed), how)

    return train_until_solved(most, lambda: train_nets(settings, X, y, nets, how), train_some)


def _train_again(settings: TrainSettings, X: Any, y: Any, nets: NetSelection, threads: int | None) -> Runs:
    return train_nets(settings, X, y, nets, HowToRun(threads=threads))


Runs._train = staticmethod(_train_again)  # for diagnoses and animations, which train nets again


def _record(runs: Runs, settings: TrainSettings, went_on: bool) -> None:
    """Let the results tell how they were trained; of nets that went on from others the history is not known."""
    runs.settings = settings.recorded(len(runs), went_on)
    runs.call = None if went_on else settings.kept()


def resume(  # noqa: PLR0913
    path: str | os.PathLike,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    validation: Any = None,
    schedule: Any = None,
    checkpoint_every: float = 60.0,
    kernel: str | None = None,
    threads: int | None = None,
    progress: bool = False,
    callback: Callback | None = None,
) -> Runs:
    """Go on with a job that was begun with ``train(..., checkpoint=path)``, to the bits that it would have had.

    The number of threads, the kernel and the processor may be others than before.

    Parameters
    ----------
    path : str or path
        The checkpoint. It is kept up to date as before; that of a job that is done gives its results again.
    X, y, sample_weight, validation
        The data that the job was begun with. They are not in the file, but a hash of them is, and others are refused.
    schedule : function, optional
        The schedule that the job was begun with, if that was a function, which no file can hold.
    checkpoint_every, kernel, threads, progress, callback
        As for `train`.

    Returns
    -------
    Runs

    Raises
    ------
    FileFormatError
        Where the file is not whole or not such a file.
    ValueError, TypeError
        For other data, or input that makes no sense.
    MemoryError, OSError, TrainingInterrupted
        As for `train`.
    """
    _refuse_uncallable(callback)
    saved = load_checkpoint(path)
    if saved.needs_schedule != (schedule is not None) or (schedule is not None and not callable(schedule)):
        needed = "schedule, the function" if saved.needs_schedule else "no schedule: the file holds the one"
        raise ValueError(f"schedule={schedule!r}: needs {needed} that the job was begun with")
    if (saved.hashes["validation"] is None) != (validation is None):
        raise ValueError(
            "the job was begun without validation data: leave validation out"
            if validation is not None
            else "the job was begun with validation data: pass the same as validation"
        )
    settings = saved.settings.changed(sample_weight=sample_weight, validation=validation, init="he_uniform")
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
    _record(runs, job.settings, went_on=False)
    if job.settings.init is NOT_KEPT:
        runs.call = None
    return _to_the_end(job, runs, HowToRun(kernel, threads, progress, callback), kept)


def _refuse_uncallable(callback: object) -> None:
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r}: needs a function of one argument")


def _to_the_end(job: Job, runs: Runs, how: HowToRun, checkpoint: Checkpoint | None) -> Runs:
    if checkpoint is not None and (runs.status == Status.INTERRUPTED).any():
        checkpoint.begin(job, runs)
    runner = Runner(job, runs, how.threads)
    try:
        runner.compile()
    except KeyboardInterrupt:
        if checkpoint is None:
            raise
        path = str(checkpoint.path)
        raise KeyboardInterrupt(f"before training began; fastmlp.resume({path!r}, X, y) begins it") from None
    received = runner.run(how.progress, how.callback, checkpoint)
    if received is not None:
        raise TrainingInterrupted(runs, received, checkpoint)
    return runs
