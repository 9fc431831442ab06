"""`cross_validate`: train many seeds on each fold, and score them on the samples that the fold leaves out.

`learning_curve` and `permutation_test` do so with parts of each fold's samples, and with shuffled targets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._splits import Fold, folds_of
from fastmlp._tables import html_table, text_table
from fastmlp.architecture import Architecture
from fastmlp.cross_validation.fold import FoldResult, keywords
from fastmlp.cross_validation.learning import LearningCurve, learning_curve
from fastmlp.cross_validation.permutation import PermutationTest, permutation_test
from fastmlp.cross_validation.study import Study
from fastmlp.distributing.data import Data
from fastmlp.runs import Runs, Status
from fastmlp.settings import TrainSettings
from fastmlp.training import train

__all__ = [
    "CrossValidation",
    "LearningCurve",
    "PermutationTest",
    "cross_validate",
    "learning_curve",
    "permutation_test",
]

if TYPE_CHECKING:
    from fastmlp.plotting import CrossValidationPlots


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The results of `cross_validate`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> found = fastmlp.cross_validate(arch, X, y, cv=3, n_seeds=10, **settings)
    >>> sorted(found.scores), found.scores["accuracy"].shape, found.ensemble["accuracy"].shape
    (['accuracy', 'loss'], (3, 10), (3,))
    >>> len(found.train(fold=0))  # its nets again
    10
    """

    scores: dict[str, np.ndarray]
    """By the metrics' names, the score of each net on the samples that its fold leaves out, (n_folds, n_seeds)."""
    ensemble: dict[str, np.ndarray]
    """The scores of the mean of all seeds' outputs, (n_folds,); all metrics but the loss. Nets that diverged are left
    out of the mean."""
    out_of_fold: np.ndarray
    """(n_samples, n_outputs), float64: the mean output of the nets that were not trained on a sample, over the folds
    that leave it out, without nets that diverged; NaN for a sample that no fold leaves out."""
    folds: list[Fold]
    """The samples of each fold, to train on and to score on."""
    status: np.ndarray
    """The `Status` of each net, (n_folds, n_seeds)."""
    epochs: np.ndarray
    """(n_folds, n_seeds)"""
    _call: TrainSettings = field(repr=False)
    _data: Data = field(repr=False)
    _seed: int = field(repr=False)

    def train(self, fold: int, **changes: Any) -> Runs:
        """Train the nets of one fold again, to the same bits; `changes` are settings of `train` that differ."""
        number = checks.whole_number("fold", fold, 0, len(self.folds) - 1)
        rows = self.folds[number][0]
        asked = {
            **keywords(self._call, self._data, rows),
            "n_nets": self.status.shape[1],
            "seed": self._seed,
            **changes,
        }
        return train(X=self._data.X[rows], y=self._data.y[rows], **asked)

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row for each net of each fold."""
        import pandas as pd

        return pd.DataFrame(self._columns())

    def to_polars(self) -> Any:
        """The same as a polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self._columns())

    @property
    def plot(self) -> CrossValidationPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import CrossValidationPlots

        return CrossValidationPlots(self)

    def _columns(self) -> dict[str, Any]:
        folds, seeds = np.indices(self.status.shape)
        return {
            "fold": folds.ravel(),
            "net_id": seeds.ravel(),
            "status": [Status(code).name.lower() for code in self.status.ravel()],
            "epochs": self.epochs.ravel(),
            **{name: values.ravel() for name, values in self.scores.items()},
        }

    def _rows(self) -> list[list[str]]:
        rows = [["metric", "mean", "between folds", "between seeds", "mean of all seeds' outputs"]]
        for name, values in self.scores.items():
            together = self.ensemble.get(name)
            between = _spread(np.array([_mean(own) for own in values]))
            within = np.sqrt(_mean(np.array([_spread(own) ** 2 for own in values])))
            mean = "" if together is None else f"{_mean(together):.4g}"
            rows.append([name, f"{_mean(values):.4g}", f"± {between:.2g}", f"± {within:.2g}", mean])
        return rows

    @property
    def _caption(self) -> str:
        lost = int((self.status == Status.DIVERGED).sum())
        left_out = f", {lost:,} of {self.status.size:,} nets diverged and are left out" if lost else ""
        return f"CrossValidation({len(self.folds)} folds x {self.status.shape[1]:,} seeds{left_out})"

    def __str__(self) -> str:
        return f"{self._caption}\n{text_table(self._rows())}"

    def __repr__(self) -> str:
        return self._caption

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        heading, *rows = self._rows()
        return html_table(self._caption, heading, rows)


def cross_validate(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: Any = None,
    n_seeds: int = 20,
    seed: int = 0,
    metrics: Any = None,
    sample_weight: Any = None,
    threads: int | None = None,
    executor: Any = None,
    **settings: Any,
) -> CrossValidation:
    """Train many seeds on each fold of a cross-validation, and score every net on the samples that its fold leaves out.

    Each net has the bits that `train` gives it on the samples of its fold.

    Parameters
    ----------
    architecture, X, y
        As for `train`, X of shape (n_samples, n_inputs).
    cv : int, splitter of scikit-learn, or iterable of (train, test), default 5
        A number of folds: in the order of the samples, stratified if y holds classes, as scikit-learn has it (extra
        ``sklearn``). An iterable gives for each fold the numbers, or masks, of the samples to train and to score on.
    groups : array_like of shape (n_samples,), optional
        For splitters that keep groups together.
    n_seeds : int, default 20
        Nets for each fold: those with the numbers 0 … n_seeds − 1.
    seed : int, default 0
    metrics : str, function, or list of such, optional
        As for `Runs.evaluate`.
    sample_weight : array_like of shape (n_samples,), optional
        For training and scores.
    threads : int, optional
        Threads; with `executor`, those of each fold (default 1).
    executor : optional
        What trains the folds in place of this process, as for `survey`; the results are the same.
    **settings
        Settings of `train`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError, TypeError
        For invalid input, before any training.

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> y = (X[:, 0] * X[:, 1] > 0).astype(int)
    >>> found = fastmlp.cross_validate(fastmlp.Architecture((2, 8, 1)), X, y, cv=4, n_seeds=50, epochs=300)
    >>> found.scores["accuracy"].shape, found.out_of_fold.shape
    ((4, 50), (100, 1))
    """
    study = Study.of("cross_validate", architecture, X, y, n_seeds, seed, sample_weight, threads, settings)
    folds = folds_of(cv, study.data, groups, architecture)
    results = study.trained(folds, study.metrics(metrics), executor)
    return CrossValidation(
        scores={name: np.array([one.scores[name] for one in results]) for name in results[0].scores},
        ensemble={name: np.array([one.ensemble[name] for one in results]) for name in results[0].ensemble},
        out_of_fold=_averaged(folds, results, study.n_samples, architecture.sizes[-1]),
        folds=folds,
        status=np.array([one.status for one in results]),
        epochs=np.array([one.epochs for one in results]),
        _call=study.call,
        _data=study.data,
        _seed=study.seed,
    )


def _averaged(folds: list[Fold], results: list[FoldResult], n_samples: int, n_outputs: int) -> np.ndarray:
    total, times = np.zeros((n_samples, n_outputs)), np.zeros((n_samples, 1))
    for (_, rows), result in zip(folds, results, strict=True):
        np.add.at(total, rows, result.outputs)
        np.add.at(times, rows, 1)
    with np.errstate(invalid="ignore"):
        return total / times


def _mean(values: np.ndarray) -> float:
    """The mean of the finite numbers; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _spread(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std()) if finite.size else float("nan")
