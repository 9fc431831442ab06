"""Looking up what a user named."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def choose(parameter: str, name: object, known: Mapping[str, Value]) -> Value:
    """`known[name]`, or an error that lists the known names."""
    names = ", ".join(repr(key) for key in known)
    if not isinstance(name, str):
        raise TypeError(f"{parameter}={name!r}: needs one of the names {names}")
    if name not in known:
        raise ValueError(f"{parameter}={name!r} is not known: use one of {names}")
    return known[name]
