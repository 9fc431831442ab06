"""`Diagnosis`: the result of `Runs.diagnose`, and its report in plain words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fastmlp._tables import html_table
from fastmlp.diagnosis import causes
from fastmlp.diagnosis.baselines import CONSTANT
from fastmlp.diagnosis.causes import Cause, Plateau
from fastmlp.diagnosis.fixes import Fix
from fastmlp.diagnosis.problem import SCORE_GAIN, clear_gain
from fastmlp.diagnosis.trials import Trial
from fastmlp.diagnosis.verdict import CERTAIN, WORTH_A_RESTART, verdict_of
from fastmlp.statistics import interval, percent, spoken_score

SETTLED = 0.5  # share of solved nets from which the data count as free of noise
NO_NOISE = 0.99  # a score on held-out samples above which all samples can be learnt
OVERFIT_GAP = 0.05  # of an accuracy or R²
SHOWN = 0.005  # causes of a smaller share of the nets are summed up in the last line

MEANINGS = {
    Cause.SOLVED: "solved",
    Cause.DIVERGED: "diverged: weights or losses overflowed",
    Cause.ZERO_INPUT: "a sample of zeros, and no bias: its output can never change",
    Cause.SYMMETRIC: "symmetric: a layer's units are copies of each other, and stay so",
    Cause.DEAD_LAYER: "dead: every ReLU of a layer is silent on all samples, so no gradient passes",
    Cause.SATURATED: "saturated: a layer's units are on the flat ends of their sigmoid or tanh, or a wrong output is",
    Cause.VANISHING_GRADIENT: "vanishing gradient: less than a thousandth reaches the first layer",
    Cause.DEAD_UNITS: "dead units: too few of a layer's ReLUs are alive to tell the samples apart",
    Cause.PLATEAU: "on a plateau: samples that are not told apart get the mean of their targets",
    Cause.OVERSHOOTING: "overshooting: the loss jumps up and down; a tenth of the learning rate calms it",
    Cause.STILL_IMPROVING: "still improving when training ended",
    Cause.UNDECIDED: "undecided: further training would tell, but the settings of training are not fully known",
    Cause.LOCAL_MINIMUM: "converged to another local minimum, or to the best that this net can do",
    Cause.INPUT_SCALES: "inputs of very different scales, or far from 0 and 1: no learning rate fits all weights",
    Cause.TARGET_RANGE: "targets that the output's activation cannot give",
    Cause.TARGET_SCALE: "targets far from 0 and 1, or with too large or too small a spread",
    Cause.CONFLICTING_TARGETS: "as good as any net can be: samples have the same inputs and different targets",
}


_NOT_AT_FAULT = (
    "Backpropagation is not at fault here: that of fastmlp is tested. If your own program, with these settings, does\n"
    "worse than these shares, audit its gradients: fastmlp.audit_gradients."
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The diagnosis of n nets of L layers, from `Runs.diagnose`; print it for a report.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, optimizer=fastmlp.SGD(0.5), epochs=1000
    ... )
    >>> diagnosis = runs.diagnose(X, y)
    >>> diagnosis.counts()["solved"] == diagnosis.n_solved
    True
    >>> stuck = runs[diagnosis.causes == fastmlp.Cause.PLATEAU]
    >>> plateau = diagnosis.plateaus[diagnosis.plateau[diagnosis.causes == fastmlp.Cause.PLATEAU][0]]
    >>> len(stuck) > 100, round(plateau.loss, 2) in (0.35, 0.48, 0.69)
    (True, True)
    """

    causes: np.ndarray
    """The `Cause` of each net, (n,) int8."""
    dead_layers: np.ndarray
    """Layers whose units are all silent on all samples, (n, L) bool; the output layer last."""
    dead_units: np.ndarray
    """Number of units of each layer that are silent on all samples, (n, L) int64."""
    plateau: np.ndarray
    """Index in `plateaus` of each net's plateau, whatever its cause, (n,) int16; −1 for none."""
    plateaus: tuple[Plateau, ...]
    """The plateaus found: `n_samples` share the output `value`; `loss` is the loss there; `name` describes it."""
    loss: np.ndarray
    """Mean loss over the samples, each with weight 1, (n,)."""
    dead_from_start: float | None
    """Among nets with a dead layer, the share whose layer was dead before training; None if not known."""
    fixes: tuple[Fix, ...]
    """Suggested changes, the most promising first; with `try_fixes` the changes that helped, the best first."""
    trials: tuple[Trial, ...]
    """Results of the same seeds with each change, with `try_fixes`; changes that helped come first."""
    description: str
    """The nets and their settings, in one line."""
    score: np.ndarray | None = None
    """Each net's accuracy, or its R² or D² if targets are not classes, (n,); None for fewer than 20 samples."""
    score_name: str = "Accuracy"
    """The name of `score`: "Accuracy", "R²" for the squared error, or "D²", the share of the deviance explained."""
    margin: float | None = None
    """Median margin of up to 1,000 solved nets: the distance of the worst sample from 1/2, on its target's side
    (softmax: from the next class). None if targets are not classes, or if none is solved."""
    held_out_score: float | None = None
    """The nets' median score on held-out samples: the validation data, if the nets were trained with some; otherwise,
    with `try_fixes`, five-fold cross-validation with ten of the nets trained again."""
    baselines: dict[str, float] = field(default_factory=dict)
    """Scores of simple fits: a constant guess; nearest neighbours, leaving each sample out; and, if scikit-learn is
    installed, a cross-validated linear fit. Computed for 20 samples or more, if fewer than nine nets of ten are solved
    or `held_out_score` is known."""
    best_possible: float = 1.0
    """The highest accuracy, or R², that a net can have on these samples: below 1 if some with equal inputs have
    different targets."""
    least_loss: float = 0.0
    """The least squared error with this output activation: above 0 if it cannot give some of the targets."""
    n_samples: int = 0
    """Number of samples that the diagnosis used."""
    constant_targets: bool = False
    """Whether all samples have the same targets."""
    backpropagation: str = field(default_factory=lambda: _NOT_AT_FAULT, repr=False)

    @property
    def n_solved(self) -> int:
        """The number of solved nets."""
        return int((self.causes == Cause.SOLVED).sum())

    @property
    def as_good_as_the_data(self) -> bool:
        """Whether half of the nets do as well as noise in the data allows: as well as any net can, or as simple fits.

        Simple fits are scored on held-out samples, and so are the nets if they have a held-out score. True only if the
        fits learn something, and if neither they nor half of the nets learn all samples.
        """
        if self.score is None or self.overfits or self._certain:
            return False
        median, few = float(np.median(self.score)), self.success_rate < WORTH_A_RESTART
        if few and self.best_possible < 1 and median >= self.best_possible - SCORE_GAIN:
            return True
        best = self.best_simple_fit
        if best is None:
            return False
        if self.held_out_score is None:
            return few and median >= best - SCORE_GAIN
        noisy = few or (self.success_rate < SETTLED and max(best, self.held_out_score) < NO_NOISE)
        return noisy and self.held_out_score >= best - SCORE_GAIN

    @property
    def _certain(self) -> bool:
        """Whether a net has a cause that no training can mend."""
        return bool(np.isin(self.causes, CERTAIN).any())

    @property
    def best_simple_fit(self) -> float | None:
        """The score of the best simple fit; None if none is clearly better than a constant guess."""
        others = [score for name, score in self.baselines.items() if name != CONSTANT]
        clear = 2 * clear_gain(self.n_samples)
        return max(others) if others and max(others) >= self.baselines[CONSTANT] + clear else None

    @property
    def overfits(self) -> bool:
        """Whether the nets do as well as simple fits on these samples, but clearly worse on held-out samples."""
        if self.score is None or self.held_out_score is None or not self.baselines or self._certain:
            return False
        median, best = float(np.median(self.score)), max(self.baselines.values())
        if self.best_possible < 1 and median >= self.best_possible - SCORE_GAIN:
            return False
        clear = clear_gain(self.n_samples)
        worse = self.held_out_score < min(best - clear, median - max(OVERFIT_GAP, 2 * clear))
        return worse and median >= best - SCORE_GAIN

    @property
    def success_rate(self) -> float:
        """The share of solved nets."""
        return self.n_solved / len(self.causes)

    def counts(self) -> dict[str, int]:
        """Number of nets by the name of their cause; frequent causes first."""
        found = {cause.name.lower(): int((self.causes == cause).sum()) for cause in Cause}
        return dict(sorted(((name, n) for name, n in found.items() if n), key=lambda item: -item[1]))

    @property
    def spoken_score_name(self) -> str:
        """`score_name` for the middle of a sentence."""
        return "accuracy" if self.score_name == "Accuracy" else self.score_name

    @property
    def verdict(self) -> str:
        """What is at fault, in a sentence."""
        return verdict_of(self)

    def __str__(self) -> str:
        return "\n".join(_report(self))

    def _repr_html_(self) -> str:
        """A table of the causes, for notebooks."""
        n = len(self.causes)
        rows = [
            (name, f"{count:,}", percent(count / n), MEANINGS[Cause[name.upper()]])
            for name, count in self.counts().items()
        ]
        changes = [str(trial) for trial in self.trials] or [fix.text for fix in self.fixes]
        more = self.verdict + (f" To change: {'; '.join(changes)}." if changes else "")
        return html_table(self.description, ["cause", "nets", "share", "meaning"], rows, more)


def _percent(count: int, total: int) -> str:
    return f"{percent(count / total):>7}  ({interval(count, total)})"


def _report(d: Diagnosis) -> list[str]:
    n = len(d.causes)
    lines = [d.description, f"Solved: {d.n_solved:,} of {n:,} = {_percent(d.n_solved, n).strip()}"]
    if d.margin is not None:
        hair = ": so little that rounding decides" if d.margin < causes.HAIR else ""
        lines[-1] += f"; their worst sample is {d.margin:.2g} on the right side of 1/2 (the median){hair}"
    lines += _score_lines(d)
    if d.n_solved < n and not d.as_good_as_the_data:
        lines.append("Why the others are not (95 % intervals in brackets):")
        few = 0
        for name, count in d.counts().items():
            cause = Cause[name.upper()]
            if cause == Cause.SOLVED:
                continue
            if count < SHOWN * n:
                few += count
                continue
            lines.append(f"  {_percent(count, n)}  {MEANINGS[cause]}")
            lines += _details(d, cause)
        if few:
            lines.append(f"  {_percent(few, n)}  other causes, each rare")
    lines.append(d.verdict)
    if d.trials:
        lines.append("The same seeds with one change:")
        lines += [f"  {trial}" for trial in d.trials]
    elif d.fixes:
        lines.append("Suggested changes, most promising first (try_fixes=True tries them):")
        lines += [f"  {number}. {fix.text}" for number, fix in enumerate(d.fixes, 1)]
    lines.append(d.backpropagation)
    return lines


def _score_lines(d: Diagnosis) -> list[str]:
    """The nets' scores and those of simple fits."""
    if d.score is None:
        return []
    low, middle, high = map(spoken_score, np.percentile(d.score, (5, 50, 95)))
    lines = [f"{d.score_name} on these samples: median {middle}, nine tenths of the nets from {low} to {high}"]
    if d.held_out_score is not None:
        lines[-1] += f"; on held-out samples {spoken_score(d.held_out_score)}"
    if d.best_possible < 1:
        lines.append(
            f"  some samples with the same inputs have different targets: a net has {d.best_possible:.3f} at best"
        )
    if d.baselines:
        lines.append("  " + ", ".join(f"{fit}: {value:.3f}" for fit, value in d.baselines.items()))
    return lines


def _details(d: Diagnosis, cause: Cause) -> list[str]:
    of_it, lines, indent = d.causes == cause, [], " " * 30
    if cause == Cause.DEAD_LAYER:
        shares = d.dead_layers[of_it].mean(axis=0)
        names = [*(f"hidden layer {k + 1}" for k in range(len(shares) - 1)), "the output layer"]
        lines.append(
            indent + "dead are " + ", ".join(f"{m} in {s:.0%}" for m, s in zip(names, shares, strict=True) if s)
        )
        if d.dead_from_start is not None:
            lines.append(
                f"{indent}{d.dead_from_start:.0%} of them were dead before the first step, the others died in training"
            )
    elif cause in (Cause.PLATEAU, Cause.DEAD_UNITS, Cause.VANISHING_GRADIENT, Cause.ZERO_INPUT):
        for number, plateau in enumerate(d.plateaus):
            count = int((of_it & (d.plateau == number)).sum())
            if count >= SHOWN * len(d.causes):
                lines.append(f"{indent}{count / len(d.causes):.2%} at {plateau.name}")
        dead, alive = d.dead_units[of_it, :-1], d.dead_units[d.causes == Cause.SOLVED, :-1]
        if dead.any():
            than = f"; {alive.sum(axis=1).mean():.2g} in solved nets" if len(alive) else ""
            lines.append(f"{indent}{dead.sum(axis=1).mean():.2g} hidden units are dead in each, on average{than}")
    return lines
