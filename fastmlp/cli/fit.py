"""The commands `fastmlp fit`, which trains, reports on and saves an ensemble for a table, and `fastmlp predict`."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._io import columns as _columns
from fastmlp._io import tables, targets
from fastmlp._io.columns import Choices
from fastmlp._io.nets import save
from fastmlp._io.paths import refuse_output
from fastmlp._io.safetensors import MOST_HEADER_BYTES, FileFormatError
from fastmlp._io.tables import ReadOptions
from fastmlp._io.targets import Target
from fastmlp.architecture import Architecture
from fastmlp.cli import fit_report
from fastmlp.loading import load_with_extra
from fastmlp.optimizers import Adam
from fastmlp.runs import Runs
from fastmlp.training import train

LEAST_ROWS = 10


def read_options(options: argparse.Namespace) -> ReadOptions:
    """How to read the file, from the command's options."""
    # argparse turns the value "--" into a list
    na = tuple("--" if isinstance(text, list) else text for text in options.na)
    return ReadOptions(options.sep, options.encoding, options.decimal, na)


def choices(options: argparse.Namespace) -> Choices:
    """How to use the columns, from the command's options."""
    return Choices(options.ignore, options.text, options.keep)


def fit(options: argparse.Namespace) -> int:
    """Run `fastmlp fit`: read, split, scale, train, report and save."""
    path = Path(options.out or Path(options.data).with_suffix(".safetensors"))
    refuse_output("--out", path, {"the data": options.data}, options.force)
    checks.whole_number("--seed", options.seed, 0, 2**64 - 1)
    table, left_out_rows, first = tables.read(Path(options.data), read_options(options)), 0, 0
    if options.drop_missing:
        table, left_out_rows, first = targets.without_missing(table, options.target)
    if table.n_rows < LEAST_ROWS:
        raise ValueError(f"{table.n_rows} rows are too few: at least {LEAST_ROWS} are needed")
    answers = targets.answers_of(table, options.target, options.task, choices(options))
    rng = np.random.Generator(np.random.PCG64(options.seed))
    rows = {name: np.sort(part) for name, part in _split(answers, options, rng).items()}
    reading = _columns.columns_of(table, answers.target.name, choices(options), rows["train"])
    reading.notes[:0] = answers.notes
    if left_out_rows:
        reading.notes.insert(
            0, f"{left_out_rows:,} rows lack {options.target!r} and are left out, the first is row {first}"
        )
    X, (target, y) = _columns.encoded(table, reading.columns, []), answers.scaled(rows["train"])
    output, n_outputs = target.output
    architecture = Architecture((X.shape[1], *options.hidden, n_outputs), options.activation, output)
    extra = targets.to_extra(reading.columns, target, table.options)
    _refuse_long(extra)
    runs = train(
        architecture,
        X[rows["train"]],
        y[rows["train"]],
        n_nets=options.members,
        seed=options.seed,
        optimizer=Adam(options.learning_rate),
        epochs=options.epochs,
        batch_size=options.batch_size,
        l2=options.l2,
        dropout=options.dropout,
        bootstrap=options.bootstrap,
        validation=(X[rows["validation"]], y[rows["validation"]]),
        patience=options.patience,
        tol=0.0,
        threads=options.threads,
        progress=not options.no_progress and sys.stderr.isatty(),
    )
    usable = np.isfinite(runs.parameters).all(axis=1) & np.isfinite(runs.loss)
    if not usable.any():
        raise ValueError("every net diverged: lower --learning-rate")
    if not usable.all():
        reading.notes.append(f"{(~usable).sum()} of {len(runs)} nets diverged and were left out")
    runs = runs[usable]
    save(path, runs, extra=extra)
    report = fit_report.report(target, reading, runs, X, y, rows, rng)
    report["model"] = str(path)
    if options.json:
        print(json.dumps(report))
    else:
        saved = f"Saved to {path}; `fastmlp predict {path} DATA.csv` predicts new rows"
        print("\n".join([*fit_report.lines(report, target, architecture), "", saved]))
    return 0


def _refuse_long(extra: dict[str, Any]) -> None:
    """Check before training that the metadata fit into the header of a file, whose size is limited."""
    needed = len(json.dumps(json.dumps(extra))) + 2**16  # for the nets' own metadata
    if needed > MOST_HEADER_BYTES:
        raise ValueError(
            f"the description of {len(extra['names']):,} columns takes {needed:,} bytes, and at most "
            f"{MOST_HEADER_BYTES:,} fit into a file of nets: leave columns out with --ignore, or shorten their names"
        )


def _split(answers: targets.Answers, options: argparse.Namespace, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Split rows for training, early stopping and testing, stratified by class; returns their numbers."""
    n = len(answers.values)
    for name in ("test", "validation"):
        if not 0 < getattr(options, name) < 1:
            raise ValueError(f"--{name} {getattr(options, name)}: needs a share between 0 and 1")
    groups = [np.arange(n)]
    if answers.target.is_class:
        groups = [np.flatnonzero(answers.values == k) for k in range(len(answers.target.classes))]
    parts: dict[str, list[np.ndarray]] = {"test": [], "validation": [], "train": []}
    for group in groups:
        mixed = rng.permutation(group)
        n_test = round(options.test * len(group))
        n_validation = round(options.validation * (len(group) - n_test))
        for name, part in zip(parts, np.split(mixed, [n_test, n_test + n_validation]), strict=True):
            parts[name].append(part)
    result = {name: np.concatenate(found) for name, found in parts.items()}
    for name, found in result.items():
        if len(found) < 2:
            raise ValueError(f"only {len(found)} rows are left for {name}: needs more rows, or other shares")
    return result


def predict(options: argparse.Namespace) -> int:
    """Run `fastmlp predict`: write each row's prediction, with class probabilities or the nets' spread, as CSV."""
    refuse_output("--out", options.out, {"the data": options.data, "the model": options.model})
    try:
        runs, extra = load_with_extra(options.model)
        if not isinstance(runs, Runs):
            raise FileFormatError("it holds a single net, not a model of `fastmlp fit`")
        columns, target, na = targets.from_extra(extra, runs.architecture)
    except FileFormatError as error:
        raise FileFormatError(f"{options.model}: {error}") from None
    _refuse_other_content(options, _heading(target))
    given = read_options(options)
    table = tables.read(Path(options.data), given._replace(na=tuple(dict.fromkeys((*na, *given.na)))))
    notes: list[str] = []
    X = _columns.encoded(table, columns, notes)
    for note in notes:
        print(note, file=sys.stderr)
    rows = _predictions(runs, target, X, options.threads)
    if options.out is None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _print_exactly(text.getvalue())
    else:
        with Path(options.out).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        print(f"{len(rows) - 1:,} predictions written to {options.out}")
    return 0


def _heading(target: Target) -> list[str]:
    """The header of the predictions."""
    return [target.name, *(f"P({name})" for name in target.classes)] if target.is_class else [target.name, "spread"]


def _refuse_other_content(options: argparse.Namespace, heading: list[str]) -> None:
    """Refuse to replace any file but earlier predictions, unless --force is given."""
    if options.out is None or options.force or not Path(options.out).exists():
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(heading)
    wanted = text.getvalue().encode()
    with Path(options.out).open("rb") as file:
        found = file.read(len(wanted))
    if found and found != wanted:
        raise ValueError(f"--out {options.out}: the file exists and does not hold predictions; --force replaces it")


def _print_exactly(text: str) -> None:
    """Write to standard output; in UTF-8, as to a file, if the terminal's encoding lacks some of the characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(text)


def _predictions(runs: Runs, target: Target, X: np.ndarray, threads: int | None) -> list[list[str]]:
    """A header, and one row for each row of X."""
    mean = runs.predict(X, reduce="mean", threads=threads)
    if target.is_class:
        shares = np.concatenate([1 - mean, mean], axis=1) if mean.shape[1] == 1 else mean
        rows = [
            [target.classes[k], *(f"{share:.6g}" for share in of_row)]
            for k, of_row in zip(fit_report.chosen(mean), shares, strict=True)
        ]
        return [_heading(target), *rows]
    spread = runs.predict(X, threads=threads)[:, :, 0].std(axis=0, dtype=np.float64) * target.deviation
    values = mean[:, 0] * target.deviation + target.mean
    return [
        _heading(target),
        *([f"{value:.{target.digits}g}", f"{s:.6g}"] for value, s in zip(values, spread, strict=True)),
    ]
