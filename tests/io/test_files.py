"""Files: what is saved comes back bit for bit, and nothing else is believed."""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("safetensors")
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

import fastmlp
from fastmlp import FileFormatError
from fastmlp._io import safetensors as _safetensors
from tests.support.data import DATA, SUPPORT

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)


def trained(**more):
    arch = more.pop("architecture", fastmlp.Architecture((3, 4, 1)))
    return fastmlp.train(arch, X, Y, n_nets=6, epochs=5, batch_size=8, seed=2**64 - 1, **more)


VARIANTS = {
    "plain": {},
    "float64, curves, state": {"dtype": "float64", "record_every": 2, "keep_state": True, "optimizer": "rmsprop"},
    "validation": {"validation": (X[:9], Y[:9]), "record_every": 1, "patience": 2},
    "slopes": {
        "architecture": fastmlp.Architecture((3, 4, 4, 1), ["leaky_relu", "tanh"], leaky_slope=np.arange(6) / 10)
    },
    "no biases, diverged": {
        "architecture": fastmlp.Architecture((3, 2), output="identity", bias=False),
        "loss": "mse",
        "optimizer": fastmlp.SGD([0.1, 1e30, 0.1, 1e30, 0.1, 0.1]),
    },
}
PER_NET = (
    "parameters",
    "loss",
    "accuracy",
    "epochs",
    "status",
    "net_ids",
    "history",
    "validation_score",
    "best_epoch",
    "validation_history",
    "validation_losses",
)


def make(name):
    more = dict(VARIANTS[name])
    if "diverged" in name:
        arch = more.pop("architecture")
        return fastmlp.train(arch, X, np.stack([Y, -Y], 1), n_nets=6, epochs=9, **more)
    return trained(**more)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_saved_comes_back(name, tmp_path):
    runs = make(name)
    path = tmp_path / "nets.safetensors"
    runs.save(path)
    again = fastmlp.load(path)
    assert isinstance(again, fastmlp.Runs)
    assert again.architecture == runs.architecture
    assert again.architecture.hidden == (
        runs.architecture.hidden
        if not isinstance(runs.architecture.hidden, str)
        else (runs.architecture.hidden,) * (runs.architecture.n_layers - 1)
    )
    for attribute in PER_NET:
        one, other = getattr(runs, attribute), getattr(again, attribute)
        assert (one is None and other is None) or (
            one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)
        )
    assert again.seed == runs.seed
    assert again.settings == runs.settings
    assert runs.settings["epochs"] == (9 if "diverged" in name else 5)
    if runs.state is not None:
        assert again.state.optimizer == "RMSprop"
        assert all(np.array_equal(a, b) for a, b in zip(again.state[1:], runs.state[1:], strict=True))
    network = runs[2]
    network.save(path)
    one = fastmlp.load(path)
    assert isinstance(one, fastmlp.Network)
    assert np.array_equal(one.predict(X), network.predict(X))
    assert (one.net_id, one.status, one.epochs) == (network.net_id, network.status, network.epochs)
    assert (one.seed, one.settings) == (runs.seed, runs.settings)


def test_settings_and_versions_are_for_the_record(tmp_path):
    rates = np.linspace(0.1, 0.2, 6)
    runs = trained(optimizer=fastmlp.SGD(rates, 0.5), l2=1e-3, init="torch", schedule=lambda epoch: 1.0)
    recorded = {
        "optimizer": "sgd",
        "optimizer.learning_rate": "an array",
        "optimizer.momentum": 0.5,
        "l2": 1e-3,
        "init": "torch",
        "batch_size": 8,
        "schedule": "a function",
        "shuffle": True,
        "target_loss": None,
    }
    assert recorded.items() <= runs.settings.items()
    assert runs[:2].settings == runs.settings
    runs.save(tmp_path / "nets")
    with safe_open(tmp_path / "nets", "numpy") as file:
        about = json.loads(file.metadata()["fastmlp"])
    assert recorded.items() <= about["settings"].items()
    assert set(about["versions"]) == {"fastmlp", "numba", "numpy"}


def test_anyone_can_read_it_and_training_goes_on_from_it(tmp_path):
    runs = trained(keep_state=True)
    runs.save(tmp_path / "a.safetensors")
    assert np.array_equal(load_file(tmp_path / "a.safetensors")["layers.1.weights"], runs.weights[1])
    arch = runs.architecture
    one, other = (
        fastmlp.train(arch, X, Y, epochs=4, batch_size=8, warm_start=before)
        for before in (runs, fastmlp.load(tmp_path / "a.safetensors"))
    )
    assert one.weights_sha256() == other.weights_sha256()


def test_no_net_and_weights_that_overflowed(tmp_path):
    path, runs = tmp_path / "a.safetensors", trained()
    runs[:0].save(path)
    assert len(fastmlp.load(path)) == 0
    runs.parameters[2, 3] = -np.inf
    runs.save(path)
    with pytest.raises(FileFormatError, match="allow_nonfinite=True"):
        fastmlp.load(path)
    assert np.isinf(fastmlp.load(path, allow_nonfinite=True).parameters[2, 3])


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "nets.safetensors"
    trained().save(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        trained(keep_state=True).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["nets.safetensors"]


# ----------------------------------------------------------------------------------------------- bad files


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "nets.safetensors"
    trained(record_every=1, keep_state=True).save(path)
    return path.read_bytes()


def split(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def refused(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as error:
        fastmlp.load(path)
    return str(error.value)


def changed(content, tensor=None, about=None, **entries):
    header, data = split(content)
    if about:
        metadata = json.loads(header["__metadata__"]["fastmlp"])
        metadata.update(about)
        header["__metadata__"]["fastmlp"] = json.dumps(metadata)
    if tensor:
        header[tensor].update(entries)
    return joined(header, data)


def test_structured_attacks_are_refused(tmp_path, whole):
    header, data = split(whole)
    text = json.dumps(header)
    huge = [2**62, 2**62, 4]
    cases = {
        "": "not a fastmlp file",
        "short": (whole[:4], "too few for a safetensors file"),
        "cut": (whole[:-1], "the file at"),
        "longer": (whole + b"\0", "the file at"),
        "a table": (b"size,colour\n" * 99, "not a fastmlp file"),
        "huge header": (struct.pack("<Q", 2**63) + whole[8:], "a header of"),
        "long header": (joined(header, data, 2**24 + 1), "a header of"),
        "not JSON": (joined(b"{" * 100_000, data), "not JSON"),
        "a list": (joined(b"[]", data), "not a JSON object"),
        "nested": (joined({"__metadata__": [[]] * 600_000}, data), "a header of"),
        "settings": (changed(whole, about={"settings": {"epochs": [1]}}), "the settings have epochs"),
        "many layers": (changed(whole, about={"sizes": [1] * 20_000, "hidden": ["relu"] * 19_998}), "20000 sizes"),
        "NaN": (joined(text.replace('"shape": [6]', '"shape": [NaN]', 1).encode(), data), "the number NaN"),
        "twice": (joined((text[:-1] + ', "loss": {}}').encode(), data), "duplicate key"),
        "overflow": (changed(whole, "loss", shape=huge), "does not fill"),
        "negative": (changed(whole, "loss", shape=[-6]), "shape"),
        "true": (changed(whole, "loss", shape=[True]), "shape"),
        "text": (changed(whole, "loss", shape="6"), "shape"),
        "dtype": (changed(whole, "loss", dtype="BF16"), "dtype"),
        "a list of dtypes": (changed(whole, "loss", dtype=[]), "dtype"),
        "slopes": (changed(whole, about={"leaky_slope": [0.1, 0.2]}), "leaky_slope"),
        "overlap": (changed(whole, "loss", data_offsets=[0, 24]), "overlap or leave holes"),
        "other shape": (changed(whole, "layers.0.weights", shape=[6, 4, 3]), "needs float32 of shape"),
        "sizes": (changed(whole, about={"sizes": [3, 5, 1]}), "needs float32 of shape"),
        "many sizes": (changed(whole, about={"sizes": [10**9] * 5}), "describes no net"),
        "activation": (changed(whole, about={"hidden": ["swish"]}), "describes no net"),
        "loss of a type": (changed(whole, about={"bias": 1}), "bias=1"),
        "format": (changed(whole, about={"format": 3}), "install a newer"),
        "seed": (changed(whole, about={"seed": 2**64}), "seed="),
        "kind": (changed(whole, about={"kind": "network"}), "6 nets"),
        "sum": (changed(whole, about={"sha256": "0" * 64}), "checksum"),
        "flipped": (whole[:-1] + bytes([whole[-1] ^ 1]), "checksum"),
        "others": (to_bytes({"a": np.zeros(3)}), "no metadata"),
        "other metadata": (to_bytes({"a": np.zeros(3)}, {"x": "y"}), "no metadata of fastmlp"),
    }
    for name, case in cases.items():
        content, message = case if isinstance(case, tuple) else (b"", case)
        assert message in refused(tmp_path, content), name


def resigned(content, name, array):
    """The file with another array, and the checksum that goes with it."""
    header, data = split(content)
    begin, stop = header[name]["data_offsets"]
    data = data[:begin] + array.tobytes() + data[stop:]
    return _safetensors.signed(changed(joined(header, data), about={"sha256": _safetensors.NO_CHECKSUM}))


def test_numbers_that_make_no_sense_are_refused(tmp_path, whole):
    weights = np.zeros((6, 3, 4), np.float32)
    weights[4, 0, 0] = np.nan
    assert "net 4 has weights" in refused(tmp_path, resigned(whole, "layers.0.weights", weights))
    assert "status" in refused(tmp_path, resigned(whole, "status", np.full(6, 9, np.int8)))
    assert "out of range" in refused(tmp_path, resigned(whole, "state.powers", np.full((6, 2), -1.0)))
    assert "out of range" in refused(tmp_path, resigned(whole, "state.rate", np.full(6, np.inf, np.float32)))


def load_or_refuse(path, content):
    path.write_bytes(content)
    try:
        fastmlp.load(path)
    except FileFormatError:
        return
    except BaseException as error:  # anything else is what the test is after
        raise AssertionError(f"{type(error).__name__}: {error}") from error


@given(data=st.data())
@settings(max_examples=400, deadline=None, database=None)
def test_random_changes_are_refused_or_harmless(tmp_path_factory, whole, data):
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        kind, place = data.draw(st.integers(0, 3)), data.draw(st.integers(0, len(content) - 1))
        if kind == 0:
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == 1:
            content[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20))
        elif kind == 2:
            digits = [i for i in range(8, min(len(content), 2500)) if 48 <= content[i] < 58]
            if digits:
                content[digits[place % len(digits)]] = 48 + data.draw(st.integers(0, 9))
        else:
            del content[place:]
        if not content:
            break
    load_or_refuse(path, bytes(content))


FUZZER = SUPPORT / "fuzz_files.py"


@pytest.mark.slow
def test_two_hundred_thousand_random_changes():
    processes = [
        subprocess.Popen([sys.executable, str(FUZZER), "100000", str(seed)], stdout=-1, stderr=-1, text=True)
        for seed in (1, 2)
    ]
    for process in processes:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        assert 0 < json.loads(output)["loaded"] < 30_000


@pytest.mark.slow
def test_what_a_fuzzer_finds(tmp_path):
    pytest.importorskip("atheris")
    done = subprocess.run(
        [sys.executable, str(FUZZER), "--atheris", "100000"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "stat::number_of_executed_units: 100000" in done.stderr


# ------------------------------------------------------------------------------- every byte, every kind of path


def test_one_flipped_bit_anywhere_is_noticed(tmp_path, whole):
    """In the settings too: they are part of what the file says."""
    path = tmp_path / "nets.safetensors"
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(FileFormatError):
            fastmlp.load(path)


@pytest.mark.parametrize("name", ["runs", "network"])
def test_files_of_the_old_format_load_with_a_notice(name):
    path = DATA / f"{name}-format-1.safetensors"
    with pytest.warns(UserWarning, match="save the nets again"):
        found = fastmlp.load(path)
    assert found.architecture == fastmlp.Architecture((3, 4, 1), "leaky_relu")
    assert found.epochs == 5 if name == "network" else (found.epochs == 5).all()


def test_a_job_of_the_old_format_goes_on():
    X = np.random.Generator(np.random.PCG64(0)).integers(-8, 9, (24, 3)) / 4
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "job")
        path.write_bytes((DATA / "job-format-1").read_bytes())
        with pytest.warns(UserWarning, match="older fastmlp"), pytest.warns(UserWarning, match="bits_version=None"):
            runs = fastmlp.resume(path, X, y, validation=(X[:6], y[:6]))
        arch = fastmlp.Architecture((3, 4, 1), "leaky_relu")
        whole = fastmlp.train(arch, X, y, n_nets=4, epochs=6, batch_size=8, patience=3, validation=(X[:6], y[:6]))
        assert runs.weights_sha256() == whole.weights_sha256()
        assert len(fastmlp.resume(path, X, y, validation=(X[:6], y[:6]))) == 4  # without a notice now


def test_kinds_are_asked_for(tmp_path):
    runs = trained()
    runs.save(tmp_path / "runs")
    runs[0].save(tmp_path / "network")
    assert isinstance(fastmlp.load(tmp_path / "runs", kind="runs"), fastmlp.Runs)
    assert isinstance(fastmlp.load(tmp_path / "network", kind="network"), fastmlp.Network)
    with pytest.raises(FileFormatError, match="pass kind='network'"):
        fastmlp.load(tmp_path / "network", kind="runs")
    with pytest.raises(ValueError, match="kind='net' is not known"):
        fastmlp.load(tmp_path / "network", kind="net")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_neither_read_nor_replaced(kind, tmp_path):
    path = tmp_path / "place"
    if kind == "folder":
        path.mkdir()
    elif kind == "socket":
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
    elif kind == "device":
        path.symlink_to(os.devnull)
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe") if kind.startswith("link") else (tmp_path / "pipe").rename(path)
    before = path.stat().st_mode
    for read in (fastmlp.load, lambda place: fastmlp.resume(place, X, Y)):
        with pytest.raises(FileFormatError, match="folder|a pipe, a socket or a device"):
            read(path)
    runs = trained()
    for save in (runs.save, runs[0].save):
        with pytest.raises(ValueError, match="needs the path of a"):
            save(path)
    with pytest.raises(ValueError, match="checkpoint="):
        fastmlp.train(runs.architecture, X, Y, checkpoint=path)
    assert path.stat().st_mode == before
    if kind == "socket":
        server.close()


@pytest.mark.parametrize("length", [1, 200, 250, 255])
def test_names_as_long_as_a_file_system_allows(length, tmp_path):
    path = tmp_path / ("n" * length)
    trained().save(path)
    assert len(fastmlp.load(path)) == 6
    assert len(os.listdir(tmp_path)) == 1


SAVING = """
import sys, fastmlp
runs = fastmlp.load(sys.argv[1])
for _ in range(150):
    runs.save(sys.argv[2])
"""


def test_processes_that_save_to_one_path_do_each_other_no_harm(tmp_path):
    runs = trained()
    runs.save(tmp_path / "source")
    command = [sys.executable, "-c", SAVING, str(tmp_path / "source"), str(tmp_path / "target")]
    processes = [subprocess.Popen(command, stderr=-1, text=True) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert fastmlp.load(tmp_path / "target").weights_sha256() == runs.weights_sha256()
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_what_another_process_holds_is_no_leftover(tmp_path):
    """A process in another container, which this one cannot see, may have the number of one that has ended."""
    fcntl = pytest.importorskip("fcntl")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held = tmp_path / f"{_safetensors._own_prefix()}{ended.pid}-0123abcd.partial"
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        trained().save(tmp_path / "nets")
        assert held.exists()
    trained().save(tmp_path / "nets")
    assert not held.exists()


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    prefix = _safetensors._own_prefix()
    names = [f"{prefix}{ended.pid}-0123abcd.partial", f"{prefix}{os.getpid()}-0123abcd.partial", ".other.partial"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    trained().save(tmp_path / "nets")
    assert sorted(os.listdir(tmp_path)) == sorted(["nets", *names[1:]])
