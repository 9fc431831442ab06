"""Train the same seeds with changes: `Trial` is the result of one, `try_all` trains them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.trained_nets import Status, TrainedNets
from fastmlp._kernels.formulas.losses import Loss
from fastmlp.architecture import Architecture
from fastmlp.diagnosis.baselines import Scaling
from fastmlp.diagnosis.fixes import Fix
from fastmlp.diagnosis.held_out import cross_validated_score, validation_data, validation_score
from fastmlp.diagnosis.problem import SCORE_GAIN, Problem, judged_by_score, looked_at, score_of, solved
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.settings import TrainSettings
from fastmlp.statistics import differ, interval, pairs_differ, percent, spoken_score

HELD_OUT_SLACK = 0.005  # a held-out score varies this much with the folds


class HeldOut(NamedTuple):
    """The nets' held-out score, and the data needed to score changes in the same way."""

    score: float
    constant_score: float
    least_gain: float


@dataclass(frozen=True)
class Trial:
    """Results of the same seeds before and after a change."""

    fix: Fix
    n_nets: int
    before: int
    """Solved nets without the change."""
    after: int
    """Solved nets with the change."""
    score_before: float | None = None
    """Median accuracy without the change, or R² or D² if targets are not classes; None for fewer than 20 samples."""
    score_after: float | None = None
    """`score_before` with the change."""
    held_out_before: float | None = None
    """Median score on held-out samples without the change: on validation data, or by five-fold cross-validation of up
    to ten nets; None if not known."""
    held_out_after: float | None = None
    """`held_out_before` with the change."""
    least_gain: float = SCORE_GAIN
    """The score must rise by more than this to count as a gain."""
    constant_score: float = -np.inf
    """Scores below this, that of a constant guess, count as this, because R² and D² have no lower bound."""
    gained: int | None = None
    """Nets that only the change solved; None in pickles from before it was recorded."""
    lost: int | None = None
    """Nets that were solved only without the change."""
    diverged_before: int = 0
    diverged_after: int = 0
    """Nets that diverged without the change."""

    @property
    def helped(self) -> bool:
        """Whether clearly more nets are solved than before, or their median score is higher.

        If there is a held-out score, it decides: solving more training samples alone is no help.
        """
        more_solved = self._solved_differ and self.after > self.before
        if self.held_out_after is not None:  # if half of the nets learn all samples, the data have no noise
            more_solved &= self.score_gain > (-HELD_OUT_SLACK if 2 * self.before >= self.n_nets else HELD_OUT_SLACK)
        return more_solved or self.score_gain > self.least_gain or (self.calmed and not self.held_out_worse)

    @property
    def calmed(self) -> bool:
        """Whether clearly fewer nets diverge than before."""
        n, before, after = self.n_nets, self.diverged_before, self.diverged_after
        return after < before and differ(before, n, after, n)

    @property
    def held_out_worse(self) -> bool:
        """Whether the held-out score is clearly lower than before."""
        return self.held_out_after is not None and self.score_gain < -HELD_OUT_SLACK

    @property
    def score_gain(self) -> float:
        """The rise of the median score, on held-out samples if there are any."""
        before, after = self.held_out_before, self.held_out_after
        if before is None or after is None:
            before, after = self.score_before, self.score_after
        if before is None or after is None:
            return 0.0
        return max(after, self.constant_score) - max(before, self.constant_score)

    @property
    def _solved_differ(self) -> bool:
        if self.gained is None or self.lost is None:
            return differ(self.before, self.n_nets, self.after, self.n_nets)
        return pairs_differ(self.gained, self.lost, self.n_nets)

    def __str__(self) -> str:
        before, after = (percent(count / self.n_nets) for count in (self.before, self.after))
        scores = ""
        if self.score_after is not None:
            scores = f", median score {spoken_score(self.score_before)} -> {spoken_score(self.score_after)}"
        if self.held_out_after is not None:
            scores += f", held out {spoken_score(self.held_out_before)} -> {spoken_score(self.held_out_after)}"
        alike = ": no clear difference" if self.before != self.after or scores else ": the same"
        if self.diverged_before != self.diverged_after:
            scores += f", diverged {self.diverged_before:,} -> {self.diverged_after:,}"
        verdict = "" if self.helped or self._solved_differ or abs(self.score_gain) > self.least_gain else alike
        if self._solved_differ and self.after < self.before and not self.helped:
            verdict = ": solves fewer"
        if self.held_out_worse:
            verdict = ": worse on held-out samples"
        return f"{before:>7} -> {after:>7}  ({interval(self.after, self.n_nets)}{scores})  {self.fix.text}{verdict}"


def try_all(
    runs: TrainedNets,
    call: TrainSettings,
    fixes: list[Fix],
    y: Any,
    problem: Problem,
    loss: str,
    held_out: HeldOut | None,
    max_nets: int,
    retraining: Retraining,
    tell: Callable[[str, tuple[Trial, ...]], Any] = lambda _step, _trials: None,
) -> tuple[Trial, ...]:
    """Train the first `max_nets` of the nets again with each change, and with the best two; the best first.

    With `held_out`, each change has a held-out score too. Before each change `tell` is called with a description of it
    and the trials so far.
    """
    n = min(len(runs), max_nets)
    ids, own, threads = runs.net_ids[:n], call.of(np.arange(len(runs)) < n), retraining.threads
    as_it_was = _outcome(runs[:n], problem, loss, threads)

    def trial(fix: Fix) -> Trial | None:
        changed, there, targets = scaled_data(fix.scaled, fix.change(own), problem, y)
        try:
            again = retraining.again(changed, there.samples, targets, ids)
            there = _for_change(there, again.architecture, Loss[changed.loss_name.upper()])
            unseen = None if held_out is None else held_out_score(again, changed, there, targets, retraining)
        except (ValueError, TypeError) as error:  # the diagnosis is worth more than one change
            warnings.warn(f"{fix.text}: could not be tried: {error}", RuntimeWarning, stacklevel=4)
            return None
        return _compared(fix, as_it_was, _outcome(again, there, changed.loss_name, threads), held_out, unseen)

    trials: list[Trial] = []
    for number, fix in enumerate(fixes, 1):
        tell(f"change {number} of {len(fixes)}: {fix.text}", tuple(trials))
        trials = _best_first([*trials, trial(fix)])
    pair = _best_pair(trials)
    if pair and trials[0].after < n:
        first, second = (t.fix for t in pair)
        together = Fix(
            f"{first.name} and {second.name}",
            f"both: {first.name} and {second.name}",
            lambda call: second.change(first.change(call)),
            scaled=tuple(dict.fromkeys(first.scaled + second.scaled)),
        )
        tell(f"{first.name} and {second.name} together", tuple(trials))
        trials = _best_first([*trials, trial(together)])
    return tuple(trials)


def _compared(
    fix: Fix, before: _Outcome, after: _Outcome, held_out: HeldOut | None, held_out_after: float | None
) -> Trial:
    """Train nets of the same seeds with a change, and compare."""
    trial = Trial(
        fix,
        len(before.solved),
        int(before.solved.sum()),
        int(after.solved.sum()),
        before.score,
        after.score,
        gained=int((after.solved & ~before.solved).sum()),
        lost=int((before.solved & ~after.solved).sum()),
        diverged_before=before.n_diverged,
        diverged_after=after.n_diverged,
    )
    if held_out is None:
        return trial
    return replace(
        trial,
        held_out_before=held_out.score,
        held_out_after=held_out_after,
        least_gain=held_out.least_gain,
        constant_score=held_out.constant_score,
    )


def _best_pair(trials: list[Trial]) -> tuple[Trial, Trial] | None:
    """The best change that helped, and the next best one that can be combined with it."""
    helpful = [t for t in trials if t.helped]
    for second in helpful[1:]:
        both = helpful[0].fix, second.fix
        if both[0].setting != both[1].setting and not set(both[0].scaled) & set(both[1].scaled):
            return helpful[0], second
    return None


def _for_change(problem: Problem, architecture: Architecture, loss: Loss) -> Problem:
    """The problem for nets of another architecture and loss; `solved_loss` is kept only if the loss stays."""
    return problem._replace(
        architecture=architecture, loss=loss, solved_loss=problem.solved_loss if loss == problem.loss else None
    )


def scaled_data(
    scaled: tuple[str, ...], call: TrainSettings, problem: Problem, y: Any
) -> tuple[TrainSettings, Problem, Any]:
    """The settings, the problem and `y` with some data scaled; validation data are scaled like the training data.

    Numbers are scaled before they are rounded to the nets' dtype.
    """
    if not scaled:
        return call, problem, y
    dtype, held_out = problem.samples.dtype, validation_data(call, problem)
    y_held_out = None if held_out is None else call.validation[1]
    if "inputs" in scaled:
        scaling = Scaling.standard(problem.exact_samples)
        exact = scaling.apply(problem.exact_samples)
        problem = problem._replace(exact_samples=exact, samples=exact.astype(dtype))
        held_out = held_out and (scaling.apply(held_out[0]), held_out[1])
    if "targets" in scaled or "range" in scaled:
        kind = Scaling.standard if "targets" in scaled else Scaling.to_unit_range
        scaling = kind(problem.exact_targets)
        exact = scaling.apply(problem.exact_targets)
        problem = problem._replace(exact_targets=exact, targets=exact.astype(dtype))
        if problem.solved_loss is not None:  # in the targets' units squared
            problem = problem._replace(solved_loss=problem.solved_loss * float(np.mean(1 / scaling.scale**2)))
        y = problem.targets
        y_held_out = held_out and scaling.apply(held_out[1])
    if held_out is not None:
        call = call.changed(validation=(held_out[0], y_held_out, *call.validation[2:]))
    return call, problem, y


def held_out_score(runs: TrainedNets, call: TrainSettings, problem: Problem, y: Any, retraining: Retraining) -> float:
    """The median score on validation data, or else on folds that are held out in turn."""
    held_out = validation_data(call, problem)
    if held_out is not None:
        return validation_score(runs, held_out, problem, retraining.threads)
    return cross_validated_score(retraining, call, problem, y, runs.net_ids)


def _best_first(trials: Sequence[Trial | None]) -> list[Trial]:
    """Sort trials: those that helped first, then by solved nets, then by score."""

    def place(trial: Trial) -> tuple[bool, int, float]:
        score = trial.score_after if trial.held_out_after is None else trial.held_out_after
        return not trial.helped, -trial.after, 0.0 if score is None else -score

    return sorted((trial for trial in trials if trial is not None), key=place)


class _Outcome(NamedTuple):
    """Results of trained nets."""

    solved: np.ndarray  # (n,) bool
    n_diverged: int
    score: float | None  # the median; None for too few samples


def _outcome(runs: TrainedNets, problem: Problem, loss: str, threads: int | None) -> _Outcome:
    stats = looked_at(runs, problem, loss, threads)
    diverged = (runs.status == Status.DIVERGED) | ~np.isfinite(stats.loss)
    score = float(np.median(score_of(stats, problem, diverged))) if judged_by_score(problem) else None
    return _Outcome(solved(stats, problem) & ~diverged, int(diverged.sum()), score)
