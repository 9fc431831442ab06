"""
A model for each of 500 groups
==============================

Each group has 20 to 60 samples and a rule of its own. One net for all of them can't know the rules; a net for each can.
"""

import numpy as np
from matplotlib import pyplot as plt

import fastmlp

rng = np.random.default_rng(0)
N = 500
group = np.repeat(np.arange(N), rng.integers(20, 61, N))
rule = rng.normal(size=(N, 4))
X = rng.normal(size=(len(group), 4))
y = ((X * rule[group]).sum(axis=1) > 0).astype(int)
held = rng.random(len(group)) < 0.25  # for the scores
settings = {"optimizer": fastmlp.Adam(0.02), "epochs": 100}
arch = fastmlp.Architecture((4, 8, 1))

runs = fastmlp.train(arch, X[~held], y[~held], groups=group[~held], **settings)
known = np.isin(group, group[~held]) & held
each = runs[np.unique(group[known])].evaluate(X[known], y[known], groups=group[known], metrics="accuracy")["accuracy"]
one = fastmlp.train(arch, X[~held], y[~held], **settings)
common = one.evaluate(X[held], y[held], metrics="accuracy")["accuracy"][0]
print(f"{len(runs)} nets in {runs.train_seconds:.2f} s")

# %%
plt.hist(each, 20, color="C0")
plt.axvline(common, color="C1", label=f"one net for all: {common:.2f}")
plt.axvline(each.mean(), color="C0", linestyle="--", label=f"a net for each: {each.mean():.2f} on average")
plt.xlabel("accuracy on samples that were left out")
plt.ylabel("groups")
plt.legend()
plt.show()
