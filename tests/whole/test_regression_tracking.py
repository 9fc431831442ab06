"""The worked example of a project that tracks its training: it passes twice, and fails on an injected slowdown."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.data import ROOT

EXAMPLE = ROOT / "examples" / "regression_tracking"
# Wider than on the page, 50 %, for other tests run at the same time; the slowdown is some 1,000 %
COMPARED = ("--benchmark-compare", "--benchmark-compare-fail=median:250%")


@pytest.fixture
def project(tmp_path):
    return shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__", ".*"))


def run(project, *command, **environment):
    # pytest-benchmark measures nothing in a worker of pytest-xdist, and asv takes no PYTHONPATH
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONPATH"))}
    environment = {**usual, **environment}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def git(project, *command):
    who = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
    return subprocess.run(["git", *who, *command], cwd=project, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_pytest_benchmark_fails_on_an_injected_slowdown(project):
    code, output = run(project, "pytest", "-q", "--benchmark-autosave")
    assert code == 0, output
    code, output = run(project, "pytest", "-q", *COMPARED)
    assert code == 0, output
    code, output = run(project, "pytest", "-q", *COMPARED, MY_STUDY_SLOW="1")
    assert code == 1, output
    assert "Performance has regressed" in output
    assert "FAILED test_speed.py::test_the_study_beside_a_reference" in output


@pytest.mark.slow
def test_asv_sees_an_injected_slowdown(project):
    pytest.importorskip("asv")
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "The study")
    git(project, "commit", "-q", "--allow-empty", "-m", "A careless change")
    careless, before = git(project, "rev-list", "HEAD").split()
    run(project, "asv", "machine", "--yes")
    asked = ("asv", "run", "--quick", "-E", f"existing:{sys.executable}", "--set-commit-hash")
    code, output = run(project, *asked, before)
    assert code == 0, output
    code, output = run(project, *asked, careless, MY_STUDY_SLOW="1")
    assert code == 0, output
    code, output = run(project, "asv", "compare", "--factor", "1.5", "--split", before, careless)
    worse = output.split("Benchmarks that have got worse")[1].split("Benchmarks")[0]
    assert "time_train_all" in worse, output
    assert "track_mean_loss" not in worse, output
