"""Initializers: distributions of initial weights and biases.

Every number is drawn in float64 from Philox, keyed by (seed, net number, position), and then rounded: a float32 net
starts from the rounded weights of the float64 net of the same seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from fastmlp._check_values import choose
from fastmlp._kernels.tiles import CONSTANT, NORMAL, UNIFORM

Distribution = tuple[int, float, float]


def _finite(owner: str, **values: float) -> None:
    for name, value in values.items():
        if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
            raise TypeError(f"{owner}({name}={value!r}): needs a number")
        if not np.isfinite(value):
            raise ValueError(f"{owner}({name}={value!r}): needs a finite number")


class Initializer:
    """Base class of the initializers.

    Examples
    --------
    >>> import fastmlp
    >>> isinstance(fastmlp.Uniform(-1, 1), fastmlp.Initializer)
    True
    """

    bias: float | Initializer

    def weights(self, n_in: int, n_out: int) -> Distribution:
        """The distribution of a layer's weights."""
        raise NotImplementedError

    def biases(self, n_in: int, n_out: int) -> Distribution:
        """The distribution of a layer's biases."""
        if isinstance(self.bias, Initializer):
            return self.bias.weights(n_in, n_out)
        return CONSTANT, float(self.bias), 0.0

    def _check_bias(self) -> None:
        if not isinstance(self.bias, Initializer):
            _finite(type(self).__name__, bias=self.bias)


@dataclass(frozen=True)
class Uniform(Initializer):
    """Uniform on [low, high).

    Parameters
    ----------
    low, high : float
        Bounds of the range; low must not exceed high.
    bias : float or Initializer, default 0.0
        The initial value of every bias, or the distribution of biases.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> init = fastmlp.Uniform(-1, 1, bias=fastmlp.Normal(0.1))
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, init=init, epochs=0)
    >>> bool(runs.weights[0].min() >= -1), bool(runs.weights[0].max() < 1)
    (True, True)
    """

    low: float
    high: float
    bias: float | Initializer = 0.0

    def __post_init__(self) -> None:
        _finite("Uniform", low=self.low, high=self.high)
        self._check_bias()
        if self.low > self.high:
            raise ValueError(f"Uniform(low={self.low}, high={self.high}): low must not exceed high")

    def weights(self, n_in: int, n_out: int) -> Distribution:
        return UNIFORM, float(self.low), float(self.high) - float(self.low)


@dataclass(frozen=True)
class Normal(Initializer):
    """Normal with mean 0.

    Parameters
    ----------
    std : float
        Standard deviation, at least 0.
    bias : float or Initializer, default 0.0
        The initial value of every bias, or the distribution of biases.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, init=fastmlp.Normal(0.5, bias=0.5), epochs=0
    ... )
    >>> round(float(runs.weights[0].std()), 2), float(runs.biases[0].max())
    (0.5, 0.5)
    """

    std: float
    bias: float | Initializer = 0.0

    def __post_init__(self) -> None:
        _finite("Normal", std=self.std)
        self._check_bias()
        if self.std < 0:
            raise ValueError(f"Normal(std={self.std}): needs a number of at least 0")

    def weights(self, n_in: int, n_out: int) -> Distribution:
        return NORMAL, 0.0, float(self.std)


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """A distribution whose variance depends on the layer's size; the named schemes are special cases.

    The variance is `scale` / fan, where fan is n_in or (n_in + n_out) / 2; a uniform distribution of that variance
    reaches from −√(3 · variance) to √(3 · variance).

    Parameters
    ----------
    scale : float
        Above 0: 2 for He, 1 for Glorot and LeCun.
    fan : {"in", "average"}
        Which size of the layer determines the variance.
    distribution : {"uniform", "normal"}
        The shape of the distribution.
    bias : float or Initializer, default 0.0
        The initial value of every bias, or the distribution of biases.

    References
    ----------
    He, Zhang, Ren and Sun, Delving deep into rectifiers, ICCV 2015; Glorot and Bengio, Understanding the difficulty
    of training deep feedforward neural networks, AISTATS 2010; LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.

    Examples
    --------
    Twice He's variance:

    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> init = fastmlp.VarianceScaling(4.0, fan="in", distribution="normal")
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=1000, init=init, epochs=0)
    >>> round(float(runs.weights[0].var()), 1)  # 4 over 2 inputs
    2.0
    """

    scale: float
    fan: str
    distribution: str
    bias: float | Initializer = 0.0

    def __post_init__(self) -> None:
        _finite("VarianceScaling", scale=self.scale)
        if self.scale <= 0:
            raise ValueError(f"VarianceScaling(scale={self.scale}): needs a number above 0")
        choose("fan", self.fan, {"in": None, "average": None})
        choose("distribution", self.distribution, {"uniform": None, "normal": None})
        self._check_bias()

    def weights(self, n_in: int, n_out: int) -> Distribution:
        variance = self.scale / (n_in if self.fan == "in" else (n_in + n_out) / 2)
        if self.distribution == "normal":
            return NORMAL, 0.0, sqrt(variance)
        limit = sqrt(3 * variance)
        return UNIFORM, -limit, 2 * limit


@dataclass(frozen=True)
class _TorchDefault(Initializer):
    """Weights and biases uniform in ±1/√n_in, as torch.nn.Linear draws them."""

    bias: float | Initializer = field(default=0.0, init=False)

    def weights(self, n_in: int, n_out: int) -> Distribution:
        return UNIFORM, -1 / sqrt(n_in), 2 / sqrt(n_in)

    def biases(self, n_in: int, n_out: int) -> Distribution:
        return self.weights(n_in, n_out)


INITIALIZERS: dict[str, Initializer] = {
    "he_uniform": VarianceScaling(2.0, "in", "uniform"),
    "he_normal": VarianceScaling(2.0, "in", "normal"),
    "glorot_uniform": VarianceScaling(1.0, "average", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "average", "normal"),
    "lecun_normal": VarianceScaling(1.0, "in", "normal"),
    "torch": _TorchDefault(),
}
