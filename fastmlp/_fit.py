"""The commands `fastmlp fit` and `fastmlp predict`: an ensemble for a table, a report, a file; and its predictions."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _files, _tables
from fastmlp._safetensors import FileFormatError
from fastmlp._tables import Table, Target
from fastmlp.architecture import Architecture
from fastmlp.optimizers import Adam
from fastmlp.runs import Runs
from fastmlp.training import train

LEAST_ROWS = 10
REPEATS = 5
SHOWN = 10
MOST_SHOWN_CLASSES = 12


def fit(options: argparse.Namespace) -> int:
    """Read, split, scale, train, report and save."""
    path = Path(options.out or Path(options.data).with_suffix(".safetensors"))
    if not path.parent.is_dir():
        raise ValueError(f"--out {path}: there is no folder {path.parent}")
    table = _tables.read(Path(options.data))
    target = _tables.target_of(table, options.target, options.task)
    rng = np.random.Generator(np.random.PCG64(options.seed))
    rows = {name: np.sort(part) for name, part in _split(table, target, options, rng).items()}
    columns = _tables.columns_of(table, target.name, options.ignore, rows["train"])
    X, y = _tables.encoded(table, columns), target.encoded(table)
    if not target.is_class:  # scaled by what is trained on alone
        of_train = table[target.name][rows["train"]]
        target = Target(target.name, [], float(of_train.mean()), float(of_train.std()) or 1.0)
        y = target.encoded(table)
    output, n_outputs = target.output
    architecture = Architecture((X.shape[1], *options.hidden, n_outputs), options.activation, output)
    runs = train(
        architecture, X[rows["train"]], y[rows["train"]], n_nets=options.members, seed=options.seed,
        optimizer=Adam(options.learning_rate), epochs=options.epochs, batch_size=options.batch_size, l2=options.l2,
        dropout=options.dropout, bootstrap=options.bootstrap,
        validation=(X[rows["validation"]], y[rows["validation"]]), patience=options.patience, tol=0.0,
        threads=options.threads, progress=not options.no_progress and sys.stderr.isatty(),
    )  # fmt: skip
    runs = runs[np.isfinite(runs.parameters).all(axis=1) & np.isfinite(runs.loss)]  # type: ignore[assignment]
    if not len(runs):
        raise ValueError("every net diverged: lower --learning-rate")
    _files.save(path, runs, extra=_tables.to_extra(columns, target))
    report = _report(table, target, columns, runs, X, y, rows, rng)
    report["model"] = str(path)
    if options.json:
        print(json.dumps(report))
    else:
        print("\n".join(_lines(report, target, architecture)))
    return 0


def _split(
    table: Table, target: Target, options: argparse.Namespace, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Row numbers to train on, to stop by, and to test on; each class is shared out by itself."""
    n = len(table[target.name])
    if n < LEAST_ROWS:
        raise ValueError(f"{n} rows are too few: at least {LEAST_ROWS} are needed")
    for name in ("test", "validation"):
        if not 0 < getattr(options, name) < 1:
            raise ValueError(f"--{name} {getattr(options, name)}: needs a share between 0 and 1")
    groups = [np.arange(n)]
    if target.is_class:
        classes = target.encoded(table)
        groups = [np.flatnonzero(classes == k) for k in range(len(target.classes))]
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


def _score(target: Target, outputs: np.ndarray, y: np.ndarray) -> float:
    """Accuracy, or R², of outputs (rows, n_outputs)."""
    if target.is_class:
        return float(np.mean(_chosen(outputs) == y))
    spread = np.sum((y - y.mean()) ** 2)
    return float(1 - np.sum((outputs[:, 0] - y) ** 2) / spread) if spread > 0 else 0.0


def _chosen(outputs: np.ndarray) -> np.ndarray:
    """Class numbers."""
    return (outputs[:, 0] > 0.5).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def _report(
    table: Table, target: Target, columns: list[_tables.Column], runs: Runs, X: np.ndarray, y: np.ndarray,
    rows: dict[str, np.ndarray], rng: np.random.Generator,
) -> dict[str, Any]:  # fmt: skip
    test, truth = X[rows["test"]], y[rows["test"]]
    mean = runs.predict(test, reduce="mean")
    singles = [_score(target, outputs, truth) for outputs in runs.predict(test)]
    score = _score(target, mean, truth)
    report: dict[str, Any] = {
        "target": target.name,
        "task": "classification" if target.is_class else "regression",
        "rows": {name: len(part) for name, part in rows.items()},
        "columns": len(columns),
        "inputs": X.shape[1],
        "missing": {c.name: int(np.isnan(table[c.name]).sum()) for c in columns if _lacks(table[c.name])},
        "members": len(runs),
        "epochs": int(np.median(runs.epochs)),
        "seconds": runs.train_seconds,
        "score": score,
        "median_single_score": float(np.median(singles)),
        "importance": _importance(target, columns, runs, test, truth, score, rng),
    }
    if target.is_class:
        share = np.bincount(y[rows["train"]].astype(int), minlength=len(target.classes))
        report["baseline"] = float(np.mean(truth == share.argmax()))
        confusion = np.zeros((len(target.classes),) * 2, int)
        np.add.at(confusion, (truth.astype(int), _chosen(mean)), 1)
        report["classes"], report["confusion"] = target.classes, confusion.tolist()
    else:
        report["baseline"] = float(np.std(truth) * target.deviation)
        report["rmse"] = float(np.sqrt(np.mean((mean[:, 0] - truth) ** 2)) * target.deviation)
    return report


def _lacks(values: np.ndarray) -> bool:
    return _tables.is_numeric(values) and bool(np.isnan(values).any())


def _importance(
    target: Target, columns: list[_tables.Column], runs: Runs, X: np.ndarray, y: np.ndarray, score: float,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """By how much the score falls when a column's rows are mixed, the mean of a few times; greatest first."""
    found, first = {}, 0
    for column in columns:
        here = slice(first, first + column.width)
        first += column.width
        falls = []
        for _ in range(REPEATS):
            mixed = X.copy()
            mixed[:, here] = X[rng.permutation(len(X)), here]
            falls.append(score - _score(target, runs.predict(mixed, reduce="mean"), y))
        found[column.name] = float(np.mean(falls))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _lines(report: dict[str, Any], target: Target, architecture: Architecture) -> list[str]:
    rows = report["rows"]
    sizes, task = "-".join(map(str, architecture.sizes)), report["task"].capitalize()
    lines = [
        f"{task} of {target.name!r} from {report['columns']} columns ({report['inputs']} inputs)",
        f"Rows: {rows['train']:,} to train on, {rows['validation']:,} to stop by, {rows['test']:,} to test on",
        f"{report['members']} nets {sizes}, trained in {report['seconds']:.2f} s, half of them for at most "
        f"{report['epochs']} epochs",
    ]
    if report["missing"]:
        gaps = ", ".join(f"{name} ({count})" for name, count in report["missing"].items())
        lines.append(f"Missing numbers, taken for the mean: {gaps}")
    lines.append("")
    if target.is_class:
        lines.append(
            f"Right on the test rows: {report['score']:.1%}; the median single net "
            f"{report['median_single_score']:.1%}, always the most frequent class {report['baseline']:.1%}"
        )
        if len(target.classes) <= MOST_SHOWN_CLASSES:
            width = max(9, *(len(name) for name in target.classes))
            heading = " ".join(f"{name:>{width}}" for name in target.classes)
            lines += ["", f"{'true / predicted':>{max(16, width)}} {heading}"]
            for name, counts in zip(target.classes, report["confusion"], strict=True):
                lines.append(f"{name:>{max(16, width)}} " + " ".join(f"{count:>{width}}" for count in counts))
    else:
        lines.append(
            f"R² on the test rows: {report['score']:.3f}; the median single net {report['median_single_score']:.3f}; "
            f"typical error {report['rmse']:.4g}, that of the mean {report['baseline']:.4g}"
        )
    lines += ["", f"What matters, by how much {'accuracy' if target.is_class else 'R²'} falls when a column is mixed:"]
    shown = list(report["importance"].items())[:SHOWN]
    width = max(len(name) for name, _ in shown)
    top = max(1e-12, *(fall for _, fall in shown))
    lines += [f"  {name:<{width}}  {fall:7.3f}  {'#' * round(30 * max(0.0, fall) / top)}" for name, fall in shown]
    lines += ["", f"Saved to {report['model']}; `fastmlp predict {report['model']} DATA.csv` predicts new rows"]
    return lines


def predict(options: argparse.Namespace) -> int:
    """Predict every row of a table, as CSV: the prediction, and each class's probability or the nets' spread."""
    runs, extra = _files.load_with_extra(options.model)
    if not isinstance(runs, Runs):
        raise FileFormatError(f"{options.model} holds one net, no model of `fastmlp fit`")
    columns, target = _tables.from_extra(extra, runs.architecture)
    table = _tables.read(Path(options.data), frozenset(column.name for column in columns if column.texts))
    X = _tables.encoded(table, columns)
    for name, count in _tables.unseen(table, columns).items():
        print(f"column {name!r}: {count:,} values that the model has never seen count as none", file=sys.stderr)
    mean = runs.predict(X, reduce="mean", threads=options.threads)
    if target.is_class:
        shares = np.concatenate([1 - mean, mean], axis=1) if mean.shape[1] == 1 else mean
        heading = [target.name, *(f"P({name})" for name in target.classes)]
        body = [[target.classes[k], *map(_short, share)] for k, share in zip(_chosen(mean), shares, strict=True)]
    else:
        spread = runs.predict(X, threads=options.threads)[:, :, 0].std(axis=0) * target.deviation
        heading = [target.name, "spread"]
        values = mean[:, 0] * target.deviation + target.mean
        body = [[_short(value), _short(s)] for value, s in zip(values, spread, strict=True)]
    if options.out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([heading, *body])
    else:
        with Path(options.out).open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([heading, *body])
        print(f"{len(body):,} predictions written to {options.out}")
    return 0


def _short(value: float) -> str:
    return f"{value:.6g}"
