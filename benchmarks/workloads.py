"""What is measured: data, nets and optimizer of each row of the comparison, and how fastmlp trains it."""

import functools
from dataclasses import dataclass

import numpy as np

import fastmlp

XOR_X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
XOR_Y = np.array([0, 1, 1, 0])
LABEL_NOISE = 0.2  # share of labels drawn anew, so that nets do not become certain: subnormal gradients slow peers down


@dataclass(frozen=True)
class Workload:
    """A call of `epochs` epochs is measured; what is slow runs fewer of them, and rates are compared."""

    sizes: tuple[int, ...]
    nets: int
    epochs: int
    optimizer: str = "sgd"
    n_samples: int = 4
    batch_size: int | None = None

    @property
    def name(self):
        batch = "full batch" if self.batch_size is None else f"minibatch {self.batch_size}"
        sizes = "-".join(map(str, self.sizes))
        return f"{sizes} {self.optimizer}, {self.n_samples:,} samples, {batch}, {self.nets:,} nets"

    @property
    def learning_rate(self):
        """Of wide nets a smaller one: with a large one rounding errors grow, so that losses can't be compared."""
        return 0.5 if self.optimizer == "sgd" else 0.001 if self.sizes[0] > 100 else 0.01

    @property
    def output(self):
        return "softmax" if self.sizes[-1] > 1 else "sigmoid"

    @property
    def architecture(self):
        return fastmlp.Architecture(self.sizes, output=self.output)

    @property
    def flops(self):
        """Useful ones of a net-epoch."""
        return self.architecture.useful_flops(self.n_samples)

    def data(self):
        """X (S, in) and y (S,): XOR, or noisy blobs, one a class, with some labels at random."""
        return (XOR_X, XOR_Y) if self.sizes[0] == 2 else _blobs(self.sizes[0], max(2, self.sizes[-1]), self.n_samples)

    def train(self, epochs=None, threads=None, nets=None, rate=None, **settings):
        """fastmlp's runs."""
        X, y = self.data()
        rate = self.learning_rate if rate is None else rate
        optimizer = fastmlp.SGD(rate) if self.optimizer == "sgd" else fastmlp.Adam(rate)
        return fastmlp.train(
            self.architecture,
            X,
            y,
            n_nets=nets or self.nets,
            epochs=self.epochs if epochs is None else epochs,
            optimizer=optimizer,
            batch_size=self.batch_size,
            shuffle=False,
            threads=threads,
            **settings,
        )

    def initial(self, nets, dtype="float32"):
        """Weights (n, in, out) and biases (n, out) of the layers, which others start from."""
        runs = self.train(epochs=0, nets=nets, dtype=dtype)
        return [w.copy() for w in runs.weights], [b.copy() for b in runs.biases]


@functools.cache
def _blobs(n_inputs, n_classes, n_samples):
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_samples)
    centres = rng.normal(size=(n_classes, n_inputs))
    X = centres[y] + 2 * rng.normal(size=(n_samples, n_inputs))
    return X, np.where(rng.random(n_samples) < LABEL_NOISE, rng.integers(0, n_classes, n_samples), y)


WORKLOADS = (
    Workload((2, 4, 1), 65_536, 1000),
    Workload((2, 16, 1), 65_536, 400),
    Workload((2, 4, 4, 1), 65_536, 150, "adam"),
    Workload((24, 8, 1), 1024, 300, "adam", 200),
    Workload((30, 32, 1), 256, 100, "adam", 455, 32),
    Workload((64, 64, 10), 64, 25, "adam", 1437, 64),
    # few nets, or wide ones
    Workload((64, 64, 10), 8, 100, "adam", 1437, 64),
    Workload((30, 32, 2), 1, 20, "adam", 455, 32),
    Workload((2, 4, 1), 1, 10_000),
    Workload((784, 256, 10), 1, 4, "adam", 10_000, 128),
    Workload((784, 512, 512, 10), 1, 2, "adam", 10_000, 128),
)
