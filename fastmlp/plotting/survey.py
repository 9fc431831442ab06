"""The pictures of `survey.plot`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastmlp.plotting.style import BLUE, GREY, LOSS_NAMES, axes_or_new, draw_losses, without_frame


class Counts(Protocol):
    """Numbers counted in bins."""

    def table(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The least and the greatest number of each bin, and how many there are in it."""


class SurveySummary(Protocol):
    """What pictures need of a summary."""

    @property
    def losses(self) -> Counts: ...

    @property
    def epochs(self) -> dict[str, Any]: ...


class SurveyResult(Protocol):
    """The attributes of `fastmlp.Survey` that pictures need."""

    @property
    def summary(self) -> SurveySummary: ...

    @property
    def loss_name(self) -> str: ...

    @property
    def n_solved(self) -> int: ...

    def __len__(self) -> int: ...


class SurveyPlots:
    """The pictures of `survey.plot`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> found = fastmlp.survey(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=10_000, optimizer=fastmlp.SGD(0.5), epochs=500,
    ...     target_loss=0.1,
    ... )
    >>> ax = found.plot.losses()
    """

    def __init__(self, survey: SurveyResult) -> None:
        self._survey = survey

    def losses(self, ax: Any = None) -> Any:
        """A histogram of final losses, from their counts in bins."""
        low, high, nets = self._survey.summary.losses.table()
        finite = np.isfinite(high)
        if not finite.any():
            raise ValueError("no net has a finite loss: lower the learning rate")
        ax = axes_or_new(ax)
        draw_losses(ax, (low / 2 + high / 2)[finite], {}, LOSS_NAMES[self._survey.loss_name], nets[finite])
        ax.set_title(f"final losses of {len(self._survey):,} nets", fontsize=10)
        return ax

    def solved(self, ax: Any = None) -> Any:
        """The share of all nets that had solved the task over epochs, from the counts of the solved nets' epochs.

        A net counts from the epoch it ended at; without a target, all of them end at the last.
        """
        survey = self._survey
        if not survey.n_solved:
            raise ValueError("no net is solved, so that there is nothing to draw")
        low, _, nets = survey.summary.epochs["solved"].table()
        shares = 100 * np.cumsum(nets) / len(survey)
        ax = axes_or_new(ax)
        ax.step(np.r_[0, low], np.r_[0, shares], where="post", color=BLUE, linewidth=2)
        ax.axhline(shares[-1], color=GREY, linewidth=0.8, linestyle=":")
        ax.set(xlabel="epochs", ylabel="solved, % of all nets", xlim=(0, 1.02 * max(1, low[-1])), ylim=(0, 100))
        ax.set_title(f"{survey.n_solved:,} of {len(survey):,} nets are solved", fontsize=10)
        without_frame(ax)
        return ax
