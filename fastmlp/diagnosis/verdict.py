"""The verdict in one or two sentences, from the nets' causes and the results of changes."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fastmlp.diagnosis.baselines import CONSTANT
from fastmlp.diagnosis.causes import Cause
from fastmlp.diagnosis.problem import SCORE_GAIN
from fastmlp.diagnosis.trials import Trial
from fastmlp.statistics import restarts_needed, spoken_score

FAULTS = {
    Cause.DIVERGED: "the learning rate is too high",
    Cause.ZERO_INPUT: "missing biases",
    Cause.SYMMETRIC: "the initial weights: the units of a layer must start with different weights",
    Cause.SATURATED: "the initial weights, or the loss: gradients vanish on the flat ends of an activation",
    Cause.VANISHING_GRADIENT: "the initial weights, or the activation: gradients do not reach the first layer",
    Cause.DEAD_UNITS: "ReLU units that are dead, by their initial weights or by a learning rate that is too high",
    Cause.OVERSHOOTING: "the learning rate is too high",
    Cause.STILL_IMPROVING: "too few epochs, or a learning rate that is too low",
    Cause.INPUT_SCALES: "the scales of the inputs: shift and scale each column to mean 0 and standard deviation 1",
    Cause.TARGET_RANGE: "the output's activation, which cannot give these targets",
    Cause.TARGET_SCALE: "the scale of the targets: shift and scale them to mean 0 and standard deviation 1",
    Cause.CONFLICTING_TARGETS: "samples with the same inputs and different targets, which no net can get all right",
}
FAULT_THAT_A_CHANGE_SHOWS = {
    "bias": "missing biases",
    "lower_rate": "the learning rate is too high",
    "wider": "too few hidden units",
    "no_patience": "patience, which ended training too soon",
    "no_target_loss": "target_loss, which ended training too soon",
    "no_target_accuracy": "target_accuracy, which ended training too soon",
    "more_epochs": "too few epochs, or a learning rate that is too low",
    "init": "the initial weights, which do not fit the layers",
    "identity_output": "the output's activation, which cannot give these targets",
    "sigmoid_output": "the output's ReLU",
    "cross_entropy": "the squared error, whose gradient vanishes where outputs are flat",
    "leaky_relu": "ReLU units that died",
    "tanh": "sigmoid hidden units, which pass small gradients down",
    "adam": "plain gradient descent at this learning rate",
    "standardize_inputs": FAULTS[Cause.INPUT_SCALES],
    "standardize_targets": FAULTS[Cause.TARGET_SCALE],
    "standardize_both": "the scales of the inputs and of the targets",
    "targets_in_range": "the output's activation, which cannot give these targets",
}
WHATEVER_THE_CAUSE = ("adam", "wider")  # these may help
# Changes that confirm a cause
PROOFS = {
    Cause.DIVERGED: ("lower_rate",),
    Cause.SYMMETRIC: ("init",),
    Cause.DEAD_LAYER: ("init", "leaky_relu", "lower_rate", "identity_output", "sigmoid_output"),
    Cause.SATURATED: ("init", "tanh", "cross_entropy"),
    Cause.VANISHING_GRADIENT: ("init", "tanh"),
    Cause.DEAD_UNITS: ("init", "leaky_relu", "lower_rate"),
    Cause.OVERSHOOTING: ("lower_rate",),
    Cause.STILL_IMPROVING: ("more_epochs", "adam"),
    Cause.INPUT_SCALES: ("standardize_inputs",),
    Cause.TARGET_SCALE: ("standardize_targets",),
}
OF_TWO_FAULTS = (Cause.DEAD_LAYER, Cause.DEAD_UNITS)  # the best change shows which
AGAINST_OVERFITTING = ("l2", "more_l2", "fewer_epochs", "narrower")
CERTAIN = (Cause.ZERO_INPUT, Cause.TARGET_RANGE)  # no training solves these, whatever else is wrong
MOSTLY_SOLVED = 0.9  # share of solved nets above which only luck is left
WORTH_A_RESTART = 0.05  # share of solved nets from which restarts are a remedy
MUCH = 0.3  # share of the unsolved nets that a change must solve to show the fault
AS_MUCH = 0.1  # two changes whose shares differ by less are equally good


class Findings(Protocol):
    """The part of a `Diagnosis` that the verdict depends on; `Diagnosis` describes the attributes."""

    @property
    def causes(self) -> np.ndarray: ...
    @property
    def dead_from_start(self) -> float | None: ...
    @property
    def trials(self) -> tuple[Trial, ...]: ...
    @property
    def score(self) -> np.ndarray | None: ...
    @property
    def held_out_score(self) -> float | None: ...
    @property
    def baselines(self) -> dict[str, float]: ...
    @property
    def best_possible(self) -> float: ...
    @property
    def least_loss(self) -> float: ...
    @property
    def constant_targets(self) -> bool: ...
    @property
    def n_solved(self) -> int: ...
    @property
    def success_rate(self) -> float: ...
    @property
    def overfits(self) -> bool: ...
    @property
    def as_good_as_the_data(self) -> bool: ...
    @property
    def best_simple_fit(self) -> float | None: ...
    @property
    def spoken_score_name(self) -> str: ...
    def counts(self) -> dict[str, int]: ...


def verdict_of(d: Findings) -> str:
    """The verdict, in one or two sentences."""
    constant = "All samples have the same targets: a net has to learn only these. " if d.constant_targets else ""
    return constant + _verdict(d)


def _verdict(d: Findings) -> str:  # noqa: PLR0911 - one for each kind of finding
    n, share = len(d.causes), d.success_rate
    best = _best(d)
    helped = best is not None and best.helped
    if d.overfits and (best is None or (helped and best.fix.name in AGAINST_OVERFITTING)):
        return _overfitting(d)
    if d.n_solved == n:
        return f"Nothing is wrong: every net is solved.{_on_others(d)}"
    counts = {Cause[name.upper()]: count for name, count in d.counts().items() if name != "solved"}
    if counts.pop(Cause.UNDECIDED, 0) > sum(counts.values()):
        return (
            "The cause cannot be told, because these nets have no record of their settings. Diagnose nets that "
            "fastmlp.train\nreturned, trained without warm_start and on the same samples."
        )
    if d.as_good_as_the_data and not helped:
        return _as_good(d)
    fitted = d.score is not None and bool(d.baselines) and float(np.median(d.score)) >= d.baselines[CONSTANT]
    if fitted and d.held_out_score is not None and d.best_simple_fit is None and not helped:
        return _nothing_that_holds(d)
    if share >= MOSTLY_SOLVED:
        return _luck(share)
    main = max(counts, key=counts.__getitem__)
    fault = FAULTS.get(main)
    if main == Cause.DEAD_LAYER:
        at_start = (d.dead_from_start or 0.0) >= 0.5
        fault = "the initial weights" if at_start else "a learning rate that is too high, or ReLU, whose units can die"
    if main == Cause.TARGET_RANGE:
        fault = f"{fault}; the squared error is at least {d.least_loss:.4g}"
    if d.trials:
        fault = _fault_by_trials(d, main, fault)
    if fault is not None:
        return f"Most likely cause: {fault}."
    if share >= WORTH_A_RESTART and not helped:
        return _luck(share)
    if helped:
        assert best is not None
        return f"No single cause was found; of the changes that were tried the best is {best.fix.text}."
    if d.trials:
        return "No single cause was found: none of the changes that were tried lets many more nets learn."
    return "Most likely cause: the architecture or the settings of training; hardly any restart is solved."


def _single(d: Findings) -> list[Trial]:
    return [trial for trial in d.trials if " and " not in trial.fix.name]


def _best(d: Findings) -> Trial | None:
    """The change that helps most; among about equally good ones, one that confirms a cause."""
    single = _single(d)
    most = max((gain(d, trial) for trial in single), default=0.0)
    near = [trial for trial in single if gain(d, trial) >= most - AS_MUCH]
    telling = [trial for trial in near if trial.helped and trial.fix.name not in WHATEVER_THE_CAUSE]
    return max(telling or near, key=lambda trial: gain(d, trial), default=None)


def gain(d: Findings, trial: Trial) -> float:
    """The benefit of a change: the share of stuck nets that it solves, or of the possible gain in score."""
    if not trial.helped:
        return 0.0
    calmed = (trial.diverged_before - trial.diverged_after) / trial.n_nets if trial.calmed else 0.0
    of_nets = max(calmed, (trial.after - trial.before) / max(1, trial.n_nets - trial.before))
    before = trial.score_before if trial.held_out_before is None else trial.held_out_before
    if before is None or not d.baselines:
        return of_nets
    room = max(max(d.baselines.values()) - max(before, trial.constant_score), SCORE_GAIN)
    return max(of_nets, min(1.0, trial.score_gain / room))


def _fault_by_trials(d: Findings, main: Cause, fault: str | None) -> str | None:
    """The fault if changes were tried: a cause whose remedy does not help is ruled out."""
    if main in CERTAIN or main == Cause.CONFLICTING_TARGETS:
        return fault
    best = _best(d)
    most = 0.0 if best is None else gain(d, best)
    proofs = [gain(d, trial) for trial in _single(d) if trial.fix.name in PROOFS.get(main, ())]
    proven = max(proofs, default=0.0)
    if fault is not None and proven > 0 and proven >= most - AS_MUCH:
        if best is not None and main in OF_TWO_FAULTS and most >= MUCH:
            return FAULT_THAT_A_CHANGE_SHOWS.get(best.fix.name, fault)
        return fault
    if best is not None and most >= MUCH and best.fix.name in FAULT_THAT_A_CHANGE_SHOWS:
        return FAULT_THAT_A_CHANGE_SHOWS[best.fix.name]
    untried = not proofs and most == 0
    return fault if untried or (proven > 0 and proven >= most / 2) else None


def _as_good(d: Findings) -> str:
    tried = " No change that was tried does better." if d.trials else ""
    if d.best_possible < 1:
        return (
            "Nothing is wrong with the nets: samples have the same inputs and different targets, and half of the nets "
            f"get\nclose to the best possible score, {d.best_possible:.3f}, or to simple fits.{tried}"
        )
    return (
        "Nothing is wrong: half of the nets do as well as simple fits do on held-out samples."
        f"{tried}\nThe rest may be noise, which nets should not learn; judge them by held-out samples."
    )


def _best_of_fits(d: Findings) -> str:
    return spoken_score(max(d.baselines.values()))


def _overfitting(d: Findings) -> str:
    assert d.score is not None
    seen = float(np.median(d.score))
    return (
        f"Most likely cause: overfitting. The nets' {d.spoken_score_name} is {spoken_score(seen)} on these samples and "
        f"{spoken_score(d.held_out_score)} on others,\nwhere simple fits have up to {_best_of_fits(d)}."
    )


def _nothing_that_holds(d: Findings) -> str:
    """The verdict on data from which neither the nets nor simple fits learn anything that generalises."""
    return (
        f"No cause was found in the nets: on held-out samples their {d.spoken_score_name} is "
        f"{spoken_score(d.held_out_score)}, and simple fits\nhave {_best_of_fits(d)} at best, no better than a "
        "constant guess. The inputs may say nothing about the targets."
    )


def _on_others(d: Findings) -> str:
    """A sentence about the nets' score on held-out samples."""
    if d.score is None:
        return ""
    if d.held_out_score is None:
        return "\nHeld-out samples tell how they do on other data."
    return f"\nOn held-out samples their {d.spoken_score_name} is {spoken_score(d.held_out_score)}."


def _luck(share: float) -> str:
    needed = restarts_needed(share)
    enough = "One net" if needed == 1 else f"The best of {needed} restarts"
    return (
        "Most likely cause: unlucky initial weights; the same settings solve the problem from others.\n"
        f"{enough} is solved with 99 % certainty; more units raise the share."
    )
