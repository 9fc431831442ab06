"""Train the nets of several settings together, up to the end of a rung."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastmlp.diagnosis.retraining import Retraining
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.sweeping.grid import OWN, Setting
from fastmlp.sweeping.results import SweepResults
from fastmlp.training import HowToRun, train_nets

MOST_NETS_AT_ONCE = 2**18
MOST_BYTES_AT_ONCE = 2**29  # most bytes of parameters of nets trained together


class Task(NamedTuple):
    """The data and the nets that all settings share."""

    X: Any
    y: Any
    seed: int
    ids: np.ndarray
    threads: int | None


def parts_of(chosen: list[Setting], rows: list[int], n_seeds: int) -> list[list[int]]:
    """Split settings into groups that fit into memory."""
    net = chosen[0].call.architecture.n_parameters * 8
    most = max(1, min(MOST_NETS_AT_ONCE, MOST_BYTES_AT_ONCE // net) // n_seeds)
    return [rows[first : first + most] for first in range(0, len(rows), most)]


def train_part(
    part: list[int],
    settings: list[Setting],
    task: Task,
    results: SweepResults,
    alive: dict[int, Runs],
    rungs: list[float],
    number: int,
) -> None:
    """Train the nets of some settings of a group up to the end of a rung, and store their results."""
    keep = number + 1 < len(rungs)
    calls, n = [settings[row].call for row in part], len(task.ids)
    total = calls[0].epochs
    before = round(total * rungs[number - 1]) if number else 0
    epochs = round(total * rungs[number]) - before
    if not number:
        runs = _train_together(calls, task, epochs, keep)
        nets = [np.arange(n)] * len(part)
    else:
        nets = [np.flatnonzero(_goes_on(results.status[row], results.trained[row], before)) for row in part]
        if not sum(map(len, nets)):
            return
        runs = _go_on_together([alive[row] for row in part], calls, nets, task, epochs, keep)
    first = 0
    for row, which in zip(part, nets, strict=True):
        own = runs[first : first + len(which)]
        assert isinstance(own, Runs)
        results.take(row, which, own)
        if keep:
            alive[row] = own[_goes_on(own.status, own.epochs, before + epochs)]
        first += len(which)


def _goes_on(status: np.ndarray, trained: np.ndarray, epochs: int) -> np.ndarray:
    """Which nets a longer call would train further after `epochs` epochs.

    An infinite loss that only the end of a call computes does not stop a net, whose gradients can still be finite.
    """
    return (status == Status.RAN_ALL_EPOCHS) | ((status == Status.DIVERGED) & (trained == epochs))


def _together(calls: list[TrainSettings], counts: list[int]) -> TrainSettings:
    """Merge several settings into one, with one value for each net if they differ."""

    def spread(values: list[Any]) -> Any:
        if all(value == values[0] for value in values):
            return values[0]
        return np.repeat(np.array(values, np.float64), counts)

    first = calls[0]
    own = {f.name: [getattr(c.optimizer, f.name) for c in calls] for f in fields(first.optimizer)}  # type: ignore[arg-type]
    optimizer = type(first.optimizer)(**{name: spread(values) for name, values in own.items()})
    slope = spread([c.architecture.leaky_slope for c in calls])
    numbers = {name: spread([getattr(c, name) for c in calls]) for name in OWN}
    return first.changed(**numbers, optimizer=optimizer, architecture=first.architecture.with_slope(slope))


def _train_together(calls: list[TrainSettings], task: Task, epochs: int, keep: bool) -> Runs:
    together = _together(calls, [len(task.ids)] * len(calls)).changed(epochs=epochs, keep_state=keep)
    inits = [call.init for call in calls]
    distinct = list(dict.fromkeys(inits))
    if len(distinct) > 1:
        retraining = Retraining(Runs._train, task.seed, task.threads)
        drawn = {init: retraining.initial(calls[inits.index(init)], task.X, task.y, task.ids) for init in distinct}
        weights = [np.concatenate([drawn[i].weights[k] for i in inits]) for k in range(calls[0].architecture.n_layers)]
        biases = [np.concatenate([drawn[i].biases[k] for i in inits]) for k in range(len(drawn[inits[0]].biases))]
        together = together.changed(init=(weights, biases))
    nets = NetSelection(net_ids=np.tile(task.ids, len(calls)), seed=task.seed)
    return train_nets(together, task.X, task.y, nets, HowToRun(threads=task.threads))


def _go_on_together(
    runs: list[Runs], calls: list[TrainSettings], nets: list[np.ndarray], task: Task, epochs: int, keep: bool
) -> Runs:
    together = _together(calls, [len(which) for which in nets])
    joined = Runs.concatenated(runs, together.architecture)
    together = together.changed(epochs=epochs, keep_state=keep, init="he_uniform")
    return train_nets(together, task.X, task.y, NetSelection(warm_start=joined), HowToRun(threads=task.threads))
