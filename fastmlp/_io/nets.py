"""Save trained nets as named arrays with metadata, and load them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp._engine.optimizer_state import KEPT_STOP_STATE, STATE_ARRAYS, OptimizerState
from fastmlp._engine.trained_nets import Status, TrainedNets
from fastmlp._io.safetensors import Entry, FileFormatError, read, refuse_other_kinds, refuse_other_tensors, write
from fastmlp._version import version
from fastmlp.architecture import Architecture

# Arrays other than the weights: dtype (None for that of the weights), and whether every file has them
ARRAYS: dict[str, tuple[Any, bool]] = {
    "loss": (None, True),
    "accuracy": (None, True),
    "epochs": (np.int64, True),
    "status": (np.int8, True),
    "net_ids": (np.uint64, True),
    "history": (None, False),
    "validation_score": (np.float64, False),
    "best_epoch": (np.int64, False),
    "restarts": (np.int64, False),
    "validation_history": (np.float64, False),
    "validation_losses": (np.float64, False),
}
CURVES = ("history", "validation_history", "validation_losses")
_KINDS = {
    "kind": str,
    "sizes": list,
    "hidden": list,
    "output": str,
    "bias": bool,
    "seed": int,
    "epoch": int,
    "settings": dict,
}


def save(
    path: str | os.PathLike, nets: TrainedNets, network: bool = False, extra: dict[str, Any] | None = None
) -> None:
    """Write the nets to `path`."""
    about = described(nets, nets.state) | {"kind": "network" if network else "runs", "extra": extra or {}}
    write(Path(path), arrays_of(nets, nets.state), about)


def read_nets(path: str | os.PathLike, allow_nonfinite: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the arguments of `Runs`, and the file's metadata."""

    def check(entries: dict[str, Entry], about: dict[str, Any]) -> None:
        if about.get("kind") == "checkpoint":
            raise FileFormatError("an unfinished job: continue it with fastmlp.resume(path, X, y)")
        refuse_other_kinds(about, {"extra": dict})
        refuse_other_tensors(entries, wanted_tensors(entries, about))
        if about["kind"] == "network" and entries["loss"][1] != (1,):
            raise FileFormatError(f"a network, but {entries['loss'][1][0]} nets")

    arrays, about = read(Path(path), check)
    nets = attributes_of(arrays, about)
    may = np.isin(nets["status"], (Status.DIVERGED, Status.INTERRUPTED))
    broken = ~np.isfinite(nets["parameters"]).all(axis=1) & ~may
    if broken.any() and not allow_nonfinite:
        raise FileFormatError(
            f"net {int(np.argmax(broken))} has weights that are not finite, though it did not diverge: pass "
            "allow_nonfinite=True to accept them"
        )
    return nets, about


# ------------------------------------------------------------------------------------------------------- writing


def arrays_of(runs: TrainedNets, state: OptimizerState | None) -> dict[str, np.ndarray]:
    """Every array but those of the settings; weights and biases have one array a layer."""
    arrays = {name: np.asarray(getattr(runs, name)) for name in ARRAYS if getattr(runs, name) is not None}
    for layer, weights in enumerate(runs.weights):
        arrays[f"layers.{layer}.weights"] = weights
        if runs.architecture.bias:
            arrays[f"layers.{layer}.biases"] = runs.biases[layer]
    if isinstance(runs.architecture.leaky_slope, np.ndarray):
        arrays["leaky_slope"] = runs.architecture.leaky_slope
    if state is not None:
        arrays |= {f"state.{name}": getattr(state, name) for name in STATE_ARRAYS}
    return arrays


def described(runs: TrainedNets, state: OptimizerState | None) -> dict[str, Any]:
    """The metadata."""
    import numba

    architecture = runs.architecture
    return {
        "bits_version": runs.bits_version,
        "versions": {"fastmlp": version(), "numba": numba.__version__, "numpy": np.__version__},
        "settings": runs.settings,
        "sizes": list(architecture.sizes),
        "hidden": [activation.name.lower() for activation in architecture.activations[:-1]],
        "output": architecture.output,
        "bias": architecture.bias,
        "leaky_slope": None if isinstance(architecture.leaky_slope, np.ndarray) else architecture.leaky_slope,
        "seed": runs.seed,
        "optimizer": None if state is None else state.optimizer,
        "epoch": 0 if state is None else state.epoch,
    }


# ------------------------------------------------------------------------------------------------------- reading


def wanted_tensors(entries: dict[str, Entry], about: dict[str, Any]) -> dict[str, Entry]:
    """The tensors that a file with these metadata must have."""
    refuse_other_kinds(about, _KINDS)
    if about["kind"] not in ("runs", "network", "checkpoint"):
        raise FileFormatError(f"the metadata has kind={about['kind']!r}")
    if not (0 <= about["seed"] < 2**64 and 0 <= about["epoch"] < 2**60):
        raise FileFormatError(f"the metadata has seed={about['seed']}, epoch={about['epoch']}")
    if type(about.get("bits_version")) not in (int, type(None)):
        raise FileFormatError(f"the metadata has bits_version={about['bits_version']!r}")
    if not isinstance(about.get("optimizer"), (str, type(None))):
        raise FileFormatError(f"the metadata has optimizer={about['optimizer']!r}")
    if len(about["sizes"]) - 1 > len(entries):
        raise FileFormatError(f"the metadata has {len(about['sizes'])} sizes, and there are {len(entries)} tensors")
    for name, value in about["settings"].items():
        if not isinstance(value, (type(None), bool, int, float, str)):
            raise FileFormatError(f"the settings have {name}={value!r}")
    arch = _architecture(about)
    dtype, shape = entries.get("layers.0.weights", (None, ()))
    if dtype not in (np.float32, np.float64) or len(shape) != 3:
        raise FileFormatError("no weights of the first layer in float32 or float64")
    n = shape[0]
    wanted: dict[str, Entry] = {}
    for layer, (n_in, n_out) in enumerate(arch.shapes):
        wanted[f"layers.{layer}.weights"] = dtype, (n, n_in, n_out)
        if arch.bias:
            wanted[f"layers.{layer}.biases"] = dtype, (n, n_out)
    for name, (kind, needed) in ARRAYS.items():
        if needed or name in entries:
            own = entries.get(name, (None, ()))[1]
            wanted[name] = dtype if kind is None else np.dtype(kind), (n, *own[1:2]) if name in CURVES else (n,)
    if about.get("leaky_slope") is None:
        wanted["leaky_slope"] = np.dtype(np.float64), (n,)
    if about.get("optimizer") is not None:
        kept = entries.get("state.rows", (None, (0,)))[1][:1]
        wanted |= {
            "state.rows": (dtype, (*kept, n, arch.n_parameters)),
            "state.powers": (np.dtype(np.float64), (n, 2)),
            "state.rate": (dtype, (n,)),
            "state.watched": (dtype, (len(KEPT_STOP_STATE), n)),
        }
    return wanted


def _architecture(about: dict[str, Any]) -> Architecture:
    """Read the architecture, except leaky slopes that differ from net to net."""
    slope = about.get("leaky_slope")
    if slope is not None and type(slope) is not float:
        raise FileFormatError(f"the metadata has leaky_slope={slope!r}")
    try:
        return Architecture(
            tuple(about["sizes"]), about["hidden"], about["output"], about["bias"], 0.01 if slope is None else slope
        )
    except (ValueError, TypeError) as error:
        raise FileFormatError(f"the metadata describes no net: {error}") from None


def attributes_of(arrays: dict[str, np.ndarray], about: dict[str, Any]) -> dict[str, Any]:
    """Check and collect the arguments of `Runs`, with the optimizer's state if there is one."""
    arch, parts, state = _architecture(about), [], None
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
    if about.get("optimizer") is not None:
        state = OptimizerState(
            about["optimizer"],
            arrays["state.rows"],
            arrays["state.powers"],
            arrays["state.rate"],
            arrays["state.watched"],
            about["epoch"],
        )
        powers = state.powers
        if not (np.isfinite(state.rate) & (state.rate >= 0)).all() or not ((powers >= 0) & (powers <= 1)).all():
            raise FileFormatError("the optimizer's state is out of range")
    if not np.isin(arrays["status"], [int(status) for status in Status]).all():
        raise FileFormatError("status has unknown codes")
    if (arrays["epochs"] < 0).any():
        raise FileFormatError("epochs has negative numbers")
    return {
        "architecture": arch,
        "parameters": np.concatenate(parts, axis=1),
        "seed": about["seed"],
        "settings": about["settings"],
        "bits_version": about.get("bits_version"),
        "state": state,
        **{name: arrays.get(name) for name in ARRAYS},
    }
