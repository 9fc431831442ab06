"""pytest-benchmark: how long the study takes, compared with the last time, and with work of another kind."""

import time

import numpy as np
import pytest
from my_study import train_all

MOST_TIMES_THE_REFERENCE = 3.0  # measured: 0.6 to 1.1 on two cores of a Zen 5 server; 20 when trained call by call


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """The first call compiles: it is not what is measured."""
    train_all(200)
    train_all(1)


def test_the_study(benchmark):
    """`--benchmark-compare --benchmark-compare-fail=median:50%` compares with the last saved run of this machine."""
    losses = benchmark.pedantic(train_all, rounds=7, warmup_rounds=1)
    assert np.isfinite(losses).all()
    assert losses.mean() < 0.7  # fast and wrong is no use


def test_the_study_beside_a_reference():
    """A ratio to NumPy's work in the same seconds holds on other machines too, roughly."""
    matrix = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)

    def seconds(function):
        begun = time.perf_counter()
        function()
        return time.perf_counter() - begun

    def reference():
        for _ in range(20):
            np.tanh(matrix @ matrix)

    reference()
    ratio = np.median([seconds(train_all) / seconds(reference) for _ in range(7)])
    assert ratio < MOST_TIMES_THE_REFERENCE, f"{ratio:.2f} times the reference"
