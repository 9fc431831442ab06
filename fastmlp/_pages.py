"""Pictures for the commands, drawn without a window, and one page of HTML that holds everything."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp._statistics import wilson_intervals

if TYPE_CHECKING:
    from fastmlp.diagnosis import Diagnosis
    from fastmlp.runs import Runs

STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
pre { background: #f4f5f7; padding: 1rem; overflow-x: auto; font-size: 13px } img { max-width: 100% }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd }"""


def new_figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """A figure that needs no window, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def story(runs: Runs, diagnosis: Diagnosis, X: np.ndarray, y: np.ndarray) -> Any:
    """One picture: how losses fall, where they end, what the nets say or which units died, and what fixes did."""
    trials = bool(diagnosis.trials)
    figure, axes = new_figure(2 if trials else 1, 2 if trials else 3, (12, 9) if trials else (15, 4.6))
    runs.plot.fan(ax=axes[0])
    runs.plot.losses(diagnosis, ax=axes[1])
    if runs.architecture.sizes[0] == 2 and runs.architecture.sizes[-1] <= 2:
        runs.plot.boundary(X, y, ax=axes[2])
    elif runs.architecture.n_layers > 1:
        runs.plot.dead_units(X, y, ax=axes[2])
    else:
        axes[2].set_visible(False)
    if trials:
        names = ["as it was", *(trial.fix.name.replace("_", " ") for trial in diagnosis.trials)]
        first = diagnosis.trials[0]
        better = {name for name, trial in zip(names[1:], diagnosis.trials, strict=True) if trial.helped}
        bars(axes[3], names, [first.before, *(trial.after for trial in diagnosis.trials)], first.n_nets, better)
        axes[3].set_title("the same seeds with one change", fontsize=10)
    figure.suptitle(f"{diagnosis.success_rate:.2%} solved: {diagnosis.description}", fontsize=10)
    return figure


def bars(ax: Any, names: list[str], solved: list[int], n_nets: int, highlighted: set[str]) -> None:
    """Shares that are solved, with their intervals."""
    from fastmlp.plotting import BLUE, GREEN, GREY

    low, high = wilson_intervals(np.array(solved), np.full(len(solved), n_nets))
    shares, places = 100 * np.array(solved) / n_nets, np.arange(len(names))[::-1]
    ax.barh(places, shares, color=[GREEN if name in highlighted else BLUE for name in names], height=0.6)
    reach = np.maximum(np.stack([shares - 100 * low, 100 * high - shares]), 0)
    ax.errorbar(shares, places, xerr=reach, fmt="none", ecolor=GREY, capsize=3)
    for place, share in zip(places, shares, strict=True):
        ax.text(share + 2, place, f"{share:.1f} %", va="center", fontsize=8, color="black")
    ax.set_yticks(places, names, fontsize=8)
    ax.set(xlim=(0, 120), xticks=range(0, 101, 20), xlabel="nets solved, % (with 95 % intervals)")
    ax.spines[["top", "right"]].set_visible(False)


def as_page(title: str, text: str, figure: Any) -> str:
    """One HTML page without anything from elsewhere."""
    memory = io.BytesIO()
    figure.savefig(memory, dpi=110, format="png")
    picture = base64.b64encode(memory.getvalue()).decode()
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n<pre>{html.escape(text)}</pre>\n"
        f'<img alt="losses over the epochs, final losses, the nets\' outputs, and what changes did" '
        f'src="data:image/png;base64,{picture}">\n</body></html>\n'
    )
