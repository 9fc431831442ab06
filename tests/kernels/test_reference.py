"""Every bit of the lanes kernel against the scalar reference."""

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import tile_arrays
from fastmlp.training.runner import Runner
from tests.support.cases import planned, random_job
from tests.support.data import bits
from tests.support.reference import run_reference


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(n, marks=pytest.mark.slow) for n in range(12, 24))])
def test_kernel_has_the_bits_of_the_scalar_reference(seed, monkeypatch):
    """240 random jobs, ten a seed; up to three nets of each. Half of the seeds have several chunks of samples."""
    if seed % 2:
        monkeypatch.setattr(tile_arrays, "CHUNK_SAMPLES", 8)
    rng = np.random.default_rng(seed)
    compared = 0
    for _ in range(10):
        settings = random_job(rng)
        job, runs = planned(**settings, kernel="lanes")
        Runner(job, runs, 2).run()
        for net in sorted(set(rng.integers(0, len(runs), 3).tolist())):
            if runs.status[net] == fastmlp.Status.DIVERGED:
                continue  # frozen where the reference goes on
            parameters, loss, right = run_reference(job, net)
            description = {
                name: settings[name] for name in ("architecture", "optimizer", "loss", "batch_size", "dtype")
            }
            assert bits(runs.parameters[net]) == bits(parameters), (net, description)
            assert bits(runs.loss[net]) == bits(loss), (net, description)
            if job.flags.counts_accuracy:
                assert runs.accuracy[net] == pytest.approx(right, rel=1e-5), (net, description)
            compared += 1
    assert compared >= 10


def test_training_changes_the_weights():
    """Guards the test above: equal bits would mean nothing if neither side did anything."""
    rng = np.random.default_rng(5)
    settings = random_job(rng)
    settings["epochs"] = 3
    before = settings["init"][0][0]
    after = fastmlp.train(**settings).weights[0]
    assert (after != before.astype(after.dtype)).any(axis=(1, 2)).mean() > 0.5
