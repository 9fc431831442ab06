"""The pictures of `runs.plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.trained_nets import Train, TrainedNets
from fastmlp._engine.unit_statistics import inspected
from fastmlp._kernels.formulas.losses import LOSSES
from fastmlp.diagnosis import Diagnosis
from fastmlp.plotting.animation import write_animation
from fastmlp.plotting.planes import checked_plane, outputs_over, plane
from fastmlp.plotting.style import BLUE, GREY, LOSS_NAMES, axes_or_new, draw_losses, draw_samples, without_frame

SHOWN = 200  # most points of a curve
NETS_A_BLOCK = 4096


class RunsPlots:
    """The pictures of `runs.plot`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, epochs=200, record_every=10)
    >>> ax = runs.plot.fan()
    >>> ax.figure.savefig("losses.png")  # doctest: +SKIP
    """

    def __init__(self, runs: TrainedNets, train: Train) -> None:
        """Draw pictures of `runs`; some of them train nets again with `train`, which is `fastmlp.train`."""
        self.runs, self.train = runs, train

    @property
    def _loss_name(self) -> str:
        runs = self.runs
        return LOSS_NAMES[runs.settings.get("loss") or runs.architecture.default_loss]

    def fan(self, ax: Any = None) -> Any:
        """Losses over epochs: the median of all nets, and the ranges of half and of nine tenths of them.

        Train with ``record_every`` to have loss curves. A net that has stopped counts with its last loss.
        """
        runs = self.runs
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
        ax = axes_or_new(ax)
        ax.fill_between(epochs[shown], low, high, color=BLUE, alpha=0.15, linewidth=0, label="nine tenths of the nets")
        ax.fill_between(epochs[shown], quarter, three, color=BLUE, alpha=0.3, linewidth=0, label="half of them")
        ax.plot(epochs[shown], middle, color=BLUE, linewidth=2, label="median")
        ax.set(xlabel="epochs", ylabel=f"loss ({self._loss_name})", xlim=(0, max(1, epochs[-1])), ylim=(0, None))
        ax.set_title(f"{len(runs):,} nets", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        without_frame(ax)
        return ax

    def losses(self, diagnosis: Diagnosis | None = None, ax: Any = None) -> Any:
        """A histogram of final losses; with a diagnosis of these nets its plateaus are labelled."""
        runs = self.runs
        finite = runs.loss[np.isfinite(runs.loss)]
        if not finite.size:
            raise ValueError("no net has a finite loss: lower the learning rate")
        ax = axes_or_new(ax)
        named: dict[float, str] = {}
        if diagnosis is not None and diagnosis.plateaus:
            for plateau in diagnosis.plateaus:
                if np.isfinite(plateau.loss):
                    before = named.get(round(plateau.loss, 4))
                    text = plateau.name.split(": ", 1)[-1]
                    named[round(plateau.loss, 4)] = f"{before} or {text.split(' at ')[-1]}" if before else text
        draw_losses(ax, finite, named, self._loss_name)
        ax.set_title("final losses", fontsize=10)
        return ax

    def boundary(self, X: Any, y: Any, which: int | str = "mean", ax: Any = None) -> Any:
        """The output over the plane of two inputs, with the samples and the line of output 1/2.

        Parameters
        ----------
        X, y : array_like
            The samples, of two features; classes 0 and 1.
        which : int, "mean" or "spread", default "mean"
            One net by its place in `runs`, the mean of all, or their standard deviation.
        ax : matplotlib Axes, optional
        """
        samples, classes = checked_plane(self.runs, X, y)
        first, second, points = plane(samples)
        field, title = outputs_over(self.runs, points, which)
        ax = axes_or_new(ax)
        spread = which == "spread"
        shape = len(second), len(first)
        picture = ax.pcolormesh(
            first,
            second,
            field.reshape(shape),
            cmap="viridis" if spread else "cividis",
            vmin=0,
            vmax=None if spread else 1,
            shading="nearest",
            rasterized=True,
        )
        label = "standard deviation of the output over the nets" if spread else "output: probability of class 1"
        ax.figure.colorbar(picture, ax=ax, label=label)
        if not spread and field.min() < 0.5 < field.max():
            ax.contour(first, second, field.reshape(shape), [0.5], colors="white", linewidths=1.5)
        draw_samples(ax, samples, classes)
        ax.set(xlabel="first input", ylabel="second input")
        ax.set_title(title, fontsize=10)
        return ax

    def dead_units(self, X: Any, y: Any, ax: Any = None) -> Any:
        """The share of each hidden layer's units that are silent on all samples: mean and range of nine tenths."""
        runs = self.runs
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
        ax = axes_or_new(ax)
        ax.bar(depth, mean, width=0.6, color=BLUE)
        reach = np.stack([np.maximum(mean - low, 0), np.maximum(high - mean, 0)])
        ax.errorbar(depth, mean, reach, fmt="none", ecolor=GREY, capsize=4, label="nine tenths of the nets")
        ax.set(ylim=(0, 100), xlabel="hidden layer, from the inputs", ylabel="dead units, % of the layer")
        ax.set_xticks(depth)
        ax.set_title(f"units silent on all samples, {len(runs):,} nets", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        without_frame(ax)
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
        """Write an animation of the decision boundary during training: .gif, .html (self-contained), or .mp4.

        The nets are trained again, frame by frame, from the same seeds. They must have a record of their settings,
        without a schedule, validation data or stopping rules. An .mp4 needs ffmpeg.

        Parameters
        ----------
        X, y : array_like
            The samples that they were trained on, of two features; classes 0 and 1.
        path : path
            The file to write.
        which : int, "mean" or "spread", default "mean"
            As for `boundary`.
        frames : int, default 40
            Number of frames; the first shows the untrained nets, and early epochs get more frames.
        frames_a_second : int, default 10

        Returns
        -------
        Path
        """
        return write_animation(self.runs, self.train, X, y, Path(path), which, frames, frames_a_second)


def _carried_on(curves: np.ndarray) -> np.ndarray:
    """Fill loss curves (n, k): after a net has stopped, its last loss is repeated."""
    seen = np.where(np.isnan(curves), 0, np.arange(curves.shape[1]))
    return np.take_along_axis(curves, np.maximum.accumulate(seen, axis=1), axis=1)
