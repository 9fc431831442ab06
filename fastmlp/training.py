"""`train`: check what the user wrote, plan, allocate, run chunks of nets on threads, gather."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from fastmlp import _threads
from fastmlp._jobs import Job, Report
from fastmlp._planning import planned
from fastmlp.architecture import Architecture
from fastmlp.initializers import Initializer
from fastmlp.optimizers import Optimizer
from fastmlp.runs import Runs


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
    ones), the epochs they had completed, and NaN for loss and accuracy; with validation data they have their best
    weights, and what those come to.
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
    shuffle: bool | str = True,
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
    validation_score: str = "loss",
    restore_best: bool = True,
    record_every: int | None = None,
    net_ids: Any = None,
    warm_start: Runs | None = None,
    keep_state: bool = False,
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
        A net stops when its loss is at most, or its accuracy at least, this.
    patience : int or array of shape (n_nets,), optional
        A net stops when its loss has not fallen by `tol` below its best for so many epochs in a row.
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
        Keep the loss every so many epochs, in ``runs.history``.
    net_ids : array_like of int, optional
        The nets' numbers, from 0 to 2**63 − 1; default ``range(n_nets)``. A shard of a larger job is a range of them.
    restore_best : bool, default True
        Whether each net in the end gets back the weights that scored best on the validation data, but for those that
        reached a target.
    warm_start : Runs, optional
        Train these nets, stopped or not, for `epochs` more, with their weights, numbers and seed; leave `n_nets`,
        `net_ids`, `init` and `seed` out. If they were trained with `keep_state`, the optimizer's state, what `patience`
        has seen of the training loss, and the order of samples go on too, so that a + b epochs give the bits of a and b
        in one go; else those begin anew. What was seen of validation data is not kept.
    keep_state : bool, default False
        Whether to keep what `warm_start` can go on from, in ``runs.state``.
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
    at no cost but the loss. With minibatches or dropout (an array of dropout counts even where it is 0) the rules look,
    after each epoch, at the mean of the losses that its minibatches had, each before its update, and likewise at the
    accuracy, as scikit-learn does; a net that seems to have reached its target is measured, and stops if it has.
    ``runs.loss`` is always the loss of the weights in ``runs``.

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
    if interrupted and runs.state is not None:
        runs.state = runs.state._replace(epoch=int(runs.epochs.max()))
    if job.earlier_epochs is not None:
        runs.epochs += job.earlier_epochs - job.first_epoch
    runs.train_seconds = time.perf_counter() - begun
    return interrupted


def _progress_bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=" net-epochs", unit_scale=True, mininterval=0.1, smoothing=0.1)
