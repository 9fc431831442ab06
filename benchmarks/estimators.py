"""The estimators beside scikit-learn's, on the data sets inside scikit-learn: `python -m benchmarks.estimators`.

For each data set and solver 50 nets of different seeds: scikit-learn's with joblib over all cores, one `random_state`
a net, and as many restarts in one call of ours; the ratio of the times, medians of a few rounds taken one after the
other. Then the scores on test samples: 50 pairs of nets of the same `random_state`, and the average of 32 restarts
against the median single net.
"""

import argparse
import sys
import time
import warnings

import joblib
import numpy as np
import sklearn.neural_network as theirs
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastmlp

DATA = {
    "breast_cancer": ("MLPClassifier", datasets.load_breast_cancer),
    "wine": ("MLPClassifier", datasets.load_wine),
    "digits": ("MLPClassifier", datasets.load_digits),
    "diabetes": ("MLPRegressor", datasets.load_diabetes),
}
SEEDS, MEMBERS = 50, 32
SETTINGS = {
    "defaults, adam": {"solver": "adam"},
    "defaults, sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "16 units, batch 16, adam": {"solver": "adam", "hidden_layer_sizes": (16,), "batch_size": 16},
    "16 units, batch 16, sgd": {
        "solver": "sgd", "hidden_layer_sizes": (16,), "batch_size": 16, "learning_rate_init": 0.01,
    },
}  # fmt: skip


def data(name, dtype):
    kind, load = DATA[name]
    X, y = load(return_X_y=True)
    parts = train_test_split(X, y, random_state=0, stratify=y if kind == "MLPClassifier" else None)
    scaler = StandardScaler().fit(parts[0])
    y_train, y_test = parts[2], parts[3]
    if kind == "MLPRegressor":
        y_test, y_train = ((part - y_train.mean()) / y_train.std() for part in (y_test, y_train))
    return kind, *(scaler.transform(part).astype(dtype) for part in parts[:2]), y_train, y_test


def fitted(module, kind, settings, X, y, seed, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(module, kind)(**settings, random_state=seed, **more).fit(X, y)


def seconds(function):
    begun = time.perf_counter()
    result = function()
    return time.perf_counter() - begun, result


def compare(name, settings, dtype, rounds, parallel):
    kind, X, X_test, y, y_test = data(name, dtype)
    fitted(fastmlp, kind, {**settings, "max_iter": 2}, X, y, 0, n_restarts=SEEDS)
    ratios, nets = [], None
    for _ in range(rounds):
        other, nets = seconds(
            lambda: parallel(joblib.delayed(fitted)(theirs, kind, settings, X, y, seed) for seed in range(SEEDS))
        )
        own, _ = seconds(lambda: fitted(fastmlp, kind, settings, X, y, 0, n_restarts=SEEDS))
        ratios.append(other / own)
    scores = np.array([net.score(X_test, y_test) for net in nets])
    own_scores = np.array([fitted(fastmlp, kind, settings, X, y, s).score(X_test, y_test) for s in range(SEEDS)])
    average = fitted(fastmlp, kind, settings, X, y, 0, n_restarts=MEMBERS, combine="average")
    difference = own_scores - scores
    return [
        f"{np.median(ratios):.1f}", f"{scores.mean():.4f}", f"{own_scores.mean():.4f}",
        f"{difference.mean():+.1e} ± {difference.std(ddof=1) / np.sqrt(SEEDS):.0e}",
        f"{np.median(own_scores):.4f}", f"{average.score(X_test, y_test):.4f}",
    ]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--dtype", default="float64", choices=("float32", "float64"))
    parser.add_argument("--only", default="", help="data sets whose name contains this")
    options = parser.parse_args()
    print(
        f"| {SEEDS} nets, {options.dtype} | times as fast | score, scikit-learn | score, fastmlp "
        f"| difference, paired | median net | average of {MEMBERS} |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with joblib.Parallel(n_jobs=-1) as parallel:
        for name in DATA:
            if options.only in name:
                for title, settings in SETTINGS.items():
                    cells = compare(name, settings, options.dtype, options.rounds, parallel)
                    print(f"| {name}, {title} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
