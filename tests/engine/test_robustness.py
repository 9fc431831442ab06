"""Threads, processes, caches, memory and bad calls: nothing crashes, hangs, leaks or lies."""

import gc
import itertools
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp._engine.processors import available_threads
from fastmlp._simd.cache import SOURCES, source_files, sources_hash
from tests.support.data import ROOT, SUPPORT, XOR_X, XOR_Y

HERE = Path(__file__).parent
TRAINING = """
import fastmlp
runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], n_nets=70,
                     epochs=30, batch_size={batch_size})
print(runs.weights_sha256(), runs.predict([[0, 1]], reduce="mean").tolist())
"""


def trained(batch_size=None):
    runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, n_nets=70, epochs=30, batch_size=batch_size)
    return f"{runs.weights_sha256()} {runs.predict([[0, 1]], reduce='mean').tolist()}"


def in_a_process(code, folder=None, **environment):
    environment = {**os.environ, "PYTHONPATH": str(folder or ROOT), **environment}
    return subprocess.Popen(
        [sys.executable, "-W", "always", "-c", code], env=environment, stdout=-1, stderr=-1, text=True, cwd="/"
    )


def outcome(process):
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output.strip(), errors


# ------------------------------------------------------------------------------------------------ threads


def train_and_predict(jobs, seconds, failures, number):
    rng, end = np.random.default_rng(number), time.monotonic() + seconds
    while time.monotonic() < end and not failures:
        settings, expected, outputs = jobs[rng.integers(len(jobs))]
        runs = fastmlp.train(**settings, threads=int(rng.integers(1, 3)))
        if runs.weights_sha256() != expected or runs.predict(settings["X"]).tobytes() != outputs:
            failures.append(settings)


def many_threads(n_threads, seconds):
    rng = np.random.default_rng(0)
    X, classes = rng.normal(size=(30, 5)), rng.integers(0, 3, 30)
    jobs = []
    for architecture, y, changes in (
        (fastmlp.Architecture((2, 4, 1)), XOR_Y, {"n_nets": 200, "target_loss": 0.2}),
        (fastmlp.Architecture((5, 7, 3), output="softmax"), classes, {"n_nets": 40, "batch_size": 8, "dropout": 0.2}),
        (fastmlp.Architecture((5, 20, 3), output="softmax"), classes, {"n_nets": 1, "batch_size": 8}),
        (fastmlp.Architecture((5, 40, 3), output="softmax"), classes, {"n_nets": 1, "kernel": "units"}),
    ):
        settings = {"architecture": architecture, "X": X if len(y) == 30 else XOR_X, "y": y, "epochs": 40, **changes}
        runs = fastmlp.train(**settings)
        jobs.append((settings, runs.weights_sha256(), runs.predict(settings["X"]).tobytes()))
    failures = []
    threads = [
        threading.Thread(target=train_and_predict, args=(jobs, seconds, failures, number))
        for number in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_eight_python_threads_at_once():
    many_threads(8, 2)


@pytest.mark.slow
def test_thirty_two_python_threads_for_a_minute():
    many_threads(32, 60)


# ------------------------------------------------------------------------------------------------ processes

POOL = """
import multiprocessing, sys
sys.path[:0] = {folders!r}
import test_robustness
if __name__ == "__main__":
    here = test_robustness.trained()
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        print(all(there == here for there in pool.map(test_robustness.trained, [None] * 4)))
"""


# joblib adds methods of its own
START_METHODS = [method for method in multiprocessing.get_all_start_methods() if not method.startswith("loky")]


@pytest.mark.parametrize("method", START_METHODS)
def test_inside_processes_of_multiprocessing(method, tmp_path):
    script = tmp_path / "pool.py"
    script.write_text(POOL.format(folders=[str(HERE), str(ROOT)], method=method))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "True", done.stderr


# ------------------------------------------------------------------------------------------------ kernels' cache


def test_the_cache_knows_every_module_that_compiled_code_is_made_of():
    """Those that define some, and what they import: a change in any of them must not find the old code."""
    package, known, compiled = ROOT / "fastmlp", set(source_files()), 0
    for path in package.rglob("*.py"):
        text = path.read_text()
        if re.search(r"^@(kernel|inline|compiles|overload|intrinsic)\b", text, re.MULTILINE):
            assert path in known, path
            compiled += 1
        if path in known:
            imported = re.findall(r"^\s*from fastmlp\.(\w+)[.\w]* import", text, re.MULTILINE)
            imported += re.findall(r"^\s*(?:from|import) fastmlp(?: import (\w+))?$", text, re.MULTILINE)
            assert set(imported) <= set(SOURCES), path
    assert compiled > 20


def test_a_change_of_any_source_changes_the_name_of_compiled_code(monkeypatch, tmp_path):
    package = ROOT / "fastmlp"
    assert {path.parent for path in source_files()} >= {package / "_simd", package / "_kernels"}
    before, names = sources_hash(), set()
    for path in source_files():
        changed = tmp_path / path.name
        changed.write_bytes(path.read_bytes() + b"#")
        files = [changed if other == path else other for other in source_files()]
        monkeypatch.setattr(fastmlp._simd.cache, "source_files", lambda files=files: files)
        names.add(sources_hash.__wrapped__())
        monkeypatch.undo()
    assert len(names - {before}) == len(source_files())


def test_versions_that_share_a_folder_keep_each_others_code(tmp_path, monkeypatch):
    """Until no process has used it for a week; using it counts, once a day."""
    tmp_path.chmod(0o700)
    cache = fastmlp._simd.cache._Files(str(tmp_path), "kernel")

    def version(name):
        monkeypatch.setattr(fastmlp._simd.cache, "sources_hash", lambda: name)

    def age(days):
        for file in tmp_path.iterdir():
            os.utime(file, (time.time() - days * 24 * 3600,) * 2)

    version("one")
    cache.save("key", b"code of one")
    version("two")
    cache.save("key", b"code of two")
    age(6)
    cache.save("other key", b"code of two")
    assert cache.load("key") == b"code of two"  # used now
    version("one")
    assert cache.load("key") == b"code of one"
    assert len([*tmp_path.iterdir()]) == 3
    age(8)
    version("two")
    assert cache.load("key") == b"code of two"
    cache.save("third key", b"code of two")
    assert len([*tmp_path.iterdir()]) == 3
    assert not [*tmp_path.glob("kernel.one.*")]


@pytest.mark.slow
def test_eight_processes_warm_one_cache(tmp_path):
    """Each with kernels of its own, so that files of all kinds are written at once."""
    codes = [TRAINING.format(batch_size=size) for size in (None, 1, 2, None, 1, 2, 3, None)]
    expected = [trained(size) for size in (None, 1, 2, None, 1, 2, 3, None)]
    for _ in range(2):
        processes = [in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path)) for code in codes]
        for process, wanted in zip(processes, expected, strict=True):
            output, errors = outcome(process)
            assert output == wanted
            assert "Warning" not in errors
    assert not list(tmp_path.rglob("*.tmp"))


def flipped(content):
    """With one bit changed in the machine code."""
    place = content.rfind(b"\x00\x00\x00\x00")
    return content[:place] + b"\x10" + content[place + 1 :]


@pytest.mark.slow
def test_a_damaged_cache_is_compiled_again(tmp_path):
    code, wanted = TRAINING.format(batch_size=None), trained()
    assert outcome(in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path)))[0] == wanted
    kept = sorted(tmp_path.rglob("*.nbc"))
    assert kept
    for number, file in enumerate(kept):
        content = file.read_bytes()
        file.write_bytes(
            [content[: len(content) // 2], b"", b"cos\nsystem\n(S'false'\ntR.", flipped(content)][number % 4]
        )
    for _ in range(2):
        assert outcome(in_a_process(code, NUMBA_CACHE_DIR=str(tmp_path)))[0] == wanted


@pytest.mark.slow
def test_without_a_folder_for_the_cache_there_is_one_warning(tmp_path):
    """The kernels' own __pycache__ is a file here, since read-only folders do not keep root out."""
    shutil.copytree(ROOT / "fastmlp", tmp_path / "fastmlp", ignore=shutil.ignore_patterns("__pycache__"))
    for package in SOURCES:
        (tmp_path / "fastmlp" / package / "__pycache__").write_text("")
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null/a", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/b"}
    code = TRAINING.format(batch_size=None) + "print(fastmlp.__file__)"
    output, errors = outcome(in_a_process(code, tmp_path, **nowhere))
    assert output.splitlines() == [trained(), str(tmp_path / "fastmlp" / "__init__.py")]
    assert errors.count("RuntimeWarning") == 1
    assert "no folder for compiled code can be written" in errors
    assert "set NUMBA_CACHE_DIR" in errors


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs a system with owners of files")
def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path):
    code, wanted = TRAINING.format(batch_size=None), trained()
    folder = tmp_path / "shared"
    assert outcome(in_a_process(code, NUMBA_CACHE_DIR=str(folder)))[0] == wanted
    [inner] = folder.iterdir()
    for mode, group in ((0o777, 0), (0o770, 12345)):
        for file in inner.iterdir():
            file.unlink()
        os.chown(inner, -1, group)
        inner.chmod(mode)
        output, errors = outcome(in_a_process(code, NUMBA_CACHE_DIR=str(folder)))
        assert output == wanted
        assert errors.count("RuntimeWarning") == 1
        assert "others can write to" in errors
        assert not list(inner.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_cache_that_can_only_be_read_is_used(tmp_path):
    code = TRAINING.format(batch_size=None) + "print(runs.compile_seconds)"
    if subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path], check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        shutil.copytree(ROOT / "fastmlp", tmp_path / "fastmlp", ignore=shutil.ignore_patterns("__pycache__"))
        nowhere = {"NUMBA_CACHE_DIR": "", "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/b"}
        compiled, _ = outcome(in_a_process(code, tmp_path, **nowhere))
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        loaded, errors = outcome(in_a_process(code, tmp_path, **nowhere))
    finally:
        subprocess.run(["umount", tmp_path], check=False)
    assert compiled.splitlines()[0] == loaded.splitlines()[0] == trained()
    assert float(loaded.splitlines()[1]) < float(compiled.splitlines()[1]) / 3
    assert "Warning" not in errors


# ------------------------------------------------------------------------------------------------ memory


REPEATING = """
import gc, sys
import numpy as np
import fastmlp
rng = np.random.default_rng(0)
X, y = rng.normal(size=(50, 6)), rng.integers(0, 2, 50)
arch = fastmlp.Architecture((6, 9, 1))
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096
def call(number):
    kernel = ["lanes", "units"][number % 2]
    runs = fastmlp.train(arch, X, y, n_nets=40, epochs=3, batch_size=16, kernel=kernel, record_every=1, seed=number,
                         keep_state=True, validation=(X, y), dropout=0.1, checkpoint=sys.argv[1], threads=2)
    runs.predict(X)
    runs.predict(X, reduce="mean")
    runs.save(sys.argv[2])
    fastmlp.load(sys.argv[2])
    import os
    os.unlink(sys.argv[1])
for number in range(10):
    call(number)
before = resident()
for number in range(1000):
    call(number)
print((resident() - before) / 1e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_calls_leave_no_memory_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", REPEATING, str(tmp_path / "job"), str(tmp_path / "runs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5


PEAK = """
import gc, json, os, sys, tempfile, time, tracemalloc, warnings
import numpy as np
import fastmlp
from fastmlp._engine.chunk_trainer import ChunkTrainer
from fastmlp._engine.execution_plan import _kept_plan

warnings.simplefilter("ignore")  # a checkpoint is written over and over
fill = ChunkTrainer.fill

def fill_and_wait(trainer, tiles, epoch):
    # so that threads hold their chunks at the same time, however short a job is and however busy the machine
    fill(trainer, tiles, epoch)
    time.sleep(0.03 * (tiles.count > 0))

ChunkTrainer.fill = fill_and_wait

def peak_and_estimate(sizes, n_samples, output="sigmoid", validation_samples=0, checkpoint=False, threads=2, **settings):
    rng = np.random.default_rng(0)
    arch = fastmlp.Architecture(sizes, output=output)
    X = rng.normal(size=(n_samples, arch.sizes[0]))
    shape = n_samples if output == "softmax" else (n_samples, sizes[-1])
    y = rng.integers(0, max(2, sizes[-1]) if output == "softmax" else 2, shape)
    more = -(-validation_samples // n_samples)
    held = np.tile(X, (more, 1))[:validation_samples], np.concatenate([y] * max(1, more))[:validation_samples]
    validation = held if validation_samples else None
    def train():
        with tempfile.TemporaryDirectory() as folder:
            where = os.path.join(folder, "job") if checkpoint else None
            fastmlp.train(arch, X, y, validation=validation, checkpoint=where, threads=threads, **settings)
    def traced_peak():
        _kept_plan.cache_clear()  # with the memory of small jobs that plans keep
        gc.collect()
        tracemalloc.start()
        train()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak
    train()
    # Python rebuilds its table of interned strings now and then, which takes 2 MB that are none of a job's
    peak = min(traced_peak(), traced_peak())
    names = ("n_nets", "epochs", "optimizer", "batch_size", "record_every", "keep_state", "dtype")
    found = fastmlp.estimate(
        arch, n_samples, validation_samples=validation_samples, checkpoint=checkpoint, threads=threads,
        weights_by_net=settings.get("bootstrap", False), dropout=bool(settings.get("dropout")),
        **{name: settings[name] for name in names if name in settings})
    return peak, found.total

print(json.dumps([peak_and_estimate(**settings) for settings in json.loads(sys.argv[1])]))
"""


def peaks_and_estimates(jobs):
    done = subprocess.run([sys.executable, "-c", PEAK, json.dumps(jobs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def memory_job(rng):
    """A random job that trains within a second or two."""
    softmax, depth = bool(rng.random() < 0.4), int(rng.integers(1, 4))
    widest = 800 if rng.random() < 0.3 else 60
    sizes = [
        *(int(size) for size in rng.integers(2, widest, depth)),
        int(rng.integers(2, 60) if softmax else rng.integers(1, 4)),
    ]
    parameters = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    n = min(int(10 ** rng.uniform(1, 5.3)), int(2e7 / max(sizes[0], sizes[-1])))
    nets, epochs = max(1, min(int(10 ** rng.uniform(0, 5)), int(1.5e7 / parameters))), int(rng.integers(1, 4))
    while parameters * 6 * n * nets * epochs > 6e10:
        nets, n = (nets // 2, n) if nets > 4 else (nets, max(10, n // 2))
    job = {
        "sizes": sizes,
        "output": "softmax" if softmax else "sigmoid",
        "n_samples": n,
        "n_nets": nets,
        "epochs": epochs,
        "optimizer": str(rng.choice(["sgd", "adam", "rmsprop", "rprop"])),
        "dtype": str(rng.choice(["float32", "float64"])),
        "batch_size": [None, 32, 256, 1000][rng.integers(4)],
        "record_every": [None, 1][rng.integers(2)],
        "keep_state": bool(rng.random() < 0.3),
        "threads": int(rng.integers(1, 4)),
    }
    if rng.random() < 0.2:
        job["validation_samples"] = max(1, int(n * rng.uniform(0.1, 1.5)))
    if rng.random() < 0.2 and nets * n < 2e7:
        job["bootstrap"] = True
    if rng.random() < 0.2 and depth > 1:
        job["dropout"] = 0.2
    if rng.random() < 0.2:
        job["checkpoint"] = True
    return job


@pytest.mark.slow
def test_estimates_of_a_hundred_random_jobs():
    """Of the smallest, of less than a megabyte, a hundred kilobytes more: Python's own objects weigh as much."""
    rng = np.random.default_rng(0)
    jobs = [memory_job(rng) for _ in range(100)]
    for job, (peak, estimated) in zip(jobs, peaks_and_estimates(jobs), strict=True):
        assert peak <= estimated <= 1.3 * peak + 1e5 * (peak < 2**20), (peak / 2**20, estimated / 2**20, job)


@pytest.mark.parametrize(
    "settings",
    [
        {"sizes": [2, 4, 1], "n_samples": 4, "n_nets": 300_000, "epochs": 1, "optimizer": "sgd"},
        {"sizes": [2, 4, 1], "n_samples": 4, "n_nets": 100_000, "epochs": 5, "record_every": 1, "keep_state": True},
        pytest.param(
            {"sizes": [20, 300, 1], "n_samples": 3000, "n_nets": 3, "epochs": 1, "batch_size": 500, "dtype": "float64"},
            marks=pytest.mark.slow,
        ),
        {"sizes": [20, 30, 1], "n_samples": 30_000, "n_nets": 50, "epochs": 1, "validation_samples": 10_000},
        pytest.param(
            {"sizes": [5, 9, 1], "n_samples": 200, "n_nets": 5000, "epochs": 1, "bootstrap": True},
            marks=pytest.mark.slow,
        ),
        # the last net is trained apart, and for it the samples are filled up to 16 columns
        {"sizes": [8, 32, 1], "n_samples": 600_000, "n_nets": 33, "epochs": 1, "batch_size": 64},
        pytest.param(
            {"sizes": [784, 2048, 2048, 10], "output": "softmax", "n_samples": 100, "epochs": 1}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"sizes": [20, 50], "output": "softmax", "n_samples": 300_000, "epochs": 1}, marks=pytest.mark.slow
        ),
        pytest.param({"sizes": [100, 10, 1], "n_samples": 200_000, "epochs": 1}, marks=pytest.mark.slow),
        {"sizes": [2, 4, 1], "n_samples": 4, "n_nets": 100_000, "epochs": 1, "checkpoint": True},
        *(
            pytest.param({"output": "softmax", "epochs": 1, **sizes}, marks=pytest.mark.slow)
            for sizes in (
                {"sizes": [20, 50], "n_samples": 100_000, "validation_samples": 100_000},
                {"sizes": [5, 8, 100], "n_samples": 20_000, "validation_samples": 80_000},
            )
        ),
    ],
)
def test_memory_is_estimated_before_it_is_taken(settings):
    [(peak, estimated)] = peaks_and_estimates([settings])
    assert peak <= estimated < 1.3 * peak, (peak / 2**20, estimated / 2**20)


def test_estimates_are_checked_and_read_well():
    arch = fastmlp.Architecture((2, 4, 1))
    text = str(fastmlp.estimate(arch, 4, n_nets=1_000_000, threads=2))
    assert "MiB (results 88.7, data 0.0, working" in text
    with pytest.raises(ValueError, match=r"n_samples=0: needs a whole number of at least 1|from 1 to"):
        fastmlp.estimate(arch, 0)
    with pytest.raises(TypeError, match=r"fastmlp\.Architecture"):
        fastmlp.estimate((2, 4, 1), 4)


# ------------------------------------------------------------------------------------------------ bad calls


@pytest.mark.parametrize(
    ("number", "seed"), [(1000, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)], ids=["some", "ten thousand"]
)
def test_bad_calls_are_refused_with_a_message(number, seed):
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "bad_calls.py"), str(number), str(seed)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["refused"] == number


def test_threads_that_end_leave_nothing_running():
    before = threading.active_count()
    trained()
    gc.collect()
    assert threading.active_count() <= before + available_threads()
