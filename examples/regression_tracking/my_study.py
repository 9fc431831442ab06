"""A study that uses fastmlp: the code whose speed is tracked."""

import os

import numpy as np

import fastmlp

ARCHITECTURE = fastmlp.Architecture((4, 8, 1))
SETTINGS = {"optimizer": fastmlp.Adam(0.01), "epochs": 50, "batch_size": 16, "threads": 1}


def samples(n=120):
    """X (n, 4) and y (n,)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def train_all(n_nets=200):
    """The losses of the study's nets, (n_nets,).

    With MY_STUDY_SLOW=1 they are trained call by call, as a careless change could have it: the same losses, much later.
    """
    X, y = samples()
    if os.environ.get("MY_STUDY_SLOW"):
        nets = [fastmlp.train(ARCHITECTURE, X, y, net_ids=[k], **SETTINGS) for k in range(n_nets)]
        return np.concatenate([runs.loss for runs in nets])
    return fastmlp.train(ARCHITECTURE, X, y, n_nets=n_nets, **SETTINGS).loss
