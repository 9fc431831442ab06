"""Shared by all tests: warnings are errors, numpy's included, and hypothesis takes its time on a cold cache."""

import os

import pytest
from hypothesis import HealthCheck, settings

import fastmlp
from fastmlp import training
from fastmlp._engine import job as _jobs
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


class Pace:
    """Sets what a job otherwise measures: no test may depend on how fast the machine is."""

    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def __call__(self, slices=None, strides=None, close_below=None, close_after=None):
        """Epochs of every slice, and of the strides in it; below which part of its nets, and after how many seconds
        of training, a chunk's gaps are closed.
        """
        if slices is not None:
            first = slices if strides is None else min(slices, strides)
            self._monkeypatch.setattr(_jobs.Job, "_first_slice", lambda job, _tiles: 1 if job.validation else first)
            self._monkeypatch.setattr(
                _jobs.Job, "_pace", lambda job, *_, **__: (1, 1) if job.validation else (slices, strides or slices)
            )
        for name, value in (("CLOSE_GAPS_BELOW", close_below), ("CLOSE_GAPS_AFTER", close_after)):
            if value is not None:
                self._monkeypatch.setattr(_jobs, name, value)


@pytest.fixture
def pace(monkeypatch):
    """Steer the slices of jobs."""
    return Pace(monkeypatch)


SLICES = os.environ.get("FASTMLP_TEST_SLICES")  # "1" for slices of one epoch, "whole" for a job in one slice


@pytest.fixture(autouse=True)
def _forced_slices(monkeypatch):
    """The whole suite with slices of another length, so that no test hangs on the usual ones.

    A job that a callback or a checkpoint looks into needs slices: it keeps the usual ones where others have one.
    """
    if SLICES == "1":
        Pace(monkeypatch)(slices=1)
    elif SLICES:
        first, pace, run, whole = _jobs.Job._first_slice, _jobs.Job._pace, training.run, set()

        def noting(job, runs, threads, progress=False, callback=None, checkpoint=None):
            if callback is None and checkpoint is None:
                whole.add(job.results.loss.address)
            return run(job, runs, threads, progress, callback, checkpoint)

        def in_one(job):
            return job.validation is None and job.results.loss.address in whole

        monkeypatch.setattr(training, "run", noting)
        monkeypatch.setattr(_jobs.Job, "_first_slice", lambda job, n: 2**40 if in_one(job) else first(job, n))
        monkeypatch.setattr(
            _jobs.Job, "_pace", lambda job, *a, **k: (2**40, 2**40) if in_one(job) else pace(job, *a, **k)
        )


@pytest.fixture
def arm_cache(tmp_path_factory):
    """A folder that all emulated Arm processes of a run share for their compiled kernels, whatever worker starts them."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "arm-cache"
