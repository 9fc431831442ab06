"""Train the same nets again with other settings, by a function that callers pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp._engine.trained_nets import Train, TrainedNets
from fastmlp.settings import NetSelection, TrainSettings

NO_STOPPING = {"schedule": None, "validation": None, "target_loss": None, "target_accuracy": None, "patience": None}


@dataclass(frozen=True)
class Retraining:
    """Trains nets of one seed again."""

    train: Train
    seed: int
    threads: int | None

    def again(self, settings: TrainSettings, X: Any, y: Any, net_ids: np.ndarray) -> TrainedNets:
        """Train nets of these numbers."""
        return self.train(settings, X, y, NetSelection(net_ids=net_ids, seed=self.seed), self.threads)

    def initial(self, settings: TrainSettings, X: Any, y: Any, net_ids: np.ndarray) -> TrainedNets:
        """The same nets before their first step."""
        return self.again(settings.changed(epochs=0, **NO_STOPPING), X, y, net_ids)

    def go_on(self, nets: TrainedNets, settings: TrainSettings, X: Any, y: Any, epochs: int, loss: str) -> TrainedNets:
        """Train nets for `epochs` more epochs, with every loss recorded."""
        settings = settings.changed(
            epochs=epochs, loss=loss, init="he_uniform", dtype=nets.parameters.dtype, record_every=1, **NO_STOPPING
        )
        return self.train(settings, X, y, NetSelection(warm_start=nets), self.threads)
