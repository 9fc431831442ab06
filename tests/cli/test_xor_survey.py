"""`fastmlp xor --executor`: what `fastmlp xor` prints, from a summary of the nets."""

import json

import pytest

from tests.support.command import refused, run_here

JOB = ("xor", "--restarts", "3e3", "--epochs", "300", "--no-progress")


def test_the_report_is_that_of_all_nets(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, whole, _ = run_here(capsys, *JOB, "--no-picture")
    assert code == 0
    code, summary, _ = run_here(capsys, *JOB, "--executor", "here")
    assert code == 0
    same = whole[: whole.index("Compiled or loaded")]
    assert summary.startswith(same)
    assert "3,000 restarts of 2-4-1" in same
    assert "0.3466: two right, two at 1/2" in same
    assert "Fingerprint of all nets: " in summary
    assert not [*tmp_path.iterdir()]


def test_json_is_the_same_from_processes(capsys):
    found = []
    for executor, threads in (("here", 1), ("here", 2), ("processes", 2)):
        code, out, _ = run_here(capsys, *JOB, "--executor", executor, "--threads", threads, "--json")
        assert code == 0
        found.append(json.loads(out))
        for name in ("seconds", "net_epochs_per_second", "executor"):
            found[-1].pop(name)
    assert found[0] == found[1] == found[2]
    code, out, _ = run_here(capsys, *JOB, "--json")
    whole = json.loads(out)
    assert {name: whole[name] for name in found[0].keys() & whole.keys()} == {
        name: value for name, value in found[0].items() if name in whole
    }
    assert found[0]["restarts"] == 3000
    assert found[0].keys() - whole.keys() == {"fingerprint"}


def test_a_folder_keeps_what_is_done(capsys, tmp_path):
    arguments = (*JOB, "--folder", tmp_path / "survey")
    code, out, _ = run_here(capsys, *arguments)
    assert code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "survey").iterdir()}
    assert len(before) >= 2
    code, again, _ = run_here(capsys, *arguments)
    assert code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "survey").iterdir()} == before
    assert out.splitlines()[-1] == again.splitlines()[-1]
    assert "of another survey" in refused(capsys, *arguments, "--seed", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--executor", "mpi"), "invalid choice: 'mpi'"),
        (("--scheduler", "tcp://a:1"), "pass both"),
        (("--executor", "processes", "--scheduler", "tcp://a:1"), "pass both"),
        (("--executor", "here", "--checkpoint", "job"), "leave one of them out"),
        (("--executor", "here", "--optimizer", "lion"), "optimizer='lion'"),
        (("--executor", "here", "--seed", "-1"), "seed=-1"),
        (("--restarts", "1.5"), "'1.5' is not a whole number"),
        (("--restarts", "1e-3"), "'1e-3' is not a whole number"),
        (("--restarts", "inf"), "'inf' is not a whole number"),
        (("--restarts", "1e99", "--executor", "here"), "n_nets="),
    ],
)
def test_wrong_options_get_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "xor", *arguments)
    assert not [*tmp_path.iterdir()]
