"""Folds, a model a group, and a search, each in one run: python -m benchmarks.own_samples

Every row gives medians of rounds in which all that it compares is measured one after the other. `--markdown` prints
the table of docs/performance/index.md.
"""

import argparse
import importlib.util
import time
import warnings

import numpy as np

import fastmlp

LABEL_NOISE = 0.2
GROUPS, SIZES, GROUP_EPOCHS = 10_000, (20, 61), 100
RATE = 0.01


def seconds(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


# ------------------------------------------------------------------------------------------------ a model a group


def groups_data(rng, groups=GROUPS, sizes=SIZES):
    """X (S, 8), y (S,) with label noise, and the samples' groups, each with a rule of its own."""
    counts = rng.integers(*sizes, groups)
    labels = np.repeat(np.arange(groups), counts)
    X = rng.normal(size=(len(labels), 8)).astype(np.float32)
    y = ((X * rng.normal(size=(groups, 8))[labels]).sum(axis=1) > 0).astype(np.float32)
    noisy = rng.random(len(y)) < LABEL_NOISE
    y[noisy] = rng.integers(0, 2, noisy.sum())
    return X, y, labels


def train_groups(X, y, labels, **settings):
    settings = {"optimizer": fastmlp.Adam(RATE), "epochs": GROUP_EPOCHS, **settings}
    return fastmlp.train(ARCHITECTURE, X, y, groups=labels, **settings)


def train_shared(X, y, size, **settings):
    settings = {"optimizer": fastmlp.Adam(RATE), "epochs": GROUP_EPOCHS, **settings}
    return fastmlp.train(ARCHITECTURE, X[:size], y[:size], n_nets=GROUPS, **settings)


ARCHITECTURE = fastmlp.Architecture((8, 8, 1))


def padded_with_jax(X, y, labels, epochs=GROUP_EPOCHS):
    """The training of all groups by vmap over (parameters, X, y), padded to the largest group; gives their losses."""
    import jax
    from jax import numpy as jnp

    counts = np.bincount(labels)
    n, most = len(counts), counts.max()
    place = np.arange(len(labels)) - np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    inputs, targets, mask = (np.zeros((n, most, *shape), np.float32) for shape in ((8,), (), ()))
    inputs[labels, place], targets[labels, place], mask[labels, place] = X, y, 1
    mask /= counts[:, None]
    begun = fastmlp.train(ARCHITECTURE, X[:4], y[:4], n_nets=n, epochs=0)
    parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in zip(begun.weights, begun.biases, strict=True)]

    def loss(parameters, x, t, share):
        (w0, b0), (w1, b1) = parameters
        z = (jax.nn.relu(x @ w0 + b0) @ w1 + b1)[:, 0]
        return jnp.sum(share * (jnp.logaddexp(0.0, z) - t * z))

    def one_net(parameters, x, t, share):
        def epoch(_, state):
            parameters, means, squares, steps = state
            gradients, steps = jax.grad(loss)(parameters, x, t, share), steps + 1
            means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
            squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
            scale, correction = RATE / (1 - 0.9**steps), 1 / jnp.sqrt(1 - 0.999**steps)
            parameters = jax.tree.map(
                lambda p, m, v: p - scale * m / (jnp.sqrt(v) * correction + 1e-8), parameters, means, squares
            )
            return parameters, means, squares, steps

        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state = jax.lax.fori_loop(0, epochs, epoch, (parameters, zeros, zeros, jnp.float32(0)))
        return loss(state[0], x, t, share)

    arrays = [jnp.asarray(array) for array in (inputs, targets, mask)]
    train = jax.jit(jax.vmap(one_net))
    return lambda: np.asarray(train(parameters, *arrays))


def groups_row(rounds):
    X, y, labels = groups_data(np.random.default_rng(0))
    size = len(y) // GROUPS
    ours, shared, jax = [], [], []
    with_jax = padded_with_jax(X, y, labels) if importlib.util.find_spec("jax") else None
    train_shared(X, y, size, epochs=1)
    losses = train_groups(X, y, labels).loss
    if with_jax is not None:
        difference = np.abs(np.median(with_jax()) - np.median(losses))
        assert difference < 1e-3, f"JAX's losses differ: {difference}"
    for _ in range(rounds):
        ours.append(train_groups(X, y, labels).train_seconds)
        shared.append(train_shared(X, y, size).train_seconds)
        if with_jax is not None:
            jax.append(seconds(with_jax))
    rate = GROUPS * GROUP_EPOCHS / np.median(ours)
    others = f"{np.median(np.divide(shared, ours)):.0%} of the rate on shared samples"
    if jax:
        others += f"; {np.median(np.divide(jax, ours)):.1f} × JAX vmap, padded"
    return f"{GROUPS:,} groups of {SIZES[0]} to {SIZES[1] - 1} samples, 8-8-1, Adam, full batch", f"{rate:,.0f}", others


def minibatches_row(rounds, batch_size=10):
    """The same groups with shuffled minibatches, whose inputs are laid out anew for each net."""
    X, y, labels = groups_data(np.random.default_rng(0))
    size, settings = len(y) // GROUPS, {"batch_size": batch_size}
    train_groups(X, y, labels, **settings, epochs=1), train_shared(X, y, size, **settings, epochs=1)
    ours, shared = [], []
    for _ in range(rounds):
        ours.append(train_groups(X, y, labels, **settings).train_seconds)
        shared.append(train_shared(X, y, size, **settings).train_seconds)
    return (
        f"the same groups, shuffled minibatches of {batch_size}",
        f"{GROUPS * GROUP_EPOCHS / np.median(ours):,.0f}",
        f"{np.median(np.divide(shared, ours)):.0%} of the rate on shared samples",
    )


# ------------------------------------------------------------------------------------------------ folds


def breast_cancer():
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32), y


def folds_row(rounds, n_seeds=20, epochs=50):
    X, y = breast_cancer()
    arch = fastmlp.Architecture((30, 16, 1))
    rows = [np.flatnonzero(np.arange(len(X)) % 5 != k) for k in range(5)]
    settings = {"epochs": epochs, "batch_size": 32}

    def together():
        return fastmlp.train(arch, X, y, rows=rows, rows_of=np.repeat(np.arange(5), n_seeds), **settings)

    def one_by_one():
        return [fastmlp.train(arch, X[own], y[own], n_nets=n_seeds, **settings) for own in rows]

    together(), one_by_one()
    times = np.array([[seconds(together), seconds(one_by_one)] for _ in range(rounds)])
    rate = 5 * n_seeds * epochs / np.median(times[:, 0])
    ratio = np.median(times[:, 1] / times[:, 0])
    return (
        f"5 folds × {n_seeds} seeds of 30-16-1, minibatches of 32",
        f"{rate:,.0f}",
        f"{ratio:.2f} × a call of `train` for each fold",
    )


# ------------------------------------------------------------------------------------------------ a search


def search_row(rounds):
    """12 settings, 5 folds, 20 seeds: the seeds are one of the parameters, as scikit-learn's nets need it."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    X, y = breast_cancer()
    grid = {"alpha": [1e-4, 1e-2, 1.0], "learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2]}
    kind = {"batch_size": 32, "max_iter": 50, "n_iter_no_change": 1000, "tol": 0.0}
    ours, theirs = fastmlp.MLPClassifier((16,), **kind), MLPClassifier((16,), **kind)

    def search():
        return fastmlp.MLPSearchCV(ours, {**grid, "random_state": list(range(20))}, cv=5, refit=False).fit(X, y)

    def grid_search():
        return GridSearchCV(ours, {**grid, "random_state": [0, 1]}, cv=5, refit=False).fit(X, y)

    def scikit_learn():
        some = {"alpha": [1e-2], "learning_rate_init": [1e-3, 1e-2], "random_state": [0, 1]}
        return GridSearchCV(theirs, some, cv=5, refit=False, n_jobs=2).fit(X, y)

    search(), grid_search()
    times = np.array([[seconds(search), 10 * seconds(grid_search), 60 * seconds(scikit_learn)] for _ in range(rounds)])
    by_grid, by_sklearn = (np.median(times[:, k] / times[:, 0]) for k in (1, 2))
    return (
        "12 settings × 5 folds × 20 seeds of 30-16-1, minibatches of 32, 50 epochs (`MLPSearchCV`)",
        f"{60_000 / np.median(times[:, 0]):,.0f}",
        f"{by_grid:.1f} × GridSearchCV over `fastmlp.MLPClassifier`; {by_sklearn:.0f} × over scikit-learn's, n_jobs=2",
    )


ROWS = {"groups": groups_row, "minibatches": minibatches_row, "folds": folds_row, "search": search_row}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="default: all")
    parser.add_argument("--markdown", action="store_true", help="a table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [ROWS[name](options.rounds) for name in options.rows]
    if options.markdown:
        print("| nets, each on samples of its own | net-epochs/s | compared |\n| --- | --- | --- |")
        for row in rows:
            print("| " + " | ".join(row) + " |")
    else:
        for row in rows:
            print("\n  ".join(row))


if __name__ == "__main__":
    main()
