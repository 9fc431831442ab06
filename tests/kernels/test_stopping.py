"""The stopping rules, net by net, against plain Python on one number at a time."""

import numba
import numpy as np
import pytest

from fastmlp._engine.tile_arrays import TileArrays, Vectors
from fastmlp._kernels import stopping, structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros

WIDTH, EPOCHS = 8, 40


class Net:
    """What the rules know of one net, and what became of it."""

    def __init__(self, target, accuracy, patience, tol, adaptive):
        self.target, self.accuracy, self.patience, self.tol = map(np.float32, (target, accuracy, patience, tol))
        self.best, self.waited, self.rate, self.adaptive = np.float32(np.inf), 0, np.float32(1e-5), adaptive
        self.ended = None

    def look(self, loss, accuracy, epoch, last):
        if self.ended is not None:
            return
        if not np.isfinite(loss):
            self.ended = structs.DIVERGED, epoch
        elif loss <= self.target or accuracy >= self.accuracy:
            self.ended = structs.REACHED_TARGET, epoch
        elif epoch < last:
            improved = loss <= np.float32(self.best - self.tol) and loss < self.best
            self.waited = 0 if improved else self.waited + 1
            self.best = min(self.best, loss)
            if self.waited >= self.patience:
                if self.adaptive and self.rate > stopping.LEAST_RATE:
                    self.rate, self.waited = np.float32(self.rate / 5), 0
                else:
                    self.ended = structs.STALLED, epoch
        if epoch == last and self.ended is None:
            self.ended = structs.RAN_ALL_EPOCHS, epoch


@numba.njit
def look(F, flags, tiles, results, losses, accuracies, epoch, last, lanes):
    active = load(F, tiles.stop_state, structs.ACTIVE) != 0.0
    loss, accuracy = load(F, losses, epoch), load(F, accuracies, epoch)
    active = stopping.apply_rules(F, flags, tiles, 0, results, active, loss, accuracy, epoch, last, True, lanes)
    store(tiles.stop_state, structs.ACTIVE, stopping.select(active, stopping.broadcast(F, 1.0), 0.0))


@pytest.mark.parametrize("seed", range(20))
def test_rules_stop_each_net_when_plain_python_does(seed):
    rng = np.random.default_rng(seed)
    adaptive = bool(seed % 2)
    nets = [
        Net(
            rng.choice([-np.inf, 0.05]),
            rng.choice([np.inf, 0.95]),
            rng.choice([np.inf, 1, 2, 5]),
            rng.choice([0.0, 1e-3, 0.1]),
            adaptive,
        )
        for _ in range(WIDTH)
    ]  # one value a net
    tiles = TileArrays(Vectors.of(VectorSpec("float32", WIDTH)), 0, WIDTH, 1)
    rows = {
        structs.BEST_LOSS: [np.inf] * WIDTH,
        structs.TARGET_LOSS: [n.target for n in nets],
        structs.TARGET_ACCURACY: [n.accuracy for n in nets],
        structs.PATIENCE: [n.patience for n in nets],
        structs.TOLERANCE: [n.tol for n in nets],
    }
    for row, values in rows.items():
        tiles.stop_state[0, row] = values
    tiles.hyper[0, optimizers.GIVEN_RATE] = 1e-5
    losses, accuracies = (aligned_zeros((EPOCHS + 1, WIDTH), np.float32) for _ in range(2))
    falling = np.exp(-np.arange(EPOCHS + 1) * rng.uniform(0, 0.2, WIDTH)[:, None]).T
    losses[:] = falling * rng.choice([1.0, 1.0, 1.01, 0.5], (EPOCHS + 1, WIDTH))
    losses[rng.random(losses.shape) < 0.005] = rng.choice([np.nan, np.inf])
    accuracies[:] = 1 - losses / 2
    n = structs.Results(
        Buffer(np.full(WIDTH, np.nan, np.float32)),
        Buffer(np.full(WIDTH, np.nan, np.float32)),
        Buffer(np.zeros(WIDTH, np.int64)),
        Buffer(np.full(WIDTH, -1, np.int8)),
        Buffer(np.zeros((1, 1), np.float32)),
        0,
    )
    flags = structs.TrainFlags(
        method=0,
        batch_size=1,
        full_batch=True,
        shuffle=False,
        order_by_net=False,
        dropping=False,
        record_every=0,
        rules=True,
        waits=True,
        bound_will_do=False,
        has_l2=False,
        has_momentum=False,
        nesterov=False,
        has_decay=False,
        same_powers=True,
        loss_scale=1.0,
        delta_scale=1.0,
        counts_accuracy=True,
        scheduled=adaptive,
        adaptive=adaptive,
        sklearn=False,
        loss_slack=0.0,
    )
    F, lanes = VectorSpec("float32", WIDTH), Buffer(aligned_zeros((3, WIDTH), np.float32))
    for epoch in range(EPOCHS + 1):
        look(F, flags, tiles.kernel_view, n, Buffer(losses), Buffer(accuracies), epoch, EPOCHS, lanes)
        for k, net in enumerate(nets):
            net.look(losses[epoch, k], accuracies[epoch, k], epoch, EPOCHS)
    assert [(int(s), int(e)) for s, e in zip(n.status.array, n.epochs.array, strict=True)] == [
        net.ended for net in nets
    ]
    if adaptive:
        np.testing.assert_array_equal(tiles.hyper[0, optimizers.GIVEN_RATE], [net.rate for net in nets])
    for k, net in enumerate(nets):
        if net.ended[0] != structs.DIVERGED:
            assert n.loss.array[k] == losses[net.ended[1], k]
