"""Find the smallest set of mistakes, with their layers, that explains given gradients.

The search goes from the output layer down. A layer's gradients depend only on that layer and those above, so most
candidates are rejected at the first layer whose gradients they do not explain.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from fastmlp.audit.backpropagation import Arrays, Made, Problem
from fastmlp.audit.mistakes import BACKWARD, Placed

# Gradients count as equal when they differ by at most this, relative to the sum of the magnitudes of their terms.
# Float32 gradients of thousands of samples differ by less than 1e-5; every mistake that matters differs by more.
TOLERANCE = 1e-4
# The accuracy of float64. A gradient this close to a mistake's and a thousand times further from the right one is the
# mistake's, even if both are within the tolerance.
EXACT = 1e-9
CLEARLY = 1e-3
SMALL = 1e-3  # smallest scale of a number, relative to the array's largest: 1e-7 of that is rounding
MOST_MISTAKES = 2
MOST_RANGES = 512  # samples; in larger data only minibatches of usual sizes are searched for
USUAL_SIZES = (8, 10, 16, 20, 25, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000, 1024)
UPDATED, L2 = "weights_updated_before_passing_down", "l2_in_gradient"
PRODUCTS = tuple(name for name, mistake in BACKWARD.items() if "product" in mistake.slots)
WEIGHT_PARTS = tuple(name for name, mistake in BACKWARD.items() if "weight_part" in mistake.slots)
BIASES = tuple(name for name, mistake in BACKWARD.items() if mistake.slots & {"bias", "bias_part"})
PASSES = tuple(name for name, mistake in BACKWARD.items() if "pass" in mistake.slots and mistake.has_layers)
DERIVATIVES = tuple(name for name, mistake in BACKWARD.items() if "hidden" in mistake.slots)
OF_ALL = tuple(name for name, mistake in BACKWARD.items() if not mistake.has_layers)


class Explanation(NamedTuple):
    """Mistakes that explain the gradients."""

    error: float
    mistakes: tuple[Placed, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the mistakes, without their layers."""
        return tuple(sorted(mistake.name for mistake in self.mistakes))


class Search:
    """The given gradients, and the search for their explanation."""

    def __init__(self, problem: Problem, weights: Arrays, biases: Arrays) -> None:
        self.problem, self.weights, self.biases = problem, weights, biases
        self.magnitudes = problem.magnitudes()
        self.places = {name: problem.places(name) for name in BACKWARD}
        self.names = [name for name in BACKWARD if self.places[name]]
        self.exact = problem.gradients()
        self.error = max(
            self._differences(self.exact[0], self.weights, 0) + self._differences(self.exact[1], self.biases, 1)
        )

    @property
    def wrong(self) -> bool:
        """Whether the gradients differ from the right ones by more than rounding."""
        return self.error > TOLERANCE

    def explanations(self) -> list[Explanation]:
        """The best explanation, then equally good ones; empty if the gradients are right or not explained."""
        if self.error <= EXACT:
            return []
        limit = TOLERANCE if self.wrong else CLEARLY * self.error
        for number in range(1, MOST_MISTAKES + 1 if self.wrong else 2):
            found: dict[tuple[str, ...], Explanation] = {}
            for explanation in self._of(number, limit):
                best = found.get(explanation.names)
                if best is None or _rank(explanation) < _rank(best):
                    found[explanation.names] = explanation
            if found:
                ranked = sorted(found.values(), key=_rank)
                return [one for one in ranked if one.error <= 100 * ranked[0].error + EXACT]
        return []

    def factor(self) -> float | None:
        """The factor between all gradients and the right ones, if there is one."""
        given, exact = [*self.weights, *self.biases], [*self.exact[0], *self.exact[1]][: len(self._given())]
        g, v = (np.concatenate([array.ravel() for array in arrays]) for arrays in (given, exact))
        factor = float(g @ v) / max(float(v @ v), 1e-300)
        scaled = [[factor * array for array in arrays] for arrays in self.exact]
        errors = self._differences(scaled[0], self.weights, 0) + self._differences(scaled[1], self.biases, 1)
        return factor if max(errors) <= TOLERANCE else None

    def _given(self) -> Arrays:
        return [*self.weights, *self.biases]

    # ----------------------------------------------------------------------------------------- differences

    def _difference(self, given: np.ndarray, value: np.ndarray, layer: int, which: int) -> float:
        """The largest difference, relative to the terms' magnitudes; `which` is 0 for weights and 1 for biases."""
        m = self.magnitudes[which][layer]
        with np.errstate(all="ignore"):
            worst = float((np.abs(given - value) / (m + np.abs(value) + SMALL * m.max() + 1e-300)).max())
        return worst if np.isfinite(worst) else np.inf

    def _differences(self, values: Arrays, given: Arrays, which: int) -> list[float]:
        return [self._difference(g, v, k, which) for k, (g, v) in enumerate(zip(given, values, strict=False))]

    # ----------------------------------------------------------------------------------------- from the top down

    def _of(self, number: int, limit: float) -> Iterator[Explanation]:
        """Explanations by `number` mistakes."""
        names = [name for name in OF_ALL if name in self.names]
        for size in range(number + 1):
            for chosen in combinations(names, size):
                slots = [slot for name in chosen for slot in BACKWARD[name].slots]
                if len(set(slots)) < len(slots):
                    continue
                for of_all in self._with_numbers(chosen):
                    made = Made(of_all)
                    with np.errstate(all="ignore"):
                        delta = self.problem.output_delta(made)
                    layer = self.problem.n_layers - 1
                    yield from self._below(layer, delta, tuple(of_all), number, limit, 0.0)

    def _below(
        self, layer: int, delta: np.ndarray, so_far: tuple[Placed, ...], number: int, limit: float, error: float
    ) -> Iterator[Explanation]:
        """Explain the gradients of a layer and of those below it."""
        used = {mistake.name for mistake in so_far}
        l2 = [mistake for mistake in so_far if mistake.name.startswith("l2")]
        for at, weight_error in self._weights_of(layer, delta, used, number, limit, l2):
            for at_bias, bias_error in self._biases_of(layer, delta, used | {m.name for m in at}, number, limit):
                here = (*so_far, *at, *at_bias)
                worst = max(error, weight_error, bias_error)
                if layer == 0:
                    if len({m.name for m in here}) == number:
                        yield Explanation(worst, _merged(here))
                    continue
                yield from self._passed(layer, delta, here, number, limit, worst)

    def _passed(
        self, layer: int, delta: np.ndarray, here: tuple[Placed, ...], number: int, limit: float, error: float
    ) -> Iterator[Explanation]:
        """Go down to the layer below, with every mistake in what is passed down that keeps within `number` mistakes."""
        used = {mistake.name for mistake in here}
        updated = [mistake for mistake in here if mistake.name == UPDATED]
        passes = [()] if updated else [(), *self._options(PASSES, layer, used, number)]
        for down, bent in product(passes, [(), *self._options(DERIVATIVES, layer - 1, used, number)]):
            made = (*here, *down, *bent)
            if len({m.name for m in made}) > number:
                continue
            rates = [updated[0].number] if updated else [0.0]
            if updated and not rates[0]:
                with np.errstate(all="ignore"):
                    rates = self._rates(layer, delta, Made(bent))
            for rate in rates:
                made = tuple(m._replace(number=rate) if m.name == UPDATED else m for m in made)
                with np.errstate(all="ignore"):
                    below = self.problem.passed_down(layer, delta, Made(down), rate)
                    below = below * self.problem.hidden_derivative(layer - 1, Made(bent))
                yield from self._below(layer - 1, below, made, number, limit, error)

    def _options(self, names: tuple[str, ...], layer: int, used: set[str], number: int) -> list[tuple[Placed, ...]]:
        """Candidates for a layer; a mistake that is already made in another layer does not count again."""
        found: list[tuple[Placed, ...]] = []
        for name in names:
            if layer in self.places[name] and (name in used or len(used) < number):
                if name == "passed_down_by_other_weights":
                    others = self.problem.other_weights(layer)
                    found += [(Placed(name, (layer,), other=other),) for other in others]
                else:
                    found.append((Placed(name, (layer,)),))
        return found

    def _weights_of(
        self, layer: int, delta: np.ndarray, used: set[str], number: int, limit: float, l2: list[Placed]
    ) -> Iterator[tuple[tuple[Placed, ...], float]]:
        """Explain a layer's weight gradient."""
        given, w = self.weights[layer], self.problem.weights[layer]
        pairs = product(
            [(), *self._options(PRODUCTS, layer, used, number)], [(), *self._options(WEIGHT_PARTS, layer, used, number)]
        )
        for how, part in pairs:
            if len(used | {m.name for m in (*how, *part)}) > number:
                continue
            for placed in self._with_sample((*how, *part), layer, delta, 0):
                with np.errstate(all="ignore"):
                    value = self.problem.weight_gradient(layer, delta, Made(placed))
                    value = value + self._l2(l2) * w
                error = self._difference(given, value, layer, 0)
                if error <= limit:
                    yield placed, error

    def _l2(self, l2: list[Placed]) -> float:
        if not l2:
            return self.problem.l2
        return self.problem.l2 + l2[0].number if l2[0].name == L2 else 0.0

    def _biases_of(
        self, layer: int, delta: np.ndarray, used: set[str], number: int, limit: float
    ) -> Iterator[tuple[tuple[Placed, ...], float]]:
        """Explain a layer's bias gradient."""
        if not self.biases:
            yield (), 0.0
            return
        single = [(), *self._options(BIASES, layer, used, number)]
        both = [
            (*one, *other)
            for one, other in combinations(single[1:], 2)
            if not BACKWARD[one[0].name].slots & BACKWARD[other[0].name].slots
            and len(used | {one[0].name, other[0].name}) <= number
        ]
        for option in (*single, *both):
            for placed in self._with_sample(option, layer, delta, 1):
                with np.errstate(all="ignore"):
                    value = self.problem.bias_gradient(delta, Made(placed))
                error = self._difference(self.biases[layer], value, layer, 1)
                if error <= limit:
                    yield placed, error

    # ----------------------------------------------------------------------------------------- their numbers

    def _with_sample(
        self, placed: tuple[Placed, ...], layer: int, delta: np.ndarray, which: int
    ) -> list[tuple[Placed, ...]]:
        """Fill in the only sample left in the layer's gradients, for a mistake that loses the others."""
        one = [m for m in placed if m.name.endswith("of_one_sample")]
        if not one:
            return [placed]
        found = []
        rest = tuple(m for m in placed if m not in one)
        given = (self.weights, self.biases)[which][layer]
        for factor in (1.0, float(len(delta))):
            sample = self._nearest_sample(layer, factor * delta, Made(rest), given, which)
            found.append((*rest, one[0]._replace(sample=sample, number=factor)))
        return found

    def _nearest_sample(self, layer: int, delta: np.ndarray, here: Made, given: np.ndarray, which: int) -> int:
        """The sample whose term is nearest to the given gradient."""
        with np.errstate(all="ignore"):
            if which:
                terms = delta if not here.by_name else np.broadcast_to(delta.sum(axis=1, keepdims=True), delta.shape)
            else:
                terms = self.problem.terms(layer, delta, here)
            wanted = given.ravel() if terms.shape[1] == given.size else given[..., 0].ravel()
            distance = np.abs(terms - wanted).max(axis=1)
        return int(np.nanargmin(distance)) if np.isfinite(distance).any() else 0

    def _with_numbers(self, chosen: tuple[str, ...]) -> list[list[Placed]]:
        """Mistakes that belong to no layer, with the samples and factors that fit best."""
        top = self.problem.n_layers - 1
        plain = [Placed(name) for name in chosen if name not in ("one_sample", "one_minibatch", L2)]
        if "one_sample" in chosen:
            with np.errstate(all="ignore"):
                delta = self.problem.output_delta(Made(plain)) * len(self.problem.X)
            samples = {self._nearest_sample(top, delta, Made(), self.weights[top], 0)}
            if self.biases:
                samples.add(self._nearest_sample(top, delta, Made(), self.biases[top], 1))
            found = [[*plain, Placed("one_sample", sample=sample, stop=sample + 1)] for sample in sorted(samples)]
        elif "one_minibatch" in chosen:
            if len(chosen) > 1:
                return []
            found = [[Placed("one_minibatch", sample=first, stop=stop)] for first, stop in self._ranges()]
        else:
            found = [plain]
        if L2 in chosen:
            factors = [self._factor_of_weights(Made(placed)) for placed in found]
            # a factor of −l2 means that the L2 term is missing, not subtracted
            found = [
                [*placed, Placed(L2, number=factor)]
                for placed, factor in zip(found, factors, strict=True)
                if abs(factor + self.problem.l2) > EXACT * self.problem.l2
            ]
        return found

    def _factor_of_weights(self, made: Made) -> float:
        """The factor of the weights in the output layer's gradient, beyond the L2 term of the loss."""
        top = self.problem.n_layers - 1
        w = self.problem.weights[top]
        with np.errstate(all="ignore"):
            delta = self.problem.output_delta(made)
            rest = self.weights[top] - self.problem.weight_gradient(top, delta, Made()) - self.problem.l2 * w
        factor = float((rest * w).sum()) / max(float((w * w).sum()), 1e-300)
        return factor if np.isfinite(factor) else 0.0

    def _ranges(self) -> list[tuple[int, int]]:
        """The range of samples whose mean gradient is nearest to the given one of the output layer."""
        top, n = self.problem.n_layers - 1, len(self.problem.X)
        delta = self.problem.output_delta(Made()) * n
        terms = self.problem.terms(top, delta, Made())
        given = self.weights[top].ravel() if terms.shape[1] == self.weights[top].size else self.weights[top][:, 0]
        if self.biases:
            terms, given = np.concatenate([terms, delta], axis=1), np.concatenate([given, self.biases[top]])
        sums = np.concatenate([np.zeros((1, terms.shape[1])), np.cumsum(terms, axis=0)])
        if n <= MOST_RANGES:
            first, stop = np.triu_indices(n + 1, 2)
        else:
            sizes = [size for size in USUAL_SIZES if size < n]
            first = np.concatenate([np.arange(0, n, size) for size in sizes])
            stop = np.concatenate([np.minimum(np.arange(0, n, size) + size, n) for size in sizes])
        whole = stop - first == n
        first, stop = first[~whole], stop[~whole]
        best, distance = (0, 1), np.inf
        for block in range(0, len(first), 2**16):
            i, j = first[block : block + 2**16], stop[block : block + 2**16]
            means = (sums[j] - sums[i]) / (j - i)[:, None]
            off = np.abs(means - given).max(axis=1)
            k = int(np.argmin(off))
            if off[k] < distance:
                best, distance = (int(i[k]), int(j[k])), float(off[k])
        return [best]

    def _rates(self, layer: int, delta: np.ndarray, bent: Made) -> list[float]:
        """Estimate the learning rate of weights that were updated too early: gradients one layer down are linear in it.

        One estimate from the weights' gradients there, and one from the biases'.
        """
        slope = self.problem.hidden_derivative(layer - 1, bent)
        still, moved = (self.problem.passed_down(layer, delta, Made(), rate) * slope for rate in (0.0, 1.0))
        nothing, rates = Made(), []
        for gradient, given in (
            (lambda below: self.problem.weight_gradient(layer - 1, below, nothing).ravel(), self.weights),
            (lambda below: self.problem.bias_gradient(below, nothing), self.biases),
        ):
            if given:
                first, change = gradient(still), gradient(moved) - gradient(still)
                size = float(change @ change)
                rates += [float((given[layer - 1].ravel() - first) @ change) / size] if size else []
        return [rate for rate in rates if np.isfinite(rate) and rate]


def _rank(explanation: Explanation) -> tuple[float, int]:
    """Order explanations by their error, then by the number of layers."""
    error = explanation.error
    rounded = 0.0 if error <= EXACT else error
    return rounded, sum(len(mistake.layers) for mistake in explanation.mistakes)


def _merged(placed: tuple[Placed, ...]) -> tuple[Placed, ...]:
    """Merge the entries of each mistake into one with all its layers."""
    merged: dict[str, Placed] = {}
    for mistake in placed:
        before = merged.get(mistake.name)
        layers = tuple(sorted({*(before.layers if before else ()), *mistake.layers}))
        merged[mistake.name] = (before or mistake)._replace(layers=layers)
    return tuple(merged[name] for name in sorted(merged))
