"""
A million restarts, and what is kept of them
============================================

A survey counts: its memory does not grow with the number of nets, and any of them can be trained again, to the same
bits.
"""

from matplotlib import pyplot as plt

import fastmlp

X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
found = fastmlp.survey(
    fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1_000_000, optimizer=fastmlp.SGD(0.5), epochs=2000, target_loss=0.1
)
print(found)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
found.plot.losses(ax=left)
found.plot.solved(ax=right)
plt.show()

# %%
# The best net of the million:

net = found.retrain([found.best[0].number])[0]
print(net)
print(net.predict(X).ravel().round(3))
