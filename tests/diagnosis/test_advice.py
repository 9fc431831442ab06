"""What a diagnosis advises is held to samples that it never saw, on real data sets and noisy ones of scikit-learn's."""

import os

import numpy as np
import pytest

import fastmlp
from fastmlp.diagnosis.examine import _problem_of
from fastmlp.diagnosis.trials import scaled_data

datasets = pytest.importorskip("sklearn.datasets")

LOST = 0.02  # of an accuracy or R² may be lost by chance


def flipped(X, y, share=0.1):
    return X, np.where(np.random.default_rng(5).random(len(y)) < share, 1 - y, y)


def of_two(data, first, second):
    X, y = data
    chosen = np.isin(y, (first, second))
    return X[chosen], (y[chosen] == second).astype(int)


def spirals():
    rng = np.random.default_rng(3)
    t, y = rng.uniform(0.5, 2.5, 400) * np.pi, rng.integers(0, 2, 400)
    X = np.c_[t * np.cos(t + np.pi * y), t * np.sin(t + np.pi * y)] / 4
    return X + 0.05 * rng.normal(size=X.shape), y


def above_the_median(X, y):
    return X, (y > np.median(y)).astype(int)


def random_labels():
    return np.random.default_rng(1).normal(size=(200, 5)), np.random.default_rng(2).integers(0, 2, 200)


def hastie():
    X, y = datasets.make_hastie_10_2(400, random_state=1)
    return X, (y > 0).astype(int)


def real(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True)


CLASSES = {
    "iris": lambda: real("iris"),
    "wine": lambda: real("wine"),
    "breast cancer": lambda: real("breast_cancer"),
    "digits": lambda: real("digits"),
    "iris, two kinds": lambda: of_two(real("iris"), 1, 2),
    "wine, two kinds": lambda: of_two(real("wine"), 0, 1),
    "digits, 3 or 8": lambda: of_two(real("digits"), 3, 8),
    "digits, 4 or 9": lambda: of_two(real("digits"), 4, 9),
    "diabetes, above the median": lambda: above_the_median(*real("diabetes")),
    "breast cancer, a tenth flipped": lambda: flipped(*real("breast_cancer")),
    "moons": lambda: datasets.make_moons(300, noise=0.3, random_state=1),
    "circles": lambda: datasets.make_circles(300, noise=0.2, factor=0.5, random_state=1),
    "blobs": lambda: datasets.make_blobs(300, centers=3, cluster_std=4.0, random_state=1),
    "spirals, a tenth flipped": lambda: flipped(*spirals()),
    "classification": lambda: datasets.make_classification(400, 20, n_informative=5, flip_y=0.1, random_state=1),
    "many columns": lambda: datasets.make_classification(200, 60, n_informative=4, flip_y=0.1, random_state=2),
    "quantiles": lambda: datasets.make_gaussian_quantiles(n_samples=300, n_classes=3, random_state=1),
    "hastie": hastie,
    "random labels": random_labels,
}
NUMBERS = {
    "diabetes": lambda: real("diabetes"),
    "friedman1": lambda: datasets.make_friedman1(300, noise=1.0, random_state=1),
    "friedman2": lambda: datasets.make_friedman2(300, noise=50.0, random_state=1),
    "friedman3": lambda: datasets.make_friedman3(300, noise=0.1, random_state=1),
    "regression": lambda: datasets.make_regression(200, 10, noise=50.0, random_state=1),
    "sparse": lambda: datasets.make_sparse_uncorrelated(300, 10, random_state=1),
}
ALL = bool(os.environ.get("FASTMLP_TEST_ALL"))  # as many settings as the promises say
SETTINGS = {
    "begun": ((8,), fastmlp.SGD(0.01), 100),
    "trained": ((16,), fastmlp.Adam(0.01), 300),
    "too fast": ((16,), fastmlp.SGD(0.5), 300),
    "too long": ((64, 64), fastmlp.Adam(0.01), 1000),
}


def median_score(runs, X, y, classes):
    """The nets' accuracy, or R² no worse than a constant guess has."""
    outputs = runs.predict(X).astype(float)
    if not classes:
        return max(0.0, np.median(1 - ((outputs[:, :, 0] - y) ** 2).mean(axis=1) / y.var()))
    chosen = outputs.argmax(axis=2) if outputs.shape[2] > 1 else outputs[:, :, 0] > 0.5
    return np.median((chosen == y).mean(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS if ALL else ("begun", "trained"))
@pytest.mark.parametrize("name", [*CLASSES, *NUMBERS])
@pytest.mark.parametrize("scaled", [False, True] if ALL else [False])
def test_no_advice_makes_samples_that_it_did_not_see_worse(name, setting, scaled):
    classes = name in CLASSES
    X, y = (CLASSES | NUMBERS)[name]()
    order = np.random.default_rng(0).permutation(len(X))
    seen, held_out = order[: len(X) // 2], order[len(X) // 2 :]
    if scaled:
        spread = X[seen].std(axis=0)
        X = (X - X[seen].mean(axis=0)) / np.where(spread > 0, spread, 1)
    hidden, optimizer, epochs = SETTINGS[setting]
    n_classes = len(np.unique(y)) if classes else 1
    output = "identity" if not classes else "sigmoid" if n_classes == 2 else "softmax"
    arch = fastmlp.Architecture((X.shape[1], *hidden, n_classes if n_classes > 2 else 1), output=output)
    runs = fastmlp.train(arch, X[seen], y[seen], n_nets=20, epochs=epochs, optimizer=optimizer)
    found = runs.diagnose(X[seen], y[seen], try_fixes=True)
    before = median_score(runs, X[held_out], y[held_out], classes)
    given, _ = _problem_of(runs, X[seen], y[seen], None, None)
    for fix in found.fixes:
        # the held-out half goes along as validation data that restore no weights, to be scaled by the other half
        call = fix.change(runs.call).changed(validation=(X[held_out], y[held_out]), restore_best=False)
        call, there, targets = scaled_data(fix.scaled, call, given, y[seen])
        again = fastmlp.train(X=there.samples, y=targets, n_nets=20, **call.as_keywords())
        y_held_out = y[held_out] if classes else np.ravel(call.validation[1])
        after = median_score(again, np.asarray(call.validation[0]), y_held_out, classes)
        print(f"{name}, {setting}, {fix.name}: {before:.3f} -> {after:.3f}")
        assert after >= before - LOST, f"{fix.name}: {before:.3f} -> {after:.3f}\n{found}"
