"""asv: what is built on `train`. Kernels are warmed up in `setup`; commits that lack a feature are left out."""

import tempfile
import warnings
from pathlib import Path

import numpy as np

import fastmlp

XOR_X, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
TINY = fastmlp.Architecture((2, 4, 1))
SMALL = fastmlp.Architecture((8, 8, 1))


def needs(*names):
    """Leave a benchmark out on commits without these names."""
    if missing := [name for name in names if not hasattr(fastmlp, name)]:
        raise NotImplementedError(f"no {', '.join(missing)}")


def samples(n, seed=0):
    """X (n, 8) and y (n,) with a fifth of the labels at random."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    noisy = rng.random(n) < 0.2
    y[noisy] = rng.integers(0, 2, noisy.sum())
    return X, y


class TimeDiagnosis:
    """`runs.diagnose` of nets 2-4-1 that were trained for 500 epochs."""

    params = (10_000, 100_000)
    param_names = ("nets",)

    def setup(self, nets):
        self.runs = fastmlp.train(TINY, XOR_X, XOR_Y, n_nets=nets, optimizer=fastmlp.SGD(0.5), epochs=500)
        self.runs[:100].diagnose(XOR_X, XOR_Y)

    def time_diagnose(self, nets):
        self.runs.diagnose(XOR_X, XOR_Y)


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
        return fastmlp.sweep(XOR_X, XOR_Y, self.grid, optimizer="sgd", n_seeds=n_seeds, epochs=200)

    def time_sweep(self):
        self.sweep(100)


class TimeSurvey:
    """A survey of 200,000 nets in this process."""

    def setup(self):
        needs("survey")
        self.survey(1000)

    def survey(self, n_nets):
        return fastmlp.survey(
            TINY, XOR_X, XOR_Y, n_nets=n_nets, optimizer=fastmlp.SGD(0.5), epochs=500, target_loss=0.1
        )

    def time_survey(self):
        self.survey(200_000)

    def peakmem_survey(self):
        self.survey(200_000)


class TimeFolds:
    """5 folds of 20 seeds, and what is built on them."""

    def setup(self):
        needs("cross_validate")
        self.X, self.y = samples(500)
        self.time_cross_validate()

    def settings(self, **more):
        return {"optimizer": fastmlp.Adam(0.01), "epochs": 50, "batch_size": 32, **more}

    def time_cross_validate(self):
        fastmlp.cross_validate(SMALL, self.X, self.y, cv=5, n_seeds=20, **self.settings())

    def time_learning_curve(self):
        fastmlp.learning_curve(SMALL, self.X, self.y, train_sizes=[50, 400], cv=5, n_seeds=20, **self.settings())


class TimeOwnSamples:
    """A model for each of 2,000 groups of 20 to 60 samples."""

    def setup(self):
        needs("cross_validate", "learning_curve")  # the commits with groups have these
        counts = np.random.default_rng(1).integers(20, 61, 2000)
        self.groups = np.repeat(np.arange(2000), counts)
        self.X, self.y = samples(len(self.groups))
        self.time_groups()

    def time_groups(self):
        fastmlp.train(SMALL, self.X, self.y, groups=self.groups, optimizer=fastmlp.Adam(0.01), epochs=50)

    def time_groups_in_minibatches(self):
        fastmlp.train(SMALL, self.X, self.y, groups=self.groups, optimizer=fastmlp.Adam(0.01), epochs=10, batch_size=10)


class TimeScores:
    """Predictions of 2,000 nets on 10,000 samples."""

    def setup(self):
        self.X, self.y = samples(10_000)
        self.runs = fastmlp.train(SMALL, self.X[:100], self.y[:100], n_nets=2000, epochs=1)
        self.time_predict_mean()

    def time_predict_mean(self):
        self.runs.predict(self.X, reduce="mean")


class TimeEvaluate:
    """Scores of 2,000 nets on 10,000 samples."""

    def setup(self):
        if not hasattr(fastmlp.Runs, "evaluate"):
            raise NotImplementedError("no evaluate")
        self.X, self.y = samples(10_000)
        self.runs = fastmlp.train(SMALL, self.X[:100], self.y[:100], n_nets=2000, epochs=1)
        self.time_evaluate()

    def time_evaluate(self):
        self.runs.evaluate(self.X, self.y, metrics="accuracy")


class TimeSearch:
    """12 settings on 5 folds with `MLPSearchCV`, against `GridSearchCV` over the same estimator."""

    timeout = 300
    grid = {"alpha": [1e-4, 1e-3, 1e-2], "learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2]}

    def setup(self):
        needs("MLPSearchCV")
        warnings.simplefilter("ignore")  # 20 epochs are too few to converge
        self.X, self.y = samples(300)
        self.time_search_cv()

    def model(self):
        return fastmlp.MLPClassifier((8,), max_iter=20, early_stopping=True, n_restarts=5, random_state=0)

    def time_search_cv(self):
        fastmlp.MLPSearchCV(self.model(), self.grid, cv=5).fit(self.X, self.y)

    def time_grid_search_cv(self):
        from sklearn.model_selection import GridSearchCV

        GridSearchCV(self.model(), self.grid, cv=5).fit(self.X, self.y)


class TimeFiles:
    """Files and checkpoints of 100,000 nets."""

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "nets")
        self.runs = fastmlp.train(TINY, XOR_X, XOR_Y, n_nets=100_000, epochs=1)
        self.time_save()

    def teardown(self):
        self.folder.cleanup()

    def time_save(self):
        self.runs.save(self.path)

    def time_load(self):
        fastmlp.load(self.path)


class TimeAudit:
    """Gradients with a mistake, of a net 8-16-8-1."""

    def setup(self):
        arch = fastmlp.Architecture((8, 16, 8, 1))
        X, y = samples(20)
        runs = fastmlp.train(arch, X, y, epochs=0)
        weights, biases = [w[0] for w in runs.weights], [b[0] for b in runs.biases]
        right = fastmlp.loss_and_gradients(arch, [w[None] for w in weights], [b[None] for b in biases], X, y)
        wrong = [2 * g[0] for g in right.weight_gradients], [2 * g[0] for g in right.bias_gradients]
        self.arguments = arch, weights, biases, X, y, *wrong
        self.time_audit()

    def time_audit(self):
        fastmlp.audit_gradients(*self.arguments)
