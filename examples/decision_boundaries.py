"""
Where do nets of other seeds disagree?
======================================

200 nets that learnt the same two moons. Their mean is smoother than any of them, and their spread is large where
there are no samples.
"""

from matplotlib import pyplot as plt
from sklearn.datasets import make_moons

import fastmlp

X, y = make_moons(200, noise=0.25, random_state=0)
runs = fastmlp.train(
    fastmlp.Architecture((2, 16, 1), hidden="tanh"), X, y, n_nets=200, optimizer=fastmlp.Adam(0.03), epochs=300
)
print(runs)

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for ax, which, title in zip(axes, (0, "mean", "spread"), ("one net", "the mean", "the spread"), strict=True):
    runs.plot.boundary(X, y, which=which, ax=ax)
    ax.set_title(title)
plt.show()
