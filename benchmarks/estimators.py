"""The estimators and scikit-learn's, on the data sets inside scikit-learn: `python -m benchmarks.estimators`.

For each data set and solver 50 nets of different seeds: scikit-learn's with joblib over all cores, one `random_state`
a net, and as many restarts in one call of ours; the ratio of the times, medians of a few rounds taken one after the
other, and what the ratio would be if ours ran at the processor's peak. Then the scores on test samples: 50 pairs of
nets of the same `random_state`, and over 20 splits the average of 32 restarts against the median single one.

With `--jobs`, instead: a cross-validation with two jobs outside, each with as many threads as it likes, against the
same with one thread in each job, and against one job with all threads.

scikit-learn is imported where it is used, for asv imports every file of this folder.
"""

import argparse
import sys
import time
import warnings

import numpy as np

import fastmlp
from benchmarks.peak import peak_flops
from fastmlp._engine.processors import available_threads

DATA = {
    "breast_cancer": ("MLPClassifier", "load_breast_cancer"),
    "wine": ("MLPClassifier", "load_wine"),
    "digits": ("MLPClassifier", "load_digits"),
    "diabetes": ("MLPRegressor", "load_diabetes"),
}
SEEDS, MEMBERS, SPLITS = 50, 32, 20
SETTINGS = {
    "defaults, adam": {"solver": "adam"},
    "defaults, sgd": {"solver": "sgd", "learning_rate_init": 0.01},
    "16 units, batch 16, adam": {"solver": "adam", "hidden_layer_sizes": (16,), "batch_size": 16},
    "16 units, batch 16, sgd": {
        "solver": "sgd",
        "hidden_layer_sizes": (16,),
        "batch_size": 16,
        "learning_rate_init": 0.01,
    },
}


def data(name, dtype, split=0):
    from sklearn import datasets
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    kind, load = DATA[name]
    X, y = getattr(datasets, load)(return_X_y=True)
    parts = train_test_split(X, y, random_state=split, stratify=y if kind == "MLPClassifier" else None)
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


def gain_of_averaging(name, settings, dtype):
    """The score of the average less that of the median net of the same: mean and standard error over the splits."""
    gains = []
    for split in range(SPLITS):
        kind, X, X_test, y, y_test = data(name, dtype, split)
        model = fitted(fastmlp, kind, settings, X, y, split, n_restarts=MEMBERS, combine="average")
        outputs = model.runs_[model._usable].predict(X_test)
        if kind == "MLPRegressor":
            singles = 1 - ((outputs[:, :, 0] - y_test) ** 2).mean(axis=1) / y_test.var()
        else:
            chosen = outputs.argmax(axis=2) if outputs.shape[2] > 1 else outputs[:, :, 0] > 0.5
            singles = (model.classes_[chosen.astype(int)] == y_test).mean(axis=1)
        gains.append(model.score(X_test, y_test) - np.median(singles))
    return np.mean(gains), np.std(gains, ddof=1) / np.sqrt(SPLITS)


def compare(name, settings, dtype, rounds, parallel):
    import joblib
    import sklearn.neural_network as theirs

    kind, X, X_test, y, y_test = data(name, dtype)
    fitted(fastmlp, kind, {**settings, "max_iter": 2}, X, y, 0, n_restarts=SEEDS)
    ratios, bounds, nets = [], [], None
    for _ in range(rounds):
        other, nets = seconds(
            lambda: parallel(joblib.delayed(fitted)(theirs, kind, settings, X, y, seed) for seed in range(SEEDS))
        )
        own, model = seconds(lambda: fitted(fastmlp, kind, settings, X, y, 0, n_restarts=SEEDS))
        ratios.append(other / own)
        flops = model.runs_.architecture.useful_flops(len(X)) * model.runs_.epochs.sum()
        bounds.append(other / (flops / peak_flops(dtype, available_threads())))
    scores = np.array([net.score(X_test, y_test) for net in nets])
    own_scores = np.array([fitted(fastmlp, kind, settings, X, y, s).score(X_test, y_test) for s in range(SEEDS)])
    difference, (gain, error) = own_scores - scores, gain_of_averaging(name, settings, dtype)
    return [
        f"{np.median(ratios):.1f}",
        f"{np.median(bounds):.0f}",
        f"{scores.mean():.4f}",
        f"{own_scores.mean():.4f}",
        f"{difference.mean():+.0e} ± {difference.std(ddof=1) / np.sqrt(SEEDS):.0e}",
        f"{gain:+.4f} ± {error:.4f}",
    ]


def jobs(rounds):
    """Seconds of a cross-validation of an ensemble, by jobs outside and threads inside, medians."""
    from sklearn import datasets
    from sklearn.model_selection import cross_val_score
    from sklearn.preprocessing import StandardScaler

    X, y = datasets.load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    times = {(2, None): [], (2, 1): [], (1, None): []}
    for number in range(rounds + 1):  # the first starts the processes
        for (outside, inside), found in times.items():
            model = fastmlp.MLPClassifier((32,), n_restarts=64, max_iter=100, random_state=0, n_jobs=inside, tol=0.0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                elapsed, _ = seconds(lambda: cross_val_score(model, X, y, cv=4, n_jobs=outside))  # noqa: B023
            if number:
                found.append(elapsed)
    for (outside, inside), found in times.items():
        print(f"{outside} jobs, {inside or 'all'} threads in each: {np.median(found):.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    parser.add_argument("--dtype", default="float64", choices=("float32", "float64"))
    parser.add_argument("--jobs", action="store_true", help="measure jobs outside and threads inside instead")
    parser.add_argument("--only", default="", help="data sets whose name contains this")
    options = parser.parse_args()
    if options.jobs:
        jobs(options.rounds)
        return 0
    print(
        f"| {SEEDS} nets, {options.dtype} | times as fast | at the peak | score, scikit-learn | score, fastmlp "
        f"| difference, paired | gain of averaging {MEMBERS} |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    import joblib

    with joblib.Parallel(n_jobs=-1) as parallel:
        for name in DATA:
            if options.only in name:
                for title, settings in SETTINGS.items():
                    cells = compare(name, settings, options.dtype, options.rounds, parallel)
                    print(f"| {name}, {title} | {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
