"""Systems that cannot be tried here: everything works, to the same bits, where what Linux has is missing."""

import importlib.util
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastmlp
from fastmlp._engine import contention
from fastmlp._engine.memory_limit import available_bytes
from fastmlp._io import safetensors
from tests.support.data import ROOT, XOR_X, XOR_Y

PROGRAM = """
import json, os, sys, tempfile
if sys.argv[1] == "bare":
    import tests.support.bare_system
import numpy as np
import fastmlp
from fastmlp.cli.main import main

def use():
    X = np.random.Generator(np.random.PCG64(0)).normal(size=(60, 5))
    y = (X[:, 0] > X[:, 1]).astype(int)
    arch, found = fastmlp.Architecture((5, 8, 1)), {}
    runs = fastmlp.train(arch, X, y, n_nets=40, epochs=20, batch_size=16, optimizer="adam", threads=2)
    found["many nets"] = runs.weights_sha256()
    wide = fastmlp.Architecture((5, 160, 160, 1))
    one = fastmlp.train(wide, np.tile(X, (20, 1)), np.tile(y, 20), epochs=30, batch_size=64, threads=2)
    found["a team"] = one.weights_sha256()
    folder = tempfile.mkdtemp()
    checkpoint, file = os.path.join(folder, "job"), os.path.join(folder, "nets")
    fastmlp.train(arch, X, y, n_nets=9, epochs=20, checkpoint=checkpoint)
    found["a checkpoint"] = fastmlp.resume(checkpoint, X, y).weights_sha256()
    runs.save(file)
    runs.save(file)
    found["a file"] = fastmlp.load(file).weights_sha256()
    os.chdir(folder)
    found["exit codes"] = [main(["info"]), main(["xor", "--restarts", "300", "--no-picture", "--epochs", "50"])]
    found["survey"] = fastmlp.survey(arch, X, y, n_nets=3000, epochs=20, folder=os.path.join(folder, "s")).to_json()
    found["diagnosis"] = runs.diagnose(X, y).counts()
    if sys.argv[2] == "all":
        main(["xor", "--restarts", "3e3", "--epochs", "50", "--executor", "processes", "--threads", "2"])
        model = fastmlp.MLPClassifier((4,), n_restarts=3, max_iter=5, random_state=0).fit(X, y)
        found["estimator"] = [net.tobytes().hex() for net in model.coefs_]
    print(json.dumps(found))

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    use()
"""


def outcome(system, what, folder):
    path = folder / f"{system}.py"
    path.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(path), system, what],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("what", ["most", pytest.param("all", marks=pytest.mark.slow)])
def test_the_same_bits_without_what_linux_has(tmp_path, what):
    bare = outcome("bare", what, tmp_path)
    assert bare["exit codes"] == [0, 0]
    assert bare == outcome("usual", what, tmp_path)


def test_without_sigterm_ctrl_c_is_left(monkeypatch):
    """In a copy of the module, so that the one in use stays as it is."""
    monkeypatch.delattr(signal, "SIGTERM", raising=False)
    spec = importlib.util.find_spec("fastmlp._engine.interrupts")
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert copy.SIGTERM is None
    assert copy.STOP_SIGNALS == (signal.SIGINT,)
    with copy.Stopping() as stopping:
        assert stopping.received is None


def test_free_memory_may_be_unknown(monkeypatch):
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert available_bytes() is None
    assert len(fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, n_nets=20_000, epochs=1)) == 20_000


def test_files_are_moved_closed_where_open_ones_cannot_be(monkeypatch, tmp_path):
    runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, n_nets=3, epochs=1)
    monkeypatch.setattr(safetensors, "MOVES_OPEN_FILES", False)
    for _ in range(2):
        runs.save(tmp_path / "nets")
    assert [path.name for path in tmp_path.iterdir()] == ["nets"]
    assert np.array_equal(fastmlp.load(tmp_path / "nets").parameters, runs.parameters)


def test_a_clock_of_coarse_ticks_tells_nothing_about_short_slices(monkeypatch):
    """Windows: a slice of 100 ms may seem to have run for none of it."""
    monkeypatch.setattr(contention, "SHORT_SECONDS", 0.5)
    team = contention.Contention()
    for _ in range(5):
        team.note(0.1, [1.0, 0.0])
    assert team.members(2) == 2
