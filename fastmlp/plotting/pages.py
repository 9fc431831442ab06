"""Pictures for the commands, drawn without a window, and a self-contained HTML page."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import numpy as np

from fastmlp._engine.trained_nets import TrainedNets
from fastmlp._tables import html_table
from fastmlp.diagnosis.causes import Cause
from fastmlp.diagnosis.report import MEANINGS, Diagnosis
from fastmlp.plotting.style import BLUE, GREEN, GREY
from fastmlp.statistics import percent, spoken_score, wilson_intervals

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
img { max-width: 100% } caption { text-align: left; font-weight: 600; padding: .4rem 0 }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd }"""


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """A figure without a window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def story(runs: TrainedNets, diagnosis: Diagnosis, X: np.ndarray, y: np.ndarray) -> Any:
    """Draw a diagnosis: losses over epochs, final losses, results of changes, and two nets' outputs or dead units."""
    panels = [lambda ax: runs.plot.fan(ax=ax), lambda ax: runs.plot.losses(diagnosis, ax=ax)]
    if diagnosis.trials:
        panels.append(lambda ax: _changes(ax, diagnosis))
    if runs.architecture.sizes[0] == 2 and runs.architecture.sizes[-1] <= 2:
        for net, kind in _examples(diagnosis):
            panels.append(lambda ax, net=net, kind=kind: _example(ax, runs, X, y, net, kind))  # type: ignore[misc]
    elif runs.architecture.n_layers > 1:
        panels.append(lambda ax: runs.plot.dead_units(X, y, ax=ax))
    columns = len(panels) if len(panels) <= 3 else -(-len(panels) // 2) if len(panels) > 4 else 2
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, (5.4 * columns, 4.6 * rows))
    for ax, draw in zip(axes, panels, strict=False):
        draw(ax)
    for ax in axes[len(panels) :]:
        ax.remove()
    reached = f"{diagnosis.success_rate:.2%} solved"
    if diagnosis.as_good_as_the_data and diagnosis.score is not None:
        reached = f"median {diagnosis.spoken_score_name} {spoken_score(float(np.median(diagnosis.score)))}"
    figure.suptitle(f"{reached}: {diagnosis.description}", fontsize=10)
    return figure


def _examples(diagnosis: Diagnosis) -> list[tuple[int, str]]:
    """Choose a net with the most frequent cause, and a solved one; if none is stuck, a solved one of median loss."""
    if diagnosis.as_good_as_the_data and diagnosis.score is not None:
        return [(int(np.argsort(diagnosis.score, kind="stable")[len(diagnosis.score) // 2]), "the median net")]
    found = []
    stuck = [name for name in diagnosis.counts() if name != "solved"]
    for name in [*stuck[:1], *(["solved"] if diagnosis.n_solved else [])]:
        cause = Cause[name.upper()]
        kind = "a solved net" if name == "solved" else f"a stuck net ({name.replace('_', ' ')})"
        found.append((int(np.flatnonzero(diagnosis.causes == cause)[0]), kind))
    return found


def _example(ax: Any, runs: TrainedNets, X: np.ndarray, y: np.ndarray, net: int, kind: str) -> None:
    runs.plot.boundary(X, y, net, ax=ax)
    ax.set_title(f"{kind}: net {net}, loss {runs.loss[net]:.4f}", fontsize=10)


def _changes(ax: Any, diagnosis: Diagnosis) -> None:
    """Draw the share of nets solved with each change."""
    names = ["as it was", *(trial.fix.name.replace("_", " ") for trial in diagnosis.trials)]
    first = diagnosis.trials[0]
    better = {name for name, trial in zip(names[1:], diagnosis.trials, strict=True) if trial.helped}
    bars(ax, names, [first.before, *(trial.after for trial in diagnosis.trials)], first.n_nets, better)
    ax.set_title("the same seeds with one change (green: it helps)", fontsize=10)


def bars(ax: Any, names: list[str], solved: list[int], n_nets: int, highlighted: set[str]) -> None:
    """Draw shares of solved nets with their intervals."""
    low, high = wilson_intervals(np.array(solved), np.full(len(solved), n_nets))
    shares, places = 100 * np.array(solved) / n_nets, np.arange(len(names))[::-1]
    ax.barh(places, shares, color=[GREEN if name in highlighted else BLUE for name in names], height=0.6)
    reach = np.maximum(np.stack([shares - 100 * low, 100 * high - shares]), 0)
    ax.errorbar(shares, places, xerr=reach, fmt="none", ecolor=GREY, capsize=3)
    for place, share, end in zip(places, shares, 100 * high, strict=True):
        ax.text(end + 1.5, place, f"{share:.1f} %", va="center", fontsize=8, color="black")
    ax.set_yticks(places, names, fontsize=8)
    ax.set(xlim=(0, 120), xticks=range(0, 101, 20), xlabel="nets solved, % (with 95 % intervals)")
    ax.spines[["top", "right"]].set_visible(False)


def as_page(title: str, diagnosis: Diagnosis, figure: Any) -> str:
    """One self-contained HTML page: the verdict, tables of causes and changes, and the picture."""
    memory = io.BytesIO()
    figure.savefig(memory, dpi=110, format="png")
    picture = base64.b64encode(memory.getvalue()).decode()
    n = len(diagnosis.causes)
    causes = [
        (MEANINGS[Cause[name.upper()]], f"{count:,}", percent(count / n)) for name, count in diagnosis.counts().items()
    ]
    scores, known_best = [], diagnosis.best_possible < 1
    if diagnosis.score is not None:
        scores = [
            ("the nets, on these samples (median)", spoken_score(float(np.median(diagnosis.score)))),
            ("the nets, on held-out samples", spoken_score(diagnosis.held_out_score)),
            *((fit, spoken_score(score)) for fit, score in diagnosis.baselines.items()),
            ("the best possible score", spoken_score(diagnosis.best_possible) if known_best else ""),
        ]
    plateaus = [
        (plateau.name, percent(float((diagnosis.plateau == k).mean()))) for k, plateau in enumerate(diagnosis.plateaus)
    ]
    held_out = any(t.held_out_after is not None for t in diagnosis.trials)
    changes = [
        (
            t.fix.text,
            percent(t.before / t.n_nets),
            percent(t.after / t.n_nets),
            *([spoken_score(t.held_out_before), spoken_score(t.held_out_after)] if held_out else []),
            "yes" if t.helped else "no",
        )
        for t in diagnosis.trials
    ]
    tables = ""
    if scores:
        tables += html_table("Scores", ["", diagnosis.spoken_score_name], [row for row in scores if row[1]])
    if not diagnosis.as_good_as_the_data:
        tables += html_table("Causes", ["cause", "nets", "share"], causes)
    if plateaus:
        tables += html_table("Plateaus: the loss, and the outputs there", ["plateau", "share of all nets"], plateaus)
    if changes:
        tables += html_table(
            "The same seeds with one change",
            ["change", "solved before", "after", *(["held out before", "after"] if held_out else []), "helps"],
            changes,
        )
    verdict = "".join(f"<p><strong>{html.escape(line)}</strong></p>" for line in diagnosis.verdict.splitlines())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n"
        f"<p>{html.escape(diagnosis.description)}</p>\n{verdict}\n{tables}\n"
        f'<img alt="losses over the epochs, final losses, the nets\' outputs, and what changes did" '
        f'src="data:image/png;base64,{picture}">\n<p>{html.escape(diagnosis.backpropagation)}</p>\n</body></html>\n'
    )
