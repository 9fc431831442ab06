"""What to change about nets that are stuck: which changes the causes ask for, and what they do to the same seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastmlp import _causes as causes
from fastmlp._baselines import standardized
from fastmlp._calls import Call
from fastmlp._causes import Cause, Given
from fastmlp._facts import inspected
from fastmlp._formulas import Activation, Loss
from fastmlp._pickling import LostFunction
from fastmlp._statistics import differ, interval, percent
from fastmlp.architecture import Architecture
from fastmlp.optimizers import Adam
from fastmlp.runs import Runs, Status
from fastmlp.training import train

WORTH_A_FIX = 0.005  # of the nets must have a cause that a change is for
LOWER, LONGER = 0.1, 4  # times the learning rate, and the epochs
MOST_EPOCHS_TRIED = 10**6
ADAM_RATE = 0.01
SCORE_GAIN = 0.02  # of a median accuracy or R²: as much is worth a change
UNSOLVED = tuple(cause for cause in Cause if cause != Cause.SOLVED)


@dataclass(frozen=True)
class Fix:
    """One change of what `train` was asked for."""

    name: str
    text: str
    change: Callable[[Call], Call] = field(repr=False, compare=False)
    causes: tuple[Cause, ...] = ()
    """What it is a remedy for."""
    scaled: tuple[str, ...] = ()
    """Which of "inputs" and "targets" are shifted and scaled to mean 0 and standard deviation 1; "range" brings targets
    to the range from 0 to 1."""

    def __getstate__(self) -> dict[str, Any]:
        """Without the function: a pickle keeps what the change is called."""
        kept = {"name": self.name, "text": self.text, "causes": self.causes, "scaled": self.scaled}
        return {**kept, "change": LostFunction(f"the change {self.name!r}")}

    def __copy__(self) -> Fix:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Fix:
        return self


@dataclass(frozen=True)
class Trial:
    """What a change did."""

    fix: Fix
    n_nets: int
    before: int
    """How many of these nets were solved as they were,"""
    after: int
    """and with the change."""
    score_before: float | None = None
    """The nets' median accuracy, or R² where targets are no classes, as they were: of more than 64 samples,"""
    score_after: float | None = None
    """and with the change."""

    @property
    def helped(self) -> bool:
        """Whether more nets are solved than before, by more than chance explains, or their median score is higher."""
        if self._solved_differ:
            return self.after > self.before
        return self._score_gain > SCORE_GAIN

    @property
    def _solved_differ(self) -> bool:
        return differ(self.before, self.n_nets, self.after, self.n_nets)

    @property
    def _score_gain(self) -> float:
        if self.score_before is None or self.score_after is None:
            return 0.0
        return self.score_after - self.score_before

    def __str__(self) -> str:
        before, after = (percent(count / self.n_nets) for count in (self.before, self.after))
        scores = "" if self.score_after is None else f", median score {self.score_before:.3f} -> {self.score_after:.3f}"
        alike = ": no difference" if self.before != self.after or scores else ": the same"
        verdict = "" if self._solved_differ or abs(self._score_gain) > SCORE_GAIN else alike
        return f"{before:>7} -> {after:>7}  ({interval(self.after, self.n_nets)}{scores})  {self.fix.text}{verdict}"


def train_again(
    call: Call, X: Any, y: Any, net_ids: np.ndarray, seed: int, threads: int | None, **changes: Any
) -> Runs:
    """Train nets of these numbers by a call's settings, with some of them changed."""
    return train(X=X, y=y, net_ids=net_ids, seed=seed, threads=threads, **{**call.settings, **changes})


def initial(call: Call, X: Any, y: Any, net_ids: np.ndarray, seed: int, threads: int | None) -> Runs:
    """The same nets before their first step."""
    rest = {"schedule": None, "validation": None, "target_loss": None, "target_accuracy": None, "patience": None}
    return train_again(call, X, y, net_ids, seed, threads, epochs=0, **rest)


def fixes_for(label: np.ndarray, given: Given, call: Call | None, dead_from_start: float | None) -> list[Fix]:
    """What the nets' causes ask for, by the share of nets that it is for, the greatest first."""
    share = {cause: float((label == cause).mean()) for cause in Cause}
    found: list[tuple[float, Fix]] = []

    def suggest(
        name: str, text: str, change: Callable[[Call], Call], *for_causes: Cause, weight: float = 1.0,
        scaled: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        of_nets = sum(share[cause] for cause in for_causes)
        if of_nets >= WORTH_A_FIX:
            found.append((of_nets * weight, Fix(name, text, change, for_causes, scaled)))

    arch = given.architecture
    hidden = arch.activations[:-1]
    rectified = any(code == Activation.RELU for code in hidden)
    inputs, targets = causes.badly_scaled_inputs(given), causes.badly_scaled_targets(given)
    if inputs:
        suggest(
            "standardize_inputs", "inputs shifted and scaled to mean 0 and standard deviation 1", lambda c: c,
            *UNSOLVED, weight=1.1, scaled=("inputs",),
        )  # fmt: skip
    if targets:
        suggest(
            "standardize_targets", "targets shifted and scaled to mean 0 and standard deviation 1", lambda c: c,
            *UNSOLVED, weight=1.1, scaled=("targets",),
        )  # fmt: skip
    if inputs and targets:
        suggest(
            "standardize_both", "inputs and targets shifted and scaled to mean 0 and standard deviation 1", lambda c: c,
            *UNSOLVED, weight=1.2, scaled=("inputs", "targets"),
        )  # fmt: skip
    if causes.targets_out_of_range(given):
        suggest(
            "identity_output", "an output that gives any number: output='identity'",
            lambda c: _with_architecture(c, loss="mse", output="identity"), Cause.TARGET_RANGE, weight=1.1,
        )  # fmt: skip
        suggest(
            "targets_in_range", "targets scaled to lie from 0 to 1", lambda c: c, Cause.TARGET_RANGE, scaled=("range",)
        )
    suggest(
        "bias", "give the units biases: bias=True", lambda c: _with_architecture(c, bias=True), Cause.ZERO_INPUT,
    )  # fmt: skip
    if call is None or "learning_rate" in call.optimizer.settings:
        dead = () if (dead_from_start or 0.0) >= 0.5 else (Cause.DEAD_LAYER,)
        suggest(
            "lower_rate", "a tenth of the learning rate", lambda c: c.with_rate(LOWER), Cause.DIVERGED,
            Cause.OVERSHOOTING, *dead,
        )  # fmt: skip
    if call is None or call["epochs"] * LONGER <= MOST_EPOCHS_TRIED:
        suggest(
            "more_epochs", f"{LONGER} times the epochs", _longer, Cause.STILL_IMPROVING,
            Cause.LOCAL_MINIMUM, Cause.VANISHING_GRADIENT, weight=0.99,
        )  # fmt: skip
    init = "he_uniform" if rectified else "glorot_uniform"
    if call is None or call["init"] != init:
        suggest(
            "init", f"initial weights that fit the layers, biases of zero: init='{init}'",
            lambda c: c.changed(init=init), Cause.SYMMETRIC, Cause.VANISHING_GRADIENT, Cause.SATURATED,
            Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU, Cause.LOCAL_MINIMUM,
        )  # fmt: skip
    if arch.activations[-1] == Activation.RELU and not given.classes and not causes.targets_out_of_range(given):
        suggest(
            "identity_output", "an output without ReLU: output='identity'",
            lambda c: _with_architecture(c, output="identity"), Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU,
            Cause.LOCAL_MINIMUM,
        )  # fmt: skip
    elif arch.activations[-1] == Activation.RELU and given.classes:
        suggest(
            "sigmoid_output", "a sigmoid output with its cross-entropy in place of ReLU: output='sigmoid'",
            lambda c: _with_architecture(c, loss=None, output="sigmoid"), Cause.DEAD_LAYER, Cause.DEAD_UNITS,
            Cause.PLATEAU, Cause.LOCAL_MINIMUM,
        )  # fmt: skip
    if given.loss == Loss.MSE and arch.activations[-1] in (Activation.SIGMOID, Activation.SOFTMAX):
        own = "bce" if arch.activations[-1] == Activation.SIGMOID else "cross_entropy"
        within = bool(((given.targets >= 0) & (given.targets <= 1)).all())
        if within if own == "bce" else given.class_numbers:
            suggest(
                "cross_entropy", f"cross-entropy in place of the squared error: loss='{own}'",
                lambda c: _with_loss(c, own), Cause.SATURATED, Cause.VANISHING_GRADIENT, Cause.PLATEAU,
                Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING, weight=0.9,
            )  # fmt: skip
    if rectified:
        suggest(
            "leaky_relu", "a leaky ReLU, whose units do not die: hidden='leaky_relu'",
            lambda c: _with_hidden(c, "leaky_relu"), Cause.DEAD_LAYER, Cause.DEAD_UNITS, Cause.PLATEAU, weight=0.9,
        )  # fmt: skip
    if any(code == Activation.SIGMOID for code in hidden):
        suggest(
            "tanh", "tanh in place of sigmoid in hidden layers: hidden='tanh'", lambda c: _with_hidden(c, "tanh"),
            Cause.VANISHING_GRADIENT, Cause.SATURATED, Cause.PLATEAU, Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING,
            weight=0.8,
        )  # fmt: skip
    if call is None or not isinstance(call.optimizer, Adam):
        suggest(
            "adam", f"Adam at a learning rate of {ADAM_RATE:g}: optimizer=fastmlp.Adam({ADAM_RATE:g})",
            lambda c: c.changed(optimizer=Adam(ADAM_RATE)), Cause.VANISHING_GRADIENT, Cause.PLATEAU,
            Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING, Cause.SATURATED, weight=0.8,
        )  # fmt: skip
    if hidden and (call is None or not isinstance(call["init"], (tuple, list))):
        suggest(
            "wider", "twice the hidden units", _wider, Cause.PLATEAU, Cause.DEAD_UNITS, Cause.DEAD_LAYER,
            Cause.LOCAL_MINIMUM, weight=0.95,
        )  # fmt: skip
    return [fix for _, fix in sorted(found, key=lambda pair: -pair[0])]


def _with_architecture(call: Call, loss: Any = False, **changes: Any) -> Call:
    architecture = replace(call.architecture, **changes)
    changed = call.changed(architecture=architecture)
    if loss is not False:
        changed = _with_loss(changed, loss)
    if isinstance(call["init"], (tuple, list)) and "bias" in changes:
        weights = call["init"][0]
        changed = changed.changed(init=(weights, [np.zeros((len(w), w.shape[2]), w.dtype) for w in weights]))
    return changed


def _with_loss(call: Call, loss: str | None) -> Call:
    """With another loss; a validation score that goes with the old one alone becomes the loss."""
    score = call["validation_score"]
    return call.changed(loss=loss, validation_score="loss" if score == "r2" else score)


def _with_hidden(call: Call, name: str) -> Call:
    old = Activation.RELU if name == "leaky_relu" else Activation.SIGMOID
    names = [name if code == old else code.name.lower() for code in call.architecture.activations[:-1]]
    return _with_architecture(call, hidden=tuple(names))


def _wider(call: Call) -> Call:
    sizes = call.architecture.sizes
    return _with_architecture(call, sizes=(sizes[0], *(2 * size for size in sizes[1:-1]), sizes[-1]))


def _longer(call: Call) -> Call:
    schedule = call["schedule"]
    stretched = schedule
    if callable(schedule):
        stretched = lambda epoch: schedule(epoch // LONGER)  # noqa: E731
    elif schedule is not None and not isinstance(schedule, str):
        stretched = np.repeat(schedule, LONGER)  # each factor for as many epochs
    return call.changed(epochs=call["epochs"] * LONGER, schedule=stretched)


def try_all(
    runs: Runs, call: Call, fixes: list[Fix], X: Any, y: Any, given: Given, loss: str, max_nets: int,
    threads: int | None, tell: Callable[[str, tuple[Trial, ...]], Any] = lambda _step, _trials: None,
) -> tuple[Trial, ...]:  # fmt: skip
    """Train the first `max_nets` of the nets again with each change, and with all that helped; the best first.

    Before each change `tell` is called with what is tried next, and the trials so far.
    """
    some = slice(0, min(len(runs), max_nets))
    ids, own, n = runs.net_ids[some], call.of(np.arange(len(runs))[some]), min(len(runs), max_nets)
    before, score_before = _solved_and_score(runs[some], given, loss, threads)

    def trial(fix: Fix) -> Trial | None:
        changed = fix.change(own)
        data, samples, targets = scaled_data(fix.scaled, given, X, y)
        there = given._replace(samples=samples, targets=targets)
        try:
            again = train_again(changed, *data, ids, runs.seed, threads)
        except (ValueError, TypeError) as error:  # the diagnosis is worth more than one change
            warnings.warn(f"{fix.text}: could not be tried: {error}", RuntimeWarning, stacklevel=4)
            return None
        used = changed["loss"] or changed.architecture.default_loss
        after, score = _solved_and_score(again, _for_change(there, again.architecture, used), used, threads)
        return Trial(fix, n, before, after, score_before, score)

    trials: list[Trial] = []
    for number, fix in enumerate(fixes, 1):
        tell(f"change {number} of {len(fixes)}: {fix.text}", tuple(trials))
        trials = _best_first([*trials, trial(fix)])
    helpful = [t for t in trials if t.helped]
    if len(helpful) > 1 and helpful[0].after < n:
        names = " and ".join(t.fix.name for t in helpful[:2])
        both = [t.fix.change for t in helpful[:2]]
        scaled = tuple(dict.fromkeys(name for t in helpful[:2] for name in t.fix.scaled))
        together = Fix(names, f"both: {names}", lambda c: both[1](both[0](c)), scaled=scaled)
        tell(f"{names} together", tuple(trials))
        trials = _best_first([*trials, trial(together)])
    return tuple(trials)


def scaled_data(
    scaled: tuple[str, ...], given: Given, X: Any, y: Any
) -> tuple[tuple[Any, Any], np.ndarray, np.ndarray]:
    """The data (X, y) with some of it scaled; and the samples and targets of them as they are looked at."""
    samples, targets = given.samples, given.targets
    if "inputs" in scaled:
        samples = X = standardized(samples)
    if "targets" in scaled:
        targets = y = standardized(targets)
    if "range" in scaled:
        low, high = targets.min(axis=0), targets.max(axis=0)
        targets = y = ((targets - low) / np.where(high > low, high - low, 1.0)).astype(targets.dtype)
    return (X, y), samples, targets


def _best_first(trials: Sequence[Trial | None]) -> list[Trial]:
    return sorted((t for t in trials if t is not None), key=lambda t: (-t.after, -(t.score_after or 0.0)))


def _for_change(given: Given, architecture: Architecture, loss: str) -> Given:
    return given._replace(architecture=architecture, loss=Loss[loss.upper()])


def _solved_and_score(runs: Runs, given: Given, loss: str, threads: int | None) -> tuple[int, float | None]:
    """How many of the nets are solved, and their median score."""
    facts = inspected(runs.architecture, loss, runs.parameters, given.samples, given.targets, threads)
    fine = runs.status != Status.DIVERGED
    score = causes.scores(facts, given)
    middle = None if score is None else float(np.median(np.where(fine, score, causes.NO_SCORE)))
    return int((causes.solved(facts, given) & fine).sum()), middle
