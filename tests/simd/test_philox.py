"""Random numbers: the published known answers, what the numbers are keyed by, and that they look random."""

import numba
import numpy as np
import pytest

import fastmlp
from fastmlp._engine.slices import orders_of
from fastmlp._simd.arithmetic import broadcast
from fastmlp._simd.memory import load, store
from fastmlp._simd.philox import philox, uniform_pair
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros
from tests.support.cases import planned
from tests.support.data import bits

U = VectorSpec("uint64", 8)
ONES = 0xFFFFFFFF


@numba.njit
def words(U, counter, seed, result):
    four = philox(
        load(U, counter, 0), load(U, counter, 1), load(U, counter, 2), load(U, counter, 3), broadcast(U, seed)
    )
    for i in range(4):
        store(result, i, four[i])


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter, key, answer):
    rows, result = aligned_zeros((4, U.count), np.uint64), aligned_zeros((4, U.count), np.uint64)
    rows[:] = np.array(counter, np.uint64)[:, None]
    words(U, Buffer(rows), np.uint64(key[0] | key[1] << 32), Buffer(result))
    assert (result == np.array(answer, np.uint64)[:, None]).all()


@numba.njit
def uniforms(U, net, purpose, position, seed, result):
    u, v = uniform_pair(broadcast(U, net), broadcast(U, purpose), broadcast(U, position), broadcast(U, seed))
    store(result, 0, u)
    store(result, 1, v)


def test_each_part_of_the_key_matters_to_its_last_bit():
    def pair(net, purpose, position, seed):
        result = aligned_zeros((2, U.count), np.float64)
        uniforms(U, *map(np.uint64, (net, purpose, position, seed)), Buffer(result))
        return tuple(result[:, 0])

    key = (2**63 - 1, 1, 5, 2**64 - 1)
    variants = [
        key,
        (0, *key[1:]),
        (2**32 + 5, *key[1:]),
        (2**32 + 6, *key[1:]),
        (key[0], 2, *key[2:]),
        (*key[:2], 6, key[3]),
        (*key[:3], 0),
        (*key[:3], 1),
        (*key[:3], 2**32),
    ]
    found = [pair(*variant) for variant in variants]
    assert len({number for two in found for number in two}) == 2 * len(variants)


def drawn(init, n_nets=4000, sizes=(30, 20, 1)):
    arch = fastmlp.Architecture(sizes)
    return fastmlp.train(arch, np.zeros((1, sizes[0])), [0], n_nets=n_nets, init=init, epochs=0, dtype="float64")


@pytest.mark.parametrize(
    ("init", "kind", "width"),
    [
        ("he_uniform", "uniform", np.sqrt(6 / 30)),
        ("he_normal", "normal", np.sqrt(2 / 30)),
        ("glorot_uniform", "uniform", np.sqrt(6 / 50)),
        ("glorot_normal", "normal", np.sqrt(2 / 50)),
        ("lecun_normal", "normal", np.sqrt(1 / 30)),
        ("torch", "uniform", np.sqrt(1 / 30)),
        (fastmlp.Uniform(-2, 2), "uniform", 2),
        (fastmlp.Normal(0.25), "normal", 0.25),
    ],
)
def test_distributions(init, kind, width):
    runs = drawn(init)
    first, n = runs.weights[0].ravel(), runs.weights[0].size
    std = width / np.sqrt(3) if kind == "uniform" else width
    assert abs(first.mean()) < 5 * std / np.sqrt(n)
    assert first.std() == pytest.approx(std, rel=5 / np.sqrt(n))
    # a quarter lies beyond ±(3/4) of a uniform distribution's end, or ±1.15035 standard deviations of a normal one
    beyond = np.abs(first) > (0.75 * width if kind == "uniform" else 1.1503493803760079 * width)
    assert beyond.mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / n))
    assert (np.abs(first) <= width).all() == (kind == "uniform")
    biases = runs.biases[0]
    assert biases.std() == pytest.approx(np.sqrt(1 / 90), rel=0.05) if init == "torch" else not biases.any()


def test_biases_may_be_constant_or_drawn():
    assert (drawn(fastmlp.Uniform(0, 1, bias=0.5), 5).biases[0] == 0.5).all()
    assert drawn(fastmlp.Uniform(0, 1, bias=fastmlp.Normal(2.0))).biases[0].std() == pytest.approx(2, rel=0.05)


def test_nets_and_seeds_differ_and_repeat(xor):
    arch, X, y = xor

    def start(seed, numbers):
        return fastmlp.train(arch, X, y, seed=seed, net_ids=numbers, epochs=0).parameters

    some = start(7, [0, 1, 2**40, 2**63 - 1])
    assert len(np.unique(some[:, 0])) == 4
    assert bits(start(7, [2**40])) == bits(some[2:3])
    assert bits(start(2**64 - 1, [0])) != bits(start(2**32 - 1, [0]))


def test_minibatches_are_permutations_keyed_by_seed_and_epoch():
    arch, n = fastmlp.Architecture((1, 1)), 101

    def orders(seed, first, stop):
        settings = {
            "n_nets": 1,
            "optimizer": "sgd",
            "epochs": 9,
            "loss": None,
            "init": "he_uniform",
            "l2": 0.0,
            "sample_weight": None,
            "dtype": "float32",
            "batch_size": 10,
            "shuffle": True,
        }
        job, _ = planned(architecture=arch, X=np.zeros((n, 1)), y=np.zeros(n), seed=seed, **settings)
        return orders_of(job, first, stop).array.reshape(stop - first, n)

    whole = orders(3, 0, 400)
    assert (np.sort(whole, axis=1) == np.arange(n)).all()
    assert bits(orders(3, 17, 20)) == bits(whole[17:20])
    assert bits(orders(4, 0, 400)) != bits(whole)
    # every place sees every sample about equally often
    counts = np.bincount(whole[:, 0], minlength=n)
    chi_squared = ((counts - 400 / n) ** 2 / (400 / n)).sum()
    assert chi_squared < n + 5 * np.sqrt(2 * n)
