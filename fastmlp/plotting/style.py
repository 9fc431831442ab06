"""The common style of pictures: colours, axes, names of losses, histogram of final losses, samples in a plane.

Lines have the colours of Okabe and Ito (2008), for colour-blind readers; areas those of viridis and cividis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b6f76"
SKY_BLUE = "#56B4E9"  # visible on dark blue
LABELLED, MOST_LABELS = 1.0, 6  # peaks of a histogram that have a label: at least this many %
NEAR_PLATEAU = 0.01  # of a histogram's width
LOSS_NAMES = {
    "bce": "mean cross-entropy, nats",
    "cross_entropy": "mean cross-entropy, nats",
    "mse": "mean squared error",
    "poisson": "half the Poisson deviance",
}


def axes_or_new(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def without_frame(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)


def draw_losses(
    ax: Any, losses: np.ndarray, named: dict[float, str], loss_name: str, nets: np.ndarray | None = None
) -> None:
    """Draw a histogram of finite losses; its peaks are labelled with their shares, and their names if known.

    With `nets`, there are as many of each loss, and the losses rise.
    """
    nets = np.ones(losses.size, np.int64) if nets is None else nets
    n_nets = int(nets.sum())
    top = max(_percentile(losses, nets, 99.5), *(1.1 * at for at in named), 1e-12)
    counts, edges = np.histogram(losses, np.linspace(0, top, 81), weights=nets)
    shares = 100 * counts / n_nets
    ax.stairs(shares, edges, fill=True, color=BLUE)
    height = max(float(shares.max()), 1.0)
    ax.set(
        xlim=(-0.03 * top, 1.03 * top),
        ylim=(0, 1.9 * height),
        xlabel=f"final loss ({loss_name})",
        ylabel="share of nets, %",
    )
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 1.1 * height])
    ax.set_ylim(0, 1.9 * height)
    labelled: list[float] = []
    peaks = [(edges[k], edges[k + 1], None, "") for k in np.argsort(-shares) if shares[k] >= LABELLED]
    near = NEAR_PLATEAU * top
    plateaus = [(at - near, at + near, at, f": {name}") for at, name in sorted(named.items())]
    for low, high, level, name in (*plateaus, *peaks[:MOST_LABELS]):
        inside = (losses >= low) & (losses <= high)
        place = _percentile(losses[inside], nets[inside], 50) if level is None else level
        if not name and any(abs(place - other) < 0.05 * top for other in labelled):
            continue
        labelled.append(place)
        reach = float(shares[(edges[1:] >= low) & (edges[:-1] <= high)].max(initial=0.0))
        text = f"{100 * int(nets[inside].sum()) / n_nets:.3g} % at {place:.4f}{name}"
        ax.text(place, reach + 0.03 * height, text, rotation=90, ha="center", va="bottom", fontsize=7)
    beyond = int(nets[losses > top].sum()) / n_nets
    if beyond:
        ax.text(
            0.99,
            0.97,
            f"{100 * beyond:.3g} % beyond",
            transform=ax.transAxes,
            ha="right",
            va="top",
            fontsize=7,
            color=GREY,
        )
    without_frame(ax)


def _percentile(losses: np.ndarray, nets: np.ndarray, share: float) -> float:
    """As `numpy.percentile`, of which it takes single losses where they are counted in bins."""
    if losses.size == int(nets.sum()):
        return float(np.percentile(losses, share))
    return float(losses[np.searchsorted(np.cumsum(nets), share / 100 * int(nets.sum()))])


def draw_samples(ax: Any, samples: np.ndarray, classes: np.ndarray) -> None:
    few = len(samples) <= 50
    for value, marker, color in ((0, "o", SKY_BLUE), (1, "^", ORANGE)):
        own = samples[classes == value]
        ax.scatter(
            own[:, 0],
            own[:, 1],
            marker=marker,
            s=70 if few else 14,
            color=color,
            edgecolors="black",
            linewidths=1.2 if few else 0.5,
            label=f"class {value}",
            zorder=3,
        )
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2, frameon=False)
