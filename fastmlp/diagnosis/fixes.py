"""Changes that may help stuck nets, chosen by their causes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from fastmlp._engine.trained_nets import Status
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import Loss
from fastmlp._pickling import LostFunction
from fastmlp.diagnosis import causes
from fastmlp.diagnosis.causes import Cause
from fastmlp.diagnosis.problem import Problem
from fastmlp.optimizers import Adam
from fastmlp.settings import TrainSettings

WORTH_A_FIX = 0.005  # least share of the nets whose causes ask for a change
LOWER, LONGER = 0.1, 4  # factors of the learning rate and of the epochs
MOST_EPOCHS_TRIED = 10**6
SOME_EPOCHS = 1000  # for nets without any training
ADAM_RATE = 0.01
L2 = 0.01
OF_ONE_SETTING = {
    "more_l2": "l2",
    "fewer_epochs": "epochs",
    "more_epochs": "epochs",
    "narrower": "units",
    "wider": "units",
}
STUCK_LAYERS = (Cause.PLATEAU, Cause.DEAD_UNITS, Cause.DEAD_LAYER)
UNSOLVED = tuple(cause for cause in Cause if cause != Cause.SOLVED)


@dataclass(frozen=True)
class Fix:
    """One change of the settings."""

    name: str
    text: str
    change: Callable[[TrainSettings], TrainSettings] = field(repr=False, compare=False)
    causes: tuple[Cause, ...] = ()
    """The causes that it helps against."""
    scaled: tuple[str, ...] = ()
    """Data to scale: "inputs" and "targets" to mean 0 and standard deviation 1, "range" for targets to the range from 0
    to 1."""

    @property
    def setting(self) -> str:
        """The names of the settings that it changes; two changes of one setting cannot be combined."""
        return OF_ONE_SETTING.get(self.name, self.name)

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickles, without the function; the description is kept."""
        kept = {"name": self.name, "text": self.text, "causes": self.causes, "scaled": self.scaled}
        return {**kept, "change": LostFunction(f"the change {self.name!r}")}

    def __copy__(self) -> Fix:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Fix:
        return self


def fixes_for(
    label: np.ndarray, problem: Problem, call: TrainSettings | None, dead_from_start: float | None, status: np.ndarray
) -> list[Fix]:
    """The changes that the nets' causes ask for, those for the largest share of nets first.

    `label` has the nets' causes, `status` how their training ended.
    """
    found = _Suggestions(label)
    _suggest_scaling(found, problem)
    _suggest_training(found, call, dead_from_start, status)
    _suggest_init(found, problem, call)
    _suggest_output(found, problem, call)
    _suggest_hidden(found, problem)
    _suggest_adam(found, call)
    if problem.architecture.n_layers > 1 and (call is None or not call.begins_with_arrays):
        found.suggest("wider", "twice the hidden units", _wider, *STUCK_LAYERS, Cause.LOCAL_MINIMUM, weight=0.95)
    return found.by_share()


class _Suggestions:
    """Collects changes, each with the share of nets that it may help."""

    def __init__(self, label: np.ndarray) -> None:
        self._share = {cause: float((label == cause).mean()) for cause in Cause}
        self._found: list[tuple[float, Fix]] = []

    def suggest(
        self,
        name: str,
        text: str,
        change: Callable[[TrainSettings], TrainSettings],
        *for_causes: Cause,
        weight: float = 1.0,
        scaled: tuple[str, ...] = (),
        whatever_the_scales: bool = False,
    ) -> None:
        """Add a change if enough nets have one of its causes."""
        of_nets = sum(self._share[cause] for cause in for_causes)
        if whatever_the_scales:  # the cause found need not be what keeps the nets from learning
            of_nets += sum(self._share[cause] for cause in (Cause.INPUT_SCALES, Cause.TARGET_SCALE)) / 2
        if of_nets >= WORTH_A_FIX:
            self._found.append((of_nets * weight, Fix(name, text, change, for_causes, scaled)))

    def by_share(self) -> list[Fix]:
        """The changes, those for most nets first."""
        return [fix for _, fix in sorted(self._found, key=lambda pair: -pair[0])]


def _suggest_scaling(found: _Suggestions, problem: Problem) -> None:
    """Scale inputs or targets, or change to an output that can give the targets."""
    to_standard = "shifted and scaled to mean 0 and standard deviation 1"
    inputs, targets = causes.badly_scaled_inputs(problem), causes.badly_scaled_targets(problem)
    if inputs:
        found.suggest(
            "standardize_inputs", f"inputs {to_standard}", _as_it_is, *UNSOLVED, weight=1.1, scaled=("inputs",)
        )
    if targets:
        found.suggest(
            "standardize_targets", f"targets {to_standard}", _as_it_is, *UNSOLVED, weight=1.1, scaled=("targets",)
        )
    if inputs and targets:
        both = ("inputs", "targets")
        found.suggest(
            "standardize_both", f"inputs and targets {to_standard}", _as_it_is, *UNSOLVED, weight=1.2, scaled=both
        )
    if causes.targets_out_of_range(problem):
        text = "an output without bounds: output='identity'"
        change = partial(_with_architecture, loss="mse", output="identity")
        found.suggest("identity_output", text, change, Cause.TARGET_RANGE, weight=1.1)
        found.suggest(
            "targets_in_range", "targets scaled to lie from 0 to 1", _as_it_is, Cause.TARGET_RANGE, scaled=("range",)
        )
    change = partial(_with_architecture, bias=True)
    found.suggest("bias", "units with biases: bias=True", change, Cause.ZERO_INPUT)


def _suggest_training(
    found: _Suggestions, call: TrainSettings | None, dead_from_start: float | None, status: np.ndarray
) -> None:
    """Lower the learning rate, train for more epochs, or leave out stopping rules."""
    if call is None or "learning_rate" in call.optimizer.settings:
        dead = () if (dead_from_start or 0.0) >= 0.5 else (Cause.DEAD_LAYER,)
        slower = Cause.DIVERGED, Cause.OVERSHOOTING, *dead
        text = "a tenth of the learning rate"
        found.suggest("lower_rate", text, lambda c: c.with_rate(LOWER), *slower, whatever_the_scales=True)
    improving = Cause.STILL_IMPROVING, Cause.LOCAL_MINIMUM, Cause.VANISHING_GRADIENT
    rules = {"patience": Status.STALLED, "target_loss": Status.REACHED_TARGET, "target_accuracy": Status.REACHED_TARGET}
    ended_early = [
        name
        for name, ended in rules.items()
        if call is not None and getattr(call, name) is not None and (status == ended).mean() >= 0.5
    ]
    for name in ended_early:
        text = f"without {name}, which ended training"
        found.suggest(f"no_{name}", text, partial(_without, name), *improving, weight=0.99, whatever_the_scales=True)
    if not ended_early and (call is None or call.epochs * LONGER <= MOST_EPOCHS_TRIED):
        text = f"{LONGER} times the epochs" if call is None or call.epochs else f"{SOME_EPOCHS:,} epochs"
        found.suggest("more_epochs", text, _longer, *improving, weight=0.99, whatever_the_scales=True)


def _suggest_init(found: _Suggestions, problem: Problem, call: TrainSettings | None) -> None:
    init = "he_uniform" if Activation.RELU in problem.architecture.activations[:-1] else "glorot_uniform"
    if call is None or call.init != init:
        found.suggest(
            "init",
            f"initial weights that fit the layers, biases of zero: init='{init}'",
            lambda c: c.changed(init=init),
            *(Cause.SYMMETRIC, Cause.VANISHING_GRADIENT, Cause.SATURATED),
            *(Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU, Cause.LOCAL_MINIMUM),
        )


def _suggest_output(found: _Suggestions, problem: Problem, call: TrainSettings | None) -> None:
    """Change to an output without ReLU, or to the loss that goes with the output."""
    stuck = Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU, Cause.LOCAL_MINIMUM
    output = problem.architecture.activations[-1]
    if output == Activation.RELU and not problem.classes and not causes.targets_out_of_range(problem):
        change = partial(_with_architecture, output="identity")
        found.suggest("identity_output", "an output without ReLU: output='identity'", change, *stuck)
    elif output == Activation.RELU and problem.classes:
        text = "a sigmoid output with its cross-entropy in place of ReLU: output='sigmoid'"
        found.suggest("sigmoid_output", text, partial(_with_architecture, loss=None, output="sigmoid"), *stuck)
    if problem.loss == Loss.MSE and output in (Activation.SIGMOID, Activation.SOFTMAX):
        own = "bce" if output == Activation.SIGMOID else "cross_entropy"
        within = bool(((problem.targets >= 0) & (problem.targets <= 1)).all())
        trained_so = call is None or call.loss_name == "mse"
        if trained_so and (within if own == "bce" else problem.class_numbers):
            found.suggest(
                "cross_entropy",
                f"cross-entropy in place of the squared error: loss='{own}'",
                lambda c: _with_loss(c, own),
                *(Cause.SATURATED, Cause.VANISHING_GRADIENT, Cause.PLATEAU),
                *(Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING),
                weight=0.9,
            )


def _suggest_hidden(found: _Suggestions, problem: Problem) -> None:
    """Change to hidden units that do not die, or that pass on larger gradients."""
    hidden = problem.architecture.activations[:-1]
    if Activation.RELU in hidden:
        text = "a leaky ReLU, whose units do not die: hidden='leaky_relu'"
        change = partial(_with_hidden, name="leaky_relu")
        found.suggest("leaky_relu", text, change, Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU, weight=0.9)
    if Activation.SIGMOID in hidden:
        found.suggest(
            "tanh",
            "tanh in place of sigmoid in hidden layers: hidden='tanh'",
            partial(_with_hidden, name="tanh"),
            *(Cause.VANISHING_GRADIENT, Cause.SATURATED, Cause.PLATEAU, Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING),
            weight=0.8,
        )


def _suggest_adam(found: _Suggestions, call: TrainSettings | None) -> None:
    if call is None or not isinstance(call.optimizer, Adam):
        found.suggest(
            "adam",
            f"Adam at a learning rate of {ADAM_RATE:g}: optimizer=fastmlp.Adam({ADAM_RATE:g})",
            lambda c: c.changed(optimizer=Adam(ADAM_RATE)),
            *(Cause.VANISHING_GRADIENT, Cause.PLATEAU, Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING, Cause.SATURATED),
            weight=0.8,
            whatever_the_scales=True,
        )


def _as_it_is(call: TrainSettings) -> TrainSettings:
    return call


def fixes_of_overfitting(call: TrainSettings | None, problem: Problem) -> list[Fix]:
    """Changes against overfitting."""
    found = [
        Fix("l2", f"L2 regularization: l2={L2:g}", lambda c: c.changed(l2=L2)),
        Fix("more_l2", f"more L2 regularization: l2={10 * L2:g}", lambda c: c.changed(l2=10 * L2)),
        Fix("fewer_epochs", f"1 / {LONGER} of the epochs", lambda c: c.changed(epochs=-(-c.epochs // LONGER))),
        Fix("narrower", "half the hidden units", _narrower),
    ]
    own = problem.architecture.n_layers > 1 and (call is None or not call.begins_with_arrays)
    possible = {
        "l2": call is None or not np.any(np.asarray(call.l2) >= L2),
        "more_l2": call is None or not np.any(np.asarray(call.l2) >= 10 * L2),
        "fewer_epochs": call is None or (call.schedule is None and call.epochs > 1),
        "narrower": own and max(problem.architecture.sizes[1:-1], default=1) > 1,
    }
    return [fix for fix in found if possible[fix.name]]


def _narrower(call: TrainSettings) -> TrainSettings:
    sizes = call.architecture.sizes
    return _with_architecture(call, sizes=(sizes[0], *(-(-size // 2) for size in sizes[1:-1]), sizes[-1]))


def _with_architecture(call: TrainSettings, loss: Any = False, **changes: Any) -> TrainSettings:
    architecture = replace(call.architecture, **changes)
    changed = call.changed(architecture=architecture)
    if loss is not False:
        changed = _with_loss(changed, loss)
    if isinstance(call.init, tuple) and "bias" in changes:
        weights = call.init[0]
        changed = changed.changed(init=(weights, [np.zeros((len(w), w.shape[2]), w.dtype) for w in weights]))
    return changed


def _with_loss(call: TrainSettings, loss: str | None) -> TrainSettings:
    """Change the loss; a validation score that only goes with the old loss becomes "loss"."""
    score = call.validation_score
    return call.changed(loss=loss, validation_score="loss" if score == "r2" else score)


def _with_hidden(call: TrainSettings, name: str) -> TrainSettings:
    old = Activation.RELU if name == "leaky_relu" else Activation.SIGMOID
    names = [name if code == old else code.name.lower() for code in call.architecture.activations[:-1]]
    return _with_architecture(call, hidden=tuple(names))


def _wider(call: TrainSettings) -> TrainSettings:
    sizes = call.architecture.sizes
    return _with_architecture(call, sizes=(sizes[0], *(2 * size for size in sizes[1:-1]), sizes[-1]))


def _without(name: str, call: TrainSettings) -> TrainSettings:
    schedule = call.schedule
    adapts = name == "patience" and isinstance(schedule, str)  # it follows patience only
    return call.changed(**{name: None}, schedule=None if adapts else schedule)


def _longer(call: TrainSettings) -> TrainSettings:
    if not call.epochs:
        return call.changed(epochs=SOME_EPOCHS, schedule=None)
    schedule = call.schedule
    stretched = schedule
    if callable(schedule):
        stretched = lambda epoch: schedule(epoch // LONGER)  # noqa: E731
    elif schedule is not None and not isinstance(schedule, str):
        stretched = np.repeat(schedule, LONGER)  # stretch the factors evenly
    return call.changed(epochs=call.epochs * LONGER, schedule=stretched)
