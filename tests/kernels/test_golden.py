"""The same golden hashes on AVX-512, AVX2, SSE2, 64-bit Arm, and without the JIT."""

import json
import os
import platform
import subprocess
import sys

import pytest

import fastmlp
from tests.support import golden
from tests.support.data import ROOT, SUPPORT
from tests.support.golden import FILE, JOBS, golden_hash

GOLDEN = json.loads(FILE.read_text())["hashes"]


def hashes_of(arguments=(), command=(sys.executable,), **environment):
    """What golden.py prints in a process of its own."""
    done = subprocess.run(
        [*command, str(SUPPORT / "golden.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kernel", [None, "units"])
@pytest.mark.parametrize("name", JOBS)
def test_golden_hash_on_this_processor(name, kernel):
    assert golden_hash(name, kernel) == GOLDEN[name]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor")
@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["haswell", "x86-64"])
def test_golden_hashes_on_narrower_instruction_sets(cpu):
    assert hashes_of(NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="") == GOLDEN


def test_the_hashes_are_those_of_this_version_of_the_bits():
    assert json.loads(FILE.read_text())["bits_version"] == fastmlp.BITS_VERSION


def test_changed_bits_need_another_version_of_the_bits(tmp_path, monkeypatch):
    """Otherwise files, checkpoints and surveys would go on with other bits and say nothing."""
    file, name = tmp_path / "golden.json", "xor sgd"
    file.write_text(FILE.read_text())
    golden.write({name: GOLDEN[name], "a new job": "0"}, file)
    with pytest.raises(SystemExit, match="the bits of xor sgd have changed: raise BITS_VERSION"):
        golden.write({name: "other"}, file)
    monkeypatch.setattr(fastmlp, "BITS_VERSION", fastmlp.BITS_VERSION + 1)
    golden.write({name: "other"}, file)
    written = json.loads(file.read_text())
    assert written == {"bits_version": fastmlp.BITS_VERSION, "hashes": GOLDEN | {name: "other", "a new job": "0"}}


def test_golden_hashes_without_the_jit():
    names = ["values rprop"]
    assert hashes_of(names, NUMBA_DISABLE_JIT="1", FASTMLP_LANES="8") == {name: GOLDEN[name] for name in names}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="emulates on x86-64 Linux")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_hashes_on_emulated_arm(dtype, arm_cache):
    script = SUPPORT / "arm64-python"
    probe = subprocess.run([str(script), "-c", "import numba"], capture_output=True, text=True, check=False)
    if probe.returncode == 77:
        pytest.skip(probe.stderr.strip().splitlines()[-1])
    assert probe.returncode == 0, probe.stderr
    # one job for each kernel that is compiled: settings are read at run time, so others would prove nothing more
    names = {
        "float32": ("xor sgd", "classes float32", "counts, dropout, validation", "activations"),
        "float64": ("classes float64",),
    }
    expected = {name: GOLDEN[name] for name in names[dtype]}
    environment = {"PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(arm_cache)}
    assert hashes_of(expected, (str(script),), **environment) == expected
