"""The promise: a net's bits depend on its data, settings, seed and number, and on nothing else."""

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import chunk_trainer
from fastmlp._engine.chunk_trainer import ChunkTrainer
from tests.support.cases import random_job
from tests.support.data import bits


def job(seed, nets, **changes):
    """A random job of `nets` nets on drawn weights, its settings the same for all."""
    settings = random_job(np.random.default_rng(seed), max_width=12, max_nets=1)
    settings.update(init="he_normal", n_nets=nets, epochs=4)
    if settings["sample_weight"] is not None:
        settings["sample_weight"] = settings["sample_weight"].ravel()
    for name in ("l2",):
        settings[name] = float(np.ravel(settings[name])[0])
    arch = settings["architecture"]
    settings["architecture"] = arch.with_slope(float(np.ravel(arch.leaky_slope)[0]))
    optimizer = settings["optimizer"]
    scalars = {name: float(np.ravel(value)[0]) for name, value in optimizer.settings.items()}
    if isinstance(optimizer, fastmlp.SGD):
        scalars["nesterov"] = optimizer.nesterov
    settings["optimizer"] = type(optimizer)(**scalars)
    return {**settings, **changes}


def only(optimizer, net):
    """The optimizer with the settings of one net."""
    settings = {name: value[net] if np.ndim(value) else value for name, value in optimizer.settings.items()}
    return type(optimizer)(**settings)


def outcome(runs, nets=slice(None)):
    return [bits(getattr(runs, name)[nets]) for name in ("parameters", "loss", "accuracy", "epochs", "status")]


@pytest.mark.parametrize("seed", range(4))
def test_a_net_alone_and_among_others_at_every_lane(seed):
    everyone = fastmlp.train(**job(seed, 1000))
    for others in (0, 6, 32):
        for first in (0, 1, 31, 40, 999 - others):
            numbers = np.arange(first, first + others + 1)
            some = fastmlp.train(**job(seed, None, net_ids=numbers))
            assert outcome(some) == outcome(everyone, slice(first, first + others + 1)), (others, first)
    for lane in range(64):
        numbers = np.full(64, 7000, np.uint64)
        numbers[lane] = 3
        assert outcome(fastmlp.train(**job(seed, None, net_ids=numbers)), slice(lane, lane + 1)) == outcome(
            everyone, slice(3, 4)
        ), lane


@pytest.mark.parametrize("seed", range(4))
def test_threads_and_splits_do_not_show(seed):
    whole = fastmlp.train(**job(seed, 700, threads=1))
    for threads in (2, 5):
        assert outcome(fastmlp.train(**job(seed, 700, threads=threads))) == outcome(whole)
    shards = [fastmlp.train(**job(seed, None, net_ids=range(*ends))) for ends in ((0, 1), (1, 450), (450, 700))]
    assert outcome(whole) == [b"".join(parts) for parts in zip(*map(outcome, shards), strict=True)]


@pytest.mark.slow  # the golden hashes without the JIT have another width too
@pytest.mark.parametrize("lanes", ["2", "4", "8", "16", "32", "64"])
def test_vector_width_does_not_show(lanes, monkeypatch):
    expected = outcome(fastmlp.train(**job(1, 70)))
    monkeypatch.setenv("FASTMLP_LANES", lanes)
    assert outcome(fastmlp.train(**job(1, 70))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("lanes", ["2", "4", "8", "16", "32", "64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vector_width_does_not_show_with_units_as_lanes(lanes, dtype, monkeypatch):
    """A layer wide enough for what is copied, one of an odd number of vectors, minibatches of several chunks."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 19)), rng.integers(0, 3, 70)
    arch = fastmlp.Architecture((19, 140, 133, 3), output="softmax")
    settings = {"n_nets": 2, "epochs": 3, "batch_size": 33, "optimizer": "adam", "l2": 0.01, "dtype": dtype}
    expected = outcome(fastmlp.train(arch, X, y, **settings, kernel="lanes"))
    monkeypatch.setenv("FASTMLP_LANES", lanes)
    assert outcome(fastmlp.train(arch, X, y, **settings, kernel="units")) == expected


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize(
    "optimizer",
    [
        fastmlp.SGD(0.5, 0.5),
        fastmlp.SGD(np.linspace(0.1, 0.9, 2000)),
        fastmlp.Adam(0.05),
        fastmlp.Adam(0.05, beta1=np.linspace(0.8, 0.95, 2000)),
        fastmlp.RMSprop(0.02, momentum=0.3),
        fastmlp.Rprop(0.02),
    ],
    ids=["momentum", "rates", "adam", "betas", "rmsprop", "rprop"],
)
def test_closing_gaps_does_not_show(xor, monkeypatch, pace, optimizer, batch_size):
    arch, X, y = xor
    settings = {
        "n_nets": 2000,
        "optimizer": optimizer,
        "epochs": 300,
        "target_loss": 0.1,
        "patience": 50,
        "record_every": 20,
        "batch_size": batch_size,
        "threads": 1,
    }
    closed = []
    compact = chunk_trainer.compact
    monkeypatch.setattr(chunk_trainer, "compact", lambda *args: (closed.append(args), compact(*args)))
    pace(slices=20, strides=20, close_after=0.0)
    closing = fastmlp.train(arch, X, y, **settings)
    assert closed[1:]  # the first call is the compilation's
    assert outcome(closing, slice(1999, 2000)) == outcome(
        fastmlp.train(arch, X, y, **{**settings, "n_nets": None, "net_ids": [1999], "optimizer": only(optimizer, 1999)})
    )
    closed.clear()
    pace(close_below=-1.0, close_after=np.inf)
    never = fastmlp.train(arch, X, y, **settings)
    assert not closed[1:]  # the one call is the compilation's
    assert outcome(closing) == outcome(never)
    assert bits(closing.history) == bits(never.history)
    assert (closing.epochs < 300).any()
    assert len(np.unique(closing.status)) >= 2


# Nets leave in each of these; with XOR and plain descent by the kernel of tiny XOR jobs
LEAVING = {
    "xor": {"optimizer": fastmlp.SGD(0.5), "target_loss": 0.3},
    "xor, adam": {"optimizer": fastmlp.Adam(0.05), "target_loss": 0.3, "patience": 20, "record_every": 20},
    "full batch": {"optimizer": fastmlp.Adam(0.05), "target_loss": 0.4},
    "units": {"optimizer": fastmlp.Adam(0.05), "target_loss": 0.4, "kernel": "units"},
    "minibatches": {"optimizer": fastmlp.Adam(0.03), "target_loss": 0.4, "batch_size": 20, "record_every": 7},
    "dropout": {"optimizer": fastmlp.Adam(0.03), "patience": 5, "batch_size": 20, "dropout": 0.1},
    "orders by net": {"optimizer": fastmlp.Adam(0.03), "target_loss": 0.4, "batch_size": 20, "shuffle": "by_net"},
    "schedule": {"optimizer": fastmlp.Adam(0.05), "target_loss": 0.4, "schedule": lambda epoch: 0.99**epoch},
    "bootstrap": {"optimizer": fastmlp.Adam(0.05), "target_loss": 0.4, "bootstrap": True},
}


@pytest.mark.parametrize("name", LEAVING)
def test_slices_that_end_early_do_not_show(name, xor, tmp_path, monkeypatch, pace):
    arch, X, y = xor
    if not name.startswith("xor"):
        X = np.random.default_rng(0).normal(size=(60, 2))
        y = (X[:, 0] * X[:, 1] > 0).astype(int)
    settings = {"n_nets": 60, "epochs": 90, "threads": 1, **LEAVING[name]}
    train, compact, early, moved = ChunkTrainer.train, chunk_trainer.compact, [], []

    def noting(job, tiles, epochs, team):
        stop = train(job, tiles, epochs, team)
        early.append(epochs.stop - stop)
        return stop

    def closing(F, tiles, n_samples):
        before = tiles.result_index.array.copy()
        compact(F, tiles, n_samples)
        moved.append(not np.array_equal(before, tiles.result_index.array))

    whole = fastmlp.train(arch, X, y, **settings)
    monkeypatch.setattr(ChunkTrainer, "train", noting)
    monkeypatch.setattr(chunk_trainer, "compact", closing)
    for stride in (1, 7, 20):
        pace(slices=20, strides=stride, close_after=0.0)
        early.clear()
        moved.clear()
        runs = fastmlp.train(arch, X, y, **settings, checkpoint=tmp_path / "job" if stride == 7 else None)
        assert outcome(runs) == outcome(whole)
        if runs.history is not None:
            assert bits(runs.history) == bits(whole.history)
        assert any(early) == (stride < 20)
        assert any(moved)
    assert len(np.unique(whole.epochs)) > 5


def test_settings_of_other_nets_do_not_show(xor):
    """Momentum, L2 and decay of a neighbour switch on code that a net without them must not notice."""
    arch, X, y = xor
    for optimizer in (fastmlp.SGD, fastmlp.RMSprop):
        alone = fastmlp.train(arch, X, y, n_nets=40, optimizer=optimizer(0.1), epochs=50)
        some = np.where(np.arange(40) % 2, 0.9, 0.0)
        mixed = fastmlp.train(arch, X, y, n_nets=40, optimizer=optimizer(0.1, momentum=some), l2=some / 100, epochs=50)
        assert outcome(mixed, slice(0, None, 2)) == outcome(alone, slice(0, None, 2))
        assert outcome(mixed, slice(1, None, 2)) != outcome(alone, slice(1, None, 2))
    plain = fastmlp.train(arch, X, y, n_nets=40, optimizer=fastmlp.Adam(0.1), epochs=50)
    betas = np.where(np.arange(40) % 2, 0.5, 0.9)
    mixed = fastmlp.train(arch, X, y, n_nets=40, optimizer=fastmlp.Adam(0.1, beta1=betas), epochs=50)
    assert outcome(mixed, slice(0, None, 2)) == outcome(plain, slice(0, None, 2))


def test_a_poisoned_net_leaves_its_neighbours_alone(xor):
    arch, X, y = xor
    rates = np.full(70, 0.5)
    healthy = fastmlp.train(arch, X, y, n_nets=70, optimizer=fastmlp.SGD(rates), epochs=200)
    rates[33] = 1e30
    poisoned = fastmlp.train(arch, X, y, n_nets=70, optimizer=fastmlp.SGD(rates), epochs=200)
    others = np.arange(70) != 33
    assert poisoned.status[33] == fastmlp.Status.DIVERGED
    assert np.isnan(poisoned.loss[33])
    assert outcome(poisoned, others) == outcome(healthy, others)


def test_float32_starts_from_the_rounded_weights_of_float64(xor):
    arch, X, y = xor
    for init in ("he_uniform", "glorot_normal", "torch", fastmlp.Normal(0.3, bias=fastmlp.Uniform(-1, 1))):
        single, double = (fastmlp.train(arch, X, y, n_nets=50, init=init, epochs=0, dtype=d) for d in ("f4", "f8"))
        assert bits(single.parameters) == bits(double.parameters.astype(np.float32))
