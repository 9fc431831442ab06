"""What `train` promises in addition to the bits: stopping, statuses, records, interrupts, inputs of every kind."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastmlp
from fastmlp._engine import memory_limit
from fastmlp._engine.chunks import unfinished_chunks
from fastmlp._kernels import epoch_loop, evaluation, tiles
from fastmlp.runs import Status
from tests.support.cases import planned
from tests.support.data import bits

SGD = fastmlp.SGD(0.5)


def test_xor_is_solved_by_most_restarts(xor):
    arch, X, y = xor
    runs = fastmlp.train(arch, X, y, n_nets=500, optimizer=SGD, epochs=2000)
    assert 0.5 < (runs.accuracy == 1).mean() < 0.8
    assert (runs.status == Status.RAN_ALL_EPOCHS).all()
    assert (runs.epochs == 2000).all()
    assert (runs.best().predict(X).ravel().round() == y).all()
    # the plateaus: two of four samples at one half, outputs 1/3, 1/3, 1, 1/3, or all at one half
    stuck = runs.loss[runs.accuracy < 1]
    plateaus = np.array([np.log(2) / 2, (np.log(3) + 2 * np.log(1.5)) / 4, np.log(2)])
    assert (np.abs(stuck[:, None] - plateaus).min(axis=1) < 0.002).mean() > 0.95


def test_loss_and_accuracy_are_those_of_the_final_weights(xor):
    arch, X, y = xor
    for settings in ({}, {"target_loss": 0.2}, {"batch_size": 3, "target_accuracy": 1.0}):
        runs = fastmlp.train(arch, X, y, n_nets=50, optimizer=SGD, epochs=300, dtype="float64", **settings)
        outputs = runs.predict(X)[:, :, 0]
        loss = -np.log(np.where(y == 1, outputs, 1 - outputs)).mean(axis=1)
        np.testing.assert_allclose(runs.loss, loss, rtol=1e-9)
        np.testing.assert_array_equal(runs.accuracy, ((outputs - 0.5) * (y - 0.5) > 0).mean(axis=1))


def test_target_loss_stops_at_the_first_epoch_that_reaches_it(xor):
    arch, X, y = xor
    recorded = fastmlp.train(arch, X, y, n_nets=60, optimizer=SGD, epochs=400, record_every=1)
    targets = np.linspace(0.05, 0.5, 60).astype(np.float32)
    runs = fastmlp.train(arch, X, y, n_nets=60, optimizer=SGD, epochs=400, target_loss=targets, record_every=1)
    below = recorded.history <= targets[:, None]
    first = np.where(below.any(axis=1), below.argmax(axis=1), 400)
    np.testing.assert_array_equal(runs.epochs, first)
    np.testing.assert_array_equal(runs.status == Status.REACHED_TARGET, below.any(axis=1))
    assert 5 < below.any(axis=1).sum() < 60
    for net in range(60):
        np.testing.assert_array_equal(runs.history[net, : first[net] + 1], recorded.history[net, : first[net] + 1])
        assert np.isnan(runs.history[net, first[net] + 1 :]).all()
    assert bits(recorded.loss) == bits(recorded.history[:, -1].copy())


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
@pytest.mark.parametrize("n_samples", [4, 37, 600])
def test_target_loss_stops_as_early_where_the_loss_is_not_recorded(output, n_samples):
    """Then a bound of the loss decides whether it need be known; for 4, 37 and 600 samples in different kernels."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, 3)), rng.integers(0, 2, n_samples)
    X[:, 0] += 2 * y
    arch = fastmlp.Architecture((3, 5, 2 if output == "softmax" else 1), output=output)
    settings = {"n_nets": 40, "optimizer": fastmlp.Adam(0.02), "epochs": 60, "target_loss": np.linspace(0.01, 0.6, 40)}
    recorded, runs = (fastmlp.train(arch, X, y, **settings, record_every=every) for every in (1, None))
    assert bits(recorded.parameters) == bits(runs.parameters)
    assert bits(recorded.loss) == bits(runs.loss)
    np.testing.assert_array_equal(recorded.epochs, runs.epochs)
    assert 5 < (runs.status == Status.REACHED_TARGET).sum() < 40


@pytest.mark.parametrize("y", [[0, 1, 1, 0], [0.1, 0.8, 0.9, 0.3], [0.5, 0.5, 0.6, 0.0]])
def test_the_kernel_of_xor_stops_as_early_as_where_the_loss_is_recorded(y, xor):
    """Its own bound of the loss takes each target for 0 or 1, whichever is nearer."""
    arch, X, _ = xor
    y = np.array(y, dtype=float)
    least = -np.mean(y * np.log(np.maximum(y, 1e-9)) + (1 - y) * np.log(np.maximum(1 - y, 1e-9)))
    settings = {
        "n_nets": 60,
        "optimizer": fastmlp.SGD(1.0),
        "epochs": 300,
        "target_loss": least + np.geomspace(0.002, 0.3, 60),
    }
    recorded, runs = (fastmlp.train(arch, X, y, **settings, record_every=every) for every in (1, None))
    assert bits(recorded.parameters) == bits(runs.parameters)
    np.testing.assert_array_equal(recorded.epochs, runs.epochs)
    assert 10 < (runs.status == Status.REACHED_TARGET).sum() < 60


@pytest.mark.parametrize(("n_samples", "kernel"), [(2, None), (20, "lanes"), (20, "units")])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_small_target_losses_are_seen_at_the_same_epoch(n_samples, kernel, output):
    """An output next to 1 is rounded so coarsely that |o - t| may exceed the loss."""
    X = np.resize([1.0, -1.0], (n_samples, 1))
    arch = fastmlp.Architecture((1, 2 if output == "softmax" else 1), output=output, bias=False)
    targets = np.geomspace(3e-8, 1e-4, 50)
    weight = -np.log(1.5 * targets)[:, None, None]
    weight = np.concatenate([-weight, weight], axis=2) / 2 if output == "softmax" else weight
    settings = {
        "n_nets": 50,
        "optimizer": fastmlp.SGD(0.05 / targets),
        "epochs": 40,
        "target_loss": targets,
        "kernel": kernel,
        "init": ([weight], []),
    }
    recorded, runs = (
        fastmlp.train(arch, X, (X[:, 0] > 0).astype(int), **settings, record_every=every) for every in (1, None)
    )
    np.testing.assert_array_equal(recorded.epochs, runs.epochs)
    assert len(set(runs.epochs.tolist())) > 1
    assert (runs.status == Status.REACHED_TARGET).sum() > 25


def minibatch_losses(arch, X, y, epochs, **settings):
    """Each epoch's mean of the losses of two halves of the samples, before their updates, and the weights' own after."""
    start = fastmlp.train(arch, X, y, epochs=0, **settings)
    means, own, init = [], [], (start.weights, start.biases)
    for _ in range(epochs):
        losses = []
        for half in (slice(0, 2), slice(2, 4)):
            losses.append(fastmlp.train(arch, X[half], y[half], epochs=0, init=init, **settings).loss)
            after = fastmlp.train(arch, X[half], y[half], epochs=1, init=init, **settings)
            init = after.weights, after.biases
        means.append(np.mean(losses, axis=0))
        own.append(fastmlp.train(arch, X, y, epochs=0, init=init, **settings).loss)
    return np.array(means), np.array(own)


def test_rules_judge_minibatches_by_their_losses_before_the_updates(xor):
    arch, X, y = xor
    settings = {"n_nets": 40, "optimizer": SGD, "dtype": "float64"}
    means, own = minibatch_losses(arch, X, y, 150, **settings)
    runs = fastmlp.train(
        arch, X, y, epochs=150, batch_size=2, shuffle=False, target_loss=0.2, patience=7, tol=1e-3, **settings
    )
    wanted = dict.fromkeys(Status, 0)
    for net in range(40):
        best, waited, epochs, status = np.inf, 0, 150, Status.RAN_ALL_EPOCHS
        for epoch in range(149):
            mean = means[epoch, net]
            waited = 0 if mean < best and mean <= best - 1e-3 else waited + 1
            best = min(best, mean)
            if mean <= 0.2 and own[epoch, net] <= 0.2:
                epochs, status = epoch + 1, Status.REACHED_TARGET
                break
            if waited >= 7:
                epochs, status = epoch + 1, Status.STALLED
                break
        else:
            status = Status.REACHED_TARGET if own[149, net] <= 0.2 else status
        assert (runs.epochs[net], runs.status[net]) == (epochs, status)
        np.testing.assert_allclose(runs.loss[net], own[epochs - 1, net], rtol=1e-12)
        wanted[status] += 1
    assert wanted[Status.REACHED_TARGET] > 3
    assert wanted[Status.STALLED] > 3


def test_patience_counts_epochs_without_a_fall_of_tol(xor):
    arch, X, y = xor
    settings = {"n_nets": 40, "optimizer": SGD, "epochs": 200, "record_every": 1}
    curves = fastmlp.train(arch, X, y, **settings).history
    runs = fastmlp.train(arch, X, y, **settings, patience=7, tol=1e-3)
    for net, curve in enumerate(curves):
        best, waited, stop = np.inf, 0, 200
        for epoch, loss in enumerate(curve):
            waited = 0 if loss < best and loss <= np.float32(best) - np.float32(1e-3) else waited + 1
            best = min(best, loss)
            if waited >= 7 and epoch < 200:
                stop = epoch
                break
        assert runs.epochs[net] == stop
        assert (runs.status[net] == Status.STALLED) == (stop < 200)
    assert (runs.status == Status.STALLED).sum() > 3


def test_patience_sees_that_a_large_loss_does_not_fall():
    """A loss so large that subtracting tol does not change it in float32, of a net whose units are all silent."""
    arch = fastmlp.Architecture((1, 2, 1), output="identity")
    start = ([[[[-1.0, -1.0]]], [[[1.0], [1.0]]]], [[[-1.0, -1.0]], [[0.0]]])
    for tol in (1e-4, 0.0):
        runs = fastmlp.train(
            arch, [[1.0], [2.0]], [1e5, -1e5], init=start, optimizer=SGD, epochs=100, patience=5, tol=tol
        )
        assert runs.status[0] == Status.STALLED
        assert runs.epochs[0] == 5


def test_accuracy_is_defined_for_classes_alone():
    arch = fastmlp.Architecture((1, 2), output="softmax")
    soft = fastmlp.train(arch, [[1.0], [2.0]], [[0.25, 0.75], [5, -3]], loss="mse", epochs=1)
    assert np.isnan(soft.accuracy).all()
    hard = fastmlp.train(arch, [[1.0], [2.0]], [1, 1], loss="mse", epochs=500, optimizer=SGD)
    assert hard.accuracy[0] == 1


def test_target_accuracy_stops_when_every_sample_is_right(xor):
    arch, X, y = xor
    runs = fastmlp.train(arch, X, y, n_nets=100, optimizer=SGD, epochs=1000, target_accuracy=1.0)
    reached = runs.status == Status.REACHED_TARGET
    assert 40 < reached.sum() < 90
    assert (runs.accuracy[reached] == 1).all()
    assert (runs.accuracy[~reached] < 1).all()


def test_zero_epochs_measure_the_initial_weights(xor):
    arch, X, y = xor
    runs = fastmlp.train(arch, X, y, n_nets=3, epochs=0, record_every=5)
    assert (runs.epochs == 0).all()
    assert bits(runs.loss) == bits(runs.history[:, 0].copy())


def test_a_net_with_infinite_inputs_to_its_output_has_diverged():
    arch = fastmlp.Architecture((1, 1), output="identity")
    runs = fastmlp.train(arch, [[1e30]], [0.0], init=([[[[1e30]]]], [[[0.0]]]), epochs=3, optimizer="sgd")
    assert runs.status[0] == Status.DIVERGED
    assert runs.epochs[0] == 0
    assert runs.weights[0].item() == np.float32(1e30)
    with pytest.raises(ValueError, match="no net of .* has a finite loss"):
        runs.best()


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_every_thread_gets_as_many_nets(threads, xor):
    arch, X, y = xor

    def tiles_of_chunks(nets, epochs):
        job, _ = planned(
            architecture=arch,
            X=X,
            y=y,
            n_nets=nets,
            epochs=epochs,
            optimizer=SGD,
            threads=threads,
            seed=0,
            init="he_uniform",
            batch_size=None,
            l2=0.0,
        )
        chunks = unfinished_chunks(job, threads)
        assert [first for first, _ in chunks[1:]] == [stop for _, stop in chunks[:-1]]
        assert (chunks[0][0], chunks[-1][1]) == (0, nets)
        return [-(-(stop - first) // job.vectors.width) for first, stop in chunks]

    assert len(tiles_of_chunks(50, 1)) == 1  # where starting a thread would take longer
    few, many = tiles_of_chunks(64 * threads, 2000 * threads), tiles_of_chunks(10**6, 1000)
    assert len(few) >= threads
    assert len(few) % threads == 0
    assert len(set(few)) == 1
    assert len(many) >= 10 * threads
    assert len(set(many[:-1])) == 1


def test_nothing_recompiles_on_a_second_call(xor):
    arch, X, y = xor
    kernels = (epoch_loop.train_tiles, evaluation.predict_nets, tiles.draw, tiles.copy_out, tiles.compact)
    fastmlp.train(arch, X, y, n_nets=40, batch_size=2, target_loss=0.1, optimizer=SGD, kernel="lanes").predict(X)
    before = [len(kernel.dispatcher.signatures) for kernel in kernels]
    other = fastmlp.Architecture((3, 5, 2), "tanh", "softmax")
    settings = {"n_nets": 7, "optimizer": "adam", "l2": 0.1, "batch_size": 2, "kernel": "lanes"}
    fastmlp.train(other, np.eye(3), [0, 1, 1], **settings).predict(np.eye(3))
    assert [len(kernel.dispatcher.signatures) for kernel in kernels] == before


@pytest.mark.parametrize("sizes", [(2, 1), (2, 4, 1), (3, 5, 4, 2)])
def test_weights_come_out_as_they_went_in(sizes):
    rng = np.random.default_rng(0)
    for bias in (True, False):
        arch = fastmlp.Architecture(sizes, bias=bias, output="identity")
        weights = [rng.normal(size=(5, a, b)) for a, b in arch.shapes]
        biases = [rng.normal(size=(5, b)) for _, b in arch.shapes] if bias else []
        X = rng.normal(size=(6, sizes[0]))
        runs = fastmlp.train(arch, X, np.zeros((6, sizes[-1])), init=(weights, biases), epochs=0, dtype="float64")
        for given_array, out in zip(weights + biases, runs.weights + runs.biases, strict=True):
            assert bits(given_array) == bits(out)
        assert runs.weights_out_in[0].shape == (5, sizes[1], sizes[0])
        for net in range(5):
            a = X
            for layer, w in enumerate(weights):
                a = a @ w[net] + (biases[layer][net] if bias else 0)
                a = np.maximum(a, 0) if layer < len(weights) - 1 else a
            np.testing.assert_allclose(runs[net].predict(X), a, rtol=1e-12)


def test_softmax_prediction_sums_to_one_and_follows_the_classes():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(60, 2))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    runs = fastmlp.train(
        fastmlp.Architecture((2, 16, 3), output="softmax"), X, y, n_nets=8, optimizer=fastmlp.Adam(0.05), epochs=200
    )
    outputs = runs.predict(X)
    np.testing.assert_allclose(outputs.sum(axis=2), 1, rtol=1e-5)
    np.testing.assert_allclose((outputs.argmax(axis=2) == y).mean(axis=1), runs.accuracy, atol=1e-6)
    assert runs.accuracy.min() > 0.9
    mean = runs.predict(X, reduce="mean")
    assert mean.dtype == np.float64
    np.testing.assert_allclose(mean, outputs.mean(axis=0), rtol=1e-5)
    assert bits(runs.predict(X, threads=1)) == bits(outputs)


def test_subsets_are_runs_and_one_is_a_network(xor):
    arch, X, y = xor
    slopes = np.linspace(0, 0.3, 50)
    arch = fastmlp.Architecture((2, 4, 1), "leaky_relu", leaky_slope=slopes)
    runs = fastmlp.train(arch, X, y, n_nets=50, optimizer=SGD, epochs=300, record_every=100)
    outputs = runs.predict(X)
    for which in (runs.accuracy == 1.0, slice(3, 40, 5), np.array([7, 2, 2]), [4]):
        subset = runs[which]
        assert isinstance(subset, fastmlp.Runs)
        assert bits(subset.predict(X)) == bits(outputs[which])
        assert bits(subset.history) == bits(runs.history[which])
    net = runs[np.array(-1)]
    assert isinstance(net, fastmlp.Network)
    assert net.net_id == 49
    assert net.architecture.leaky_slope == slopes[-1]
    assert bits(net.predict(X)) == bits(outputs[-1])
    assert len(list(runs)) == 50
    assert "Runs(50 x 2-4-1, float32, loss" in repr(runs)
    assert "Network(2-4-1, net_id=49" in repr(net)
    for thing in (runs, net, arch, SGD):
        copy = pickle.loads(pickle.dumps(thing))
        assert repr(copy) == repr(thing)
    assert bits(pickle.loads(pickle.dumps(runs)).predict(X)) == bits(outputs)


def kinds_of_input(tmp_path):
    X = np.random.default_rng(3).integers(-3, 4, (12, 3)).astype(np.float64)
    mapped = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    mapped[:] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    return X, {
        "read-only": read_only,
        "Fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
        "reversed": X[::-1].copy()[::-1],
        "integer": X.astype(np.int32),
        "float16": X.astype(np.float16),
        "memory-mapped": mapped,
        "list": X.tolist(),
        "pandas": pd.DataFrame(X, columns=list("abc")),
        "big-endian": X.astype(">f8"),
    }


def test_inputs_of_every_kind_work_and_are_not_modified(tmp_path):
    X, kinds = kinds_of_input(tmp_path)
    y = (X[:, 0] > 0).astype(int)
    arch = fastmlp.Architecture((3, 4, 1))
    expected = bits(fastmlp.train(arch, X, y, epochs=5).parameters)
    for name, given_X in kinds.items():
        before = np.array(given_X, copy=True)
        targets = pd.Series(y.astype(bool)) if name == "pandas" else (y.tolist() if name == "list" else y)
        assert bits(fastmlp.train(arch, given_X, targets, epochs=5).parameters) == expected, name
        assert bits(np.array(given_X)) == bits(before), name


def test_progress_callback_and_early_end(xor):
    arch, X, y = xor
    seen = []

    def until_some(progress):
        seen.append(progress)
        return np.bool_(progress.net_epochs > progress.total_net_epochs / 4)

    runs = fastmlp.train(arch, X, y, n_nets=100_000, optimizer=SGD, epochs=1000, callback=until_some)
    assert seen[0].n_nets == 100_000
    assert [p.net_epochs for p in seen] == sorted(p.net_epochs for p in seen)
    counts = runs.counts()
    assert counts["interrupted"] > 0
    assert counts["ran_all_epochs"] > 0
    waiting = runs.status == Status.INTERRUPTED
    assert np.isnan(runs.loss[waiting]).all()
    start = fastmlp.train(arch, X, y, n_nets=100_000, epochs=0)
    untouched = waiting & (runs.epochs == 0)
    assert bits(runs.parameters[untouched]) == bits(start.parameters[untouched])
    done = []
    fastmlp.train(arch, X, y, n_nets=300, epochs=500, target_loss=0.2, optimizer=SGD, callback=done.append)
    assert done[-1].net_epochs == done[-1].total_net_epochs == 150_000


def test_an_error_in_the_callback_ends_training_and_is_raised(xor):
    arch, X, y = xor

    def fail(progress):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fastmlp.train(arch, X, y, n_nets=10_000, epochs=1000, callback=fail)


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("big", [False, True])
def test_ctrl_c_is_answered_within_half_a_second(xor, big, request):
    """Also in the middle of an epoch that takes longer than that."""
    # a shell starts what it puts in the background with interrupts ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    arch, X, y = xor
    settings = {"n_nets": 100_000, "epochs": 10**7, "kernel": "lanes"}
    if big:
        rng = np.random.default_rng(0)
        arch, X, y = fastmlp.Architecture((64, 64, 1)), rng.normal(size=(200_000, 64)), rng.integers(0, 2, 200_000)
        settings = {"n_nets": 64, "epochs": 10, "kernel": "lanes"}
    fastmlp.train(arch, X[:4], y[:4], n_nets=64, epochs=1, kernel="lanes")
    sent = []

    def interrupt():
        time.sleep(1.5)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(fastmlp.TrainingInterrupted) as caught:
        fastmlp.train(arch, X, y, **settings)
    answered = time.perf_counter() - sent[0]
    thread.join()
    assert isinstance(caught.value, KeyboardInterrupt)
    runs = caught.value.runs
    assert len(runs) == settings["n_nets"]
    assert (runs.status == Status.INTERRUPTED).any()
    assert np.isfinite(runs.parameters).all()
    assert answered < 0.5


def test_results_that_do_not_fit_are_refused_before_they_are_allocated(xor, monkeypatch):
    arch, X, y = xor
    monkeypatch.setattr(memory_limit, "available_bytes", lambda: 10 * 2**20)
    with pytest.raises(MemoryError, match=r"10,000,000 nets with 17 parameters need about .* MiB, 10 MiB are free"):
        fastmlp.train(arch, X, y, n_nets=10_000_000)
    runs = fastmlp.train(arch, X, y, n_nets=1000, epochs=1)
    with pytest.raises(MemoryError, match="reduce='mean'"):
        runs.predict(np.zeros((10_000, 2)))
    assert runs.predict(np.zeros((10_000, 2)), reduce="mean").shape == (10_000, 1)


def test_memory_is_known_here():
    assert memory_limit.available_bytes() > 2**20


def test_calls_from_many_threads_at_once(xor):
    arch, X, y = xor
    expected = bits(fastmlp.train(arch, X, y, n_nets=100, epochs=50).parameters)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(bits(fastmlp.train(arch, X, y, n_nets=100, epochs=50).parameters)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 6


def test_extreme_logits_give_finite_losses():
    arch = fastmlp.Architecture((1, 1))
    for logit in (1e4, -1e4, 3e38, -3e38, 88.0, -104.0):
        start = ([np.full((1, 1, 1), logit)], [np.zeros((1, 1))])
        right = fastmlp.train(arch, [[1.0]], [float(logit > 0)], init=start, epochs=0)
        wrong = fastmlp.train(arch, [[1.0]], [float(logit < 0)], init=start, epochs=0)
        assert right.loss[0] < 1e-37
        assert wrong.loss[0] == np.float32(abs(logit))
    arch = fastmlp.Architecture((1, 3), output="softmax")
    start = ([np.array([[[1e38, -1e38, 0.0]]])], [np.zeros((1, 3))])
    for target, loss in ((0, 0.0), (1, 2e38), (2, 1e38)):
        assert fastmlp.train(arch, [[1.0]], [target], init=start, epochs=0).loss[0] == np.float32(loss)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    nets=st.integers(1, 70),
    n=st.integers(1, 13),
    epochs=st.integers(0, 4),
    batch_size=st.one_of(st.none(), st.integers(1, 20)),
    dtype=st.sampled_from(["float32", "float64"]),
    optimizer=st.sampled_from(["sgd", "adam", "rmsprop", "rprop"]),
    threads=st.integers(1, 3),
)
def test_any_shape_and_options_give_results_of_the_right_shape(
    sizes, nets, n, epochs, batch_size, dtype, optimizer, threads
):
    arch = fastmlp.Architecture(sizes, output="identity")
    rng = np.random.default_rng(n)
    runs = fastmlp.train(
        arch,
        rng.normal(size=(n, sizes[0])),
        rng.normal(size=(n, sizes[-1])),
        n_nets=nets,
        epochs=epochs,
        batch_size=batch_size,
        dtype=dtype,
        optimizer=optimizer,
        threads=threads,
        record_every=2,
    )
    assert runs.parameters.shape == (nets, arch.n_parameters)
    assert runs.parameters.dtype == runs.loss.dtype == np.dtype(dtype)
    assert runs.history.shape == (nets, epochs // 2 + 1)
    assert (runs.epochs == epochs).all()
    assert np.isfinite(runs.loss).all()
    assert runs.predict(np.zeros((2, sizes[0]))).shape == (nets, 2, sizes[-1])


def test_import_leaves_heavy_packages_alone():
    code = (
        "import sys, numba; numbas = set(sys.modules); import fastmlp; "  # Numba imports SciPy where it is installed
        "names = {'tqdm', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'torch'}; "
        "print(sorted(names & set(sys.modules) - numbas))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ctrl_c_ends_a_prediction(xor, request):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    arch = fastmlp.Architecture((2, 4, 1))
    runs = fastmlp.train(arch, *xor[1:], n_nets=200_000, epochs=0)
    samples = np.random.default_rng(0).normal(size=(20_000, 2))
    runs[:100].predict(samples, reduce="mean")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begun = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        runs.predict(samples, reduce="mean")
    assert time.perf_counter() - begun < 1.0
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
