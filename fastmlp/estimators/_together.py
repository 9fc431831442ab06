"""Train the nets of many calls of `fit` in common runs, with the bits that each call gives them.

Calls share a run if their nets have the same layers and the same kind of training; numbers such as learning rates can
differ from net to net, and the samples too.
"""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from fastmlp import _check_data as checks
from fastmlp._engine.interrupts import SIGTERM
from fastmlp._kernels import structs
from fastmlp._own_samples import Part
from fastmlp.estimators._base import BaseMLP, Fit, _dense
from fastmlp.settings import NetSelection
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job
from fastmlp.training.runner import Runner

MOST_BYTES = 2**28  # of parameters, their state and curves in a run
PER_NET = ("l2", "dropout", "tol", "patience")


class Call(NamedTuple):
    """A call of `fit` of an estimator with other parameters, on some of the samples."""

    parameters: dict[str, Any]
    rows: np.ndarray
    table: int
    """Calls with the same number have the same samples."""
    seed: int
    """In place of a `random_state` of None."""


class Waiting(NamedTuple):
    """A call whose nets are still to be trained."""

    place: int
    estimator: BaseMLP
    fit: Fit
    table: int


class _Table:
    """Samples of several calls, which are checked once."""

    def __init__(self, X: Any, y: Any) -> None:
        self.X, self.y = X, y
        self._checked: tuple[Any, np.ndarray] | None = None
        self._attributes: dict[str, Any] = {}

    def validating(self, estimator: BaseMLP) -> Callable[..., tuple[Any, np.ndarray]]:
        """The estimator's check, or what it gave before, with the attributes that it set."""
        check = estimator._validate_input

        def validate(X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
            if self._checked is None:
                before = set(vars(estimator))
                checked, targets = check(X, y, incremental, reset)
                self._checked = _dense(checked), targets
                self._attributes = {name: value for name, value in vars(estimator).items() if name not in before}
            estimator.__dict__.update(self._attributes)
            return self._checked

        return validate


def fitted(estimator: BaseMLP, calls: list[Call], X: Any, y: Any, given: dict[str, Any]) -> list[BaseMLP | Exception]:
    """The fitted estimator of each call, or what it raised; `given` are further arguments of `fit`."""
    results: list[Any] = [None] * len(calls)
    waiting, tables = list[Waiting](), dict[int, _Table]()
    before: tuple[dict[str, Any], BaseMLP] | None = None
    for place, call in enumerate(calls):
        table = tables.get(call.table)
        if table is None:
            table = tables[call.table] = _Table(_safe_indexing(X, call.rows), _safe_indexing(y, call.rows))
        held = list[Fit]()
        try:
            one, is_valid = _prepared(estimator, call.parameters, before)
        except Exception as error:
            results[place] = error
            continue
        try:
            own = {name: _own(value, call.rows, X) for name, value in given.items()}
            drawn = one.random_state is None and one.solver != "lbfgs"
            if drawn:  # from NumPy's common generator all calls would take the same numbers
                one.random_state = call.seed
            own_methods: dict[str, Any] = {"_train_prepared": held.append, "_validate_input": table.validating(one)}
            if is_valid:
                own_methods["_validate_params"] = _do_nothing
            one.__dict__.update(own_methods)
            one.fit(table.X, table.y, **own)
            before = call.parameters, one
            if drawn:
                one.random_state = None
        except Exception as error:
            results[place] = error
            continue
        finally:
            for name in ("_train_prepared", "_validate_input", "_validate_params"):
                one.__dict__.pop(name, None)
        results[place] = one
        waiting += [Waiting(place, one, fit, call.table) for fit in held]
    groups = defaultdict[Hashable, list[Waiting]](list)
    for each in waiting:
        groups[_kind(each)].append(each)
    for kind, members in groups.items():
        for some in _fitting(members):
            if kind is None or len(some) == 1:
                _train_one_by_one(some, results)
                continue
            try:
                _train_at_once(some, results)
            except Exception:  # of one of them, which then gets it alone
                _train_one_by_one(some, results)
    return results


def _prepared(
    estimator: BaseMLP, parameters: dict[str, Any], before: tuple[dict[str, Any], BaseMLP] | None
) -> tuple[BaseMLP, bool]:
    """The estimator with these parameters, and whether they are known to be valid: those of the call before are."""
    if before is not None and before[0] is parameters and not isinstance(before[1].random_state, np.random.RandomState):
        one = copy(before[1])
        kept = one.get_params(deep=False)
        one.__dict__.clear()
        one.__dict__.update(kept)
        return one, True
    one = clone(estimator)
    one.set_params(**clone(parameters, safe=False))
    return one, False


def _do_nothing() -> None:
    """In place of a check."""


def _own(value: Any, rows: np.ndarray, X: Any) -> Any:
    """The part of an argument of `fit` that belongs to some of the samples, as scikit-learn has it."""
    if hasattr(value, "__len__") and not isinstance(value, str) and _num_samples(value) == _num_samples(X):
        return _safe_indexing(value, rows)
    return value


def _kind(waiting: Waiting) -> Hashable:
    """What calls that share a run have in common; None for a call that is trained alone."""
    estimator, fit = waiting.estimator, waiting.fit
    settings, optimizer = fit.settings, fit.settings.optimizer
    if fit.held_out is not None or fit.earlier is not None or fit.initial is None or estimator.verbose:
        return None
    if callable(settings.schedule):
        return None
    flags = tuple(getattr(optimizer, s.name) for s in fields(optimizer) if s.type == "bool")  # type: ignore[arg-type]
    random = bool(np.any(settings.dropout)), settings.bootstrap
    return (
        settings.architecture,
        type(optimizer),
        flags,
        bool(np.any(getattr(optimizer, "momentum", 0.0))),
        bool(np.any(settings.l2)),
        random,
        fit.seed if any(random) else None,
        settings.patience is None,
        settings.schedule,
        settings.epochs,
        settings.loss,
        _asked_batch(estimator),
        settings.shuffle,
        settings.validation_score,
        settings.dtype,
        fit.rows is not None,
        fit.weights is None,
        estimator._threads(),
    )


def _asked_batch(estimator: BaseMLP) -> int:
    return 200 if estimator.batch_size == "auto" else int(estimator.batch_size)


def _fitting(members: list[Waiting]) -> list[list[Waiting]]:
    """The calls in parts whose results fit into `MOST_BYTES`."""
    parts, size = [list[Waiting]()], 0
    for each in members:
        settings = each.fit.settings
        of_net = settings.architecture.n_parameters * (3 + settings.optimizer.n_state_rows) + 3 * settings.epochs
        needed = each.estimator.n_restarts * of_net * settings.dtype.itemsize
        if parts[-1] and size + needed > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(each)
        size += needed
    return parts


def _train_one_by_one(members: list[Waiting], results: list[Any]) -> None:
    for place, estimator, fit, _ in members:
        try:
            estimator._train_prepared(fit)
        except Exception as error:
            results[place] = error


def _train_at_once(members: list[Waiting], results: list[Any]) -> None:
    counts = [each.estimator.n_restarts for each in members]
    bounds = np.cumsum([0, *counts]).tolist()
    first, fit = members[0].estimator, members[0].fit
    settings = fit.settings.changed(
        batch_size=_asked_batch(first),
        **{name: _each([getattr(each.fit.settings, name) for each in members], counts) for name in PER_NET},
        optimizer=_optimizer(members, counts),
    )
    training, validation = _parts(members, counts)
    sources, source_of = _orders(members, counts)
    if sources:
        training.spans[:, structs.FIRST_ORDER] = source_of  # so that nets with the same order are trained side by side
    options = JobOptions(
        parameters=np.concatenate([each.fit.initial for each in members]),
        sklearn=True,
        watch_only=not first.early_stopping,
        orders_by_net=None if not sources else (sources, source_of),
    )
    ids = np.concatenate([np.arange(count) for count in counts])
    threads = first._threads()
    job, runs = prepare_job(
        settings,
        None,
        None,
        NetSelection(net_ids=ids, seed=fit.seed),
        threads=threads,
        options=options,
        parts=(training, validation),
    )
    runner = Runner(job, runs, threads)
    runner.compile(first.progress)
    received = runner.run(first.progress)
    if received is not None and received == SIGTERM:
        signal.raise_signal(received)  # scikit-learn's estimators let it end the process
    if received is not None:
        raise KeyboardInterrupt
    for each, start, stop in zip(members, bounds[:-1], bounds[1:], strict=True):
        own = runs[start:stop]
        own.seed, own.architecture = each.fit.seed, each.fit.settings.architecture
        waited = job.validation.waited[start:stop] if job.validation is not None else None
        try:
            each.estimator._finish(each.fit._replace(orders=None), own, waited, False)
        except Exception as error:
            results[each.place] = error


def _each(values: list[Any], counts: list[int]) -> Any:
    """One value for all nets, or one for each."""
    if all(value is None for value in values) or all(np.ndim(value) == 0 and value == values[0] for value in values):
        return values[0]
    for value, count in zip(values, counts, strict=True):
        if np.ndim(value) and np.shape(value) != (count,):
            raise ValueError(f"a parameter has shape {np.shape(value)} for {count} restarts")
    return np.concatenate([np.broadcast_to(value, count) for value, count in zip(values, counts, strict=True)])


def _optimizer(members: list[Waiting], counts: list[int]) -> Any:
    optimizers = [each.fit.settings.optimizer for each in members]
    own = {
        entry.name: _each([getattr(one, entry.name) for one in optimizers], counts)
        for entry in fields(optimizers[0])  # type: ignore[arg-type]
        if entry.type != "bool"
    }
    flags = {s.name: getattr(optimizers[0], s.name) for s in fields(optimizers[0]) if s.type == "bool"}  # type: ignore[arg-type]
    return type(optimizers[0])(**own, **flags)


def _parts(members: list[Waiting], counts: list[int]) -> tuple[Part, Part | None]:
    """The samples of all nets in training, and in validation; each table is stored once."""
    tables = {each.table: each for each in reversed(members)}
    sizes = [len(each.fit.X) for each in tables.values()]
    begins = dict(zip(tables, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    settings = members[0].fit.settings
    inputs = np.concatenate([each.fit.X for each in tables.values()])
    targets = np.concatenate(
        [
            checks.targets(each.fit.targets, settings.architecture, settings.loss_code, len(each.fit.X), settings.dtype)
            for each in tables.values()
        ]
    )

    def part(lists: list[np.ndarray]) -> Part:
        """The samples of these numbers among those of each call."""
        kept = dict[tuple[int, bytes], int]()
        rows, spans, weights, n_rows, n_weights = list[Any](), list[Any](), list[Any](), 0, 0
        for each, own, count in zip(members, lists, counts, strict=True):
            key = each.table, own.tobytes()
            if key not in kept:
                kept[key] = n_rows
                rows.append(own.astype(np.int32))
                n_rows += len(own)
            span = np.zeros(structs.N_SPANS, np.int64)
            span[structs.COUNT], span[structs.FIRST_ROW] = len(own), kept[key]
            span[structs.FIRST_INPUT] = span[structs.FIRST_TARGET] = begins[each.table]
            if each.fit.weights is not None:
                span[structs.FIRST_WEIGHT] = n_weights
                checked = checks.sample_weights(each.fit.weights[own], len(own), 0, settings.dtype)
                weights.append(checked)
                n_weights += len(own)
            spans += [span] * count
        together: np.ndarray | None = np.concatenate(weights) if weights else None
        return Part(inputs, targets, together, np.concatenate(rows), np.array(spans))

    if members[0].fit.rows is None:
        return part([np.arange(len(each.fit.X)) for each in members]), None
    held = [each.fit.held_rows for each in members]
    return part([each.fit.rows for each in members]), part(held)  # type: ignore[arg-type, misc]


def _orders(members: list[Waiting], counts: list[int]) -> tuple[list[Any], np.ndarray]:
    """The different orders of samples, and which of them each net has."""
    kept, sources, which = dict[Hashable, int](), list[Any](), list[int]()
    for each, count in zip(members, counts, strict=True):
        orders = each.fit.orders
        key: Hashable = None if orders is None else orders.key
        if key not in kept:
            kept[key] = len(sources)
            sources.append(orders)
        which += [kept[key]] * count
    if all(source is None for source in sources):
        return [], np.zeros(0, np.int64)
    return sources, np.array(which)
