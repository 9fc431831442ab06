"""`survey`: train any number of nets and keep what is worth knowing of them, on any executor."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Literal

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp.architecture import Architecture
from fastmlp.surveying.description import Description, described
from fastmlp.surveying.driver import Driver, Found, Plan, Progress, ShardError
from fastmlp.surveying.engines import engine_of
from fastmlp.surveying.folder import Folder
from fastmlp.surveying.results import Survey
from fastmlp.surveying.shard import NETS, numbers_of, together
from fastmlp.surveying.stopped import SurveyError, SurveyInterrupted

MOST_RETRIES = 1000
Callback = Callable[[Progress], Any]

__all__ = ["Progress", "Survey", "SurveyError", "SurveyInterrupted", "survey"]


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
        ``dask.distributed.Client``, or the module ``ray``. Workers need the same version of fastmlp.
    folder : path, optional
        A new folder that keeps the survey: a small file for each finished shard, and the nets to keep in safetensors
        files (extra ``files``). The same call with the same folder goes on after a kill or an interrupt, and gives the
        same results; the executor and the shards may differ. What is there and whole is not trained again.
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
        On Ctrl-C, a `KeyboardInterrupt`; ``.survey`` holds the nets so far.

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
    plan = _plan(shard_nets, shard_seconds, shard_threads, retries, verify, nets, executor)
    choose("on_failure", on_failure, {"raise": None, "skip": None})
    if callback is not None and not callable(callback):
        raise TypeError(f"callback={callback!r}: needs a function of one argument")
    engine, begun = engine_of(executor), time.perf_counter()
    kept = None if folder is None else Folder(folder, about, nets)
    bar = _progress_bar(about) if progress else None

    def report(state: Progress) -> object:
        if bar is not None:
            bar.update(state.done - bar.n)
        return callback(state) if callback is not None else False

    driver = Driver(about, engine, plan, report, kept)
    try:
        found = driver.run(on_failure)
    except ShardError as error:
        raise SurveyError(str(error), _survey(about, driver.found, plan, begun)) from error.__cause__
    except KeyboardInterrupt:
        raise SurveyInterrupted(_survey(about, driver.found, plan, begun)) from None
    finally:
        engine.close()
        if bar is not None:
            bar.close()
    return _survey(about, found, plan, begun)


def _plan(
    shard_nets: Any, shard_seconds: Any, shard_threads: Any, retries: Any, verify: Any, nets: Any, executor: Any
) -> Plan:
    choose("nets", nets, dict.fromkeys(NETS))
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
    return Plan(
        shard_nets=None if shard_nets is None else checks.whole_number("shard_nets", shard_nets, 1),
        shard_seconds=float(seconds),
        shard_threads=threads,
        retries=checks.whole_number("retries", retries, 1, MOST_RETRIES),
        verify=float(share),
        nets=nets,
    )


def _survey(about: Description, found: Found, plan: Plan, begun: float) -> Survey:
    kept = None
    if found.nets and plan.nets != "none":
        kept = together(found.nets)
        if plan.nets != "best":
            kept = kept[numbers_of(kept, about).argsort(kind="stable")]
        call = about.settings_of_numbers(numbers_of(kept, about))
        if about.data.sample_weight is not None:
            call = call.changed(sample_weight=about.data.sample_weight)
        kept.call = call.kept()
    return Survey(
        about=about.as_plain(),
        done=found.done,
        failed=sorted(found.failed),
        summary=found.summary,
        nets=kept,
        seconds=time.perf_counter() - begun,
        _description=about,
    )


def _progress_bar(about: Description) -> Any:
    from tqdm import tqdm

    return tqdm(total=about.n_nets, unit=" nets", unit_scale=True, mininterval=0.1, smoothing=0.1)
