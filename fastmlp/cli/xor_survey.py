"""`fastmlp xor --executor` and `--folder`: any number of restarts, of which only a summary is kept."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

import numpy as np

import fastmlp
from fastmlp.cli import xor
from fastmlp.cli.executors import check_executor, executor_of, exit_code
from fastmlp.surveying import PARTS
from fastmlp.surveying.bins import Bins


def run(options: argparse.Namespace) -> int:
    """Survey the restarts, then print the report or the JSON object; returns the exit code."""
    options.executor = options.executor or "here"
    if options.checkpoint is not None:
        raise ValueError("--checkpoint keeps the nets of a job without --executor and --folder: leave one of them out")
    check_executor(options)
    try:
        found, code = _survey(options), 0
    except fastmlp.SurveyInterrupted as interruption:
        found, code = interruption.survey, exit_code(interruption)
        advice = "--folder FOLDER keeps a survey, to continue it later"
        if options.folder is not None:
            advice = "the same command continues it"
        print(f"fastmlp {options.command}: interrupted; the nets so far follow; {advice}", file=sys.stderr)
    except fastmlp.SurveyError as error:
        found, code = error.survey, 1
        print(f"fastmlp {options.command}: {error}", file=sys.stderr)
    facts = _facts(found, options)
    if options.json:
        print(json.dumps(facts))
    else:
        _report(found, facts, options)
    return code


def _survey(options: argparse.Namespace) -> fastmlp.Survey:
    with executor_of(options) as executor:
        return fastmlp.survey(
            **xor.job_of(options),
            executor=executor,
            folder=options.folder,
            shard_threads=options.threads if executor is None else None,
        )


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
        "net_epochs_per_second": found.net_epochs_here / found.seconds if found.seconds else 0.0,
        "executor": options.executor,
        **xor.asked_for(options),
        "fingerprint": found.fingerprint,
    }


def _report(found: fastmlp.Survey, facts: dict[str, Any], options: argparse.Namespace) -> None:
    print(xor.heading(options.restarts, options))
    if not found.complete:
        print(f"{len(found):,} of them were trained")
    if not len(found):
        if options.executor == PARTS:
            print(f"`fastmlp survey run {options.folder} --part 1/100`, and so on, trains them")
        return
    spread = None
    if found.status["reached_target"]:
        spread = np.array([_percentile(found.summary.epochs["reached_target"], share) for share in xor.SHARES])
        spread = spread.round().astype(int)
    below = found.summary.losses.counts_below(np.array([*xor.LOSS_BINS[:-1], np.inf]))
    xor.print_outcome(facts, spread, xor.drawn(np.diff(below)))
    best = ", ".join(f"{net.number} ({net.loss:.4f})" for net in found.best[:5])
    print(f"Nets of least loss, by number: {best}")
    if options.executor == PARTS:
        print(f"{found.net_epochs:,} net-epochs, trained in parts")
    else:
        before = found.net_epochs - found.net_epochs_here
        print(
            f"Took {found.seconds:.1f} s with --executor {options.executor}: {found.net_epochs_here:,} net-epochs, "
            f"{facts['net_epochs_per_second'] / 1e6:,.1f} million a second"
            + (f"; {before:,} were in the folder" if before else "")
        )
    print(f"Fingerprint of all nets: {found.fingerprint}")


def _percentile(bins: Bins, share: float) -> float:
    """As `numpy.percentile`, between the two numbers next to it."""
    place = share / 100 * (len(bins) - 1)
    below, above = (bins.order_statistic(rank)[0] for rank in (math.floor(place), math.ceil(place)))
    return below + (place - math.floor(place)) * (above - below)
