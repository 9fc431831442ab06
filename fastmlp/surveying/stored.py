"""A description in files: what JSON cannot hold of it is in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmlp.architecture import Architecture
from fastmlp.distributing.data import Data
from fastmlp.initializers import Distribution, Initializer
from fastmlp.settings import TrainSettings
from fastmlp.surveying.description import NOT_HERE, Description, described

_SETTING, _SLOPE, _WEIGHTS, _DRAWN = "settings.", "leaky_slope", "weights_by_net", "init.drawn"


class NotStoredError(ValueError):
    """A setting is neither in the JSON nor among the arrays."""


class Drawn(Initializer):
    """The distributions that an initializer of the user's gave for each layer."""

    def __init__(self, architecture: Architecture, drawn: np.ndarray) -> None:
        """`drawn` has a row (kind, first, second) for the weights and one for the biases of each layer."""
        self._drawn = dict(zip(architecture.shapes, drawn.tolist(), strict=True))

    def weights(self, n_in: int, n_out: int) -> Distribution:
        return self._of(n_in, n_out, 0)

    def biases(self, n_in: int, n_out: int) -> Distribution:
        return self._of(n_in, n_out, 1)

    def _of(self, n_in: int, n_out: int, which: int) -> Distribution:
        kind, first, second = self._drawn[n_in, n_out][which]
        return int(kind), first, second


def arrays_of(about: Description) -> dict[str, np.ndarray]:
    """The samples, and what `Description.as_plain` has only hashes of."""
    call, arch = about.settings, about.architecture
    arrays = {**about.data.arrays(), **call.in_files(about.n_nets)[1]}
    if isinstance(arch.leaky_slope, np.ndarray):
        arrays[_SLOPE] = arch.leaky_slope
    if call.sample_weight is not None:
        arrays[_WEIGHTS] = call.sample_weight
    if call.begins_with_arrays:
        for name, layers in zip(("weights", "biases"), call.init, strict=True):  # type: ignore[arg-type]
            arrays |= {f"init.{name}{k}": np.asarray(layer) for k, layer in enumerate(layers)}
    elif isinstance(call.init, Initializer):
        init = call.init
        arrays[_DRAWN] = np.array(
            [(init.weights(*shape), init.biases(*shape) if arch.bias else (0, 0, 0)) for shape in arch.shapes]
        )
    return arrays


def described_again(
    plain: dict[str, Any], data: Data, arrays: dict[str, np.ndarray], held: dict[str, Any] | None = None
) -> Description:
    """The description again, with every check; raises NotStoredError if it needs more than these arrays.

    `held` are the weights of the samples and the validation data, if they are not in `data`.
    """
    named, slope = plain["architecture"], arrays.get(_SLOPE)
    if named["leaky_slope"] is None and slope is None:
        raise NotStoredError("leaky_slope has one value for each net")
    architecture = Architecture(**named | ({} if slope is None else {"leaky_slope": slope}))
    values: dict[str, Any] = {
        name.removeprefix(_SETTING): array for name, array in arrays.items() if name.startswith(_SETTING)
    }
    if _DRAWN in arrays:
        values["init"] = Drawn(architecture, arrays[_DRAWN])
    elif "init.weights0" in arrays:
        layers = range(architecture.n_layers)
        biases = [arrays[f"init.biases{k}"] for k in layers] if architecture.bias else None
        values["init"] = [arrays[f"init.weights{k}"] for k in layers], biases
    if _WEIGHTS in arrays:
        values["sample_weight"] = arrays[_WEIGHTS]
    call = TrainSettings.from_record(plain["settings"], architecture, np.dtype(plain["dtype"]), values)
    if call is None:
        raise NotStoredError("some settings are arrays or objects")
    asked = {name: value for name, value in call.as_keywords().items() if name not in ("architecture", *NOT_HERE)}
    if data.sample_weight is not None:
        asked["sample_weight"] = data.sample_weight
    asked |= {"validation": data.validation, "seed": int(plain["seed"]), "restart_stuck": plain["restart_stuck"]}
    return described(
        architecture,
        data.X,
        data.y,
        n_nets=int(plain["n_nets"]),
        first_net=int(plain["first_net"]),
        keep=plain["keep"],
        solved_loss=plain["solved_loss"],
        settings=asked | (held or {}),
    )
