"""How many threads: the least of affinity, the control groups' CPU quota, and what schedulers set."""

import os

import pytest

from fastmlp._engine import processors
from fastmlp._engine.processors import available_threads, quota_processors, thread_count

V1 = "4:memory:/a\n3:cpu,cpuacct:/docker/box\n1:name=systemd:/init\n"


def made(root, groups, **files):
    """A system's files in a folder: the process's control groups, and files by their path under /sys/fs/cgroup."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for path, text in files.items():
        file = root / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 2**20),
        ("0::/\n", {}, 2**20),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000", "pod/cpu.max": "300000 100000"}, 3),
        ("0::/pod/box\n", {"pod/box/cpu.max": "400000 100000", "pod/cpu.max": "800000 100000"}, 4),
        ("0::/not/mounted/here\n", {"cpu.max": "500000 100000"}, 5),
        ("0::/\n", {"cpu.max": "nonsense"}, 2**20),
        (
            V1,
            {"cpu,cpuacct/docker/box/cpu.cfs_quota_us": "250000", "cpu,cpuacct/docker/box/cpu.cfs_period_us": "1e5"},
            3,
        ),
        (V1, {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2**20),
        ("garbage", {}, 2**20),
    ],
)
def test_the_quota_is_the_least_of_the_groups(tmp_path, groups, files, wanted):
    assert quota_processors(made(tmp_path, groups, **files)) == wanted


def test_a_system_without_control_groups_has_no_quota(tmp_path):
    assert quota_processors(tmp_path) == 2**20


@pytest.mark.parametrize("name", processors.VARIABLES)
@pytest.mark.parametrize(("limit", "wanted"), [("1", 1), ("1,4", 1), ("", 2), ("many", 2), ("0", 2), ("64", 2)])
def test_threads_are_the_least_of_all_limits(monkeypatch, name, limit, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    monkeypatch.setattr(processors, "_QUOTA", type("Unlimited", (), {"processors": lambda _: 2**20})())
    for other in processors.VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, limit)
    assert available_threads() == thread_count(None) == wanted
    monkeypatch.setattr(processors, "_QUOTA", type("One", (), {"processors": lambda _: 1})())
    assert available_threads() == 1
    assert thread_count(5) == 5
    with pytest.raises(ValueError, match="threads=0"):
        thread_count(0)
