"""The classic nets that get stuck on XOR, as people publish them when they ask for help, and each one mended.

Published programs differ from `train` in small things, which each recipe says in `translated`. Where a program stopped
on its own after so many epochs, nets here may leave earlier, by a rule that says they have come to rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastmlp.architecture import Architecture
from fastmlp.initializers import Initializer, Normal, Uniform, VarianceScaling
from fastmlp.optimizers import SGD, Adam, Optimizer

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([0, 1, 1, 0])
ONE_HOT = np.stack([1 - Y, Y], axis=1)

# A net that has lost less than a millionth in a thousand epochs is at rest; 5,000 epochs are five times that.
AT_REST = {"patience": 1000, "tol": 1e-6, "target_loss": 1e-3}


@dataclass(frozen=True)
class Variant:
    """One way to train."""

    name: str
    architecture: Architecture
    optimizer: Optimizer
    epochs: int
    init: str | Initializer = "he_uniform"
    fixed: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def y(self) -> np.ndarray:
        """XOR's answers, one-hot for two sigmoid outputs."""
        return ONE_HOT if self.architecture.sizes[-1] == 2 and self.architecture.output == "sigmoid" else Y


@dataclass(frozen=True)
class Recipe:
    """A net that gets stuck, as published and mended."""

    name: str
    title: str
    symptom: str
    translated: str
    variants: tuple[Variant, ...]
    printed: tuple[tuple[str, str, tuple[float, ...]], ...] = ()
    """Figures that a published run printed: of which variant, "outputs" of class 1 or "loss", and the numbers."""


def _no_biases() -> Recipe:
    arch, init = Architecture((2, 10, 1), bias=False), Uniform(0, 1)
    leaky = Architecture((2, 10, 1), "leaky_relu", bias=False, leaky_slope=1e-5)
    return Recipe(
        "no-biases", "2-10-1 without biases",
        "prints 0.5 for the input (0, 0), and often for all four, however long it trains",
        "the published gradient is summed over the four samples, so learning rates are four times the printed ones",
        (
            Variant("learning rate 0.1", arch, SGD(0.4), 10_000, init),
            Variant("learning rate 0.001", arch, SGD(0.004), 10_000, init),
            Variant("leaky ReLU of slope 1e-5", leaky, SGD(0.4), 10_000, init),
            Variant("with biases", Architecture((2, 10, 1)), SGD(0.4), 10_000, init, fixed=True),
        ),
    )  # fmt: skip


def _relu_output() -> Recipe:
    init = VarianceScaling(2, "in", "normal", bias=0.5)
    sizes, online = (2, 16, 16, 16, 1), {"batch_size": 1, **AT_REST}
    return Recipe(
        "relu-output", "2-16-16-16-1 with ReLU everywhere, the output too",
        "the output sticks at 0 for some or all inputs",
        "nets leave early once their loss is at most 0.001, or has lost less than 1e-6 in 1,000 epochs",
        (
            Variant("ReLU output", Architecture(sizes, output="relu"), SGD(0.01), 5000, init, settings=online),
            Variant(
                "sigmoid output, squared error", Architecture(sizes), SGD(0.01), 5000, init,
                settings={**online, "loss": "mse"},
            ),
            Variant(
                "all sigmoid, squared error", Architecture(sizes, "sigmoid"), SGD(0.01), 5000, init,
                settings={**online, "loss": "mse"},
            ),
            Variant(
                "sigmoid output, cross-entropy", Architecture(sizes), SGD(0.01), 5000, init, fixed=True,
                settings=online,
            ),
        ),
    )  # fmt: skip


def _tiny_weights() -> Recipe:
    arch = Architecture((2, 3, 3, 1))
    return Recipe(
        "tiny-weights", "2-3-3-1 with normal weights times 0.001",
        "the loss stays at 0.6931 and every output at 0.5",
        "the settings are as published",
        (
            Variant("weights times 0.001, learning rate 0.01", arch, SGD(0.01), 1000, Normal(0.001)),
            Variant("He weights, learning rate 0.5", arch, SGD(0.5), 1000, "he_normal", fixed=True),
            Variant("He weights, learning rate 0.5, 2-16-16-1", Architecture((2, 16, 16, 1)), SGD(0.5), 1000,
                    "he_normal", fixed=True),
        ),
    )  # fmt: skip


def _all_sigmoid() -> Recipe:
    one_hot = Architecture((2, 2, 2, 2), "sigmoid")
    single = Architecture((2, 2, 2, 1), "sigmoid")
    return Recipe(
        "all-sigmoid", "sigmoid hidden layers of two units",
        "some runs solve it, others stay where all outputs are near 0.5",
        "the one-hot program's learning rate is not known, 0.5 is taken, and 10,000 epochs; the gradient sum divided "
        "by two is that of the mean squared error",
        (
            Variant(
                "two one-hot outputs, one sample at a time", one_hot, SGD(0.5), 10_000,
                Uniform(0, 1, bias=Uniform(0, 1)), settings={"loss": "mse", "batch_size": 1},
            ),
            Variant(
                "2-2-2-1, full batch, learning rate 0.15", single, SGD(0.15), 5000, Normal(1), settings={"loss": "mse"}
            ),
            Variant("2-8-8-1, tanh, cross-entropy, Adam", Architecture((2, 8, 8, 1), "tanh"), Adam(0.01), 1000,
                    "glorot_uniform", fixed=True),
        ),
        (("two one-hot outputs, one sample at a time", "outputs", (0.008, 0.994, 0.991, 0.007)),),
    )  # fmt: skip


def _narrow_adam() -> Recipe:
    arch, softmax = Architecture((2, 4, 4, 1)), Architecture((2, 4, 4, 2), output="softmax")
    return Recipe(
        "narrow-adam", "2-4-4-1 with ReLU and Adam",
        "one run learns it, the next is stuck with two of four right",
        "a minibatch of four is the full batch; Adam's learning rate is the usual 0.001",
        (
            Variant("sigmoid output, 1,000 epochs", arch, Adam(0.001), 1000, "glorot_uniform"),
            Variant("two softmax outputs, 2,000 epochs", softmax, Adam(0.001), 2000, "glorot_uniform"),
            Variant("2-16-16-1, learning rate 0.01", Architecture((2, 16, 16, 1)), Adam(0.01), 1000, "glorot_uniform",
                    fixed=True),
        ),
        (
            ("sigmoid output, 1,000 epochs", "loss", (0.126,)),
            ("two softmax outputs, 2,000 epochs", "loss", (0.015,)),
        ),
    )  # fmt: skip


RECIPES: tuple[Recipe, ...] = (_no_biases(), _relu_output(), _tiny_weights(), _all_sigmoid(), _narrow_adam())
