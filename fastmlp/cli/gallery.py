"""The command `fastmlp gallery`: train published programs that do not learn XOR, as they are and with changes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp._check_values import choose
from fastmlp._io.paths import refuse_output
from fastmlp.audit.training import MistakenRuns, train_with_mistakes
from fastmlp.cli.recipes import RECIPES, Recipe, Variant
from fastmlp.diagnosis.causes import HAIR
from fastmlp.statistics import differ, interval, percent

PAGE = "gallery.md"
INTRODUCTION = """# The gallery of stuck nets

People published these programs and asked why they do not learn XOR. Each is trained over many restarts: as published,
mistakes included, and with several changes, one at a time. `fastmlp gallery --out docs` writes this page; all its
figures are what the command printed. A net is solved when each output is on its target's side of 1/2.
"""
NEAR = 0.005  # losses that differ by at most this count as equal


@dataclass(frozen=True)
class _Result:
    """The nets of a variant."""

    variant: Variant
    found: MistakenRuns
    solved_as_published: int

    @property
    def n(self) -> int:
        return len(self.found.runs)

    @property
    def losses(self) -> np.ndarray:
        losses = self.found.runs.loss.astype(float)
        return np.where(np.isfinite(losses), losses, np.inf)

    @property
    def margin(self) -> float:
        """The median margin of the solved nets."""
        margins = self.found.margin[self.found.solved]
        return float(np.median(margins)) if len(margins) else float("nan")

    def most_common(self) -> tuple[float, int]:
        """The most frequent final loss, and the number of nets near it."""
        losses = np.sort(self.losses)
        counts = np.searchsorted(losses, losses + 2 * NEAR, side="right") - np.arange(self.n)
        k = int(np.argmax(counts))
        return float(np.median(losses[k : k + counts[k]])), int(counts[k])

    def row(self, recipe: Recipe) -> dict[str, Any]:
        """For scripts."""
        median = float(np.median(self.losses))
        return {
            "program": recipe.name,
            "change": self.variant.change,
            "nets": self.n,
            "solved": self.found.n_solved,
            "solved_as_published": self.solved_as_published,
            "median_loss": median if np.isfinite(median) else None,
            "median_margin": None if np.isnan(self.margin) else self.margin,
            "advice": self.variant.advice,
        }


def run(options: argparse.Namespace) -> int:
    """Run the recipes, print the page, and write it to --out if given; returns the exit code."""
    known = {recipe.name: recipe for recipe in RECIPES}
    chosen = [known[choose("--only", name, dict.fromkeys(known, name))] for name in options.only] or list(RECIPES)
    folder = None if options.out is None else Path(options.out)
    if folder is not None:
        if not folder.is_dir():
            raise ValueError(f"--out {folder}: the folder does not exist")
        for name in (PAGE, *(_picture_name(recipe) for recipe in chosen)):
            refuse_output("--out", folder / name, {})
        import matplotlib  # noqa: F401  said before any work
    begun, page = time.perf_counter(), [INTRODUCTION]
    if not options.json:
        print(INTRODUCTION)
    for recipe in chosen:
        results = []
        for variant in recipe.variants:
            results.append(trained(recipe, variant, options.restarts, options.seed, options.threads))
            if options.json:
                print(json.dumps(results[-1].row(recipe)), flush=True)
        text = _section(recipe, results)
        if folder is not None:
            name = _picture_name(recipe)
            _picture(recipe, results, folder / name)
            text += f"\n![{recipe.title}: share solved, and final losses]({name})\n"
        page.append(text)
        if not options.json:
            print(text, flush=True)
    if folder is not None:
        (folder / PAGE).write_text("\n".join(page), encoding="utf-8")
    print(
        f"{time.perf_counter() - begun:.0f} seconds" + (f"; written to {folder / PAGE}" if folder else ""),
        file=sys.stderr,
    )
    return 0


def trained(recipe: Recipe, variant: Variant, restarts: int, seed: int, threads: int | None) -> _Result:
    """Train many restarts of a program, with or without a change."""
    if sys.stderr.isatty():
        print(f"… {recipe.name}: {variant.change}", file=sys.stderr)
    found = train_with_mistakes(
        variant.architecture,
        recipe.X,
        recipe.y,
        mistakes=variant.mistakes,
        n_nets=restarts,
        seed=seed,
        optimizer=variant.optimizer,
        epochs=variant.epochs,
        init=variant.init,
        threads=threads,
        **variant.settings,
    )
    return _Result(variant, found, int(counted(recipe, found).sum()))


def counted(recipe: Recipe, found: MistakenRuns) -> np.ndarray:
    """Which nets the program itself would count as solved."""
    if recipe.counts == "half":
        return found.solved
    fine, targets = np.isfinite(found.outputs).all(axis=(1, 2)), recipe.y
    if recipe.counts == "larger":
        right = np.diff(found.outputs, axis=2)[:, :, 0] > 0
        return np.asarray(fine & (right == (targets[:, 1] == 1)).all(axis=1))
    return np.asarray(fine & ((found.outputs[:, :, 0] > 0.5) == (targets == 1)).all(axis=1))


def _picture_name(recipe: Recipe) -> str:
    return f"{PAGE.removesuffix('.md')}-{recipe.name}.png"


def _section(recipe: Recipe, results: list[_Result]) -> str:
    own = recipe.counts != "half"
    columns = ["change", "solved", "95 % interval", *(["solved as the program counts"] if own else [])]
    columns += ["median loss", "most nets end at"]
    lines = [
        f"## {recipe.name}: {recipe.title}",
        "",
        f"Symptom: {recipe.symptom}.",
        "",
        f"The program: {recipe.program}.",
        "",
        recipe.counting,
        "",
        "| " + " | ".join(columns) + " |",
        "|" + " --- |" * len(columns),
    ]
    for result in results:
        cells = [result.variant.change, percent(result.found.n_solved / result.n)]
        if result.margin < HAIR:
            cells[-1] += f", only just: the median margin is {result.margin:.1g}"
        cells.append(interval(result.found.n_solved, result.n))
        if own:
            cells.append(percent(result.solved_as_published / result.n))
        level, count = result.most_common()
        median = float(np.median(result.losses))
        cells.append(f"{median:.4g}" if np.isfinite(median) else "diverged")
        cells.append(f"{f'{level:.3f}' if np.isfinite(level) else 'diverged'}: {count / result.n:.0%}")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *verdicts(recipe, results)]
    lines += [f"\n{_placed(recipe, results[0], *figures)}" for figures in recipe.printed]
    return "\n".join(lines) + "\n"


def verdicts(recipe: Recipe, results: list[_Result]) -> list[str]:
    """A list of the changes' effects, and the verdict on the advice."""
    published, *changes = results

    def share(result: _Result) -> str:
        strict = percent(result.found.n_solved / result.n)
        if recipe.counts == "half":
            return strict
        return f"{strict} ({percent(result.solved_as_published / result.n)} as the program counts)"

    def change_of(result: _Result, count: str) -> int:
        before, after = (
            (r.found.n_solved if count == "strict" else r.solved_as_published) for r in (published, result)
        )
        return 0 if not differ(before, published.n, after, result.n) else 1 if after > before else -1

    said = {1: "helps", 0: "no difference beyond chance", -1: "worse"}
    lines = [f"As published, {share(published)} of {published.n:,} nets are solved.", ""]
    for result in changes:
        strict, own = change_of(result, "strict"), change_of(result, "own")
        what = said[strict]
        if recipe.counts != "half" and own != strict:
            what = f"strictly {what}, and as the program counts {said[own]}"
        lead = "the published advice: " if result.variant.advice else ""
        lines.append(f"- {lead}{result.variant.change}: {what}, {share(result)}")
    for advice in (result for result in changes if result.variant.advice):
        alone = [
            other.variant.change
            for other in changes[:-1]
            if other is not advice
            and change_of(other, "own") > 0
            and not differ(other.solved_as_published, other.n, advice.solved_as_published, advice.n)
        ]
        verdict = {1: "helps", 0: "makes no difference beyond chance", -1: "makes it worse"}[change_of(advice, "own")]
        lines += ["", f"Verdict on the advice: it {verdict}."]
        if alone:
            lines[-1] += f" Each of these alone does as much: {', '.join(alone)}."
    return lines


def _placed(recipe: Recipe, result: _Result, what: str, numbers: tuple[float, ...]) -> str:
    """Where the published result lies among the results here."""
    found, of_all = result.found, f"of all {result.n:,}"
    if what == "loss":
        share, own = float((result.losses <= numbers[0]).mean()), result.losses[found.solved]
        middle = f"; the median of those that are solved is {np.median(own):.3g}" if len(own) else ""
        return f"It printed a loss of {numbers[0]:g}: {share:.2%} {of_all} nets here end at that or lower{middle}."
    targets = np.array((0, 1, 1, 0))
    off = float(np.abs(np.array(numbers) - targets).max())
    worst = np.abs(found.outputs[:, :, -1] - targets[list(recipe.order)]).max(axis=1)
    own = worst[found.solved]
    middle = f"; half of those that are solved come within {np.median(own):.3g}" if len(own) else ""
    printed = ", ".join(f"{value:g}" for value in numbers)
    return (
        f"It printed the outputs {printed}, within {off:.3f} of the answers: {(worst <= off).mean():.2%} {of_all} nets "
        f"here come as close{middle}."
    )


def _picture(recipe: Recipe, results: list[_Result], path: Path) -> None:
    from fastmlp.plotting.pages import bars, new_figure
    from fastmlp.plotting.style import LOSS_NAMES, draw_losses

    figure, axes = new_figure(1, 2, (13, 0.45 * len(results) + 2.4))
    names = [result.variant.change for result in results]
    solved = [result.solved_as_published for result in results]
    better = {
        name
        for name, count in zip(names, solved, strict=True)
        if count > solved[0] and differ(solved[0], results[0].n, count, results[0].n)
    }
    bars(axes[0], names, solved, results[0].n, better)
    counts = "" if recipe.counts == "half" else ", as the program counts"
    axes[0].set_title(f"each change alone, at last several (green: it helps{counts})", fontsize=10)
    published = results[0]
    code = published.variant.settings.get("loss") or published.variant.architecture.default_loss
    draw_losses(axes[1], published.losses[np.isfinite(published.losses)], {}, LOSS_NAMES[code])
    axes[1].set_title("as published: final losses", fontsize=10)
    figure.suptitle(recipe.title, fontsize=11)
    figure.savefig(path, dpi=90)
