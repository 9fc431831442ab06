"""The kernels alone, for pytest-benchmark: `pytest tests/kernels/test_kernel_speed.py --benchmark-enable`."""

import numpy as np
import pytest

import fastmlp
from benchmarks.workloads import Workload
from fastmlp._engine.chunk_trainer import ChunkTrainer, compile_kernels
from fastmlp._engine.slices import slice_of
from fastmlp._simd import elementary
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.jit import kernel
from fastmlp._simd.memory import load, store
from fastmlp._simd.types import Buffer, aligned_zeros
from tests.support.cases import planned

ROWS = 1000


def elementwise(function):
    """A kernel that applies a function of one vector to every row of a buffer."""

    @kernel
    def apply(F, source, target, rows):
        for r in range(rows):
            store(target, r, function(load(F, source, r)))

    return apply


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["exp", "sigmoid", "tanh", "log", "log1p_of_fraction"])
def test_function(benchmark, name, dtype):
    F = host_lanes(dtype)
    source, target = (aligned_zeros((ROWS, F.count), dtype) for _ in range(2))
    source[...] = np.random.default_rng(0).uniform(0.1, 1, source.shape)
    apply = elementwise(getattr(elementary, name))
    apply(F, Buffer(source), Buffer(target), ROWS)
    benchmark(apply, F, Buffer(source), Buffer(target), ROWS)
    assert np.isfinite(target).all()


TRAINING = {
    "tiny, XOR": Workload((2, 4, 1), 32, 100),
    "tiny": Workload((2, 4, 4, 1), 32, 100, "adam"),
    "lanes, full batch": Workload((24, 8, 1), 16, 10, "adam", 200),
    "lanes, minibatches": Workload((30, 32, 1), 16, 10, "adam", 455, 32),
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_kernel(benchmark, name):
    """One tile, trained from where the last round left it: nothing but the kernel's call."""
    workload = TRAINING[name]
    X, y = workload.data()
    job, _ = planned(
        architecture=workload.architecture,
        X=X,
        y=y,
        n_nets=workload.nets,
        optimizer=workload.optimizer,
        epochs=10**6,
        batch_size=workload.batch_size,
        shuffle=False,
    )
    trainer = ChunkTrainer(job)
    compile_kernels([trainer])
    tiles = job.new_tiles(0, workload.nets)
    trainer.fill(tiles, 0)
    benchmark(trainer.train, tiles, slice_of(job, tiles, 0, workload.epochs), trainer.new_team())
    assert np.isfinite(tiles.rows).all()


def test_drawing_initial_weights(benchmark):
    runs = benchmark(fastmlp.train, fastmlp.Architecture((2, 4, 1)), [[0, 1]], [1], n_nets=10_000, epochs=0)
    assert runs.weights[0].std() > 0
