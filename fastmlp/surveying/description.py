"""What a survey trains: settings, data, and the numbers of its nets. Nothing else affects the results."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.job import Job
from fastmlp._own_samples import refuse_by_net
from fastmlp._version import BITS_VERSION
from fastmlp.architecture import Architecture
from fastmlp.diagnosis.problem import limit_of_solved
from fastmlp.distributing.data import Data, copied
from fastmlp.settings import BY_NET, NetSelection, TrainSettings
from fastmlp.training.checkpoint import data_hashes
from fastmlp.training.prepare import prepare_job
from fastmlp.training.restarts import STRIDE_BITS, most_restarts

MOST_NETS = 2**63
MOST_KEPT = 10_000
NOT_HERE = {
    "net_ids": "pass first_net and n_nets",
    "warm_start": "a survey begins with fresh nets",
    "keep_state": "survey.retrain(numbers, keep_state=True) gives the state of some nets",
    "record_every": "survey.retrain(numbers, record_every=…) gives the curves of some nets",
    "checkpoint": "a survey keeps no nets to continue from",
    "checkpoint_every": "a survey keeps no nets to continue from",
    "kernel": "both kernels give the same bits, and the faster one is chosen",
    "rows": "all nets of a survey have the same samples; train takes samples of each net's own",
    "rows_of": "all nets of a survey have the same samples; train takes samples of each net's own",
    "groups": "all nets of a survey have the same samples; train takes samples of each net's own",
    "validation_rows": "all nets of a survey have the same samples; train takes samples of each net's own",
    "threads": "pass shard_threads, or an executor with the number of workers",
}


@dataclass(frozen=True, eq=False)
class Description:
    """A survey before it is run; everything in it is checked."""

    settings: TrainSettings  # without the data
    data: Data
    seed: int
    first_net: int
    n_nets: int
    keep: int
    restart_stuck: int | None
    solved_loss: float  # a net is solved up to this loss; NaN if every sample must be right
    hashes: dict[str, str | None]  # SHA-256 of data and of arrays with one value for each net
    seconds_a_net: float  # approximate, on one thread

    @property
    def stop(self) -> int:
        return self.first_net + self.n_nets

    @property
    def architecture(self) -> Architecture:
        return self.settings.architecture

    def settings_of(self, first: int, stop: int) -> TrainSettings:
        """The settings of the nets with these numbers."""
        return self._for_some(slice(first - self.first_net, stop - self.first_net))

    def settings_of_numbers(self, numbers: np.ndarray) -> TrainSettings:
        """The same for any of the nets."""
        return self._for_some((numbers - np.uint64(self.first_net)).astype(np.int64))

    def _for_some(self, which: Any) -> TrainSettings:
        return self.settings if self.settings.never_change else self.settings.of(which)

    def as_plain(self) -> dict[str, Any]:
        """Names, numbers and lists for JSON; functions and arrays by name and hash."""
        arch = self.architecture
        slope = arch.leaky_slope
        return {
            "bits_version": BITS_VERSION,
            "architecture": {
                "sizes": list(arch.sizes),
                "hidden": [code.name.lower() for code in arch.activations[:-1]],
                "output": arch.output,
                "bias": arch.bias,
                "leaky_slope": None if isinstance(slope, np.ndarray) else slope,
            },
            "settings": self.settings.recorded(self.n_nets),
            "dtype": str(self.settings.dtype),
            "data": self.hashes,
            "seed": str(self.seed),
            "first_net": str(self.first_net),
            "n_nets": str(self.n_nets),
            "keep": self.keep,
            "restart_stuck": self.restart_stuck,
            "solved_loss": None if np.isnan(self.solved_loss) else self.solved_loss,
        }


def described(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    n_nets: Any,
    first_net: Any,
    keep: Any,
    solved_loss: Any,
    settings: dict[str, Any],
) -> Description:
    """Check everything before any work starts; `settings` are further arguments of `train`."""
    for name, advice in NOT_HERE.items():
        if name in settings:
            raise TypeError(f"survey takes no {name}: {advice}")
    seed = checks.whole_number("seed", settings.pop("seed", 0), 0, 2**64 - 1)
    restart_stuck = settings.pop("restart_stuck", None)
    unknown = settings.keys() - TrainSettings.__dataclass_fields__.keys()
    if unknown:
        raise TypeError(f"survey got an unexpected argument {sorted(unknown)[0]!r}; it takes the settings of train")
    first = checks.whole_number("first_net", first_net, 0, MOST_NETS - 1)
    count = checks.whole_number("n_nets", n_nets, 1, MOST_NETS - first)
    kept = checks.whole_number("keep", keep, 0, MOST_KEPT)
    call = TrainSettings(architecture, **settings).validated()
    refuse_by_net("survey", call, X, y)
    call = _of_arrays(call.validated_for(count), count)
    _refuse_wrong_rows(call, len(checks.real_array("X", X)), count)
    most = None
    if restart_stuck is not None:
        if first + count > 2**STRIDE_BITS:
            raise ValueError(f"restart_stuck needs net numbers below 2**{STRIDE_BITS}: the restarts' numbers lie above")
        most = most_restarts(restart_stuck, call, y, None, {})
    one = call if call.never_change else call.of(slice(0, 1))
    job, _ = prepare_job(one, X, y, NetSelection(net_ids=[first], seed=seed), threads=1)
    limit = limit_of_solved(call, y, solved_loss)
    if np.isinf(limit):
        raise ValueError(f"solved_loss={solved_loss!r}: needs a finite number")
    shared = call.sample_weight is not None and np.ndim(call.sample_weight) == 1
    data = Data.copied(X, y, call.sample_weight if shared else None, call.validation)
    if shared:
        call = call.changed(sample_weight=None)
    return Description(
        settings=call.changed(validation=None),
        data=data,
        seed=seed,
        first_net=first,
        n_nets=count,
        keep=kept,
        restart_stuck=most,
        solved_loss=limit,
        hashes=data_hashes(job) | _hashes_of_arrays(call, count, job),
        seconds_a_net=job.seconds_a_net,
    )


def _refuse_wrong_rows(call: TrainSettings, n_samples: int, n_nets: int) -> None:
    """Check what has a row for each net, which `prepare_job` sees for one net alone."""
    if call.begins_with_arrays:
        weights, biases = call.init  # type: ignore[misc, str-unpack]
        checks.parameters(weights, biases, call.architecture, call.dtype)
    if call.sample_weight is not None and np.ndim(call.sample_weight) == 2:
        checks.sample_weights(call.sample_weight, n_samples, n_nets, call.dtype)


def _of_arrays(call: TrainSettings, n_nets: int) -> TrainSettings:
    """The settings with arrays of their own in place of lists and functions, so that any process can have parts."""
    copies = {name: np.array(getattr(call, name)) for name in BY_NET if isinstance(getattr(call, name), np.ndarray)}
    call = call.changed(**copies, optimizer=call.kept().optimizer)
    call = call.with_factors()
    if call.sample_weight is not None:
        weights = copied("sample_weight", call.sample_weight)
        if weights.ndim == 2 and len(weights) != n_nets:
            raise ValueError(f"sample_weight has {len(weights)} rows; needs n_nets={n_nets}, or one row for all nets")
        call = call.changed(sample_weight=weights)
    if call.begins_with_arrays:
        weights_and_biases = call.init[0], call.init[1] if call.init[1] is not None else ()  # type: ignore[index]
        init = tuple([np.array(layer) for layer in part] for part in weights_and_biases)
        for layer in (*init[0], *init[1]):
            if len(layer) != n_nets:
                raise ValueError(f"init holds {len(layer)} nets; needs n_nets={n_nets}")
        call = call.changed(init=init)
    return call


def _hashes_of_arrays(call: TrainSettings, n_nets: int, job: Job) -> dict[str, str | None]:
    """SHA-256 of the arrays with one value or row for each net or epoch."""
    _, arrays = call.in_files(n_nets)
    named: dict[str, list[np.ndarray]] = {name: [values] for name, values in arrays.items()}
    if isinstance(call.architecture.leaky_slope, np.ndarray):
        named["leaky_slope"] = [call.architecture.leaky_slope]
    if call.sample_weight is not None and np.ndim(call.sample_weight) == 2:
        named["sample_weight"] = [call.sample_weight]
    if call.begins_with_arrays:
        named["init"] = [*call.init[0], *call.init[1]]  # type: ignore[index]
    elif not isinstance(call.init, str) and job.init_spec is not None:  # by what it draws
        spec = job.init_spec
        named["init"] = [buffer.array for buffer in (spec.sizes, spec.kinds, spec.first, spec.second)]
    return {name: _hash(values) for name, values in named.items()}


def _hash(arrays: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array, "<f8").data)
    return digest.hexdigest()
