"""`survey`: train any number of nets and keep what is worth knowing of them, on any executor."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Literal

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp.architecture import Architecture
from fastmlp.distributing.dispatcher import ExecutorError
from fastmlp.distributing.engines import Engine, engine_of
from fastmlp.surveying.description import Description, described
from fastmlp.surveying.driver import Driver, HowToRun, Progress, ShardError
from fastmlp.surveying.folder import Folder
from fastmlp.surveying.found import Range
from fastmlp.surveying.results import Survey
from fastmlp.surveying.shard import NETS
from fastmlp.surveying.stopped import SurveyError, SurveyInterrupted

MOST_RETRIES = 1000
PARTS = "parts"
Callback = Callable[[Progress], Any]

__all__ = ["Progress", "Survey", "SurveyError", "SurveyInterrupted", "run_part", "survey"]


def survey(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    n_nets: int,
    first_net: int = 0,
    keep: int = 100,
    nets: Literal["none", "best", "solved", "all"] = "none",
    solved_loss: float | None = None,
    executor: Any = None,
    folder: str | os.PathLike | None = None,
    shard_nets: int | None = None,
    shard_seconds: float = 10.0,
    shard_threads: int | None = None,
    retries: int = 3,
    verify: float = 0.0,
    on_failure: Literal["raise", "skip"] = "raise",
    progress: bool = False,
    callback: Callback | None = None,
    **settings: Any,
) -> Survey:
    """Train any number of nets, and keep counts, losses, the best nets and a sample, but not all of the nets.

    Memory does not grow with the number of nets, and a net's number is enough to train it again. Every net has the bits
    that `train` gives it, and the results are the same for every executor, shard size and order.

    Parameters
    ----------
    architecture, X, y
        As for `train`.
    n_nets : int
        Number of nets: those with the numbers from `first_net` on.
    first_net : int, default 0
    keep : int, default 100
        Most nets in ``Survey.best`` and in ``Survey.sample``, at most 10,000.
    nets : {"none", "best", "solved", "all"}, default "none"
        Which nets to keep with their weights, in ``Survey.nets``; all of these must fit into memory. A net that was
        restarted has the number of its last restart there, as after `train`.
    solved_loss : float, optional
        A net is solved if its loss is at most this. Default: if every sample is on the right side, or, if targets are
        not classes, if the loss is at most a hundredth of their variance.
    executor : optional
        What runs the shards. None: this process, on all threads. Or anything that follows
        ``concurrent.futures.Executor`` (``ProcessPoolExecutor``, loky, mpi4py's ``MPIPoolExecutor``), a
        ``dask.distributed.Client``, the module ``ray``, or "joblib" for what ``joblib.parallel_config`` names. Workers
        need the same version of fastmlp. "parts" trains nothing: it writes `folder` for ``fastmlp survey run``, and
        returns what is there.
    folder : path, optional
        A new folder that keeps the survey: its settings and samples, a small file for each finished shard, and the nets
        to keep in safetensors files (extra ``files``). The same call with the same folder goes on after a kill or an
        interrupt, and gives the same results; the executor and the shards may differ. What is there and whole is not
        trained again.
    shard_nets : int, optional
        Nets in a shard; default: what takes about `shard_seconds`.
    shard_seconds : float, default 10.0
    shard_threads : int, optional
        Threads of a shard; default 1 with an executor, and all that this process may use without one.
    retries : int, default 3
        A shard counts as failed when it has failed this many times.
    verify : float, default 0.0
        Share of the shards, from 0 to 1, that are trained twice and compared. If they differ, a third time decides,
        with a warning that names the machine whose result was different.
    on_failure : {"raise", "skip"}, default "raise"
        Whether a failed shard ends the survey, or is left out and listed in ``Survey.failed``.
    progress : bool, default False
        Whether to show a progress bar on standard error.
    callback : callable, optional
        Called with a `fastmlp.surveying.Progress` after each shard. If it returns a true value, the survey stops and
        holds the nets so far.
    **settings
        Settings of `train`; with an array, one value for each of the nets. Not `net_ids`, `warm_start`, `keep_state`,
        `record_every`, `checkpoint`, `kernel` and `threads`. A schedule that is a function is called here once for each
        epoch.

    Returns
    -------
    Survey

    Raises
    ------
    ValueError, TypeError
        For invalid input, before any work starts.
    SurveyError
        If a shard has failed `retries` times, the executor takes no more tasks, or `callback` raises an error;
        ``.survey`` holds the other nets.
    OSError
        If a file of `folder` cannot be written.
    SurveyInterrupted
        On Ctrl-C or SIGTERM, a `KeyboardInterrupt`; ``.survey`` holds the nets so far.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> found = fastmlp.survey(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=20_000, optimizer=fastmlp.SGD(0.5),
    ...                        epochs=500, target_loss=0.1)
    >>> found.n_solved
    13006
    >>> nets = found.retrain([net.number for net in found.best[:3]])
    >>> [float(loss) for loss in nets.loss] == [net.loss for net in found.best[:3]]
    True
    """
    about = described(
        architecture, X, y, n_nets=n_nets, first_net=first_net, keep=keep, solved_loss=solved_loss, settings=settings
    )
    choose("nets", nets, dict.fromkeys(NETS))
    how = _how(executor, shard_nets, shard_seconds, shard_threads, retries, verify, on_failure)
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r}: needs a function of one argument")
    if isinstance(executor, str) and executor == PARTS:
        if folder is None:
            raise ValueError(f"executor={PARTS!r} leaves the work to `fastmlp survey run FOLDER`: pass folder too")
        Folder.made(folder, about, nets)
        return Survey.from_folder(folder)
    with contextlib.closing(engine_of(executor)) as engine:
        kept = None if folder is None else Folder.made(folder, about, nets)
        return _run(about, nets, engine, how, kept, None, progress, callback)


def run_part(
    folder: str | os.PathLike,
    part: int = 1,
    of: int = 1,
    *,
    executor: Any = None,
    shard_nets: int | None = None,
    shard_seconds: float = 10.0,
    shard_threads: int | None = None,
    retries: int = 3,
    on_failure: Literal["raise", "skip"] = "raise",
    progress: bool = False,
) -> Survey:
    """Train a part of a survey in a folder, of which a call of `fastmlp.survey` has written the description.

    What is there and whole is not trained again. Parts may run at the same time, on different machines.

    Parameters
    ----------
    folder : path
    part, of : int
        The number of this part, from 1, and how many there are; by default there is one.
    executor, shard_nets, shard_seconds, shard_threads, retries, on_failure, progress
        As for `fastmlp.survey`.

    Returns
    -------
    Survey
        The nets of this part, but for those in files that have nets of other parts too.

    Examples
    --------
    >>> import tempfile
    >>> import fastmlp
    >>> from fastmlp.surveying import run_part
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> folder = tempfile.mkdtemp()
    >>> arch = fastmlp.Architecture((2, 4, 1))
    >>> _ = fastmlp.survey(arch, X, y, n_nets=1000, epochs=10, folder=folder, executor="parts")
    >>> len(run_part(folder, 1, 2)), len(run_part(folder, 2, 2))
    (500, 500)
    >>> fastmlp.Survey.from_folder(folder).complete
    True
    """
    of = checks.whole_number("of", of, 1)
    part = checks.whole_number("part", part, 1)
    if part > of:
        raise ValueError(f"part={part} of {of}: parts are numbered from 1 to {of}")
    how = _how(executor, shard_nets, shard_seconds, shard_threads, retries, 0.0, on_failure)
    there, about = Folder.opened(folder)
    begin, end = (about.first_net + k * about.n_nets // of for k in (part - 1, part))
    there.refuse_if_read_only()
    with contextlib.closing(engine_of(executor)) as engine:
        return _run(about, there.nets, engine, how, there, (begin, end), progress, None)


def _run(
    about: Description,
    nets: str,
    engine: Engine,
    how: HowToRun,
    folder: Folder | None,
    part: Range | None,
    progress: bool,
    callback: Callback | None,
) -> Survey:
    begun = time.perf_counter()
    first, stop = part or (about.first_net, about.stop)
    bar = _progress_bar(stop - first) if progress else None

    def report(state: Progress) -> object:
        if bar is not None:
            bar.update(state.done - bar.n)
        return callback(state) if callback is not None else False

    driver = Driver(about, nets, (first, stop), engine, how, report, folder)

    def found() -> Survey:
        return Survey.of(driver.found, time.perf_counter() - begun, driver.net_epochs_before)

    try:
        driver.run()
    except (ShardError, ExecutorError) as error:
        raise SurveyError(str(error), found()) from error.__cause__
    except KeyboardInterrupt as error:
        raise SurveyInterrupted(found(), getattr(error, "signal", signal.SIGINT)) from None
    finally:
        if bar is not None:
            bar.close()
    return found()


def _how(
    executor: Any, shard_nets: Any, shard_seconds: Any, shard_threads: Any, retries: Any, verify: Any, on_failure: Any
) -> HowToRun:
    choose("on_failure", on_failure, {"raise": None, "skip": None})
    seconds = checks.bounded("shard_seconds", shard_seconds, 1, 1e-3)
    share = checks.bounded("verify", verify, 1, 0.0, 1.0)
    for name, value in (("shard_seconds", seconds), ("verify", share)):
        if not isinstance(value, float):
            raise TypeError(f"{name}={value!r}: needs one number")
    threads = shard_threads
    if threads is not None:
        threads = checks.whole_number("shard_threads", threads, 1, 1024)
    elif executor is not None:
        threads = 1
    return HowToRun(
        shard_nets=None if shard_nets is None else checks.whole_number("shard_nets", shard_nets, 1),
        shard_seconds=float(seconds),
        shard_threads=threads,
        retries=checks.whole_number("retries", retries, 1, MOST_RETRIES),
        verify=float(share),
        on_failure=on_failure,
    )


def _progress_bar(n_nets: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=n_nets, unit=" nets", unit_scale=True, mininterval=0.1, smoothing=0.1)
