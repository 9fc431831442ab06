"""Surveys in folders: nothing that is there and whole is trained again, whatever stopped them."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastmlp
from fastmlp.surveying import shard
from fastmlp.surveying.found import gaps
from tests.support.data import XOR_X, XOR_Y, bits

ARCH, N = fastmlp.Architecture((2, 4, 1)), 300
SETTINGS = {"optimizer": fastmlp.SGD(0.5), "epochs": 120, "target_loss": 0.1, "seed": 3, "n_nets": N, "keep": 9}


def surveyed(folder=None, **changes):
    return fastmlp.survey(ARCH, XOR_X, XOR_Y, folder=folder, **{"shard_nets": 50, **SETTINGS, **changes})


@pytest.fixture
def trained(monkeypatch):
    """The ranges of nets that are trained."""
    ranges, train = [], shard.train

    def noting(**keywords):
        ids = keywords["net_ids"]
        ranges.append((int(ids[0]), int(ids[-1]) + 1))
        return train(**keywords)

    monkeypatch.setattr(shard, "train", noting)
    return ranges


@pytest.mark.parametrize("nets", ["none", "best", "solved", "all"])
def test_a_stopped_survey_goes_on_with_shards_of_another_size(tmp_path, trained, nets):
    if nets != "none":
        pytest.importorskip("safetensors")
    whole = surveyed(nets=nets)
    trained.clear()
    calls = []
    part = surveyed(tmp_path / "survey", nets=nets, callback=lambda state: calls.append(state) or len(calls) == 2)
    assert part.done == [(0, 100)]
    found = surveyed(tmp_path / "survey", nets=nets, shard_nets=77)
    assert trained == [(0, 50), (50, 100), (100, 177), (177, 254), (254, 300)]
    assert found.to_json() == whole.to_json()
    again = surveyed(tmp_path / "survey", nets=nets)
    assert len(trained) == 5
    assert again.to_json() == whole.to_json()
    if nets != "none":
        assert bits(again.nets.parameters) == bits(found.nets.parameters) == bits(whole.nets.parameters)
        assert again.nets.net_ids.tolist() == whole.nets.net_ids.tolist()


def test_gaps_anywhere_are_filled(tmp_path, trained):
    whole = surveyed(tmp_path)
    for name in ("shard-0-50.json", "shard-100-150.json", "shard-150-200.json"):
        (tmp_path / name).unlink()
    trained.clear()
    assert surveyed(tmp_path, shard_nets=1000).to_json() == whole.to_json()
    assert trained == [(0, 50), (100, 200)]
    assert gaps(0, 10, []) == [(0, 10)]
    assert gaps(0, 10, [(0, 3), (5, 10)]) == [(3, 5)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other json", "another version", "nets missing"])
def test_damaged_files_are_trained_again(tmp_path, trained, damage):
    pytest.importorskip("safetensors")
    whole = surveyed(tmp_path, nets="best")
    path = tmp_path / "shard-50-100.json"
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "flipped": content.replace(b'"solved":', b'"solved" :', 1).replace(b"reached", b"reacheD", 1),
        "empty": b"",
        "other json": b"[1, 2]",
        "another version": content,
        "nets missing": content,
    }[damage]
    path.write_bytes(changed)
    if damage == "nets missing":
        path.with_suffix(".safetensors").unlink()
    if damage == "another version":
        from fastmlp.surveying import folder

        inner = json.loads(content)["content"] | {"bits_version": 0}
        text = json.dumps(inner, sort_keys=True, separators=(",", ":"))
        path.write_text(json.dumps({"sha256": folder._digest(text), "content": inner}))
    trained.clear()
    with pytest.warns(RuntimeWarning, match=r"shard-50-100\.json cannot be used, its nets are trained again"):
        found = surveyed(tmp_path, nets="best")
    assert trained == [(50, 100)]
    assert found.to_json() == whole.to_json()
    assert surveyed(tmp_path, nets="best").to_json() == whole.to_json()


def test_hidden_files_of_others_do_not_matter(tmp_path):
    (tmp_path / ".survey.json.0123.partial").write_text("{")  # of a process that was killed
    assert surveyed(tmp_path).to_json() == surveyed(tmp_path).to_json()


def test_a_complete_folder_still_tells_its_progress(tmp_path):
    surveyed(tmp_path)
    seen = []
    surveyed(tmp_path, callback=seen.append)
    assert [state[:2] for state in seen] == [(N, N)]


class Mine(fastmlp.Initializer):
    """Without a __repr__ of its own."""

    def __init__(self, limit):
        self.limit = limit

    def weights(self, n_in, n_out):
        return fastmlp.Uniform(-self.limit, self.limit).weights(n_in, n_out)

    def biases(self, n_in, n_out):
        return fastmlp.Uniform(-self.limit, self.limit).biases(n_in, n_out)


def test_initializers_are_known_by_what_they_draw(tmp_path, trained):
    first = surveyed(tmp_path, init=Mine(0.5))
    trained.clear()
    assert surveyed(tmp_path, init=Mine(0.5)).to_json() == first.to_json()
    assert not trained
    with pytest.raises(ValueError, match="of another survey"):
        surveyed(tmp_path, init=Mine(0.6))


def test_another_survey_is_refused_and_nothing_is_touched(tmp_path):
    surveyed(tmp_path / "survey")
    before = {path.name: path.read_bytes() for path in (tmp_path / "survey").iterdir()}
    for changes, name in (
        ({"epochs": 121}, "settings"),
        ({"seed": 4}, "seed"),
        ({"n_nets": N + 1}, "n_nets"),
        ({"keep": 8}, "keep"),
        ({"nets": "all"}, "nets"),
        ({"sample_weight": np.arange(4) + 1.0}, "data"),
    ):
        with pytest.raises(ValueError, match=f"of another survey: there {name} is"):
            surveyed(tmp_path / "survey", **changes)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for folder, message in (("file", "is a file"), ("full", "has other files")):
        with pytest.raises(ValueError, match=message):
            surveyed(tmp_path / folder)
    with pytest.raises(TypeError, match="folder=3"):
        surveyed(3)
    assert {path.name: path.read_bytes() for path in (tmp_path / "survey").iterdir()} == before
    assert (tmp_path / "full" / "mine").read_text() == "mine"
    (tmp_path / "survey" / "survey.json").write_text("{")
    with pytest.raises(ValueError, match=r"survey\.json is damaged"):
        surveyed(tmp_path / "survey")


KILLED = """
import sys
from tests.surveying.test_folder import surveyed
surveyed(sys.argv[1], n_nets=100_000, shard_nets=500, epochs=300)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of POSIX")
def test_a_killed_survey_goes_on(tmp_path, trained):
    """Killed three times, at any moment; no finished shard is trained twice."""
    folder, before = tmp_path / "survey", set()
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
        while process.poll() is None and len([*folder.glob("shard-*.json")]) < len(before) + 20:
            time.sleep(0.01)
        process.kill()
        process.wait()
        after = {path.name for path in folder.glob("shard-*.json")}
        assert before < after
        before = after
    trained.clear()
    found = surveyed(folder, n_nets=100_000, shard_nets=500, epochs=300)
    assert found.to_json() == surveyed(n_nets=100_000, epochs=300, shard_nets=2**14).to_json()
    again = {f"shard-{first}-{stop}.json" for first, stop in trained}
    assert not again & before
