"""
Which widths and learning rates solve XOR?
==========================================

72 settings times 1,000 seeds: widths, activations and learning rates, and how often each combination solves XOR.
"""

from matplotlib import pyplot as plt

import fastmlp

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
grid = {
    "sizes": [(2, 2, 1), (2, 4, 1), (2, 8, 1), (2, 16, 1)],
    "hidden": ["relu", "tanh", "leaky_relu"],
    "learning_rate": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0],
}
found = fastmlp.sweep(X, y, grid, optimizer="sgd", epochs=1000, n_seeds=1000)
print(found)
print("Best:", found.best())

# %%
found.plot.success_map("learning_rate", "sizes")
plt.show()
