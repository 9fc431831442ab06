"""The estimators: scikit-learn's own behaviour where it has one, and what goes beyond it."""

import concurrent.futures
import gc
import multiprocessing
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
import joblib
import scipy.sparse
import sklearn
import sklearn.neural_network as theirs
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import estimator_checks_generator

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp._engine.processors import available_threads
from fastmlp.estimators import _base, _results
from fastmlp.estimators._random import Orders

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning"),  # an old scikit-learn's use of SciPy
]

IRIS, SPECIES = load_iris(return_X_y=True)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True)
PROGRESSION = (PROGRESSION - PROGRESSION.mean()) / PROGRESSION.std()
VERSION = tuple(map(int, sklearn.__version__.split(".")[:2]))
HAS_SAMPLE_WEIGHT = VERSION >= (1, 7)

ESTIMATORS = [MLPClassifier(), MLPClassifier(n_restarts=3), MLPRegressor(), MLPRegressor(n_restarts=3)]
CHECKS = [pair for estimator in ESTIMATORS for pair in estimator_checks_generator(estimator)]


def name_of(pair):
    estimator, check = pair
    return f"{estimator}-{getattr(check, 'func', check).__name__}"


@pytest.mark.parametrize("pair", CHECKS, ids=name_of)
def test_scikit_learns_checks_of_estimators(pair):
    estimator, check = pair
    try:
        check(estimator)
    except pytest.skip.Exception:
        raise
    except Exception as error:
        if type(error).__name__ == "SkipTest":
            pytest.skip(str(error))
        raise


# before, scikit-learn's early stopping could not do with labels that are strings
LABELS = np.array(["setosa", "versicolor", "virginica"])[SPECIES] if VERSION >= (1, 9) else SPECIES
PROBLEMS = {
    "two classes": ("MLPClassifier", IRIS[:100] + np.random.default_rng(0).normal(size=(100, 4)), SPECIES[:100]),
    "three classes": ("MLPClassifier", IRIS, LABELS),
    "several labels": ("MLPClassifier", *make_multilabel_classification(150, 6, random_state=0)),
    "regression": ("MLPRegressor", DIABETES, PROGRESSION),
    "several outputs": ("MLPRegressor", DIABETES, np.c_[PROGRESSION, PROGRESSION**2]),
}
SETTINGS = [
    {"solver": "adam"},
    {"solver": "adam", "shuffle": False, "batch_size": 32, "activation": "tanh"},
    {"solver": "adam", "early_stopping": True, "n_iter_no_change": 5},
    {"solver": "sgd", "shuffle": False},
    {"solver": "sgd", "batch_size": 40, "alpha": 0.1, "activation": "logistic"},
    {"solver": "sgd", "learning_rate": "invscaling", "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 3, "tol": 0.01},
    {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True, "n_iter_no_change": 2, "momentum": 0.0},
]


def assert_same(ours, other):
    """The same nets but for rounding."""
    assert ours.n_iter_ == other.n_iter_
    assert ours.t_ == other.t_
    assert ours.loss_curve_ == pytest.approx(other.loss_curve_, rel=1e-8)
    for name in ("coefs_", "intercepts_"):
        for own, their in zip(getattr(ours, name), getattr(other, name), strict=True):
            assert np.abs(own - their).max() <= 1e-8 * np.abs(their).max()
    for name in ("validation_scores_", "best_validation_score_", "best_loss_"):
        value = getattr(other, name)
        assert getattr(ours, name) == (None if value is None else pytest.approx(value, rel=1e-8))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_same_random_state_gives_scikit_learns_nets(problem, settings):
    kind, X, y = PROBLEMS[problem]
    settings = {
        "hidden_layer_sizes": (12, 7),
        "max_iter": 50,
        "learning_rate_init": 0.01,
        "random_state": 3,
        **settings,
    }
    weights = {"sample_weight": np.random.default_rng(1).uniform(0.5, 2, len(X))}
    ours, other = getattr(fastmlp, kind)(**settings), getattr(theirs, kind)(**settings)
    for how in [{}, weights] if HAS_SAMPLE_WEIGHT else [{}]:
        assert_same(ours.fit(X, y, **how), other.fit(X, y, **how))
    assert ours.predict(X).shape == other.predict(X).shape
    assert ours.score(X, y) == pytest.approx(other.score(X, y), rel=1e-8)


@pytest.mark.parametrize("settings", [{"solver": "sgd", "learning_rate": "invscaling"}, {"solver": "adam"}], ids=str)
@pytest.mark.parametrize("problem", ["three classes", "regression"])
def test_going_on_is_as_in_scikit_learn(problem, settings):
    kind, X, y = PROBLEMS[problem]
    settings = {"hidden_layer_sizes": (9,), "learning_rate_init": 0.01, "max_iter": 12, **settings}
    first = {"classes": np.unique(y)} if kind == "MLPClassifier" else {}
    for seed in (5, np.random.RandomState(5)):
        ours, other = (
            getattr(module, kind)(random_state=pickle.loads(pickle.dumps(seed)), **settings)
            for module in (fastmlp, theirs)
        )
        for _ in range(15):
            ours.partial_fit(X, y, **first)
            other.partial_fit(X, y, **first)
        assert_same(ours, other)
        ours.set_params(warm_start=True)
        other.set_params(warm_start=True)
        for _ in range(3):
            ours.fit(X, y)
            other.fit(X, y)
        assert_same(ours, other)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_lbfgs_minimizes_as_scikit_learns(problem):
    kind, X, y = PROBLEMS[problem]
    settings = {"hidden_layer_sizes": (8,), "solver": "lbfgs", "max_iter": 8, "random_state": 0}
    ours, other = (getattr(module, kind)(**settings).fit(X, y) for module in (fastmlp, theirs))
    assert ours.n_iter_ == other.n_iter_ == 8
    assert ours.loss_ == pytest.approx(other.loss_, rel=1e-6)
    restarts = getattr(fastmlp, kind)(**settings, n_restarts=4).fit(X, y)
    assert restarts.runs_.loss[0] == ours.loss_
    assert restarts.loss_ == restarts.runs_.loss.min()


@pytest.mark.skipif(not HAS_SAMPLE_WEIGHT, reason="scikit-learn has it from 1.7 on")
def test_poisson_is_scikit_learns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    y = rng.poisson(np.exp(X[:, 0]))
    settings = {"loss": "poisson", "hidden_layer_sizes": (9,), "max_iter": 40, "random_state": 1}
    assert_same(MLPRegressor(**settings).fit(X, y), theirs.MLPRegressor(**settings).fit(X, y))


# ------------------------------------------------------------------------------------------- beyond scikit-learn


def small(**settings):
    return MLPClassifier((8,), learning_rate_init=0.02, max_iter=40, random_state=0, **settings)


def test_the_best_restart_is_the_one_of_the_least_loss():
    model = small(n_restarts=7).fit(IRIS, SPECIES)
    assert len(model.runs_) == 7
    best = int(model.runs_.loss.argmin())
    assert np.array_equal(model.coefs_[0], model.runs_.weights[0][best])
    assert np.array_equal(model.predict_proba(IRIS), model.runs_.predict(IRIS)[best])
    assert model.loss_curve_ == model.runs_.history[best].tolist()
    alone = small().fit(IRIS, SPECIES)
    assert np.array_equal(alone.coefs_[0], model.runs_.weights[0][0])  # restarts leave the first net as it was
    stopped = small(n_restarts=7, early_stopping=True).fit(IRIS, SPECIES)
    assert stopped.best_validation_score_ == stopped.runs_.validation_score.max()


def test_an_average_predicts_the_members_mean():
    model = small(n_restarts=7, combine="average").fit(IRIS, SPECIES)
    members = model.predict_proba(IRIS, members=True)
    assert members.shape == (7, 150, 3)
    assert model.predict_proba(IRIS) == pytest.approx(members.mean(axis=0), rel=1e-12)
    assert np.array_equal(model.predict(IRIS), model.classes_[members.mean(axis=0).argmax(axis=1)])
    regressor = MLPRegressor(hidden_layer_sizes=(8,), n_restarts=5, combine="average", random_state=0)
    regressor.fit(DIABETES, PROGRESSION)
    mean, spread = regressor.predict(DIABETES, return_std=True)
    each = regressor.runs_.predict(DIABETES)[:, :, 0]
    assert mean == pytest.approx(each.mean(axis=0), rel=1e-12)
    assert spread == pytest.approx(each.std(axis=0), rel=1e-12)


def test_restarts_that_diverge_are_left_out():
    rates = [0.01, 1e12, 0.02]
    settings = {"solver": "sgd", "learning_rate_init": rates, "n_restarts": 3, "random_state": 0}
    with pytest.warns(RuntimeWarning, match="1 of 3 restarts diverged"):
        model = MLPRegressor(hidden_layer_sizes=(8,), combine="average", **settings).fit(DIABETES, PROGRESSION)
    assert np.isfinite(model.predict(DIABETES)).all()
    assert model.runs_.status[1] == fastmlp.Status.DIVERGED
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        MLPRegressor(hidden_layer_sizes=(8,), solver="sgd", learning_rate_init=1e12, max_iter=400).fit(
            DIABETES, PROGRESSION
        )


def test_restarts_that_diverge_are_left_out_with_early_stopping_too():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 5))
    y = X @ rng.normal(size=5)
    settings = {"hidden_layer_sizes": (20,), "solver": "sgd", "early_stopping": True, "random_state": 0, "max_iter": 50}
    rates = np.array([0.01, 0.01, 5.0, 100.0])
    model = fastmlp.MLPRegressor(learning_rate_init=rates, n_restarts=4, combine="average", **settings)
    with pytest.warns(RuntimeWarning, match="2 of 4 restarts diverged: they are left out"):
        model.fit(X, y)
    assert model.predict(X, return_std=True)[1].max() < 10
    assert np.corrcoef(model.predict(X), y)[0, 1] > 0.95
    model = fastmlp.MLPRegressor(learning_rate_init=50.0, n_restarts=3, combine="average", **settings)
    with pytest.warns(RuntimeWarning, match="3 of 3 restarts diverged"):
        model.fit(X, y)
    best = int(model.runs_.validation_score.argmax())
    assert np.array_equal(model.predict(X), model.runs_[best].predict(X)[:, 0])
    single = fastmlp.MLPRegressor(learning_rate_init=50.0, **settings)
    with pytest.warns(RuntimeWarning, match="1 of 1 restarts diverged"):
        single.fit(X, y)
    other = theirs.MLPRegressor(learning_rate_init=50.0, **settings)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        other.fit(X, y)
    np.testing.assert_allclose(single.predict(X), other.predict(X), rtol=1e-6)


def test_sparse_inputs_are_predicted_in_blocks(monkeypatch):
    X = scipy.sparse.random(500, 40, density=0.1, format="csc", random_state=0)
    y = np.arange(500) % 3
    model = fastmlp.MLPClassifier((4,), max_iter=3, tol=1.0, n_iter_no_change=1, n_restarts=3, combine="average").fit(
        X, y
    )
    dense, members = model.predict_proba(X.toarray()), model.predict_proba(X.toarray(), members=True)
    largest, toarray = [], scipy.sparse.csr_matrix.toarray
    monkeypatch.setattr(_base, "DENSE_BYTES", 40 * 8 * 100)
    monkeypatch.setattr(
        scipy.sparse.csr_matrix,
        "toarray",
        lambda self, *a, **k: (largest.append(self.shape[0]), toarray(self, *a, **k))[1],
    )
    assert np.array_equal(model.predict_proba(X), dense)
    assert np.array_equal(model.predict_proba(X, members=True), members)
    assert largest == [100] * 10


@pytest.mark.skipif(not HAS_SAMPLE_WEIGHT, reason="scikit-learn has it from 1.7 on")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_poisson_losses_of_several_outputs_are_scikit_learns(solver):
    if VERSION < (1, 9):
        pytest.skip("before 1.9 scikit-learn's loss of several outputs is another")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), rng.poisson(2.0, (80, 3)).astype(float)
    settings = {"loss": "poisson", "hidden_layer_sizes": (5,), "solver": solver, "random_state": 0, "max_iter": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = fastmlp.MLPRegressor(**settings).fit(X, y), theirs.MLPRegressor(**settings).fit(X, y)
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-9 if solver == "adam" else 1e-3)
    if solver == "adam":
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9)


def test_settings_may_differ_between_restarts_and_layers():
    rates = [0.001, 0.01, 0.1]
    model = MLPClassifier((6, 5), ["tanh", "relu"], n_restarts=3, learning_rate_init=rates, max_iter=20, random_state=0)
    model.fit(IRIS, SPECIES)
    assert model.runs_.architecture.hidden == ("tanh", "relu")
    alone = clone(model).set_params(n_restarts=1, learning_rate_init=0.001).fit(IRIS, SPECIES)
    assert np.array_equal(alone.coefs_[0], model.runs_.weights[0][0])
    with pytest.raises(ValueError, match="2 activations for 1 hidden"):
        MLPClassifier((6,), ["tanh", "relu"]).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="swish"):
        MLPClassifier((6,), ["swish"]).fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        MLPClassifier((6,), n_restarts=3, alpha=[0.1, 0.2]).fit(IRIS, SPECIES)


def test_dropout_and_bootstrap_belong_to_each_restart():
    model = small(n_restarts=3, dropout=[0.0, 0.3, 0.0], bootstrap=True).fit(IRIS, SPECIES)
    first = small(bootstrap=True).fit(IRIS, SPECIES)
    assert np.array_equal(first.coefs_[0], model.runs_.weights[0][0])
    assert not np.array_equal(first.coefs_[0], small().fit(IRIS, SPECIES).coefs_[0])
    without = small(n_restarts=3, bootstrap=True).fit(IRIS, SPECIES).runs_.weights[0]
    assert (model.runs_.weights[0] == without).all(axis=(1, 2)).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="leave dropout and bootstrap out"):
        small(solver="lbfgs", dropout=0.5).fit(IRIS, SPECIES)


def test_random_state_reaches_bootstrap_and_dropout():
    for more in ({"bootstrap": True}, {"dropout": 0.5}):
        weights = [np.zeros((4, 8)), np.zeros((8, 3))]
        trained = []
        for seed in (1, 1, 2):
            model = MLPClassifier((8,), max_iter=3, random_state=seed, warm_start=True, **more).fit(IRIS, SPECIES)
            model.coefs_ = [w + 0.1 for w in weights]  # the same start for all
            model.intercepts_ = [np.zeros(8), np.zeros(3)]
            trained.append(model.fit(IRIS, SPECIES).coefs_[0])
        assert np.array_equal(trained[0], trained[1])
        assert not np.array_equal(trained[0], trained[2])


def test_a_restart_with_other_momentum_changes_nothing():
    settings = {"solver": "sgd", "learning_rate_init": 0.3, "max_iter": 20, "random_state": 0}
    two = MLPClassifier((8,), n_restarts=2, momentum=[0.0, 0.9], **settings).fit(IRIS, SPECIES)
    one = MLPClassifier((8,), momentum=0.0, **settings).fit(IRIS, SPECIES)
    assert np.array_equal(two.runs_.parameters[0], one.runs_.parameters[0])


def test_other_solvers_and_rules_may_go_on_from_a_fit():
    model = MLPClassifier((8,), solver="lbfgs", max_iter=5, warm_start=True, random_state=0).fit(IRIS, SPECIES)
    model.set_params(solver="adam").fit(IRIS, SPECIES)
    assert len(model.loss_curve_) == 5
    model.set_params(early_stopping=True).fit(IRIS, SPECIES)
    assert len(model.validation_scores_) == 5


def test_an_interrupted_fit_keeps_its_nets(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_results.Printer, "__call__", interrupt)
    model = MLPClassifier((8,), max_iter=10**7, tol=0.0, n_iter_no_change=np.inf, verbose=True, random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(IRIS, SPECIES)
    assert 0 < model.n_iter_ < 10**7
    assert len(model.loss_curve_) == model.n_iter_
    assert model.predict(IRIS).shape == (150,)


def test_class_weights_are_sample_weights():
    few = np.r_[0:50, 100:110]
    X, y = IRIS[few], SPECIES[few]
    balanced = small(class_weight="balanced").fit(X, y)
    with pytest.raises(ValueError, match="as a dict"):
        balanced.partial_fit(X, y)
    weights = np.where(y == 0, 60 / (2 * 50), 60 / (2 * 10))
    assert np.array_equal(balanced.coefs_[0], small().fit(X, y, sample_weight=weights).coefs_[0])
    twice = small(class_weight={0: 1.0, 2: 2.0}).fit(X, y, sample_weight=np.full(60, 0.5))
    assert np.array_equal(twice.coefs_[0], small().fit(X, y, np.where(y == 0, 0.5, 1.0)).coefs_[0])


def test_held_out_samples_may_be_given():
    X, y = shuffle(IRIS, np.array(["a", "b", "c"])[SPECIES], random_state=0)
    watched = small().fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert np.array_equal(watched.coefs_[0], small().fit(X[:100], y[:100]).coefs_[0])  # it is only watched
    assert len(watched.validation_curve_) == watched.n_iter_
    right = watched.predict_proba(X[100:])[np.arange(50), np.searchsorted(watched.classes_, y[100:])]
    assert watched.validation_curve_[-1] == pytest.approx(-np.log(right).mean(), rel=1e-9)
    assert watched.validation_scores_ is None
    stopped = small(early_stopping=True, n_iter_no_change=3).fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    assert stopped.n_iter_ < 40
    assert stopped.score(X[100:], y[100:]) == stopped.best_validation_score_ == max(stopped.validation_scores_)
    with pytest.raises(ValueError, match="pass both or neither"):
        small().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="which y has not"):
        small().fit(X[:100], y[:100], X_val=X[100:], y_val=np.full(50, "d"))
    with pytest.raises(ValueError, match="both need the same number"):
        small().fit(X[:100], y[:100], X_val=X[100:], y_val=y[:3])


@pytest.mark.parametrize("solver", ["rmsprop", "rprop"])
def test_the_librarys_other_optimizers(solver):
    batch = 150 if solver == "rprop" else 30
    model = MLPClassifier((8,), solver=solver, learning_rate_init=0.01, batch_size=batch, random_state=0)
    assert model.fit(IRIS, SPECIES).score(IRIS, SPECIES) > 0.95
    for _ in range(3):
        model.partial_fit(IRIS, SPECIES)
    warm = clone(model).set_params(warm_start=True, max_iter=5).fit(IRIS, SPECIES)
    assert warm.fit(IRIS, SPECIES).n_iter_ == 5


def test_threads_do_not_change_a_bit():
    one, two = (small(n_restarts=20, n_jobs=jobs).fit(IRIS, SPECIES) for jobs in (1, 2))
    assert one.runs_.weights_sha256() == two.runs_.weights_sha256()


def test_a_clusters_processors_are_not_this_workers(monkeypatch):
    """With Dask's backend joblib counts those of all workers."""
    monkeypatch.setattr("fastmlp.estimators._base.effective_n_jobs", lambda n_jobs: 1000 if n_jobs < 0 else n_jobs)
    for n_jobs in (-1, 1000):
        assert MLPClassifier(n_jobs=n_jobs)._threads() == available_threads()
    assert MLPClassifier(n_jobs=1)._threads() == 1


def threads_inside(_):
    return MLPClassifier()._threads()


def test_jobs_outside_leave_each_its_share_of_the_processors():
    inside = joblib.Parallel(n_jobs=2)(joblib.delayed(threads_inside)(i) for i in range(2))
    assert inside == [max(1, MLPClassifier()._threads() // 2)] * 2


def compiled_inside(X, y):
    """Kernels that a fit in this process had to compile, and those that it loaded."""
    from fastmlp._simd.jit import Kernel

    fastmlp.MLPClassifier((16,), max_iter=2, tol=1.0, n_iter_no_change=1, n_jobs=1).fit(X, y)
    stats = [thing.dispatcher.stats for thing in gc.get_objects() if isinstance(thing, Kernel)]
    return sum(sum(s.cache_misses.values()) for s in stats), sum(sum(s.cache_hits.values()) for s in stats)


def test_workers_compile_nothing_that_is_cached():
    """In a process that is new, so that all it needs is looked for in the cache."""
    fastmlp.MLPClassifier((16,), max_iter=2, tol=1.0, n_iter_no_change=1, n_jobs=1).fit(IRIS, SPECIES)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        misses, hits = pool.submit(compiled_inside, IRIS, SPECIES).result()
    assert misses == 0
    assert hits > 0


def test_adaptive_and_patience_end_training():
    model = MLPClassifier(tol=0.5, max_iter=3000, solver="sgd", learning_rate="adaptive")
    model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < 3000
    assert (model.runs_.state.rate < 1e-6).all()
    for patience in (2, 10, 50):
        stopped = MLPClassifier((5,), solver="sgd", tol=0.01, max_iter=3000, n_iter_no_change=patience, random_state=0)
        curve = np.array(stopped.fit(IRIS, SPECIES).loss_curve_)
        waited, best = 0, np.inf
        for loss in curve:
            waited = waited + 1 if loss > best - 0.01 else 0
            best = min(best, loss)
        assert waited == patience + 1
        assert stopped.n_iter_ < 3000
    forever = MLPClassifier((5,), solver="sgd", tol=1e9, max_iter=200, n_iter_no_change=np.inf).fit(IRIS, SPECIES)
    assert forever.n_iter_ == 200


def test_it_works_inside_scikit_learn():
    model = make_pipeline(StandardScaler(), small(n_restarts=2))
    search = GridSearchCV(model, {"mlpclassifier__alpha": [1e-4, 1e4]}, cv=3).fit(IRIS, SPECIES)
    assert search.best_params_ == {"mlpclassifier__alpha": 1e-4}
    assert cross_val_score(model, IRIS, SPECIES, cv=3).mean() > 0.9
    fitted = model.fit(IRIS, SPECIES)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(IRIS), fitted.predict_proba(IRIS))
    assert "MLPClassifier" in fitted._repr_html_()
    assert clone(fitted).get_params()["mlpclassifier__n_restarts"] == 2
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(IRIS, columns=list("abcd"))
    named = make_pipeline(StandardScaler(), small()).set_output(transform="pandas").fit(frame, SPECIES)
    assert named[-1].feature_names_in_.tolist() == list("abcd")


def test_verbose_and_progress_are_told(capsys):
    MLPClassifier((3,), max_iter=5, verbose=True, progress=True).fit(IRIS, SPECIES)
    out, err = capsys.readouterr()
    assert [line.split(",")[0] for line in out.splitlines()] == [f"Iteration {i}" for i in range(1, 6)]
    assert "net-epochs" in err


def test_training_that_has_not_converged_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match=r"Maximum iterations \(3\)"):
            MLPClassifier((3,), max_iter=3).fit(IRIS, SPECIES)
        with pytest.raises(ConvergenceWarning, match="lbfgs failed to converge"):
            MLPClassifier((3,), max_iter=3, solver="lbfgs").fit(IRIS, SPECIES)
    with pytest.raises(ValueError, match="change neither"):
        MLPClassifier((3,), max_iter=3, warm_start=True).fit(IRIS, SPECIES).set_params(n_restarts=2).fit(IRIS, SPECIES)


def test_orders_may_be_asked_for_again():
    reference, order, expected = np.random.RandomState(3), np.arange(17), []
    for _ in range(300):
        order = shuffle(order, random_state=reference)
        expected.append(order)
    expected = np.array(expected)
    random_state = np.random.RandomState(3)
    orders = Orders(17, random_state, 300)
    for first, stop in [(0, 1), (1, 40), (250, 300), (0, 3), (31, 33), (64, 64), (100, 300), (5, 6)]:
        assert np.array_equal(orders(first, stop), expected[first:stop])
    assert random_state.randint(10**9) == np.random.RandomState(3).randint(10**9)  # untouched until the end
    for count in (0, 5, 32, 300):
        orders.finish(count)
        reference = np.random.RandomState(3)
        for _ in range(count):
            shuffle(np.arange(17), random_state=reference)
        assert random_state.randint(10**9) == reference.randint(10**9)


def test_without_scikit_learn_a_message_says_what_to_do():
    code = (
        "import sys; sys.modules['sklearn'] = None; import fastmlp\n"
        "try: fastmlp.MLPClassifier\n"
        "except ImportError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'fastmlp[sklearn]'" in out
