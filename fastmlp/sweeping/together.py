"""Train the nets of several settings together, up to the end of a rung."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastmlp.diagnosis.retraining import Retraining
from fastmlp.distributing.data import Data
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.sweeping.grid import OWN, Setting
from fastmlp.sweeping.results import Measured
from fastmlp.training import HowToRun, train_nets

MOST_NETS_AT_ONCE = 2**18
MOST_BYTES_AT_ONCE = 2**29  # most bytes of parameters of nets trained together


class Part(NamedTuple):
    """Some seeds of some settings of a group: what is trained together."""

    rows: tuple[int, ...]
    first: int
    stop: int


class Rung(NamedTuple):
    """How long all settings of a rung are trained, as shares of their epochs."""

    begin: float
    end: float

    @property
    def is_last(self) -> bool:
        return self.end == 1.0

    def epochs(self, total: int) -> tuple[int, int]:
        """The epochs that a net has had before, and has had after this rung."""
        return round(total * self.begin), round(total * self.end)


class Task(NamedTuple):
    """What trains a part; all but the samples."""

    calls: list[TrainSettings]  # one for each setting, without what is in `Data`
    nets: list[np.ndarray]  # of each setting, the numbers of its nets
    alive: list[Runs] | None  # the same nets after the rung before
    seed: int
    threads: int | None
    rung: Rung


def parts_of(chosen: list[Setting], rows: list[int], n_seeds: int, most_nets: int | None) -> list[Part]:
    """Split the nets of a group so that they fit into memory; `most_nets` also splits the seeds of a setting."""
    net = chosen[0].call.architecture.n_parameters * 8
    most = min(MOST_NETS_AT_ONCE, MOST_BYTES_AT_ONCE // net, most_nets or MOST_NETS_AT_ONCE)
    seeds = n_seeds if most_nets is None else max(1, min(n_seeds, most))
    together = max(1, most // n_seeds)
    return [
        Part(tuple(rows[k : k + together]), first, min(n_seeds, first + seeds))
        for k in range(0, len(rows), together)
        for first in range(0, n_seeds, seeds)
    ]


def train_task(task: Task, data: Data) -> Measured:
    """Train the nets of a part up to the end of a rung."""
    given: dict[str, Any] = {"validation": data.validation}
    if data.sample_weight is not None:
        given["sample_weight"] = data.sample_weight
    calls, keep = [call.changed(**given) for call in task.calls], not task.rung.is_last
    before, after = task.rung.epochs(calls[0].epochs)
    if task.alive is None:
        runs = _train_together(calls, task, data, after, keep)
    else:
        runs = _go_on_together(task.alive, calls, task, data, after - before, keep)
    return Measured.of(runs, keep)


def goes_on(status: np.ndarray, trained: np.ndarray, epochs: int) -> np.ndarray:
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
    if first.rows is not None:
        numbers["rows_of"] = np.concatenate([c.rows_of for c in calls])
    return first.changed(**numbers, optimizer=optimizer, architecture=first.architecture.with_slope(slope))


def _train_together(calls: list[TrainSettings], task: Task, data: Data, epochs: int, keep: bool) -> Runs:
    together = _together(calls, [len(numbers) for numbers in task.nets]).changed(epochs=epochs, keep_state=keep)
    inits = [call.init for call in calls]
    distinct = list(dict.fromkeys(inits))
    if len(distinct) > 1:
        retraining, ids = Retraining(Runs._train, task.seed, task.threads), task.nets[0]  # the same for all
        drawn = {init: retraining.initial(calls[inits.index(init)], data.X, data.y, ids) for init in distinct}
        weights = [np.concatenate([drawn[i].weights[k] for i in inits]) for k in range(calls[0].architecture.n_layers)]
        biases = [np.concatenate([drawn[i].biases[k] for i in inits]) for k in range(len(drawn[inits[0]].biases))]
        together = together.changed(init=(weights, biases))
    nets = NetSelection(net_ids=np.concatenate(task.nets), seed=task.seed)
    return train_nets(together, data.X, data.y, nets, HowToRun(threads=task.threads))


def _go_on_together(
    runs: list[Runs], calls: list[TrainSettings], task: Task, data: Data, epochs: int, keep: bool
) -> Runs:
    together = _together(calls, [len(one) for one in runs])
    joined = Runs.concatenated(runs, together.architecture)
    together = together.changed(epochs=epochs, keep_state=keep, init="he_uniform")
    return train_nets(together, data.X, data.y, NetSelection(warm_start=joined), HowToRun(threads=task.threads))
