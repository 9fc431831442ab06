"""
Would more samples help?
========================

Scores on what each fold leaves out, by the number of samples that the nets learn from; twenty seeds on five folds for
each.
"""

from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import fastmlp

X, y = load_digits(return_X_y=True)
X = X / 16
arch = fastmlp.Architecture((64, 32, 10), output="softmax")
settings = {"optimizer": fastmlp.Adam(0.003), "epochs": 30, "batch_size": 32}
curve = fastmlp.learning_curve(arch, X, y, train_sizes=[50, 100, 200, 400, 800, 1400], cv=5, n_seeds=5, **settings)
print(curve)
curve.plot.scores("accuracy")
plt.show()

# %%
# Is there anything to learn at all? The same nets on shuffled targets say what luck would give:

test = fastmlp.permutation_test(arch, X[:300], y[:300], n_permutations=99, **settings)
print(test)
test.plot.scores()
plt.show()
