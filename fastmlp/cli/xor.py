"""The command `fastmlp xor`: train many restarts of one small net on XOR, and report how many solve it."""

from __future__ import annotations

import argparse
import json
import sys
from math import log
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp._check_values import choose
from fastmlp._engine.processors import thread_count
from fastmlp._engine.tile_arrays import is_tiny
from fastmlp._io.paths import refuse_output
from fastmlp._simd.cpu import host_lanes
from fastmlp.cli.recipes import X, Y
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.runs import Runs, Status
from fastmlp.statistics import wilson_interval
from fastmlp.training.checkpoint import load_checkpoint

# A net stops when its mean loss over the four samples is at most this. Then no sample's loss exceeds 0.4, and each
# right answer has a probability of at least exp(−0.4) = 67 %.
STOP_AT_LOSS = 0.1

# In these steps a survey, which counts losses by their leading bits, has the same counts; the last takes all greater
LOSS_BINS = np.arange(27) / 32
SHARES = (5, 25, 50, 75, 95)  # % of the nets, for quantiles of epochs

# Losses at which many nets are stuck, and their four outputs
PLATEAUS = {
    log(2) / 2: "two right, two at 1/2",
    (log(3) + 2 * log(1.5)) / 4: "outputs 1/3, 1/3, 1, 1/3 or the like",
    log(2): "all four at 1/2",
}


def run(options: argparse.Namespace) -> int:
    """Train, then print the report or the JSON object; returns the exit code."""
    if options.scheduler is not None:
        raise ValueError("--scheduler is the address for --executor dask or ray: pass both")
    _refuse_picture(options, options.checkpoint)
    try:
        runs, interruption = _train(options), None
    except fastmlp.TrainingInterrupted as caught:
        runs, interruption = caught.runs, caught
    return _show(runs, options, interruption)


_OTHER_JOB = "{0} does not hold a job of `fastmlp xor`: continue it in Python with fastmlp.resume({0!r}, X, y)"


def resume(options: argparse.Namespace) -> int:
    """Continue a job of `run` that was stopped."""
    _refuse_picture(options, options.file)
    saved = load_checkpoint(options.file)
    arch, settings = saved.runs.architecture, saved.settings
    rate, stop = settings.optimizer.settings["learning_rate"], settings.target_loss
    if (
        np.ndim(rate)
        or isinstance(stop, np.ndarray)
        or stop not in (None, STOP_AT_LOSS)
        or not isinstance(settings.init, str)
    ):
        raise ValueError(_OTHER_JOB.format(options.file))
    # the options of `run`
    options.sizes, options.hidden = arch.sizes, arch.activations[0].name.lower()
    options.optimizer, options.learning_rate = settings.optimizer.name, rate
    options.init, options.epochs, options.seed = settings.init, settings.epochs, saved.runs.seed
    options.dtype, options.no_stop = str(settings.dtype), stop is None
    trained = int(saved.runs.epochs.sum())
    try:
        runs, interruption = (
            fastmlp.resume(
                options.file,
                X,
                Y,
                threads=options.threads,
                checkpoint_every=options.checkpoint_every,
                progress=not (options.json or options.no_progress),
            ),
            None,
        )
    except fastmlp.TrainingInterrupted as caught:
        runs, interruption = caught.runs, caught
    except ValueError as error:
        if "differs from that of the job" not in str(error):
            raise
        raise ValueError(_OTHER_JOB.format(options.file)) from None
    return _show(runs, options, interruption, trained)


def _refuse_picture(options: argparse.Namespace, checkpoint: str | None) -> None:
    if not (options.json or options.no_picture):
        refuse_output("--picture", options.picture, {"the checkpoint": checkpoint}, needs_folder=False)


def _show(
    runs: Runs, options: argparse.Namespace, interruption: fastmlp.TrainingInterrupted | None, trained: int = 0
) -> int:
    facts = _facts(runs, options, trained)
    if options.json:
        print(json.dumps(facts))
    else:
        _report(runs, facts, options)
    if interruption is None:
        if not options.json and not options.no_picture:
            _picture(runs, facts, options.picture)
        return 0
    advice = "--checkpoint FILE keeps a job, to continue it later"
    if interruption.checkpoint is not None:
        advice = f"fastmlp resume {interruption.checkpoint} continues it"
    print(f"fastmlp {options.command}: interrupted; results so far follow; {advice}", file=sys.stderr)
    return 128 + interruption.signal


def _train(options: argparse.Namespace) -> Runs:
    file = options.checkpoint
    if file is not None and Path(file).is_file():
        raise ValueError(
            f"--checkpoint {file} exists already: continue it with `fastmlp resume {file}`, or remove it to start again"
        )
    return fastmlp.train(
        **job_of(options),
        threads=options.threads,
        checkpoint=options.checkpoint,
        checkpoint_every=options.checkpoint_every,
    )


def job_of(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that `train` and `survey` share."""
    optimizer = choose("optimizer", options.optimizer, OPTIMIZERS)(learning_rate=options.learning_rate)
    return {
        "architecture": fastmlp.Architecture(options.sizes, hidden=options.hidden),
        "X": X,
        "y": Y,
        "n_nets": options.restarts,
        "seed": options.seed,
        "optimizer": optimizer,
        "epochs": options.epochs,
        "init": options.init,
        "dtype": options.dtype,
        "target_loss": None if options.no_stop else STOP_AT_LOSS,
        "progress": not (options.json or options.no_progress),
    }


def asked_for(options: argparse.Namespace) -> dict[str, Any]:
    """The options and the version, for the JSON object."""
    names = ("dtype", "seed", "hidden", "init", "optimizer", "learning_rate", "epochs")
    return {
        "sizes": list(options.sizes),
        **{name: getattr(options, name) for name in names},
        "stop_at_loss": None if options.no_stop else STOP_AT_LOSS,
        "fastmlp": fastmlp.__version__,
    }


def _facts(runs: Runs, options: argparse.Namespace, trained: int) -> dict[str, Any]:
    """The results for the report; an earlier process has trained `trained` net-epochs."""
    solved, ended = int((runs.accuracy == 1).sum()), int((runs.status != Status.INTERRUPTED).sum())
    net_epochs = int(runs.epochs.sum())
    # solved nets end early, so that no share is known before all have ended
    share, interval = None, None
    if ended == len(runs):
        share, interval = solved / len(runs), list(wilson_interval(solved, len(runs)))
    return {
        "restarts": len(runs),
        "ended": ended,
        "solved": solved,
        "solved_share": share,
        "solved_interval_95": interval,
        "status": runs.counts(),
        "compile_seconds": runs.compile_seconds,
        "train_seconds": runs.train_seconds,
        "net_epochs": net_epochs,
        "net_epochs_per_second": (net_epochs - trained) / max(runs.train_seconds, 1e-9),
        "threads": thread_count(options.threads),
        "vector_width": host_lanes(options.dtype, narrow=not is_tiny(runs.architecture, len(X), len(X))).count,
        **asked_for(options),
        "weights_sha256": runs.weights_sha256(),
    }


def _report(runs: Runs, facts: dict[str, Any], options: argparse.Namespace) -> None:
    print(heading(len(runs), options))
    if facts["solved_share"] is None:
        print(
            f"Interrupted: {facts['ended']:,} of the nets have ended, {facts['solved']:,} of them solved XOR; "
            f"the other {len(runs) - facts['ended']:,} were at epoch {_median_epochs(runs):,} (the median), "
            "so that the share is not known yet"
        )
        return
    reached = runs.epochs[runs.status == Status.REACHED_TARGET]
    spread = np.percentile(reached, SHARES).round().astype(int) if reached.size else None
    print_outcome(facts, spread, histogram(runs.loss))
    print(
        f"Compiled or loaded in {facts['compile_seconds']:.2f} s, trained in {facts['train_seconds']:.2f} s: "
        f"{facts['net_epochs']:,} net-epochs, {facts['net_epochs_per_second'] / 1e6:,.1f} million a second, "
        f"on {facts['threads']} threads with {facts['vector_width']} {facts['dtype']} lanes"
    )
    print(f"SHA-256 of all final weights: {facts['weights_sha256']}")


def heading(restarts: int, options: argparse.Namespace) -> str:
    """What is trained."""
    sizes = "-".join(map(str, options.sizes))
    return (
        f"{restarts:,} restarts of {sizes}, {options.hidden} and sigmoid, {options.init}, "
        f"{options.optimizer} at learning rate {options.learning_rate:g}, seed {options.seed}"
    )


def print_outcome(facts: dict[str, Any], spread: np.ndarray | None, losses: str) -> None:
    """Print what came of the nets; `spread` are the quantiles `SHARES` of epochs until the target."""
    low, high = facts["solved_interval_95"]
    print(f"Solved XOR: {facts['solved']:,} = {facts['solved_share']:.2%}  (95 % interval {low:.2%} to {high:.2%})")
    if spread is not None:
        print(
            f"Epochs until the mean loss was at most {STOP_AT_LOSS} (each right answer has at least 67 % then): "
            f"median {spread[2]:,}, half between {spread[1]:,} and {spread[3]:,}, "
            f"nine in ten between {spread[0]:,} and {spread[4]:,}"
        )
    diverged = facts["status"]["diverged"]
    if diverged:
        print(f"Diverged: {diverged:,}; a lower learning rate helps")
    print("Final losses:")
    print(losses)


def _median_epochs(runs: Runs) -> int:
    """The median epoch of the nets that were still training."""
    return int(np.median(runs.epochs[runs.status == Status.INTERRUPTED]))


def histogram(losses: np.ndarray) -> str:
    """A text histogram."""
    finite = losses[np.isfinite(losses)]
    return drawn(np.histogram(np.minimum(finite, LOSS_BINS[-2]), LOSS_BINS)[0])


def drawn(counts: np.ndarray, width: int = 50) -> str:
    """Counts of losses between `LOSS_BINS` as a text histogram; plateaus are named next to their bins."""
    if not counts.any():
        return "  (none is finite)"
    lines, step = [], LOSS_BINS[1]
    for low, count in zip(LOSS_BINS[:-1], counts, strict=True):
        if count:
            names = [f"{at:.4f}: {what}" for at, what in PLATEAUS.items() if low <= at < low + step]
            bar = "#" * max(1, round(width * count / counts.max()))
            upper = "and more" if low == LOSS_BINS[-2] else f"to {low + step:.3f}"
            lines.append(f"  {low:.3f} {upper:8} {count:>11,}  {bar}{'  ' + names[0] if names else ''}")
    return "\n".join(lines)


def _picture(runs: Runs, facts: dict[str, Any], path: str) -> None:
    try:
        from fastmlp.plotting.xor import draw_xor
    except ImportError:
        print('For a picture install matplotlib: pip install "fastmlp[plot]"')
        return
    try:
        draw_xor(runs, facts, PLATEAUS, path)
    except (OSError, ValueError) as error:
        print(f"fastmlp xor: the picture could not be written to {path}: {error}", file=sys.stderr)
        return
    print(f"Picture: {path}")
