"""`sweep`: many settings times many seeds in one call, and a table of how often each solves the task."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._html import html_table
from fastmlp._kernels.formulas.losses import Loss
from fastmlp._pickling import picklable
from fastmlp.architecture import Architecture
from fastmlp.diagnosis.problem import solved_limit
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings, shown
from fastmlp.statistics import wilson_intervals
from fastmlp.sweeping.results import SweepResults, medians
from fastmlp.training import HowToRun, train, train_nets
from fastmlp.training.prepare import prepare_job

if TYPE_CHECKING:
    from fastmlp.plotting import SweepPlots

_ARCHITECTURE = ("sizes", "hidden", "output", "bias", "leaky_slope")
# Settings of `train` that all nets of a kernel's run share,
_SHARED = ("loss", "epochs", "batch_size", "shuffle", "bootstrap", "schedule", "sample_weight", "dtype")
# those of which each net may have its own,
_OWN = ("l2", "dropout", "target_loss", "target_accuracy", "patience", "tol")
# and those of a whole sweep, so that its rows can be held against each other
_OF_ALL = ("validation", "validation_score", "restore_best")
_SETTINGS = (*_SHARED, *_OWN, *_OF_ALL, "init", "optimizer")
MOST_CUT = 30  # the first rung has at least this part of the epochs: after fewer, nets say little
MOST_NETS_AT_ONCE = 2**18
SHOWN = 10  # rows that are printed
MOST_BYTES_AT_ONCE = 2**29  # of their parameters


class _Setting(NamedTuple):
    """One row of the table, as `train` is asked for it."""

    named: dict[str, Any]
    call: TrainSettings

    @property
    def group(self) -> tuple[Any, ...]:
        """What must be equal for settings to be trained in one run of a kernel."""
        arch, own, c = self.call.architecture, self.call.optimizer, self.call
        flags = tuple(getattr(own, f.name) for f in fields(own) if f.type == "bool")  # type: ignore[arg-type]
        # an array of dropout, or of targets, counts even where it is 0 or none
        asked = tuple(bool(getattr(c, name)) if name == "dropout" else getattr(c, name) is None for name in _OWN)
        shared = tuple(_comparable(getattr(c, name)) for name in _SHARED)
        return arch.sizes, arch.activations, arch.bias, type(own), own.n_state_rows, flags, asked, shared


def _comparable(value: Any) -> Any:
    return id(value) if isinstance(value, np.ndarray) or callable(value) else repr(value)


@dataclass(frozen=True, eq=False)
class Sweep:
    """What `sweep` found: one row a setting, in the order of the grid."""

    table: dict[str, np.ndarray]
    """Columns: ``param_…`` for each setting that was swept, `n_seeds`, `n_solved`, `success_rate`, its 95 % interval
    `success_low` to `success_high`, `median_loss`, `mean_loss`, `best_loss`, `median_accuracy`, with validation data
    the median and best of the nets' `validation_score` (their best epochs') as `median_validation` and
    `best_validation`, `median_epochs` (that solved nets took), `diverged` (share), `epochs` (trained at most), and
    `rank`, 1 for the best. NaN stands for what does not apply."""
    loss: np.ndarray
    """The final loss of every net, (settings, n_seeds)."""
    solved: np.ndarray
    """Whether it is solved, (settings, n_seeds) bool."""
    seconds: float
    _settings: list[_Setting] = field(repr=False)
    _data: tuple[Any, Any, int, np.ndarray, int | None] = field(repr=False)

    def __len__(self) -> int:
        return len(self._settings)

    def best(self, number: int = 1) -> list[dict[str, Any]]:
        """The best settings by their rank, as names and values."""
        order = np.argsort(self.table["rank"], kind="stable")[: checks.whole_number("number", number, 1)]
        return [dict(self._settings[k].named) for k in order]

    def train(self, row: int, **changes: Any) -> Runs:
        """The nets of one row, trained again: the same bits, with their weights.

        Of a row that halving has left behind they are trained for the epochs that the table has for it.

        Parameters
        ----------
        row : int
            Which row of the table.
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
        """The table as a polars DataFrame; settings that are no numbers or names as text."""
        import polars as pl

        return pl.DataFrame({name: _plain_column(values, text=True) for name, values in self.table.items()})

    @property
    def plot(self) -> SweepPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import SweepPlots

        return SweepPlots(self)

    def __getstate__(self) -> dict[str, Any]:
        """With something that says so in the place of functions that cannot be pickled."""
        state = {**self.__dict__, "table": picklable(self.table)}
        state["_settings"] = [
            _Setting(picklable(s.named), s.call.changed(schedule=picklable(s.call.schedule))) for s in self._settings
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
        """The heading and the best rows, as texts."""
        order = np.argsort(self.table["rank"], kind="stable")[:SHOWN]
        names = [name for name in self.table if name.startswith("param_")]
        t = self.table
        classes = not np.isnan(t["median_accuracy"]).all()
        held_out = not np.isnan(t["median_validation"]).all()
        columns = ["median validation"] if held_out else []
        columns += ["median accuracy"] if classes else []
        rows = [["rank", *(name[6:] for name in names), "solved", "95 % interval", *columns, "median loss", "epochs"]]
        for k in order:
            rows.append([
                str(t["rank"][k]), *(shown(t[name][k]) for name in names), f"{t['success_rate'][k]:.1%}",
                f"{t['success_low'][k]:.1%} to {t['success_high'][k]:.1%}",
                *([f"{t['median_validation'][k]:.4g}"] if held_out else []),
                *([f"{t['median_accuracy'][k]:.3f}"] if classes else []), f"{t['median_loss'][k]:.4g}",
                "" if np.isnan(t["median_epochs"][k]) else f"{t['median_epochs'][k]:,.0f}",
            ])  # fmt: skip
        return rows

    @property
    def _caption(self) -> str:
        return f"{len(self)} settings x {self.loss.shape[1]:,} seeds in {self.seconds:.1f} s, the best first"

    @property
    def _more(self) -> str:
        return f"… and {len(self) - SHOWN} more" if len(self) > SHOWN else ""

    def __str__(self) -> str:
        rows = self._first_rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join([self._caption, *lines, *([self._more] if self._more else [])])

    def _repr_html_(self) -> str:
        """A table of the best settings, for notebooks."""
        heading, *rows = self._first_rows()
        return html_table(self._caption, heading, rows, self._more)


def _plain_column(values: np.ndarray, text: bool = False) -> Any:
    if values.dtype != object:
        return values
    simple = all(isinstance(v, (str, int, float, type(None))) for v in values)
    return [v if simple else shown(v) for v in values] if text or not simple else list(values)


def sweep(
    X: Any,
    y: Any,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]],
    *,
    n_seeds: int = 100,
    seed: int = 0,
    solved_loss: float | None = None,
    halving: int | None = None,
    threads: int | None = None,
    **fixed: Any,
) -> Sweep:
    """Train every combination of a grid of settings from many seeds, and say how often each solves the task.

    Settings that differ only in numbers (learning rates, L2, leaky slopes, …) or in initial weights share a kernel's
    run, on all processors. Every net has the bits that a call of `train` of its own would give it.

    Parameters
    ----------
    X, y : array_like
        As for `train`.
    grid : dict of lists, or list of such
        What is swept: names of settings to the values to try, all combinations. Names are those of `Architecture`
        (``sizes``, ``hidden``, ``output``, ``bias``, ``leaky_slope``), of `train` (``optimizer``, ``init``, ``loss``,
        ``epochs``, ``batch_size``, ``shuffle``, ``l2``, ``dropout``, ``bootstrap``, ``target_loss``,
        ``target_accuracy``, ``patience``, ``tol``, ``schedule``), and of the optimizers (``learning_rate``,
        ``momentum``, ``beta1``, …). Of several grids the rows follow each other.
    n_seeds : int, default 100
        Nets a setting: those with the numbers 0 … n_seeds − 1, the same for all settings.
    seed : int, default 0
    solved_loss : float, optional
        A net is solved when its loss is at most this; by default when every sample is on the right side, or for targets
        that are no classes when the loss is at most a hundredth of their variance; each setting's output decides.
    halving : int, optional
        Successive halving: all settings are trained for a part of their epochs, the best 1 / `halving` of them for
        `halving` times as many, and so on. Nets go on where they were. Settings rank the higher the longer they stayed.
    threads : int, optional
    **fixed
        Settings that all have in common, by the same names, and ``dtype``, ``sample_weight``, ``validation``,
        ``validation_score``, ``restore_best``. With validation data settings rank by the median of their nets' best
        validation scores, else by the share of nets that are solved, and then by their median loss. Halving restores
        no weights, and does not go with both `validation` and `patience`.

    Returns
    -------
    Sweep

    Raises
    ------
    ValueError, TypeError
        For names or values that make no sense, before any training.

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
    settings = _settings(grid, _for_halving(fixed) if halving is not None else fixed)
    ids = np.arange(count, dtype=np.uint64)
    for setting in settings:  # refuse what makes no sense before anything is trained
        prepare_job(setting.call, X, y, NetSelection(net_ids=ids[:1], seed=seed), threads=1)
    begun = time.perf_counter()
    results = SweepResults(len(settings), count)
    limits = np.array([_solved_limit(setting.call, y, solved_loss) for setting in settings])
    rungs = _rungs(settings, halving)
    rows = np.arange(len(settings))
    alive: dict[int, Runs] = {}
    for number, share in enumerate(rungs):
        groups: dict[Any, list[int]] = {}
        for row in rows:
            groups.setdefault(settings[row].group, []).append(int(row))
        for members in groups.values():
            for part in _parts([settings[row] for row in members], members, count):
                _train_part(part, settings, X, y, ids, seed, threads, results, alive, rungs, number)
        results.rung[rows] = number
        results.epochs[rows] = [round(settings[row].call.epochs * share) for row in rows]
        if number + 1 < len(rungs):
            order = rows[np.argsort(results.ranks(limits)[rows], kind="stable")]
            rows = np.sort(order[: max(1, -(-len(rows) // (halving or 1)))])
            alive = {row: runs for row, runs in alive.items() if row in rows}
    return Sweep(
        _table(settings, results, limits), results.loss, results.solved(limits), time.perf_counter() - begun, settings,
        (X, y, seed, ids, threads),
    )  # fmt: skip


def _settings(grid: Any, fixed: dict[str, Any]) -> list[_Setting]:
    grids = [grid] if isinstance(grid, Mapping) else grid
    if not isinstance(grids, (list, tuple)) or not grids or not all(isinstance(one, Mapping) for one in grids):
        raise TypeError(
            f"grid={grid!r}: needs a dict of lists, such as {{'learning_rate': [0.1, 0.5]}}, or a list of such"
        )
    found = []
    for one in grids:
        for name, values in one.items():
            if name in fixed:
                raise ValueError(f"{name} is in the grid and given as {fixed[name]!r} for all: leave one of them out")
            if name in _OF_ALL:
                raise ValueError(f"{name} is in the grid: give it for all settings, by which they are compared")
            if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)) or not len(values):
                raise TypeError(f"grid[{name!r}]={values!r}: needs a list of the values to try")
        for combination in itertools.product(*one.values()):
            named = {name: _scalar(value) for name, value in zip(one, combination, strict=True)}
            found.append(_Setting(named, _call(named | fixed)))
    if not found:
        raise ValueError("the grid is empty: needs at least one setting")
    given = [name for name in ("validation_score", "restore_best") if name in fixed]
    if given and fixed.get("validation") is None:
        raise ValueError(f"{' and '.join(given)} need validation, a pair (X, y): pass it, or leave them out")
    losses = sorted({s.call.loss_name for s in found})
    if fixed.get("validation") is not None and fixed.get("validation_score", "loss") == "loss" and len(losses) > 1:
        raise ValueError(
            f"validation_score='loss' does not compare settings of different losses ({', '.join(losses)}): needs "
            "'accuracy' or 'r2'"
        )
    return found


def _for_halving(fixed: dict[str, Any]) -> dict[str, Any]:
    """Settings with which nets go on from rung to rung as they are."""
    if fixed.get("validation") is None:
        return fixed
    if fixed.get("restore_best"):
        raise ValueError("halving goes on with the nets as they are: leave restore_best out")
    return {**fixed, "restore_best": False}


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _call(named: dict[str, Any]) -> TrainSettings:
    """One setting as `train` takes it."""
    own_names = {f.name for kind in OPTIMIZERS.values() for f in fields(kind)}
    for name in named:
        known = {*_ARCHITECTURE, *_SETTINGS, *own_names}
        choose("the name of a setting", name, dict.fromkeys(sorted(known)))
    if "sizes" not in named:
        raise ValueError("sizes is neither in the grid nor given for all: needs layer sizes such as (2, 4, 1)")
    architecture = Architecture(**{name: named[name] for name in _ARCHITECTURE if name in named})
    optimizer = named.get("optimizer", "adam")
    kind = type(optimizer) if isinstance(optimizer, Optimizer) else choose("optimizer", optimizer, OPTIMIZERS)
    own = {name: named[name] for name in own_names if name in named}
    wrong = sorted(set(own) - {f.name for f in fields(kind)})
    if wrong:
        raise ValueError(
            f"{kind.__name__} has no {', '.join(wrong)}: sweep optimizers with other settings in a grid of their own, "
            "as a list of grids"
        )
    if isinstance(optimizer, Optimizer):
        own = {**{f.name: getattr(optimizer, f.name) for f in fields(kind)}, **own}
    given = {name: value for name, value in named.items() if name in _SETTINGS}
    settings = TrainSettings(**{**given, "architecture": architecture, "optimizer": kind(**own)})
    checks.whole_number("epochs", settings.epochs, 0)
    numbers: dict[str, Any] = {**settings.optimizer.settings, **{name: getattr(settings, name) for name in _OWN}}
    numbers |= {"leaky_slope": architecture.leaky_slope}
    for name, value in numbers.items():
        if value is not None and np.ndim(value):
            raise ValueError(f"{name} is an array: a setting of a sweep needs one number; list them in the grid")
    if settings.begins_with_arrays:
        raise ValueError("init holds arrays: a sweep needs names or initializers; list them in the grid")
    if np.ndim(settings.sample_weight) > 1:
        raise ValueError("sample_weight has one row a net: a sweep needs one number a sample, the same for all nets")
    return settings


def _solved_limit(call: TrainSettings, y: Any, solved_loss: Any) -> float:
    """The loss that counts as solved; NaN for right sides."""
    if solved_loss is not None:
        limit = checks.bounded("solved_loss", solved_loss, 1, 0.0)
        if not isinstance(limit, float):
            raise ValueError(f"solved_loss={solved_loss!r}: needs one number")
        return limit
    targets = checks.real_array("y", y).astype(np.float64)
    if checks.counts_accuracy(targets) or call.architecture.output == "softmax":
        return np.nan
    loss = Loss[call.loss_name.upper()]
    of_numbers = solved_limit(loss, targets.reshape(len(targets), -1), classes=False)
    return np.nan if of_numbers is None else of_numbers


def _rungs(settings: list[_Setting], halving: int | None) -> list[float]:
    """Which share of its epochs a setting has been trained for at the end of each rung."""
    if halving is None:
        return [1.0]
    factor = checks.whole_number("halving", halving, 2)
    if any(s.call.validation is not None and s.call.patience is not None for s in settings):
        raise ValueError("halving does not keep what patience has seen of validation data: leave one of them out")
    if any(s.call.schedule is not None for s in settings):
        raise ValueError("halving trains part of the epochs first, which a schedule does not go with: leave one out")
    number, left, least = 1, len(settings), min(s.call.epochs for s in settings)
    while left > 1 and least >= factor**number and factor**number <= MOST_CUT:
        number, left = number + 1, -(-left // factor)
    return [float(factor) ** -k for k in range(number - 1, -1, -1)]


def _parts(chosen: list[_Setting], rows: list[int], n_seeds: int) -> list[list[int]]:
    """Settings that are trained at once, as many as memory should hold."""
    net = chosen[0].call.architecture.n_parameters * 8
    most = max(1, min(MOST_NETS_AT_ONCE, MOST_BYTES_AT_ONCE // net) // n_seeds)
    return [rows[first : first + most] for first in range(0, len(rows), most)]


def _train_part(
    part: list[int], settings: list[_Setting], X: Any, y: Any, ids: np.ndarray, seed: int, threads: int | None,
    results: SweepResults, alive: dict[int, Runs], rungs: list[float], number: int,
) -> None:  # fmt: skip
    """Train the nets of some settings of a group, up to the end of a rung, and take what they come to."""
    keep = number + 1 < len(rungs)
    calls, n = [settings[row].call for row in part], len(ids)
    total = calls[0].epochs
    before = round(total * rungs[number - 1]) if number else 0
    epochs = round(total * rungs[number]) - before
    if not number:
        runs = _train_together(calls, X, y, ids, seed, threads, epochs, keep)
        nets = [np.arange(n)] * len(part)
    else:
        nets = [np.flatnonzero(_goes_on(results.status[row], results.trained[row], before)) for row in part]
        if not sum(map(len, nets)):
            return
        runs = _go_on_together([alive[row] for row in part], calls, nets, X, y, threads, epochs, keep)
    first = 0
    for row, which in zip(part, nets, strict=True):
        own = runs[first : first + len(which)]
        assert isinstance(own, Runs)
        results.take(row, which, own)
        if keep:
            alive[row] = own[_goes_on(own.status, own.epochs, before + epochs)]
        first += len(which)


def _goes_on(status: np.ndarray, trained: np.ndarray, epochs: int) -> np.ndarray:
    """Which nets a call that did not end after `epochs` epochs would train further.

    An infinite loss that is seen at a call's end alone has not stopped a net: gradients may be finite all the same.
    """
    return (status == Status.RAN_ALL_EPOCHS) | ((status == Status.DIVERGED) & (trained == epochs))


def _together(calls: list[TrainSettings], counts: list[int]) -> TrainSettings:
    """Several settings as one, with one value a net where they differ."""

    def spread(values: list[Any]) -> Any:
        if all(value == values[0] for value in values):
            return values[0]
        return np.repeat(np.array(values, np.float64), counts)

    first = calls[0]
    own = {f.name: [getattr(c.optimizer, f.name) for c in calls] for f in fields(first.optimizer)}  # type: ignore[arg-type]
    optimizer = type(first.optimizer)(**{name: spread(values) for name, values in own.items()})
    slope = spread([c.architecture.leaky_slope for c in calls])
    numbers = {name: spread([getattr(c, name) for c in calls]) for name in _OWN}
    return first.changed(**numbers, optimizer=optimizer, architecture=first.architecture.with_slope(slope))


def _train_together(
    calls: list[TrainSettings], X: Any, y: Any, ids: np.ndarray, seed: int, threads: int | None, epochs: int, keep: bool
) -> Runs:
    together = _together(calls, [len(ids)] * len(calls)).changed(epochs=epochs, keep_state=keep)
    inits = [call.init for call in calls]
    distinct = list(dict.fromkeys(inits))
    if len(distinct) > 1:
        retraining = Retraining(Runs._train, seed, threads)
        drawn = {init: retraining.initial(calls[inits.index(init)], X, y, ids) for init in distinct}
        weights = [np.concatenate([drawn[i].weights[k] for i in inits]) for k in range(calls[0].architecture.n_layers)]
        biases = [np.concatenate([drawn[i].biases[k] for i in inits]) for k in range(len(drawn[inits[0]].biases))]
        together = together.changed(init=(weights, biases))
    nets = NetSelection(net_ids=np.tile(ids, len(calls)), seed=seed)
    return train_nets(together, X, y, nets, HowToRun(threads=threads))


def _go_on_together(
    runs: list[Runs], calls: list[TrainSettings], nets: list[np.ndarray], X: Any, y: Any, threads: int | None,
    epochs: int, keep: bool,
) -> Runs:  # fmt: skip
    together = _together(calls, [len(which) for which in nets])
    joined = Runs.concatenated(runs, together.architecture)
    together = together.changed(epochs=epochs, keep_state=keep, init="he_uniform")
    return train_nets(together, X, y, NetSelection(warm_start=joined), HowToRun(threads=threads))


def _table(settings: list[_Setting], results: SweepResults, limits: np.ndarray) -> dict[str, np.ndarray]:
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
        "n_seeds": np.full(len(count), n), "n_solved": count, "success_rate": count / n, "success_low": low,
        "success_high": high, "median_loss": np.median(losses, axis=1), "mean_loss": np.array(means),
        "best_loss": losses.min(axis=1), "median_epochs": np.array(took),
        "median_accuracy": medians(results.accuracy), "median_validation": results.median_validation,
        "best_validation": results.validation.max(axis=1),
        "diverged": (results.status == Status.DIVERGED).mean(axis=1), "epochs": results.epochs,
        "rank": results.ranks(limits),
    }  # fmt: skip
