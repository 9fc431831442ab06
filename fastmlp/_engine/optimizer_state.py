"""`OptimizerState`: what training continues from besides the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmlp._engine.tile_arrays import TileArrays
from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp.optimizers import Optimizer

STATE_ARRAYS = ("rows", "powers", "rate", "watched")
KEPT_STOP_STATE = (structs.BEST_LOSS, structs.WAITED)


class OptimizerState(NamedTuple):
    """The state of n nets with P parameters each, as ``train(..., keep_state=True)`` leaves it in ``runs.state``."""

    optimizer: str
    """Name of the optimizer class, for example 'Adam'."""
    rows: np.ndarray
    """Values for each parameter, in the order of `parameters`, (k, n, P): Adam's moments, a velocity, Rprop's steps."""
    powers: np.ndarray
    """Adam's β₁ᵗ and β₂ᵗ, float64 (n, 2)."""
    rate: np.ndarray
    """Each net's learning rate, before the schedule's factor, (n,)."""
    watched: np.ndarray
    """For `patience`: the best loss, and the number of epochs since, (2, n)."""
    epoch: int = 0
    """The epoch at which the order of samples, dropout and the schedule continue."""

    def __getitem__(self, which: Any) -> OptimizerState:  # type: ignore[override]
        """The state of some of the nets."""
        return self._replace(
            rows=np.ascontiguousarray(self.rows[:, which]),
            powers=self.powers[which],
            rate=self.rate[which],
            watched=np.ascontiguousarray(self.watched[:, which]),
        )


def joined(states: list[OptimizerState]) -> OptimizerState:
    """Join the states of several runs, of one optimizer and epoch."""
    return states[0]._replace(
        rows=np.concatenate([s.rows for s in states], axis=1),
        powers=np.concatenate([s.powers for s in states]),
        rate=np.concatenate([s.rate for s in states]),
        watched=np.concatenate([s.watched for s in states], axis=1),
    )


def new_state(optimizer: Optimizer, n_nets: int, n_parameters: int, dtype: np.dtype) -> OptimizerState:
    """The state of `n_nets` nets before their first step."""
    rate = np.full(n_nets, optimizer.rows()[optimizers.LEARNING_RATE], dtype)
    rows = np.zeros((optimizer.n_state_rows, n_nets, n_parameters), dtype)
    if optimizer.method == Method.RPROP:
        rows[1] = rate[:, None]
    watched = np.zeros((2, n_nets), dtype)  # as in KEPT_STOP_STATE
    watched[0] = np.inf
    return OptimizerState(type(optimizer).__name__, rows, np.ones((n_nets, 2)), rate, watched)


def fill_settings(tiles: TileArrays, state: OptimizerState, adaptive: bool) -> None:
    """Write the state into the tiles, except the values for each parameter."""
    for k in range(2):
        tiles.fill(tiles.powers[:, 2 + k], state.powers[:, k])
    for values, control in zip(state.watched, KEPT_STOP_STATE, strict=True):
        tiles.fill(tiles.stop_state[:, control], values)
    if adaptive:
        tiles.fill(tiles.hyper[:, optimizers.GIVEN_RATE], state.rate)


def take_settings(tiles: TileArrays, state: OptimizerState, leaving: np.ndarray) -> None:
    """Copy the state of the lanes of the mask `leaving` (T, W) from the tiles."""
    nets = tiles.result_index[leaving]
    for k in range(2):
        state.powers[nets, k] = tiles.powers[:, 2 + k][leaving]
    for values, control in zip(state.watched, KEPT_STOP_STATE, strict=True):
        values[nets] = tiles.stop_state[:, control][leaving]
    state.rate[nets] = tiles.hyper[:, optimizers.GIVEN_RATE][leaving]


def fits(state: OptimizerState, optimizer: Optimizer) -> bool:
    """Whether this optimizer can continue from the state; without momentum it has no use for a velocity."""
    return state.optimizer == type(optimizer).__name__ and len(state.rows) >= optimizer.n_state_rows


def for_optimizer(state: OptimizerState, optimizer: Optimizer) -> OptimizerState:
    """The state for this optimizer; raises ValueError if it cannot continue from it."""
    if not fits(state, optimizer):
        raise ValueError(
            f"warm_start holds the state of {state.optimizer} with {len(state.rows)} numbers a parameter; "
            f"{type(optimizer).__name__} with these settings keeps {optimizer.n_state_rows}: pass the optimizer that "
            "the runs were trained with, or start with a fresh state by init=(runs.weights, runs.biases)"
        )
    return state._replace(rows=state.rows[: optimizer.n_state_rows])
