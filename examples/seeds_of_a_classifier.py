"""
20 seeds of a classifier, with intervals
========================================

Five folds of twenty seeds on the breast-cancer data, in one call: how much of a score is the split, how much the
seed, and what does the average of the seeds add?
"""

import time

from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer

import fastmlp

X, y = load_breast_cancer(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
settings = {"cv": 5, "n_seeds": 20, "optimizer": fastmlp.Adam(0.003), "epochs": 50, "batch_size": 32}

begun = time.perf_counter()
found = fastmlp.cross_validate(fastmlp.Architecture((30, 16, 1)), X, y, metrics=["loss", "accuracy"], **settings)
print(f"{time.perf_counter() - begun:.2f} s for 100 nets")
print(found)

# %%
# A dot for each net, a line for the mean of all seeds' outputs:

found.plot.scores("accuracy")
plt.show()

# %%
# Does a wider layer do better? Over the same folds and seeds:

wider = fastmlp.cross_validate(fastmlp.Architecture((30, 64, 1)), X, y, metrics=["loss", "accuracy"], **settings)
versus = fastmlp.compare(found, wider, metric="accuracy", names=("16 hidden units", "64"))
print(versus)

# %%
versus.plot.intervals()
plt.show()
