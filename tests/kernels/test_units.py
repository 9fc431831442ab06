"""Every bit of the units kernel: those of the lanes kernel, and of the scalar reference."""

import time

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import chunk_trainer, cost_model, predict, team, units_memory
from fastmlp._kernels import units as _units
from fastmlp.training import layout
from fastmlp.training.runner import Runner
from tests.support.cases import planned, random_job
from tests.support.data import bits
from tests.support.reference import run_reference


def of_members(monkeypatch, threads_per_net):
    """Have `threads_per_net` threads train each net together."""
    monkeypatch.setattr(cost_model, "choose_threads_per_net", lambda *_: (threads_per_net, 0.0))
    monkeypatch.setattr(layout, "choose_kernels", cost_model.choose_kernels.__wrapped__)
    monkeypatch.setattr(team.CONTENTION, "members", lambda wanted: wanted)


def assert_same_bits(one, other, description=None):
    for name in ("parameters", "loss", "accuracy", "epochs", "status", "history"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None and b is None) or bits(a) == bits(b), (name, description)


@pytest.mark.parametrize("seed", range(100, 112))
def test_units_have_the_bits_of_the_lanes(seed, monkeypatch):
    """72 random jobs, six a seed, with rules and records. Half of the seeds have chunks of a few samples."""
    if seed % 2:
        for module, name in ((units_memory, "CHUNK_SAMPLES"), (units_memory, "CHUNK_BYTES")):
            monkeypatch.setattr(module, name, 16)
    of_members(monkeypatch, [1, 2, 5][seed % 3])
    rng = np.random.default_rng(seed)
    for _ in range(6):
        settings = random_job(rng, max_nets=6)
        rules = {"record_every": [None, 2][rng.integers(2)], "patience": [None, 2][rng.integers(2)]}
        lanes, units = (
            fastmlp.train(**settings, **rules, kernel=kernel, threads=threads)
            for kernel, threads in (("lanes", 1), ("units", 5))
        )
        assert_same_bits(lanes, units, {name: settings[name] for name in ("architecture", "optimizer", "batch_size")})


@pytest.mark.parametrize("seed", range(4))
def test_units_have_the_bits_of_the_scalar_reference(seed):
    rng = np.random.default_rng(200 + seed)
    for _ in range(4):
        job, runs = planned(**random_job(rng, max_nets=3), kernel="units")
        Runner(job, runs, 2).run()
        if runs.status[0] != fastmlp.Status.DIVERGED:
            parameters, loss, _ = run_reference(job, 0)
            assert bits(runs.parameters[0]) == bits(parameters)
            assert bits(runs.loss[0]) == bits(loss)


@pytest.mark.parametrize(
    ("sizes", "n_samples", "batch_size", "dtype"),
    [
        ((150, 300, 257, 3), 300, 257, "float32"),
        ((257, 64, 33, 16, 1), 131, 128, "float32"),
        ((40, 300, 10), 90, None, "float64"),
        ((3, 129, 2), 70, 1, "float32"),
    ],
)
def test_wide_nets_have_the_bits_of_the_lanes(sizes, n_samples, batch_size, dtype, monkeypatch):
    assert max(sizes) > _units.PANEL_ROWS
    rng = np.random.default_rng(7)
    arch = fastmlp.Architecture(
        sizes, "tanh" if dtype == "float64" else "relu", "softmax" if sizes[-1] > 1 else "sigmoid"
    )
    X, y = rng.normal(size=(n_samples, sizes[0])), rng.integers(0, max(2, sizes[-1]), n_samples)
    settings = {"n_nets": 3, "epochs": 3, "batch_size": batch_size, "dtype": dtype, "l2": 1e-3}
    lanes = fastmlp.train(arch, X, y, kernel="lanes", **settings)
    for threads_per_net in (1, 2, 5):
        of_members(monkeypatch, threads_per_net)
        units = fastmlp.train(arch, X, y, kernel="units", threads=6, **settings)
        assert_same_bits(lanes, units, threads_per_net)
    assert (units.epochs == 3).all()


def always_split(monkeypatch):
    monkeypatch.setattr(cost_model, "WORTH_ANOTHER_KERNEL", -np.inf)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_the_last_nets_have_the_same_bits_in_another_way(seed, monkeypatch):
    """Random jobs of more nets than a tile, the rest by units as lanes or in narrower tiles."""
    rng = np.random.default_rng(300 + seed)
    for _ in range(6):
        settings = random_job(rng, max_width=9, max_nets=80) | {"net_ids": None}
        rules = {"record_every": [None, 2][rng.integers(2)], "patience": [None, 2][rng.integers(2)]}
        lanes = fastmlp.train(**settings, **rules, kernel="lanes")
        with monkeypatch.context() as patched:
            always_split(patched)
            threads = int(rng.integers(1, 3))
            job, _ = planned(**settings, **rules, threads=threads)
            nets, tiles = settings["n_nets"], threads * job.vectors.width
            rest = nets % tiles if nets > tiles else 0
            assert (job.stop, job.rest is not None) == (nets - rest, rest > 0)
            assert_same_bits(lanes, fastmlp.train(**settings, **rules, threads=threads), settings["architecture"])


@pytest.mark.parametrize("optimizer", [fastmlp.Adam(0.02), fastmlp.SGD(0.1, 0.9)])
def test_what_a_job_keeps_is_kept_of_the_last_nets_too(optimizer, monkeypatch, tmp_path):
    """Validation with its best weights, the optimizer's state, checkpoints, progress."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    always_split(monkeypatch)
    arch, seen = fastmlp.Architecture((3, 20, 1)), []
    nets = 2 * cost_model.host_lanes(np.dtype(np.float32)).count + 1
    settings = {
        "n_nets": nets,
        "batch_size": 8,
        "optimizer": optimizer,
        "validation": (X[:10], y[:10]),
        "patience": 3,
        "keep_state": True,
        "record_every": 1,
        "l2": np.linspace(0, 0.1, nets),
        "threads": 1,
    }
    job, _ = planned(
        architecture=arch, X=X, y=y, epochs=12, seed=0, init="he_uniform", **settings | {"validation": None}
    )
    assert (job.stop, job.rest.plan.kernel) == (nets - 1, "units")
    lanes = fastmlp.train(arch, X, y, epochs=12, kernel="lanes", **settings)
    both = fastmlp.train(arch, X, y, epochs=12, callback=lambda p: seen.append(p) or False, **settings)
    assert_same_bits(lanes, both)
    assert bits(lanes.validation_score) == bits(both.validation_score)
    assert bits(lanes.best_epoch) == bits(both.best_epoch)
    assert all(bits(a) == bits(b) for a, b in zip(lanes.state.rows, both.state.rows, strict=True))
    assert (seen[-1].finished, seen[-1].net_epochs) == (nets, nets * 12)
    path = tmp_path / "job"
    with pytest.raises(KeyboardInterrupt):
        fastmlp.train(arch, X, y, epochs=12, checkpoint=path, callback=_interrupt_at(40), **settings)
    assert_same_bits(lanes, fastmlp.resume(path, X, y, validation=(X[:10], y[:10])))


def _interrupt_at(net_epochs):
    def callback(progress):
        if progress.net_epochs >= net_epochs:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize(("nets", "rest"), [(31, 0), (32, 0), (33, 1), (40, 8), (47, 15), (100, 4), (64, 0)])
def test_a_few_nets_more_do_not_cost_another_round_of_tiles(nets, rest, monkeypatch):
    monkeypatch.setenv("FASTMLP_LANES", "16")
    arch, dtype = fastmlp.Architecture((64, 64, 10), output="softmax"), np.dtype("float32")
    choice, found = cost_model.choose_kernels(arch, nets, 1437, 64, dtype, 2, 1000)
    assert (found.nets if found else 0) == rest
    if rest:
        assert (choice.kernel, found.choice.kernel) == ("lanes", "units")
        # not for a job that takes no longer than loading another kernel
        assert cost_model.choose_kernels(arch, nets, 1437, 64, dtype, 2, 1)[1] is None
        assert cost_model.choose_kernels(arch, nets, 1437, 64, dtype, 2, 1000, "lanes")[1] is None


def test_prediction_of_few_wide_nets_has_the_bits_of_many(monkeypatch):
    rng = np.random.default_rng(0)
    arch = fastmlp.Architecture((40, 70, 30, 3), ("tanh", "leaky_relu"), "softmax", leaky_slope=rng.random(5))
    runs = fastmlp.train(arch, rng.normal(size=(10, 40)), np.arange(10) % 3, n_nets=5, epochs=1)
    X = rng.normal(size=(333, 40))
    of_kernels, lanes = [], cost_model.host_lanes(np.dtype("float32"))
    for kernel in ("lanes", "units"):
        monkeypatch.setattr(predict, "choose_kernel", lambda *_, kernel=kernel: cost_model.Choice(kernel, lanes))
        of_kernels.append(runs.predict(X))
    assert bits(of_kernels[0]) == bits(of_kernels[1])
    np.testing.assert_allclose(runs.predict(X, reduce="mean"), of_kernels[0].mean(axis=0), rtol=1e-5)


def test_a_team_larger_than_the_machine_does_not_crawl(monkeypatch):
    """Members that wait leave the processor to those that work."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(256, 64)), rng.integers(0, 10, 256)
    arch = fastmlp.Architecture((64, 256, 10), output="softmax")
    settings = {"batch_size": 32, "kernel": "units", "threads": 16}
    of_members(monkeypatch, 16)
    fastmlp.train(arch, X, y, epochs=1, **settings)
    begun = time.process_time()  # what other processes do does not count
    fastmlp.train(arch, X, y, epochs=20, **settings)
    # 960 meetings: a barrier that spun for a time slice of each member would take minutes
    assert time.process_time() - begun < 30


def test_a_member_that_fails_ends_its_team(monkeypatch):
    of_members(monkeypatch, 3)
    train_tiles = chunk_trainer.train_tiles

    def fail_in_the_second(*arguments):
        if arguments[-2].thread_number == 1 and arguments[-3].stop > 0:
            raise RuntimeError("mine")
        train_tiles(*arguments)

    monkeypatch.setattr(chunk_trainer, "train_tiles", fail_in_the_second)
    arch = fastmlp.Architecture((64, 256, 10), output="softmax")
    X, y = np.random.default_rng(0).normal(size=(512, 64)), np.arange(512) % 10
    with pytest.raises(RuntimeError, match="mine"):
        fastmlp.train(arch, X, y, epochs=10, batch_size=32, kernel="units", threads=3)


def test_a_callback_ends_a_team(monkeypatch):
    of_members(monkeypatch, 3)
    arch = fastmlp.Architecture((64, 256, 10), output="softmax")
    X, y = np.random.default_rng(0).normal(size=(512, 64)), np.arange(512) % 10
    runs = fastmlp.train(
        arch,
        X,
        y,
        epochs=10**6,
        batch_size=32,
        kernel="units",
        threads=3,
        callback=lambda progress: progress.seconds > 1,
    )
    assert runs.status[0] == fastmlp.Status.INTERRUPTED
    assert runs.train_seconds < 5


def test_unknown_kernel():
    with pytest.raises(ValueError, match="kernel='gpu' is not known: use one of 'lanes', 'units'"):
        fastmlp.train(fastmlp.Architecture((1, 1)), [[0.0]], [0], kernel="gpu")
