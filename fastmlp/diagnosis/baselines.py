"""Scores to compare nets with on noisy data: simple fits, and the best possible score."""

from __future__ import annotations

import importlib.util
import warnings
from typing import NamedTuple

import numpy as np

from fastmlp._kernels.formulas.losses import Loss
from fastmlp.diagnosis.problem import least_and_spread, mean_losses

NEIGHBOURS = 5
MOST_SAMPLES = 3000  # samples; of larger data this many, evenly spaced
FOLDS = 5
CONSTANT = "a constant guess"


def baselines(samples: np.ndarray, targets: np.ndarray, classes: bool, loss: Loss) -> dict[str, float]:
    """Scores (accuracy, or R² or D² if targets are not classes) of a constant guess and of cross-validated simple fits.

    `samples` (S, n_in) and `targets` (S, n_out), one-hot or columns of 0 and 1 for classes.
    """
    step = -(-len(samples) // MOST_SAMPLES)
    X, t = samples[::step].astype(np.float64), targets[::step].astype(np.float64)
    X = Scaling.standard(X).apply(X)
    if len(X) <= NEIGHBOURS:
        return {}
    found = {CONSTANT: score_of_constant(t, classes)}
    squares = (X**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * X @ X.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    found[f"{NEIGHBOURS} nearest neighbours"] = _score(t[nearest].mean(axis=1), t, classes, loss)
    if importlib.util.find_spec("sklearn") is not None:
        found["logistic regression" if classes else "ridge regression"] = _linear(X, t, classes, loss)
    return found


def folds(targets: np.ndarray) -> np.ndarray:
    """A random fold for each sample, stratified by class, or by the size of the targets."""
    order = np.lexsort((np.random.default_rng(0).random(len(targets)), *targets.T))
    fold = np.empty(len(targets), np.int64)
    fold[order] = np.arange(len(targets)) % FOLDS
    return fold


class Scaling(NamedTuple):
    """Shift and scale of columns."""

    shift: np.ndarray
    scale: np.ndarray

    @classmethod
    def standard(cls, values: np.ndarray) -> Scaling:
        """Scaling to mean 0 and standard deviation 1; a constant column becomes 0."""
        exact = values.astype(np.float64)
        spread = exact.std(axis=0)
        return cls(exact.mean(axis=0), np.where(spread > 0, spread, 1.0))

    @classmethod
    def to_unit_range(cls, values: np.ndarray) -> Scaling:
        """Scaling to the range from 0 to 1; a constant column becomes 0."""
        exact = values.astype(np.float64)
        low, high = exact.min(axis=0), exact.max(axis=0)
        return cls(low, np.where(high > low, high - low, 1.0))

    def apply(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(((values.astype(np.float64) - self.shift) / self.scale).astype(values.dtype))


def best_possible(samples: np.ndarray, targets: np.ndarray, classes: bool) -> float:
    """The highest accuracy, or R², that a function of the inputs can have on these samples.

    It is below 1 if samples with equal inputs have different targets: the best output for them is their most frequent
    row of targets, or their mean.
    """
    groups, t = _equal_rows(samples), targets.astype(np.float64)
    if groups.max(initial=-1) == len(samples) - 1:  # every sample has inputs of its own
        return 1.0
    if classes:
        pairs, counts = np.unique(np.stack([groups, _equal_rows(targets)]), axis=1, return_counts=True)
        most = np.zeros(len(samples))
        np.maximum.at(most, pairs[0], counts)
        return float(most.sum() / len(samples))
    sums, counts = np.zeros((groups.max() + 1, t.shape[1])), np.bincount(groups)
    np.add.at(sums, groups, t)
    return _score((sums / counts[:, None])[groups], t, classes, Loss.MSE)


def _equal_rows(rows: np.ndarray) -> np.ndarray:
    """Number the rows, equal rows by the same number."""
    exact = np.ascontiguousarray(rows + rows.dtype.type(0))  # -0 as 0
    as_bytes = exact.view(np.dtype((np.void, exact.dtype.itemsize * exact.shape[1])))[:, 0]
    return np.unique(as_bytes, return_inverse=True)[1].reshape(-1)


def truth_table(samples: np.ndarray) -> bool:
    """Whether the samples cover the whole problem: every combination of inputs of two values each."""
    varying = samples[:, (samples != samples[0]).any(axis=0)]
    if not 0 < varying.shape[1] < len(samples).bit_length():
        return False
    two_valued = all(len(np.unique(column)) == 2 for column in varying.T)
    return two_valued and int(_equal_rows(varying).max()) + 1 == 2 ** varying.shape[1]


def score_of_constant(targets: np.ndarray, classes: bool) -> float:
    """The accuracy of the most frequent class, or the R² of the mean, which is 0."""
    t = targets.astype(np.float64)
    if not classes:
        return 0.0
    mean = t.mean(axis=0)
    constant = (mean > 0.5).astype(float) if t.shape[1] == 1 or (t.sum(axis=1) != 1).any() else mean
    return _score(np.broadcast_to(constant, t.shape), t, classes, Loss.BCE)


def _score(guess: np.ndarray, t: np.ndarray, classes: bool, loss: Loss) -> float:
    """The share of right samples, or R², or D²; for several outputs the mean of theirs.

    A guess at a probability or a count is moved slightly towards the mean, because the loss of a guess of 0 can be
    infinite.
    """
    if not classes:
        least, spread = least_and_spread(loss, t)
        if loss != Loss.MSE:
            mean = t.mean(axis=0)
            guess = (NEIGHBOURS * np.clip(guess, 0.0, 1.0 if loss == Loss.BCE else np.inf) + mean) / (NEIGHBOURS + 1)
        return float(np.mean(1.0 - (mean_losses(loss, guess, t) - least) / spread))
    if (t.sum(axis=1) == 1).all() and t.shape[1] > 1:
        return float((guess.argmax(axis=1) == t.argmax(axis=1)).mean())
    return float(((guess > 0.5) == (t > 0.5)).all(axis=1).mean())


def _linear(X: np.ndarray, t: np.ndarray, classes: bool, loss: Loss) -> float:
    """Cross-validated predictions of a linear model of scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge

    one_hot = classes and t.shape[1] > 1 and bool((t.sum(axis=1) == 1).all())
    columns = [t.argmax(axis=1)] if one_hot else list(t.T)
    fold, guesses = folds(t), []
    for column in columns:
        guess = np.empty(len(t))
        for number in range(FOLDS):
            seen, held = fold != number, fold == number
            if (column[seen] == column[seen][0]).all():  # nothing to fit
                guess[held] = column[seen][0]
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = (LogisticRegression(max_iter=500) if classes else Ridge()).fit(X[seen], column[seen])
                guess[held] = fit.predict(X[held])
        guesses.append(guess)
    if not classes:
        return _score(np.stack(guesses, axis=1), t, classes, loss)
    return float(np.all([guess == column for guess, column in zip(guesses, columns, strict=True)], axis=0).mean())
