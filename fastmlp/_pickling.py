"""What stands in a pickle for a function that no pickle can hold, such as a lambda."""

from __future__ import annotations

import pickle
from typing import Any, NoReturn

import numpy as np


class LostFunction:
    """In the place of a function that was not kept; calling it says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_arguments: Any) -> NoReturn:
        raise ValueError(
            f"{self.name} is a function that could not be kept in the pickle (a lambda, or one from inside another "
            "function): define it at the top of a module, or pass it again"
        )

    def __repr__(self) -> str:
        return f"<{self.name}, a function that was not kept>"


def picklable(value: Any) -> Any:  # noqa: PLR0911
    """`value` itself, or with a `LostFunction` for every function in its lists, dicts and arrays that has no name."""
    if isinstance(value, dict):
        return {name: picklable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [picklable(item) for item in value]
    if type(value) is tuple:
        return tuple(picklable(item) for item in value)
    if isinstance(value, np.ndarray) and value.dtype == object:
        kept = np.empty_like(value)
        kept.ravel()[:] = [picklable(item) for item in value.ravel()]
        return kept
    if not callable(value) or isinstance(value, type):
        return value
    try:
        pickle.dumps(value)
    except Exception:  # whatever pickle raises for this kind of function
        return LostFunction(getattr(value, "__qualname__", type(value).__name__))
    return value
