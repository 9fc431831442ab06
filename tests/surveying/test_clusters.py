"""Surveys on Dask, Ray, loky and joblib: the same bytes, whatever fails on the way. Needs the extras ``dask`` and ``ray``."""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys

import pytest

import fastmlp
from tests.support.data import ROOT
from tests.support.faults import CHOSEN, faulty, noting, worker_that
from tests.surveying.test_survey import N, surveyed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextlib.contextmanager
def dask(workers=2, threads=1):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(workers, threads_per_worker=threads, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def loky():
    loky = pytest.importorskip("joblib.externals.loky")
    yield loky.get_reusable_executor(max_workers=2)
    loky.get_reusable_executor(max_workers=2).shutdown()  # joblib would take it for one of its own


@contextlib.contextmanager
def joblib():
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config("loky", n_jobs=2):
        yield "joblib"


CLUSTERS = {"dask": dask, "ray": ray, "loky": loky, "joblib": joblib}


@pytest.mark.parametrize(
    "cluster", [functools.partial(dask, 2), functools.partial(dask, 3), functools.partial(dask, 1, 2), ray]
)
def test_the_same_bytes(cluster, monkeypatch):
    whole, validated = surveyed().to_json(), surveyed("validation").to_json()
    with cluster() as executor:
        assert surveyed(executor=executor, shard_nets=50).to_json() == whole
        for module in ("engines", "files"):
            monkeypatch.setattr(f"fastmlp.distributing.{module}.MOST_IN_A_TASK", 10)
        assert surveyed("validation", executor=executor, shard_nets=50).to_json() == validated


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_sweep(cluster):
    arguments = {
        "X": [[0, 0], [0, 1], [1, 0], [1, 1]],
        "y": [0, 1, 1, 0],
        "grid": {"sizes": [(2, 3, 1), (2, 4, 1)], "learning_rate": [0.01, 0.3]},
        "epochs": 60,
        "n_seeds": 20,
        "halving": 2,
    }
    here = fastmlp.sweep(**arguments)
    with CLUSTERS[cluster]() as executor:
        there = fastmlp.sweep(**arguments, executor=executor)
    assert here.loss.tobytes() == there.loss.tobytes()
    assert here.best(4) == there.best(4)


@pytest.mark.parametrize("kind", ["dies once", "raises once", "wrong once", "dies always", "raises always"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_faults(cluster, kind, tmp_path, monkeypatch):
    whole = surveyed().to_json()
    for module in ("engines", "joblib_engine"):
        monkeypatch.setattr(f"fastmlp.distributing.{module}.run_in_worker", worker_that(faulty, kind, str(tmp_path)))
    with CLUSTERS[cluster]() as executor:
        found = surveyed(
            executor=executor, shard_nets=40, retries=2, verify=float(kind == "wrong once"), on_failure="skip"
        )
    assert len([*tmp_path.iterdir()]) > 1
    if not kind.endswith("always"):
        assert found.to_json() == whole
        return
    assert [shard[:2] for shard in found.failed] == [(120, 160)]
    assert found.done == [(0, 120), (160, N)]
    assert found.failed[0].first <= CHOSEN < found.failed[0].stop
    if kind == "raises always":
        assert "out of order" in found.failed[0].message


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of POSIX")
def test_a_survey_outlives_the_scheduler(tmp_path, monkeypatch):
    """The scheduler is killed in the middle; the same call on a new cluster trains no finished shard again."""
    distributed = pytest.importorskip("distributed")
    marks, folder = tmp_path / "marks", tmp_path / "survey"
    marks.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def start(module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    scheduler = start("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2])
    workers = [start("dask_worker", address, "--nthreads", "1", "--death-timeout", "20") for _ in range(2)]
    monkeypatch.setattr("fastmlp.distributing.engines.run_in_worker", worker_that(noting, str(marks)))
    try:
        with distributed.Client(address, timeout=30) as client:

            def kill(state):
                if state.done >= 100 and scheduler.poll() is None:
                    scheduler.kill()

            with pytest.raises(fastmlp.SurveyError) as caught:
                surveyed(executor=client, shard_nets=20, folder=folder, callback=kill)
    finally:
        for process in (scheduler, *workers):
            process.kill()
            process.wait()
    finished = {path.name.split("-")[1] for path in folder.glob("shard-*.json")}
    assert 100 <= len(caught.value.survey) == 20 * len(finished) < N
    for mark in marks.iterdir():
        mark.unlink()
    with dask() as client:
        found = surveyed(executor=client, shard_nets=20, folder=folder)
    again = {mark.name.split("-")[0] for mark in marks.iterdir()}
    assert again
    assert not again & finished
    assert found.to_json() == surveyed().to_json()
