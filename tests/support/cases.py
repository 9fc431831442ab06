"""Random training jobs: any depth, widths, activation, loss, optimizer, dtype, batch size, weights, L2."""

from dataclasses import fields

import numpy as np

import fastmlp
from fastmlp.settings import NetSelection, TrainSettings, as_optimizer
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job

LOSSES = {
    "sigmoid": ("bce", "mse"),
    "softmax": ("cross_entropy", "mse"),
    "identity": ("mse",),
    "relu": ("mse",),
    "exp": ("poisson",),
}


FIRST = ("relu", "leaky_relu", "tanh", "sigmoid", "identity")  # all nets of these share a compiled kernel


def random_job(rng, max_width=40, max_nets=40, dtype=None, hidden=FIRST):
    """Keyword arguments of `train`, initial weights included."""
    nets, n = int(rng.integers(1, max_nets + 1)), int(rng.integers(1, 30))
    depth = int(rng.integers(1, 5))
    width = max_width if rng.random() < 0.3 else min(8, max_width)
    output = str(rng.choice(list(LOSSES)))
    outputs = int(rng.integers(2, 6)) if output == "softmax" else int(rng.integers(1, 4))
    sizes = (*(int(size) for size in rng.integers(1, width + 1, depth)), outputs)
    names = [str(name) for name in rng.choice(hidden, depth - 1)]

    def setting(low, high):
        return rng.uniform(low, high, nets) if rng.random() < 0.4 else float(rng.uniform(low, high))

    def sometimes_zero(low, high):
        return [0.0, setting(low, high), np.where(rng.random(nets) < 0.5, 0, high)][rng.integers(3)]

    optimizers = (
        lambda: fastmlp.SGD(setting(0.01, 0.5), sometimes_zero(0, 0.9), bool(rng.random() < 0.5)),
        lambda: fastmlp.Adam(
            setting(0.001, 0.1), setting(0.5, 0.95), setting(0.9, 0.999), 1e-8, sometimes_zero(0, 0.1)
        ),
        lambda: fastmlp.RMSprop(setting(0.001, 0.1), setting(0.9, 0.99), 1e-8, sometimes_zero(0, 0.9)),
        lambda: fastmlp.Rprop(setting(0.001, 0.1)),
    )
    arch = fastmlp.Architecture(sizes, names, output, bool(rng.random() < 0.8), setting(0, 0.3))
    targets = {
        "softmax": lambda: rng.integers(0, outputs, n),
        "sigmoid": lambda: rng.integers(0, 2, (n, outputs)),
        "exp": lambda: rng.poisson(2.0, (n, outputs)),
    }.get(output, lambda: rng.normal(size=(n, outputs)))
    return {
        "architecture": arch,
        "X": rng.normal(size=(n, sizes[0])),
        "y": targets(),
        "n_nets": nets,
        "seed": int(rng.integers(0, 2**63)),
        "optimizer": optimizers[rng.integers(4)](),
        "epochs": int(rng.integers(0, 6)),
        "loss": str(rng.choice(LOSSES[output])),
        "init": (
            [rng.normal(size=(nets, a, b)) * 0.7 for a, b in arch.shapes],
            [rng.normal(size=(nets, b)) * 0.3 for _, b in arch.shapes] if arch.bias else [],
        ),
        "batch_size": [None, 1, 2, 3, 4, 5, 8, 100][rng.integers(8)],
        "shuffle": bool(rng.random() < 0.7),
        "l2": sometimes_zero(0, 0.1),
        "dropout": sometimes_zero(0, 0.7) if depth > 1 and rng.random() < 0.5 else 0.0,
        "sample_weight": [None, rng.uniform(0, 2, n) + 1e-3, rng.uniform(0, 2, (nets, n)) + 1e-3][rng.integers(3)],
        "dtype": dtype or str(rng.choice(["float32", "float64"])),
    }


def planned(**settings):
    """The job and the empty results that `train` would make of these settings."""
    nets = {field.name: settings.pop(field.name) for field in fields(NetSelection) if field.name in settings}
    options = {field.name: settings.pop(field.name) for field in fields(JobOptions) if field.name in settings}
    X, y, kernel, threads = (settings.pop(name, None) for name in ("X", "y", "kernel", "threads"))
    settings = TrainSettings(**settings).changed(optimizer=as_optimizer(settings.get("optimizer", "adam")))
    return prepare_job(
        settings, X, y, NetSelection(**nets), kernel=kernel, threads=threads, options=JobOptions(**options)
    )
