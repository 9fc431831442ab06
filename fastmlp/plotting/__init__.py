"""Pictures of many nets: `runs.plot.…` and `sweep.plot.…`. Needs matplotlib (extra ``plot``).

Every picture is drawn on axes that are given, or on new ones of pyplot's, and returns them. Colours are those of the
palette for colour-blind readers of Okabe and Ito (2008), areas those of viridis and cividis.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._engine.unit_statistics import inspected
from fastmlp._kernels.formulas import LOSSES
from fastmlp.training import train

if TYPE_CHECKING:
    from fastmlp.diagnosis import Diagnosis
    from fastmlp.runs import Runs
    from fastmlp.sweeping import Sweep

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b6f76"
SKY_BLUE = "#56B4E9"  # seen on dark blue
SHOWN = 200  # points of a curve
NETS_A_BLOCK = 4096
LABELLED, MOST_LABELS = 1.0, 6  # peaks of a histogram that have a label: at least so many %
NEAR_PLATEAU = 0.01  # of a histogram's width
SHADES = 40  # of an animation: a .gif has 256 colours a frame, and the markers need theirs
GRID = 200  # points a side of a decision boundary
# matplotlib's page loads its buttons' icons from elsewhere: these stand in for them
ICONS = (
    "<style>.fa { font-style: normal } .fa-minus::before { content: '−' } .fa-plus::before { content: '+' } "
    ".fa-fast-backward::before { content: '|◀◀' } .fa-step-backward::before { content: '|◀' } "
    ".fa-reverse::before, .fa-play.fa-flip-horizontal::before { content: '▶' } .fa-pause::before { content: '‖' } "
    ".fa-play::before { content: '▶' } .fa-step-forward::before { content: '▶|' } "
    ".fa-fast-forward::before { content: '▶▶|' } .fa-flip-horizontal { display: inline-block; transform: scaleX(-1) }"
    "</style>"
)
MARGIN = 0.25  # of the samples' extent, around them
LOSS_NAMES = {
    "bce": "mean cross-entropy, nats", "cross_entropy": "mean cross-entropy, nats", "mse": "mean squared error",
    "poisson": "half the Poisson deviance",
}  # fmt: skip


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]


def _plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)


class RunsPlots:
    """The pictures of `runs.plot`; each takes the axes to draw on, and returns them."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    @property
    def _loss_name(self) -> str:
        runs = self._runs
        return LOSS_NAMES[runs.settings.get("loss") or runs.architecture.default_loss]

    def fan(self, ax: Any = None) -> Any:
        """Losses over the epochs: the median of all nets, and where half and nine tenths of them are.

        Needs curves: train with ``record_every``. A net that has stopped counts with its last loss.
        """
        runs = self._runs
        if runs.history is None:
            raise ValueError("there are no curves to draw: train with record_every=…")
        every = runs.settings["record_every"]
        epochs = every * np.arange(runs.history.shape[1])
        shown = np.unique(np.linspace(0, len(epochs) - 1, SHOWN).astype(int))
        curves = np.empty((len(runs), len(shown)), runs.history.dtype)
        for first in range(0, len(runs), NETS_A_BLOCK):
            block = slice(first, first + NETS_A_BLOCK)
            curves[block] = _carried_on(runs.history[block])[:, shown]
        low, quarter, middle, three, high = np.array(
            [np.nanpercentile(column, (5, 25, 50, 75, 95)) for column in curves.T.astype(np.float64)]
        ).T
        ax = _axes(ax)
        ax.fill_between(epochs[shown], low, high, color=BLUE, alpha=0.15, linewidth=0, label="nine tenths of the nets")
        ax.fill_between(epochs[shown], quarter, three, color=BLUE, alpha=0.3, linewidth=0, label="half of them")
        ax.plot(epochs[shown], middle, color=BLUE, linewidth=2, label="median")
        ax.set(xlabel="epochs", ylabel=f"loss ({self._loss_name})", xlim=(0, max(1, epochs[-1])), ylim=(0, None))
        ax.set_title(f"{len(runs):,} nets", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        _plain(ax)
        return ax

    def losses(self, diagnosis: Diagnosis | None = None, ax: Any = None) -> Any:
        """A histogram of the final losses; with a diagnosis of these nets the plateaus are named."""
        runs = self._runs
        finite = runs.loss[np.isfinite(runs.loss)]
        if not finite.size:
            raise ValueError("no net has a finite loss: lower the learning rate")
        ax = _axes(ax)
        named: dict[float, str] = {}
        if diagnosis is not None and diagnosis.plateaus:
            for plateau in diagnosis.plateaus:
                if np.isfinite(plateau.loss):
                    before = named.get(round(plateau.loss, 4))
                    text = plateau.name.split(": ", 1)[-1]
                    named[round(plateau.loss, 4)] = f"{before} or {text.split(' at ')[-1]}" if before else text
        draw_losses(ax, finite, named, self._loss_name)
        ax.set_title("where the losses end", fontsize=10)
        return ax

    def boundary(self, X: Any, y: Any, which: int | str = "mean", ax: Any = None) -> Any:
        """The output over the plane of two inputs, with the samples, and the line where it is 1/2.

        Parameters
        ----------
        X, y : array_like
            The samples, of two features; classes 0 and 1.
        which : int, "mean" or "spread", default "mean"
            One net by its place in `runs`, the mean of all, or their standard deviation.
        ax : matplotlib Axes, optional
        """
        samples, classes = self._plane(X, y)
        first, second, points = _grid(samples)
        field, title = self._field(points, which)
        ax = _axes(ax)
        spread = which == "spread"
        shape = len(second), len(first)
        picture = ax.pcolormesh(
            first, second, field.reshape(shape), cmap="viridis" if spread else "cividis", vmin=0,
            vmax=None if spread else 1, shading="nearest", rasterized=True,
        )  # fmt: skip
        label = "standard deviation of the output over the nets" if spread else "output: probability of class 1"
        ax.figure.colorbar(picture, ax=ax, label=label)
        if not spread and field.min() < 0.5 < field.max():
            ax.contour(first, second, field.reshape(shape), [0.5], colors="white", linewidths=1.5)
        _samples(ax, samples, classes)
        ax.set(xlabel="first input", ylabel="second input")
        ax.set_title(title, fontsize=10)
        return ax

    def dead_units(self, X: Any, y: Any, ax: Any = None) -> Any:
        """The share of each hidden layer's units silent on all samples: its mean, and nine tenths of the nets."""
        runs = self._runs
        architecture, dtype = runs.architecture, runs.parameters.dtype
        if architecture.n_layers < 2:
            raise ValueError("the nets have no hidden layer")
        loss = runs.settings.get("loss") or architecture.default_loss
        samples = checks.inputs(X, architecture, dtype)
        code = LOSSES[architecture.activations[-1]][loss]
        targets = checks.targets(y, architecture, code, len(samples), dtype)
        facts = inspected(architecture, loss, runs.parameters, samples, targets)
        shares = 100 * facts.silent[:, :-1] / np.array(architecture.sizes[1:-1])
        depth = np.arange(1, shares.shape[1] + 1)
        low, high = np.percentile(shares, (5, 95), axis=0)
        mean = shares.mean(axis=0)
        ax = _axes(ax)
        ax.bar(depth, mean, width=0.6, color=BLUE)
        reach = np.stack([np.maximum(mean - low, 0), np.maximum(high - mean, 0)])
        ax.errorbar(depth, mean, reach, fmt="none", ecolor=GREY, capsize=4, label="nine tenths of the nets")
        ax.set(ylim=(0, 100), xlabel="hidden layer, from the inputs", ylabel="dead units, % of the layer")
        ax.set_xticks(depth)
        ax.set_title(f"units silent on all samples, {len(runs):,} nets", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        _plain(ax)
        return ax

    def animate(
        self,
        X: Any,
        y: Any,
        path: str | Path,
        *,
        which: int | str = "mean",
        frames: int = 40,
        frames_a_second: int = 10,
    ) -> Path:
        """The decision boundary while the nets train, as a file: .gif, .html (with its pictures in it), or .mp4.

        The nets are trained again, frame by frame, from the same seeds: they must have a record of their settings, and
        no schedule, validation or stopping rules. An .mp4 needs ffmpeg.

        Parameters
        ----------
        X, y : array_like
            The samples that they were trained on, of two features; classes 0 and 1.
        path : path
            The file to write.
        which : int, "mean" or "spread", default "mean"
            As for `boundary`.
        frames : int, default 40
            Pictures, the untrained nets' first; early epochs get more of them.
        frames_a_second : int, default 10

        Returns
        -------
        Path
        """
        from matplotlib import colormaps
        from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
        from matplotlib.figure import Figure

        path = Path(path)
        writer = choose("the ending of path", path.suffix, {".gif": PillowWriter, ".html": None, ".mp4": FFMpegWriter})
        if path.suffix == ".mp4" and not FFMpegWriter.isAvailable():
            raise ValueError(f"{path}: an .mp4 needs the program ffmpeg: install it, or write a .gif or .html")
        count = checks.whole_number("frames", frames, 2)
        samples, classes = self._plane(X, y)
        first, second, points = _grid(samples, GRID // 2)
        steps = self._steps(X, y, count, None if isinstance(which, str) else which)
        figure = Figure(figsize=(5, 4.4), layout="constrained")
        ax = figure.subplots()
        shape, fields = (len(second), len(first)), []
        for epoch, runs in steps:
            field = RunsPlots(runs)._field(points, which if isinstance(which, str) else 0)[0]
            fields.append((epoch, field.reshape(shape), float(np.nanmean(runs.loss))))
        top = 1.0 if which != "spread" else max(float(field.max()) for _, field, _ in fields)
        picture = ax.pcolormesh(
            first, second, fields[0][1], vmin=0, vmax=top, shading="nearest",
            cmap=colormaps["viridis" if which == "spread" else "cividis"].resampled(SHADES),
        )  # fmt: skip
        figure.colorbar(picture, ax=ax, label="standard deviation" if which == "spread" else "output")
        _samples(ax, samples, classes)
        ax.set(xlabel="first input", ylabel="second input")
        lines: list[Any] = []

        def draw(number: int) -> list[Any]:
            epoch, field, loss = fields[number]
            picture.set_array(field)
            while lines:
                lines.pop().remove()
            if which != "spread" and field.min() < 0.5 < field.max():
                lines.append(ax.contour(first, second, field, [0.5], colors="white", linewidths=1.5))
            ax.set_title(f"after {epoch:,} epochs, mean loss {loss:.4f}", fontsize=10)
            return [picture]

        movie = FuncAnimation(figure, draw, frames=len(fields), interval=1000 / frames_a_second)
        if writer is None:
            page = movie.to_jshtml(fps=frames_a_second, embed_frames=True, default_mode="loop")
            path.write_text(re.sub(r"<link[^>]*>", ICONS, page), encoding="utf-8")
        else:
            movie.save(path, writer=writer(fps=frames_a_second), dpi=100)
        return path

    def _steps(self, X: Any, y: Any, frames: int, which: int | None) -> list[tuple[int, Runs]]:
        """The nets after more and more epochs, by training on from one to the next."""
        runs = self._runs if which is None else self._runs[[which]]
        call = runs.call
        if call is None:
            raise ValueError("animate trains the nets again, and these have no record of how they were trained")
        asked = [
            name
            for name in ("schedule", "validation", "target_loss", "target_accuracy", "patience")
            if call[name] is not None
        ]
        if asked:
            raise ValueError(f"animate trains in steps, which does not go with {', '.join(asked)}")
        total = call["epochs"]
        epochs = np.unique(np.round(total * np.linspace(0, 1, frames) ** 2).astype(int))
        own = {k: v for k, v in call.settings.items() if k != "init"}
        now = train(
            X=X, y=y, net_ids=runs.net_ids, seed=runs.seed, keep_state=True,
            **{**call.settings, "epochs": 0},
        )  # fmt: skip
        steps = [(0, now)]
        for before, after in pairwise(epochs):
            now = train(X=X, y=y, warm_start=now, keep_state=True, **{**own, "epochs": int(after - before)})
            steps.append((int(after), now))
        return steps

    def _plane(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        architecture = self._runs.architecture
        if architecture.sizes[0] != 2 or architecture.sizes[-1] > 2:
            raise ValueError(
                f"a plane needs nets of 2 inputs and one class against another, these are {architecture.sizes}"
            )
        samples = checks.inputs(X, architecture, np.dtype(np.float64))
        classes = checks.real_array("y", y)
        if classes.ndim == 2:
            classes = classes[:, -1]
        if len(classes) != len(samples):
            raise ValueError(f"y has {len(classes)} samples, X has {len(samples)}: both need the same number")
        return samples, classes

    def _field(self, points: np.ndarray, which: int | str) -> tuple[np.ndarray, str]:
        runs = self._runs
        sizes = "-".join(map(str, runs.architecture.sizes))
        if not isinstance(which, str):
            number = checks.whole_number("which", which, 0, len(runs) - 1)
            net = runs[number]
            return net.predict(points)[:, -1].astype(float), f"net {number} of {sizes}, loss {net.loss:.4f}"
        choose("which", which, {"mean": None, "spread": None})
        mean = runs.predict(points, reduce="mean")[:, -1]
        if which == "mean":
            return mean, f"mean of {len(runs):,} nets {sizes}"
        squares = np.zeros(len(points))
        block = max(1, 2**24 // len(points))
        for first in range(0, len(runs), block):
            outputs = runs[first : first + block].predict(points)[:, :, -1]
            squares += ((outputs - mean) ** 2).sum(axis=0, dtype=np.float64)
        return np.sqrt(squares / len(runs)), f"spread of {len(runs):,} nets {sizes}"


class SweepPlots:
    """The pictures of `sweep.plot`."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep

    def success_map(self, x: str, y: str, ax: Any = None) -> Any:
        """The share of nets solved over two settings that were swept, the best of what else differs.

        Parameters
        ----------
        x, y : str
            Names of settings in the grid, such as "learning_rate".
        ax : matplotlib Axes, optional
        """
        table = self._sweep.table
        swept = {name[6:]: name for name in table if name.startswith("param_")}
        columns = [_labels(table[choose(axis, name, swept)]) for axis, name in (("x", x), ("y", y))]
        if x == y:
            raise ValueError(f"x and y are both {x!r}: needs two settings")
        (names, across), (others, up) = columns
        shares = np.full((len(others), len(names)), np.nan)
        for column, row, share in zip(across, up, table["success_rate"], strict=True):
            shares[row, column] = np.fmax(shares[row, column], 100 * share)
        ax = _axes(ax)
        picture = ax.imshow(shares, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=100)
        ax.figure.colorbar(picture, ax=ax, label="nets solved, %")
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                ax.text(
                    column, row, f"{share:.0f}", ha="center", va="center", fontsize=8,
                    color="black" if share > 50 else "white",
                )  # fmt: skip
        ax.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 6 else 0)
        ax.set_yticks(range(len(others)), others)
        ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
        rest = len(swept) - 2
        ax.set_title(
            f"{self._sweep.loss.shape[1]:,} seeds each" + ("; of the other settings the best" if rest else ""),
            fontsize=10,
        )
        return ax


def _labels(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    from fastmlp.sweeping import shown

    if values.dtype != object:
        found, where = np.unique(values, return_inverse=True)
        short = [f"{value:g}" for value in found]
        return short if len(set(short)) == len(short) else [str(value) for value in found], where
    texts = [shown(value) for value in values]
    order = list(dict.fromkeys(texts))
    return order, np.array([order.index(text) for text in texts])


def draw_losses(ax: Any, losses: np.ndarray, named: dict[float, str], loss_name: str) -> None:
    """A histogram of finite losses, its peaks labelled with their shares, and with their names where they have one."""
    top = max(float(np.percentile(losses, 99.5)), *(1.1 * at for at in named), 1e-12)
    counts, edges = np.histogram(losses, np.linspace(0, top, 81))
    shares = 100 * counts / losses.size
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
        here = losses[(losses >= low) & (losses <= high)]
        place = float(np.median(here)) if level is None else level
        if not name and any(abs(place - other) < 0.05 * top for other in labelled):
            continue
        labelled.append(place)
        reach = float(shares[(edges[1:] >= low) & (edges[:-1] <= high)].max(initial=0.0))
        text = f"{100 * here.size / losses.size:.3g} % at {place:.4f}{name}"
        ax.text(place, reach + 0.03 * height, text, rotation=90, ha="center", va="bottom", fontsize=7)
    beyond = float((losses > top).mean())
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
    _plain(ax)


def _carried_on(curves: np.ndarray) -> np.ndarray:
    """Curves (n, k) in which a net that has stopped keeps its last loss."""
    seen = np.where(np.isnan(curves), 0, np.arange(curves.shape[1]))
    return np.take_along_axis(curves, np.maximum.accumulate(seen, axis=1), axis=1)


def _grid(samples: np.ndarray, side: int = GRID) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two axes and all points of a plane around the samples."""
    low, high = samples.min(axis=0), samples.max(axis=0)
    room = MARGIN * np.where(high > low, high - low, 1.0)
    first, second = (np.linspace(low[k] - room[k], high[k] + room[k], side) for k in range(2))
    return first, second, np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)


def _samples(ax: Any, samples: np.ndarray, classes: np.ndarray) -> None:
    few = len(samples) <= 50
    for value, marker, color in ((0, "o", SKY_BLUE), (1, "^", ORANGE)):
        own = samples[classes == value]
        ax.scatter(
            own[:, 0], own[:, 1], marker=marker, s=70 if few else 14, color=color, edgecolors="black",
            linewidths=1.2 if few else 0.5, label=f"class {value}", zorder=3,
        )  # fmt: skip
    ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2, frameon=False)
