"""Programs that people published when they asked why their net does not learn XOR, and changes of each.

A program is as its author wrote it, mistakes included, with its author's order of samples. Each change is tried alone
on the published program; the last row has all changes that go together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastmlp.architecture import Architecture
from fastmlp.initializers import Initializer, Normal, Uniform, VarianceScaling
from fastmlp.optimizers import SGD, Adam, Optimizer

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
Y = np.array([0, 1, 1, 0])
AS_PUBLISHED = "as published"


@dataclass(frozen=True)
class Variant:
    """Settings of training, as published or with a change."""

    change: str
    architecture: Architecture
    optimizer: Optimizer
    epochs: int
    init: str | Initializer = "he_uniform"
    mistakes: tuple[Any, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    advice: bool = False
    """Whether this is the advice that the author got."""

    def but(self, change: str, **changes: Any) -> Variant:
        """A copy with a change."""
        settings = {**self.settings, **changes.pop("settings", {})}
        return replace(self, change=change, settings=settings, **changes)


@dataclass(frozen=True)
class Recipe:
    """A program."""

    name: str
    title: str
    symptom: str
    program: str
    """What the program does, and which of its settings are not known."""
    variants: tuple[Variant, ...]
    order: tuple[int, ...] = (0, 1, 2, 3)
    """The program's order of the samples 00, 01, 10, 11."""
    counts: str = "half"
    """The program's rule for a right answer: "half", the output is on the target's side of 1/2; "at_most_half", the
    same with 1/2 itself as class 0; "larger", the larger of the outputs."""
    counting: str = "An answer is right where the output is on the target's side of 1/2."
    printed: tuple[tuple[str, tuple[float, ...]], ...] = ()
    """Published results: "outputs" of the four samples, or "loss"."""

    @property
    def X(self) -> np.ndarray:  # noqa: N802
        """The samples, in the program's order."""
        return X[list(self.order)]

    @property
    def y(self) -> np.ndarray:
        """The targets, one-hot for two sigmoid outputs."""
        arch, y = self.variants[0].architecture, Y[list(self.order)]
        return np.stack([1 - y, y], axis=1) if arch.sizes[-1] == 2 and arch.output == "sigmoid" else y


def _no_biases() -> Recipe:
    arch, biased = Architecture((2, 10, 1), bias=False), Architecture((2, 10, 1))
    leaky = Architecture((2, 10, 1), "leaky_relu", bias=False, leaky_slope=1e-5)
    wrong = ("output_derivative_of_output", "sum_for_mean")
    program = Variant(AS_PUBLISHED, arch, SGD(0.1), 10_000, Uniform(0, 1), wrong)
    slipped = {"architecture": leaky, "mistakes": (*wrong, "leaky_slope_left_out")}
    return Recipe(
        "no-biases",
        "2-10-1 without biases",
        "prints 0.5 for the input (0, 0), and often for all four",
        "ReLU, sigmoid, weights uniform on (0, 1), learning rate 0.1. The output's gradient is dL/do times s(o)(1 - "
        "s(o)), "
        "but o is the sigmoid's value already; gradients are summed over the samples. The number of epochs is not "
        "known: "
        "10,000 are taken. The advice it got: a ReLU whose forward pass is max(1e-5 z, z), with the step as its "
        "derivative, and learning rate 0.001",
        (
            program,
            program.but("the right output gradient", mistakes=("sum_for_mean",)),
            program.but("learning rate 0.001", optimizer=SGD(0.001)),
            program.but("max(1e-5 z, z)", **slipped),
            program.but("max(1e-5 z, z), learning rate 0.001", optimizer=SGD(0.001), advice=True, **slipped),
            program.but("biases", architecture=biased),
            program.but("He's weights", init="he_uniform"),
            program.but(
                "the right output gradient, biases, He's weights",
                architecture=biased,
                init="he_uniform",
                mistakes=("sum_for_mean",),
            ),
        ),
        counts="at_most_half",
        counting="The program prints outputs of at most 1/2 as class 0, so that the sample 00, whose output is 1/2 for "
        "ever without biases, counts as right. Strictly 1/2 is no answer.",
    )


def _relu_output() -> Recipe:
    sizes, init = (2, 16, 16, 16, 1), VarianceScaling(2, "in", "normal", bias=0.5)
    wrong = ("bias_summed_over_units",)
    program = Variant(
        AS_PUBLISHED,
        Architecture(sizes, output="relu"),
        SGD(0.01),
        5000,
        init,
        wrong,
        {"loss": "mse", "batch_size": 1, "shuffle": False},
    )
    return Recipe(
        "relu-output",
        "2-16-16-16-1 with ReLU everywhere, the output too",
        "the output sticks at 0 for some or all inputs",
        "Weights normal times the root of 2 / in, biases 0.5, squared error, one sample at a time in the order 00 11 "
        "10 "
        "01, learning rate 0.01, 5,000 epochs. A layer's bias gradient is one number, the sum over all its units. The "
        "advice it got: the right bias gradient, and a sigmoid output",
        (
            program,
            program.but("the right bias gradient", mistakes=()),
            program.but("a sigmoid output", architecture=Architecture(sizes)),
            program.but(
                "the right bias gradient, a sigmoid output", architecture=Architecture(sizes), mistakes=(), advice=True
            ),
            program.but("biases of 0", init="he_normal"),
            program.but(
                "the right bias gradient, a sigmoid output with its cross-entropy",
                architecture=Architecture(sizes),
                mistakes=(),
                settings={"loss": "bce"},
            ),
        ),
        order=(0, 3, 2, 1),
    )


def _tiny_weights() -> Recipe:
    arch = Architecture((2, 3, 3, 1))
    program = Variant(AS_PUBLISHED, arch, SGD(0.01), 1000, Normal(0.001), ("relu_derivative_at_least_zero",))
    return Recipe(
        "tiny-weights",
        "2-3-3-1 with normal weights times 0.001",
        "the loss stays at 0.6931 and every output at 0.5",
        "ReLU, sigmoid, biases of 0, mean cross-entropy, learning rate 0.01, 1,000 epochs. ReLU's derivative is taken "
        "as "
        "a >= 0, which always holds",
        (
            program,
            program.but("the right derivative", mistakes=()),
            program.but("He's weights", init="he_normal"),
            program.but("learning rate 0.5", optimizer=SGD(0.5)),
            program.but("10,000 epochs", epochs=10_000),
            program.but(
                "the right derivative, He's weights, learning rate 0.5",
                mistakes=(),
                init="he_normal",
                optimizer=SGD(0.5),
            ),
        ),
    )


def _one_hot() -> Recipe:
    arch = Architecture((2, 2, 2, 2), "sigmoid")
    program = Variant(
        AS_PUBLISHED,
        arch,
        SGD(0.5),
        10_000,
        Uniform(0, 1, bias=Uniform(0, 1)),
        ("sigmoid_of_sigmoid", "sum_over_outputs"),
        {"batch_size": 1, "shuffle": False},
    )
    return Recipe(
        "one-hot",
        "2-2-2-2 with one-hot targets",
        "outputs stay above 0.5",
        "Weights and biases uniform on (0, 1), one sample at a time, output gradient o - t, which is cross-entropy's. "
        "Its "
        "activation is 1 / (1 + s(-z)) in place of s(z), in every layer, its derivative f(1 - f). Learning rate and "
        "epochs "
        "are not known: 0.5 and 10,000 are taken",
        (
            program,
            program.but("the right sigmoid", mistakes=("sum_over_outputs",)),
            program.but("weights of Glorot's", init="glorot_uniform"),
            program.but("the right sigmoid, Glorot's weights", mistakes=("sum_over_outputs",), init="glorot_uniform"),
        ),
        counts="larger",
        counting="The program's outputs all lie between 1/2 and 1, so that strictly none can be right; as published "
        "the larger of the two is its answer.",
    )


def _all_sigmoid() -> Recipe:
    arch = Architecture((2, 2, 2, 1), "sigmoid")
    program = Variant(AS_PUBLISHED, arch, SGD(0.15), 5000, Normal(1), ("mean_over_features",))
    return Recipe(
        "2-2-2-1",
        "2-2-2-1, sigmoid everywhere",
        "some runs solve it, others stay where outputs are near 0.5",
        "Weights normal, biases of 0, output gradient o - t, summed over the four samples and divided by 2, the "
        "number of "
        "inputs; learning rate 0.15, 5,000 epochs",
        (
            program,
            program.but("the mean over the samples", mistakes=()),
            program.but("learning rate 0.5", optimizer=SGD(0.5)),
            program.but("8 units a layer", architecture=Architecture((2, 8, 8, 1), "sigmoid")),
            program.but("tanh in hidden layers", architecture=Architecture((2, 2, 2, 1), "tanh")),
            program.but(
                "learning rate 0.5, 8 units a layer, tanh",
                optimizer=SGD(0.5),
                architecture=Architecture((2, 8, 8, 1), "tanh"),
            ),
        ),
        printed=(("outputs", (0.00803, 0.99439, 0.99098, 0.00665)),),
    )


def _keras(name: str, output: str, n_outputs: int, epochs: int, loss: float) -> Recipe:
    wide = Architecture((2, 16, 16, n_outputs), output=output)
    program = Variant(
        AS_PUBLISHED,
        Architecture((2, 4, 4, n_outputs), output=output),
        Adam(0.001, epsilon=1e-7),
        epochs,
        "glorot_uniform",
        settings={"dtype": "float32"},
    )
    fast = Adam(0.01, epsilon=1e-7)
    return Recipe(
        name,
        f"2-4-4-{n_outputs} with ReLU, {output} and Adam",
        "one run learns it, the next is stuck",
        f"Keras' defaults, minibatches of 4, which are all samples, {epochs:,} epochs. Nothing is wrong in it",
        (
            program,
            program.but("learning rate 0.01", optimizer=fast),
            program.but("16 units a layer", architecture=wide),
            program.but("learning rate 0.01, 16 units a layer", optimizer=fast, architecture=wide),
        ),
        printed=(("loss", (loss,)),),
    )


RECIPES: tuple[Recipe, ...] = (
    _no_biases(),
    _relu_output(),
    _tiny_weights(),
    _one_hot(),
    _all_sigmoid(),
    _keras("keras-sigmoid", "sigmoid", 1, 1000, 0.126),
    _keras("keras-softmax", "softmax", 2, 2000, 0.0150),
)
