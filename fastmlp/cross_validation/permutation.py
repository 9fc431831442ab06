"""`permutation_test`: whether nets score better than nets that are trained on shuffled targets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._splits import Fold, folds_of
from fastmlp.architecture import Architecture
from fastmlp.cross_validation.fold import refuse_other_samples
from fastmlp.cross_validation.study import Study
from fastmlp.runs import Runs
from fastmlp.scoring import LOWER_IS_BETTER, METRICS
from fastmlp.training import train

if TYPE_CHECKING:
    from fastmlp.plotting import PermutationTestPlots

MOST_TARGETS = 2**24  # numbers that are laid out at once, classes one-hot


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """The results of `permutation_test`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = (X[:, 0] > X[:, 1]).astype(int)
    >>> arch, settings = fastmlp.Architecture((3, 4, 1)), {"optimizer": fastmlp.Adam(0.05), "epochs": 50}
    >>> found = fastmlp.permutation_test(arch, X, y, n_permutations=19, n_seeds=2, **settings)
    >>> found.metric, found.permuted_scores.shape, found.p_value
    ('accuracy', (19,), 0.05)
    """

    metric: str
    score: float
    """The mean score of all folds and seeds, without nets that diverged and folds that lack a class."""
    permuted_scores: np.ndarray
    """That of nets trained on shuffled targets, (n_permutations,)."""
    p_value: float
    """(1 + the number of shuffled targets with a score at least as good) / (1 + n_permutations)."""

    @property
    def plot(self) -> PermutationTestPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import PermutationTestPlots

        return PermutationTestPlots(self)

    def __str__(self) -> str:
        low, high = np.nanmin(self.permuted_scores), np.nanmax(self.permuted_scores)
        return (
            f"{self.metric} {self.score:.4g}; with shuffled targets {low:.4g} to {high:.4g} in "
            f"{len(self.permuted_scores):,} permutations: p = {self.p_value:.3g}"
        )

    def __repr__(self) -> str:
        return f"PermutationTest({self})"


def permutation_test(  # noqa: PLR0913
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: Any = None,
    n_permutations: int = 100,
    n_seeds: int = 5,
    seed: int = 0,
    metric: str | None = None,
    sample_weight: Any = None,
    threads: int | None = None,
    **settings: Any,
) -> PermutationTest:
    """Test whether nets find a relation between X and y: compare their scores with those on shuffled targets.

    The nets of all permutations, folds and seeds are trained in common runs.

    Parameters
    ----------
    architecture, X, y
        As for `train`, X of shape (n_samples, n_inputs).
    cv, groups, n_seeds, seed, sample_weight, threads
        As for `cross_validate`. Targets are shuffled within groups, if they are given. Folds that go by the classes
        are drawn anew for shuffled ones.
    n_permutations : int, default 100
        The least p-value is 1 / (1 + n_permutations).
    metric : str, optional
        One of those of `Runs.evaluate`; by default the accuracy for classes and "r2" for numbers.
    **settings
        Settings of `train`.

    Returns
    -------
    PermutationTest

    Raises
    ------
    ValueError, TypeError
        For invalid input, before any training.

    References
    ----------
    Ojala and Garriga, Permutation tests for studying classifier performance, JMLR 2010 (test 1).

    Examples
    --------
    >>> import fastmlp, numpy as np
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> y = (X[:, 0] + X[:, 1] > 0).astype(int)
    >>> found = fastmlp.permutation_test(fastmlp.Architecture((2, 4, 1)), X, y, n_permutations=99, epochs=50,
    ...                                  optimizer=fastmlp.Adam(0.03))
    >>> found.p_value
    0.01
    """
    study = Study.of("permutation_test", architecture, X, y, n_seeds, seed, sample_weight, threads, settings)
    count = checks.whole_number("n_permutations", n_permutations, 1, 2**31)
    name = metric if metric is not None else study.metrics(None)[-1]
    choose("metric", name, dict.fromkeys(METRICS))
    generator, places = np.random.RandomState(study.seed % 2**32), np.arange(study.n_samples)
    orders = [places, *(_shuffled(places, groups, generator) for _ in range(count))]
    folds_of_order = []
    if not callable(getattr(cv, "split", None)) and isinstance(cv, Iterable):
        cv = list(cv)  # it is gone through for each order
    for order in orders:
        folds = folds_of(cv, study.data._replace(y=study.data.y[order]), groups, architecture)
        folds_of_order.append(folds)
    for k, (rows, held) in enumerate(folds_of_order[0]):
        refuse_other_samples(k, rows, held, study.call, study.data, [name])
    numbers = study.n_samples * architecture.sizes[-1] * len(folds_of_order[0]) * study.n_seeds
    at_once = max(1, MOST_TARGETS // numbers)
    scores = [
        value
        for first in range(0, len(orders), at_once)
        for value in _scores(study, orders[first : first + at_once], folds_of_order[first : first + at_once], name)
    ]
    sign = -1.0 if name in LOWER_IS_BETTER else 1.0
    permuted = np.array(scores[1:])
    # a score that is not a number counts as good, so that it cannot make a finding
    as_good = int(np.count_nonzero(~(sign * permuted < sign * scores[0])))
    return PermutationTest(name, scores[0], permuted, (1 + as_good) / (1 + count))


def _shuffled(places: np.ndarray, groups: Any, generator: np.random.RandomState) -> np.ndarray:
    """The samples whose targets are taken, shuffled within groups."""
    if groups is None:
        return generator.permutation(places)
    labels, order = np.asarray(groups), places.copy()
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        order[own] = generator.permutation(own)
    return order


def _scores(study: Study, orders: list[np.ndarray], folds: list[list[Fold]], name: str) -> list[float]:
    """The mean score of each order of the targets."""
    n_folds = len(folds[0])
    n_lists = len(orders) * n_folds
    rows_of, ids = np.repeat(np.arange(n_lists), study.n_seeds), np.tile(np.arange(study.n_seeds), n_lists)
    call = study.call if study.call.never_change else study.call.of(ids)
    data, targets = study.data, study.data.y
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    own = np.repeat(np.array([targets[order] for order in orders]), n_folds * study.n_seeds, axis=0)
    asked = {**call.as_keywords(), "sample_weight": data.sample_weight, "validation": data.validation}
    asked |= {"rows": [rows for of_order in folds for rows, _ in of_order], "rows_of": rows_of}
    runs: Runs = train(X=data.X, y=own, net_ids=ids, seed=study.seed, threads=study.threads, **asked)
    held = [test for of_order in folds for _, test in of_order]
    scores = runs.evaluate(
        data.X, own, rows=held, rows_of=rows_of, sample_weight=data.sample_weight, metrics=name, threads=study.threads
    )[name]
    finite = [part[np.isfinite(part)] for part in np.split(scores, len(orders))]
    return [float(part.mean()) if part.size else float("nan") for part in finite]
