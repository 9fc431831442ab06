"""`Architecture`: layers, activations, biases."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fastmlp._check_values import choose
from fastmlp._kernels.formulas.activations import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS, Activation
from fastmlp._kernels.formulas.losses import LOSSES

MAX_PARAMETERS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Architecture:
    """A dense feed-forward net.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, the inputs first and the outputs last: ``(2, 4, 1)``.
    hidden : str or sequence of str, default "relu"
        The hidden layers' activation, or one for each: "relu", "tanh", "gelu" or another key of
        ``fastmlp.architecture.HIDDEN_ACTIVATIONS``; docs/activations.md has their formulas.
    output : str, default "sigmoid"
        The output activation: "sigmoid", "softmax", "identity", "relu", "exp".
    bias : bool, default True
        Whether units have biases.
    leaky_slope : float or array of shape (n_nets,), default 0.01
        The factor of leaky_relu for negative weighted sums, one for all nets or one for each; at least 0.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.Architecture((2, 4, 1)).n_parameters
    17
    """

    sizes: tuple[int, ...]
    hidden: str | Sequence[str] = "relu"
    output: str = "sigmoid"
    bias: bool = True
    leaky_slope: float | np.ndarray = 0.01
    activations: tuple[Activation, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = _checked_sizes(self.sizes)
        n_hidden = len(sizes) - 2
        names = (self.hidden,) * n_hidden if isinstance(self.hidden, str) else tuple(self.hidden)
        if len(names) != n_hidden:
            raise ValueError(
                f"hidden={self.hidden!r} names {len(names)} activations, but sizes={sizes} has {n_hidden} hidden layers"
                ": give one name for all, or one for each"
            )
        if isinstance(self.hidden, str):
            choose("hidden", self.hidden, HIDDEN_ACTIVATIONS)
        codes = [choose("hidden", name, HIDDEN_ACTIVATIONS) for name in names]
        codes.append(choose("output", self.output, OUTPUT_ACTIVATIONS))
        if self.output == "softmax" and sizes[-1] < 2:
            raise ValueError(f"output='softmax' needs at least 2 outputs, sizes={sizes} has 1: use output='sigmoid'")
        if not isinstance(self.bias, (bool, np.bool_)):
            raise TypeError(f"bias={self.bias!r}: needs True or False")
        slope = np.asarray(self.leaky_slope)
        if slope.dtype.kind not in "fiu" or slope.ndim > 1:
            raise TypeError(f"leaky_slope={self.leaky_slope!r}: needs a number, or an array with one for each net")
        if not (np.isfinite(slope) & (slope >= 0)).all():
            raise ValueError(f"leaky_slope={self.leaky_slope!r}: needs finite numbers of at least 0")
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "hidden", self.hidden if isinstance(self.hidden, str) else names)
        object.__setattr__(self, "bias", bool(self.bias))
        object.__setattr__(self, "leaky_slope", float(slope) if slope.ndim == 0 else slope.astype(np.float64))
        object.__setattr__(self, "activations", tuple(codes))
        if self.n_parameters > MAX_PARAMETERS:
            raise ValueError(
                f"sizes={sizes} make {self.n_parameters:,} parameters a net; at most {MAX_PARAMETERS:,} fit"
            )

    def has_layers_of(self, other: Architecture) -> bool:
        """Whether all but `leaky_slope` is the same."""
        return (self.sizes, self.activations, self.bias) == (other.sizes, other.activations, other.bias)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Architecture) and self.has_layers_of(other) and _same(self.leaky_slope, other.leaky_slope)
        )

    def __hash__(self) -> int:
        return hash((self.sizes, self.activations, self.bias))

    @property
    def n_layers(self) -> int:
        """Number of layers of weights: one less than the number of sizes."""
        return len(self.sizes) - 1

    @functools.cached_property
    def n_parameters(self) -> int:
        """Number of weights and biases of one net."""
        return sum(a * b + b * self.bias for a, b in self.shapes)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The shape (in, out) of each layer's weights."""
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def default_loss(self) -> str:
        """The default loss of `train` for this output activation."""
        return next(iter(LOSSES[self.activations[-1]]))

    def useful_flops(self, n_samples: int) -> int:
        """Floating-point operations of a net-epoch, one pass of one net over `n_samples` samples.

        Only those of the matrix products: 2 · in · out a sample for a layer's forward pass, for its weight gradient,
        and (except in the first layer) for the input gradient.
        """
        products = [n_in * n_out for n_in, n_out in self.shapes]
        return 2 * n_samples * (3 * sum(products) - products[0])

    def with_slope(self, leaky_slope: float | np.ndarray) -> Architecture:
        """A copy with another `leaky_slope`."""
        return replace(self, leaky_slope=leaky_slope)


def _same(a: float | np.ndarray, b: float | np.ndarray) -> bool:
    return a == b if isinstance(a, float) and isinstance(b, float) else np.array_equal(a, b)


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"sizes={sizes!r}: needs a sequence of whole numbers, such as (2, 4, 1)") from None
    if len(sizes) < 2:
        raise ValueError(f"sizes={sizes}: needs at least the inputs and the outputs, such as (2, 1)")
    if min(sizes) < 1:
        raise ValueError(f"sizes={sizes}: every layer needs at least one unit")
    return sizes
