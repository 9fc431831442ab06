"""A team gives members up while another process wants their processors, and tries again later."""

import itertools

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import contention, cost_model, team
from fastmlp._engine.contention import FIRST_PAUSE, LONGEST_PAUSE, Contention
from fastmlp.training import layout
from tests.support.data import bits

QUIET, BUSY = [1.0, 0.99, 0.97, 1.0], [1.0, 0.5, 0.99, 0.6]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(contention.time, "monotonic", lambda: now[0])
    return now


def test_members_are_given_up_after_several_slices_and_tried_again(clock):
    found = Contention()
    for shares in (QUIET, BUSY, QUIET, BUSY):
        found.note(0.05, shares)
        assert found.members(4) == 4
    found.note(0.05, BUSY)
    assert found.members(4) == found.members(2) == 2
    assert found.members(1) == 1
    clock[0] += FIRST_PAUSE
    assert found.members(4) == 4
    found.note(0.05, BUSY)  # the first slice after the pause tells
    clock[0] += FIRST_PAUSE
    assert found.members(4) == 2
    clock[0] += FIRST_PAUSE
    assert found.members(4) == 4
    found.note(0.05, QUIET)
    found.note(0.05, BUSY)
    assert found.members(4) == 4


def test_a_pause_has_an_end_however_long_the_contention_lasts(clock):
    found = Contention()
    for _ in range(20):
        found.note(0.05, [0.1, 0.1])
        clock[0] += LONGEST_PAUSE
        assert found.members(2) == 2
    found.note(0.05, [0.1, 0.1])
    assert found.members(2) == 1


def test_short_slices_say_nothing(clock):
    found = Contention()
    for _ in range(9):
        found.note(0.0001, BUSY)
    assert found.members(4) == 4


@pytest.mark.parametrize("sizes", [(1,), (1, 2), (3, 1, 2), (2, 3)])
def test_the_bits_are_the_same_whatever_the_number_of_members(monkeypatch, sizes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(160, 40)), np.arange(160) % 3
    arch = fastmlp.Architecture((40, 70, 60, 3), "tanh", "softmax")
    monkeypatch.setattr(cost_model, "choose_threads_per_net", lambda *_: (3, 0.0))
    monkeypatch.setattr(layout, "choose_kernels", cost_model.choose_kernels.__wrapped__)

    def trained():
        return fastmlp.train(
            arch, X, y, epochs=9, batch_size=32, kernel="units", threads=3, record_every=2, validation=(X, y)
        )

    whole = trained()
    asked = itertools.cycle(sizes)
    members = []
    monkeypatch.setattr(team.CONTENTION, "members", lambda _wanted: members.append(next(asked)) or members[-1])
    again = trained()
    assert set(members) == set(sizes)
    for name in ("parameters", "loss", "history", "validation_history"):
        assert bits(getattr(whole, name)) == bits(getattr(again, name)), name
