"""Train a sweep rung by rung, in this process or on an executor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastmlp.distributing.data import Data
from fastmlp.distributing.dispatcher import Dispatcher
from fastmlp.distributing.engines import Engine
from fastmlp.distributing.tasks import Answer
from fastmlp.runs import Runs
from fastmlp.sweeping.grid import Setting
from fastmlp.sweeping.results import Measured, SweepResults
from fastmlp.sweeping.together import Part, Rung, Task, goes_on, parts_of, train_task

TASK_SECONDS = 10.0  # of a task on an executor, at most
TASKS_A_SLOT = 4  # at least, if there are nets enough
RETRIES = 3


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
        self, settings: list[Setting], nets: Nets, data: Data, engine: Engine | None, seconds_a_net: list[float]
    ) -> None:
        """`seconds_a_net` are estimates for each setting, on one thread."""
        self._settings, self._nets, self._data, self._engine = settings, nets, data, engine
        self._seconds_a_net = np.array(seconds_a_net)
        self.results = SweepResults(len(settings), len(nets.ids))
        self._alive: dict[int, Runs] = {}  # the nets that go on, for each setting
        self._which: dict[int, np.ndarray] = {}  # their places among the seeds

    def train(self, rows: np.ndarray, rung: Rung) -> None:
        """Train the nets of some settings up to the end of a rung."""
        groups: dict[Any, list[int]] = {}
        for row in rows:
            groups.setdefault(self._settings[row].group, []).append(int(row))
        parts = [part for members in groups.values() for part in self._parts(members, rung)]
        came: dict[Part, Measured] = {}
        for part, measured in self._outcomes([part for part in parts if self._count(part, rung)], rung):
            came[part] = measured
            self._store(part, measured, rung)
        if not rung.is_last:
            self._keep(parts, came, rung)

    def _parts(self, members: list[int], rung: Rung) -> list[Part]:
        chosen, n_seeds = [self._settings[row] for row in members], len(self._nets.ids)
        if self._engine is None:
            return parts_of(chosen, members, n_seeds, None)
        seconds = self._seconds_a_net[members].max() * (rung.end - rung.begin)
        slots = max(1, self._engine.slots())
        share = -(-len(members) * n_seeds // (TASKS_A_SLOT * slots))
        return parts_of(chosen, members, n_seeds, max(1, min(share, int(TASK_SECONDS / max(seconds, 1e-12)))))

    def _places(self, row: int, part: Part, rung: Rung) -> np.ndarray:
        """The places among the seeds of a part's nets of a setting, as far as they go on."""
        if not rung.begin:
            return np.arange(part.first, part.stop)
        which = self._which[row]
        return which[(part.first <= which) & (which < part.stop)]

    def _count(self, part: Part, rung: Rung) -> int:
        return sum(len(self._places(row, part, rung)) for row in part.rows)

    def _task(self, part: Part, rung: Rung) -> Task:
        places = [self._places(row, part, rung) for row in part.rows]
        alive = None
        if rung.begin:
            alive = [
                self._alive[row][np.searchsorted(self._which[row], own)]
                for row, own in zip(part.rows, places, strict=True)
            ]
        calls = [self._settings[row].call.changed(validation=None) for row in part.rows]
        if self._engine is not None:
            calls = [call.with_factors() for call in calls]
        threads = self._nets.threads if self._engine is None else self._nets.threads or 1
        return Task(calls, [self._nets.ids[own] for own in places], alive, self._nets.seed, threads, rung)

    def _outcomes(self, parts: list[Part], rung: Rung) -> Iterator[tuple[Part, Measured]]:
        if self._engine is None:
            for part in parts:
                yield part, train_task(self._task(part, rung), self._data)
            return
        dispatcher: Dispatcher[Part] = Dispatcher(
            self._engine,
            train_task,
            lambda part: self._task(part, rung),
            self._data,
            retries=RETRIES,
            threads=self._nets.threads,
        )
        left = iter(parts)
        with contextlib.closing(dispatcher.run(lambda: next(left, None))) as outcomes:
            for part, outcome in outcomes:
                if not isinstance(outcome, Answer):
                    last, named = outcome[-1], self._settings[part.rows[0]].named
                    others = f" and {len(part.rows) - 1} more settings" if len(part.rows) > 1 else ""
                    details = f"\n\nIn the worker:\n{last.details}" if last.details else ""
                    raise RuntimeError(f"{named}{others} failed {len(outcome)} times: {last.message}{details}")
                yield part, outcome.result

    def _store(self, part: Part, measured: Measured, rung: Rung) -> None:
        first = 0
        for row in part.rows:
            places = self._places(row, part, rung)
            self.results.take(row, places, measured.some(slice(first, first + len(places))))
            first += len(places)

    def _keep(self, parts: list[Part], came: dict[Part, Measured], rung: Rung) -> None:
        """Keep the nets that go on to the next rung."""
        pieces: dict[int, list[tuple[np.ndarray, Runs]]] = {}
        for part in parts:  # in the order of the seeds
            first = 0
            for row in part.rows:
                places = self._places(row, part, rung)
                if part in came:
                    runs = came[part].runs
                    assert runs is not None
                    own = runs[first : first + len(places)]
                    after = rung.epochs(self._settings[row].call.epochs)[1]
                    on = goes_on(own.status, own.epochs, after)
                    pieces.setdefault(row, []).append((places[on], own[on]))
                first += len(places)
        self._which = {row: np.concatenate([places for places, _ in found]) for row, found in pieces.items()}
        self._alive = {
            row: found[0][1]
            if len(found) == 1
            else Runs.concatenated([own for _, own in found], self._settings[row].call.architecture)
            for row, found in pieces.items()
        }
