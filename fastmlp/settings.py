"""What `train` was asked for, kept with its results, so that the same nets can be trained again with a change.

The samples are not kept, but for those of a validation. Arrays are copied. What has one value a net follows when some
of the nets are chosen.
"""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._pickling import LostFunction
from fastmlp.architecture import Architecture
from fastmlp.optimizers import OPTIMIZERS, Optimizer

BY_NET = ("l2", "dropout", "sample_weight", "target_loss", "target_accuracy", "patience", "tol")
# What says which nets are trained, and on what: `Runs` and the code that trains again know
LEFT_OUT = ("X", "y", "n_nets", "net_ids", "seed", "kernel", "threads", "keep_state", "record_every")


# Settings of `train` that are kept as they are,
PLAIN = (
    "epochs", "loss", "batch_size", "shuffle", "bootstrap", "validation_score", "restore_best", "record_every",
    "keep_state",
)  # fmt: skip
# and those that may have one number a net, or for the schedule one an epoch
NUMBERS = ("l2", "dropout", "target_loss", "target_accuracy", "patience", "tol", "schedule")
FUNCTION = "a function"
AN_ARRAY = "an array"


@dataclass(frozen=True)
class Call:
    """The settings of a call of `train`, but for its samples and net numbers."""

    settings: dict[str, Any]
    n_nets: int

    @classmethod
    def of_settings(cls, settings: dict[str, Any], n_nets: int) -> Call | None:
        """From the keyword arguments of `train`; None where nets went on from others, whose history is not here."""
        if settings.get("warm_start") is not None:
            return None
        kept = {name: value for name, value in settings.items() if name not in (*LEFT_OUT, "warm_start")}
        if isinstance(kept["optimizer"], str):
            kept["optimizer"] = choose("optimizer", kept["optimizer"], OPTIMIZERS)()
        kept["optimizer"] = _optimizer_of(kept["optimizer"], slice(None))
        for name in (*BY_NET, "schedule"):
            if kept.get(name) is not None and np.ndim(kept[name]):
                kept[name] = np.array(kept[name])
        if isinstance(kept["init"], (tuple, list)):
            kept["init"] = tuple([np.array(layer) for layer in part or ()] for part in kept["init"])
        return cls(kept, n_nets)

    @classmethod
    def of_record(cls, record: dict[str, Any], architecture: Architecture, dtype: np.dtype, n_nets: int) -> Call | None:
        """From what is kept in files, where that is enough: names and numbers, no arrays."""
        record = dict(record)
        if record.pop("warm_start", True) or "sample_weight" not in record or record.get("init") is None:
            return None
        if AN_ARRAY in record.values() or FUNCTION in record.values():
            return None
        kind = OPTIMIZERS.get(record.pop("optimizer", ""))
        if kind is None:
            return None
        own = {field.name: record.pop(f"optimizer.{field.name}", None) for field in fields(kind)}
        record = {name: value for name, value in record.items() if name not in LEFT_OUT}
        settings = {"architecture": architecture, **record, "dtype": dtype.name}
        try:
            return cls({**settings, "optimizer": kind(**own), "sample_weight": None, "validation": None}, n_nets)
        except (ValueError, TypeError):
            return None

    def __getitem__(self, name: str) -> Any:
        return self.settings[name]

    @property
    def architecture(self) -> Architecture:
        return self.settings["architecture"]

    @property
    def optimizer(self) -> Optimizer:
        return self.settings["optimizer"]

    def of(self, which: Any) -> Call:
        """The same for some of the nets."""
        n, settings = self.n_nets, dict(self.settings)
        for name in BY_NET:
            values = settings.get(name)
            needed = 2 if name == "sample_weight" else 1
            if values is not None and np.ndim(values) == needed:
                settings[name] = np.asarray(values)[which]
        settings["optimizer"] = _optimizer_of(self.optimizer, which)
        slope = self.architecture.leaky_slope
        if isinstance(slope, np.ndarray):
            settings["architecture"] = self.architecture.with_slope(slope[which])
        init = settings["init"]
        if isinstance(init, (tuple, list)):
            settings["init"] = tuple([np.asarray(layer)[which] for layer in part or ()] for part in init)
        return Call(settings, int(np.empty(n, np.int8)[which].size))

    def changed(self, **changes: Any) -> Call:
        """The same with other settings."""
        return Call({**self.settings, **changes}, self.n_nets)

    def final_rate(self) -> float | None:
        """What the learning rate was multiplied with in the last epoch; None where each net has its own by now."""
        schedule, epochs = self["schedule"], self["epochs"]
        if isinstance(schedule, str):
            return None
        if schedule is None or not epochs:
            return 1.0
        return float(schedule(epochs - 1)) if callable(schedule) else float(np.asarray(schedule)[-1])

    def with_rate(self, factor: float) -> Call:
        """The same with the learning rate times `factor`."""
        rate = self.optimizer.learning_rate * factor  # type: ignore[attr-defined]
        return self.changed(optimizer=replace(self.optimizer, learning_rate=rate))  # type: ignore[type-var]


def settings_of(settings: dict[str, Any], n_nets: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What of a call's settings is one word or number, and what is an array."""
    optimizer = settings["optimizer"]
    if isinstance(optimizer, str):
        optimizer = OPTIMIZERS[optimizer]()
    init = settings["init"]
    plain: dict[str, Any] = {
        "optimizer": type(optimizer).__name__.lower(), "init": init if isinstance(init, str) else None
    }  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    for name in PLAIN:
        value = settings[name]
        if isinstance(value, (bool, np.bool_)):
            plain[name] = bool(value)
        else:
            plain[name] = value if value is None or isinstance(value, str) else operator.index(value)
    numbers = {name: settings[name] for name in NUMBERS}
    numbers |= {f"optimizer.{s.name}": getattr(optimizer, s.name) for s in dataclasses.fields(optimizer)}
    for name, value in numbers.items():
        if callable(value):
            plain[name] = FUNCTION
        elif value is None or isinstance(value, (str, bool, np.bool_)):
            plain[name] = bool(value) if isinstance(value, np.bool_) else value
        elif np.ndim(value):
            arrays[f"settings.{name}"] = checks.real_array(name, value).astype(np.float64)
        elif not np.isfinite(value):  # JSON has no such numbers
            arrays[f"settings.{name}"] = np.full(n_nets, float(value))
        else:
            plain[name] = float(value)
    return plain, arrays


def recorded(settings: dict[str, Any], n_nets: int) -> dict[str, Any]:
    """A call's settings as `Runs` keeps them for the record."""
    plain, arrays = settings_of(settings, n_nets)
    for name in ("sample_weight", "validation"):
        plain[name] = None if settings.get(name) is None else AN_ARRAY
    plain["warm_start"] = settings.get("warm_start") is not None
    return plain | dict.fromkeys((name.removeprefix("settings.") for name in arrays), AN_ARRAY)


def _optimizer_of(optimizer: Optimizer, which: Any) -> Optimizer:
    arrays = {
        name: np.array(value[which]) for name, value in optimizer.settings.items() if isinstance(value, np.ndarray)
    }
    return replace(optimizer, **arrays) if arrays else optimizer  # type: ignore[type-var]


def shown(value: Any) -> str:
    """A setting's value as it is read."""
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return "-".join(map(str, value))
    if isinstance(value, LostFunction):
        return value.name
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return f"{value:g}" if isinstance(value, float) else str(value)
