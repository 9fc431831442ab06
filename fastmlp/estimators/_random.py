"""The random numbers that scikit-learn's nets get for a `random_state`, drawn in the same order.

So that a net of the estimators starts from scikit-learn's initial weights, and sees the samples in its order.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np

from fastmlp.architecture import Architecture

MOST_EPOCHS = 32  # of a block, or as many as take `MOST_NUMBERS` numbers
MOST_NUMBERS = 2**21
KEPT_BLOCKS = 4


def initial_weights(
    architecture: Architecture, n_nets: int, logistic: bool, random_state: np.random.RandomState, dtype: np.dtype
) -> np.ndarray:
    """Weights and biases (n, P), uniform within √(6 / (in + out)), for `logistic` units √(2 / (in + out)).

    The first net's come from `random_state` itself, as scikit-learn draws them; the others' from a generator that is
    seeded with what would have come next, so that they leave no trace.
    """
    bounds = [np.sqrt((2.0 if logistic else 6.0) / (n_in + n_out)) for n_in, n_out in architecture.shapes]
    first = [
        random_state.uniform(-bound, bound, count)
        for bound, (n_in, n_out) in zip(bounds, architecture.shapes, strict=True)
        for count in (n_in * n_out, n_out)
    ]
    result = np.empty((n_nets, architecture.n_parameters), dtype)
    result[0] = np.concatenate(first)
    if n_nets > 1:
        others = np.random.default_rng(_of_state(random_state.get_state()).randint(2**32, size=4, dtype=np.uint32))
        scale = np.concatenate(
            [
                np.full((n_in + 1) * n_out, bound)
                for bound, (n_in, n_out) in zip(bounds, architecture.shapes, strict=True)
            ]
        )
        for net in range(1, n_nets):
            result[net] = others.uniform(-1.0, 1.0, len(scale)) * scale
    return result


def seed_of(random_state: np.random.RandomState, given: Any) -> int:
    """A seed for what scikit-learn has not, dropout and bootstrap, that leaves no trace either.

    `random_state` is new, if a number is `given` for it.
    """
    if isinstance(given, (int, np.integer)):
        return _seed_of_number(int(given))
    return _drawn_seed(_of_state(random_state.get_state()))


@functools.lru_cache(1024)
def _seed_of_number(number: int) -> int:
    return _drawn_seed(np.random.RandomState(number))


def _drawn_seed(random_state: np.random.RandomState) -> int:
    low, high = random_state.randint(2**32, size=2, dtype=np.uint32)
    return int(low) | int(high) << 32


def _of_state(state: Any) -> np.random.RandomState:
    generator = np.random.RandomState(0)  # without a number it would ask the system for one
    generator.set_state(state)
    return generator


class Orders:
    """The order of samples in each epoch: every epoch shuffles that of the one before.

    Epochs may be asked for again, by another thread and not in order; to draw them again the generator's state is kept
    at the end of every block of epochs. The caller's generator moves on only in `finish`.
    """

    def __init__(self, n_samples: int, random_state: np.random.RandomState, n_epochs: int):
        self._caller = random_state
        state: Any = random_state.get_state()
        self.key: Hashable = n_samples, state[1].tobytes(), *state[2:]
        """Orders with the same key are the same."""
        self._length = max(1, min(MOST_EPOCHS, n_epochs, MOST_NUMBERS // n_samples))
        self._marks = [(state, np.arange(n_samples))]
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, first: int, stop: int) -> np.ndarray:
        """Orders (stop − first, S), int32."""
        n_samples = len(self._marks[0][1])
        result = np.empty((stop - first, n_samples), np.int32)
        with self._lock:
            for number in range(first // self._length, -(-stop // self._length)):
                block, begin = self._block(number), number * self._length
                here = slice(max(first, begin), min(stop, begin + self._length))
                result[here.start - first : here.stop - first] = block[here.start - begin : here.stop - begin]
        return result

    def _block(self, number: int) -> np.ndarray:
        if number not in self._blocks:
            for missing in range(min(number, len(self._marks) - 1), number + 1):
                self._blocks[missing] = self._draw(missing)
        self._blocks.move_to_end(number)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    @functools.cached_property
    def _random_state(self) -> np.random.RandomState:
        return _of_state(self._marks[0][0])

    def _draw(self, number: int) -> np.ndarray:
        state, order = self._marks[number]
        self._random_state.set_state(state)
        block = np.empty((self._length, len(order)), np.int32)
        for epoch in range(self._length):
            shuffled = np.arange(len(order))
            self._random_state.shuffle(shuffled)
            order = order[shuffled]
            block[epoch] = order
        if len(self._marks) == number + 1:
            self._marks.append((self._random_state.get_state(), order))
        return block

    def finish(self, n_epochs: int) -> None:
        """Leave the generator as it is after `n` epochs, for training that continues."""
        number, rest = divmod(n_epochs, self._length)
        with self._lock:
            if number:
                self._block(number - 1)
            self._caller.set_state(self._marks[number][0])
            for _ in range(rest):
                self._caller.shuffle(np.arange(len(self._marks[0][1])))
