"""Optimizers, each with its exact update.

Symbols: w a parameter, g the gradient of the minibatch's mean loss by it (plus l2 · w for a weight), t the number of
the step, from 1. Each setting is one number, or an array with one for each net.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method

Setting = float | np.ndarray


def _same(a: Setting, b: Setting) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else a == b


class Optimizer:
    """Base class of the optimizers: checks their settings, and makes the kernels' rows of hyperparameters.

    Examples
    --------
    >>> import fastmlp
    >>> isinstance(fastmlp.Adam(), fastmlp.Optimizer), fastmlp.Adam().name
    (True, 'adam')
    """

    method: Method
    _below_one: tuple[str, ...] = ()
    _may_be_zero: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for setting in fields(self):  # type: ignore[arg-type]
            if setting.type == "bool":
                if not isinstance(getattr(self, setting.name), (bool, np.bool_)):
                    raise TypeError(f"{setting.name}={getattr(self, setting.name)!r}: needs True or False")
            else:
                object.__setattr__(self, setting.name, self._checked(setting.name))

    def _checked(self, name: str) -> Setting:
        given = getattr(self, name)
        values = np.asarray(given)
        if values.dtype.kind not in "fiu" or values.ndim > 1:
            raise TypeError(
                f"{type(self).__name__}({name}={given!r}): "
                "needs a number, or a one-dimensional array with one for each net"
            )
        values = values.astype(np.float64)
        zero_allowed = name in self._may_be_zero
        right = np.isfinite(values) & ((values >= 0) if zero_allowed else (values > 0))
        limit = ""
        if name in self._below_one:
            right &= values < 1
            limit = " and below 1"
        if not right.all():
            wrong = values[~right][0] if values.ndim else float(values)
            raise ValueError(
                f"{type(self).__name__}({name}=…) has the value {wrong}: "
                f"needs finite numbers {'of at least' if zero_allowed else 'above'} 0{limit}"
            )
        return float(values) if values.ndim == 0 else values

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(map(_same, vars(self).values(), vars(other).values()))

    def __hash__(self) -> int:
        return hash((type(self), *[value for value in vars(self).values() if not isinstance(value, np.ndarray)]))

    @property
    def name(self) -> str:
        """The name in `train`, for example "adam"."""
        return type(self).__name__.lower()

    @property
    def settings(self) -> dict[str, Setting]:
        """The settings that may differ from net to net."""
        return {s.name: getattr(self, s.name) for s in fields(self) if s.type != "bool"}  # type: ignore[arg-type]

    @property
    def betas(self) -> tuple[Setting, Setting]:
        """Adam's β₁ and β₂; 0 where an optimizer has none."""
        return getattr(self, "beta1", 0.0), getattr(self, "beta2", 0.0)

    @property
    def n_state_rows(self) -> int:
        """Number of values that the optimizer keeps for each parameter."""
        raise NotImplementedError

    def rows(self) -> dict[int, Setting]:
        """The kernels' hyperparameter rows, in float64."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class SGD(Optimizer):
    """Gradient descent, plain or with momentum.

    w ← w − η g; with momentum v ← μ v + g and w ← w − η v, or with Nesterov's w ← w − η (g + μ v).

    Parameters
    ----------
    learning_rate : float or array of shape (n_nets,), default 0.1
        η, above 0.
    momentum : float or array of shape (n_nets,), default 0.0
        μ, from 0 to below 1.
    nesterov : bool, default False
        Whether momentum is Nesterov's.

    References
    ----------
    PyTorch's documentation of torch.optim.SGD; Sutskever, Martens, Dahl and Hinton, On the importance of
    initialization and momentum in deep learning, ICML 2013.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 8, 1))
    >>> runs = fastmlp.train(arch, X, y, n_nets=50, optimizer=fastmlp.SGD(0.5, 0.9), epochs=300)
    >>> bool((runs.accuracy == 1).mean() > 0.8)
    True
    """

    learning_rate: Setting = 0.1
    momentum: Setting = 0.0
    nesterov: bool = False

    method = Method.SGD
    _below_one = ("momentum",)
    _may_be_zero = ("momentum",)

    @property
    def n_state_rows(self) -> int:
        return int(np.any(self.momentum))

    def rows(self) -> dict[int, Setting]:
        return {optimizers.LEARNING_RATE: self.learning_rate, optimizers.SGD_MOMENTUM: self.momentum}


@dataclass(frozen=True, eq=False)
class Adam(Optimizer):
    """Adaptive moments, with decoupled weight decay.

    m ← m + (1 − β₁) (g − m); v ← v + (1 − β₂) (g² − v);
    w ← w (1 − η λ) − η / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).

    As in PyTorch the decay λ acts on every parameter, biases too. A moment below the smallest normal number
    counts as 0.

    Parameters
    ----------
    learning_rate : float or array of shape (n_nets,), default 0.001
        η, above 0.
    beta1, beta2 : float or array of shape (n_nets,), default 0.9 and 0.999
        β₁ and β₂, from 0 to below 1.
    epsilon : float or array of shape (n_nets,), default 1e-8
        ε, above 0.
    weight_decay : float or array of shape (n_nets,), default 0.0
        λ, at least 0.

    References
    ----------
    PyTorch's documentation of torch.optim.Adam and AdamW; Kingma and Ba, Adam: a method for stochastic
    optimization, ICLR 2015; Loshchilov and Hutter, Decoupled weight decay regularization, ICLR 2019.

    Examples
    --------
    A learning rate for each net:

    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(
    ...     fastmlp.Architecture((2, 8, 1)), X, y, n_nets=3, optimizer=fastmlp.Adam([0.0001, 0.01, 0.1]), epochs=100
    ... )
    >>> bool(runs.loss[0] > runs.loss[1] > runs.loss[2])
    True
    """

    learning_rate: Setting = 0.001
    beta1: Setting = 0.9
    beta2: Setting = 0.999
    epsilon: Setting = 1e-8
    weight_decay: Setting = 0.0

    method = Method.ADAM
    _below_one = ("beta1", "beta2")
    _may_be_zero = ("beta1", "beta2", "weight_decay")

    @property
    def n_state_rows(self) -> int:
        return 2

    def rows(self) -> dict[int, Setting]:
        return {
            optimizers.LEARNING_RATE: self.learning_rate,
            optimizers.ADAM_ONE_MINUS_BETA1: 1.0 - self.beta1,
            optimizers.ADAM_ONE_MINUS_BETA2: 1.0 - self.beta2,
            optimizers.ADAM_EPSILON: self.epsilon,
            optimizers.ADAM_WEIGHT_DECAY: self.weight_decay,
            optimizers.ADAM_DECAY_FACTOR: 1.0 - self.learning_rate * self.weight_decay,
        }


@dataclass(frozen=True, eq=False)
class RMSprop(Optimizer):
    """Gradients divided by the root of their mean square.

    v ← v + (1 − α) (g² − v); w ← w − η g / (√v + ε); with momentum b ← μ b + g / (√v + ε) and w ← w − η b.
    A mean square below the smallest normal number counts as 0.

    Parameters
    ----------
    learning_rate : float or array of shape (n_nets,), default 0.01
        η, above 0.
    alpha : float or array of shape (n_nets,), default 0.99
        α, from 0 to below 1.
    epsilon : float or array of shape (n_nets,), default 1e-8
        ε, above 0.
    momentum : float or array of shape (n_nets,), default 0.0
        μ, from 0 to below 1.

    References
    ----------
    PyTorch's documentation of torch.optim.RMSprop; Tieleman and Hinton, Lecture 6.5, COURSERA, 2012.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 8, 1))
    >>> runs = fastmlp.train(arch, X, y, n_nets=50, optimizer=fastmlp.RMSprop(0.01), epochs=300)
    >>> bool((runs.accuracy == 1).mean() > 0.8)
    True
    """

    learning_rate: Setting = 0.01
    alpha: Setting = 0.99
    epsilon: Setting = 1e-8
    momentum: Setting = 0.0

    method = Method.RMSPROP
    _below_one = ("alpha", "momentum")
    _may_be_zero = ("alpha", "momentum")

    @property
    def n_state_rows(self) -> int:
        return 1 + int(np.any(self.momentum))

    def rows(self) -> dict[int, Setting]:
        return {
            optimizers.LEARNING_RATE: self.learning_rate,
            optimizers.RMSPROP_MOMENTUM: self.momentum,
            optimizers.RMSPROP_ONE_MINUS_ALPHA: 1.0 - self.alpha,
            optimizers.RMSPROP_EPSILON: self.epsilon,
        }


@dataclass(frozen=True, eq=False)
class Rprop(Optimizer):
    """Steps that grow while a gradient keeps its sign (iRprop−). For the full batch.

    Where g keeps the sign it had: Δ ← min(η₊ Δ, Δmax). Where it turned: Δ ← max(η₋ Δ, Δmin) and g ← 0. Then
    w ← w − sign(g) Δ.

    Parameters
    ----------
    learning_rate : float or array of shape (n_nets,), default 0.01
        The first step Δ, above 0.
    eta_minus, eta_plus : float or array of shape (n_nets,), default 0.5 and 1.2
        η₋, above 0 and below 1, and η₊, above 0.
    min_step, max_step : float or array of shape (n_nets,), default 1e-6 and 50.0
        Bounds of Δ, above 0.

    References
    ----------
    PyTorch's documentation of torch.optim.Rprop; Igel and Hüsken, Improving the Rprop learning algorithm, 2000.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 8, 1))
    >>> runs = fastmlp.train(arch, X, y, n_nets=50, optimizer=fastmlp.Rprop(0.01), epochs=300)
    >>> bool((runs.accuracy == 1).mean() > 0.8)
    True
    """

    learning_rate: Setting = 0.01
    eta_minus: Setting = 0.5
    eta_plus: Setting = 1.2
    min_step: Setting = 1e-6
    max_step: Setting = 50.0

    method = Method.RPROP
    _below_one = ("eta_minus",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.any(np.asarray(self.min_step) > np.asarray(self.max_step)):
            raise ValueError(
                f"Rprop(min_step={self.min_step}, max_step={self.max_step}): min_step must not exceed max_step"
            )

    @property
    def n_state_rows(self) -> int:
        return 2

    def rows(self) -> dict[int, Setting]:
        return {
            optimizers.LEARNING_RATE: self.learning_rate,
            optimizers.RPROP_ETA_MINUS: self.eta_minus,
            optimizers.RPROP_ETA_PLUS: self.eta_plus,
            optimizers.RPROP_MIN_STEP: self.min_step,
            optimizers.RPROP_MAX_STEP: self.max_step,
        }


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "rmsprop": RMSprop, "rprop": Rprop}
