"""asv: diagnoses and sweeps of many nets. Kernels are warmed up in `setup`."""

import numpy as np

import fastmlp

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


class TimeDiagnosis:
    """`runs.diagnose` of nets 2-4-1 that were trained for 500 epochs."""

    params = (10_000, 100_000)
    param_names = ("nets",)

    def setup(self, nets):
        arch = fastmlp.Architecture((2, 4, 1))
        self.runs = fastmlp.train(arch, X, Y, n_nets=nets, optimizer=fastmlp.SGD(0.5), epochs=500)
        self.runs[:100].diagnose(X, Y)

    def time_diagnose(self, nets):
        self.runs.diagnose(X, Y)


class TimeSweep:
    """200 settings times 100 seeds."""

    grid = {
        "sizes": [(2, 4, 1), (2, 8, 1)],
        "hidden": ["relu", "tanh"],
        "init": ["he_uniform", "glorot_normal"],
        "learning_rate": [0.01, 0.03, 0.1, 0.3, 1.0],
        "l2": [0.0, 1e-4, 1e-3, 1e-2, 1e-1],
    }

    def setup(self):
        self.sweep(1)

    def sweep(self, n_seeds):
        return fastmlp.sweep(X, Y, self.grid, optimizer="sgd", n_seeds=n_seeds, epochs=200)

    def time_sweep(self):
        self.sweep(100)
