"""What `GridSearchCV` takes with one job and with two: python -m benchmarks.grid_search

The first search with two jobs starts two processes, each of which imports scikit-learn and Numba and loads the kernels;
later searches find them running. Workers compile nothing that is cached, and use the threads that joblib leaves them.
"""

import time
import warnings

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier

GRID = {"alpha": [1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 1e-2]}
FITS = {"18 fits of 100 epochs": {"max_iter": 100}, "18 fits of 1,500 epochs": {"max_iter": 1500, "tol": 0.0}}


def main():
    warnings.simplefilter("ignore")
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    MLPClassifier((16,), max_iter=2).fit(X, y)  # the kernels are cached then
    for name, settings in FITS.items():
        model = MLPClassifier((16,), n_iter_no_change=10_000, random_state=0, **settings)
        for jobs, which in ((None, ""), (2, ", first"), (2, ", again")):
            begun = time.perf_counter()
            GridSearchCV(model, GRID, cv=3, n_jobs=jobs).fit(X, y)
            print(f"{name}, n_jobs={jobs}{which}: {time.perf_counter() - begun:.2f} s", flush=True)


if __name__ == "__main__":
    main()
