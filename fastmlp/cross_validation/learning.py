"""`learning_curve`: scores by the number of samples to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._splits import Fold, folds_of
from fastmlp._tables import html_table, text_table
from fastmlp.architecture import Architecture
from fastmlp.cross_validation.study import Study
from fastmlp.runs import Status

if TYPE_CHECKING:
    from fastmlp.plotting import LearningCurvePlots


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The results of `learning_curve`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> found = fastmlp.learning_curve(arch, X, y, train_sizes=[10, 40], cv=3, n_seeds=10, **settings)
    >>> found.train_sizes, found.scores["accuracy"].shape
    (array([10, 40]), (2, 3, 10))
    >>> few, many = found.scores["accuracy"].mean(axis=(1, 2))
    >>> bool(few < many)
    True
    """

    train_sizes: np.ndarray
    """The numbers of samples, ascending, (n_sizes,)."""
    scores: dict[str, np.ndarray]
    """By the metrics' names, the score of each net on the samples that its fold leaves out, (n_sizes, n_folds,
    n_seeds)."""
    train_scores: dict[str, np.ndarray]
    """The same on the samples that the net was trained on; NaN where these lack a class that the metric needs."""
    status: np.ndarray
    """The `Status` of each net, (n_sizes, n_folds, n_seeds)."""

    @property
    def plot(self) -> LearningCurvePlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import LearningCurvePlots

        return LearningCurvePlots(self)

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each net."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_polars(self) -> Any:
        """The same as a polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self._columns())

    def _columns(self) -> dict[str, Any]:
        sizes, folds, seeds = np.indices(self.status.shape)
        return {
            "train_size": self.train_sizes[sizes.ravel()],
            "fold": folds.ravel(),
            "net_id": seeds.ravel(),
            "status": [Status(code).name.lower() for code in self.status.ravel()],
            **{name: values.ravel() for name, values in self.scores.items()},
            **{f"train_{name}": values.ravel() for name, values in self.train_scores.items()},
        }

    def _rows(self) -> list[list[str]]:
        names = [*self.scores]
        rows = [["samples", *(f"{part} {name}" for name in names for part in ("held out", "trained on"))]]
        for k, size in enumerate(self.train_sizes.tolist()):
            shown = [f"{size:,}"]
            for name in names:
                for values in (self.scores[name][k], self.train_scores[name][k]):
                    finite = values[np.isfinite(values)]
                    shown.append(f"{finite.mean():.4g}" if finite.size else "nan")
            rows.append(shown)
        return rows

    @property
    def _caption(self) -> str:
        n_sizes, n_folds, n_seeds = self.status.shape
        return f"LearningCurve({n_sizes} sizes x {n_folds} folds x {n_seeds:,} seeds)"

    def __str__(self) -> str:
        return f"{self._caption}\n{text_table(self._rows())}"

    def __repr__(self) -> str:
        return self._caption

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        heading, *rows = self._rows()
        return html_table(self._caption, heading, rows)


def learning_curve(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    train_sizes: Any = (0.1, 0.33, 0.55, 0.78, 1.0),
    cv: Any = 5,
    groups: Any = None,
    n_seeds: int = 20,
    seed: int = 0,
    shuffle_samples: bool = True,
    metrics: Any = None,
    sample_weight: Any = None,
    threads: int | None = None,
    executor: Any = None,
    **settings: Any,
) -> LearningCurve:
    """Train many seeds on growing parts of each fold, and score every net on the samples that its fold leaves out.

    All nets are trained in one run. Each has the bits that `train` gives it on its samples.

    Parameters
    ----------
    architecture, X, y
        As for `train`, X of shape (n_samples, n_inputs).
    train_sizes : array_like, default (0.1, 0.33, 0.55, 0.78, 1.0)
        Shares of the samples that the smallest fold trains on, above 0 and up to 1, or their numbers, as for
        scikit-learn's `learning_curve`.
    cv, groups, n_seeds, seed, metrics, sample_weight, threads, executor
        As for `cross_validate`.
    shuffle_samples : bool, default True
        Whether a fold's samples are shuffled, from `seed`, before the first ones of them are taken; otherwise they are
        taken in the order of the fold.
    **settings
        Settings of `train`.

    Returns
    -------
    LearningCurve

    Raises
    ------
    ValueError, TypeError
        For invalid input, before any training.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> curve = fastmlp.learning_curve(fastmlp.Architecture((2, 8, 1)), X, y, cv=4, epochs=300,
    ...                                optimizer=fastmlp.Adam(0.03))
    >>> curve.train_sizes.tolist(), curve.scores["accuracy"].shape
    ([15, 49, 82, 117, 150], (5, 4, 20))
    >>> medians = np.median(curve.scores["accuracy"], axis=(1, 2))
    >>> bool(medians[0] < medians[-1])
    True
    """
    study = Study.of("learning_curve", architecture, X, y, n_seeds, seed, sample_weight, threads, settings)
    if not isinstance(shuffle_samples, (bool, np.bool_)):
        raise TypeError(f"shuffle_samples={shuffle_samples!r}: needs True or False")
    folds = folds_of(cv, study.data, groups, architecture)
    sizes = _sizes(train_sizes, min(len(rows) for rows, _ in folds))
    if shuffle_samples:
        generator = np.random.RandomState(study.seed % 2**32)
        folds = [(generator.permutation(rows), held) for rows, held in folds]
    parts: list[Fold] = [(rows[:size], held) for size in sizes for rows, held in folds]
    results = study.trained(parts, study.metrics(metrics), executor, on_own=True, n_folds=len(folds))
    shape = len(sizes), len(folds), study.n_seeds
    return LearningCurve(
        np.array(sizes),
        {name: np.array([one.scores[name] for one in results]).reshape(shape) for name in results[0].scores},
        {name: np.array([one.own_scores[name] for one in results]).reshape(shape) for name in results[0].own_scores},
        np.array([one.status for one in results]).reshape(shape),
    )


def _sizes(given: Any, most: int) -> list[int]:
    """Numbers of samples, ascending."""
    sizes = checks.real_array("train_sizes", given)
    if sizes.ndim != 1 or not sizes.size:
        raise ValueError(f"train_sizes={given!r}: needs a row of shares or of numbers of samples")
    if sizes.dtype.kind == "f":
        if not ((sizes > 0) & (sizes <= 1)).all():
            raise ValueError(f"train_sizes={given!r}: shares need to be above 0 and at most 1; numbers whole ones")
        sizes = np.clip((sizes * most).astype(np.int64), 1, most)
    if sizes.dtype.kind == "b" or sizes.min() < 1 or sizes.max() > most:
        raise ValueError(
            f"train_sizes={given!r}: needs numbers of samples from 1 to {most}, which the smallest fold trains on"
        )
    return np.unique(sizes).tolist()
