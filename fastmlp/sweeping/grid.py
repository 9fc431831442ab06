"""The settings of a sweep: a `TrainSettings` for every combination of the grid."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp.architecture import Architecture
from fastmlp.optimizers import OPTIMIZERS, Optimizer
from fastmlp.settings import TrainSettings

_ARCHITECTURE = ("sizes", "hidden", "output", "bias", "leaky_slope")
# Settings of `train` that nets trained together must share,
SHARED = ("loss", "epochs", "batch_size", "shuffle", "bootstrap", "schedule", "sample_weight", "dtype")
# settings that may differ from net to net,
OWN = ("l2", "dropout", "target_loss", "target_accuracy", "patience", "tol")
# and settings that all rows of a sweep share, so that they can be compared
_OF_ALL = ("validation", "validation_score", "restore_best")
_SETTINGS = (*SHARED, *OWN, *_OF_ALL, "init", "optimizer")


class Setting(NamedTuple):
    """One row of the table: its names and values, and the settings of `train`."""

    named: dict[str, Any]
    call: TrainSettings

    @property
    def group(self) -> tuple[Any, ...]:
        """The key of settings that can be trained together."""
        arch, own, c = self.call.architecture, self.call.optimizer, self.call
        flags = tuple(getattr(own, f.name) for f in fields(own) if f.type == "bool")  # type: ignore[arg-type]
        # an array of dropout, or of targets, counts even where it is 0 or none
        asked = tuple(bool(getattr(c, name)) if name == "dropout" else getattr(c, name) is None for name in OWN)
        shared = tuple(_comparable(getattr(c, name)) for name in SHARED)
        return arch.sizes, arch.activations, arch.bias, type(own), own.n_state_rows, flags, asked, shared


def _comparable(value: Any) -> Any:
    return id(value) if isinstance(value, np.ndarray) or callable(value) else repr(value)


def settings_of(grid: Any, fixed: dict[str, Any], on_folds: bool = False) -> list[Setting]:
    """The settings of all rows; `on_folds` says that nets are validated on what their folds leave out."""
    validated = on_folds or fixed.get("validation") is not None
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
                raise ValueError(
                    f"{name} is in the grid: give one value for all settings, so that they can be compared"
                )
            if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)) or not len(values):
                raise TypeError(f"grid[{name!r}]={values!r}: needs a list of the values to try")
        for combination in itertools.product(*one.values()):
            named = {name: _scalar(value) for name, value in zip(one, combination, strict=True)}
            found.append(Setting(named, _call(named | fixed)))
    if not found:
        raise ValueError("the grid is empty: needs at least one setting")
    given = [name for name in ("validation_score", "restore_best") if name in fixed]
    if given and not validated:
        raise ValueError(f"{' and '.join(given)} need validation, a pair (X, y), or cv: pass it, or leave them out")
    losses = sorted({s.call.loss_name for s in found})
    if validated and fixed.get("validation_score", "loss") == "loss" and len(losses) > 1:
        raise ValueError(
            f"validation_score='loss' does not compare settings of different losses ({', '.join(losses)}): needs "
            "'accuracy' or 'r2'"
        )
    return found


def for_halving(fixed: dict[str, Any], on_folds: bool) -> dict[str, Any]:
    """Settings with which nets continue from rung to rung."""
    if not on_folds and fixed.get("validation") is None:
        return fixed
    if fixed.get("restore_best"):
        raise ValueError("halving continues with the nets' last weights: leave restore_best out")
    return {**fixed, "restore_best": False}


def _scalar(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _call(named: dict[str, Any]) -> TrainSettings:
    """The `TrainSettings` of one row."""
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
    numbers: dict[str, Any] = {**settings.optimizer.settings, **{name: getattr(settings, name) for name in OWN}}
    numbers |= {"leaky_slope": architecture.leaky_slope}
    for name, value in numbers.items():
        if value is not None and np.ndim(value):
            raise ValueError(f"{name} is an array: a setting of a sweep needs one number; list them in the grid")
    if settings.begins_with_arrays:
        raise ValueError("init holds arrays: a sweep needs names or initializers; list them in the grid")
    if np.ndim(settings.sample_weight) > 1:
        raise ValueError("sample_weight has one row a net: a sweep needs one number a sample, the same for all nets")
    return settings
