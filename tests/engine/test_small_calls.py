"""Small calls: memory that is kept between them never shows in an answer."""

import os
import re
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import compiling, predict
from fastmlp._engine.compiling import compile_apart
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.kept import Kept
from fastmlp._simd.jit import code_for
from fastmlp.training.runner import Runner
from tests.support.cases import planned, random_job
from tests.support.data import bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5))
ARCH = fastmlp.Architecture((5, 9, 3), "tanh", "softmax")


def nets(n=6, dtype="float32", arch=ARCH):
    return fastmlp.train(arch, X, np.arange(200) % 3, n_nets=n, epochs=2, dtype=dtype)


def unkept(monkeypatch, runs, samples, reduce=None):
    """Predictions on threads, in memory of their own."""
    with monkeypatch.context() as patched:
        patched.setattr(predict, "SMALL_CALL", 0)
        return runs.predict(samples, reduce=reduce)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_small_predictions_have_the_bits_of_large_ones(monkeypatch, n, dtype):
    runs = nets(n, dtype)
    for n_samples in (1, 3, 112, 113, 1, 200):
        few = X[:n_samples]
        assert bits(runs.predict(few)) == bits(unkept(monkeypatch, runs, few))
        mean = runs.predict(few, reduce="mean")
        assert bits(mean) == bits(unkept(monkeypatch, runs, few, "mean"))
    assert bits(runs[0].predict(X)) == bits(runs.predict(X)[0])


def test_the_mean_has_the_same_bits_on_any_number_of_threads(monkeypatch):
    runs = fastmlp.train(fastmlp.Architecture((5, 4, 1)), X, np.arange(200) % 2, n_nets=3000, epochs=1, dtype="float64")
    monkeypatch.setattr(predict, "SMALL_CALL", 0)
    means = [bits(runs.predict(X[:7], reduce="mean", threads=threads)) for threads in (1, 2, 3, 7, 8)]
    assert len(set(means)) == 1


def test_weights_that_are_changed_in_place_are_seen():
    net = nets(1)[0]
    before = net.predict(X[:1])
    net.weights[1][...] = 0
    net.biases[1][...] = 0
    assert np.array_equal(net.predict(X[:1]), np.full((1, 3), 1 / 3, np.float32))
    assert not np.array_equal(before, net.predict(X[:1]))


def test_slopes_that_are_changed_are_seen():
    slopes = np.array([0.0, 0.5])
    arch = fastmlp.Architecture((5, 9, 1), "leaky_relu", "identity", leaky_slope=slopes)
    runs = fastmlp.train(arch, X, X[:, 0], n_nets=2, epochs=0, init=fastmlp.Normal(1.0))
    outputs = [runs.predict(X[:1])]
    for slope in (0.0, 0.5, 0.0):
        other = fastmlp.Architecture((5, 9, 1), "leaky_relu", "identity", leaky_slope=slope)
        outputs.append(predict.predict(other, runs.parameters, X[:1]))
    assert np.array_equal(outputs[0][0], outputs[1][0])
    assert np.array_equal(outputs[0][1], outputs[2][1])
    assert np.array_equal(outputs[1], outputs[3])


def test_a_call_within_a_call_has_memory_of_its_own(monkeypatch):
    """As a signal handler may do, between writing the inputs and running the kernel."""
    monkeypatch.setattr(predict, "_KEPT", Kept())
    net, other = nets(2)
    right, wanted = net.predict(X[:1]), other.predict(X[1:2])
    (key,) = predict._KEPT._objects
    forward = predict._KEPT.take(key)
    code, inner = forward._code, []

    def interrupted(*arguments):
        forward._code = code
        inner.append(other.predict(X[1:2]))
        code(*arguments)

    forward._code = interrupted
    predict._KEPT.give(key, forward)
    assert np.array_equal(net.predict(X[:1]), right)
    assert np.array_equal(inner[0], wanted)


def test_ten_thousand_predictions_from_eight_threads_and_after_a_fork():
    runs = nets(8)
    rows = [[X[k : k + 1 + k % 3] for k in range(8)] for _ in range(8)]
    right = [[net.predict(few) for few in rows[k]] for k, net in enumerate(runs)]
    wrong, before = [], threading.active_count()

    def work(k, n=1250):
        for i in range(n):
            if not np.array_equal(runs[k].predict(rows[k][i % 8]), right[k][i % 8]):
                wrong.append((k, i))

    def work_on_all(n=1250):
        threads = [threading.Thread(target=work, args=(k, n)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    work_on_all(50)
    resource = pytest.importorskip("resource")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work_on_all()
    assert not wrong
    assert threading.active_count() <= before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 5000  # KiB
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of threads in the parent
        child = os.fork()
    if child == 0:
        work_on_all(100)
        big = np.array_equal(runs.predict(np.tile(X, (200, 1)), threads=2)[:, :200], runs.predict(X))
        os._exit(0 if not wrong and big else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_kept_is_bounded_and_lent_once():
    kept = Kept(most_keys=2, most_of_a_key=2)
    for key in "abc":
        for number in range(3):
            kept.give(key, (key, number))
    assert kept.take("a") is None
    assert [kept.take("c") for _ in range(3)] == [("c", 1), ("c", 0), None]
    assert kept.take("b") == ("b", 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_code_of_a_plan_is_that_of_its_arguments(monkeypatch, seed):
    """`ExecutionPlan.call` looks at the types of the first call's arguments alone."""
    call, looked_at = ExecutionPlan.call, []

    def checked(plan, kernel, *arguments, variant=None):
        result = call(plan, kernel, *arguments, variant=variant)
        looked_at.append(kernel)
        assert plan.codes[kernel, variant] is code_for(kernel, arguments)
        return result

    monkeypatch.setattr(ExecutionPlan, "call", checked)
    rng = np.random.default_rng(seed)
    for _ in range(12):
        job, runs = planned(**random_job(rng))
        runner = Runner(job, runs, 2)
        runner.compile()
        runner.run()
    y = np.arange(200) % 3
    for keywords in ({"keep_state": True}, {"dropout": 0.2}, {"validation": (X, y)}, {"shuffle": "by_net"}):
        runs = fastmlp.train(ARCH, X, y, n_nets=3, epochs=2, batch_size=50, **keywords)
    fastmlp.train(ARCH, X, y, epochs=2, warm_start=runs)
    fastmlp.loss_and_gradients(ARCH, runs.weights, runs.biases, X, y)
    assert len(set(map(id, looked_at))) >= 6


def test_short_jobs_run_in_the_calling_thread_with_the_bits_of_others(monkeypatch):
    from fastmlp.training import runner

    y, seen = np.arange(200) % 3, []
    keywords = {"epochs": 6, "batch_size": 50, "validation": (X[:50], y[:50]), "record_every": 2, "dropout": 0.1}
    for few in (0, 1):
        short = fastmlp.train(
            ARCH, X, y, seed=few, callback=lambda _: seen.append(threading.current_thread()), **keywords
        )
        assert set(seen) == {threading.current_thread()}
        with monkeypatch.context() as patched:
            patched.setattr(runner, "SHORT_SECONDS", -1.0)
            long = fastmlp.train(ARCH, X, y, seed=few, **keywords)
        for name in ("parameters", "loss", "history", "validation_history", "epochs", "status"):
            assert bits(getattr(short, name)) == bits(getattr(long, name)), name


def test_an_interrupt_of_a_short_job_brings_its_nets(usual_handlers):
    with pytest.raises(fastmlp.TrainingInterrupted) as caught:
        fastmlp.train(ARCH, X, np.arange(200) % 3, epochs=2, callback=lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert np.isfinite(caught.value.runs.parameters).all()
    assert caught.value.signal == signal.SIGINT
    with pytest.raises(ZeroDivisionError):
        fastmlp.train(ARCH, X, np.arange(200) % 3, epochs=2, callback=lambda _: 1 / 0)


@pytest.mark.parametrize(("terminal", "progress"), [(True, False), (False, True), (False, False)])
def test_long_compilation_is_reported_on_a_terminal_or_with_progress(monkeypatch, terminal, progress):
    written, watched = [], terminal or progress

    def compiles():
        while watched and not written:  # until the first line is written, on however slow a machine
            time.sleep(0.001)

    monkeypatch.setattr(compiling, "_is_terminal", lambda: terminal)
    monkeypatch.setattr(compiling, "_write", written.append)
    monkeypatch.setattr(compiling, "PATIENT_SECONDS", 60.0)
    compile_apart([lambda: None], progress)
    assert not written
    monkeypatch.setattr(compiling, "PATIENT_SECONDS", 0.01)
    compile_apart([compiles], progress)
    assert len(written) == (2 if watched else 0)
    if watched:
        assert "compiling kernels" in written[0]
        assert re.fullmatch(r"\d+\.\d s\n", written[1])
