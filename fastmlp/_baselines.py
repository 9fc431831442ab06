"""How well simple guesses do on samples: what the nets' accuracy or R² is to be held against where data are noisy."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

NEIGHBOURS = 5
MOST_SAMPLES = 3000  # of larger data so many are looked at, evenly spaced
FOLDS = 5


def baselines(samples: np.ndarray, targets: np.ndarray, classes: bool) -> dict[str, float]:
    """Accuracies, or R² where targets are no classes: of a constant guess, and of fits that never saw the sample.

    `samples` (S, n_in) and `targets` (S, n_out), one-hot or a column of 0 and 1 for classes.
    """
    step = -(-len(samples) // MOST_SAMPLES)
    X, t = samples[::step].astype(np.float64), targets[::step].astype(np.float64)
    X = standardized(X)
    if len(X) <= NEIGHBOURS:
        return {}
    found = {"a constant guess": _score(np.broadcast_to(_constant(t, classes), t.shape), t, classes)}
    squares = (X**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * X @ X.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    found[f"{NEIGHBOURS} nearest neighbours"] = _score(t[nearest].mean(axis=1), t, classes)
    if importlib.util.find_spec("sklearn") is not None:
        found["logistic regression" if classes else "ridge regression"] = _linear(X, t, classes)
    return found


def standardized(values: np.ndarray) -> np.ndarray:
    """Columns shifted and scaled to mean 0 and standard deviation 1; one that is the same everywhere becomes 0."""
    exact = values.astype(np.float64)
    spread = exact.std(axis=0)
    return np.asarray(((exact - exact.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).astype(values.dtype))


def _constant(t: np.ndarray, classes: bool) -> np.ndarray:
    mean = t.mean(axis=0)
    return (mean > 0.5).astype(float) if classes and t.shape[1] == 1 else np.asarray(mean)


def _score(guess: np.ndarray, t: np.ndarray, classes: bool) -> float:
    """The share of samples that are right, or R²."""
    if not classes:
        variance = float(((t - t.mean(axis=0)) ** 2).mean())
        return 1.0 - float(((guess - t) ** 2).mean()) / variance if variance > 0 else 0.0
    if (t.sum(axis=1) == 1).all() and t.shape[1] > 1:
        return float((guess.argmax(axis=1) == t.argmax(axis=1)).mean())
    return float(((guess > 0.5) == (t > 0.5)).all(axis=1).mean())


def _linear(X: np.ndarray, t: np.ndarray, classes: bool) -> float:
    """A linear fit of scikit-learn's, each fold predicted by a fit of the others."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    folds = KFold(FOLDS, shuffle=True, random_state=0)
    if not classes:
        guess = cross_val_predict(Ridge(), X, t, cv=folds)
        return _score(guess.reshape(t.shape), t, classes)
    one_hot = t.shape[1] > 1 and bool((t.sum(axis=1) == 1).all())
    columns = [t.argmax(axis=1)] if one_hot else [column.astype(int) for column in t.T]
    right = np.ones(len(t), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for column in columns:
            right &= cross_val_predict(LogisticRegression(max_iter=500), X, column, cv=folds) == column
    return float(right.mean())
