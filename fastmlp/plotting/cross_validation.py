"""The pictures of cross-validations, learning curves and permutation tests."""

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
    """The pictures of a `CrossValidation`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> ax = fastmlp.cross_validate(arch, X, y, cv=3, n_seeds=10, **settings).plot.scores("accuracy")
    """

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


class LearningCurveResult(Protocol):
    """The attributes of `fastmlp.LearningCurve` that pictures need."""

    @property
    def train_sizes(self) -> np.ndarray: ...

    @property
    def scores(self) -> dict[str, np.ndarray]: ...

    @property
    def train_scores(self) -> dict[str, np.ndarray]: ...


class LearningCurvePlots:
    """The pictures of a `LearningCurve`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> found = fastmlp.learning_curve(arch, X, y, train_sizes=[10, 40], cv=3, n_seeds=10, **settings)
    >>> ax = found.plot.scores("accuracy")
    """

    def __init__(self, found: LearningCurveResult) -> None:
        self._found = found

    def scores(self, metric: str | None = None, ax: Any = None) -> Any:
        """Median scores by the number of samples to train on, and the middle half of the nets; held out and trained on.

        Parameters
        ----------
        metric : str, optional
            Default: the last one.
        ax : matplotlib Axes, optional
        """
        name = [*self._found.scores][-1] if metric is None else metric
        held_out = choose("metric", name, self._found.scores)
        ax = axes_or_new(ax)
        sizes = self._found.train_sizes
        for values, color, label in (
            (held_out, BLUE, "held-out samples"),
            (self._found.train_scores[name], ORANGE, "samples to train on"),
        ):
            rows = [one[np.isfinite(one)] for one in values]
            low, middle, high = np.array(
                [np.quantile(row, (0.25, 0.5, 0.75)) if row.size else [np.nan] * 3 for row in rows]
            ).T
            ax.fill_between(sizes, low, high, color=color, alpha=0.2, linewidth=0)
            ax.plot(sizes, middle, color=color, marker="o", markersize=4, label=label)
        ax.set(xlabel="samples to train on", ylabel=name.replace("_", " "))
        n_folds, n_seeds = held_out.shape[1:]
        ax.set_title(f"medians and middle half of {n_folds} folds, {n_seeds:,} seeds", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
        without_frame(ax)
        return ax


class PermutationTestResult(Protocol):
    """The attributes of `fastmlp.PermutationTest` that pictures need."""

    @property
    def metric(self) -> str: ...

    @property
    def score(self) -> float: ...

    @property
    def permuted_scores(self) -> np.ndarray: ...

    @property
    def p_value(self) -> float: ...


class PermutationTestPlots:
    """The pictures of a `PermutationTest`; each takes the axes to draw on, and returns them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> ax = fastmlp.permutation_test(arch, X, y, n_permutations=19, n_seeds=2, **settings).plot.scores()
    """

    def __init__(self, found: PermutationTestResult) -> None:
        self._found = found

    def scores(self, ax: Any = None) -> Any:
        """The scores with shuffled targets as a histogram, and that with the right ones as a line.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        """
        found, ax = self._found, axes_or_new(ax)
        finite = found.permuted_scores[np.isfinite(found.permuted_scores)]
        bins = np.histogram_bin_edges(finite, "auto") if finite.size else 10
        ax.hist(finite, bins=bins, color=BLUE, alpha=0.6, label=f"{found.permuted_scores.size:,} shuffled targets")
        ax.axvline(found.score, color=ORANGE, linewidth=2, label=f"the targets themselves, p = {found.p_value:.3g}")
        ax.set(xlabel=found.metric.replace("_", " "), ylabel="permutations")
        ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.18), ncols=2)
        without_frame(ax)
        return ax
