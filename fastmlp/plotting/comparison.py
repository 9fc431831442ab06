"""The pictures of `comparison.plot`."""

from __future__ import annotations

from typing import Any, Protocol

from fastmlp.plotting.style import BLUE, ORANGE, axes_or_new, without_frame


class ComparisonResult(Protocol):
    """The attributes of `fastmlp.Comparison` that pictures need."""

    @property
    def names(self) -> tuple[str, str]: ...

    @property
    def scores(self) -> tuple[dict[str, Any], dict[str, Any]]: ...

    @property
    def difference(self) -> dict[str, Any]: ...

    @property
    def confidence(self) -> float: ...


class ComparisonPlots:
    """The pictures of a `Comparison`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> rng = np.random.default_rng(0)
    >>> found = fastmlp.compare(rng.normal(0.91, 0.01, 50), rng.normal(0.90, 0.01, 50), names=("new", "old"))
    >>> ax = found.plot.intervals()
    """

    def __init__(self, found: ComparisonResult) -> None:
        self._found = found

    def intervals(self, ax: Any = None) -> Any:
        """The mean, median and interquartile mean of both, with their intervals.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        """
        found, ax = self._found, axes_or_new(ax)
        for place, (name, values, color) in enumerate(zip(found.names, found.scores, (BLUE, ORANGE), strict=True)):
            _draw(ax, values, 0.12 - 0.24 * place, color, name)
        self._finish(ax, "score")
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        return ax

    def difference(self, ax: Any = None) -> Any:
        """The differences of these, with their intervals, and a line at 0.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        """
        found, ax = self._found, axes_or_new(ax)
        _draw(ax, found.difference, 0.0, "black", None)
        ax.axvline(0, color="gray", linewidth=1, linestyle=":")
        self._finish(ax, f"{found.names[0]} − {found.names[1]}")
        return ax

    def _finish(self, ax: Any, label: str) -> None:
        names = [*self._found.difference]
        ax.set_yticks([-k for k in range(len(names))], names)
        ax.set(xlabel=label, ylim=(0.5 - len(names), 0.5))
        ax.set_title(f"{100 * self._found.confidence:g}% intervals", fontsize=10)
        without_frame(ax)


def _draw(ax: Any, values: dict[str, Any], shift: float, color: str, name: str | None) -> None:
    for k, interval in enumerate(values.values()):
        ax.plot([interval.low, interval.high], [shift - k] * 2, color=color, linewidth=2)
        ax.plot(interval.estimate, shift - k, "o", color=color, markersize=5, label=name if k == 0 else None)
