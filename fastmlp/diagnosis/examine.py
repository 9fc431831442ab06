"""`diagnose`: examine the nets, find a cause for each, and try changes that may help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine.optimizer_state import fits
from fastmlp._engine.predict import predict
from fastmlp._engine.trained_nets import Status, Train, TrainedNets
from fastmlp._engine.unit_statistics import UnitStatistics, inspected
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp.diagnosis import causes
from fastmlp.diagnosis.baselines import baselines, best_possible, truth_table
from fastmlp.diagnosis.causes import Cause, Plateau
from fastmlp.diagnosis.fixes import fixes_for, fixes_of_overfitting
from fastmlp.diagnosis.problem import Problem, clear_gain, judged_by_score, looked_at, score_of, solved
from fastmlp.diagnosis.problem import distances as distances_of
from fastmlp.diagnosis.report import Diagnosis
from fastmlp.diagnosis.retraining import Retraining
from fastmlp.diagnosis.trials import HeldOut, Trial, held_out_score, try_all
from fastmlp.diagnosis.verdict import MOSTLY_SOLVED
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.settings import TrainSettings

PROBE_SHARE, LEAST_PROBE, MOST_PROBE = (
    50,
    20,
    100,
)  # the epochs that nets are trained further: a fiftieth of those trained, within bounds
NETS_A_BLOCK = 65_536
MOST_LOOKED_AT = 1000


def diagnose(
    runs: TrainedNets,
    X: Any,
    y: Any,
    *,
    loss: str | None = None,
    solved_loss: float | None = None,
    try_fixes: bool = False,
    max_nets_tried: int = 10_000,
    threads: int | None = None,
    train: Train,
    tell: Callable[[str, Diagnosis | None], Any] = lambda _step, _known: None,
) -> Diagnosis:
    """Diagnose nets, as `Runs.diagnose` describes; `train` trains them again.

    `tell` is called before each long step, with its description and the diagnosis so far.
    """
    if not isinstance(try_fixes, (bool, np.bool_)):
        raise TypeError(f"try_fixes={try_fixes!r}: needs True or False")
    tried = checks.whole_number("max_nets_tried", max_nets_tried, 1)
    if not len(runs):
        raise ValueError("there are no nets to diagnose: the selection is empty")
    problem, loss = _problem_of(runs, X, y, loss, solved_loss)
    call = _settings_of(runs, needed=bool(try_fixes))
    retraining = Retraining(train, runs.seed, threads)
    stats = looked_at(runs, problem, loss, threads)
    label, plateau, plateaus = _labels(runs, stats, problem, loss, call, retraining, X, y, tell)
    dead = stats.silent == np.array(runs.architecture.sizes[1:])
    from_start = _dead_from_start(runs, label == Cause.DEAD_LAYER, problem, loss, call, retraining, X, y)
    suggestions = fixes_for(label, problem, call, from_start, runs.status)
    unseen = _held_out(runs[:tried], call, problem, y, retraining, try_fixes, tell)
    found = Diagnosis(
        label,
        dead,
        stats.silent,
        plateau,
        tuple(plateaus),
        stats.loss,
        from_start,
        tuple(suggestions),
        (),
        _description(runs, loss, call),
        least_loss=causes.least_loss(problem),
        best_possible=problem.best_possible,
        n_samples=len(problem.samples),
        constant_targets=problem.constant_targets,
        margin=_margin(runs, label, problem, threads),
        held_out_score=unseen and unseen.score,
        **_scores(stats, problem, unseen),
    )
    if found.overfits:
        suggestions += fixes_of_overfitting(call, problem)
        found = replace(found, fixes=tuple(suggestions))
    if not try_fixes:  # if data may be noisy, changes that were not tried might fit the noise
        return replace(found, fixes=()) if found.as_good_as_the_data else found
    assert call is not None
    return _with_trials(found, runs, call, y, problem, loss, unseen, tried, retraining, tell)


def _with_trials(
    found: Diagnosis,
    runs: TrainedNets,
    call: TrainSettings,
    y: Any,
    problem: Problem,
    loss: str,
    unseen: HeldOut | None,
    tried: int,
    retraining: Retraining,
    tell: Callable[[str, Diagnosis | None], Any],
) -> Diagnosis:
    """Add the trials to the diagnosis, and replace its suggestions by the changes that helped."""

    def tell_so_far(step: str, trials: tuple[Trial, ...]) -> None:
        fixes = tuple(trial.fix for trial in trials if trial.helped) or found.fixes
        tell(f"trying {step}", replace(found, trials=trials, fixes=fixes))

    trials = try_all(runs, call, list(found.fixes), y, problem, loss, unseen, tried, retraining, tell_so_far)
    return replace(found, trials=trials, fixes=tuple(trial.fix for trial in trials if trial.helped))


def _settings_of(runs: TrainedNets, needed: bool) -> TrainSettings | None:
    """The settings that the nets were trained with, as far as they are known."""
    call = runs.call or TrainSettings.from_record(runs.settings, runs.architecture, runs.parameters.dtype)
    if needed and call is None:
        raise ValueError(
            "try_fixes=True trains the same nets again, but the settings of these are not fully known. fastmlp.train "
            "records them, except with warm_start and with samples of each net's own (train one net on its samples, "
            "and diagnose it on them); a file holds them if all are names and numbers, without arrays, functions, "
            "initializers, weights or validation"
        )
    return call


def _labels(
    runs: TrainedNets,
    stats: UnitStatistics,
    problem: Problem,
    loss: str,
    call: TrainSettings | None,
    retraining: Retraining,
    X: Any,
    y: Any,
    tell: Callable[[str, Diagnosis | None], Any],
) -> tuple[np.ndarray, np.ndarray, list[Plateau]]:
    """Find each net's cause and plateau (−1 for none), and the plateaus."""
    diverged = (runs.status == Status.DIVERGED) | ~np.isfinite(runs.parameters).all(axis=1)
    plateau, plateaus = _plateaus(runs, stats, problem, ~diverged & ~solved(stats, problem), retraining.threads)
    partial = np.array([*(p.n_samples < len(problem.samples) for p in plateaus), False])
    label = causes.certain_causes(stats, problem, diverged, partial[plateau])
    label[(label < 0) & (plateau >= 0)] = Cause.PLATEAU
    undecided = np.flatnonzero(label < 0)
    if len(undecided):
        tell(f"training {len(undecided):,} nets further, to see whether they improve", None)
    for first in range(0, len(undecided), NETS_A_BLOCK):
        some = undecided[first : first + NETS_A_BLOCK]
        label[some] = _probed(runs, some, loss, call, retraining, X, y)
    rest = label < 0  # nets that were trained further, and neither improved nor overshot
    label[rest & causes.mostly_dead(stats, runs.architecture)] = Cause.DEAD_UNITS
    label[label < 0] = Cause.LOCAL_MINIMUM
    return label, plateau, plateaus


def _margin(runs: TrainedNets, label: np.ndarray, problem: Problem, threads: int | None) -> float | None:
    """The median margin of the solved nets."""
    some = np.flatnonzero(label == Cause.SOLVED)[:MOST_LOOKED_AT]
    if not len(some) or not problem.classes or problem.solved_loss is not None:
        return None
    chosen = runs[some]
    outputs = predict(chosen.architecture, chosen.parameters, problem.samples, threads=threads).astype(np.float64)
    distances = distances_of(outputs, problem.targets.astype(np.float64), chosen.architecture.activations[-1])
    return float(np.median(distances.min(axis=1)))


def _held_out(
    runs: TrainedNets,
    call: TrainSettings | None,
    problem: Problem,
    y: Any,
    retraining: Retraining,
    try_fixes: bool,
    tell: Callable[..., Any],
) -> HeldOut | None:
    """The median score on held-out samples; None if there are none and none are wanted."""
    if call is None or problem.constant_targets:
        return None
    if call.validation is None:
        if not try_fixes or not _judged_by_others(problem):
            return None
        tell("training some nets on four fifths of the samples, to score them on the others", None)
    score = held_out_score(runs, call, problem, y, retraining)
    number = len(problem.samples if call.validation is None else call.validation[0])
    return HeldOut(score, -np.inf if problem.classes else 0.0, clear_gain(number))


def _judged_by_others(problem: Problem) -> bool:
    """Whether a score on held-out samples is meaningful."""
    return judged_by_score(problem) and not truth_table(problem.samples)


def _scores(stats: UnitStatistics, problem: Problem, held_out: HeldOut | None) -> dict[str, Any]:
    """The nets' scores, and those to compare them with."""
    if not judged_by_score(problem):
        return {}
    known = {"score": score_of(stats, problem), "score_name": problem.score_name}
    mostly_solved = solved(stats, problem).mean() >= MOSTLY_SOLVED
    if not _judged_by_others(problem) or (mostly_solved and held_out is None):
        return known
    return known | {"baselines": baselines(problem.exact_samples, problem.targets, problem.classes, problem.loss)}


def _problem_of(runs: TrainedNets, X: Any, y: Any, loss: str | None, solved_loss: Any) -> tuple[Problem, str]:
    architecture, dtype = runs.architecture, runs.parameters.dtype
    loss = loss or runs.settings.get("loss") or architecture.default_loss
    code = Loss(choose("loss", loss, LOSSES[architecture.activations[-1]]))
    samples = checks.inputs(X, architecture, dtype)
    targets = checks.targets(y, architecture, code, len(samples), dtype)
    if solved_loss is not None:
        solved_loss = checks.bounded("solved_loss", solved_loss, 1, 0.0)
        if not isinstance(solved_loss, float):
            raise ValueError(f"solved_loss={solved_loss!r}: needs one number")
    numbers, classes = np.ndim(y) == 1 or np.shape(y)[-1] == 1, checks.counts_accuracy(targets)
    exact_samples = checks.inputs(X, architecture, np.dtype(np.float64))
    exact_targets = checks.targets(y, architecture, code, len(samples), np.dtype(np.float64))
    possible = best_possible(exact_samples, exact_targets, classes) if classes or code == Loss.MSE else 1.0
    return Problem(
        architecture, code, samples, targets, exact_samples, exact_targets, classes, solved_loss, numbers, possible
    ), loss


def _plateaus(
    runs: TrainedNets, stats: UnitStatistics, problem: Problem, stuck: np.ndarray, threads: int | None
) -> tuple[np.ndarray, list[Plateau]]:
    """The plateau of each stuck net; −1 for none."""
    plateau = np.full(len(runs), -1, np.int16)
    some = np.flatnonzero(stuck)
    if len(some) and causes.has_groups(problem):
        keys = np.full(len(runs), -1)
        for first in range(0, len(some), NETS_A_BLOCK):
            block = some[first : first + NETS_A_BLOCK]
            chosen = runs[block]
            outputs = predict(chosen.architecture, chosen.parameters, problem.samples, threads=threads)
            keys[block] = causes.plateau_keys(outputs, problem)
        return causes.named_plateaus(keys, problem)
    flat, constant = causes.on_constant(stats, problem)
    plateau[flat & stuck] = 0
    return plateau, [constant] if (flat & stuck).any() else []


def _go_on(
    runs: TrainedNets,
    some: np.ndarray,
    call: TrainSettings,
    epochs: int,
    loss: str,
    retraining: Retraining,
    X: Any,
    y: Any,
) -> np.ndarray:
    """Losses (n, epochs + 1) of some nets while they are trained further."""
    chosen = runs[some]
    if chosen.state is not None and not fits(chosen.state, call.optimizer):
        chosen.state = None
    history = retraining.go_on(chosen, call, X, y, epochs, loss).history
    assert history is not None
    return history.astype(np.float64)


def _probed(
    runs: TrainedNets, some: np.ndarray, loss: str, call: TrainSettings | None, retraining: Retraining, X: Any, y: Any
) -> np.ndarray:
    """Train nets without another cause further: whether they overshoot or improve; −1 for neither."""
    label = np.full(len(some), -1, np.int8)
    factor = None if call is None else call.final_rate()
    if call is None or not factor:
        return np.full(len(some), Cause.UNDECIDED, np.int8)
    trained = runs.epochs[some]
    length = int(np.clip(np.max(trained) // PROBE_SHARE, LEAST_PROBE, MOST_PROBE))
    own = call.of(some)
    if factor != 1:
        own = own.with_rate(factor)
    curves = _go_on(runs, some, own, length, loss, retraining, X, y)
    falling, rough = causes.causes_of_curves(curves, trained)
    if rough.any() and "learning_rate" in own.optimizer.settings:
        which = np.flatnonzero(rough)
        calm = _go_on(runs, some[which], own.of(which).with_rate(0.1), length, loss, retraining, X, y)
        with np.errstate(invalid="ignore"):
            lower = calm[:, -1] <= causes.CALMER_BELOW * np.median(curves[which, 1:], axis=1)
        lower |= np.isfinite(calm[:, -1]) & ~np.isfinite(curves[which]).all(axis=1)
        label[which[lower]] = Cause.OVERSHOOTING
    label[(label < 0) & falling] = Cause.STILL_IMPROVING
    return label


def _dead_from_start(
    runs: TrainedNets,
    dead: np.ndarray,
    problem: Problem,
    loss: str,
    call: TrainSettings | None,
    retraining: Retraining,
    X: Any,
    y: Any,
) -> float | None:
    """The share of dead nets that were dead before training."""
    if call is None or not dead.any():
        return None
    some = np.flatnonzero(dead)[:NETS_A_BLOCK]
    first = retraining.initial(call.of(some), X, y, runs.net_ids[some])
    stats = inspected(first.architecture, loss, first.parameters, problem.samples, problem.targets, retraining.threads)
    return float((stats.silent == np.array(first.architecture.sizes[1:])).any(axis=1).mean())


def _description(runs: TrainedNets, loss: str, call: TrainSettings | None) -> str:
    architecture = runs.architecture
    names = list(dict.fromkeys(code.name.lower() for code in architecture.activations))
    parts = [f"{len(runs):,} nets {'-'.join(map(str, architecture.sizes))}", " and ".join(names)]
    parts += ["no biases"] if not architecture.bias else []
    parts.append(loss)
    if call is not None:
        optimizer = call.optimizer
        rate = optimizer.settings["learning_rate"]
        spoken = f"learning rate {rate:g}" if isinstance(rate, float) else "learning rates that differ"
        name = next(name for name, kind in OPTIMIZERS.items() if type(optimizer) is kind)
        parts.append(call.init if isinstance(call.init, str) else _spoken(call.init))
        parts.append(f"{name} at {spoken}")
        batch = call.batch_size
        parts.append(
            "full batch" if batch is None else "one sample at a time" if batch == 1 else f"minibatches of {batch}"
        )
        parts.append(f"{call.epochs:,} epochs")
    return ", ".join(parts)


def _spoken(init: Any) -> str:
    return "initial weights given" if isinstance(init, (tuple, list)) else repr(init)
