"""
A net that prints 0.5 for every input
=====================================

A net written by hand in NumPy, as people write it, and what fastmlp says of it: first of its gradients, then of its
settings.
"""

import numpy as np
from matplotlib import pyplot as plt

import fastmlp

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
y = np.array([0, 1, 1, 0])

# The net as people write it: 2-3-3-1, ReLU, a sigmoid output, normal weights times 0.001, cross-entropy.
rng = np.random.default_rng(0)
weights = [0.001 * rng.normal(size=(a, b)) for a, b in ((2, 3), (3, 3), (3, 1))]
biases = [np.zeros(3), np.zeros(3), np.zeros(1)]


def step(learning_rate):
    """One step of gradient descent; returns the outputs and the gradients it was taken with."""
    outputs = [X]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = outputs[-1] @ w + b
        outputs.append(np.maximum(0, z) if layer < 2 else 1 / (1 + np.exp(-z)))
    delta = (outputs[-1] - y[:, None]) / len(X)
    gradients = [None] * 3, [None] * 3
    for layer in (2, 1, 0):
        gradients[0][layer], gradients[1][layer] = outputs[layer].T @ delta, delta.sum(axis=0)
        delta = (delta @ weights[layer].T) * (outputs[layer] > 0)
    for layer in range(3):
        weights[layer] = weights[layer] - learning_rate * gradients[0][layer]
        biases[layer] = biases[layer] - learning_rate * gradients[1][layer]
    return outputs[-1], gradients


before = [w.copy() for w in weights], [b.copy() for b in biases]
_, gradients = step(0.01)
for _ in range(999):
    outputs, _ = step(0.01)
print("It prints", outputs.ravel().round(4))

# %%
# Is the backpropagation at fault?

arch = fastmlp.Architecture((2, 3, 3, 1))
print(fastmlp.audit_gradients(arch, *before, X, y, *gradients))

# %%
# No. The initial weights, the learning rate, or luck? Ten thousand restarts of the same tell:

runs = fastmlp.train(arch, X, y, n_nets=10_000, init=fastmlp.Normal(0.001), optimizer=fastmlp.SGD(0.01), epochs=1000)
diagnosis = runs.diagnose(X, y, try_fixes=True)
print(diagnosis)

# %%
# The same seeds, each with one change:

names = [trial.fix.name for trial in diagnosis.trials]
plt.barh(names, [trial.after / trial.n_nets for trial in diagnosis.trials])
plt.gca().invert_yaxis()
plt.xlabel("share of nets solved")
plt.tight_layout()
plt.show()
