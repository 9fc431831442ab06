"""`TrainSettings`: every setting of `train`, listed once, typed, checked, and kept with the results.

It has no training samples and no net numbers. Diagnoses, sweeps and pictures change it and train again, and files keep
it. Arrays with one value for each net are indexed when nets are selected.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._kernels import structs
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._pickling import LostFunction
from fastmlp.architecture import Architecture
from fastmlp.initializers import INITIALIZERS, Initializer
from fastmlp.optimizers import OPTIMIZERS, Adam, Optimizer

PerNet = float | np.ndarray
"""One number for all nets, or one for each, (n_nets,) float64."""
Arrays = tuple[list[np.ndarray], list[np.ndarray]]
"""Weights (n_nets, in, out) and biases (n_nets, out), one array a layer."""
Schedule = str | np.ndarray | Callable[[int], float]
"""Factors of the learning rate: "adaptive", an array (epochs,), or a function of the epoch's number."""

NOT_KEPT: Arrays = ([], [])
"""Placeholder for initial weights, or an initializer, that a file does not hold."""
MAX_EPOCHS = 2**53
MAX_PATIENCE = 2**24  # counted in the nets' dtype
FUNCTION = "a function"
MOST_FACTORS = 2**20  # epochs of a schedule that is a function and is made an array
AN_ARRAY = "an array"

_FLOAT32 = np.dtype(np.float32)
_NEVER_CHANGE = {int, float, bool, str, type(None), type(_FLOAT32), type(np.dtype(np.float64))}
# How files store a setting: a word or number, or an array with one number for each net or epoch
_WORD = {"in_files": "word"}
_BY_EPOCH = {"in_files": "number"}
_BY_NET = {"in_files": "number", "by_net": True}


P = ParamSpec("P")
T = TypeVar("T")


def remembered(function: Callable[Concatenate[TrainSettings, P], T]) -> Callable[Concatenate[TrainSettings, P], T]:
    """As `functools.lru_cache`, for functions of settings; it remembers only settings that never change.

    Settings that are validated twice are one object, so looking them up takes no time.
    """
    kept: Any = functools.lru_cache(128)(function)

    @functools.wraps(function)
    def call(settings: TrainSettings, *args: P.args, **keywords: P.kwargs) -> T:
        return (kept if settings.never_change else function)(settings, *args, **keywords)

    return call


@dataclass(frozen=True)
class StoppingRule:
    """A limit at which training stops, one number for each net; `_kernels/stopping` applies it."""

    row: int
    """The limit's row in a tile's stop state."""
    never: float
    """A limit that is never reached, for nets without this rule."""
    least: float
    greatest: float = np.inf


def _rule(row: int, never: float, least: float, greatest: float = np.inf) -> dict[str, Any]:
    return {**_BY_NET, "rule": StoppingRule(row, never, least, greatest)}


@dataclass(frozen=True, eq=False)
class TrainSettings:
    """The settings of a call of `train`, whose docstring describes them; unchecked until they are `validated`."""

    architecture: Architecture
    optimizer: Optimizer = Adam()  # noqa: RUF009 - it is frozen
    epochs: int = field(default=1000, metadata=_WORD)
    loss: str | None = field(default=None, metadata=_WORD)
    init: str | Initializer | Arrays = "he_uniform"
    batch_size: int | None = field(default=None, metadata=_WORD)
    shuffle: bool | str = field(default=True, metadata=_WORD)
    l2: PerNet = field(default=0.0, metadata=_BY_NET)
    dropout: PerNet = field(default=0.0, metadata=_BY_NET)
    sample_weight: Any = None
    bootstrap: bool = field(default=False, metadata=_WORD)
    target_loss: PerNet | None = field(default=None, metadata=_rule(structs.TARGET_LOSS, -np.inf, 0.0))
    target_accuracy: PerNet | None = field(default=None, metadata=_rule(structs.TARGET_ACCURACY, np.inf, 0.0, 1.0))
    patience: PerNet | None = field(default=None, metadata=_rule(structs.PATIENCE, np.inf, 1.0, MAX_PATIENCE))
    tol: PerNet = field(default=1e-4, metadata=_BY_NET)
    schedule: Schedule | None = field(default=None, metadata=_BY_EPOCH)
    validation: Any = None
    rows: Any = None
    rows_of: Any = None
    validation_rows: Any = None
    validation_score: str = field(default="loss", metadata=_WORD)
    restore_best: bool = field(default=True, metadata=_WORD)
    record_every: int | None = field(default=None, metadata=_WORD)
    keep_state: bool = field(default=False, metadata=_WORD)
    dtype: np.dtype = _FLOAT32

    @property
    def loss_name(self) -> str:
        """The loss; by default that of the output activation."""
        return self.architecture.default_loss if self.loss is None else self.loss

    @property
    def loss_code(self) -> Loss:
        """The loss's code in the kernels."""
        return LOSSES[self.architecture.activations[-1]][self.loss_name]

    @property
    def begins_with_arrays(self) -> bool:
        """Whether initial weights were given as arrays."""
        return isinstance(self.init, (tuple, list))

    @property
    def never_change(self) -> bool:
        """Whether there is no array, no function and no object of the user's in these settings."""
        architecture, optimizer, *others = vars(self).values()
        return (
            isinstance(architecture, Architecture)
            and type(architecture.leaky_slope) is float
            and isinstance(optimizer, (str, Optimizer))
            and (type(optimizer) is str or {*map(type, vars(optimizer).values())} <= {float, bool})
            and {*map(type, others)} <= _NEVER_CHANGE
        )

    def validated(self) -> TrainSettings:
        """Check everything that needs neither samples nor the number of nets; raises ValueError, TypeError.

        An optimizer's name becomes the optimizer, NumPy's numbers become Python's, and a schedule's factors are copied.
        """
        if self.never_change:
            # equal architectures may be written differently, and are shown as they were written
            return _validated_before(self.architecture.hidden, **vars(self))
        return self._validated()

    def _validated(self) -> TrainSettings:
        architecture, optimizer = self.architecture, as_optimizer(self.optimizer)
        if not isinstance(architecture, Architecture):
            raise TypeError(
                f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))"
            )
        dtype = checks.float_dtype(self.dtype)
        epochs = checks.whole_number("epochs", self.epochs, 0, MAX_EPOCHS)
        choose("loss", self.loss_name, LOSSES[architecture.activations[-1]])
        if not isinstance(self.shuffle, (str, bool, np.bool_)):
            raise TypeError(f"shuffle={self.shuffle!r}: needs True, False or 'by_net'")
        if isinstance(self.shuffle, str):
            choose("shuffle", self.shuffle, {"by_net": True})
        for name in ("keep_state", "restore_best", "bootstrap"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name}={getattr(self, name)!r}: needs True or False")
        return self.changed(
            optimizer=optimizer,
            epochs=epochs,
            init=_checked_init(self.init),
            dtype=dtype,
            shuffle=self.shuffle if isinstance(self.shuffle, str) else bool(self.shuffle),
            bootstrap=bool(self.bootstrap),
            restore_best=bool(self.restore_best),
            keep_state=bool(self.keep_state),
            batch_size=None if self.batch_size is None else checks.whole_number("batch_size", self.batch_size, 1),
            record_every=None
            if self.record_every is None
            else checks.whole_number("record_every", self.record_every, 1),
            schedule=_checked_schedule(self.schedule, optimizer, epochs, self.patience),
        )

    @remembered
    def validated_for(self, n_nets: int) -> TrainSettings:
        """Check the number of values, and convert numbers to float64, one for all nets or (n_nets,)."""
        checks.one_each("leaky_slope", self.architecture.leaky_slope, n_nets)
        owner = type(self.optimizer).__name__
        for name, value in self.optimizer.settings.items():
            checks.in_dtype(f"{owner}({name}=…)", checks.one_each(f"{owner}({name}=…)", value, n_nets), self.dtype)
        dropout = checks.bounded("dropout", self.dropout, n_nets, 0.0, np.nextafter(1.0, 0.0))
        if np.any(dropout) and self.architecture.n_layers == 1:
            sizes = self.architecture.sizes
            raise ValueError(f"dropout={self.dropout!r} leaves out hidden units, and sizes={sizes} has none")
        checks.in_dtype("leaky_slope", self.architecture.leaky_slope, self.dtype)
        rules: dict[str, Any] = {
            name: checks.bounded(name, getattr(self, name), n_nets, rule.least, rule.greatest)
            for name, rule in STOPPING_RULES.items()
            if getattr(self, name) is not None
        }
        tol = checks.bounded("tol", self.tol, n_nets, 0.0, float(np.finfo(self.dtype).max))
        l2 = checks.in_dtype("l2", checks.bounded("l2", self.l2, n_nets, 0.0), self.dtype)
        return self.changed(l2=l2, dropout=dropout, tol=tol, **rules)

    def of(self, which: Any) -> TrainSettings:
        """The settings of some of the nets."""
        chosen: dict[str, Any] = {}
        for name in (*_named("by_net"), "sample_weight"):
            values = getattr(self, name)
            if name == "sample_weight" and isinstance(values, (list, tuple)) and len(values) and np.ndim(values[0]):
                chosen[name] = [values[i] for i in np.arange(len(values))[which].tolist()]
            elif values is not None and np.ndim(values) == (2 if name == "sample_weight" else 1):
                chosen[name] = np.asarray(values)[which]
        if self.rows_of is not None:
            chosen["rows_of"] = np.asarray(self.rows_of)[which]
        else:
            for name in ("rows", "validation_rows"):
                lists = getattr(self, name)
                if lists is not None and not isinstance(lists, str):
                    chosen[name] = [lists[i] for i in np.arange(len(lists))[which].tolist()]
        slope = self.architecture.leaky_slope
        if isinstance(slope, np.ndarray):
            chosen["architecture"] = self.architecture.with_slope(slope[which])
        if isinstance(self.init, (tuple, list)):
            chosen["init"] = tuple([np.asarray(layer)[which] for layer in part or ()] for part in self.init)
        return self.changed(optimizer=_optimizer_of(self.optimizer, which), **chosen)

    def as_keywords(self) -> dict[str, Any]:
        """The keyword arguments of `train`."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def changed(self, **changes: Any) -> TrainSettings:
        """A copy with other values."""
        unknown = changes.keys() - self.__dict__.keys()
        if unknown:
            raise TypeError(f"TrainSettings has no {', '.join(sorted(unknown))}")
        new = object.__new__(type(self))  # `dataclasses.replace` goes over all fields, which takes many times as long
        new.__dict__.update(self.__dict__, **changes)
        return new

    @remembered
    def kept(self) -> TrainSettings:
        """A copy to keep with the results; later changes of the user's arrays do not affect it."""
        weights = None if self.sample_weight is None else np.array(self.sample_weight)
        init = self.init
        if isinstance(init, (tuple, list)):
            init = [np.array(layer) for layer in init[0]], [np.array(layer) for layer in init[1] or ()]
        return self.changed(
            optimizer=_optimizer_of(self.optimizer, slice(None)),
            init=init,
            sample_weight=weights,
            record_every=None,
            keep_state=False,
        )

    def final_rate(self) -> float | None:
        """The learning rate's factor in the last epoch; None if nets have different ones by then."""
        if isinstance(self.schedule, str):
            return None
        if self.schedule is None or not self.epochs:
            return 1.0
        return float(self.schedule(self.epochs - 1) if callable(self.schedule) else self.schedule[-1])

    def with_factors(self) -> TrainSettings:
        """A copy whose schedule is an array if it was a function, so that any process can have it."""
        if not callable(self.schedule):
            return self
        if self.epochs > MOST_FACTORS:
            raise ValueError(
                f"schedule is a function, and epochs={self.epochs:,}: a schedule of more than {MOST_FACTORS:,} epochs "
                "cannot be sent to workers"
            )
        factors = [checked_factor(self.schedule(epoch), epoch) for epoch in range(self.epochs)]
        return self.changed(schedule=np.array(factors, np.float64))

    def with_rate(self, factor: float) -> TrainSettings:
        """A copy with the learning rate times `factor`."""
        rate = self.optimizer.settings["learning_rate"] * factor
        return self.changed(optimizer=replace(self.optimizer, learning_rate=rate))  # type: ignore[type-var]

    def in_files(self, n_nets: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The settings for files: words and numbers, and arrays, whose names begin with "settings."."""
        init = self.init if isinstance(self.init, str) else None
        plain: dict[str, Any] = {"optimizer": self.optimizer.name, "init": init}
        plain |= {name: getattr(self, name) for name in WORDS}
        arrays: dict[str, np.ndarray] = {}
        numbers = {name: getattr(self, name) for name in NUMBERS}
        optimizer = self.optimizer
        numbers |= {f"optimizer.{s.name}": getattr(optimizer, s.name) for s in fields(optimizer)}  # type: ignore[arg-type]
        for name, value in numbers.items():
            if type(value) is float and math.isfinite(value):
                plain[name] = value
            elif callable(value):
                plain[name] = FUNCTION
            elif value is None or isinstance(value, (str, bool, np.bool_)):
                plain[name] = bool(value) if isinstance(value, np.bool_) else value
            elif np.ndim(value):
                arrays[f"settings.{name}"] = value.astype(np.float64)
            elif not np.isfinite(value):  # JSON has neither infinity nor NaN
                arrays[f"settings.{name}"] = np.full(n_nets, float(value))
            else:
                plain[name] = float(value)
        return plain, arrays

    def recorded(self, n_nets: int, warm_start: bool = False) -> dict[str, Any]:
        """The contents of ``runs.settings``: words and numbers; "an array" or "a function" for the others."""
        return dict(self._recorded(n_nets, warm_start))

    @remembered
    def _recorded(self, n_nets: int, warm_start: bool) -> dict[str, Any]:
        plain, arrays = self.in_files(n_nets)
        for name in ("sample_weight", "validation"):
            plain[name] = None if getattr(self, name) is None else AN_ARRAY
        plain |= {name: AN_ARRAY for name in ("rows", "validation_rows") if getattr(self, name) is not None}
        plain["warm_start"] = warm_start
        return plain | dict.fromkeys((name.removeprefix("settings.") for name in arrays), AN_ARRAY)

    @classmethod
    def from_record(
        cls, record: dict[str, Any], architecture: Architecture, dtype: np.dtype, arrays: dict[str, Any] | None = None
    ) -> TrainSettings | None:
        """Restore from ``runs.settings``; `arrays` are values that it has only a word for, None without them."""
        record = {**record, **(arrays or {})}
        if record.pop("warm_start", True) or "sample_weight" not in record or record.get("init") is None:
            return None
        if any(isinstance(value, str) and value in (AN_ARRAY, FUNCTION) for value in record.values()):
            return None
        kind = OPTIMIZERS.get(record.pop("optimizer", ""))
        if kind is None:
            return None
        own = {s.name: record.pop(f"optimizer.{s.name}", None) for s in fields(kind)}
        try:
            return cls(architecture=architecture, optimizer=kind(**own), dtype=dtype, **record).kept()
        except (ValueError, TypeError):
            return None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from pickles, including old ones with a dict and without later settings."""
        state = state.get("settings", state)
        for entry in fields(self):
            if entry.name in state:
                object.__setattr__(self, entry.name, state[entry.name])


@functools.lru_cache(128, typed=True)
def _validated_before(_spelling: Any, **settings: Any) -> TrainSettings:
    return TrainSettings(**settings)._validated()


def _named(what: str) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(TrainSettings) if entry.metadata.get(what))


STOPPING_RULES: dict[str, StoppingRule] = {
    entry.name: entry.metadata["rule"] for entry in fields(TrainSettings) if "rule" in entry.metadata
}
WORDS = tuple(entry.name for entry in fields(TrainSettings) if entry.metadata.get("in_files") == "word")
BY_NET = _named("by_net")
NUMBERS = tuple(entry.name for entry in fields(TrainSettings) if entry.metadata.get("in_files") == "number")


@dataclass(frozen=True)
class NetSelection:
    """The nets to train; `train` describes the arguments."""

    n_nets: int | None = None
    net_ids: Any = None
    seed: int = 0
    warm_start: Any = None


def as_optimizer(given: Any) -> Optimizer:
    """The optimizer, or the one of this name with its defaults."""
    return given if isinstance(given, Optimizer) else choose("optimizer", given, OPTIMIZERS)()


def _optimizer_of(optimizer: Optimizer, which: Any) -> Optimizer:
    arrays = {
        name: np.array(value[which]) for name, value in optimizer.settings.items() if isinstance(value, np.ndarray)
    }
    return replace(optimizer, **arrays) if arrays else optimizer  # type: ignore[type-var]


def _checked_init(init: Any) -> str | Initializer | Arrays:
    if not isinstance(init, (tuple, list)):
        if not isinstance(init, Initializer):
            choose("init", init, INITIALIZERS)
        return init
    if len(init) != 2:
        raise ValueError(f"init has {len(init)} parts; needs the pair (weights, biases)")
    return init[0], init[1]


def _checked_schedule(given: Any, optimizer: Optimizer, epochs: int, patience: Any) -> Schedule | None:
    if given is None:
        return None
    if optimizer.method == Method.RPROP:
        raise ValueError("schedule: Rprop finds its own steps and has no learning rate to change: leave schedule out")
    if isinstance(given, str):
        choose("schedule", given, {"adaptive": None})
        if patience is None:
            raise ValueError("schedule='adaptive' lowers the learning rate when patience is over: pass patience too")
        return given
    if callable(given):
        return given
    factors = checks.real_array("schedule", given).astype(np.float64)
    if factors.shape != (epochs,):
        raise ValueError(
            f"schedule has shape {factors.shape}; needs one factor for each of the {epochs} epochs, a function of the "
            "epoch's number, or 'adaptive'"
        )
    for epoch, factor in enumerate(factors):
        checked_factor(factor, epoch)
    return factors


def checked_factor(factor: object, epoch: int) -> float:
    """The checked factor of a schedule for an epoch."""
    if not isinstance(factor, (int, float, np.integer, np.floating)) or isinstance(factor, bool):
        raise TypeError(f"schedule gives {factor!r} for epoch {epoch}; needs a number")
    if not np.isfinite(factor) or factor < 0:
        raise ValueError(f"schedule gives {factor!r} for epoch {epoch}; needs a finite number of at least 0")
    return float(factor)


def shown(value: Any) -> str:
    """A setting's value as text."""
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        return "-".join(map(str, value))
    if isinstance(value, LostFunction):
        return value.name
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    return f"{value:g}" if isinstance(value, float) else str(value)
