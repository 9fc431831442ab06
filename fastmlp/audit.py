"""`audit_gradients`: is somebody's own backpropagation right, and if not, which mistake is in it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fastmlp import _checks as checks
from fastmlp._formulas import LOSSES, Loss
from fastmlp._mistakes import BACKWARD, FORWARD, Arrays, Mistake, Problem
from fastmlp._names import choose
from fastmlp.architecture import Architecture

# Gradients count as equal when they differ by at most this, relative to the sum of their terms without signs. Float32
# gradients of thousands of samples come within 1e-5 of that; no mistake that matters does.
TOLERANCE = 1e-4
# What float64 gives. Where a gradient is that close to a mistake's and a thousand times farther from the right one, it
# is the mistake's, though both are within the tolerance.
EXACT = 1e-9
CLEARLY = 1e-3
SMALL = 1e-3  # numbers smaller than this beside the array's largest are compared with that: 1e-7 of it is rounding
UPDATED = "weights_updated_before_passing_down"


@dataclass(frozen=True)
class GradientAudit:
    """What `audit_gradients` found."""

    right: bool
    """Whether all gradients, and the outputs if they were given, are right."""
    gradients_right: bool
    """Whether the gradients are right, for the outputs that were given."""
    mistakes: tuple[str, ...]
    """Names of the mistakes in the gradients, none where they are right or not explained."""
    alternatives: tuple[tuple[str, ...], ...]
    """Other mistakes that would give the very same gradients here."""
    forward_mistakes: tuple[str, ...]
    """Names of the mistake in the forward pass; more than one where they cannot be told apart."""
    outputs_right: bool | None
    """Whether the outputs are right; None if they were not given."""
    errors: dict[str, float]
    """The largest error of each gradient, relative to the largest number of the exact one."""
    learning_rate: float | None
    """Where weights were updated too early: with which learning rate."""
    factor: float | None
    """Where no mistake is known, but all gradients are the right ones times one number: which."""
    worst: str
    """The array with the largest error, what it holds there and what it should."""

    def __str__(self) -> str:
        lines = []
        if self.outputs_right is False:
            lines.append("The outputs are wrong.")
            lines += _explained(
                [FORWARD[name] for name in self.forward_mistakes], "They agree with none of the known mistakes."
            )
            if self.forward_mistakes:
                lines.append("The gradients are compared with those that such outputs lead to.")
        if self.gradients_right:
            lines.append("The gradients are right." if self.right else "For these outputs the gradients are right.")
            return "\n".join(lines)
        lines.append(f"The gradients are wrong: {self.worst}.")
        fine = [name for name, error in self.errors.items() if error <= TOLERANCE]
        if fine:
            lines.append(f"Right are {', '.join(fine)}.")
        if self.factor is not None:
            lines.append(f"All are the right ones times {self.factor:.6g}.")
        nothing = "No known mistake, nor a pair of them, explains it." if self.factor is None else ""
        lines += _explained([BACKWARD[name] for name in self.mistakes], nothing)
        if self.learning_rate is not None:
            lines.append(f"  (with a learning rate of {self.learning_rate:.4g})")
        for other in self.alternatives:
            lines.append("The same numbers come of: " + " and ".join(BACKWARD[name].meaning for name in other) + ".")
        return "\n".join(lines)


def _explained(mistakes: list[Mistake], nothing: str) -> list[str]:
    if not mistakes:
        return [nothing] if nothing else []
    lines = []
    for mistake in mistakes:
        lines += [f"Mistake: {mistake.meaning}.", f"  Right: {mistake.line}"]
    return lines


def audit_gradients(
    architecture: Architecture,
    weights: Any,
    biases: Any,
    X: Any,
    y: Any,
    weight_gradients: Any,
    bias_gradients: Any = None,
    *,
    loss: str | None = None,
    outputs: Any = None,
) -> GradientAudit:
    """Compare the gradients that a backpropagation of your own computed with exact ones, and name what is wrong.

    Gradients that are wrong are compared with those of a catalogue of mistakes, and of all pairs of them.

    Parameters
    ----------
    architecture : Architecture
        What the net is meant to be.
    weights : list of array_like
        One array a layer, of shape (in, out) or (out, in): told apart by the shapes, and where all layers are square by
        which of the two explains the gradients.
    biases : list of array_like or None
        One array a layer, of `out` numbers in any shape; None or an empty list for a net without.
    X : array_like of shape (n_samples, n_inputs)
    y : array_like
        As for `train`.
    weight_gradients, bias_gradients : list of array_like
        What you computed: the derivatives of the mean loss by each weight and bias, shaped as those are. Without
        `bias_gradients` only the weights' are audited.
    loss : str, optional
        As for `train`.
    outputs : array_like of shape (n_samples, n_outputs), optional
        What your forward pass gave: then it is audited too, and the gradients are judged for these outputs.

    Returns
    -------
    GradientAudit
        Print it to read it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> W, b = np.array([[0.5], [-0.3]]), np.zeros(1)
    >>> a = 1 / (1 + np.exp(-(X @ W + b)))
    >>> delta = (a - y[:, None]) * a * (1 - a) / 4  # a slip: the derivative has cancelled with that of the loss
    >>> dW, db = X.T @ delta, delta.sum(axis=0)
    >>> audit = fastmlp.audit_gradients(fastmlp.Architecture((2, 1)), [W], [b], X, y, [dW], [db])
    >>> audit.right, audit.mistakes
    (False, ('output_derivative_twice',))
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    if np.ndim(architecture.leaky_slope):
        raise ValueError("leaky_slope has one number for each net: an audit is of one net, so give it one number")
    loss = architecture.default_loss if loss is None else loss
    code = Loss(choose("loss", loss, LOSSES[architecture.activations[-1]]))
    if code == Loss.POISSON:
        raise ValueError("loss='poisson' has no catalogue of mistakes: compare with fastmlp.loss_and_gradients")
    samples = checks.inputs(X, architecture, np.dtype(np.float64))
    targets = checks.targets(y, architecture, code, len(samples), np.dtype(np.float64))
    own_outputs = None if outputs is None else _outputs(outputs, targets.shape)
    with_biases = bias_gradients is not None and architecture.bias
    best: tuple[float, GradientAudit] | None = None
    for turned in _orientations(weights, architecture):
        w = _matrices("weights", weights, architecture, turned)
        gradients = _matrices("weight_gradients", weight_gradients, architecture, turned)
        b = (
            _vectors("biases", biases, architecture)
            if architecture.bias
            else [np.zeros(n) for _, n in architecture.shapes]
        )
        gb = _vectors("bias_gradients", bias_gradients, architecture) if with_biases else []
        problem = Problem(
            architecture.activations, float(architecture.leaky_slope), w, b, samples, targets, code, gradients
        )
        found = _Search(problem, gradients, gb, own_outputs).audit()
        if best is None or found[0] < best[0]:
            best = found
    assert best is not None
    return best[1]


# ------------------------------------------------------------------------------------------------ what was given


def _orientations(weights: Any, architecture: Architecture) -> list[bool]:
    """Whether the weights are (out, in): one answer, or both where all layers are square."""
    shapes = architecture.shapes
    _refuse_other_lengths("weights", weights, len(shapes))
    given = [np.shape(w) for w in weights]
    answers = [
        turned
        for turned in (False, True)
        if all(shape == (pair[::-1] if turned else pair) for shape, pair in zip(given, shapes, strict=True))
    ]
    if not answers:
        raise ValueError(f"weights have the shapes {given}; needs {shapes}, or each of them turned round")
    return answers


def _refuse_other_lengths(name: str, given: Any, n_layers: int) -> None:
    if not isinstance(given, (list, tuple)) or len(given) != n_layers:
        got = f"{len(given)} arrays" if isinstance(given, (list, tuple)) else type(given).__name__
        raise ValueError(f"{name} is {got}; needs a list of {n_layers} arrays, one a layer")


def _matrices(name: str, given: Any, architecture: Architecture, turned: bool) -> Arrays:
    _refuse_other_lengths(name, given, architecture.n_layers)
    matrices = []
    for layer, (array, pair) in enumerate(zip(given, architecture.shapes, strict=True)):
        matrix = checks.real_array(f"{name}[{layer}]", array)
        wanted = pair[::-1] if turned else pair
        if matrix.shape != wanted:
            raise ValueError(f"{name}[{layer}] has shape {matrix.shape}; needs {wanted}, that of its weights")
        matrix = checks.cast_finite(f"{name}[{layer}]", matrix, np.dtype(np.float64))
        matrices.append(np.ascontiguousarray(matrix.T) if turned else matrix)
    return matrices


def _vectors(name: str, given: Any, architecture: Architecture) -> Arrays:
    _refuse_other_lengths(name, given, architecture.n_layers)
    vectors = []
    for layer, (array, (_, size)) in enumerate(zip(given, architecture.shapes, strict=True)):
        vector = checks.real_array(f"{name}[{layer}]", array)
        if vector.size != size:
            raise ValueError(f"{name}[{layer}] has shape {vector.shape}; needs {size} numbers, one for each unit")
        vectors.append(checks.cast_finite(f"{name}[{layer}]", vector, np.dtype(np.float64)).reshape(size))
    return vectors


def _outputs(given: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = checks.real_array("outputs", given)
    if array.size != np.prod(shape) or array.shape not in (shape, shape[:1], shape[::-1]):
        raise ValueError(f"outputs have shape {array.shape}; needs {shape}")
    array = array.T if array.shape == shape[::-1] and shape[0] != shape[1] else array
    return checks.cast_finite("outputs", array.reshape(shape), np.dtype(np.float64))


# ------------------------------------------------------------------------------------------------ the search


class _Search:
    """Which mistakes lead to the gradients that were given."""

    def __init__(self, problem: Problem, weights: Arrays, biases: Arrays, outputs: np.ndarray | None) -> None:
        self.problem, self.outputs = problem, outputs
        self.given = [*weights, *biases]
        self.names = [f"weight_gradients[{k}]" for k in range(len(weights))]
        self.names += [f"bias_gradients[{k}]" for k in range(len(biases))]

    def audit(self) -> tuple[float, GradientAudit]:
        """The smallest error of an explanation, and what is to be said."""
        forward, outputs_right = self._audit_outputs()
        magnitudes = self.problem.magnitudes()
        self.magnitudes = [*magnitudes[0], *magnitudes[1]][: len(self.given)]
        exact = self._of(frozenset())
        error = self._error(exact)
        mistakes, others, rate = self._explanation(error)
        factor = self._factor(exact) if error > TOLERANCE and not mistakes else None
        wrong = bool(mistakes) or error > TOLERANCE
        errors = {
            name: float(np.abs(g - v).max() / max(np.abs(v).max(), 1e-300))
            for name, g, v in zip(self.names, self.given, exact, strict=True)
        }
        audit = GradientAudit(
            right=not wrong and outputs_right is not False, gradients_right=not wrong, mistakes=tuple(sorted(mistakes)),
            alternatives=tuple(tuple(sorted(other)) for other in others), forward_mistakes=forward,
            outputs_right=outputs_right, errors=errors, learning_rate=rate if UPDATED in mistakes else None,
            factor=factor, worst=self._worst(exact),
        )  # fmt: skip
        if mistakes:
            error = 0.0
        return error, audit

    def _audit_outputs(self) -> tuple[tuple[str, ...], bool | None]:
        """Which forward mistakes give the outputs, and whether they are right; the problem goes on with the first."""
        if self.outputs is None:
            return (), None
        if _distance(self.outputs, self.problem.a[-1]) <= TOLERANCE:
            return (), True
        candidates = [
            (_distance(self.outputs, self.problem.forward(name)[1][-1]), name)
            for name in self.problem.forward_mistakes()
        ]
        fitting = sorted((distance, name) for distance, name in candidates if distance <= TOLERANCE)
        if not fitting:
            return (), False
        names = tuple(name for distance, name in fitting if distance <= 100 * fitting[0][0] + EXACT)
        self.problem.forward_mistake = names[0]
        self.problem.z, self.problem.a = self.problem.forward(names[0])
        return names, False

    def _of(self, mistakes: frozenset[str], rate: float = 0.0) -> Arrays:
        weights, biases = self.problem.gradients(mistakes, rate)
        return [*weights, *biases][: len(self.given)]

    def _error(self, arrays: Arrays) -> float:
        """The largest difference from what was given, relative to the terms without signs."""
        worst = 0.0
        for g, v, m in zip(self.given, arrays, self.magnitudes, strict=True):
            with np.errstate(all="ignore"):
                worst = max(worst, float((np.abs(g - v) / (m + SMALL * m.max() + 1e-300)).max()))
        return worst if np.isfinite(worst) else np.inf

    def _explanation(self, error: float) -> tuple[frozenset[str], list[frozenset[str]], float | None]:
        """The fewest mistakes that explain the gradients; others that do as well; a learning rate."""
        if error <= EXACT:
            return frozenset(), [], None
        possible = self.problem.backward_mistakes()
        pairs = (
            frozenset(pair) for pair in combinations(possible, 2)
            if not BACKWARD[pair[0]].slots & BACKWARD[pair[1]].slots
        )  # fmt: skip
        groups: list[Iterable[frozenset[str]]] = [[frozenset([name]) for name in possible]]
        if error > TOLERANCE:
            groups.append(pairs)
        for group in groups:
            fits = sorted((self._fit(mistakes) for mistakes in group), key=lambda fit: fit[0])
            fits = [fit for fit in fits if fit[0] <= (TOLERANCE if error > TOLERANCE else CLEARLY * error)]
            if fits:
                alike = [fit[1] for fit in fits[1:] if fit[0] <= 100 * fits[0][0] + EXACT]
                return fits[0][1], alike, fits[0][2]
        return frozenset(), [], None

    def _fit(self, mistakes: frozenset[str]) -> tuple[float, frozenset[str], float]:
        """How far off the gradients are from those with these mistakes; a learning rate is found by the way."""
        if UPDATED not in mistakes:
            return self._error(self._of(mistakes)), mistakes, 0.0
        # one layer down from the top the gradient is linear in the learning rate
        still, moved, given = map(self._below_the_top, (*(self._of(mistakes, rate) for rate in (0.0, 1.0)), self.given))
        change = moved - still
        size = float(change @ change)
        if size == 0.0:
            return np.inf, mistakes, 0.0
        rate = float((given - still) @ change) / size
        return self._error(self._of(mistakes, rate)), mistakes, rate

    def _below_the_top(self, arrays: Arrays) -> np.ndarray:
        """All numbers of the layer below the output layer."""
        n_layers = self.problem.n_layers
        return np.concatenate([arrays[k].ravel() for k in range(n_layers - 2, len(arrays), n_layers)])

    def _factor(self, exact: Arrays) -> float | None:
        """The number that all gradients are too large by, if there is one."""
        g, v = (np.concatenate([array.ravel() for array in arrays]) for arrays in (self.given, exact))
        factor = float(g @ v) / max(float(v @ v), 1e-300)
        return factor if self._error([factor * array for array in exact]) <= TOLERANCE else None

    def _worst(self, exact: Arrays) -> str:
        errors = [np.abs(g - v) for g, v in zip(self.given, exact, strict=True)]
        k = int(np.argmax([e.max() / max(np.abs(v).max(), 1e-300) for e, v in zip(errors, exact, strict=True)]))
        place = np.unravel_index(int(np.argmax(errors[k])), errors[k].shape)
        where = f"{self.names[k]}[{', '.join(str(int(i)) for i in place)}]"
        return f"{where} is {self.given[k][place]:.6g}, and should be {exact[k][place]:.6g}"


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        distance = float(np.abs(a - b).max() / (1.0 + np.abs(b).max()))
    return distance if np.isfinite(distance) else np.inf
