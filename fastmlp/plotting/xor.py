"""The picture of `fastmlp xor`. Needs matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastmlp._engine.trained_nets import Status, TrainedNets
from fastmlp.plotting.style import BLUE, GREY, draw_losses

SOON = 99.5  # the axis ends a little after this share (%) of the solved nets is solved


def draw_xor(runs: TrainedNets, facts: dict[str, Any], plateaus: dict[float, str], path: str) -> None:
    """Draw the share solved over epochs (if nets stop when solved) and a histogram of final losses, to a file."""
    reached = np.sort(runs.epochs[runs.status == Status.REACHED_TARGET])
    figure = Figure(figsize=(11, 4.6) if reached.size else (6.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 2 if reached.size else 1, squeeze=False)[0]
    if reached.size:
        _draw_solved(axes[0], reached, facts)
    draw_losses(axes[-1], runs.loss[np.isfinite(runs.loss)], plateaus, "mean cross-entropy, nats")
    axes[-1].set_title("final losses: stuck nets pile up on plateaus", fontsize=10)
    sizes = "-".join(map(str, facts["sizes"]))
    figure.suptitle(
        f"{facts['restarts']:,} restarts of {sizes} on XOR: {facts['solved_share']:.1%} solved  "
        f"({facts['hidden']}, {facts['init']}, {facts['optimizer']}, learning rate {facts['learning_rate']:g})",
        fontsize=11,
    )
    figure.savefig(path, dpi=130)


def _draw_solved(axes: Any, reached: np.ndarray, facts: dict[str, Any]) -> None:
    epochs = np.concatenate([[0], reached, [facts["epochs"]]])
    share = np.concatenate([[0], np.arange(1, reached.size + 1), [reached.size]]) / facts["restarts"]
    chosen = np.unique(np.linspace(0, epochs.size - 1, 2000).astype(int))
    axes.step(epochs[chosen], 100 * share[chosen], where="post", color=BLUE, linewidth=2)
    axes.fill_between(epochs[chosen], 100 * share[chosen], step="post", color=BLUE, alpha=0.12)
    half = np.median(reached)
    axes.axvline(half, color=GREY, linewidth=1, linestyle=":")
    axes.text(half, 3, f" half of them by epoch {half:,.0f}", color=GREY, fontsize=9)
    end = min(facts["epochs"], 1.3 * float(np.percentile(reached, SOON)))
    last = 100 * share[np.searchsorted(epochs[1:], end, side="right")]
    axes.text(0.98 * end, last + 1.5, f"{last:.1f} % by epoch {end:,.0f}", ha="right", fontsize=9)
    axes.set(xlim=(0, end), ylim=(0, 100), xlabel="epochs", ylabel="restarts solved, %")
    axes.set_title(f"solved: mean loss at most {facts['stop_at_loss']}", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
