"""The command `fastmlp`, in a process of its own as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastmlp.cli.xor import PLATEAUS
from fastmlp.statistics import wilson_interval
from tests.support.command import command, refused


def test_xor_reports_and_draws(tmp_path):
    pytest.importorskip("matplotlib")
    done = command("xor", "--restarts", "3000", "--epochs", "500", folder=tmp_path)
    for part in ("Solved XOR:", "95 % interval", "median", "0.3466: two right, two at 1/2", "net-epochs", "SHA-256"):
        assert part in done.stdout
    assert "Picture: xor.png" in done.stdout
    assert (tmp_path / "xor.png").read_bytes()[:4] == b"\x89PNG"


def test_xor_json_has_what_scripts_need_and_repeats(tmp_path):
    arguments = (
        "xor",
        "--restarts",
        "1000",
        "--epochs",
        "300",
        "--no-stop",
        "--json",
        "--sizes",
        "2-3-1",
        "--seed",
        "5",
    )
    first, second = (json.loads(command(*arguments, "--threads", n, folder=tmp_path).stdout) for n in "12")
    assert first["net_epochs"] == 300_000
    assert first["sizes"] == [2, 3, 1]
    assert first["threads"] == 1
    assert 0 < first["solved"] < 1000
    assert first["weights_sha256"] == second["weights_sha256"]
    assert {
        "restarts",
        "epochs",
        "compile_seconds",
        "train_seconds",
        "net_epochs_per_second",
        "vector_width",
        "dtype",
    } <= set(first)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xor", "--restarts", "0"), "argument --restarts: '0': needs at least 1"),
        (("xor", "--sizes", "3-4-1"), "XOR has 2 inputs and 1 output"),
        (("xor", "--sizes", "two"), "'two' is not a list of layer sizes"),
        (("xor", "--hidden", "rely"), "hidden='rely' is not known: use one of"),
        (("xor", "--optimizer", "lion"), "optimizer='lion' is not known"),
        (("xor", "--learning-rate", "-1"), "needs finite numbers above 0"),
        (("xor", "--init", "zeros"), "init='zeros' is not known"),
        (("xor", "--dtype", "float16"), "dtype='float16'"),
        (("xor", "--seed", "-1"), "seed=-1"),
        (("xor", "--fast"), "unrecognized arguments: --fast"),
        (("swim",), "invalid choice: 'swim'"),
        ((), "the following arguments are required: command"),
    ],
)
def test_wrong_options_get_one_line_and_exit_code_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *arguments)
    assert not [*tmp_path.iterdir()]


def test_an_unwritable_picture_loses_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    done = command("xor", "--restarts", "100", "--epochs", "9", "--picture", "no/such/folder.png", folder=tmp_path)
    assert "SHA-256" in done.stdout
    assert "could not be written to no/such/folder.png" in done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of POSIX")
def test_an_interrupted_job_tells_no_share_and_draws_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("safetensors")
    (tmp_path / "xor.png").write_bytes(b"the picture that was there")

    def interrupted(*arguments):
        """SIGTERM once the job trains and writes its checkpoint; SIGINT may be ignored in what runs the tests."""
        process = subprocess.Popen(
            [sys.executable, "-m", "fastmlp", *arguments, "--no-progress", "--checkpoint-every", "0.05"],
            cwd=tmp_path,
            stdout=-1,
            stderr=-1,
            text=True,
        )
        seen = job.stat().st_mtime_ns if job.exists() else None
        for _ in range(2):
            while not job.exists() or job.stat().st_mtime_ns == seen:
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            seen = job.stat().st_mtime_ns
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 143, err
        return out

    job = tmp_path / "job"
    endless = ("--restarts", "300000", "--no-stop", "--epochs", "100_000_000", "--checkpoint", str(job))
    for out in (interrupted("xor", *endless), interrupted("resume", str(job))):
        assert "Interrupted: 0 of the nets have ended" in out
        assert "Solved XOR" not in out
        assert "Picture" not in out
    assert json.loads(interrupted("resume", str(job), "--json"))["solved_share"] is None
    assert (tmp_path / "xor.png").read_bytes() == b"the picture that was there"


def test_a_checkpoint_that_is_there_says_which_command_goes_on(capsys, tmp_path):
    job = tmp_path / "xor.job"
    job.write_bytes(b"")
    assert f"`fastmlp resume {job}`" in refused(capsys, "xor", "--checkpoint", job, "--no-picture")


def test_info_and_help(tmp_path):
    shown = command("info", folder=tmp_path).stdout
    for part in ("fastmlp:", "processor:", "vector width:", "threads:", "cache folder:"):
        assert part in shown
    folder = Path(shown.split("cache folder:")[1].strip())
    assert list(folder.glob("*.nbc"))
    done = subprocess.run(
        [sys.executable, "-m", "fastmlp", "info"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "none: NUMBA_DISABLE_JIT is set" in done.stdout
    assert "xor" in command("--help", folder=tmp_path).stdout


@pytest.mark.slow
def test_warmup_compiles_everything(tmp_path):
    assert "All compiled in" in command("warmup", folder=tmp_path).stdout


def test_wilson_interval_is_the_textbooks():
    low, high = wilson_interval(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10)[1] == pytest.approx(1)


def test_the_plateaus_are_the_named_ones():
    assert [f"{loss:.4f}" for loss in PLATEAUS] == ["0.3466", "0.4774", "0.6931"]
