"""Parts of a survey in a folder, which any process can train with nothing but the folder, and their merging."""

import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import fastmlp
from fastmlp.surveying import folder as folders
from fastmlp.surveying import run_part, shard
from fastmlp.surveying.found import gaps
from tests.support.command import refused, run_here
from tests.support.data import XOR_X, XOR_Y, bits
from tests.surveying.test_survey import ARCH, FAST, JOBS, PLAIN, N, surveyed


def prepared(folder, job="xor", **changes):
    return surveyed(job, folder=folder, executor="parts", **changes)


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    "job", [*FAST, *(pytest.param(job, marks=pytest.mark.slow) for job in JOBS if job not in FAST)]
)
def test_parts_make_the_same_survey(job, tmp_path):
    assert len(prepared(tmp_path / "survey", job)) == 0
    for part in (3, 1, 7, 2, 5, 6, 4):
        found = run_part(tmp_path / "survey", part, 7)
        assert found.done == [((part - 1) * N // 7, part * N // 7)]
    whole = surveyed(job)
    merged = fastmlp.Survey.from_folder(tmp_path / "survey")
    assert merged.to_json() == prepared(tmp_path / "survey", job).to_json() == whole.to_json()
    assert bits(merged.retrain([0, N - 1]).parameters) == bits(whole.retrain([0, N - 1]).parameters)


class Mine(fastmlp.Initializer):
    """Whose class no other process knows."""

    def weights(self, n_in, n_out):
        return fastmlp.Uniform(-0.5 / n_in, 0.25 * n_out).weights(n_in, n_out)

    def biases(self, n_in, n_out):
        return fastmlp.Normal(0.1 * n_in).biases(n_in, n_out)


RNG = np.random.default_rng(1)
ARRAYS = [RNG.normal(size=(N, 2, 4)), RNG.normal(size=(N, 4, 1))], [RNG.normal(size=(N, 4)), RNG.normal(size=(N, 1))]


@pytest.mark.parametrize(
    "changes",
    [
        {"init": Mine()},
        {"init": fastmlp.VarianceScaling(2.0, "in", "normal", bias=fastmlp.Normal(0.2)), "first_net": 1000},
        {"init": ARRAYS, "optimizer": fastmlp.Adam(np.geomspace(1e-3, 1, N), beta2=0.99)},
        {"init": (ARRAYS[0], None), "architecture": fastmlp.Architecture((2, 4, 1), bias=False)},
        {"sample_weight": RNG.random((N, 4)), "schedule": np.linspace(1, 0.5, 120), "target_loss": None},
        {"patience": 5, "tol": np.linspace(0, 1e-3, N), "schedule": "adaptive", "seed": 2**64 - 1},
        {"solved_loss": 0.12, "batch_size": 2, "shuffle": "by_net", "dtype": "float64"},
    ],
)
def test_a_folder_has_all_settings(changes, tmp_path):
    arguments = {"architecture": ARCH, "X": XOR_X, "y": XOR_Y, "n_nets": N, "keep": 9, **PLAIN, **changes}
    fastmlp.survey(**arguments, folder=tmp_path / "survey", executor="parts")
    _, about = folders.Folder.opened(tmp_path / "survey")
    whole = fastmlp.survey(**arguments)
    assert about.as_plain() == whole.about
    run_part(tmp_path / "survey")
    assert fastmlp.Survey.from_folder(tmp_path / "survey").to_json() == whole.to_json()


def test_parts_of_other_numbers_train_only_what_is_missing(tmp_path, monkeypatch):
    prepared(tmp_path)
    run_part(tmp_path, 2, 3, shard_nets=40)  # 100 to 200
    ranges, train = [], shard.train

    def noting(**keywords):
        ranges.append((int(keywords["net_ids"][0]), int(keywords["net_ids"][-1]) + 1))
        return train(**keywords)

    monkeypatch.setattr(shard, "train", noting)
    assert run_part(tmp_path, 1, 2, shard_nets=1000).done == [(0, 140)]
    assert ranges == [(0, 100)]
    assert run_part(tmp_path, 2, 2, shard_nets=1000).done == [(180, N)]
    assert ranges == [(0, 100), (200, N)]
    assert fastmlp.Survey.from_folder(tmp_path).to_json() == surveyed().to_json()


def test_files_that_overlap_are_chosen_once_for_all(tmp_path):
    """Left by parts that ran twice at once, in other numbers; and by a job that was begun again."""
    left = {
        "a": [(0, 100), (66, 133), (133, N)],
        "b": [(0, 130), (0, 100), (100, 250), (250, N)],
        "c": [(0, 10), (10, 20), (0, 200), (200, N)],
    }
    for name, ranges in left.items():
        folder, parts = tmp_path / name, tmp_path / f"{name}-parts"
        prepared(folder)
        for first, stop in ranges:  # each in a folder of its own, as if at the same time
            other = parts / f"{first}-{stop}"
            prepared(other)
            there, about = folders.Folder.opened(other)
            there.add(shard.train_shard(shard.Shard(about, first, stop, 1, "none"), about.data))
            shutil.copy(next(other.glob("shard-*.json")), folder)
        missing = [(100, 133)] if name == "a" else []
        found = fastmlp.Survey.from_folder(folder)
        assert gaps(0, N, found.done) == missing
        for part in (1, 2):
            run_part(folder, part, 2)
        merged = fastmlp.Survey.from_folder(folder)
        assert merged.to_json() == surveyed().to_json()
        assert len([*folder.glob("shard-*.json")]) == len(ranges) + len(missing)


def test_parts_run_on_executors_and_keep_nets(tmp_path):
    pytest.importorskip("safetensors")
    prepared(tmp_path, nets="best")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for part in (1, 2):
            run_part(tmp_path, part, 2, executor=pool, shard_nets=30)
    whole, merged = surveyed(nets="best"), fastmlp.Survey.from_folder(tmp_path)
    assert merged.to_json() == whole.to_json()
    assert bits(merged.nets.parameters) == bits(whole.nets.parameters)


@pytest.mark.parametrize("damage", ["cut", "gone", "other", "empty", "text"])
def test_damaged_inputs_are_named_and_written_anew(tmp_path, damage):
    prepared(tmp_path)
    inputs = tmp_path / "inputs.npz"
    if damage == "gone":
        inputs.unlink()
    elif damage == "other":
        np.savez(inputs, X=np.array(XOR_X), y=np.array([0, 1, 1, 1]))
    else:
        whole = inputs.read_bytes()
        inputs.write_bytes({"cut": whole[:100], "empty": b"", "text": b"X, y\n0, 1\n"}[damage])
    with pytest.raises(ValueError, match=r"inputs\.npz cannot be used: .*: call fastmlp\.survey again"):
        run_part(tmp_path)
    assert len(prepared(tmp_path)) == 0
    assert run_part(tmp_path).to_json() == surveyed().to_json()


def test_wrong_parts_and_folders_are_refused(tmp_path):
    prepared(tmp_path / "survey")
    for part, of, message in ((0, 3, "part=0"), (4, 3, "numbered from 1 to 3"), (1, 0, "of=0"), (1.5, 2, "part=1.5")):
        with pytest.raises((ValueError, TypeError), match=message):
            run_part(tmp_path / "survey", part, of)
    (tmp_path / "empty").mkdir()
    for folder in ("nothing", "empty"):
        for read in (run_part, fastmlp.Survey.from_folder):
            with pytest.raises(ValueError, match="holds no survey"):
                read(tmp_path / folder)
    with pytest.raises(ValueError, match="pass folder too"):
        surveyed(executor="parts")
    with pytest.raises(TypeError, match="folder=5"):
        run_part(5)
    description = tmp_path / "survey" / "survey.json"
    inner = json.loads(description.read_bytes())["content"] | {"bits_version": 0}
    text = json.dumps(inner, sort_keys=True, separators=(",", ":"))
    description.write_text(json.dumps({"sha256": folders._digest(text), "content": inner}))
    with pytest.raises(ValueError, match="this fastmlp has"):
        run_part(tmp_path / "survey")

    class Mine(fastmlp.SGD):
        pass

    with pytest.raises(ValueError, match="only the library's optimizers"):
        surveyed(folder=tmp_path / "mine", optimizer=Mine(0.1))
    assert not (tmp_path / "mine").exists()


def test_more_parts_than_nets(tmp_path):
    prepared(tmp_path)
    sizes = [len(run_part(tmp_path, part, 1000)) for part in (1, 2, 3, 4, 499, 1000)]
    assert sizes == [0, 0, 0, 1, 0, 1]


def test_the_commands(capsys, tmp_path):
    folder = tmp_path / "survey"
    job = ("xor", "--restarts", 2000, "--epochs", 200, "--folder", folder, "--no-progress")
    code, out, _ = run_here(capsys, *job, "--executor", "parts")
    assert code == 0
    assert f"`fastmlp survey run {folder} --part 1/100`" in out
    code, out, err = run_here(capsys, "survey", "merge", folder)
    assert (code, "nets 0 to 1999 are missing" in err) == (1, True)
    for part in ("2/3", "1/3"):
        code, out, _ = run_here(capsys, "survey", "run", folder, "--part", part, "--no-progress")
        assert code == 0
        assert out.startswith(f"part {part[0]} of 3: 66")
    code, out, err = run_here(capsys, "survey", "merge", folder)
    assert code == 1
    assert "1,333 of 2,000" in " ".join(out.split())
    assert "nets 1333 to 1999 are missing" in err
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    code, out, _ = run_here(capsys, "survey", "run", other, "--no-progress", "--executor", "processes", "--threads", 2)
    assert code == 0
    code, out, err = run_here(capsys, "survey", "merge", other, "--json")
    assert (code, err) == (0, "")
    code, whole, _ = run_here(capsys, *job)
    assert code == 0
    assert fastmlp.Survey.from_json(out).to_json() == fastmlp.Survey.from_folder(folder).to_json() == out.strip()
    assert fastmlp.Survey.from_folder(folder).fingerprint in whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "FOLDER", "--part", "0/3"), "needs at least 1"),
        (("run", "FOLDER", "--part", "4/3"), "numbered from 1 to 3"),
        (("run", "FOLDER", "--part", "4"), "not a part such as"),
        (("run", "FOLDER", "--part", "a/b"), "not a whole number"),
        (("run", "FOLDER", "--scheduler", "a"), "pass both"),
        (("run", "FOLDER", "--shard-seconds", "0"), "shard_seconds"),
        (("run", "nothing"), "holds no survey"),
        (("merge", "nothing"), "holds no survey"),
        ((), "required: action"),
    ],
)
def test_wrong_options_get_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared("FOLDER")
    assert message in refused(capsys, "survey", *arguments)
