"""What `MLPClassifier` and `MLPRegressor` share: scikit-learn's parameters and attributes, on this library's nets.

It knows nothing of classes and labels; the two estimators turn targets into what a net is trained on, and outputs into
predictions. Where scikit-learn's conventions differ from those of `train`, the estimators follow scikit-learn's.
"""

from __future__ import annotations

import functools
import signal
import warnings
from collections.abc import Callable
from copy import copy
from multiprocessing import current_process
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastmlp._engine.interrupts import SIGTERM
from fastmlp._engine.predict import is_small, predict, predict_mean
from fastmlp._engine.processors import available_threads
from fastmlp._kernels.formulas.activations import RECORDS
from fastmlp.architecture import Architecture
from fastmlp.estimators._lbfgs import minimize_each
from fastmlp.estimators._random import Orders, initial_weights, seed_of
from fastmlp.estimators._results import Printer, known, last, packed, state_to_go_on_from, without_results
from fastmlp.optimizers import SGD, Adam, Optimizer, RMSprop, Rprop
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job
from fastmlp.training.runner import Runner

ACTIVATIONS = {record.scikit_learn or record.name: record.name for record in RECORDS if record.hidden}
"""The names in `Architecture` of the activations by their names in scikit-learn, where it has them."""
OUTPUTS = {"identity": "identity", "logistic": "sigmoid", "softmax": "softmax", "exp": "exp"}
DENSE_BYTES = 2**25  # of sparse inputs that are made dense at once to predict from
CALLER = 4  # frames from a warning to the caller of fit
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


class Fit(NamedTuple):
    """A call of `fit` before its nets are trained."""

    settings: TrainSettings
    """Without samples."""
    X: np.ndarray
    targets: np.ndarray
    """As `train` takes them."""
    weights: np.ndarray | None
    rows: np.ndarray | None
    """The samples to train on; None for all."""
    held_rows: np.ndarray | None
    """Those to score on."""
    held_out: tuple | None
    """Others to score on, as `train` takes them."""
    initial: np.ndarray | None
    earlier: Runs | None
    orders: Orders | None
    seed: int
    incremental: bool

    @property
    def n_samples(self) -> int:
        """Number of samples to train on."""
        return len(self.X) if self.rows is None else len(self.rows)

    @property
    def first_epoch(self) -> int:
        return 0 if self.earlier is None or self.earlier.state is None else self.earlier.state.epoch

    def samples(self) -> tuple[TrainSettings, np.ndarray, np.ndarray]:
        """The settings with what belongs to the samples, and the samples."""
        X, targets, weights, validation = self.X, self.targets, self.weights, self.held_out
        if self.rows is not None:
            held = self.held_rows
            validation = X[held], targets[held], None if weights is None else weights[held]
            X, targets = X[self.rows], targets[self.rows]
            weights = None if weights is None else weights[self.rows]
        return self.settings.changed(sample_weight=weights, validation=validation), X, targets


class BaseMLP(BaseEstimator):
    """Nets trained with scikit-learn's conventions."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), "array-like"],
        "solver": [StrOptions({"lbfgs", "sgd", "adam", "rmsprop", "rprop"})],
        "alpha": [Interval(Real, 0, None, closed="left"), "array-like"],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "beta_2": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "epsilon": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "n_restarts": [Interval(Integral, 1, None, closed="left")],
        "combine": [StrOptions({"best", "average"})],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "bootstrap": ["boolean"],
        "n_jobs": [None, Integral],
        "progress": ["boolean"],
    }
    _validation_score: str
    _parameter_names: tuple[str, ...]

    def __init__(self, given: dict[str, Any]) -> None:
        """Keep what a constructor was given, its `locals()`, as it is."""
        for name, value in given.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """scikit-learn's, found once for a class: every clone asks for them several times."""
        names = vars(cls).get("_parameter_names")
        if names is None:
            names = cls._parameter_names = tuple(super()._get_param_names())
        return list(names)

    def _loss_of_net(self) -> str:
        """The loss's name in `train`."""
        raise NotImplementedError

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        raise NotImplementedError

    def _net_targets(self, y: np.ndarray) -> np.ndarray:
        """Targets as `train` takes them, from those of `_validate_input`."""
        raise NotImplementedError

    def _output_activation(self) -> str:
        """The output's activation, by scikit-learn's name."""
        raise NotImplementedError

    def _held_out_targets(self, y: Any) -> np.ndarray:
        """Targets of `y_val`, as those of `_validate_input`."""
        raise NotImplementedError

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                f"partial_fit is only available for stochastic optimizers. {self.solver} is not stochastic."
            )
        return True

    # ------------------------------------------------------------------------------------------------- fitting

    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False, held_out: tuple | None = None
    ) -> BaseMLP:
        if not (incremental and hasattr(self, "coefs_")):  # as in scikit-learn
            self._validate_params()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        if held_out is not None and (held_out[0] is None) != (held_out[1] is None):
            raise ValueError("X_val and y_val belong together: pass both or neither")
        hidden = [int(size) for size in np.atleast_1d(self.hidden_layer_sizes)]
        if min(hidden, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._class_weighted(y, sample_weight)
        X, y = _dense(X), y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        random_state = check_random_state(self.random_state)
        if first_pass:
            self._begin()
        architecture = self._architecture(X.shape[1], hidden)
        earlier = None if first_pass else self._earlier_runs(architecture, X.dtype)
        initial = None
        if earlier is None:
            self._seed = seed_of(random_state, self.random_state)
            logistic = self.activation == "logistic"
            initial = initial_weights(architecture, self.n_restarts, logistic, random_state, X.dtype)
        if self.solver == "lbfgs":
            self._fit_lbfgs(architecture, initial, earlier, X, y, sample_weight)
        else:
            fit = self._prepared(
                architecture, initial, earlier, X, y, sample_weight, incremental, held_out, random_state
            )
            self._train_prepared(fit)
        return self

    def _train_prepared(self, fit: Fit) -> None:
        """Train the nets of a call of `fit`, at once."""
        self._fit_stochastic(fit)

    def _class_weighted(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:  # noqa: ARG002
        return sample_weight

    def _begin(self) -> None:
        self.out_activation_ = self._output_activation()
        self.n_iter_ = self.t_ = 0
        if self.solver != "lbfgs":
            self._begin_curves()

    def _begin_curves(self) -> None:
        self.loss_curve_: list[float] = []
        self.validation_curve_: list[float] | None = None
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _architecture(self, n_inputs: int, hidden: list[int]) -> Architecture:
        names = [self.activation] * len(hidden) if isinstance(self.activation, str) else list(self.activation)
        unknown = [name for name in names if name not in ACTIVATIONS]
        if unknown:
            raise ValueError(f"activation has {unknown[0]!r}: use one of {', '.join(map(repr, ACTIVATIONS))}")
        if len(names) != len(hidden):
            raise ValueError(
                f"activation names {len(names)} activations for {len(hidden)} hidden layers: give one, or one for each"
            )
        self.n_layers_ = len(hidden) + 2
        hidden_names = tuple(ACTIVATIONS[name] for name in names)
        return _architecture((n_inputs, *hidden, self.n_outputs_), hidden_names, OUTPUTS[self.out_activation_])

    def _optimizer_of_net(self) -> Optimizer:
        rate = self._per_net(self.learning_rate_init)
        if self.solver == "sgd":
            return _optimizer(SGD, rate, self._per_net(self.momentum), self.nesterovs_momentum)
        if self.solver == "adam":
            others = (self.beta_1, self.beta_2, self.epsilon)
            return _optimizer(Adam, rate, *map(self._per_net, others))
        if self.solver == "rmsprop":
            return _optimizer(RMSprop, rate, epsilon=self._per_net(self.epsilon))
        return _optimizer(Rprop, rate)

    def _per_net(self, value: Any) -> Any:
        return value if np.ndim(value) == 0 else np.asarray(value, np.float64)

    def _threads(self) -> int:
        """As joblib reads n_jobs, except that None stands for all processors that joblib leaves to this process."""
        if self.n_jobs is not None:  # where joblib counts a cluster, no more than this worker has
            return min(effective_n_jobs(self.n_jobs), max(1, available_threads()))
        if get_active_backend()[0].nesting_level or current_process().daemon:
            return min(available_threads(), effective_n_jobs(-1))
        return available_threads()  # joblib would read the same files, each time

    def _prepared(
        self,
        architecture: Architecture,
        initial: np.ndarray | None,
        earlier: Runs | None,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
        incremental: bool,
        held_out: tuple | None,
        random_state: np.random.RandomState,
    ) -> Fit:
        if not hasattr(self, "loss_curve_"):  # the last call was lbfgs's
            self._begin_curves()
        rows, held_rows, validation = self._split(X, y, held_out, random_state)
        n_samples = len(X) if rows is None else len(rows)
        batch_size = self._batch_size(n_samples)
        optimizer = self._optimizer_of_net()
        first_epoch = 0
        if earlier is not None:
            earlier.state = state_to_go_on_from(earlier, optimizer, incremental)
            first_epoch = earlier.state.epoch
        n_epochs = 1 if incremental else self.max_iter
        orders = Orders(n_samples, random_state, n_epochs) if self.shuffle and batch_size < n_samples else None
        settings = self._settings(architecture, optimizer, n_epochs, batch_size, X.dtype).changed(
            schedule=self._schedule(n_samples, first_epoch, incremental)
        )
        targets, seed = self._net_targets(y), self._seed
        held = rows, held_rows, validation
        return Fit(settings, X, targets, sample_weight, *held, initial, earlier, orders, seed, incremental)

    def _fit_stochastic(self, fit: Fit) -> None:
        options = JobOptions(
            parameters=fit.initial, sklearn=True, watch_only=not self.early_stopping, orders=fit.orders
        )
        nets, threads = NetSelection(seed=fit.seed, warm_start=fit.earlier), self._threads()
        job, runs = prepare_job(*fit.samples(), nets, threads=threads, options=options)
        runner = Runner(job, runs, threads)
        runner.compile(self.progress)
        printer = Printer(runs, fit.first_epoch) if self.verbose else None
        interrupted = runner.run(self.progress, printer)
        if interrupted is not None and interrupted == SIGTERM:
            signal.raise_signal(interrupted)  # scikit-learn's estimators let it end the process
        if interrupted:
            warnings.warn("Training interrupted by user.", stacklevel=CALLER + 1)
        waited = job.validation.waited if self.early_stopping and job.validation is not None else None
        self._finish(fit, runs, waited, bool(interrupted))

    def _finish(self, fit: Fit, runs: Runs, waited: np.ndarray | None, interrupted: bool) -> None:
        """Take what training gave; `waited` are the epochs that nets waited for a better validation score."""
        trained = runs.epochs - (0 if fit.earlier is None else fit.earlier.epochs)
        if fit.orders is not None:
            fit.orders.finish(int(trained.max()))
        runs.history = known(runs.history, trained)
        runs.validation_history = known(runs.validation_history, trained)
        runs.validation_losses = known(runs.validation_losses, trained)
        assert runs.state is not None
        if waited is None:
            waited = runs.state.watched[1]
        self._take(runs, fit.n_samples, trained, warn=not fit.incremental and not interrupted, waited=waited)

    def _batch_size(self, n_samples: int) -> int:
        if self.batch_size == "auto":
            return min(200, n_samples)
        if self.batch_size > n_samples:
            clipped = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            warnings.warn(clipped, stacklevel=CALLER + 1)
        return min(self.batch_size, n_samples)

    def _settings(
        self, architecture: Architecture, optimizer: Optimizer, epochs: int, batch_size: int, dtype: np.dtype
    ) -> TrainSettings:
        """The parameters as `train` takes them, but for the data and the schedule."""
        return TrainSettings(
            architecture,
            optimizer,
            epochs=epochs,
            loss=self._loss_of_net(),
            batch_size=batch_size,
            shuffle=self.shuffle,
            l2=self._per_net(self.alpha),
            dropout=self._per_net(self.dropout),
            bootstrap=self.bootstrap,
            patience=None if self.n_iter_no_change == np.inf else self.n_iter_no_change + 1,
            tol=self.tol,
            validation_score=self._validation_score,
            record_every=1,
            keep_state=True,
            dtype=dtype,
        )

    def _split(
        self, X: np.ndarray, y: np.ndarray, held_out: tuple | None, random_state: np.random.RandomState
    ) -> tuple[np.ndarray | None, np.ndarray | None, tuple | None]:
        """The samples to train on and those held out, None for all and none, and what was given to score on."""
        if held_out is not None and held_out[0] is not None:
            X_val = _dense(validate_data(self, held_out[0], accept_sparse=["csr", "csc"], dtype=X.dtype, reset=False))
            y_val = self._held_out_targets(held_out[1])
            if len(y_val) != len(X_val):
                raise ValueError(f"X_val has {len(X_val)} samples, y_val {len(y_val)}: both need the same number")
            weights = None if held_out[2] is None else _check_sample_weight(held_out[2], X_val)
            return None, None, (X_val, self._net_targets(y_val.reshape(len(y_val), -1)), weights)
        if not self.early_stopping:
            return None, None, None
        rows, held_rows = train_test_split(
            np.arange(len(X)), random_state=random_state, test_size=self.validation_fraction, stratify=self._stratify(y)
        )
        if len(held_rows) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return rows, held_rows, None

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:  # noqa: ARG002
        return None

    def _schedule(self, n_samples: int, first_epoch: int, incremental: bool) -> Callable[[int], float] | str | None:
        """scikit-learn's learning rates, which it has for sgd alone."""
        if self.solver != "sgd" or self.learning_rate == "constant":
            return None
        if self.learning_rate == "adaptive":
            return "adaptive" if self.n_iter_no_change != np.inf else None
        seen, power = self.t_, self.power_t

        def factor(epoch: int) -> float:
            if epoch == first_epoch and not incremental:
                return 1.0
            return float((seen + (epoch - first_epoch) * n_samples + 1) ** -power)

        return factor

    def _earlier_runs(self, architecture: Architecture, dtype: np.dtype) -> Runs:
        """The nets to go on with."""
        if self.runs_.architecture != architecture or len(self.runs_) != self.n_restarts:
            before = self.runs_.architecture.sizes
            raise ValueError(
                f"the last call trained {len(self.runs_)} nets of sizes {before}, the parameters now ask for "
                f"{self.n_restarts} of {architecture.sizes}: change neither, or fit without warm_start"
            )
        runs = copy(self.runs_)
        if runs.parameters.dtype != dtype:
            runs.parameters, runs.state = runs.parameters.astype(dtype), None
        if len(runs) == 1:  # where the user has changed coefs_, training continues from there
            runs.parameters = packed(self.coefs_, self.intercepts_)[None].astype(dtype)
        return runs

    def _take(self, runs: Runs, n_samples: int, trained: np.ndarray, warn: bool, waited: np.ndarray) -> None:
        """Set the attributes by what training gave; `trained` are each net's epochs in this call."""
        assert runs.history is not None
        finite = np.isfinite(runs.parameters).all(axis=1)
        usable = finite & (runs.status != Status.DIVERGED)
        # with early stopping a net that diverged has its best weights: better than none, if there is no other
        rescued = self.early_stopping and not usable.any() and finite.any()
        if not usable.any() and not rescued:
            raise ValueError(NOT_FINITE)
        if not usable.all():
            left_out = (
                "they are left out" if not rescued else "the weights that scored best before are kept, of one net"
            )
            warnings.warn(
                f"{(~usable).sum()} of {len(runs)} restarts diverged: {left_out}. A lower learning_rate_init helps",
                RuntimeWarning,
                stacklevel=CALLER + 3,
            )
        # the loss of the weights; of interrupted nets, which are not measured, that of their last epoch
        scores = -np.where(np.isnan(runs.loss), last(runs.history, trained), runs.loss)
        if self.early_stopping and runs.validation_score is not None:
            scores = runs.validation_score
        elif runs.validation_history is not None:
            scores = last(runs.validation_history, trained)
        best = int(np.argmax(np.where((finite if rescued else usable) & ~np.isnan(scores), scores, -np.inf)))
        if rescued:
            usable = np.arange(len(runs)) == best
        self.runs_, self._usable = runs, usable
        self._set_weights(runs, best)
        self.n_iter_ = int(trained[best])
        curve = [float(loss) for loss in runs.history[best][: self.n_iter_]]
        self.loss_curve_ = [*self.loss_curve_, *curve]
        self.loss_ = curve[-1] if curve else np.nan
        self.t_ += self.n_iter_ * n_samples
        if self.best_loss_ is not None:
            self.best_loss_ = min([self.best_loss_, *curve])
        if runs.validation_losses is not None:
            seen = [float(loss) for loss in runs.validation_losses[best][: self.n_iter_]]
            self.validation_curve_ = [*(self.validation_curve_ or []), *seen]
        if self.early_stopping:
            assert runs.validation_history is not None
            scored = [float(score) for score in runs.validation_history[best][: self.n_iter_]]
            if runs.status[best] == Status.DIVERGED:
                scored.append(float("nan"))
            self.validation_scores_ = [*(self.validation_scores_ or []), *scored]
            self.best_validation_score_ = float(runs.validation_score[best])  # type: ignore[index]
        if warn and runs.status[best] == Status.RAN_ALL_EPOCHS and waited[best] <= self.n_iter_no_change:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=CALLER + 3,
            )

    def _fit_lbfgs(
        self,
        architecture: Architecture,
        initial: np.ndarray | None,
        earlier: Runs | None,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None,
    ) -> None:
        parameters = initial if earlier is None else earlier.parameters
        assert parameters is not None
        runs = without_results(architecture, parameters, self._seed)
        if np.any(self.dropout) or self.bootstrap:
            raise ValueError("solver='lbfgs' needs the same loss each time: leave dropout and bootstrap out")
        settings = TrainSettings(architecture, SGD(), loss=self._loss_of_net(), sample_weight=sample_weight)
        results = minimize_each(
            settings,
            X,
            self._net_targets(y),
            runs,
            np.broadcast_to(self._per_net(self.alpha), len(runs)),
            self.max_iter,
            self.max_fun,
            self.tol,
            self.verbose,
            self._threads(),
        )
        usable = np.isfinite(runs.loss) & np.isfinite(runs.parameters).all(axis=1)
        if not usable.any():
            raise ValueError(NOT_FINITE)
        best = int(np.argmin(np.where(usable, runs.loss, np.inf)))
        self.runs_, self._usable = runs, usable
        self._set_weights(runs, best)
        self.n_iter_, self.loss_ = int(runs.epochs[best]), float(runs.loss[best])
        if results[best].status != 0:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s) (status={results[best].status}):\n"
                f"{results[best].message}\nIncrease max_iter ({self.max_iter}), or scale the data.",
                ConvergenceWarning,
                stacklevel=CALLER,
            )

    def _set_weights(self, runs: Runs, best: int) -> None:
        net = runs[best]
        self.coefs_ = [np.array(weights) for weights in net.weights]
        self.intercepts_ = [np.array(biases) for biases in net.biases]

    # ---------------------------------------------------------------------------------------------- predicting

    def _outputs(self, X: Any, members: bool = False) -> np.ndarray:
        """What the best net or the mean of the nets gives, (n_samples, n_outputs), or every net's, with them first."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if not hasattr(X, "toarray"):
            return self._outputs_of(X, members)
        X = X.tocsr()
        rows = max(1, DENSE_BYTES // (self.coefs_[0].itemsize * max(1, X.shape[1])))
        blocks = [self._outputs_of(X[i : i + rows].toarray(), members) for i in range(0, X.shape[0], rows)]
        return np.concatenate(blocks, axis=1 if members else 0)

    def _outputs_of(self, X: np.ndarray, members: bool) -> np.ndarray:
        """The same for checked, dense inputs."""
        dtype, architecture = self.coefs_[0].dtype, self.runs_.architecture
        X = np.asarray(X, dtype)
        averages = self.combine == "average" and len(self.runs_) > 1
        several = members or averages
        nets = self.runs_.parameters[self._usable] if several else packed(self.coefs_, self.intercepts_)[None]
        threads = 1 if is_small(nets, len(X)) else self._threads()
        if averages and not members:
            return predict_mean(architecture, nets, X, threads).astype(dtype)
        outputs = predict(architecture, nets, X, threads)
        return outputs if members else outputs[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


# partial_fit needs the same ones at every call, and making them takes a tenth of its time


@functools.lru_cache(64)
def _architecture(sizes: tuple[int, ...], hidden: tuple[str, ...], output: str) -> Architecture:
    return Architecture(sizes, hidden, output)


@functools.lru_cache(64, typed=True)
def _kept_optimizer(kind: Callable[..., Optimizer], *values: Any, **named: Any) -> Optimizer:
    return kind(*values, **named)


def _optimizer(kind: Callable[..., Optimizer], *values: Any, **named: Any) -> Optimizer:
    try:
        return _kept_optimizer(kind, *values, **named)
    except TypeError:  # arrays, or what the optimizer refuses
        return kind(*values, **named)


def _dense(X: Any) -> np.ndarray:
    return X.toarray() if hasattr(X, "toarray") else X
