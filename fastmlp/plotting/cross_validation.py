"""The pictures of `cross_validation.plot`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastmlp._check_values import choose
from fastmlp.plotting.style import BLUE, ORANGE, axes_or_new, without_frame


class CrossValidationResult(Protocol):
    """The attributes of `fastmlp.CrossValidation` that pictures need."""

    @property
    def scores(self) -> dict[str, np.ndarray]: ...

    @property
    def ensemble(self) -> dict[str, np.ndarray]: ...


class CrossValidationPlots:
    """The pictures of a `CrossValidation`; each takes the axes to draw on, and returns them."""

    def __init__(self, found: CrossValidationResult) -> None:
        self._found = found

    def scores(self, metric: str | None = None, ax: Any = None) -> Any:
        """Every net's score, fold by fold, with the fold's median and the score of the mean of all seeds' outputs.

        Parameters
        ----------
        metric : str, optional
            Default: the last one.
        ax : matplotlib Axes, optional
        """
        name = [*self._found.scores][-1] if metric is None else metric
        values = choose("metric", name, self._found.scores)
        ax = axes_or_new(ax)
        spread = 0.3 * (np.arange(values.shape[1]) / max(1, values.shape[1] - 1) - 0.5)
        for fold, own in enumerate(values):
            ax.scatter(
                fold + spread, own, s=12, color=BLUE, alpha=0.5, linewidths=0, label="nets" if not fold else None
            )
            middle = np.nanmedian(own) if np.isfinite(own).any() else np.nan
            ax.plot([fold - 0.25, fold + 0.25], [middle] * 2, color="black", label="median" if not fold else None)
        together = self._found.ensemble.get(name)
        if together is not None:
            ax.scatter(
                range(len(values)),
                together,
                marker="D",
                s=30,
                color=ORANGE,
                label="mean of all seeds' outputs",
                zorder=3,
            )
        ax.set_xticks(range(len(values)))
        ax.set(xlabel="fold", ylabel=name.replace("_", " "))
        ax.set_title(f"{len(values)} folds, {values.shape[1]:,} seeds", fontsize=10)
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        without_frame(ax)
        return ax
