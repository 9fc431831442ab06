"""Shared by all tests: warnings are errors, numpy's included, and hypothesis takes its time on a cold cache."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

import fastmlp
from fastmlp._engine import pacing
from fastmlp._engine.chunk_trainer import METHODS_ALONE
from fastmlp._engine.pacing import Pace, Pacing
from fastmlp.training.runner import Runner
from tests.support.data import XOR_X, XOR_Y

settings.register_profile(
    "fastmlp", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fastmlp")


def pytest_collection_modifyitems(items):
    """What compiles on an emulated processor takes minutes a test: begun last, it would be waited for."""
    items.sort(key=lambda item: "arm_cache" not in item.fixturenames)


@pytest.fixture
def xor():
    """Architecture, inputs and targets of the smallest job."""
    return fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y


@pytest.fixture
def usual_handlers():
    """A shell starts what it puts in the background with interrupts ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Pacemaker:
    """Sets what a job otherwise measures: no test may depend on how fast the machine is."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def __call__(self, slices=None, strides=None, close_below=None, close_after=None):
        """Epochs of every slice, and of the strides in it; below which part of its nets, and after how many seconds
        of training, a chunk's gaps are closed.
        """
        if slices is not None:
            first = slices if strides is None else min(slices, strides)
            self._monkeypatch.setattr(
                Pacing, "first", lambda own, _: Pace(1, 1) if own.job.validation else Pace(first, first)
            )
            self._monkeypatch.setattr(
                Pacing,
                "next",
                lambda own, *_, **__: Pace(1, 1) if own.job.validation else Pace(slices, strides or slices),
            )
        for name, value in (("CLOSE_GAPS_BELOW", close_below), ("CLOSE_GAPS_AFTER", close_after)):
            if value is not None:
                self._monkeypatch.setattr(pacing, name, value)


@pytest.fixture
def pace(monkeypatch):
    """Steer the slices of jobs."""
    return Pacemaker(monkeypatch)


@pytest.fixture
def all_methods_in_one(monkeypatch):
    """No kernels of one optimizer alone, for tests where optimizers do not matter: they compile half as many."""
    for kernel in METHODS_ALONE:
        monkeypatch.setitem(METHODS_ALONE, kernel, ())


SLICES = os.environ.get("FASTMLP_TEST_SLICES")  # "1" for slices of one epoch, "whole" for a job in one slice


@pytest.fixture(autouse=True)
def _forced_slices(monkeypatch):
    """The whole suite with slices of another length, so that no test hangs on the usual ones.

    A job that a callback or a checkpoint looks into needs slices: it keeps the usual ones where others have one.
    """
    if SLICES == "1":
        Pacemaker(monkeypatch)(slices=1)
    elif SLICES:
        first, pace, run, whole = Pacing.first, Pacing.next, Runner.run, set()

        def noting(runner, progress=False, callback=None, checkpoint=None):
            if callback is None and checkpoint is None:
                whole.add(runner.job.results.loss.address)
            return run(runner, progress, callback, checkpoint)

        def in_one(job):
            return job.validation is None and job.results.loss.address in whole

        all_at_once = Pace(2**40, 2**40)
        monkeypatch.setattr(Runner, "run", noting)
        monkeypatch.setattr(Pacing, "first", lambda own, n: all_at_once if in_one(own.job) else first(own, n))
        monkeypatch.setattr(Pacing, "next", lambda own, *a, **k: all_at_once if in_one(own.job) else pace(own, *a, **k))


@pytest.fixture
def arm_cache(tmp_path_factory):
    """A folder that all emulated Arm processes of a run share for their compiled kernels, whatever worker starts them."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "arm-cache"
