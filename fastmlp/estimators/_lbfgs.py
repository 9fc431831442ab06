"""L-BFGS-B for many restarts: SciPy's minimizer on this library's losses and gradients, a restart a thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fastmlp._engine.chunk_trainer import ChunkTrainer, compile_kernels
from fastmlp._engine.slices import slice_of
from fastmlp._kernels import structs
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture
from fastmlp.runs import Runs, Status
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.layout import JobOptions
from fastmlp.training.prepare import prepare_job


class _Objective:
    """The loss of one net with L2's part in it, and its gradient, as a function of all parameters in float64.

    The parameters come as scikit-learn packs them: the weights of all layers, and then the biases.
    """

    def __init__(self, settings: TrainSettings, X: Any, y: Any, l2: float, parameters: np.ndarray) -> None:
        # of two epochs one is run, so that nothing is measured at the end
        settings = settings.changed(l2=l2, epochs=2, shuffle=False, record_every=1, dtype=np.dtype(np.float64))
        options = JobOptions(parameters=parameters.astype(np.float64)[None], gradients_only=True, sklearn=True)
        self._job, self._runs = prepare_job(settings, X, y, NetSelection(1), threads=1, options=options)
        self._trainer = ChunkTrainer(self._job)
        compile_kernels([self._trainer])
        self._tiles = self._job.new_tiles(0, 1)
        self._trainer.fill(self._tiles, 0)
        self._team = self._trainer.new_team()
        self._epochs = slice_of(self._job, self._tiles, 0, 1)
        self.place = _packing(settings.architecture)

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        job, trainer, tiles = self._job, self._trainer, self._tiles
        assert job.gradients is not None
        assert self._runs.history is not None
        tiles.stop_state[:, structs.ACTIVE] = tiles.result_index >= 0
        self._runs.history[...] = np.nan
        own = np.empty_like(parameters)
        own[self.place] = parameters
        trainer.copy_in(tiles, own[None], 0)
        trainer.train(tiles, self._epochs, self._team)
        trainer.copy_rows(tiles, Buffer(job.gradients), job.net.state_step, tiles.result_index >= 0)
        return float(self._runs.history[0, 0]), job.gradients[0][self.place]


def _packing(architecture: Architecture) -> np.ndarray:
    """Where each of the weights, and then of the biases, has its place in a row of `Runs.parameters`."""
    weights, biases, first = [], [], 0
    for n_in, n_out in architecture.shapes:
        weights.append(first + np.arange(n_in * n_out))
        first += n_in * n_out
        biases.append(first + np.arange(n_out))
        first += n_out
    return np.concatenate(weights + biases)


def minimize_each(
    settings: TrainSettings,
    X: Any,
    y: Any,
    runs: Runs,
    l2: np.ndarray,
    max_iter: int,
    max_fun: int,
    tol: float,
    verbose: Any,
    threads: int,
) -> list[Any]:
    """Minimize from each net's weights; puts what it comes to into `runs` and returns SciPy's reports.

    The loss in `runs` has L2's part in it.
    """
    from scipy.optimize import minimize

    stopped = threading.Event()

    def one(net: int) -> Any:
        evaluate = _Objective(settings, X, y, float(l2[net]), runs.parameters[net])

        def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:
            if stopped.is_set():
                raise KeyboardInterrupt
            return evaluate(parameters)

        options = {"maxfun": max_fun, "maxiter": max_iter, "gtol": tol}
        start = runs.parameters[net].astype(np.float64)[evaluate.place]
        result = minimize(objective, start, method="L-BFGS-B", jac=True, options=options)
        runs.parameters[net, evaluate.place] = result.x
        runs.loss[net], runs.epochs[net], runs.status[net] = result.fun, result.nit, Status.RAN_ALL_EPOCHS
        if verbose:
            print(f"Restart {net + 1}: {result.nit} iterations, loss = {result.fun:.8f}")
        return result

    if threads == 1 or len(runs) == 1:
        return [one(net) for net in range(len(runs))]
    with ThreadPoolExecutor(min(threads, len(runs))) as pool:
        try:
            return list(pool.map(one, range(len(runs))))
        except BaseException:  # Ctrl-C, which comes to this thread alone
            stopped.set()
            raise
