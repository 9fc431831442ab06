"""`MLPSearchCV`: the results of scikit-learn's searches over the same estimators, from common runs."""

import gc
import pickle
import unittest
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
import joblib
import scipy.sparse
import scipy.stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, RandomizedSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastmlp import MLPClassifier, MLPRegressor, MLPSearchCV
from fastmlp.estimators import _together

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning"),
    pytest.mark.filterwarnings("ignore:.*restarts diverged:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning"),
]

DATA = {
    load.__name__[5:]: load(return_X_y=True) for load in (load_breast_cancer, load_wine, load_digits, load_diabetes)
}
DATA["diabetes"] = DATA["diabetes"][0], scale(DATA["diabetes"][1])
GRID = {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-2], "hidden_layer_sizes": [(10,), (5,)]}
SETTINGS = {
    "plain": {},
    "early stopping": {"early_stopping": True, "solver": "sgd", "n_restarts": 3},
    "average": {"combine": "average", "n_restarts": 2, "batch_size": 50, "dropout": 0.1},
    "schedules": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 1e-2},
    "one by one": {"solver": "sgd", "learning_rate": "invscaling", "bootstrap": True},
    "unshuffled": {"shuffle": False, "solver": "rmsprop"},
}
CHECKS = [
    pair
    for estimator in (MLPClassifier((5,), max_iter=60), MLPRegressor(hidden_layer_sizes=(5,), max_iter=60))
    for pair in estimator_checks_generator(
        MLPSearchCV(
            estimator.set_params(random_state=0, learning_rate_init=0.03),
            {"alpha": [1e-4, 1e-2]},
            cv=2,
            error_score="raise",
        )
    )
]


def estimator_for(name, **settings):
    kind = MLPRegressor if name == "diabetes" else MLPClassifier
    return kind(**{"hidden_layer_sizes": (10,), "max_iter": 12, "random_state": 0, **settings})


def assert_same_results(ours, theirs):
    """All scores, ranks and parameters are equal; times are not."""
    assert [name for name in ours.cv_results_ if "time" not in name] == [
        name for name in theirs.cv_results_ if "time" not in name
    ]
    for name, values in theirs.cv_results_.items():
        if "_test_" in name or "_train_" in name:
            np.testing.assert_allclose(ours.cv_results_[name], values, rtol=0, atol=1e-12, err_msg=name)
        elif name == "params":
            assert ours.cv_results_[name] == values


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("settings", SETTINGS)
def test_scores_are_those_of_grid_search(name, settings):
    X, y = scale(DATA[name][0]), DATA[name][1]
    estimator = estimator_for(name, **SETTINGS[settings])
    ours = MLPSearchCV(estimator, GRID, cv=3).fit(X, y)
    theirs = GridSearchCV(estimator, GRID, cv=3).fit(X, y)
    assert_same_results(ours, theirs)
    assert ours.best_params_ == theirs.best_params_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, abs=1e-12)
    assert (ours.predict(X) == theirs.predict(X)).all()
    assert ours.score(X, y) == theirs.score(X, y)
    assert type(ours.best_estimator_) is type(estimator)


@pytest.mark.parametrize(
    "pair", CHECKS, ids=lambda pair: f"{pair[0].estimator}-{getattr(pair[1], 'func', pair[1]).__name__}"
)
def test_scikit_learns_checks_of_meta_estimators(pair):
    estimator, check = pair
    try:
        check(estimator)
    except unittest.SkipTest as reason:
        pytest.skip(str(reason))


def test_nets_of_many_fits_share_a_run(monkeypatch):
    runs = []
    train = _together._train_at_once
    monkeypatch.setattr(
        _together, "_train_at_once", lambda members, *rest: runs.append(len(members)) or train(members, *rest)
    )
    MLPSearchCV(estimator_for("wine"), GRID, cv=3, refit=False).fit(*DATA["wine"])
    assert runs == [12, 12]  # one for each size, of 4 settings and 3 folds


def test_labels_weights_groups_frames_and_sparse_inputs():
    pandas = pytest.importorskip("pandas")
    X, y = scale(DATA["wine"][0]), np.array(["red", "white", "rosé"])[DATA["wine"][1]]
    weights, groups = np.linspace(0.5, 2, len(X)), np.arange(len(X)) % 7
    frame = pandas.DataFrame(X, columns=[f"x{k}" for k in range(X.shape[1])])
    grid = {"alpha": [1e-4, 1.0], "class_weight": [None, "balanced"]}
    for given, fit, cv in (
        (X, {"sample_weight": weights}, 3),
        (X, {"groups": groups}, GroupKFold(3)),
        (frame, {}, ShuffleSplit(3, random_state=0)),
        (scipy.sparse.csr_matrix(X), {}, 3),
    ):
        estimator = estimator_for("wine", early_stopping=True)
        ours = MLPSearchCV(estimator, grid, cv=cv).fit(given, y, **fit)
        assert_same_results(ours, GridSearchCV(estimator, grid, cv=cv).fit(given, y, **fit))
        assert ours.classes_.tolist() == ["red", "rosé", "white"]
    assert MLPSearchCV(estimator_for("wine"), grid, cv=3).fit(frame, y).feature_names_in_.tolist() == list(frame)


def test_a_fold_without_a_class():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    cv = [(np.flatnonzero(y < 2), np.flatnonzero(y == 2)), (np.arange(0, 178, 2), np.arange(1, 178, 2))]
    estimator = estimator_for("wine")
    assert_same_results(MLPSearchCV(estimator, GRID, cv=cv).fit(X, y), GridSearchCV(estimator, GRID, cv=cv).fit(X, y))


def test_several_outputs_and_scores():
    X, y = scale(DATA["diabetes"][0]), np.column_stack([DATA["diabetes"][1], DATA["diabetes"][1] ** 2])
    scoring = {"r2": "r2", "error": make_scorer(mean_absolute_error, greater_is_better=False)}
    how = {"scoring": scoring, "refit": "error", "return_train_score": True, "cv": 2}
    estimator = estimator_for("diabetes")
    ours, theirs = (kind(estimator, GRID, **how).fit(X, y) for kind in (MLPSearchCV, GridSearchCV))
    assert_same_results(ours, theirs)
    assert ours.multimetric_
    assert ours.best_params_ == theirs.best_params_
    labels = (y > y.mean(axis=0)).astype(int)
    estimator = estimator_for("wine")
    ours, theirs = (kind(estimator, GRID, cv=2).fit(X, labels) for kind in (MLPSearchCV, GridSearchCV))
    assert_same_results(ours, theirs)
    ours, theirs = (
        kind(estimator, GRID, cv=2, return_train_score=True, scoring="neg_log_loss").fit(X, labels[:, 0])
        for kind in (MLPSearchCV, GridSearchCV)
    )
    assert_same_results(ours, theirs)


def test_settings_can_be_drawn():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    distributions = {"alpha": scipy.stats.loguniform(1e-5, 1), "hidden_layer_sizes": [(4,), (8,)]}
    ours = MLPSearchCV(estimator_for("wine"), distributions, n_iter=6, random_state=3, cv=2).fit(X, y)
    theirs = RandomizedSearchCV(estimator_for("wine"), distributions, n_iter=6, random_state=3, cv=2).fit(X, y)
    assert_same_results(ours, theirs)
    assert (
        len(MLPSearchCV(estimator_for("wine"), distributions, random_state=3, cv=2).fit(X, y).cv_results_["params"])
        == 10
    )
    assert len(MLPSearchCV(estimator_for("wine"), GRID, n_iter=3, cv=2).fit(X, y).cv_results_["params"]) == 3


def test_fits_that_fail_get_the_error_score():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    grid = {"learning_rate_init": [1e-2, 1e30], "solver": ["sgd", "lbfgs"], "alpha": [1e-4, -1.0]}
    estimator = estimator_for("wine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (kind(estimator, grid, cv=2, error_score=-1.0).fit(X, y) for kind in (MLPSearchCV, GridSearchCV))
    assert_same_results(ours, theirs)
    assert (ours.cv_results_["mean_test_score"] == -1).any()
    with pytest.raises(ValueError, match="'alpha' parameter|non-finite"):
        MLPSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, y)


def test_fits_of_a_common_run_fail_alone():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    for estimator, grid in (
        (estimator_for("wine", dropout=0.2), {"hidden_layer_sizes": [(), (10,)], "alpha": [1e-4, 1.0]}),
        (estimator_for("wine", n_restarts=3), {"alpha": [[1e-4, 1e-3, 1e-2], [1e-4, 1e-3]], "n_restarts": [2, 3]}),
        (estimator_for("wine"), {"n_iter_no_change": [10, 10**8], "alpha": [1e-4, 1.0]}),
        (estimator_for("diabetes"), {"loss": ["squared_error", "poisson"]}),
    ):
        targets = DATA["diabetes"][1] if isinstance(estimator, MLPRegressor) else y
        inputs = DATA["diabetes"][0] if isinstance(estimator, MLPRegressor) else X
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = (
                kind(estimator, grid, cv=2, error_score=-9.0).fit(inputs, targets)
                for kind in (MLPSearchCV, GridSearchCV)
            )
        assert_same_results(ours, theirs)
        assert (ours.cv_results_["mean_test_score"] == -9).any()


class Counting(MLPClassifier):
    """A subclass that does more in `fit` and scores otherwise."""

    def fit(self, X, y):
        super().fit(X, y)
        self.n_weights_ = sum(layer.size for layer in self.coefs_)
        return self

    def score(self, X, y):
        return -float(self.n_weights_)


def test_grids_of_other_parameters_subclasses_and_folds_of_one_class():
    X, y = scale(DATA["breast_cancer"][0]).astype(np.float32)[:150], DATA["breast_cancer"][1][:150]
    for estimator, grid, cv in (
        (estimator_for("wine"), {"n_restarts": [1, 3], "batch_size": [7, 200], "max_iter": [3, 9]}, 2),
        (estimator_for("wine"), {"random_state": [0, 1, np.random.RandomState(3)], "dropout": [0.0, 0.3]}, 2),
        (
            estimator_for("wine", warm_start=True, solver="rprop", batch_size=500),
            {"learning_rate_init": [0.01, 0.1]},
            2,
        ),
        (Counting((3,), max_iter=2, random_state=0), {"hidden_layer_sizes": [(3,), (4,)]}, 2),
        (
            estimator_for("wine"),
            {"alpha": [1e-4, 1.0]},
            [(np.flatnonzero(y == 1).tolist(), [0, 1, 2]), ([*range(90)], [99])],
        ),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours, theirs = (kind(estimator, grid, cv=cv).fit(X, y) for kind in (MLPSearchCV, GridSearchCV))
        assert_same_results(ours, theirs)
        assert [w.tobytes() for w in ours.best_estimator_.coefs_] == [
            w.tobytes() for w in theirs.best_estimator_.coefs_
        ]


def test_scorers_that_fit_again_and_backends_of_joblib():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]

    def refitted(estimator, X, y):
        return clone(estimator).set_params(max_iter=3).fit(X, y).score(X, y)

    estimator = estimator_for("wine")
    ours, theirs = (kind(estimator, GRID, cv=2, scoring=refitted).fit(X, y) for kind in (MLPSearchCV, GridSearchCV))
    assert_same_results(ours, theirs)
    with joblib.parallel_config("threading", n_jobs=3):
        assert_same_results(MLPSearchCV(estimator, GRID, cv=2).fit(X, y), GridSearchCV(estimator, GRID, cv=2).fit(X, y))


def test_nothing_of_a_search_is_kept():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    search = MLPSearchCV(estimator_for("wine"), {"alpha": [1e-4, 1.0]}, cv=2, refit=False).fit(X, y)
    del search
    gc.collect()
    kept = [one for one in gc.get_objects() if type(one) is MLPClassifier and hasattr(one, "runs_")]
    fresh = MLPSearchCV(estimator_for("wine"), {"alpha": [1e-4, 1.0]}, cv=2, refit=False).fit(X, y)
    gc.collect()
    now = [one for one in gc.get_objects() if type(one) is MLPClassifier and hasattr(one, "runs_")]
    assert len(now) == len(kept)
    assert fresh.cv_results_["mean_test_score"].shape == (2,)


def test_an_executor_does_not_show():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    here = MLPSearchCV(estimator_for("wine"), GRID, cv=2).fit(X, y)
    with ProcessPoolExecutor(2) as pool:
        there = MLPSearchCV(estimator_for("wine"), GRID, cv=2, executor=pool).fit(X, y)
    assert_same_results(there, here)


def test_parameters_stay_as_they_were_and_results_can_be_pickled():
    X, y = scale(DATA["wine"][0]), DATA["wine"][1]
    estimator, cv = estimator_for("wine", random_state=None), 2
    search = MLPSearchCV(estimator, {"alpha": [1e-4, 1e-2]}, cv=cv)
    before = search.get_params()
    np.random.seed(0)
    search.fit(X, y)
    assert search.get_params() == before
    assert search.estimator is estimator
    assert search.best_estimator_.random_state is None
    again = pickle.loads(pickle.dumps(search))
    assert (again.predict(X) == search.predict(X)).all()
    assert clone(search).get_params()["cv"] == cv
    assert search.cv_results_["mean_fit_time"].min() > 0
    assert not hasattr(MLPSearchCV(estimator, GRID, cv=2, refit=False).fit(X, y), "best_estimator_")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MLPSearchCV(make_pipeline(StandardScaler(), MLPClassifier()), GRID),
            "use scikit-learn's GridSearchCV",
        ),
        (lambda: MLPSearchCV(MLPClassifier(), {"alpha": 1.0}), "Parameter grid for parameter 'alpha'"),
        (lambda: MLPSearchCV(MLPClassifier(), GRID, n_iter=0), "n_iter=0"),
        (lambda: MLPSearchCV(MLPClassifier(), GRID, scoring=["accuracy", "f1_macro"]), "multi-metric"),
        (lambda: MLPSearchCV(MLPClassifier(), GRID, scoring="speed"), "speed"),
        (lambda: MLPSearchCV(MLPClassifier(), GRID, executor=3), "executor"),
        (lambda: MLPSearchCV(MLPClassifier(), {"speed": [1]}, error_score="raise"), "Invalid parameter 'speed'"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(*DATA["wine"])
