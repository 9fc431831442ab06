"""Train the same nets again with settings that differ, by a `train` that is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._engine.trained_nets import Train, TrainedNets
from fastmlp.settings import Call

NO_STOPPING = {"schedule": None, "validation": None, "target_loss": None, "target_accuracy": None, "patience": None}


@dataclass(frozen=True)
class Retraining:
    """How nets of one seed are trained again."""

    train: Train
    seed: int
    threads: int | None

    def again(self, call: Call, X: Any, y: Any, net_ids: np.ndarray, **changes: Any) -> TrainedNets:
        """Train nets of these numbers by a call's settings, with some of them changed."""
        return self.train(
            X=X, y=y, net_ids=net_ids, seed=self.seed, threads=self.threads, **{**call.settings, **changes}
        )  # fmt: skip

    def initial(self, call: Call, X: Any, y: Any, net_ids: np.ndarray) -> TrainedNets:
        """The same nets before their first step."""
        return self.again(call, X, y, net_ids, epochs=0, **NO_STOPPING)

    def go_on(self, nets: TrainedNets, call: Call, X: Any, y: Any, epochs: int, loss: str) -> TrainedNets:
        """Train nets for some more epochs by a call's settings, with every loss recorded."""
        return self.train(
            call.architecture, X, y, warm_start=nets, optimizer=call.optimizer, epochs=epochs, loss=loss,
            batch_size=call["batch_size"], shuffle=call["shuffle"], l2=call["l2"], dropout=call["dropout"],
            sample_weight=call["sample_weight"], bootstrap=call["bootstrap"], dtype=nets.parameters.dtype,
            record_every=1, threads=self.threads,
        )  # fmt: skip
