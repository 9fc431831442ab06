"""The report of `fastmlp fit`: the ensemble's score on test rows, and the importance of columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp._io.columns import Column, Reading
from fastmlp._io.targets import Target
from fastmlp.architecture import Architecture
from fastmlp.runs import Runs
from fastmlp.statistics import listed, wilson_interval

REPEATS = 5  # shuffles of each column
MOST_MIXED = 200  # columns; of more, those with the largest weights are shuffled
SHOWN = 10
MOST_SHOWN_CLASSES = 12
RESAMPLES = 1000  # bootstrap samples of the test rows, for the interval of R²


def score_of(target: Target, outputs: np.ndarray, y: np.ndarray) -> float:
    """Accuracy, or R², of outputs (rows, n_outputs)."""
    if target.is_class:
        return float(np.mean(chosen(outputs) == y))
    return _r2(outputs[:, 0], y)


def chosen(outputs: np.ndarray) -> np.ndarray:
    """Class numbers."""
    return (outputs[:, 0] > 0.5).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def _r2(outputs: np.ndarray, y: np.ndarray) -> float:
    spread = np.sum((y - y.mean()) ** 2)
    varies = np.ptp(y) > 1e-12 * max(1.0, np.abs(y).max())  # least standard deviation of a target, which is scaled to 1
    return float(1 - np.sum((outputs - y) ** 2) / spread) if varies else 0.0


def _interval(target: Target, outputs: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The 95 % interval: Wilson's for an accuracy, the percentile bootstrap over test rows (Efron) for R²."""
    if target.is_class:
        return list(wilson_interval(int((chosen(outputs) == y).sum()), len(y)))
    scores = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), len(y))
        scores.append(_r2(outputs[rows, 0], y[rows]))
    low, high = np.percentile(scores, (2.5, 97.5))
    return [float(low), float(high)]


def report(
    target: Target,
    reading: Reading,
    runs: Runs,
    X: np.ndarray,
    y: np.ndarray,
    rows: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The report as a dict, for scripts."""
    test, truth, columns = X[rows["test"]], y[rows["test"]], reading.columns
    mean = runs.predict(test, reduce="mean")
    singles = [score_of(target, outputs, truth) for outputs in runs.predict(test)]
    score = score_of(target, mean, truth)
    found: dict[str, Any] = {
        "target": target.name,
        "task": "classification" if target.is_class else "regression",
        "rows": {name: len(part) for name, part in rows.items()},
        "columns": len(columns),
        "inputs": X.shape[1],
        "left_out": reading.left_out,
        "missing": reading.missing,
        "notices": reading.notes,
        "members": len(runs),
        "epochs": int(np.median(runs.epochs)),
        "seconds": runs.train_seconds,
        "score": score,
        "median_single_score": float(np.median(singles)),
        "importance": _importance(target, columns, runs, test, truth, score, rng),
        "score_interval_95": _interval(target, mean, truth, rng),
    }
    if target.is_class:
        share = np.bincount(y[rows["train"]].astype(int), minlength=len(target.classes))
        found["baseline"] = float(np.mean(truth == share.argmax()))
        confusion = np.zeros((len(target.classes),) * 2, int)
        np.add.at(confusion, (truth.astype(int), chosen(mean)), 1)
        found["classes"], found["confusion"] = target.classes, confusion.tolist()
    else:
        found["baseline"] = float(np.std(truth) * target.deviation)
        found["rmse"] = float(np.sqrt(np.mean((mean[:, 0] - truth) ** 2)) * target.deviation)
    return found


def _importance(
    target: Target,
    columns: list[Column],
    runs: Runs,
    X: np.ndarray,
    y: np.ndarray,
    score: float,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Permutation importance: the mean fall of the score when a column is shuffled; the largest first."""
    places = np.cumsum([0, *(column.width for column in columns)])
    mixed_columns = range(len(columns))
    if len(columns) > MOST_MIXED:
        by_input = np.sqrt((runs.weights[0].astype(np.float64) ** 2).mean(axis=(0, 2)))
        weight = np.maximum.reduceat(by_input, places[:-1])
        mixed_columns = np.sort(np.argsort(weight)[::-1][:MOST_MIXED]).tolist()
    falls = {}
    for k in mixed_columns:
        here, own = slice(places[k], places[k + 1]), []
        for _ in range(REPEATS):
            mixed = X.copy()
            mixed[:, here] = X[rng.permutation(len(X)), here]
            own.append(score - score_of(target, runs.predict(mixed, reduce="mean"), y))
        falls[columns[k].name] = float(np.mean(own))
    return dict(sorted(falls.items(), key=lambda item: -item[1]))


def lines(found: dict[str, Any], target: Target, architecture: Architecture) -> list[str]:
    """The report as text."""
    rows = found["rows"]
    sizes, task = "-".join(map(str, architecture.sizes)), found["task"].capitalize()
    said = [
        f"{task} of {target.name!r} from {found['columns']} columns ({found['inputs']} inputs)",
        f"Rows: {rows['train']:,} for training, {rows['validation']:,} for early stopping, {rows['test']:,} for tests",
        f"{found['members']} nets {sizes}, trained in {found['seconds']:.2f} s, half of them for at most "
        f"{found['epochs']} epochs",
    ]
    if found["left_out"]:
        said.append(listed("Columns left out", [f"{name!r} ({reason})" for name, reason in found["left_out"].items()]))
    if found["missing"]:
        gaps = [f"{name} ({count:,})" for name, count in found["missing"].items()]
        said.append(listed("Missing numbers, replaced by the mean", gaps))
    said += [f"Note: {note}" for note in found["notices"]]
    said.append("")
    low, high = found["score_interval_95"]
    if target.is_class:
        said.append(
            f"Right on the test rows: {found['score']:.1%} (95 % interval {low:.1%} to {high:.1%}); the median single "
            f"net {found['median_single_score']:.1%}, always the most frequent class {found['baseline']:.1%}"
        )
    else:
        said.append(
            f"R² on the test rows: {found['score']:.3f} (95 % interval {low:.3f} to {high:.3f}); the median single net "
            f"{found['median_single_score']:.3f}; RMSE {found['rmse']:.4g}, that of always the mean "
            f"{found['baseline']:.4g}"
        )
    if found["score"] < found["median_single_score"]:
        said.append("The ensemble is worse here than its median net.")
    if target.is_class and len(target.classes) <= MOST_SHOWN_CLASSES:
        said += _confusion(found, target)
    return said + _what_matters(found, target)


def _confusion(found: dict[str, Any], target: Target) -> list[str]:
    width = max(9, *(len(name) for name in target.classes))
    heading = " ".join(f"{name:>{width}}" for name in target.classes)
    said = ["", f"{'true / predicted':>{max(16, width)}} {heading}"]
    for name, counts in zip(target.classes, found["confusion"], strict=True):
        said.append(f"{name:>{max(16, width)}} " + " ".join(f"{count:>{width}}" for count in counts))
    return said


def _what_matters(found: dict[str, Any], target: Target) -> list[str]:
    said = [
        "",
        f"Importance of columns: how much {'accuracy' if target.is_class else 'R²'} falls when a column is shuffled:",
    ]
    shown = list(found["importance"].items())[:SHOWN]
    width, top = max(len(name) for name, _ in shown), max(1e-12, *(fall for _, fall in shown))
    said += [f"  {name:<{width}}  {fall:7.3f}  {'#' * round(30 * max(0.0, fall) / top)}" for name, fall in shown]
    mixed, rest = len(found["importance"]), found["columns"] - len(found["importance"])
    if mixed > len(shown):
        said.append(
            f"  … and {mixed - len(shown):,} more columns"
            + (f"; another {rest:,}, of smaller weights, were not tried" if rest else "")
        )
    return said
