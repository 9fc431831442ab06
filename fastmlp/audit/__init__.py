"""Check a hand-written backpropagation: is it right, if not which mistake is in it, and what does that cost?

`audit_gradients` compares gradients with exact ones, `train_with_mistakes` trains nets with mistakes built in,
`cost_of_mistakes` says how many nets the mistakes keep from learning; `MISTAKES` is the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._check_values import choose
from fastmlp._kernels.formulas.losses import LOSSES, Loss
from fastmlp.architecture import Architecture
from fastmlp.audit.backpropagation import Arrays, Problem
from fastmlp.audit.mistakes import AUDITED, MISTAKES, Placed, said_layers
from fastmlp.audit.search import EXACT, L2, TOLERANCE, UPDATED, Search

if TYPE_CHECKING:
    from fastmlp.audit.cost import CostRow, MistakeCost, cost_of_mistakes
    from fastmlp.audit.training import MistakenRuns, train_with_mistakes

__all__ = [
    "MISTAKES",
    "CostRow",
    "GradientAudit",
    "MistakeCost",
    "MistakenRuns",
    "Placed",
    "audit_gradients",
    "cost_of_mistakes",
    "train_with_mistakes",
]


def __getattr__(name: str) -> Any:
    """Import what trains nets on first use: an audit does not need the kernels."""
    if name in ("MistakenRuns", "train_with_mistakes"):
        from fastmlp.audit import training

        return getattr(training, name)
    if name in ("CostRow", "MistakeCost", "cost_of_mistakes"):
        from fastmlp.audit import cost as _mistake_cost

        return getattr(_mistake_cost, name)
    raise AttributeError(f"module 'fastmlp.audit' has no attribute {name!r}")


@dataclass(frozen=True)
class GradientAudit:
    """What `audit_gradients` found.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch = fastmlp.Architecture((2, 3, 1))
    >>> runs = fastmlp.train(arch, X, y, epochs=0)
    >>> weights, biases = [w[0] for w in runs.weights], [b[0] for b in runs.biases]
    >>> _, by_weights, by_biases = fastmlp.loss_and_gradients(arch, runs.weights, runs.biases, X, y)
    >>> wrong = [2 * g[0] for g in by_weights], [2 * g[0] for g in by_biases]
    >>> audit = fastmlp.audit_gradients(arch, weights, biases, X, y, *wrong)
    >>> audit.right, audit.mistakes, audit.factor
    (False, ('mean_over_features',), None)
    """

    right: bool
    """Whether all gradients are right, and the outputs too if they were given."""
    gradients_right: bool
    """Whether the gradients are right for the given outputs; without outputs, for the exact ones."""
    mistakes: tuple[str, ...]
    """Names of the mistakes in the gradients; empty if the gradients are right or not explained."""
    places: tuple[Placed, ...]
    """`mistakes` with their layers, counted from 0 for the weights of the inputs, and their numbers."""
    alternatives: tuple[tuple[str, ...], ...]
    """Names of other mistakes that give the same gradients here; one tuple for each explanation."""
    other_places: tuple[tuple[Placed, ...], ...]
    """`alternatives` with their layers and numbers."""
    forward_mistakes: tuple[str, ...]
    """Names of the mistake in the forward pass; several if they give the same outputs here."""
    forward_places: tuple[Placed, ...]
    """`forward_mistakes` with their layers."""
    outputs_right: bool | None
    """Whether the outputs are right; None if they were not given."""
    errors: dict[str, float]
    """The largest error of each gradient array, relative to the largest magnitude in the exact array."""
    learning_rate: float | None
    """The learning rate used, if weights were updated too early; otherwise None."""
    factor: float | None
    """The common factor, if no known mistake explains gradients that are all one multiple of the right ones."""
    worst: str
    """Where the largest error is, as text: the array and index, its value, and the right one."""
    architecture: Architecture
    """The net that was meant."""
    loss: str
    """The loss's name."""
    l2: float
    """The factor of the L2 term."""

    def __str__(self) -> str:
        lines = []
        if self.outputs_right is False:
            lines.append("The outputs are wrong.")
            lines += self._explained(self.forward_places, "No known mistake gives them.")
            if self.forward_mistakes:
                lines.append("The gradients are compared with the right ones for these outputs.")
        if self.gradients_right:
            lines.append("The gradients are right." if self.right else "For these outputs the gradients are right.")
            return "\n".join(lines)
        lines.append(f"The gradients are wrong: {self.worst}.")
        fine = [name for name, error in self.errors.items() if error <= TOLERANCE]
        if fine:
            lines.append(f"These are right: {', '.join(fine)}.")
        if self.factor is not None:
            sign = ": their sign is wrong, and their size too" if self.factor < 0 else ""
            lines.append(f"All gradients are {self.factor:.6g} times the right ones{sign}.")
        nothing = "No known mistake, and no pair of them, explains this." if self.factor is None else ""
        lines += self._explained(self.places, nothing)
        for other in self.other_places:
            same = " and ".join(MISTAKES[mistake.name].meaning + self._where(mistake) for mistake in other)
            lines.append(f"Another explanation of the same numbers: {same}.")
        return "\n".join(lines)

    def cost(self, X: Any, y: Any, **settings: Any) -> MistakeCost:
        """Train many restarts with and without the mistakes that were found.

        Parameters
        ----------
        X, y : array_like
            The samples, as for `audit_gradients`.
        **settings
            Settings of `cost_of_mistakes`, such as `optimizer`, `epochs`, `init` and `n_nets`: those of your
            program.

        Returns
        -------
        MistakeCost
            Print it to read whether the mistakes are why nets are stuck.
        """
        made = (*self.places, *self.forward_places[:1])
        if not made:
            raise ValueError("the audit found no mistake to train with")
        from fastmlp.audit.cost import cost_of_mistakes

        given = {"loss": self.loss, "l2": self.l2, **settings}
        return cost_of_mistakes(self.architecture, X, y, mistakes=made, **given)

    def _explained(self, mistakes: tuple[Placed, ...], nothing: str) -> list[str]:
        if not mistakes:
            return [nothing] if nothing else []
        lines = []
        for mistake in mistakes:
            entry = MISTAKES[mistake.name]
            lines += [f"Mistake: {entry.meaning}{self._where(mistake)}.", f"  Right: {entry.line}"]
        return lines

    def _where(self, mistake: Placed) -> str:
        """Describe the layers, samples and number of a mistake."""
        where = f" (in {said_layers(mistake.layers, self.architecture.n_layers)})" if mistake.layers else ""
        if mistake.other is not None:
            where += f" (by the weights of {said_layers((mistake.other,), self.architecture.n_layers)})"
        if mistake.stop is not None and mistake.stop - (mistake.sample or 0) > 1:
            where += f" (samples {mistake.sample} to {mistake.stop - 1})"
        elif mistake.sample is not None:
            where += f" (sample {mistake.sample})"
        if mistake.name == UPDATED:
            where += f" (with a learning rate of {mistake.number:.4g})"
        elif mistake.name == L2:
            where += f" ({mistake.number:.4g} times the weights)"
        return where


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
    l2: float = 0.0,
    outputs: Any = None,
) -> GradientAudit:
    """Compare the gradients of your own backpropagation with exact ones, and name the mistake.

    Wrong gradients are compared with those of every mistake in a catalogue, and of every pair of them.

    Parameters
    ----------
    architecture : Architecture
        The net that your program implements.
    weights : list of array_like
        One array a layer, of shape (in, out) or (out, in). The shapes tell which; if all layers are square, the one
        that explains the gradients is taken.
    biases : list of array_like or None
        One array a layer, of `out` numbers in any shape; None or an empty list for a net without biases.
    X : array_like of shape (n_samples, n_inputs)
    y : array_like
        As for `train`.
    weight_gradients, bias_gradients : list of array_like
        Your gradients: the derivatives of the mean loss by each weight and bias, in the shapes of `weights` and
        `biases`. Without `bias_gradients` only the weights' are audited.
    loss : str, optional
        As for `train`.
    l2 : float, default 0.0
        The loss includes l2/2 times the sum of squared weights; biases are left out.
    outputs : array_like of shape (n_samples, n_outputs), optional
        The outputs of your forward pass. They are audited too, and the gradients are judged for these outputs.

    Returns
    -------
    GradientAudit
        Print it for a report.

    Examples
    --------
    >>> import numpy as np
    >>> import fastmlp
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([0, 1, 1, 0])
    >>> W, b = np.array([[0.5], [-0.3]]), np.zeros(1)
    >>> a = 1 / (1 + np.exp(-(X @ W + b)))
    >>> delta = (a - y[:, None]) * a * (1 - a) / 4  # wrong: this derivative cancels with that of the loss
    >>> dW, db = X.T @ delta, delta.sum(axis=0)
    >>> audit = fastmlp.audit_gradients(fastmlp.Architecture((2, 1)), [W], [b], X, y, [dW], [db])
    >>> audit.right, audit.mistakes
    (False, ('output_derivative_twice',))
    """
    if not isinstance(architecture, Architecture):
        raise TypeError(f"architecture={architecture!r}: needs a fastmlp.Architecture, such as Architecture((2, 4, 1))")
    if np.ndim(architecture.leaky_slope):
        raise ValueError("leaky_slope has one number for each net: an audit is of one net, so give one number")
    loss = architecture.default_loss if loss is None else loss
    code = Loss(choose("loss", loss, LOSSES[architecture.activations[-1]]))
    if code not in AUDITED:
        raise ValueError(
            f"loss={code.name.lower()!r} has no catalogue of mistakes: compare with fastmlp.loss_and_gradients"
        )
    samples = checks.inputs(X, architecture, np.dtype(np.float64))
    targets = checks.targets(y, architecture, code, len(samples), np.dtype(np.float64))
    own_outputs = None if outputs is None else _outputs(outputs, targets.shape)
    strength = checks.bounded("l2", l2, 1, 0.0)
    if not isinstance(strength, float):
        raise ValueError(f"l2={l2!r}: needs one number")
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
            architecture.activations, float(architecture.leaky_slope), w, b, samples, targets, code, strength, gradients
        )
        found = _audited(architecture, problem, gradients, gb, own_outputs)
        if best is None or found[0] < best[0]:
            best = found
    assert best is not None
    return best[1]


# ------------------------------------------------------------------------------------------------ what was given


def _orientations(weights: Any, architecture: Architecture) -> list[bool]:
    """Whether the weights are (out, in): one answer, or both if all layers are square."""
    shapes = architecture.shapes
    _refuse_other_lengths("weights", weights, len(shapes))
    given = [np.shape(w) for w in weights]
    answers = [
        turned
        for turned in (False, True)
        if all(shape == (pair[::-1] if turned else pair) for shape, pair in zip(given, shapes, strict=True))
    ]
    if not answers:
        raise ValueError(f"weights have the shapes {given}; needs {shapes}, or each of them transposed")
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


# ------------------------------------------------------------------------------------------------ the finding


def _audited(
    architecture: Architecture, problem: Problem, weights: Arrays, biases: Arrays, outputs: np.ndarray | None
) -> tuple[float, GradientAudit]:
    """An explanation of the gradients, its error, and the report that it leads to."""
    forward, outputs_right = _audit_outputs(problem, outputs)
    search = Search(problem, weights, biases)
    found = search.explanations()
    best, others = (found[0], found[1:]) if found else (None, [])
    mistakes = best.mistakes if best else ()
    wrong = bool(mistakes) or search.wrong
    names = [f"weight_gradients[{k}]" for k in range(len(weights))]
    names += [f"bias_gradients[{k}]" for k in range(len(biases))]
    given, exact = [*weights, *biases], [*search.exact[0], *search.exact[1]]
    errors = {
        name: float(np.abs(g - v).max() / max(np.abs(v).max(), 1e-300))
        for name, g, v in zip(names, given, exact, strict=False)
    }
    rate = [mistake.number for mistake in mistakes if mistake.name == UPDATED]
    audit = GradientAudit(
        right=not wrong and outputs_right is not False,
        gradients_right=not wrong,
        mistakes=tuple(mistake.name for mistake in mistakes),
        places=mistakes,
        alternatives=tuple(other.names for other in others),
        other_places=tuple(other.mistakes for other in others),
        forward_mistakes=tuple(dict.fromkeys(mistake.name for mistake in forward)),
        forward_places=forward,
        outputs_right=outputs_right,
        errors=errors,
        learning_rate=rate[0] if rate else None,
        factor=search.factor() if search.wrong and not mistakes else None,
        worst=_worst(names, given, exact),
        architecture=architecture,
        loss=problem.loss.name.lower(),
        l2=problem.l2,
    )
    return 0.0 if mistakes else search.error, audit


def _audit_outputs(problem: Problem, outputs: np.ndarray | None) -> tuple[tuple[Placed, ...], bool | None]:
    """Find the forward mistakes that give the outputs, and whether these are right; the first goes into the problem."""
    if outputs is None:
        return (), None
    if _distance(outputs, problem.a[-1]) <= TOLERANCE:
        return (), True
    candidates = []
    for mistake in problem.forward_mistakes():
        with np.errstate(all="ignore"):
            candidates.append((_distance(outputs, problem.forward([mistake])[1][-1]), len(mistake.layers), mistake))
    fitting = sorted(one for one in candidates if one[0] <= TOLERANCE)
    if not fitting:
        return (), False
    alike = [mistake for distance, _, mistake in fitting if distance <= 100 * fitting[0][0] + EXACT]
    problem.forward_mistakes_made = (alike[0],)
    with np.errstate(all="ignore"):
        problem.z, problem.a = problem.forward([alike[0]])
    one_each = {mistake.name: mistake for mistake in reversed(alike)}
    return tuple(mistake for mistake in alike if one_each[mistake.name] == mistake), False


def _worst(names: list[str], given: Arrays, exact: Arrays) -> str:
    errors = [np.abs(g - v) for g, v in zip(given, exact, strict=False)]
    k = int(np.argmax([e.max() / max(np.abs(v).max(), 1e-300) for e, v in zip(errors, exact, strict=False)]))
    place = np.unravel_index(int(np.argmax(errors[k])), errors[k].shape)
    where = f"{names[k]}[{', '.join(str(int(i)) for i in place)}]"
    return f"{where} is {given[k][place]:.6g}, and should be {exact[k][place]:.6g}"


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        distance = float(np.abs(a - b).max() / (1.0 + np.abs(b).max()))
    return distance if np.isfinite(distance) else np.inf
