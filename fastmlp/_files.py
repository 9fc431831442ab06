"""Trained nets in files: the safetensors format, written whole or not at all, and checked before it is believed.

A file holds one tensor for each array of `Runs`, a layer's weights and biases by themselves, and one JSON text of
metadata under the key "fastmlp". Any reader of safetensors can read it; nothing in it is ever executed. Reference:
https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp._state import KEPT_CONTROLS, OptimizerState
from fastmlp.architecture import Architecture
from fastmlp.runs import Network, Runs, Status

FORMAT = 1
MOST_HEADER_BYTES = 2**24
DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U64": np.uint64, "I8": np.int8}
# Arrays beside the weights: dtype (None for the weights' own), shape after the nets, whether every file has it
_ARRAYS: dict[str, tuple[Any, bool]] = {
    "loss": (None, True), "accuracy": (None, True), "epochs": (np.int64, True), "status": (np.int8, True),
    "net_ids": (np.uint64, True), "history": (None, False), "validation_score": (np.float64, False),
    "best_epoch": (np.int64, False), "validation_history": (np.float64, False),
    "validation_losses": (np.float64, False),
}  # fmt: skip
_CURVES = ("history", "validation_history", "validation_losses")


class FileFormatError(ValueError):
    """A file does not hold what `fastmlp.load` can read; the message says why."""


def save(path: str | os.PathLike, runs: Runs, network: bool = False, extra: dict[str, Any] | None = None) -> None:
    """Write the nets to `path`: to a temporary file beside it first, which then takes its place."""
    from safetensors.numpy import save as to_bytes

    architecture = runs.architecture
    arrays = {name: np.asarray(getattr(runs, name)) for name in _ARRAYS if getattr(runs, name) is not None}
    for layer, weights in enumerate(runs.weights):
        arrays[f"layers.{layer}.weights"] = weights
        if architecture.bias:
            arrays[f"layers.{layer}.biases"] = runs.biases[layer]
    if isinstance(architecture.leaky_slope, np.ndarray):
        arrays["leaky_slope"] = architecture.leaky_slope
    if runs.state is not None:
        arrays |= {f"state.{name}": getattr(runs.state, name) for name in ("rows", "powers", "rate", "watched")}
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    about = {
        "format": FORMAT,
        "kind": "network" if network else "runs",
        "sizes": list(architecture.sizes),
        "hidden": [activation.name.lower() for activation in architecture.activations[:-1]],
        "output": architecture.output,
        "bias": architecture.bias,
        "leaky_slope": None if isinstance(architecture.leaky_slope, np.ndarray) else architecture.leaky_slope,
        "seed": runs.seed,
        "optimizer": None if runs.state is None else runs.state.optimizer,
        "epoch": 0 if runs.state is None else runs.state.epoch,
        "sha256": _digest(arrays),
        "extra": extra or {},
    }
    _replace(Path(path), to_bytes(arrays, {"fastmlp": json.dumps(about, allow_nan=False)}))


def load(path: str | os.PathLike, *, allow_nonfinite: bool = False) -> Runs | Network:
    """Read nets that `Runs.save` or `Network.save` has written.

    Parameters
    ----------
    path : str or path
        The file. It may come from a stranger: nothing in it is executed, and sizes, names, shapes, dtypes, offsets and
        a checksum are looked at before anything is believed.
    allow_nonfinite : bool, default False
        Whether nets may have infinite or NaN weights that did not diverge and were not interrupted.

    Returns
    -------
    Runs or Network
        As it was saved, bit for bit.

    Raises
    ------
    FileFormatError
        Where the file is not whole or not such a file.
    """
    return load_with_extra(path, allow_nonfinite)[0]


def load_with_extra(path: str | os.PathLike, allow_nonfinite: bool = False) -> tuple[Runs | Network, dict[str, Any]]:
    """The nets, and what else was saved with them."""
    from safetensors.numpy import load as from_bytes

    path = Path(path)
    with path.open("rb") as file:
        entries, metadata = _header(file, path.stat().st_size)
        about = _about(metadata)
        architecture = _architecture(about)
        n_nets = _checked_shapes(entries, architecture, about)
        file.seek(0)
        content = file.read()
    try:
        arrays = from_bytes(content)
    except Exception as error:
        raise FileFormatError(f"no whole safetensors file: {error}") from None
    del content
    if _digest(arrays) != about["sha256"]:
        raise FileFormatError("the checksum differs: the file was damaged or changed")
    runs = _runs(arrays, architecture, about)
    may = np.isin(runs.status, (Status.DIVERGED, Status.INTERRUPTED))
    broken = ~np.isfinite(runs.parameters).all(axis=1) & ~may
    if broken.any() and not allow_nonfinite:
        raise FileFormatError(
            f"net {int(np.argmax(broken))} has weights that are not finite, and did not diverge: pass "
            "allow_nonfinite=True if they may"
        )
    if not np.isin(runs.status, [int(status) for status in Status]).all():
        raise FileFormatError("status has numbers that stand for nothing")
    if about["kind"] == "network" and n_nets != 1:
        raise FileFormatError(f"a network, but {n_nets} nets")
    return (runs[0] if about["kind"] == "network" else runs), about["extra"]


# ------------------------------------------------------------------------------------------------------- writing


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    with contextlib.suppress(OSError):  # not every system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str.lstrip('<=|')} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).data)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------- reading


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FileFormatError("the header names something twice")
    return found


def _json(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_refuse_twice, parse_constant=_refuse_constant)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{what} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{what} is no JSON object")
    return value


def _refuse_constant(name: str) -> None:
    raise FileFormatError(f"the header has the number {name}")


def _header(file: Any, size: int) -> tuple[dict[str, tuple[Any, tuple[int, ...]]], dict[str, Any]]:
    """(dtype, shape) of every tensor and the metadata, once the offsets are known to fit the file without a hole."""
    start = file.read(8)
    if len(start) < 8:
        raise FileFormatError(f"{size} bytes are no safetensors file")
    length = struct.unpack("<Q", start)[0]
    if length > min(MOST_HEADER_BYTES, size - 8):
        raise FileFormatError(f"a header of {length:,} bytes in a file of {size:,}; at most {MOST_HEADER_BYTES:,} fit")
    header = _json(file.read(length), "the header")
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict):
        raise FileFormatError("no metadata: the file was not written by fastmlp")
    entries, ranges = {}, []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise FileFormatError(f"tensor {name!r} is not described by dtype, shape and offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
            raise FileFormatError(f"tensor {name!r} has dtype {entry['dtype']!r}; known are {', '.join(DTYPES)}")
        if not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2:
            raise FileFormatError(f"tensor {name!r} has shape {shape!r} and offsets {offsets!r}")
        dtype = np.dtype(DTYPES[entry["dtype"]])
        if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
            raise FileFormatError(f"tensor {name!r} of shape {shape} does not fill its offsets {offsets}")
        entries[name] = dtype, tuple(shape)
        ranges.append(tuple(offsets))
    end = 0
    for begin, stop in sorted(ranges):
        if begin != end:
            raise FileFormatError("the tensors overlap or leave holes")
        end = stop
    if 8 + length + end != size:
        raise FileFormatError(f"the tensors end at byte {8 + length + end:,}, the file at {size:,}")
    return entries, metadata


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _about(metadata: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata.get("fastmlp"), str):
        raise FileFormatError("no metadata of fastmlp: the file was written by something else")
    about = _json(metadata["fastmlp"], "the metadata")
    kinds: dict[str, Any] = {
        "format": int, "kind": str, "sizes": list, "hidden": list, "output": str, "bias": bool, "seed": int,
        "epoch": int, "sha256": str, "extra": dict,
    }  # fmt: skip
    for name, kind in kinds.items():
        if type(about.get(name)) is not kind:
            raise FileFormatError(f"the metadata has {name}={about.get(name)!r}")
    if about["format"] != FORMAT:
        raise FileFormatError(f"format {about['format']}; this version reads {FORMAT}: install a newer fastmlp")
    in_range = 0 <= about["seed"] < 2**64 and 0 <= about["epoch"] < 2**60
    if about["kind"] not in ("runs", "network") or not in_range:
        numbers = f"seed={about['seed']}, epoch={about['epoch']}"
        raise FileFormatError(f"the metadata has kind={about['kind']!r}, {numbers}")
    return about


def _architecture(about: dict[str, Any]) -> Architecture:
    """With any slope that differs from net to net still left out."""
    slope = about.get("leaky_slope")
    if slope is not None and type(slope) is not float:
        raise FileFormatError(f"the metadata has leaky_slope={slope!r}")
    try:
        return Architecture(
            tuple(about["sizes"]), about["hidden"], about["output"], about["bias"], 0.01 if slope is None else slope
        )
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"the metadata describes no net: {error}") from None


def _checked_shapes(entries: dict[str, tuple[Any, tuple[int, ...]]], arch: Architecture, about: dict[str, Any]) -> int:
    """How many nets there are, once every tensor has the shape and dtype that they ask for."""
    dtype, shape = entries.get("layers.0.weights", (None, ()))
    if dtype not in (np.float32, np.float64) or len(shape) != 3:
        raise FileFormatError("no weights of the first layer in float32 or float64")
    n: int = shape[0]
    wanted: dict[str, tuple[Any, tuple[int, ...]]] = {}
    for layer, (n_in, n_out) in enumerate(arch.shapes):
        wanted[f"layers.{layer}.weights"] = dtype, (n, n_in, n_out)
        if arch.bias:
            wanted[f"layers.{layer}.biases"] = dtype, (n, n_out)
    for name, (kind, needed) in _ARRAYS.items():
        if needed or name in entries:
            own = entries.get(name, (None, ()))[1]
            wanted[name] = dtype if kind is None else np.dtype(kind), (n, *own[1:2]) if name in _CURVES else (n,)
    if about.get("leaky_slope") is None:
        wanted["leaky_slope"] = np.dtype(np.float64), (n,)
    if about.get("optimizer") is not None:
        kept = entries.get("state.rows", (None, (0,)))[1][:1]
        wanted |= {
            "state.rows": (dtype, (*kept, n, arch.n_parameters)), "state.powers": (np.dtype(np.float64), (n, 2)),
            "state.rate": (dtype, (n,)), "state.watched": (dtype, (len(KEPT_CONTROLS), n)),
        }  # fmt: skip
    for name in sorted(wanted.keys() | entries.keys()):
        if entries.get(name) != wanted.get(name):
            raise FileFormatError(
                f"tensor {name!r} is {_described(entries.get(name))}; needs {_described(wanted.get(name))}"
            )
    return n


def _described(entry: tuple[Any, tuple[int, ...]] | None) -> str:
    return "not there" if entry is None else f"{entry[0]} of shape {entry[1]}"


def _runs(arrays: dict[str, np.ndarray], arch: Architecture, about: dict[str, Any]) -> Runs:
    parts = []
    for layer, (n_in, n_out) in enumerate(arch.shapes):
        weights = arrays[f"layers.{layer}.weights"]
        parts.append(weights.reshape(len(weights), n_in * n_out))
        if arch.bias:
            parts.append(arrays[f"layers.{layer}.biases"])
    if "leaky_slope" in arrays:
        slope = arrays["leaky_slope"]
        if not (np.isfinite(slope) & (slope >= 0)).all():
            raise FileFormatError("leaky_slope has numbers that are negative or not finite")
        arch = arch.with_slope(slope)
    state = None
    if about.get("optimizer") is not None:
        if not isinstance(about["optimizer"], str):
            raise FileFormatError(f"the metadata has optimizer={about['optimizer']!r}")
        state = OptimizerState(
            about["optimizer"], arrays["state.rows"], arrays["state.powers"], arrays["state.rate"],
            arrays["state.watched"], about["epoch"],
        )  # fmt: skip
        powers = state.powers
        if not (np.isfinite(state.rate) & (state.rate >= 0)).all() or not ((powers >= 0) & (powers <= 1)).all():
            raise FileFormatError("the optimizer's state is out of range")
    return Runs(
        architecture=arch, parameters=np.concatenate(parts, axis=1), seed=about["seed"], state=state,
        **{name: arrays.get(name) for name in _ARRAYS},  # type: ignore[arg-type]
    )  # fmt: skip
