"""`load`: nets from the files that `Runs.save` and `Network.save` write."""

from __future__ import annotations

import os
import typing
from typing import Any, Literal

from fastmlp._check_values import choose
from fastmlp._io.nets import read_nets
from fastmlp._io.safetensors import FileFormatError
from fastmlp.runs import Network, Runs


@typing.overload
def load(path: str | os.PathLike, *, kind: Literal["runs"], allow_nonfinite: bool = False) -> Runs: ...


@typing.overload
def load(path: str | os.PathLike, *, kind: Literal["network"], allow_nonfinite: bool = False) -> Network: ...


@typing.overload
def load(path: str | os.PathLike, *, kind: None = None, allow_nonfinite: bool = False) -> Runs | Network: ...


def load(
    path: str | os.PathLike, *, kind: Literal["runs", "network"] | None = None, allow_nonfinite: bool = False
) -> Runs | Network:
    """Read nets that `Runs.save` or `Network.save` has written.

    Parameters
    ----------
    path : str or path
        The file. It need not be trusted: nothing in it is executed, and sizes, names, shapes, dtypes, offsets and a
        checksum are checked before anything is used.
    kind : {"runs", "network"}, optional
        What the file must hold; otherwise `FileFormatError` is raised. Default: either.
    allow_nonfinite : bool, default False
        Whether to accept infinite or NaN weights of nets that neither diverged nor were interrupted.

    Returns
    -------
    Runs or Network
        The saved nets, bit for bit.

    Raises
    ------
    FileFormatError
        If the file is incomplete, damaged, or of another kind.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "nets.safetensors"
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, epochs=50)
    >>> runs.save(path)
    >>> fastmlp.load(path, kind="runs").weights_sha256() == runs.weights_sha256()
    True
    """
    if not isinstance(allow_nonfinite, bool):
        raise TypeError(f"allow_nonfinite={allow_nonfinite!r}: needs True or False")
    if kind is not None:
        choose("kind", kind, {"runs": None, "network": None})
    found = load_with_extra(path, allow_nonfinite)[0]
    if kind is not None and isinstance(found, Runs) != (kind == "runs"):
        other = "network" if kind == "runs" else "runs"
        raise FileFormatError(f"{path} holds {other}, kind={kind!r}: leave kind out, or pass kind={other!r}")
    return found


def load_with_extra(path: str | os.PathLike, allow_nonfinite: bool = False) -> tuple[Runs | Network, dict[str, Any]]:
    """Read the nets and the extra metadata saved with them."""
    attributes, about = read_nets(path, allow_nonfinite)
    runs = Runs(**attributes)
    return (runs[0] if about["kind"] == "network" else runs), about["extra"]
