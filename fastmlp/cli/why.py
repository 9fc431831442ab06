"""The command `fastmlp why`: train many restarts of one setting, say why they are stuck, and try changes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._check_values import choose
from fastmlp._io.paths import refuse_output
from fastmlp._kernels.formulas.activations import Activation
from fastmlp.architecture import Architecture
from fastmlp.cli.recipes import X as XOR_X
from fastmlp.cli.recipes import Y as XOR_Y
from fastmlp.diagnosis import Diagnosis, diagnose
from fastmlp.initializers import Initializer, Normal, Uniform
from fastmlp.optimizers import OPTIMIZERS, Adam
from fastmlp.runs import Runs
from fastmlp.statistics import listed
from fastmlp.training import TrainingInterrupted, train

if TYPE_CHECKING:
    from fastmlp._io.columns import Reading
    from fastmlp._io.targets import Target

RECORDS = 200  # most points of a loss curve
FEW_HIDDEN = 8
MOST_CURVE_BYTES = 2**28
MOST_RESTARTS, LEAST_RESTARTS = 10_000, 50
# Useful flops of the first training. At a fifth of the speed of two cores of a Zen 4 server (docs/performance.md), and
# with ten times as much for all changes, they take 40 seconds
MOST_FLOPS = 6e10
FEW_NETS = 500


def run(options: argparse.Namespace) -> int:
    """Train, diagnose, print, draw; returns the exit code."""
    if "list" in options.mistake:
        from fastmlp.audit.mistakes import MISTAKES

        print("\n".join(f"{name}: {mistake.meaning}" for name, mistake in MISTAKES.items()))
        return 0
    _refuse_outputs(options)
    X, y, output, n_outputs = _data(options)
    sizes = options.sizes or ((2, 4, n_outputs) if options.data is None else (X.shape[1], FEW_HIDDEN, n_outputs))
    if (sizes[0], sizes[-1]) != (X.shape[1], n_outputs):
        raise ValueError(
            f"--sizes {'-'.join(map(str, sizes))}: these data have {X.shape[1]} inputs, and {n_outputs} outputs with "
            f"--output {output}: the sizes begin and end with these"
        )
    arch = Architecture(sizes, options.hidden, output, not options.no_bias, options.leaky_slope)
    restarts = options.restarts or _restarts_within_a_minute(arch, len(X), options.epochs)
    if options.mistake:
        return _say_cost(arch, X, y, restarts, options)
    every = max(1, options.epochs // RECORDS, restarts * options.epochs * 4 // MOST_CURVE_BYTES)
    progress = not (options.json or options.no_progress) and sys.stderr.isatty()
    optimizer = choose("optimizer", options.optimizer, OPTIMIZERS)(learning_rate=options.lr)
    init = initializer(options.init)
    try:
        runs = train(
            arch,
            X,
            y,
            n_nets=restarts,
            seed=options.seed,
            epochs=options.epochs,
            loss=options.loss,
            optimizer=optimizer,
            init=init,
            batch_size=options.batch_size,
            record_every=every,
            threads=options.threads,
            progress=progress,
        )
    except TrainingInterrupted as interruption:
        _say_what_stands(interruption.runs, X, y, options)
        return 128 + interruption.signal
    diagnosis = _diagnosis(runs, X, y, restarts, options, progress)
    if diagnosis is None:
        return 130
    _print(diagnosis, options)
    if not options.restarts and restarts < MOST_RESTARTS:
        print(
            f"These were {restarts:,} restarts, to take at most a minute; --restarts N trains more",
            file=sys.stderr if options.json else sys.stdout,
        )
    _draw(runs, diagnosis, X, y, options)
    return 0


def _refuse_outputs(options: argparse.Namespace) -> None:
    """Refuse files that cannot be written before any work."""
    if not options.no_picture:
        refuse_output("--picture", options.picture, {"the data": options.data})
    refuse_output(
        "--html",
        options.html,
        {"the data": options.data, "the picture": None if options.no_picture else options.picture},
    )
    if options.html:
        import matplotlib  # noqa: F401  said before any work


def _diagnosis(
    runs: Runs, X: np.ndarray, y: np.ndarray, restarts: int, options: argparse.Namespace, progress: bool
) -> Diagnosis | None:
    """Diagnose; if interrupted, print what is known so far and return None."""
    known: Diagnosis | None = None

    def tell(step: str, so_far: Diagnosis | None) -> None:
        nonlocal known
        known = so_far or known
        if progress:
            print(f"{step} …", file=sys.stderr)

    try:
        return diagnose(
            runs,
            X,
            y,
            try_fixes=not options.no_fixes,
            max_nets_tried=restarts,
            threads=options.threads,
            train=Runs._train,
            tell=tell,
        )
    except KeyboardInterrupt:
        if known is None:
            _say_what_stands(runs, X, y, options)
        else:
            _print(known, options)
        print("fastmlp why: interrupted before everything was tried; this is what is known so far", file=sys.stderr)
        return None


def _say_cost(arch: Architecture, X: np.ndarray, y: np.ndarray, restarts: int, options: argparse.Namespace) -> int:
    """Train the same seeds with the mistakes, without them, and with other changes, and print the result."""
    from fastmlp.audit.cost import cost_of_mistakes

    init = "he_uniform" if Activation.RELU in arch.activations else "glorot_uniform"
    wider = tuple(2 * size for size in arch.sizes[1:-1])
    changes: dict[str, dict[str, Any]] = {f"init {init}": {"init": init}} if options.init != init else {}
    if not arch.bias:
        changes["biases"] = {"architecture": replace(arch, bias=True)}
    if options.optimizer != "adam":
        changes["Adam, learning rate 0.01"] = {"optimizer": Adam(0.01)}
    if wider:
        changes["twice the hidden units"] = {
            "architecture": replace(arch, sizes=(arch.sizes[0], *wider, arch.sizes[-1]))
        }
    cost = cost_of_mistakes(
        arch,
        X,
        y,
        mistakes=[_mistake(text) for text in options.mistake],
        n_nets=restarts,
        seed=options.seed,
        epochs=options.epochs,
        loss=options.loss,
        init=initializer(options.init),
        batch_size=options.batch_size,
        optimizer=choose("optimizer", options.optimizer, OPTIMIZERS)(learning_rate=options.lr),
        threads=options.threads,
        changes={} if options.no_fixes else changes,
        tell=lambda change: print(f"{change} …", file=sys.stderr) if sys.stderr.isatty() else None,
    )
    if options.json:
        rows = [
            {
                "change": row.change,
                "nets": row.n_nets,
                "solved": row.n_solved,
                "median_loss": row.median_loss if np.isfinite(row.median_loss) else None,
            }
            for row in cost.rows
        ]
        mistakes = [{"name": mistake.name, "layers": list(mistake.layers)} for mistake in cost.mistakes]
        print(json.dumps({"mistakes": mistakes, "rows": rows, "verdict": cost.verdict}))
    else:
        print(cost)
    return 0


def _mistake(text: str) -> str | tuple[str, int]:
    name, _, layer = text.partition(":")
    if not layer:
        return name
    if not layer.isdecimal() or int(layer) < 1:
        raise ValueError(f"--mistake {text}: needs NAME or NAME:LAYER, the layers counted from 1")
    return name, int(layer) - 1


def _restarts_within_a_minute(architecture: Architecture, n_samples: int, epochs: int) -> int:
    """The number of nets that a slow server with two cores trains, with every change, within a minute."""
    of_a_net = architecture.useful_flops(n_samples) * epochs
    return int(np.clip(MOST_FLOPS / of_a_net, LEAST_RESTARTS, MOST_RESTARTS))


def _print(diagnosis: Diagnosis, options: argparse.Namespace) -> None:
    print(json.dumps(facts(diagnosis)) if options.json else diagnosis)


def _say_what_stands(runs: Runs, X: np.ndarray, y: np.ndarray, options: argparse.Namespace) -> None:
    """Diagnose a few of the nets after an interrupt, without training."""
    some = runs[np.flatnonzero(runs.epochs > 0)[:FEW_NETS]]
    if not len(some):
        print("fastmlp why: interrupted before a net was trained", file=sys.stderr)
        return
    print(
        f"fastmlp why: interrupted; these are {len(some):,} of the nets as they stand, after "
        f"{np.median(some.epochs):,.0f} epochs",
        file=sys.stderr,
    )
    _print(some.diagnose(X, y, threads=options.threads), options)


def facts(d: Diagnosis) -> dict[str, Any]:
    """A diagnosis for scripts."""
    return {
        "description": d.description,
        "nets": len(d.causes),
        "solved": d.n_solved,
        "causes": d.counts(),
        "plateaus": {p.name: int((d.plateau == k).sum()) for k, p in enumerate(d.plateaus)},
        "verdict": d.verdict,
        "dead_from_start": d.dead_from_start,
        "median_margin": d.margin,
        "median_score": None if d.score is None else float(np.median(d.score)),
        "baselines": d.baselines,
        "held_out_score": d.held_out_score,
        "best_possible": d.best_possible,
        "trials": [
            {
                "name": t.fix.name,
                "change": t.fix.text,
                "nets": t.n_nets,
                "before": t.before,
                "after": t.after,
                "held_out_before": t.held_out_before,
                "held_out_after": t.held_out_after,
                "helped": t.helped,
            }
            for t in d.trials
        ],
    }


def initializer(text: str) -> str | Initializer:
    """Parse the name of an initializer, or uniform:LOW:HIGH, or normal:STD."""
    kind, *numbers = text.split(":")
    kinds = {"uniform": (Uniform, 2, "uniform:LOW:HIGH"), "normal": (Normal, 1, "normal:STD")}
    if kind not in kinds:
        return text
    make, count, form = kinds[kind]
    try:
        values = [float(number) for number in numbers]
    except ValueError:
        values = []
    if len(values) != count:
        raise ValueError(f"--init {text}: needs the form {form}, such as uniform:0:1 or normal:0.001")
    return make(*values)


def _data(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, str, int]:
    """Inputs, targets, the output activation and the number of outputs."""
    if options.data is None:
        if options.target is not None:
            raise ValueError("--target names a column of --data FILE: pass both, or neither for XOR")
        output = options.output or "sigmoid"
        return XOR_X, XOR_Y, output, 2 if output == "softmax" else 1
    from fastmlp._io import columns, tables
    from fastmlp._io import targets as _targets
    from fastmlp.cli import fit

    if options.target is None:
        raise ValueError(f"--data {options.data}: pass --target COLUMN, the column to learn")
    table = tables.read(Path(options.data), fit.read_options(options))
    if options.drop_missing:
        table, count, first = _targets.without_missing(table, options.target)
        if count:
            note = f"{count:,} rows lack {options.target!r} and are left out, the first is row {first}"
            print(f"Note: {note}", file=sys.stderr if options.json else sys.stdout)
    answers = _targets.answers_of(table, options.target, options.task, fit.choices(options))
    rows = np.arange(table.n_rows)
    reading = columns.columns_of(table, options.target, fit.choices(options), rows)
    target, y = answers.scaled(rows)
    where = sys.stderr if options.json else sys.stdout
    for line in _said(reading, target, answers.notes):
        print(line, file=where)
    output, n_outputs = target.output
    if options.output is not None and options.output != output:
        output, n_outputs = options.output, 2 if options.output == "softmax" and n_outputs == 1 else n_outputs
    if output == "sigmoid" and n_outputs > 1:
        y = np.eye(n_outputs)[y]
    return columns.encoded(table, reading.columns, []), y, output, n_outputs


def _said(reading: Reading, target: Target, notes: list[str]) -> list[str]:
    """A description of how the table was read."""
    scaled = [repr(column.name) for column in reading.columns if not column.texts]
    said = [f"Note: {note}" for note in [*notes, *reading.notes]]
    if scaled:
        said.append(listed("Scaled to mean 0 and standard deviation 1", scaled))
    if not target.is_class:
        said.append(f"So is the target {target.name!r}: losses are those of scaled numbers")
    if reading.left_out:
        said.append(listed("Columns left out", [f"{name!r} ({why})" for name, why in reading.left_out.items()]))
    if reading.missing:
        gaps = [f"{name} ({count:,})" for name, count in reading.missing.items()]
        said.append(listed("Missing numbers, replaced by the mean", gaps))
    return said


def _draw(runs: Any, diagnosis: Diagnosis, X: np.ndarray, y: np.ndarray, options: argparse.Namespace) -> None:
    if options.no_picture and not options.html:
        return
    try:
        from fastmlp.plotting.pages import as_page, story

        figure = story(runs, diagnosis, X, y)
    except ImportError:
        print('For a picture install matplotlib: pip install "fastmlp[plot]"', file=sys.stderr)
        return
    where = sys.stderr if options.json else sys.stdout
    if not options.no_picture:
        figure.savefig(options.picture, dpi=110)
        print(f"Picture: {options.picture}", file=where)
    if options.html:
        Path(options.html).write_text(as_page("Why is my net stuck?", diagnosis, figure), encoding="utf-8")
        print(f"Page: {options.html}", file=where)
