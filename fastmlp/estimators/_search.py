"""`MLPSearchCV`: scikit-learn's search over parameters, with the nets of all fits trained in common runs."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
from joblib import parallel_config
from sklearn import get_config
from sklearn.base import clone, is_classifier
from sklearn.model_selection import ParameterGrid, ParameterSampler, check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import validate_data

from fastmlp._check_data import whole_number
from fastmlp._engine.predict import predict
from fastmlp.distributing.data import Data
from fastmlp.distributing.dispatcher import run_tasks
from fastmlp.distributing.engines import engine_of
from fastmlp.estimators._base import BaseMLP
from fastmlp.estimators._results import packed
from fastmlp.estimators._together import Call, fitted

DEFAULT_N_ITER = 10
LARGEST_SEED = 2**31 - 1
MOST_OUTPUTS = 2**24  # of many estimators at once
ACCURACY = "_accuracy_on_held_out"  # the attribute of a fitted estimator that the search scores
NO_SAMPLES = Data(np.zeros((0, 0)), np.zeros(0))


class Task(NamedTuple):
    """Calls of `fit` for one worker, with the samples."""

    estimator: BaseMLP
    calls: list[Call]
    X: Any
    y: Any
    given: dict[str, Any]


def fit_task(task: Task, _data: Data) -> list[BaseMLP | Exception]:
    """Do the calls of a task."""
    return fitted(*task)


class MLPSearchCV(BaseSearchCV):
    """Search over parameters of `MLPClassifier` or `MLPRegressor` with cross-validation, much faster than one by one.

    For a fixed `random_state` of the estimator, results are those of scikit-learn's `GridSearchCV` or
    `RandomizedSearchCV` over it. The nets of all settings, folds and restarts whose layers and kind of training are the
    same are trained in one run: learning rates, `alpha`, `tol`, `momentum`, `n_iter_no_change`, and without dropout and
    bootstrap `random_state` can differ in it. Settings that differ in others, such as `max_iter` and `batch_size`, have
    runs of their own; ``solver="lbfgs"``, ``learning_rate="invscaling"`` and subclasses are trained fit by fit. The
    fitted nets of all settings and folds are held until they are scored.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    param_grid : dict or list of dict
        Names of parameters, with lists of values to try; or with distributions, which have a method ``rvs``, such as
        those of ``scipy.stats``.
    n_iter : int, optional
        The number of settings to draw from `param_grid`; by default all are tried, or with distributions 10 drawn.
    scoring : str, callable, list, tuple or dict, optional
        As for `GridSearchCV`; by default the estimator's ``score``.
    refit : bool, str or callable, default True
        Whether to fit the best setting on all samples; with several scores the name of the one that counts.
    cv : int, splitter or iterable, optional
        As for `GridSearchCV`; default 5 folds, stratified for a classifier.
    verbose : int, default 0
    random_state : int, RandomState instance or None, default None
        For the settings that are drawn.
    error_score : "raise" or number, default nan
        The score of a fit that fails.
    return_train_score : bool, default False
    executor : optional
        What trains in place of this process, as for `survey`: an executor of ``concurrent.futures``, a client of Dask,
        and others; one task for each setting.

    Attributes
    ----------
    cv_results_, best_estimator_, best_params_, best_score_, best_index_, refit_time_, scorer_, n_splits_, \
multimetric_, classes_, n_features_in_, feature_names_in_
        As those of `GridSearchCV`. The fits' times are equal shares of the time of all.

    Examples
    --------
    >>> from fastmlp import MLPClassifier, MLPSearchCV
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]] * 25, [0, 1, 1, 0] * 25
    >>> search = MLPSearchCV(MLPClassifier((8,), max_iter=300, n_restarts=10, random_state=0),
    ...                      {"alpha": [1e-4, 10.0], "learning_rate_init": [0.01, 0.03]}, cv=4).fit(X, y)
    >>> search.best_params_["alpha"], float(search.best_score_), search.predict([[0, 1]]).tolist()
    (0.0001, 1.0, [1])
    """

    estimator: Any
    cv: Any

    def __init__(  # noqa: PLR0913
        self,
        estimator: Any,
        param_grid: Any,
        *,
        n_iter: Any = None,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        verbose: Any = 0,
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: Any = False,
        executor: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=1,  # what is left to do fit by fit is to score
            refit=refit,
            cv=cv,
            verbose=verbose,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_grid = param_grid
        self.n_iter = n_iter
        self.random_state = random_state
        self.executor = executor

    def fit(self, X: Any, y: Any = None, **params: Any) -> MLPSearchCV:
        """Fit every setting on every fold, score it, and fit the best one on all samples.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
        **params
            For the estimator's `fit`, such as `sample_weight`, and `groups` for the splitter.

        Returns
        -------
        self
        """
        original, cv = self.estimator, self.cv
        if not isinstance(original, BaseMLP):
            raise TypeError(
                f"estimator is of type {type(original).__name__}: MLPSearchCV needs fastmlp.MLPClassifier or "
                "fastmlp.MLPRegressor; for pipelines and others use scikit-learn's GridSearchCV"
            )
        if y is None:
            raise ValueError("MLPSearchCV requires y to be passed, but the target y is None.")
        if get_config().get("enable_metadata_routing"):
            raise ValueError(
                "MLPSearchCV does not route metadata: use GridSearchCV, or turn enable_metadata_routing off"
            )
        candidates = self._settings_to_try()
        self._get_scorers()  # which refuses those that are not known before anything is trained
        X, y = indexable(X, y)
        splitter = check_cv(cv, y, classifier=is_classifier(original))
        splits = [
            (np.asarray(rows), np.asarray(held)) for rows, held in splitter.split(X, y, groups=params.get("groups"))
        ]
        outcomes, seconds = list[BaseMLP | Exception](), None
        if "_trains_together" in vars(type(original)):  # subclasses are fitted as scikit-learn does
            outcomes, seconds = self._outcomes(candidates, splits, X, y, params)
        try:
            self.estimator, self.cv = _with_outcomes(original, outcomes), splits
            self._candidates = candidates
            with parallel_config("sequential"):  # outcomes are taken in this order, in this process
                super().fit(X, y, **params)
        finally:
            self.estimator, self.cv = original, cv
            self.__dict__.pop("_candidates", None)
            outcomes.clear()
        if self.refit:
            self.best_estimator_.__class__ = type(original)
        if seconds is not None:
            self.cv_results_["mean_fit_time"][:], self.cv_results_["std_fit_time"][:] = seconds, 0.0
        return self

    def _outcomes(
        self, candidates: list[dict[str, Any]], splits: list[Any], X: Any, y: Any, params: dict[str, Any]
    ) -> tuple[list[BaseMLP | Exception], float]:
        """The fitted estimators of all settings and folds, and the seconds that each took on average."""
        count = len(candidates) * len(splits)
        draws = any(one.get("random_state", self.estimator.random_state) is None for one in candidates)
        seeds = iter(np.random.randint(LARGEST_SEED, size=count).tolist() if draws else [0] * count)
        calls = [Call(one, rows, k, next(seeds)) for one in candidates for k, (rows, _) in enumerate(splits)]
        begun = time.perf_counter()
        given = {name: value for name, value in params.items() if name != "groups"}
        outcomes = self._fitted(calls, len(splits), X, y, given)
        seconds = (time.perf_counter() - begun) / max(1, len(calls))
        if self.scoring is None and not self.return_train_score and "sample_weight" not in params:
            _put_accuracies(outcomes, [held for _ in candidates for _, held in splits], X, y)
        return outcomes, seconds

    def _settings_to_try(self) -> list[dict[str, Any]]:
        grids = [self.param_grid] if isinstance(self.param_grid, Mapping) else self.param_grid
        drawn = self.n_iter is not None or any(
            hasattr(values, "rvs") for grid in grids if isinstance(grid, Mapping) for values in grid.values()
        )
        if not drawn:
            return list(ParameterGrid(self.param_grid))
        n_iter = DEFAULT_N_ITER if self.n_iter is None else whole_number("n_iter", self.n_iter, 1)
        return list(ParameterSampler(self.param_grid, n_iter, random_state=self.random_state))

    def _fitted(
        self, calls: list[Call], n_splits: int, X: Any, y: Any, given: dict[str, Any]
    ) -> list[BaseMLP | Exception]:
        estimator = self.estimator
        if self.executor is None:
            return fitted(estimator, calls, X, y, given)
        n_jobs = estimator.n_jobs
        if n_jobs is None:  # workers share the processors
            estimator = clone(estimator).set_params(n_jobs=1)
        with contextlib.closing(engine_of(self.executor)) as engine:
            starts = range(0, len(calls), n_splits)
            came = dict(
                run_tasks(
                    engine,
                    fit_task,
                    starts,
                    lambda start: Task(estimator, calls[start : start + n_splits], X, y, given),
                    NO_SAMPLES,
                    threads=None,
                    named=lambda start: f"setting {start // n_splits}",
                )
            )
        outcomes = [outcome for start in starts for outcome in came[start]]
        for outcome, call in zip(outcomes, calls, strict=True):
            if not isinstance(outcome, Exception) and "n_jobs" not in call.parameters:
                outcome.n_jobs = n_jobs
        return outcomes

    def _run_search(self, evaluate_candidates: Any) -> None:
        evaluate_candidates(self._candidates)


def _put_accuracies(outcomes: list[BaseMLP | Exception], held: list[np.ndarray], X: Any, y: Any) -> None:
    """Note the accuracies of classifiers whose best nets predict labels, for many of them at once."""
    if hasattr(X, "toarray") or np.ndim(y) != 1:
        return
    same = defaultdict[Hashable, list[int]](list)
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Exception) or not is_classifier(outcome):
            continue
        if (outcome.combine == "best" or len(outcome.runs_) == 1) and len(outcome.classes_) > 1:
            kind = outcome.runs_.architecture, outcome.coefs_[0].dtype, outcome.classes_.tobytes()
            same[(*kind, held[place].tobytes())].append(place)
    for places in same.values():
        several: list[Any] = [outcomes[place] for place in places]
        with contextlib.suppress(Exception):  # which scikit-learn's own scoring then reports
            _put_accuracies_of(several, _safe_indexing(X, held[places[0]]), _safe_indexing(y, held[places[0]]))


def _put_accuracies_of(several: list[Any], X: Any, y: Any) -> None:
    """Note the accuracies of estimators of one kind on the same samples."""
    first = several[0]
    inputs = validate_data(first, X, reset=False).astype(first.coefs_[0].dtype)
    at_once = max(1, MOST_OUTPUTS // (len(inputs) * first.n_outputs_))
    for start in range(0, len(several), at_once):
        some = several[start : start + at_once]
        nets = np.array([packed(one.coefs_, one.intercepts_) for one in some])
        outputs = predict(first.runs_.architecture, nets, inputs, first._threads())
        chosen = (outputs[:, :, 0] > 0.5).astype(np.intp) if first.n_outputs_ == 1 else outputs.argmax(axis=2)
        right = first.classes_[chosen] == np.asarray(y)
        for one, accuracy in zip(some, right.mean(axis=1).tolist(), strict=True):
            one.__dict__[ACCURACY] = accuracy


def _with_outcomes(estimator: BaseMLP, outcomes: list[BaseMLP | Exception]) -> BaseMLP:
    """An estimator whose clones take the outcomes of their calls of `fit`, in the order of the calls.

    scikit-learn clones it for each setting and fold, and then once more for all samples, which is fitted as usual.
    """
    kind: Any = type(estimator)
    left = iter(range(len(outcomes)))

    def as_usual(self: BaseMLP) -> tuple[Any, ...]:
        """Of pickles, in which it is an ordinary estimator."""
        return object.__new__, (kind,), self.__getstate__()

    def score(self: BaseMLP, X: Any, y: Any, sample_weight: Any = None) -> float:
        known = self.__dict__.get(ACCURACY)
        return kind.score(self, X, y, sample_weight) if known is None else known

    def plain_clone(self: BaseMLP) -> BaseMLP:
        """Of scorers that fit it again."""
        return clone(kind(**self.get_params(deep=False)))

    common = {"__reduce__": as_usual, "__module__": kind.__module__}
    done = type(kind.__name__, (kind,), common | {"score": score, "__sklearn_clone__": plain_clone})

    def fit(self: BaseMLP, *args: Any, **given: Any) -> BaseMLP:
        place = next(left, None)
        if place is None:
            self.__class__ = kind
            return self.fit(*args, **given)
        outcome = outcomes[place]
        if isinstance(outcome, Exception):
            raise outcome
        self.__dict__.update(outcome.__dict__)
        self.__class__ = done
        return self

    def cheap_clone(self: BaseMLP) -> BaseMLP:
        """A clone that shares the parameters, except for generators."""
        parameters = self.get_params(deep=False)
        random_state = parameters.pop("random_state")
        return type(self)(**parameters | {"random_state": clone(random_state, safe=False)})

    ready = type(kind.__name__, (kind,), common | {"fit": fit, "__sklearn_clone__": cheap_clone})
    return ready(**estimator.get_params(deep=False))
