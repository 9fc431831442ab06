"""Which widths, activations and learning rates solve XOR, and how often: 72 settings times 1,000 seeds.

Run: python examples/sweep_xor.py
"""

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

try:
    found.plot.success_map("learning_rate", "sizes").figure.savefig("sweep_xor.png", dpi=110)
except ImportError:
    print('For a picture install matplotlib: pip install "fastmlp[plot]"')
else:
    print("Picture: sweep_xor.png")
