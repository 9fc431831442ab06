"""The samples of each fold, from a number, a splitter, or pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp.architecture import Architecture
from fastmlp.distributing.data import Data

Fold = tuple[np.ndarray, np.ndarray]  # samples to train on, and to score on


def folds_of(cv: Any, data: Data, groups: Any, architecture: Architecture) -> list[Fold]:
    """The checked samples of each fold."""
    n_samples = len(data.X)
    if groups is not None and np.shape(groups) != (n_samples,):
        raise ValueError(f"groups has shape {np.shape(groups)}; needs ({n_samples},), one a sample")
    if groups is not None and not callable(getattr(cv, "split", None)):
        raise ValueError(
            f"groups with cv={cv!r}: needs a splitter that keeps groups together, such as cv=GroupKFold({cv!r}) of "
            "sklearn.model_selection"
        )
    if isinstance(cv, (int, np.integer)) and not isinstance(cv, bool):
        checks.whole_number("cv", cv, 2, n_samples)
        try:
            from sklearn.model_selection import check_cv
        except ImportError as error:
            raise ImportError(
                "a number of folds needs scikit-learn: pip install 'fastmlp[sklearn]', or pass the folds as pairs "
                "(train, test)"
            ) from error
        labels = data.y
        if architecture.output == "softmax" and labels.ndim == 2:
            labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
        is_class = labels.ndim == 1 or labels.shape[1] == 1
        is_class = is_class and (architecture.output == "softmax" or checks.counts_accuracy(labels))
        cv = check_cv(cv, labels.ravel() if is_class else None, classifier=is_class)
        pairs = cv.split(data.X, labels.ravel() if is_class else None, groups)
    elif not isinstance(cv, (str, bytes)) and callable(getattr(cv, "split", None)):
        pairs = cv.split(data.X, data.y, groups)
    elif isinstance(cv, Iterable) and not isinstance(cv, (str, bytes)):
        pairs = cv
    else:
        raise TypeError(f"cv={cv!r}: needs a number of folds, a splitter of scikit-learn, or pairs (train, test)")
    folds = []
    for k, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"cv: fold {k} is {pair!r}; needs a pair (train, test) of sample numbers or masks")
        rows, held = pair
        folds.append((_sample_numbers(k, "train", rows, n_samples), _sample_numbers(k, "test", held, n_samples)))
    if not folds:
        raise ValueError("cv gives no folds; needs at least one")
    return folds


def _sample_numbers(fold: int, name: str, given: Any, n_samples: int) -> np.ndarray:
    rows = np.asarray(given)
    if rows.dtype == bool and rows.shape == (n_samples,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or not rows.size or rows.dtype.kind not in "iu":
        raise ValueError(
            f"cv: the {name} samples of fold {fold} have dtype {rows.dtype} and shape {rows.shape}; need a row of "
            f"sample numbers, or a mask of shape ({n_samples},)"
        )
    if rows.min() < 0 or rows.max() >= n_samples:
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise ValueError(f"cv: fold {fold} has the sample {wrong}; X has the samples 0 to {n_samples - 1}")
    return rows.astype(np.int64)
