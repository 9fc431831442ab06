"""A thousand nets that all solve XOR: those that get stuck begin again, from fresh seeds, until they do.

Run: python examples/until_solved.py
"""

import numpy as np

import fastmlp

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
runs = fastmlp.train(
    fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, optimizer=fastmlp.SGD(0.5), epochs=2000, target_loss=0.05,
    patience=200, restart_stuck=100,
)  # fmt: skip
print(runs)
print("restarts:", {int(k): int(n) for k, n in zip(*np.unique(runs.restarts, return_counts=True), strict=True)})
