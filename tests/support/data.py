"""XOR, the bytes of arrays, and where things lie: what most tests share."""

from pathlib import Path

import numpy as np

SUPPORT = Path(__file__).parent
DATA = SUPPORT.parent / "data"
ROOT = SUPPORT.parents[1]
XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR_Y = np.array([0, 1, 1, 0])


def bits(array):
    """The bytes of an array, so that NaN equals NaN and −0 differs from 0."""
    return np.ascontiguousarray(array).tobytes()
