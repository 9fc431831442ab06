"""Summaries of nets: exact, and the same in any order and grouping of their parts."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastmlp
from fastmlp.surveying.bins import Bins
from fastmlp.surveying.exact_sums import ExactSums
from fastmlp.surveying.summary import Summary, fingerprint_of, merged, sample_keys
from tests.support.data import XOR_X, XOR_Y

N, KEEP = 300, 7
DTYPES = ["float32", "float64"]


def any_floats(dtype, seed, n=3000):
    """Floats of every size and sign, subnormal ones and 0 among them."""
    integers = np.dtype(f"i{np.dtype(dtype).itemsize}")
    bounds = np.iinfo(integers)
    about, rng = np.finfo(dtype), np.random.default_rng(seed)
    values = rng.integers(bounds.min, bounds.max, n, integers, endpoint=True).view(dtype)
    special = [0.0, -0.0, about.smallest_subnormal, -about.smallest_subnormal, about.tiny, about.max, about.min]
    return np.concatenate([values[np.isfinite(values)], np.array(special, dtype)])


def moments(values):
    exact = [Fraction(float(value)) for value in values]
    mean = sum(exact) / len(exact)
    return mean, sum((x - mean) ** 2 for x in exact) / len(exact)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_those_of_fractions(dtype):
    values = any_floats(dtype, 0)
    if dtype == "float64":
        values = values[np.abs(values) < 1e150]  # the squares of others are no float
    sums, (mean, variance) = ExactSums.of(values), moments(values)
    assert sums.mean == float(mean)
    assert sums.variance == float(variance)
    assert ExactSums.of(np.abs(values)).squares == sums.squares
    assert math.isnan(ExactSums(np.dtype(dtype)).mean)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40), st.integers(0, 40))
def test_sums_of_parts_add_up(numbers, cut):
    values = np.array(numbers, np.float32)
    whole = ExactSums.of(values)
    assert ExactSums.of(values[:cut]) + ExactSums.of(values[cut:]) == whole
    if numbers:
        mean, variance = moments(values)
        assert (whole.mean, whole.variance) == (float(mean), float(variance))


@pytest.mark.parametrize("dtype", DTYPES)
def test_order_statistics_are_bracketed(dtype):
    values = np.sort(any_floats(dtype, 1))
    bins = Bins.of(np.random.default_rng(0).permutation(values))
    assert len(bins) == len(values)
    for rank in range(0, len(values), 11):
        low, high = bins.order_statistic(rank)
        assert low <= values[rank] <= high
        assert high - low <= max(abs(values[rank]) * 2**-10, float(np.finfo(dtype).tiny) * 2**-10)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bins_of_few_and_of_far_apart_numbers_are_counted_alike(dtype):
    """An array counts bins that are close together, sorting those that are far apart."""
    near = np.linspace(0.1, 0.2, 500).astype(dtype)
    far = any_floats(dtype, 2)
    both = Bins.of(np.concatenate([near, far]))
    assert Bins.of(near) + Bins.of(far) == both
    assert list((Bins.of(far) + Bins.of(near)).counts) == sorted(both.counts)
    assert (
        Bins.of(np.array([np.nan, 1.0, np.inf], dtype)).counts.keys()
        == Bins.of(np.array([1.0, np.inf], dtype)).counts.keys()
    )


def test_whole_numbers_below_2048_have_bins_of_their_own():
    bins = Bins.of(np.arange(2048.0))
    assert [bins.order_statistic(k)[0] for k in range(2048)] == list(range(2048))


# -------------------------------------------------------------------------------------------------- whole summaries


def job(**changes):
    keywords = {"optimizer": fastmlp.SGD(0.5), "epochs": 120, "target_loss": 0.1, "n_nets": N, "seed": 3} | changes
    return fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, **keywords)


@pytest.fixture(scope="module")
def runs():
    runs = job()
    runs.loss[5], runs.status[5] = np.nan, fastmlp.Status.DIVERGED
    runs.parameters[5, :3] = np.nan
    return runs


def part(runs, first, stop):
    return Summary.of(runs[first:stop], runs.accuracy[first:stop] == 1, first, KEEP)


@settings(max_examples=40)
@given(st.lists(st.integers(0, N), max_size=6), st.randoms(use_true_random=False))
def test_parts_merge_in_any_order_and_grouping(runs, cuts, random):
    ends = [0, *sorted(cuts), N]
    parts = [part(runs, first, stop) for first, stop in itertools.pairwise(ends)]
    random.shuffle(parts)
    whole = part(runs, 0, N)
    while len(parts) > 1:
        k = random.randrange(len(parts) - 1)
        parts[k : k + 2] = [parts[k] + parts[k + 1]]
    assert parts[0] == whole
    assert json.dumps(parts[0].as_plain()) == json.dumps(whole.as_plain())
    empty = Summary.empty("float32", KEEP)
    assert whole + empty == empty + whole == whole
    assert merged([], "float32", KEEP) == empty


def test_a_summary_is_what_the_nets_say(runs):
    summary, finite = part(runs, 0, N), np.isfinite(runs.loss)
    assert summary.n_nets == N
    assert summary.status == {name: n for name, n in runs.counts().items() if name != "interrupted"}
    assert summary.status["diverged"] == 1
    assert summary.solved == (runs.accuracy == 1).sum()
    assert summary.net_epochs == runs.epochs.sum()
    assert summary.sums.mean == float(moments(runs.loss[finite])[0])
    assert len(summary.losses) == N - 1
    order = sorted(np.flatnonzero(finite), key=lambda k: (runs.loss[k], k))[:KEEP]
    assert [net.number for net in summary.best] == order
    assert [net.loss for net in summary.best] == runs.loss[order].tolist()
    keys = sample_keys(np.arange(N, dtype=np.uint64), runs.seed)
    assert [net.number for _, net in summary.sample] == np.argsort(keys)[:KEEP].tolist()
    reached = runs.epochs[runs.status == fastmlp.Status.REACHED_TARGET]
    assert summary.epochs["reached_target"] == Bins.of(reached.astype(float))


def test_equal_losses_are_in_the_order_of_numbers():
    runs = job(
        n_nets=20, epochs=0, init=([np.zeros((20, 2, 4)), np.zeros((20, 4, 1))], [np.zeros((20, 4)), np.zeros((20, 1))])
    )
    whole = Summary.of(runs, runs.accuracy == 1, 0, KEEP)
    parts = [Summary.of(runs[k : k + 5], runs.accuracy[k : k + 5] == 1, k, KEEP) for k in (15, 0, 10, 5)]
    assert [net.number for net in whole.best] == list(range(KEEP))
    assert merged(parts, "float32", KEEP) == whole


def test_a_sample_is_uniform():
    """Each of 8 ranges of net numbers has its share of the 2,000 lowest keys of 16,000, within 5 standard deviations."""
    keys = sample_keys(np.arange(16_000, dtype=np.uint64), 1)
    assert len(np.unique(keys)) == 16_000
    counts = np.bincount(np.argsort(keys)[:2000] // 2000, minlength=8)
    assert np.abs(counts - 250).max() < 5 * math.sqrt(250 * 7 / 8)
    assert (sample_keys(np.arange(5, dtype=np.uint64), 2) != keys[:5]).all()


def hash_of(words):
    c0, c1 = 0xFFFFFFFF, 0
    for word in [*words, *[0] * 10]:
        product = c0 * 0xD256D193
        c0, c1 = (product >> 32) ^ c1 ^ word, product & 0xFFFFFFFF
    return c0 | c1 << 32


@pytest.mark.parametrize("dtype", DTYPES)
def test_fingerprints_are_those_of_a_scalar_reference(dtype):
    runs = job(n_nets=9, epochs=20, dtype=dtype)
    numbers = np.arange(2**40, 2**40 + 9, dtype=np.uint64)
    total = 0
    for k in range(9):
        columns = (numbers[k : k + 1], runs.epochs[k : k + 1], runs.status[k : k + 1].astype(np.int64))
        others = [column.view(np.uint32) for column in columns]
        words = np.concatenate([*others, runs.loss[k : k + 1].view(np.uint32), runs.parameters[k].view(np.uint32)])
        total += hash_of(words.tolist())
    assert fingerprint_of(runs, numbers) == total % 2**64


def test_any_changed_bit_changes_the_fingerprint():
    runs, numbers = job(n_nets=3, epochs=20), np.arange(3, dtype=np.uint64)
    seen = [fingerprint_of(runs, numbers)]
    for words in (runs.parameters.view(np.uint32)[1], runs.loss.view(np.uint32)):
        for k in range(len(words)):
            for bit in range(23):
                words[k] ^= np.uint32(1 << bit)
                seen.append(fingerprint_of(runs, numbers))
                words[k] ^= np.uint32(1 << bit)
    runs.epochs[2] += 1
    seen += [fingerprint_of(runs, numbers), fingerprint_of(runs, numbers + np.uint64(1))]
    assert len(set(seen)) == len(seen) == 1 + (17 + 3) * 23 + 2


def test_json_gives_the_summary_again(runs):
    summary = part(runs, 0, N)
    plain = json.loads(json.dumps(summary.as_plain(), allow_nan=False))
    again = Summary.from_plain(plain, "float32", KEEP)
    assert json.dumps(again.as_plain()) == json.dumps(summary.as_plain())
    with pytest.raises(ValueError, match="more"):
        Summary.from_plain({**plain, "more": 1}, "float32", KEEP)


def test_what_does_not_fit_together_is_refused(runs):
    with pytest.raises(ValueError, match="do not add up"):
        part(runs, 0, 5) + Summary.empty("float64", KEEP)
    with pytest.raises(ValueError, match="do not add up"):
        part(runs, 0, 5) + Summary.empty("float32", KEEP + 1)
    stopped = job(callback=lambda _: True, epochs=10**6, target_loss=None, n_nets=50)
    with pytest.raises(ValueError, match="ended"):
        Summary.of(stopped, stopped.accuracy == 1, 0, KEEP)
