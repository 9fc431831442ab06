"""scikit-learn's `MLPClassifier` and `MLPRegressor` on this library's nets, with restarts and ensembles.

Importing it needs scikit-learn 1.6 or newer; ``fastmlp.MLPClassifier`` and ``fastmlp.MLPRegressor`` import it when they
are asked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from fastmlp.estimators._base import BaseMLP
from fastmlp.estimators._search import MLPSearchCV

__all__ = ["MLPClassifier", "MLPRegressor", "MLPSearchCV"]

FLOATS = (np.float64, np.float32)


class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier, with scikit-learn's parameters and attributes.

    The loss is the cross-entropy. One net is trained unless `n_restarts` says otherwise; the nets of all restarts are
    trained at once. Data in float32 are computed in float32, all others in float64.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int, default (100,)
        Units of each hidden layer.
    activation : str or list of str, default "relu"
        Activation of the hidden layers, one for all or one for each: "identity", "logistic", "tanh", "relu", or a name
        of docs/activations.md, such as "gelu".
    solver : {"lbfgs", "sgd", "adam", "rmsprop", "rprop"}, default "adam"
        "lbfgs" is SciPy's L-BFGS-B; "rprop" is for the full batch, ``batch_size=len(X)``.
    alpha : float or array_like of shape (n_restarts,), default 0.0001
        L2: alpha/2 times the sum of squared weights, divided by the samples of the minibatch, is added to the loss.
    batch_size : int or "auto", default "auto"
        Samples in a minibatch; "auto" for min(200, n_samples). "lbfgs" uses all.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For "sgd": stays; is divided by (t + 1)^`power_t` after t samples; or is divided by 5 each time that
        `n_iter_no_change` epochs did not improve by `tol`.
    learning_rate_init : float or array_like of shape (n_restarts,), default 0.001
        The first learning rate; for "rprop" the first step.
    power_t : float, default 0.5
        See `learning_rate`.
    max_iter : int, default 200
        Epochs at most; for "lbfgs" iterations.
    shuffle : bool, default True
        Whether minibatches are drawn in a new order each epoch, the same for all restarts.
    random_state : int, RandomState instance or None, default None
        Fixes the initial weights of all restarts, the order of samples and what is held out.
    tol : float, default 1e-4
        Training ends when the loss, or the validation score with `early_stopping`, has not improved by so much for
        more than `n_iter_no_change` epochs.
    verbose : bool, default False
        Whether to print the least loss of each iteration.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last call.
    momentum : float or array_like of shape (n_restarts,), default 0.9
        For "sgd", from 0 to below 1.
    nesterovs_momentum : bool, default True
        Whether momentum is Nesterov's.
    early_stopping : bool, default False
        Whether to hold samples out, stop by the accuracy on them, and give each net the weights that scored best.
    validation_fraction : float, default 0.1
        The share that is held out.
    beta_1, beta_2, epsilon : float or array_like of shape (n_restarts,), default 0.9, 0.999, 1e-8
        For "adam", in the form of section 2 of Kingma and Ba, where epsilon is added to the uncorrected root; epsilon
        for "rmsprop" too.
    n_iter_no_change : int or inf, default 10
        See `tol`.
    max_fun : int, default 15000
        For "lbfgs": evaluations of the loss at most.
    n_restarts : int, default 1
        How many nets to train, each from initial weights of its own.
    combine : {"best", "average"}, default "best"
        Which net predicts: the one of the best validation score, or without held-out samples of the least training
        loss; or the mean of all nets' probabilities. A restart that diverged has no part in it.
    dropout : float or array_like of shape (n_restarts,), default 0.0
        The probability with which a hidden unit is left out while a sample is trained on.
    bootstrap : bool, default False
        Whether each restart trains on samples drawn with replacement, as many as there are.
    class_weight : dict, "balanced" or None, default None
        Weights of the classes, as scikit-learn's other classifiers have them.
    n_jobs : int or None, default None
        Threads; None for all processors that joblib leaves to this process.
    progress : bool, default False
        Whether to show a progress bar on standard error.

    Attributes
    ----------
    classes_ : ndarray or list of ndarray
        Class labels for each output.
    loss_, best_loss_, loss_curve_, n_iter_, t_
        As scikit-learn has them, of the best net: the last loss, the least, that of each epoch (the mean over its
        minibatches, each before its update, with L2's part), epochs, samples seen.
    validation_scores_, best_validation_score_
        The accuracy on the held-out samples in each epoch, and the best; None without `early_stopping`.
    validation_curve_ : list of float or None
        The loss on the held-out samples after each epoch.
    coefs_, intercepts_ : list of ndarray
        Weights (in, out) and biases (out,) of each layer of the best net.
    runs_ : fastmlp.Runs
        Everything about every restart.
    n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As scikit-learn has them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import MLPClassifier
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> y = np.where(np.hypot(X[:, 0], X[:, 1]) < 1, "inside", "outside")
    >>> ensemble = MLPClassifier((16,), tol=0.01, max_iter=500, n_restarts=32, combine="average", random_state=0)
    >>> str(ensemble.fit(X, y).predict([[0.1, 0.2]])[0])
    'inside'
    >>> ensemble.predict_proba([[0.1, 0.2]], members=True).shape
    (32, 1, 2)
    """

    _trains_together = True  # but no subclass, whose methods may do other things
    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _validation_score = "accuracy"

    def __init__(  # noqa: PLR0913
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        n_restarts: Any = 1,
        combine: Any = "best",
        dropout: Any = 0.0,
        bootstrap: Any = False,
        class_weight: Any = None,
        n_jobs: Any = None,
        progress: Any = False,
    ) -> None:
        super().__init__(locals())

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train on X (n_samples, n_features) and y, labels (n_samples,) or 0 and 1 (n_samples, n_outputs).

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            A sparse matrix is made dense as a whole, `predict` makes it so in blocks.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : optional
            Held-out samples; with `early_stopping` nothing is then split off X, without it they are only watched.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, held_out=(X_val, y_val, sample_weight_val))

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> MLPClassifier:
        """Train one epoch on X and y; `classes` names all there will be, and is needed in the first call."""
        if not hasattr(self, "coefs_"):
            self._validate_params()
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' is not known in partial_fit, which sees some of the samples: pass the weights "
                "as a dict, such as dict(zip(classes, compute_class_weight('balanced', classes=classes, y=y)))"
            )
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            self._label_binarizer.fit(y if type_of_target(y).startswith("multilabel") else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:
        """Labels, (n_samples,), or 0 and 1 for several outputs, (n_samples, n_outputs)."""
        outputs = self._outputs(X)
        return self._label_binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)

    def predict_proba(self, X: Any, members: bool = False) -> np.ndarray:
        """Probabilities of the classes, (n_samples, n_classes), or for several outputs that each is 1.

        With `members` every restart's, (n_restarts, n_samples, n_classes), without those that diverged.
        """
        outputs = self._outputs(X, members)
        return np.concatenate([1 - outputs, outputs], axis=-1) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`."""
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=FLOATS, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self._are_plain(y) and not self.warm_start:
            return X, self._class_columns(y)
        else:
            self._refuse_other_classes(unique_labels(y))
        return X, self._label_binarizer.transform(y).astype(bool)

    def _are_plain(self, y: np.ndarray) -> bool:
        """Whether labels need none of LabelBinarizer's checks, which take longer than an epoch of few samples."""
        classes = self.classes_
        return (
            y.ndim == 1
            and classes.ndim == 1
            and len(classes) > 1
            and y.dtype == classes.dtype
            and y.dtype.kind in "iubU"
        )

    def _class_columns(self, y: np.ndarray) -> np.ndarray:
        """What LabelBinarizer makes of labels: a column for each class, or one for the second of two."""
        places = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        if not (self.classes_[places] == y).all():
            self._refuse_other_classes(np.unique(y))
        if len(self.classes_) == 2:
            return (places == 1)[:, None]
        return places[:, None] == np.arange(len(self.classes_))

    def _refuse_other_classes(self, found: np.ndarray) -> None:
        if self.warm_start:
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {found}"
                )
        elif len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}."
            )

    def _class_weighted(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return sample_weight
        of_class = compute_sample_weight(self.class_weight, self._label_binarizer.inverse_transform(y.astype(int)))
        return of_class if sample_weight is None else of_class * sample_weight

    def _held_out_targets(self, y: Any) -> np.ndarray:
        y = np.asarray(y)
        self._refuse_unknown(unique_labels(y))
        return self._label_binarizer.transform(y).astype(bool)

    def _refuse_unknown(self, found: np.ndarray) -> None:
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(f"y_val has the class {unknown[0]!r}, which y has not: leave those samples out")

    def _output_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _loss_of_net(self) -> str:
        return "cross_entropy" if self.out_activation_ == "softmax" else "bce"

    def _net_targets(self, y: np.ndarray) -> np.ndarray:
        return y.argmax(axis=1) if self.out_activation_ == "softmax" else y

    def _stratify(self, y: np.ndarray) -> np.ndarray | None:
        return y if self.n_outputs_ == 1 else None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multi-layer perceptron regressor, with scikit-learn's parameters and attributes.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, or half the Poisson deviance of the exponential of the output.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, \
shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, \
beta_1, beta_2, epsilon, n_iter_no_change, max_fun, n_restarts, dropout, bootstrap, n_jobs, progress
        As for `MLPClassifier`; the validation score is the coefficient of determination R².
    combine : {"best", "average"}, default "best"
        Which net predicts: the one of the best validation score, or without held-out samples of the least training
        loss; or the mean of all nets' outputs.

    Attributes
    ----------
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, validation_curve_, coefs_, \
intercepts_, runs_, n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As for `MLPClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastmlp import MLPRegressor
    >>> X = np.random.default_rng(0).uniform(-3, 3, (400, 1))
    >>> y = np.sin(X[:, 0])
    >>> ensemble = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", n_restarts=8,
    ...                         combine="average", max_iter=1000, random_state=0).fit(X, y)
    >>> mean, spread = ensemble.predict([[0.5]], return_std=True)
    >>> bool(abs(mean[0] - np.sin(0.5)) < 0.02), bool(spread[0] < 0.02)
    (True, True)
    """

    _trains_together = True  # but no subclass, whose methods may do other things
    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }
    _validation_score = "r2"

    def __init__(  # noqa: PLR0913
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        n_restarts: Any = 1,
        combine: Any = "best",
        dropout: Any = 0.0,
        bootstrap: Any = False,
        n_jobs: Any = None,
        progress: Any = False,
    ) -> None:
        super().__init__(locals())

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPRegressor:
        """Train on X (n_samples, n_features) and y, (n_samples,) or (n_samples, n_outputs).

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            A sparse matrix is made dense as a whole, `predict` makes it so in blocks.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : optional
            Held-out samples; with `early_stopping` nothing is then split off X, without it they are only watched.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, held_out=(X_val, y_val, sample_weight_val))

    @available_if(lambda estimator: estimator._check_solver())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train one epoch on X and y."""
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any, return_std: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predictions, (n_samples,) or (n_samples, n_outputs).

        With `return_std` also the standard deviation over the restarts, of the same shape.
        """
        outputs = self._outputs(X)
        outputs = outputs.ravel() if outputs.shape[1] == 1 else outputs
        if not return_std:
            return outputs
        spread = self._outputs(X, members=True).std(axis=0)
        return outputs, spread.reshape(outputs.shape)

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:  # noqa: ARG002
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True, dtype=FLOATS, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _held_out_targets(self, y: Any) -> np.ndarray:
        return np.asarray(y)

    def _output_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _loss_of_net(self) -> str:
        return "poisson" if self.loss == "poisson" else "mse"

    def _net_targets(self, y: np.ndarray) -> np.ndarray:
        return y
