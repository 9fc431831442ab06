"""The protocol of trained nets for diagnosis, pictures and files, which know neither `Runs` nor `train`."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Literal, Protocol

import numpy as np

from fastmlp._engine.optimizer_state import OptimizerState
from fastmlp._kernels import structs
from fastmlp.architecture import Architecture
from fastmlp.settings import NetSelection, TrainSettings


class Status(IntEnum):
    """How a net's training ended.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, optimizer=fastmlp.SGD(0.5), epochs=2000, target_loss=0.1
    ... )
    >>> int((runs.status == fastmlp.Status.REACHED_TARGET).sum()), fastmlp.Status(runs.status[0]).name
    (63, 'RAN_ALL_EPOCHS')
    """

    RAN_ALL_EPOCHS = structs.RAN_ALL_EPOCHS
    REACHED_TARGET = structs.REACHED_TARGET
    STALLED = structs.STALLED
    DIVERGED = structs.DIVERGED
    INTERRUPTED = structs.INTERRUPTED


class TrainedNets(Protocol):
    """Trained nets: the attributes of `fastmlp.Runs`, which describes them."""

    architecture: Architecture
    parameters: np.ndarray
    loss: np.ndarray
    accuracy: np.ndarray
    epochs: np.ndarray
    status: np.ndarray
    net_ids: np.ndarray
    seed: int
    bits_version: int | None
    history: np.ndarray | None
    validation_score: np.ndarray | None
    best_epoch: np.ndarray | None
    state: OptimizerState | None
    settings: dict[str, Any]
    call: TrainSettings | None

    def __len__(self) -> int: ...

    def __getitem__(self, which: Any, /) -> Any: ...

    @property
    def weights(self) -> list[np.ndarray]: ...

    @property
    def biases(self) -> list[np.ndarray]: ...

    def predict(self, X: Any, *, reduce: Literal["mean"] | None = None) -> np.ndarray: ...

    @property
    def plot(self) -> Any: ...


Train = Callable[[TrainSettings, Any, Any, NetSelection, int | None], TrainedNets]
"""A function that trains nets again, from settings, X, y, the nets and the number of threads."""
