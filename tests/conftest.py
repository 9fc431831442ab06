"""Shared by all tests: warnings are errors, numpy's included, and hypothesis takes its time on a cold cache."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastmlp

settings.register_profile(
    "fastmlp", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fastmlp")


def pytest_collection_modifyitems(items):
    """What compiles on an emulated processor takes minutes a test: begun last, it would be waited for."""
    items.sort(key=lambda item: "arm_cache" not in item.fixturenames)


XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR_Y = np.array([0, 1, 1, 0])


@pytest.fixture
def xor():
    """Architecture, inputs and targets of the smallest job."""
    return fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y


@pytest.fixture
def arm_cache(tmp_path_factory):
    """A folder that all emulated Arm processes of a run share for their compiled kernels, whichever worker starts them."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "arm-cache"


def bits(array):
    """The bytes of an array, so that NaN equals NaN and −0 differs from 0."""
    return np.ascontiguousarray(array).tobytes()
