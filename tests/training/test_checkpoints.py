"""Jobs that are stopped, killed and taken up again, to the bits that they would have had."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastmlp
from fastmlp import FileFormatError, Status
from fastmlp._engine import chunk_trainer, chunks
from fastmlp._engine.chunk_trainer import ChunkTrainer
from fastmlp._engine.pacing import Pace, Pacing
from fastmlp._io import safetensors
from fastmlp.training import checkpoint as _checkpoints
from tests.support.cases import random_job
from tests.support.data import XOR_X, XOR_Y, bits

ARRAYS = (
    "parameters",
    "loss",
    "accuracy",
    "epochs",
    "status",
    "history",
    "validation_score",
    "best_epoch",
    "validation_history",
    "validation_losses",
)


def assert_same(one, other):
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        assert a is None or bits(a) == bits(b), name
    assert (one.state is None) == (other.state is None)
    if one.state is not None:
        assert all(
            np.array_equal(a, b, equal_nan=a is not one.state.optimizer)
            for a, b in zip(one.state[1:], other.state[1:], strict=True)
        )


@pytest.fixture
def short_slices(monkeypatch):
    """Slices of one epoch, so that small jobs have many moments to stop at."""
    monkeypatch.setattr(Pacing, "first", lambda *_: Pace(1, 1))
    monkeypatch.setattr(Pacing, "next", lambda *_, **__: Pace(1, 1))
    monkeypatch.setattr(chunks, "_chunk_size", lambda job, _: 2 * job.vectors.width)


def any_job(rng):
    """Any job at all: every option that bits depend on."""
    settings = random_job(rng, max_nets=80)
    nets, n, epochs = settings["n_nets"], len(settings["X"]), int(rng.integers(0, 12))
    settings["epochs"] = epochs
    if rng.random() < 0.6:
        settings["init"] = str(rng.choice(["he_uniform", "glorot_normal", "torch"]))
        settings["net_ids"] = rng.integers(0, 2**40) + np.arange(nets)
        settings["n_nets"] = None
    settings["bootstrap"] = bool(rng.random() < 0.2) and np.ndim(settings["sample_weight"]) < 2
    settings["record_every"] = [None, 1, 3][rng.integers(3)]
    settings["target_loss"] = [None, 0.5, rng.uniform(0, 1, nets)][rng.integers(3)]
    settings["patience"] = [None, 2, rng.integers(1, 5, nets)][rng.integers(3)]
    settings["keep_state"] = bool(rng.random() < 0.3)
    if not isinstance(settings["optimizer"], fastmlp.Rprop):
        schedules = [None, lambda epoch: 0.9**epoch, rng.uniform(0, 1, epochs)]
        if settings["patience"] is not None:
            schedules.append("adaptive")
        settings["schedule"] = schedules[rng.integers(len(schedules))]
    if rng.random() < 0.3:
        rows = rng.integers(0, n, max(1, n // 2))
        settings["validation"] = (settings["X"][rows], settings["y"][rows])
        settings["restore_best"] = bool(rng.random() < 0.7)
    if rng.random() < 0.1 and not np.ndim(settings["sample_weight"]):
        settings["shuffle"] = "by_net"
    return settings


def stop_after(reports):
    """A callback that ends training after `reports` reports."""
    left = [reports]

    def callback(_progress):
        left[0] -= 1
        return left[0] < 0

    return callback


def data_of(settings):
    names = ("X", "y", "sample_weight", "validation")
    data = {name: settings.get(name) for name in names}
    if callable(settings.get("schedule")):
        data["schedule"] = settings["schedule"]
    return data


@pytest.mark.parametrize("seed", [*range(25), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(25, 200))])
def test_stopped_and_resumed_is_in_one_go(seed, tmp_path, short_slices):
    rng = np.random.default_rng(seed)
    settings = any_job(rng)
    whole = fastmlp.train(**settings)
    path = tmp_path / "job"
    fastmlp.train(
        **settings,
        checkpoint=path,
        checkpoint_every=[0.001, 60][rng.integers(2)],
        threads=int(rng.integers(1, 4)),
        callback=stop_after(int(rng.integers(0, 12))),
    )
    stops, ended = 0, False
    while not ended:
        callback = stop_after(int(rng.integers(1, 12))) if stops < 3 else None
        kernel = None if settings["shuffle"] == "by_net" else [None, "lanes", "units"][rng.integers(3)]
        runs = fastmlp.resume(
            path,
            **data_of(settings),
            threads=int(rng.integers(1, 4)),
            kernel=kernel,
            callback=callback,
            checkpoint_every=[0.001, 60][rng.integers(2)],
        )
        ended = not (runs.status == Status.INTERRUPTED).any()
        stops += 1
    assert_same(runs, whole)
    assert_same(fastmlp.resume(path, **data_of(settings)), whole)


def test_a_warm_start_is_resumed_too(tmp_path, short_slices):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    settings = {"batch_size": 8, "optimizer": fastmlp.Adam(0.01), "keep_state": True}
    first = fastmlp.train(fastmlp.Architecture((3, 5, 1)), X, y, n_nets=70, epochs=4, **settings)
    whole = fastmlp.train(first.architecture, X, y, epochs=200, warm_start=first, **settings)
    path = tmp_path / "job"
    part = fastmlp.train(
        first.architecture, X, y, epochs=200, warm_start=first, **settings, checkpoint=path, callback=stop_after(3)
    )
    assert (part.status == Status.INTERRUPTED).any()
    runs = fastmlp.resume(path, X, y)
    assert_same(runs, whole)
    assert (runs.epochs == 204).all()


def job(path, **changes):
    return {
        "architecture": fastmlp.Architecture((2, 4, 1)),
        "X": XOR_X,
        "y": XOR_Y,
        "n_nets": 50,
        "epochs": 20,
        "checkpoint": path,
        **changes,
    }


def test_other_data_are_refused_by_name(tmp_path):
    path = tmp_path / "job"
    X, y, weight, held_out = XOR_X, XOR_Y, np.ones(4), (XOR_X[:2], XOR_Y[:2])
    fastmlp.train(**job(path, sample_weight=weight, validation=held_out), callback=lambda _: True)
    given = {"X": X, "y": y, "sample_weight": weight, "validation": held_out}
    for name, other in (
        ("X", X + 1),
        ("y", 1 - y),
        ("sample_weight", 2 * weight),
        ("validation", (XOR_X[:2], XOR_Y[1:3])),
    ):
        with pytest.raises(ValueError, match=f"{name} differs from that of the job"):
            fastmlp.resume(path, **{**given, name: other})
    with pytest.raises(ValueError, match="job has validation data"):
        fastmlp.resume(path, X, y, sample_weight=weight)
    assert (fastmlp.resume(path, **given).status != Status.INTERRUPTED).all()


def test_a_function_of_a_schedule_is_asked_for(tmp_path):
    path = tmp_path / "job"
    fastmlp.train(**job(path, schedule=lambda epoch: 0.5), callback=lambda _: True)
    with pytest.raises(ValueError, match=r"schedule=None: needs schedule, the function"):
        fastmlp.resume(path, XOR_X, XOR_Y)
    fastmlp.resume(path, XOR_X, XOR_Y, schedule=lambda epoch: 0.5)
    other = tmp_path / "other"
    fastmlp.train(**job(other), callback=lambda _: True)
    with pytest.raises(ValueError, match="needs no schedule"):
        fastmlp.resume(other, XOR_X, XOR_Y, schedule=lambda epoch: 0.5)


def test_a_checkpoint_is_not_overwritten_and_says_what_it_is(tmp_path):
    path = tmp_path / "job"
    runs = fastmlp.train(**job(path))
    with pytest.raises(ValueError, match=r"exists already: continue it with fastmlp.resume"):
        fastmlp.train(**job(path))
    with pytest.raises(FileFormatError, match=r"an unfinished job: continue it with fastmlp.resume"):
        fastmlp.load(path)
    runs.save(tmp_path / "runs")
    with pytest.raises(FileFormatError, match=r"not a checkpoint, but 'runs': read it with fastmlp.load"):
        fastmlp.resume(tmp_path / "runs", XOR_X, XOR_Y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": 3}, "checkpoint=3: needs the path of a file"),
        ({"checkpoint": "nowhere/job"}, "there is no folder nowhere"),
        ({"checkpoint_every": 0}, "checkpoint_every=0: needs numbers of at least 0.001"),
        ({"checkpoint_every": [1, 2]}, "checkpoint_every"),
        ({"checkpoint_every": "often"}, "checkpoint_every"),
    ],
)
def test_bad_settings_are_refused(tmp_path, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.train(**job(tmp_path / "job", **changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, _: a["epochs"].__setitem__(0, 21), "out of the job's range"),
        (lambda a, _: a["epochs"].__setitem__(0, -1), "negative"),
        (lambda a, _: a["status"].__setitem__(0, 9), "unknown codes"),
        (lambda a, _: a["init.kinds"].__setitem__(0, 7), "out of range"),
        (lambda a, _: a["init.sizes"].__setitem__(0, 10**9), "not those of the net's layers"),
        (lambda a, _: a["init.first"].__setitem__(0, np.nan), "out of range"),
        (lambda a, _: a.pop("init.kinds"), "init.kinds"),
        (lambda a, _: a.update(other=a["loss"]), "other"),
        (lambda a, _: a.update({"state.rows": a["state.rows"][:1]}), "state.rows"),
        (lambda _, b: b.update(first_epoch=-1), "first_epoch"),
        (lambda _, b: b.update(data={}), "hash of the data"),
        (lambda _, b: b["settings"].pop("l2"), "l2"),
        (lambda _, b: b["settings"].update(optimizer="lion"), "lion"),
        (lambda _, b: b["settings"].update(loss=["bce"]), "loss"),
        (lambda _, b: b["settings"].update(epochs=True), "epochs"),
        (lambda _, b: b["settings"].update({"optimizer.beta1": 2.0}), "beta1"),
        (lambda _, b: b["settings"].update(epochs=2**31, record_every=1), "history"),
        (lambda _, b: b["settings"].update(record_every=0), "record_every=0"),
    ],
)
def test_changed_checkpoints_are_refused(tmp_path, change, message):
    path = tmp_path / "job"
    fastmlp.train(**job(path), callback=lambda _: True)
    arrays, about = safetensors.read(path, lambda *_: None)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(arrays, about)
    about.pop("sha256")
    safetensors.write(path, arrays, about)
    with pytest.raises(FileFormatError, match=message):
        fastmlp.resume(path, XOR_X, XOR_Y)


def interrupted(number, settings, monkeypatch, seconds=0.5):
    """The exception by which training ends when this signal comes `seconds` after it began, and how long that took."""
    sent, threads = [], []
    train_chunk = ChunkTrainer.train_chunk

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), number)

    def begin(self, *arguments):
        if not threads:
            threads.append(threading.Timer(seconds, send))
            threads[0].start()
        train_chunk(self, *arguments)

    monkeypatch.setattr(ChunkTrainer, "train_chunk", begin)
    with pytest.raises(fastmlp.TrainingInterrupted) as caught:
        fastmlp.train(**settings)
    answered = time.perf_counter()
    monkeypatch.undo()
    return caught.value, answered - sent[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("big", [False, True])
def test_signals_leave_a_checkpoint_behind(tmp_path, number, big, usual_handlers, monkeypatch):
    """Also in the middle of an epoch that takes longer than the time there is."""
    path = tmp_path / "job"
    settings = job(path, n_nets=5000, epochs=6000, batch_size=2)
    if big:
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(200_000, 64)), rng.integers(0, 2, 200_000)
        settings |= {
            "architecture": fastmlp.Architecture((64, 64, 1)),
            "X": X,
            "y": y,
            "n_nets": 32,
            "kernel": "lanes",
            "batch_size": 50_000,
        }
    fastmlp.train(
        **{**settings, "X": settings["X"][:4], "y": settings["y"][:4], "epochs": 1, "checkpoint": tmp_path / "warm"}
    )
    error, seconds = interrupted(number, settings, monkeypatch, seconds=0.5 if big else 0.2)
    assert seconds < 0.5
    assert error.signal == number
    assert error.checkpoint == path
    assert f"fastmlp.resume({str(path)!r}, X, y)" in str(error)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert (error.runs.status == Status.INTERRUPTED).any()
    if not big:
        runs = fastmlp.resume(path, XOR_X, XOR_Y)
        assert runs.weights_sha256() == fastmlp.train(**{**settings, "checkpoint": None}).weights_sha256()


def test_a_second_interrupt_leaves_at_once(usual_handlers, monkeypatch):
    train_chunk = ChunkTrainer.train_chunk

    def slow(self, chunk, team, report):
        train_chunk(self, chunk, team, report)
        time.sleep(3)

    def send():
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    fastmlp.train(**job(None, epochs=1))
    monkeypatch.setattr(ChunkTrainer, "train_chunk", slow)
    begun = time.perf_counter()
    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        fastmlp.train(**job(None, epochs=10**9))
    assert not isinstance(caught.value, fastmlp.TrainingInterrupted)
    assert time.perf_counter() - begun < 2
    thread.join()
    time.sleep(3)  # the threads that were left behind


def test_an_interrupt_while_kernels_are_compiled_leaves_at_once(tmp_path, usual_handlers, monkeypatch):
    monkeypatch.setattr(ChunkTrainer, "kernels", ("never compiled",))
    monkeypatch.setattr(ChunkTrainer, "call_every_kernel", lambda _: time.sleep(2))
    sent = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    begun = time.perf_counter()
    sent.start()
    with pytest.raises(KeyboardInterrupt, match=r"before training started; fastmlp.resume\(.*\) starts it"):
        fastmlp.train(**job(tmp_path / "job"))
    assert time.perf_counter() - begun < 0.8
    monkeypatch.undo()
    time.sleep(2)  # the thread that was left behind
    again = fastmlp.train(**job(None))
    assert fastmlp.resume(tmp_path / "job", XOR_X, XOR_Y).weights_sha256() == again.weights_sha256()


def test_handlers_of_the_program_are_left_alone(usual_handlers):
    came = []
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    try:
        fastmlp.train(**job(None), callback=lambda _: os.kill(os.getpid(), signal.SIGTERM))
        assert came
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_full_disk_in_the_middle_is_a_warning(tmp_path, monkeypatch, short_slices):
    path, written = tmp_path / "job", []
    write = safetensors.write

    def failing(*arguments):
        written.append(1)
        if 1 < len(written) < 4:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(_checkpoints, "write", failing)
    with pytest.warns(RuntimeWarning, match="could not be written, training goes on: .*No space left") as warned:
        runs = fastmlp.train(**job(path, epochs=5000), checkpoint_every=0.001)
    assert len(warned) == 1
    assert len(written) > 4
    assert_same(fastmlp.resume(path, XOR_X, XOR_Y), runs)


def test_a_first_checkpoint_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    def failing(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_checkpoints, "write", failing)
    monkeypatch.setattr(chunk_trainer, "train_tiles", lambda *_: pytest.fail("a kernel ran"))
    with pytest.raises(OSError, match="No space left"):
        fastmlp.train(**job(tmp_path / "job"))


def test_memory_that_runs_out_while_a_checkpoint_is_written_loses_nothing(tmp_path, monkeypatch, short_slices):
    path, written = tmp_path / "job", []
    write = safetensors.write

    def failing(*arguments):
        written.append(1)
        if len(written) > 1:
            raise MemoryError("no room for a copy")
        write(*arguments)

    monkeypatch.setattr(_checkpoints, "write", failing)
    with pytest.warns(RuntimeWarning, match="no room for a copy"):
        runs = fastmlp.train(**job(path), checkpoint_every=0.001)
    assert_same(runs, fastmlp.train(**job(None)))


def test_settings_of_every_kind_are_kept(tmp_path):
    class Own(fastmlp.SGD):
        pass

    with pytest.raises(ValueError, match="a checkpoint can hold only the library's optimizers"):
        fastmlp.train(**job(tmp_path / "own", optimizer=Own(0.1)))
    strange = {"target_loss": np.inf, "epochs": np.array(30), "record_every": np.int8(2), "shuffle": np.bool_(False)}
    path = tmp_path / "job"
    fastmlp.train(**job(path, **strange), callback=lambda _: True)
    assert_same(fastmlp.resume(path, XOR_X, XOR_Y), fastmlp.train(**job(None, **strange)))


def test_a_job_that_is_done_is_read_and_not_written(tmp_path, monkeypatch):
    path = tmp_path / "job"
    runs = fastmlp.train(**job(path))
    monkeypatch.setattr(_checkpoints, "write", lambda *_: pytest.fail("written"))
    assert_same(fastmlp.resume(path, XOR_X, XOR_Y), runs)


def test_an_interrupt_while_best_weights_are_put_back_is_reported_and_harmless(monkeypatch, usual_handlers):
    settings = job(None, n_nets=300, validation=(XOR_X, XOR_Y))
    monkeypatch.setattr(chunks, "_chunk_size", lambda job, _: job.vectors.width)
    whole = fastmlp.train(**settings)
    settle, came = ChunkTrainer.settle_chunk, []

    def slowly(self, *arguments):
        if not came:
            came.append(1)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
        settle(self, *arguments)

    monkeypatch.setattr(ChunkTrainer, "settle_chunk", slowly)
    with pytest.raises(fastmlp.TrainingInterrupted) as caught:
        fastmlp.train(**settings)
    assert_same(caught.value.runs, whole)


def test_a_callback_that_ends_training_leaves_a_state_to_go_on_from(short_slices):
    part = fastmlp.train(**job(None, epochs=10**6, keep_state=True), callback=stop_after(5))
    assert part.state.epoch == part.epochs.max() < 10**6


# What follows runs in processes of its own.

RESUMING = """
import json, sys
import numpy as np
import fastmlp
path, threads = sys.argv[1:]
data = np.load(path + ".npz")
runs = fastmlp.resume(path, data["X"], data["y"], threads=int(threads))
print(json.dumps([runs.weights_sha256(), (runs.status == fastmlp.Status.INTERRUPTED).any().item()]))
"""


def resumed_elsewhere(path, **environment):
    done = subprocess.run(
        [sys.executable, "-c", RESUMING, str(path), "3"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_resumed_on_a_narrower_instruction_set(tmp_path, short_slices):
    """The kernels' bits on others, and on Arm, are those of test_golden.py; files are the same everywhere."""
    interrupted_here_resumed_there(tmp_path, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES="")


def interrupted_here_resumed_there(tmp_path, **environment):
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 6)), rng.integers(0, 3, 60)
    settings = {
        "architecture": fastmlp.Architecture((6, 9, 3), output="softmax"),
        "X": X,
        "y": y,
        "n_nets": 90,
        "epochs": 40,
        "batch_size": 16,
        "dropout": 0.2,
        "patience": 9,
    }
    path = tmp_path / "job"
    np.savez(str(path) + ".npz", X=X, y=y)
    whole = fastmlp.train(**settings)
    part = fastmlp.train(**settings, checkpoint=path, callback=stop_after(30))
    assert (part.status == Status.INTERRUPTED).any()
    assert resumed_elsewhere(path, **environment) == [whole.weights_sha256(), False]


KILLING = """
import os, random, signal, sys, time
import numpy as np
import fastmlp
from fastmlp.training.checkpoint import load_checkpoint

folder, kills = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
X, y = rng.normal(size=(48, 4)), rng.integers(0, 2, 48)
settings = dict(architecture=fastmlp.Architecture((4, 6, 1)), X=X, y=y, n_nets=3000, epochs=400, batch_size=8,
                patience=40, tol=0.01, dropout=0.1)
expected = fastmlp.train(**settings).weights_sha256()
path = os.path.join(folder, "job")
moments, killed, finished = random.Random(0), 0, 0
while killed < kills:
    child = os.fork()
    if child == 0:
        try:
            if os.path.exists(path):
                runs = fastmlp.resume(path, X, y, checkpoint_every=0.01)
            else:
                runs = fastmlp.train(**settings, checkpoint=path, checkpoint_every=0.01)
            os._exit(0 if runs.weights_sha256() == expected else 3)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(4)
    time.sleep(moments.uniform(0, 0.6))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed += 1
        if os.path.exists(path):
            load_checkpoint(path)
    else:
        assert os.WEXITSTATUS(status) == 0, os.WEXITSTATUS(status)
        finished += 1
        os.unlink(path)
    assert len(os.listdir(folder)) <= 2, os.listdir(folder)
print(killed, finished)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_a_hundred_and_fifty_times(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLING, str(tmp_path), "150"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    killed, finished = map(int, done.stdout.split())
    assert killed == 150
    assert finished >= 2
