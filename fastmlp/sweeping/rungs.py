"""Train a sweep rung by rung, in this process or on an executor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastmlp.distributing.data import Data
from fastmlp.distributing.dispatcher import run_tasks
from fastmlp.distributing.engines import Engine
from fastmlp.runs import Runs
from fastmlp.settings import TrainSettings
from fastmlp.sweeping.grid import Setting
from fastmlp.sweeping.results import Measured, SweepResults
from fastmlp.sweeping.together import Part, Rung, Task, goes_on, parts_of, train_task

TASK_SECONDS = 10.0  # of a task on an executor, at most
TASKS_A_SLOT = 4  # at least, if there are nets enough
LEAST_NETS = 64  # of a task that takes less: fewer would leave lanes of the widest vectors empty


class Nets(NamedTuple):
    """The data and the nets that all settings share."""

    X: Any
    y: Any
    seed: int
    ids: np.ndarray
    threads: int | None


class Trainer:
    """Trains the settings of a sweep, all by the same nets."""

    def __init__(
        self,
        settings: list[Setting],
        calls: list[TrainSettings],
        nets: Nets,
        data: Data,
        engine: Engine | None,
        seconds_a_net: list[float],
    ) -> None:
        """`calls` are the settings as they are sent, without `data`; `seconds_a_net` are estimates, on one thread."""
        self._settings, self._calls, self._nets, self._data, self._engine = settings, calls, nets, data, engine
        self._seconds_a_net = np.array(seconds_a_net)
        self.results = SweepResults(len(settings), len(nets.ids))
        self._alive: dict[
            int, tuple[np.ndarray, Runs]
        ] = {}  # of a setting, the nets that go on, by their seeds' places

    def train(self, rows: np.ndarray, rung: Rung) -> None:
        """Train the nets of some settings up to the end of a rung."""
        self._alive = {row: alive for row, alive in self._alive.items() if row in rows}
        groups: dict[Any, list[int]] = {}
        for row in rows:
            groups.setdefault(self._settings[row].group, []).append(int(row))
        parts = [part for members in groups.values() for part in self._parts(members, rung)]
        go_on: dict[int, list[tuple[np.ndarray, Runs]]] = {}
        came: Iterator[tuple[Part, Measured]] = run_tasks(
            self._engine,
            train_task,
            [part for part in parts if self._rows(part, rung)],
            lambda part: self._task(part, rung),
            self._data,
            threads=self._nets.threads,
            named=self._name,
        )
        for part, measured in came:
            first = 0
            for row, places in self._rows(part, rung):
                own = slice(first, first + len(places))
                self.results.take(row, places, measured.some(own))
                if measured.runs is not None:
                    go_on.setdefault(row, []).append(self._going_on(row, places, measured.runs[own], rung))
                first += len(places)
        self._alive = {row: self._joined(row, pieces) for row, pieces in go_on.items()}

    def _parts(self, members: list[int], rung: Rung) -> list[Part]:
        chosen, n_seeds = [self._settings[row] for row in members], len(self._nets.ids)
        if self._engine is None:
            return parts_of(chosen, members, n_seeds, None)
        seconds = self._seconds_a_net[members].max() * (rung.end - rung.begin)
        slots = max(1, self._engine.slots())
        share = -(-len(members) * n_seeds // (TASKS_A_SLOT * slots))
        most = min(max(share, LEAST_NETS), int(TASK_SECONDS / max(seconds, 1e-12)))
        return parts_of(chosen, members, n_seeds, max(1, most))

    def _rows(self, part: Part, rung: Rung) -> list[tuple[int, np.ndarray]]:
        """The settings of a part that have nets that go on, and the places of these among the seeds."""
        found = []
        for row in part.rows:
            if not rung.begin:
                places = np.arange(part.first, part.stop)
            elif row in self._alive:
                places = self._alive[row][0]
                places = places[(part.first <= places) & (places < part.stop)]
            else:
                continue
            if len(places):
                found.append((row, places))
        return found

    def _task(self, part: Part, rung: Rung) -> Task:
        rows, alive = self._rows(part, rung), None
        if rung.begin:
            alive = [self._alive[row][1][np.searchsorted(self._alive[row][0], places)] for row, places in rows]
        threads = self._nets.threads if self._engine is None else self._nets.threads or 1
        ids = [self._nets.ids[places] for _, places in rows]
        calls = [
            self._calls[row] if self._calls[row].rows is None else self._calls[row].of(places) for row, places in rows
        ]
        return Task(calls, ids, alive, self._nets.seed, threads, rung)

    def _name(self, part: Part) -> str:
        others = f" and {len(part.rows) - 1} more settings" if len(part.rows) > 1 else ""
        return f"{self._settings[part.rows[0]].named}{others}"

    def _going_on(self, row: int, places: np.ndarray, runs: Runs, rung: Rung) -> tuple[np.ndarray, Runs]:
        """The nets that go on to the next rung."""
        on = goes_on(runs.status, runs.epochs, rung.epochs(self._calls[row].epochs)[1])
        return places[on], runs[on]

    def _joined(self, row: int, pieces: list[tuple[np.ndarray, Runs]]) -> tuple[np.ndarray, Runs]:
        """The nets of all parts of a setting, in the order of the seeds."""
        if len(pieces) == 1:
            return pieces[0]
        pieces = sorted((piece for piece in pieces if len(piece[0])), key=lambda piece: int(piece[0][0])) or pieces[:1]
        places = np.concatenate([places for places, _ in pieces])
        return places, Runs.concatenated([runs for _, runs in pieces], self._calls[row].architecture)
