"""`sweep`: train many settings from many seeds in one call, and tabulate how often each solves the task."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.processors import thread_count
from fastmlp._own_samples import refuse_by_net
from fastmlp._pickling import picklable
from fastmlp._splits import folds_of
from fastmlp._tables import html_table, text_table
from fastmlp.diagnosis.problem import limit_of_solved
from fastmlp.distributing.data import Data
from fastmlp.distributing.engines import engine_of
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings, shown
from fastmlp.statistics import wilson_intervals
from fastmlp.sweeping.grid import Setting, for_halving, settings_of
from fastmlp.sweeping.results import SweepResults, medians
from fastmlp.sweeping.rungs import Nets, Trainer
from fastmlp.sweeping.together import Rung
from fastmlp.training import train
from fastmlp.training.prepare import prepare_job

if TYPE_CHECKING:
    from fastmlp.plotting import SweepPlots

MOST_CUT = 30  # the first rung has at least this share of the epochs; after fewer, scores say little
SHOWN = 10  # most rows printed


@dataclass(frozen=True, eq=False)
class Sweep:
    """The results of `sweep`: one row for each setting, in the order of the grid.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> grid = {"sizes": [(2, 2, 1), (2, 8, 1)], "learning_rate": [0.1, 1.0]}
    >>> found = fastmlp.sweep(X, y, grid, optimizer="sgd", epochs=500, n_seeds=100)
    >>> len(found), found.loss.shape, found.best()
    (4, (4, 100), [{'sizes': (2, 8, 1), 'learning_rate': 1.0}])
    >>> len(found.train(row=3))  # the nets of a row again
    100
    """

    table: dict[str, np.ndarray]
    """Columns: ``param_…`` for each setting of the grid; `n_seeds`, `n_solved`, `success_rate` and its 95 % interval
    `success_low` to `success_high`; `median_loss`, `mean_loss`, `best_loss`, `median_accuracy`; with validation data
    `median_validation` and `best_validation`, of the nets' best scores; `median_epochs` of solved nets; `diverged`
    (share); `epochs` (maximum); and `rank`, 1 for the best. NaN if a value does not apply."""
    loss: np.ndarray
    """The final loss of every net, (settings, n_seeds)."""
    solved: np.ndarray
    """Whether each net is solved, (settings, n_seeds) bool."""
    seconds: float
    _settings: list[Setting] = field(repr=False)
    _data: tuple[Any, Any, int, np.ndarray, int | None] = field(repr=False)

    def __len__(self) -> int:
        return len(self._settings)

    def best(self, number: int = 1) -> list[dict[str, Any]]:
        """The best settings by rank, as names and values."""
        order = np.argsort(self.table["rank"], kind="stable")[: checks.whole_number("number", number, 1)]
        return [dict(self._settings[k].named) for k in order]

    def train(self, row: int, **changes: Any) -> Runs:
        """Train the nets of one row again, to the same bits, to get their weights.

        After halving, they are trained for the row's number of epochs in the table.

        Parameters
        ----------
        row : int
            Number of the row in the table.
        **changes
            Settings of `train` that differ, such as ``record_every``.
        """
        row = checks.whole_number("row", row, 0, len(self) - 1)
        X, y, seed, ids, threads = self._data
        changes.setdefault("epochs", int(self.table["epochs"][row]))
        asked = {"net_ids": ids, "seed": seed, "threads": threads, **self._settings[row].call.as_keywords(), **changes}
        return train(X=X, y=y, **asked)

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame({name: _plain_column(values) for name, values in self.table.items()})

    def to_polars(self) -> Any:
        """The table as a polars DataFrame; settings that are neither numbers nor names become text."""
        import polars as pl

        return pl.DataFrame({name: _plain_column(values, text=True) for name, values in self.table.items()})

    @property
    def plot(self) -> SweepPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import SweepPlots

        return SweepPlots(self)

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickles: functions that cannot be pickled are replaced by a `LostFunction`."""
        state = {**self.__dict__, "table": picklable(self.table)}
        state["_settings"] = [
            Setting(picklable(s.named), s.call.changed(schedule=picklable(s.call.schedule))) for s in self._settings
        ]
        return state

    def __copy__(self) -> Sweep:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Sweep:
        result = object.__new__(type(self))
        memo[id(self)] = result
        result.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return result

    def _first_rows(self) -> list[list[str]]:
        """The header and the best rows, as text."""
        order = np.argsort(self.table["rank"], kind="stable")[:SHOWN]
        names = [name for name in self.table if name.startswith("param_")]
        t = self.table
        classes = not np.isnan(t["median_accuracy"]).all()
        held_out = not np.isnan(t["median_validation"]).all()
        columns = ["median validation"] if held_out else []
        columns += ["median accuracy"] if classes else []
        rows = [["rank", *(name[6:] for name in names), "solved", "95 % interval", *columns, "median loss", "epochs"]]
        for k in order:
            rows.append(
                [
                    str(t["rank"][k]),
                    *(shown(t[name][k]) for name in names),
                    f"{t['success_rate'][k]:.1%}",
                    f"{t['success_low'][k]:.1%} to {t['success_high'][k]:.1%}",
                    *([f"{t['median_validation'][k]:.4g}"] if held_out else []),
                    *([f"{t['median_accuracy'][k]:.3f}"] if classes else []),
                    f"{t['median_loss'][k]:.4g}",
                    "" if np.isnan(t["median_epochs"][k]) else f"{t['median_epochs'][k]:,.0f}",
                ]
            )
        return rows

    @property
    def _caption(self) -> str:
        return f"{len(self)} settings x {self.loss.shape[1]:,} seeds in {self.seconds:.1f} s, the best first"

    @property
    def _more(self) -> str:
        return f"… and {len(self) - SHOWN} more" if len(self) > SHOWN else ""

    def __str__(self) -> str:
        return "\n".join([self._caption, text_table(self._first_rows()), *([self._more] if self._more else [])])

    def _repr_html_(self) -> str:
        """A table of the best settings, for notebooks."""
        heading, *rows = self._first_rows()
        return html_table(self._caption, heading, rows, self._more)


def _plain_column(values: np.ndarray, text: bool = False) -> Any:
    if values.dtype != object:
        return values
    simple = all(isinstance(v, (str, int, float, type(None))) for v in values)
    return [v if simple else shown(v) for v in values] if text or not simple else list(values)


def sweep(  # noqa: PLR0913
    X: Any,
    y: Any,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
    *,
    n_seeds: int = 100,
    seed: int = 0,
    solved_loss: float | None = None,
    halving: int | None = None,
    cv: Any = None,
    groups: Any = None,
    threads: int | None = None,
    executor: Any = None,
    **fixed: Any,
) -> Sweep:
    """Train every combination of a grid of settings from many seeds, and tabulate how often each solves the task.

    Settings that differ only in numbers (learning rates, L2, leaky slopes, …) or in initial weights are trained
    together, on all processors. Every net has the same bits as in a call of `train` with its settings.

    Parameters
    ----------
    X, y : array_like
        As for `train`.
    grid : dict of lists, or list of such
        From names of settings to lists of values; all combinations are trained. Names are those of `Architecture`
        (``sizes``, ``hidden``, ``output``, ``bias``, ``leaky_slope``), of `train` (``optimizer``, ``init``, ``loss``,
        ``epochs``, ``batch_size``, ``shuffle``, ``l2``, ``dropout``, ``bootstrap``, ``target_loss``,
        ``target_accuracy``, ``patience``, ``tol``, ``schedule``), and of the optimizers (``learning_rate``,
        ``momentum``, ``beta1``, …). With several grids, their rows follow each other.
    n_seeds : int, default 100
        Nets for each setting: those with the numbers 0 … n_seeds − 1, the same for all settings.
    seed : int, default 0
    solved_loss : float, optional
        A net is solved if its loss is at most this. Default: if every sample is on the right side, or, if targets are
        not classes, if the loss is at most a hundredth of their variance; each setting's output decides which.
    halving : int, optional
        Successive halving: all settings are trained for a part of their epochs, the best 1 / `halving` of them for
        `halving` times as many, and so on. Nets continue where they were. Settings that stayed longer rank higher.
    cv, groups : optional
        Folds, as for `cross_validate`: every setting has `n_seeds` nets for each fold, which are trained on its samples
        and validated on those that it leaves out. Nets of the first fold come first.
    threads : int, optional
        Threads; with `executor`, those of each task (default 1).
    executor : optional
        What trains the nets in place of this process, as for `survey`; the results are the same. With `halving`, nets
        go to the executor and back for each rung.
    **fixed
        Settings common to all rows, by the same names, and ``dtype``, ``sample_weight``, ``validation``,
        ``validation_score``, ``restore_best``. With validation data settings rank by the median of their nets' best
        validation scores, otherwise by the share of solved nets, then by their median loss. Halving restores no
        weights, and is not possible with both `validation` and `patience`.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError, TypeError
        For invalid names or values, before any training.
    RuntimeError
        If the same nets have failed three times on the executor, or it takes no more tasks.

    References
    ----------
    Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> found = fastmlp.sweep(X, y, {"sizes": [(2, 2, 1), (2, 8, 1)], "learning_rate": [0.05, 0.5]},
    ...                       optimizer="sgd", epochs=500, n_seeds=200)
    >>> found.best()
    [{'sizes': (2, 8, 1), 'learning_rate': 0.5}]
    >>> found.table["success_rate"].shape
    (4,)
    """
    count = checks.whole_number("n_seeds", n_seeds, 1, 2**40)
    seed = checks.whole_number("seed", seed, 0, 2**64 - 1)
    on_folds = cv is not None
    if on_folds and fixed.get("validation") is not None:
        raise ValueError("cv validates nets on what their folds leave out: leave validation out")
    if groups is not None and not on_folds:
        raise ValueError("groups are for a splitter: pass cv too, such as GroupKFold(5) of sklearn.model_selection")
    settings = settings_of(grid, for_halving(fixed, on_folds) if halving is not None else fixed, on_folds)
    if threads is not None:
        thread_count(threads)
    for setting in settings:
        refuse_by_net("sweep", setting.call, X, y)
    nets = Nets(X, y, seed, np.arange(count, dtype=np.uint64), threads)
    seconds_a_net = []
    for setting in settings:  # refuse invalid settings before any training
        job, _ = prepare_job(setting.call, X, y, NetSelection(net_ids=nets.ids[:1], seed=seed), threads=1)
        seconds_a_net.append(job.seconds_a_net)
    limits = np.array([limit_of_solved(setting.call, y, solved_loss) for setting in settings])
    if on_folds:
        settings, ids = _on_folds(settings, X, y, cv, groups, count)
        nets = nets._replace(ids=ids)
        for setting in settings:
            one = setting.call.of(np.arange(0, len(ids), count))  # a net of each fold
            prepare_job(one, X, y, NetSelection(net_ids=ids[::count], seed=seed), threads=1)
    rungs, rows = _rungs(settings, halving), np.arange(len(settings))
    calls, data = _separated(settings, X, y, executor is not None)
    begun = time.perf_counter()
    with contextlib.ExitStack() as stack:
        engine = None if executor is None else stack.enter_context(contextlib.closing(engine_of(executor)))
        trainer = Trainer(settings, calls, nets, data, engine, seconds_a_net)
        results = trainer.results
        for number, rung in enumerate(rungs):
            trainer.train(rows, rung)
            results.rung[rows] = number
            results.epochs[rows] = [rung.epochs(settings[row].call.epochs)[1] for row in rows]
            if not rung.is_last:
                order = rows[np.argsort(results.ranks(limits)[rows], kind="stable")]
                rows = np.sort(order[: max(1, -(-len(rows) // (halving or 1)))])
    return Sweep(
        _table(settings, results, limits),
        results.loss,
        results.solved(limits),
        time.perf_counter() - begun,
        settings,
        tuple(nets),
    )


def _on_folds(
    settings: list[Setting], X: Any, y: Any, cv: Any, groups: Any, n_seeds: int
) -> tuple[list[Setting], np.ndarray]:
    """The settings with the samples of each fold, and the numbers of the nets, fold by fold."""
    folds = folds_of(cv, Data.copied(X, y, None, None), groups, settings[0].call.architecture)
    rows, held = zip(*folds, strict=True)
    which = np.repeat(np.arange(len(folds)), n_seeds)
    own = {"rows": list(rows), "rows_of": which, "validation_rows": list(held)}
    ids = np.tile(np.arange(n_seeds, dtype=np.uint64), len(folds))
    return [setting._replace(call=setting.call.changed(**own)) for setting in settings], ids


def _separated(settings: list[Setting], X: Any, y: Any, for_others: bool) -> tuple[list[TrainSettings], Data]:
    """The settings without samples, and the samples that they share; arrays only, if they go to other processes."""
    validation, weights = settings[0].call.validation, settings[0].call.sample_weight
    if any(setting.call.sample_weight is not weights for setting in settings):
        weights = None  # it is one of the settings
    without = {"validation": None} | ({} if weights is None else {"sample_weight": None})
    calls = [setting.call.changed(**without) for setting in settings]
    if not for_others:
        return calls, Data(X, y, weights, validation)
    arrays: dict[tuple[int, int], Any] = {}  # of schedules that are functions, each called once for its epochs
    for k, call in enumerate(calls):
        if callable(call.schedule):
            key = id(call.schedule), call.epochs
            if key not in arrays:
                arrays[key] = call.with_factors().schedule
            calls[k] = call.changed(schedule=arrays[key])
    return calls, Data.copied(X, y, weights, validation)


def _rungs(settings: list[Setting], halving: int | None) -> list[Rung]:
    if halving is None:
        return [Rung(0.0, 1.0)]
    factor = checks.whole_number("halving", halving, 2)
    validated = any(s.call.validation is not None or s.call.validation_rows is not None for s in settings)
    if validated and any(s.call.patience is not None for s in settings):
        raise ValueError("halving does not keep the state of patience on validation data: leave one of them out")
    if any(s.call.schedule is not None for s in settings):
        raise ValueError(
            "halving trains part of the epochs first, which is not possible with a schedule: leave one out"
        )
    number, left, least = 1, len(settings), min(s.call.epochs for s in settings)
    while left > 1 and least >= factor**number and factor**number <= MOST_CUT:
        number, left = number + 1, -(-left // factor)
    ends = [float(factor) ** -k for k in range(number - 1, -1, -1)]
    return [Rung(begin, end) for begin, end in zip([0.0, *ends], ends, strict=False)]


def _table(settings: list[Setting], results: SweepResults, limits: np.ndarray) -> dict[str, np.ndarray]:
    swept = list(dict.fromkeys(name for setting in settings for name in setting.named))
    table: dict[str, np.ndarray] = {}
    for name in swept:
        values = [setting.named.get(name) for setting in settings]
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        column = np.empty(len(values), object)
        column[:] = values
        table[f"param_{name}"] = np.array(values) if numeric else column
    solved, n = results.solved(limits), results.loss.shape[1]
    count = solved.sum(axis=1)
    low, high = wilson_intervals(count, np.full(len(count), n))
    losses = np.where(np.isnan(results.loss), np.inf, results.loss)
    took = [np.median(t[s]) if s.any() else np.nan for t, s in zip(results.trained, solved, strict=True)]
    finite = np.isfinite(results.loss)
    means = [row[ok].mean() if ok.any() else np.nan for row, ok in zip(results.loss, finite, strict=True)]
    return table | {
        "n_seeds": np.full(len(count), n),
        "n_solved": count,
        "success_rate": count / n,
        "success_low": low,
        "success_high": high,
        "median_loss": np.median(losses, axis=1),
        "mean_loss": np.array(means),
        "best_loss": losses.min(axis=1),
        "median_epochs": np.array(took),
        "median_accuracy": medians(results.accuracy),
        "median_validation": results.median_validation,
        "best_validation": results.validation.max(axis=1),
        "diverged": (results.status == Status.DIVERGED).mean(axis=1),
        "epochs": results.epochs,
        "rank": results.ranks(limits),
    }


_Setting = Setting  # the name in older pickles
