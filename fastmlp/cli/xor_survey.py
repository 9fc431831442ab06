"""`fastmlp xor --executor` and `--folder`: any number of restarts, of which only a summary is kept."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

import fastmlp
from fastmlp._engine.processors import thread_count
from fastmlp.cli import xor
from fastmlp.surveying.bins import Bins


def run(options: argparse.Namespace) -> int:
    """Survey the restarts, then print the report or the JSON object; returns the exit code."""
    options.executor = options.executor or "here"
    if options.checkpoint is not None:
        raise ValueError("--checkpoint keeps the nets of a job without --executor and --folder: leave one of them out")
    if options.scheduler is not None and options.executor not in ("dask", "ray"):
        raise ValueError("--scheduler is the address for --executor dask or ray: pass both")
    try:
        found, code = _survey(options), 0
    except fastmlp.SurveyInterrupted as interruption:
        found, code = interruption.survey, 130
        advice = "--folder FOLDER keeps a survey, to continue it later"
        if options.folder is not None:
            advice = "the same command continues it"
        print(f"fastmlp {options.command}: interrupted; the nets so far follow; {advice}", file=sys.stderr)
    facts = _facts(found, options)
    if options.json:
        print(json.dumps(facts))
    else:
        _report(found, facts, options)
    return code


def _survey(options: argparse.Namespace) -> fastmlp.Survey:
    with _executor(options) as executor:
        return fastmlp.survey(
            **xor.job_of(options),
            executor=executor,
            folder=options.folder,
            shard_threads=options.threads if executor is None else None,
        )


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Any]:
    """The executor that the options name, until the survey ends."""
    if options.executor == "here":
        yield None
    elif options.executor == "processes":
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(thread_count(options.threads), mp_context=context) as pool:
            yield pool
    elif options.executor == "dask":
        distributed = _imported("distributed", "dask")
        where = options.scheduler
        with distributed.Client(where) if where else distributed.Client(n_workers=options.threads) as client:
            yield client
    else:
        ray = _imported("ray", "ray")
        ray.init(address=options.scheduler, num_cpus=None if options.scheduler else options.threads)
        try:
            yield ray
        finally:
            ray.shutdown()


def _imported(module: str, extra: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise ImportError(f"--executor {extra} needs the extra: pip install 'fastmlp[{extra}]'") from error


def _facts(found: fastmlp.Survey, options: argparse.Namespace) -> dict[str, Any]:
    """The results for the report, by the names of `fastmlp xor` without an executor."""
    return {
        "restarts": options.restarts,
        "ended": len(found),
        "solved": found.n_solved,
        "solved_share": found.success_rate if len(found) else None,
        "solved_interval_95": list(found.success_interval),
        "status": {**found.status, "interrupted": options.restarts - len(found)},
        "seconds": found.seconds,
        "net_epochs": found.net_epochs,
        "net_epochs_per_second": found.net_epochs / max(found.seconds, 1e-9),
        "executor": options.executor,
        **xor.asked_for(options),
        "fingerprint": found.fingerprint,
    }


def _report(found: fastmlp.Survey, facts: dict[str, Any], options: argparse.Namespace) -> None:
    print(xor.heading(options.restarts, options))
    if not found.complete:
        print(f"{len(found):,} of them were trained")
    if not len(found):
        return
    spread = None
    if found.status["reached_target"]:
        spread = np.array([_percentile(found.summary.epochs["reached_target"], share) for share in xor.SHARES])
        spread = spread.round().astype(int)
    below = found.summary.losses.counts_below(np.array([*xor.LOSS_BINS[:-1], np.inf]))
    xor.print_outcome(facts, spread, xor.drawn(np.diff(below)))
    best = ", ".join(f"{net.number} ({net.loss:.4f})" for net in found.best[:5])
    print(f"Nets of least loss, by number: {best}")
    print(
        f"Took {found.seconds:.1f} s with --executor {options.executor}: {found.net_epochs:,} net-epochs, "
        f"{facts['net_epochs_per_second'] / 1e6:,.1f} million a second"
    )
    print(f"Fingerprint of all nets: {found.fingerprint}")


def _percentile(bins: Bins, share: float) -> float:
    """As `numpy.percentile`, between the two numbers next to it."""
    place = share / 100 * (len(bins) - 1)
    below, above = (bins.order_statistic(rank)[0] for rank in (math.floor(place), math.ceil(place)))
    return below + (place - math.floor(place)) * (above - below)
