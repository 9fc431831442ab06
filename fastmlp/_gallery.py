"""What `fastmlp gallery` does: the classic stuck nets as published and mended, over many restarts, as a page."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from fastmlp._names import choose
from fastmlp._paths import refuse_output
from fastmlp._recipes import RECIPES, Recipe, Variant, X
from fastmlp._statistics import interval, percent
from fastmlp._why import facts
from fastmlp.diagnosis import Diagnosis
from fastmlp.runs import Runs
from fastmlp.training import train

PAGE = "gallery.md"
INTRODUCTION = """# The gallery of stuck nets

Nets that people have published when they asked why theirs does not learn XOR, each trained over many restarts as
published, and mended. `fastmlp gallery --out docs` makes this page: all its figures are what the command printed.
"""


def run(options: argparse.Namespace) -> int:
    """Run the recipes, print the page, and write it where it is asked for; returns the exit code."""
    known = {recipe.name: recipe for recipe in RECIPES}
    chosen = [choose("--only", name, known) for name in options.only] or list(RECIPES)
    folder = None if options.out is None else Path(options.out)
    if folder is not None:
        if not folder.is_dir():
            raise ValueError(f"--out {folder}: there is no such folder")
        for name in (PAGE, *(_picture_name(recipe) for recipe in chosen)):
            refuse_output("--out", folder / name, {})
        import matplotlib  # noqa: F401  said before any work
    begun, page, found = time.perf_counter(), [], {}
    if not options.json:
        print(INTRODUCTION)
    page.append(INTRODUCTION)
    for recipe in chosen:
        results = [_result(variant, options, f"{recipe.name}: {variant.name}") for variant in recipe.variants]
        text = _section(recipe, results)
        found[recipe.name] = {r.variant.name: facts(r.diagnosis) for r in results}
        if folder is not None:
            name = _picture_name(recipe)
            _picture(recipe, results, folder / name)
            text += f"\n![{recipe.title}: share solved, and where the losses end]({name})\n"
        page.append(text)
        if not options.json:
            print(text, flush=True)
    if options.json:
        print(json.dumps(found))
    if folder is not None:
        (folder / PAGE).write_text("\n".join(page), encoding="utf-8")
    print(
        f"{time.perf_counter() - begun:.0f} seconds" + (f"; written to {folder / PAGE}" if folder else ""),
        file=sys.stderr,
    )
    return 0


def _picture_name(recipe: Recipe) -> str:
    return f"{PAGE.removesuffix('.md')}-{recipe.name}.png"


class _Result:
    """A variant's nets."""

    def __init__(self, variant: Variant, runs: Runs) -> None:
        self.variant, self.runs = variant, runs
        self.diagnosis: Diagnosis = runs.diagnose(X, variant.y)


def _result(variant: Variant, options: argparse.Namespace, label: str) -> _Result:
    if sys.stderr.isatty():
        print(f"… {label}", file=sys.stderr)
    runs = train(
        variant.architecture, X, variant.y, n_nets=options.restarts, seed=options.seed, optimizer=variant.optimizer,
        epochs=variant.epochs, init=variant.init, threads=options.threads, **variant.settings,
    )  # fmt: skip
    return _Result(variant, runs)


def _section(recipe: Recipe, results: list[_Result]) -> str:
    lines = [
        f"## {recipe.name}: {recipe.title}", "",
        f"What is seen: {recipe.symptom}.", "", f"How it was translated: {recipe.translated}.", "",
        "| how it is trained | solved | 95 % interval | |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for result in results:
        d, n = result.diagnosis, len(result.diagnosis.causes)
        kind = "mended" if result.variant.fixed else "published"
        lines.append(
            f"| {result.variant.name} | {d.n_solved:,} of {n:,} = {percent(d.n_solved / n)} "
            f"| {interval(d.n_solved, n)} | {kind} |"
        )
    for result in results:
        if result.diagnosis.n_solved < len(result.diagnosis.causes):
            report = str(result.diagnosis).split("\nTo change, first")[0].split("\nThe backpropagation")[0]
            lines += ["", f"**{result.variant.name}**", "", "```text", report, "```"]
    for name, what, numbers in recipe.printed:
        result = next(r for r in results if r.variant.name == name)
        lines += ["", _placed(result, what, numbers)]
    return "\n".join(lines) + "\n"


def _placed(result: _Result, what: str, numbers: tuple[float, ...]) -> str:
    """Where what a published run printed falls among ours."""
    runs, solved = result.runs, result.diagnosis.causes == 0
    of_all = f"of all {len(runs):,}"
    if what == "loss":
        share = float((runs.loss <= numbers[0]).mean())
        own = runs.loss[solved]
        middle = f"; the median of those that are solved is {np.median(own):.3g}" if len(own) else ""
        return (
            f"A published run ({result.variant.name}) printed a loss of {numbers[0]:g}: {share:.2%} {of_all} nets here "
            f"end at that or lower{middle}."
        )
    off = max(abs(value - target) for value, target in zip(numbers, (0, 1, 1, 0), strict=True))
    outputs = runs.predict(X)
    worst = np.abs(outputs[:, :, -1] - np.array([0, 1, 1, 0])).max(axis=1)
    printed, own = ", ".join(f"{value:.3f}" for value in numbers), worst[solved]
    middle = f"; half of those that are solved come within {np.median(own):.3g}" if len(own) else ""
    return (
        f"A published run ({result.variant.name}) printed the outputs {printed}, within {off:.3f} of the answers: "
        f"{(worst <= off).mean():.2%} {of_all} nets here come as close{middle}."
    )


def _picture(recipe: Recipe, results: list[_Result], path: Path) -> None:
    from fastmlp._pages import bars, new_figure

    stuck = min((r for r in results if not r.variant.fixed), key=lambda r: r.diagnosis.success_rate)
    figure, axes = new_figure(1, 2, (13, 4.2))
    mended = {r.variant.name for r in results if r.variant.fixed}
    bars(
        axes[0],
        [r.variant.name for r in results],
        [r.diagnosis.n_solved for r in results],
        len(results[0].runs),
        mended,
    )
    axes[0].set_title("blue: as published; green: mended", fontsize=10)
    stuck.runs.plot.losses(stuck.diagnosis, ax=axes[1])
    axes[1].set_title(f"{stuck.variant.name}: where the losses end", fontsize=10)
    figure.suptitle(recipe.title, fontsize=11)
    figure.savefig(path, dpi=90)
