"""Keep what is expensive to make for later calls: `Kept` lends objects to one call at a time, `cached` keeps results.

It knows nothing of what they are.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Hashable
from typing import Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def cached(most: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """As `functools.lru_cache`, for functions whose result also depends on FASTMLP_LANES."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        kept = functools.lru_cache(most)(lambda _lanes, *args, **keywords: function(*args, **keywords))

        @functools.wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> T:
            return kept(os.environ.get("FASTMLP_LANES"), *args, **keywords)  # type: ignore[arg-type]

        call.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
        return call

    return decorate


class Kept(Generic[T]):
    """A bounded pool. An object that a call has taken belongs to that call until it is given back."""

    def __init__(self, most_keys: int = 16, most_of_a_key: int = 8) -> None:
        self._most_keys, self._most_of_a_key = most_keys, most_of_a_key
        self._objects: dict[Hashable, list[T]] = {}  # without a lock, which a fork could leave locked in the child

    def take(self, key: Hashable) -> T | None:
        """An object that was given under this key and that no other call has; None if there is none."""
        try:
            return self._objects[key].pop()
        except (KeyError, IndexError):
            return None

    def give(self, key: Hashable, one: T) -> None:
        """Keep an object for later calls; those of the oldest key go if there are too many keys."""
        objects = self._objects.setdefault(key, [])
        if len(self._objects) > self._most_keys:
            with contextlib.suppress(RuntimeError):  # another thread has added a key: it removes one too
                self._objects.pop(next(iter(self._objects)), None)
        if len(objects) < self._most_of_a_key:
            objects.append(one)
