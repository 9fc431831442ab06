"""The commands `fastmlp fit` and `fastmlp predict`: an ensemble for a table, a report, a file; and its predictions."""

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
    """How the file is written, as a command was told."""
    # argparse makes a list of the text "--"
    na = tuple("--" if isinstance(text, list) else text for text in options.na)
    return ReadOptions(options.sep, options.encoding, options.decimal, na)


def choices(options: argparse.Namespace) -> Choices:
    """What a command was told of the columns."""
    return Choices(options.ignore, options.text, options.keep)


def fit(options: argparse.Namespace) -> int:
    """Read, split, scale, train, report and save."""
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
        reading.notes.append(f"{(~usable).sum()} of {len(runs)} nets diverged and are left out")
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
    """Before training: a file of nets has a header of limited size."""
    needed = len(json.dumps(json.dumps(extra))) + 2**16  # the nets' own part of it
    if needed > MOST_HEADER_BYTES:
        raise ValueError(
            f"what is to be kept of {len(extra['names']):,} columns takes {needed:,} bytes, at most "
            f"{MOST_HEADER_BYTES:,} fit into a file of nets: leave columns out with --ignore, or shorten their names"
        )


def _split(answers: targets.Answers, options: argparse.Namespace, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Row numbers to train on, to stop by, and to test on; each class is shared out by itself."""
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
            raise ValueError(f"{len(found)} rows are left for {name}: more rows or other shares are needed")
    return result


def predict(options: argparse.Namespace) -> int:
    """Predict every row of a table, as CSV: the prediction, and each class's probability or the nets' spread."""
    refuse_output("--out", options.out, {"the data": options.data, "the model": options.model})
    try:
        runs, extra = load_with_extra(options.model)
        if not isinstance(runs, Runs):
            raise FileFormatError("it holds one net, no model of `fastmlp fit`")
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
    """What stands above the predictions."""
    return [target.name, *(f"P({name})" for name in target.classes)] if target.is_class else [target.name, "spread"]


def _refuse_other_content(options: argparse.Namespace, heading: list[str]) -> None:
    """Earlier predictions are replaced, anything else with --force alone."""
    if options.out is None or options.force or not Path(options.out).exists():
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(heading)
    wanted = text.getvalue().encode()
    with Path(options.out).open("rb") as file:
        found = file.read(len(wanted))
    if found and found != wanted:
        raise ValueError(f"--out {options.out}: there is such a file, which holds no predictions; --force replaces it")


def _print_exactly(text: str) -> None:
    """To standard output as it is; in UTF-8, as in a file, where the terminal's encoding lacks characters of it."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.write(text)


def _predictions(runs: Runs, target: Target, X: np.ndarray, threads: int | None) -> list[list[str]]:
    """A heading, and a row for each of X."""
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
