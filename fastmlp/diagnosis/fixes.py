"""What to change about nets that are stuck: which changes the causes ask for, and what they do to the same seeds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.trained_nets import Status, TrainedNets
from fastmlp._engine.unit_statistics import inspected
from fastmlp._kernels.formulas import Activation, Loss
from fastmlp._pickling import LostFunction
from fastmlp.diagnosis import causes
from fastmlp.diagnosis.baselines import Scaling
from fastmlp.diagnosis.causes import SCORE_GAIN, Cause, Given
from fastmlp.diagnosis.held_out import cross_validated_score, validation_data, validation_score
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.optimizers import Adam
from fastmlp.settings import Call
from fastmlp.statistics import differ, interval, percent, spoken_score

WORTH_A_FIX = 0.005  # of the nets must have a cause that a change is for
LOWER, LONGER = 0.1, 4  # times the learning rate, and the epochs
MOST_EPOCHS_TRIED = 10**6
ADAM_RATE = 0.01
L2 = 0.01
HELD_OUT_SLACK = 0.005  # of a score on samples held out: what other folds would change as much
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


class HeldOut(NamedTuple):
    """How nets do on samples that they were not trained on, and what that is held against."""

    score: float
    constant_score: float
    least_gain: float


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
    """The nets' median accuracy, or R² where targets are no classes, as they were: of 20 samples or more,"""
    score_after: float | None = None
    """and with the change."""
    held_out_before: float | None = None
    """The same on samples that the nets were not trained on: validation data where there are some, else in five folds,
    by up to ten of the nets; as they were,"""
    held_out_after: float | None = None
    """and with the change."""
    least_gain: float = SCORE_GAIN
    """A score that rises by more than this is a gain: `held_out_after`, where samples were held out,"""
    constant_score: float = -np.inf
    """and what a constant guess has counts for scores below it."""

    @property
    def helped(self) -> bool:
        """Whether more nets are solved than before, by more than chance explains, or their median score is higher.

        Where samples were held out, the score on those decides: to solve more of the others without it is no help.
        """
        more_solved = self._solved_differ and self.after > self.before
        if self.held_out_after is not None:
            more_solved &= self.score_gain > HELD_OUT_SLACK
        return more_solved or self.score_gain > self.least_gain

    @property
    def held_out_worse(self) -> bool:
        """Whether samples that were held out have a lower score than before."""
        return self.held_out_after is not None and self.score_gain < -HELD_OUT_SLACK

    @property
    def score_gain(self) -> float:
        """By how much the median score rises, on samples that were held out where there are any."""
        before, after = self.held_out_before, self.held_out_after
        if before is None or after is None:
            before, after = self.score_before, self.score_after
        if before is None or after is None:
            return 0.0
        return max(after, self.constant_score) - max(before, self.constant_score)

    @property
    def _solved_differ(self) -> bool:
        return differ(self.before, self.n_nets, self.after, self.n_nets)

    def __str__(self) -> str:
        before, after = (percent(count / self.n_nets) for count in (self.before, self.after))
        scores = ""
        if self.score_after is not None:
            scores = f", median score {spoken_score(self.score_before)} -> {spoken_score(self.score_after)}"
        if self.held_out_after is not None:
            scores += f", held out {spoken_score(self.held_out_before)} -> {spoken_score(self.held_out_after)}"
        alike = ": no difference" if self.before != self.after or scores else ": the same"
        verdict = "" if self._solved_differ or abs(self.score_gain) > self.least_gain else alike
        if self.held_out_worse:
            verdict = ": worse on samples held out"
        return f"{before:>7} -> {after:>7}  ({interval(self.after, self.n_nets)}{scores})  {self.fix.text}{verdict}"


def fixes_for(label: np.ndarray, given: Given, call: Call | None, dead_from_start: float | None) -> list[Fix]:
    """What the nets' causes ask for, by the share of nets that it is for, the greatest first."""
    share = {cause: float((label == cause).mean()) for cause in Cause}
    found: list[tuple[float, Fix]] = []

    def suggest(
        name: str, text: str, change: Callable[[Call], Call], *for_causes: Cause, weight: float = 1.0,
        scaled: tuple[str, ...] = (), whatever_the_scales: bool = False,
    ) -> None:  # fmt: skip
        of_nets = sum(share[cause] for cause in for_causes)
        if whatever_the_scales:  # in case they are not what keeps the nets from learning
            of_nets += sum(share[cause] for cause in (Cause.INPUT_SCALES, Cause.TARGET_SCALE)) / 2
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
            Cause.OVERSHOOTING, *dead, whatever_the_scales=True,
        )  # fmt: skip
    if call is None or call["epochs"] * LONGER <= MOST_EPOCHS_TRIED:
        suggest(
            "more_epochs", f"{LONGER} times the epochs", _longer, Cause.STILL_IMPROVING,
            Cause.LOCAL_MINIMUM, Cause.VANISHING_GRADIENT, weight=0.99, whatever_the_scales=True,
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
            Cause.LOCAL_MINIMUM, Cause.STILL_IMPROVING, Cause.SATURATED, weight=0.8, whatever_the_scales=True,
        )  # fmt: skip
    if hidden and (call is None or not isinstance(call["init"], (tuple, list))):
        suggest(
            "wider", "twice the hidden units", _wider, Cause.PLATEAU, Cause.DEAD_UNITS, Cause.DEAD_LAYER,
            Cause.LOCAL_MINIMUM, weight=0.95,
        )  # fmt: skip
    return [fix for _, fix in sorted(found, key=lambda pair: -pair[0])]


def fixes_of_overfitting(call: Call | None, given: Given) -> list[Fix]:
    """What keeps nets from learning the noise of their samples."""
    found = [
        Fix("l2", f"L2 regularization: l2={L2:g}", lambda c: c.changed(l2=L2)),
        Fix("fewer_epochs", f"1 / {LONGER} of the epochs", lambda c: c.changed(epochs=-(-c["epochs"] // LONGER))),
        Fix("narrower", "half the hidden units", _narrower),
    ]
    own = given.architecture.n_layers > 1 and (call is None or not isinstance(call["init"], (tuple, list)))
    possible = {
        "l2": call is None or not np.any(np.asarray(call["l2"]) >= L2),
        "fewer_epochs": call is None or (call["schedule"] is None and call["epochs"] > 1),
        "narrower": own and max(given.architecture.sizes[1:-1], default=1) > 1,
    }
    return [fix for fix in found if possible[fix.name]]


def _narrower(call: Call) -> Call:
    sizes = call.architecture.sizes
    return _with_architecture(call, sizes=(sizes[0], *(-(-size // 2) for size in sizes[1:-1]), sizes[-1]))


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
    runs: TrainedNets, call: Call, fixes: list[Fix], y: Any, given: Given, loss: str, held_out: HeldOut | None,
    max_nets: int, retraining: Retraining, tell: Callable[[str, tuple[Trial, ...]], Any] = lambda _step, _trials: None,
) -> tuple[Trial, ...]:  # fmt: skip
    """Train the first `max_nets` of the nets again with each change, and with the best two; the best first.

    Where the nets have a score on samples `held_out`, each change has one too. Before each change `tell` is called with
    what is tried next, and the trials so far.
    """
    n = min(len(runs), max_nets)
    ids, own, threads = runs.net_ids[:n], call.of(np.arange(len(runs)) < n), retraining.threads
    solved, score = _solved_and_score(runs[:n], given, loss, threads)

    def trial(fix: Fix) -> Trial | None:
        changed, there, targets = scaled_data(fix.scaled, fix.change(own), given, y)
        try:
            again = retraining.again(changed, there.samples, targets, ids)
            used = changed["loss"] or changed.architecture.default_loss
            there = there._replace(architecture=again.architecture, loss=Loss[used.upper()])
            unseen = None if held_out is None else held_out_score(again, changed, there, targets, retraining)
        except (ValueError, TypeError) as error:  # the diagnosis is worth more than one change
            warnings.warn(f"{fix.text}: could not be tried: {error}", RuntimeWarning, stacklevel=4)
            return None
        solved_now, score_now = _solved_and_score(again, there, used, threads)
        result = Trial(fix, n, solved, solved_now, score, score_now)
        return result if held_out is None else replace(
            result, held_out_before=held_out.score, held_out_after=unseen, least_gain=held_out.least_gain,
            constant_score=held_out.constant_score,
        )  # fmt: skip

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


def scaled_data(scaled: tuple[str, ...], call: Call, given: Given, y: Any) -> tuple[Call, Given, Any]:
    """A call, the data, and `y`, with some columns scaled; validation data are scaled as the training data are."""
    held_out = validation_data(call, given) if scaled else None
    y_held_out = None if held_out is None else call["validation"][1]
    samples, targets = given.samples, given.targets
    if "inputs" in scaled:
        scaling = Scaling.standard(samples)
        samples = scaling.apply(samples)
        held_out = held_out and (scaling.apply(held_out[0]), held_out[1])
    if "targets" in scaled or "range" in scaled:
        scaling = Scaling.standard(targets) if "targets" in scaled else Scaling.to_unit_range(targets)
        targets = y = scaling.apply(targets)
        y_held_out = held_out and scaling.apply(held_out[1])
    if held_out is not None:
        call = call.changed(validation=(held_out[0], y_held_out, *call["validation"][2:]))
    return call, given._replace(samples=samples, targets=targets), y


def held_out_score(runs: TrainedNets, call: Call, given: Given, y: Any, retraining: Retraining) -> float:
    """The median score on validation data, or else on folds that are held out in turn."""
    held_out = validation_data(call, given)
    if held_out is not None:
        return validation_score(runs, held_out, given, retraining.threads)
    return cross_validated_score(retraining, call, given, y, runs.net_ids)


def _best_first(trials: Sequence[Trial | None]) -> list[Trial]:
    """Those that helped before those that did not; by nets solved, then by their score."""
    done = [t for t in trials if t is not None]
    return sorted(done, key=lambda t: (not t.helped, -t.after, -(t.held_out_after or t.score_after or 0.0)))


def _solved_and_score(runs: TrainedNets, given: Given, loss: str, threads: int | None) -> tuple[int, float | None]:
    """How many of the nets are solved, and their median score."""
    facts = inspected(runs.architecture, loss, runs.parameters, given.samples, given.targets, threads)
    fine = runs.status != Status.DIVERGED
    score = None
    if causes.judged_by_score(given):
        score = float(np.median(causes.score_of(facts, given, ~fine)))
    return int((causes.solved(facts, given) & fine).sum()), score
