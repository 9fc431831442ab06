"""Replace functions that cannot be pickled, such as lambdas, in a pickle."""

from __future__ import annotations

import pickle
from typing import Any, NoReturn

import numpy as np


class LostFunction:
    """Placeholder for a function that was not pickled; calling it raises an error that says so."""

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
    """Copy `value` with a `LostFunction` in place of every function that cannot be pickled."""
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
    except Exception:  # pickle raises various exceptions, depending on the function
        return LostFunction(getattr(value, "__qualname__", type(value).__name__))
    return value
