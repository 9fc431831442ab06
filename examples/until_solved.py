"""
A thousand nets that all solve XOR
==================================

Nets that get stuck begin again, from fresh seeds, until all are solved. How many times must a net begin?
"""

import numpy as np
from matplotlib import pyplot as plt

import fastmlp

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
runs = fastmlp.train(
    fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, optimizer=fastmlp.SGD(0.5), epochs=2000, target_loss=0.05,
    patience=200, restart_stuck=100,
)  # fmt: skip
print(runs)

# %%
restarts, nets = np.unique(runs.restarts, return_counts=True)
plt.bar(restarts, nets)
plt.yscale("log")
plt.xlabel("restarts that a net needed")
plt.ylabel("nets")
plt.show()
