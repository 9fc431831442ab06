"""Hashes of a few small jobs, the same on every instruction set: `python tests/support/golden.py [--write] [NAME …]`.

Run by itself (it needs numpy and numba alone), so that other processors, and an emulated one, can be asked too. `--write`
refuses hashes that have changed while `fastmlp.BITS_VERSION` has not.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import fastmlp

FILE = Path(__file__).with_name("golden.json")
X4, Y4 = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def _data(seed, n, n_in, classes):
    rng = np.random.Generator(np.random.PCG64(seed))
    X = rng.integers(-512, 513, (n, n_in)) / 256
    return X, rng.integers(0, classes, n)


def _xor(**settings):
    arch = fastmlp.Architecture((2, 4, 1))
    return lambda kernel: fastmlp.train(arch, X4, Y4, n_nets=40, epochs=60, kernel=kernel, **settings)


def _classes(dtype):
    X, y = _data(1, 37, 5, 3)
    arch = fastmlp.Architecture((5, 9, 6, 3), ("tanh", "leaky_relu"), "softmax")
    return lambda kernel: fastmlp.train(
        arch,
        X,
        y,
        n_nets=35,
        epochs=5,
        batch_size=8,
        optimizer="adam",
        init="glorot_normal",
        l2=0.01,
        dtype=dtype,
        kernel=kernel,
    )


def _values(kernel):
    X, y = _data(2, 10, 3, 7)
    arch = fastmlp.Architecture((3, 7, 2), "sigmoid", "identity")
    targets = np.stack([y, -y], axis=1) / 8
    return fastmlp.train(
        arch,
        X,
        targets,
        n_nets=20,
        epochs=8,
        optimizer="rprop",
        init="torch",
        sample_weight=np.arange(1, 11),
        kernel=kernel,
    )


def _counts(kernel):
    X, y = _data(3, 40, 4, 6)
    arch = fastmlp.Architecture((4, 7, 5, 2), ("tanh", "relu"), "exp")
    counts = np.stack([y, 6 - y], axis=1)
    return fastmlp.train(
        arch,
        X[:30],
        counts[:30],
        n_nets=20,
        epochs=12,
        batch_size=7,
        optimizer=fastmlp.Adam(0.02, weight_decay=0.1),
        dropout=np.arange(20) / 40,
        bootstrap=True,
        schedule=2.0 ** -np.arange(12),
        validation=(X[30:], counts[30:], np.arange(1, 11)),
        patience=2,
        validation_score="r2",
        kernel=kernel,
    )


def _activations(kernel):
    X, y = _data(4, 23, 4, 2)
    names = ("elu", "selu", "softsign", "softplus", "silu", "mish", "gelu")
    arch = fastmlp.Architecture((4, 5, 6, 7, 5, 6, 7, 5, 1), names)
    return fastmlp.train(
        arch, X, y, n_nets=20, epochs=6, batch_size=9, optimizer=fastmlp.Adam(0.02), dropout=0.1, kernel=kernel
    )


def _own_samples(kernel):
    X, y = _data(5, 40, 4, 3)
    rows = [np.arange(k % 5, 40, 2 + k % 3)[: 4 + k] for k in range(20)]
    arch = fastmlp.Architecture((4, 6, 3), "tanh", "softmax")
    return fastmlp.train(
        arch,
        X,
        y,
        rows=rows,
        validation_rows="rest",
        patience=3,
        epochs=7,
        batch_size=5,
        optimizer="adam",
        dropout=0.1,
        sample_weight=np.arange(1, 41),
        kernel=kernel,
    )


JOBS = {
    "xor sgd": _xor(optimizer=fastmlp.SGD(0.5), target_loss=0.3),
    "xor online momentum": _xor(optimizer=fastmlp.SGD(0.1, 0.5, True), batch_size=1),
    "xor adam float64": _xor(optimizer=fastmlp.Adam(0.05), dtype="float64"),
    "xor rmsprop": _xor(optimizer="rmsprop", init=fastmlp.Normal(0.5, bias=fastmlp.Uniform(-1, 1))),
    "classes float32": _classes("float32"),
    "classes float64": _classes("float64"),
    "values rprop": _values,
    "counts, dropout, validation": _counts,
    "activations": _activations,
    "own samples": _own_samples,
}


def golden_hash(name, kernel=None):
    runs = JOBS[name](kernel)
    digest = hashlib.sha256()
    for array in (runs.parameters, runs.loss, runs.epochs, runs.status):
        digest.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes())
    return digest.hexdigest()[:32]


def write(hashes, file=FILE):
    """Write the hashes of this `fastmlp.BITS_VERSION`; ends the program if it should have risen."""
    before = json.loads(file.read_text())
    changed = [name for name, value in hashes.items() if before["hashes"].get(name, value) != value]
    if changed and before["bits_version"] >= fastmlp.BITS_VERSION:
        sys.exit(
            f"the bits of {', '.join(changed)} have changed: raise BITS_VERSION above {before['bits_version']} in "
            "fastmlp/_version.py, and say so in CHANGELOG.md"
        )
    content = {"bits_version": fastmlp.BITS_VERSION, "hashes": before["hashes"] | hashes}
    file.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    names = [name for name in sys.argv[1:] if name != "--write"] or list(JOBS)
    hashes = {name: golden_hash(name) for name in names}
    for name in names:
        if golden_hash(name, "units") != hashes[name]:
            sys.exit(f"{name}: the units kernel gives other bits")
    if "--write" in sys.argv:
        write(hashes)
    print(json.dumps(hashes))
