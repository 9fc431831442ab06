"""`survey`: one summary, whatever runs the shards and whatever goes wrong on the way."""

import json
import multiprocessing
import os
import pickle
import platform
import signal
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import fastmlp
from fastmlp.distributing import data as sent_data
from fastmlp.distributing.tasks import run_in_worker
from fastmlp.surveying import shard as shards
from fastmlp.surveying.description import described
from fastmlp.surveying.summary import Summary
from tests.support.data import ROOT, SUPPORT, XOR_X, XOR_Y, bits
from tests.support.faults import CHOSEN, FaultyPool

ARCH, N = fastmlp.Architecture((2, 4, 1)), 300
PLAIN = {"optimizer": fastmlp.SGD(0.5), "epochs": 120, "target_loss": 0.1, "seed": 3}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)), RNG.integers(0, 3, 40)
VALUES = RNG.normal(size=40)
JOBS = {
    "xor": (ARCH, XOR_X, XOR_Y, PLAIN),
    "validation": (
        fastmlp.Architecture((3, 5, 3), output="softmax"),
        X,
        Y,
        {"epochs": 8, "batch_size": 16, "validation": (X[:15], Y[:15]), "patience": 2, "sample_weight": RNG.random(40)},
    ),
    "by net": (
        fastmlp.Architecture((2, 4, 1), "leaky_relu", leaky_slope=np.linspace(0, 0.5, N)),
        XOR_X,
        XOR_Y,
        {
            "optimizer": fastmlp.SGD(np.linspace(0.1, 5, N), momentum=0.5),
            "epochs": 40,
            "l2": np.linspace(0, 0.01, N),
            "target_loss": 0.2,
            "schedule": lambda epoch: 0.99**epoch,
        },
    ),
    "bootstrap": (
        fastmlp.Architecture((3, 4, 1), output="identity"),
        X,
        VALUES,
        {"epochs": 5, "bootstrap": True, "dtype": "float64"},
    ),
    "restarts": (ARCH, XOR_X, XOR_Y, {**PLAIN, "restart_stuck": 2}),
    "diverging": (
        fastmlp.Architecture((3, 4, 1), output="identity"),
        X,
        1e20 * VALUES,
        {"optimizer": fastmlp.SGD(np.geomspace(1e-30, 1e30, N)), "epochs": 5},
    ),
}


FAST = ("xor", "validation", "restarts")  # the others need kernels that no other tests of surveys do


def surveyed(job="xor", **changes):
    arch, samples, targets, settings = JOBS[job]
    return fastmlp.survey(arch, samples, targets, **{"n_nets": N, "keep": 9, **settings, **changes})


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize(
    "job", [*FAST, *(pytest.param(job, marks=pytest.mark.slow) for job in JOBS if job not in FAST)]
)
def test_a_survey_is_the_summary_of_one_call_of_train(job, pool):
    arch, samples, targets, settings = JOBS[job]
    runs = fastmlp.train(arch, samples, targets, n_nets=N, **settings)
    found = surveyed(job, shard_nets=N)
    solved = runs.accuracy == 1
    if job in ("bootstrap", "diverging"):
        solved = runs.loss <= np.var(targets) / 100
    assert found.summary == Summary.of(runs, solved, 0, 9)
    assert (found.status["diverged"] > 50) == (job == "diverging")
    for how in ({"shard_nets": 7, "shard_threads": 1}, {"executor": pool, "shard_nets": 41}, {"verify": 1.0}):
        assert surveyed(job, **how).to_json() == found.to_json(), how
    some = [0, 5, N - 1]
    assert bits(found.retrain(some).parameters) == bits(runs.parameters[some])


@pytest.mark.parametrize("shard_nets", [1, 7, 100, 2**14, None])
@pytest.mark.parametrize("threads", [1, 2])
def test_shard_sizes_and_threads_do_not_show(shard_nets, threads):
    n = 30 if shard_nets == 1 else N
    found = surveyed(n_nets=n, shard_nets=shard_nets, shard_threads=threads)
    assert found.to_json() == surveyed(n_nets=n, shard_nets=n).to_json()
    assert found.complete
    assert found.done == [(0, n)]


@pytest.mark.parametrize("seconds", [1e-3, 1e30, np.inf])
def test_any_time_of_a_shard(seconds):
    assert surveyed(shard_seconds=seconds).to_json() == surveyed().to_json()


def test_blocks_do_not_show(monkeypatch):
    whole = surveyed(nets="all")
    monkeypatch.setattr(shards, "BLOCK_NETS", 17)
    blocks = surveyed(nets="all")
    assert blocks.to_json() == whole.to_json()
    assert bits(blocks.nets.parameters) == bits(whole.nets.parameters)


def test_threads_of_this_process():
    with ThreadPoolExecutor(3) as threads:
        found = surveyed(executor=threads, shard_nets=20)
    assert found.to_json() == surveyed().to_json()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_loky(workers):
    loky = pytest.importorskip("joblib.externals.loky")
    executor = loky.get_reusable_executor(max_workers=workers)
    found = surveyed(executor=executor, shard_nets=100)
    executor.shutdown()  # joblib would take it for one of its own
    assert found.to_json() == surveyed().to_json()


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblib(backend, monkeypatch):
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend, n_jobs=2):
        assert surveyed(executor="joblib", shard_nets=20).to_json() == surveyed().to_json()
        monkeypatch.setattr("fastmlp.distributing.files.MOST_IN_A_TASK", 10)
        assert surveyed("validation", executor="joblib").to_json() == surveyed("validation").to_json()
    with joblib.parallel_config("threading", n_jobs=2):
        found = surveyed(executor="joblib", shard_nets=20, callback=lambda _: True)
    assert 20 <= len(found) < N
    with joblib.parallel_config("multiprocessing", n_jobs=2), pytest.raises(ValueError, match="use the backend 'loky'"):
        surveyed(executor="joblib")


def test_ranges_of_nets_are_those_of_a_larger_survey():
    whole, parts = surveyed(), [surveyed(n_nets=n, first_net=first) for first, n in ((0, 120), (120, 180))]
    assert parts[0].summary + parts[1].summary == whole.summary
    assert min(net.number for net in parts[1].sample) >= 120


@pytest.mark.parametrize("nets", ["best", "solved", "all"])
def test_the_nets_that_are_kept(nets, pool):
    runs = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=N, **PLAIN)
    found = surveyed(nets=nets, executor=pool, shard_nets=37)
    order = {"best": [net.number for net in found.best], "solved": np.flatnonzero(runs.accuracy == 1), "all": range(N)}
    assert found.nets.net_ids.tolist() == list(order[nets])
    assert bits(found.nets.parameters) == bits(runs.parameters[list(order[nets])])
    assert surveyed().nets is None


@pytest.mark.slow
@pytest.mark.parametrize("nets", ["best", "all"])
def test_the_nets_that_are_kept_have_their_own_slopes(nets, tmp_path):
    pytest.importorskip("safetensors")
    arch, _, _, settings = JOBS["by net"]
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=N, **settings)
    for folder in (None, tmp_path / "survey", tmp_path / "survey"):
        kept = surveyed("by net", nets=nets, shard_nets=37, folder=folder).nets
        numbers = kept.net_ids.astype(int)
        assert kept.architecture.leaky_slope.tolist() == arch.leaky_slope[numbers].tolist()
        assert bits(kept.predict(XOR_X)) == bits(runs[numbers].predict(XOR_X))


def test_an_executor_that_was_shut_down_is_named():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(fastmlp.SurveyError, match="the executor takes no more tasks: RuntimeError: cannot schedule"):
        surveyed(executor=executor)


# ----------------------------------------------------------------------------------------------------------- faults


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A survey whose shard with the net CHOSEN fails; returns it, and how often that happened."""

    def run(kind, **changes):
        monkeypatch.setattr(FaultyPool, "kind", kind)
        monkeypatch.setattr(FaultyPool, "marks", str(tmp_path))
        with FaultyPool(2, mp_context=multiprocessing.get_context("spawn")) as executor:
            return surveyed(executor=executor, **{"shard_nets": 40, **changes})

    return run


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of POSIX")
@pytest.mark.parametrize("kind", ["dies once", pytest.param("raises once", marks=pytest.mark.slow)])
def test_a_shard_that_fails_once_is_run_again(kind, faulty, tmp_path):
    assert faulty(kind).to_json() == surveyed().to_json()
    assert len([*tmp_path.iterdir()]) > 1


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs the signals of POSIX")
@pytest.mark.parametrize(
    ("kind", "message"),
    [pytest.param("dies always", "its worker died", marks=pytest.mark.slow), ("raises always", "out of order")],
)
def test_a_shard_that_always_fails_is_named(kind, message, faulty):
    if kind == "raises always":
        with pytest.raises(fastmlp.SurveyError, match=f"nets 120 to 159 failed 2 times: .*{message}") as caught:
            faulty(kind, retries=2)
        assert not any(first <= CHOSEN < stop for first, stop in caught.value.survey.done)
    found = faulty(kind, retries=2, on_failure="skip")
    assert not found.complete
    assert [shard[:2] for shard in found.failed] == [(120, 160)]
    assert message in found.failed[0].message
    assert message in str(found)
    assert found.done == [(0, 120), (160, N)]
    others = surveyed(n_nets=120).summary + surveyed(first_net=160, n_nets=N - 160).summary
    assert found.summary == others


def test_a_wrong_answer_is_found(faulty):
    with pytest.warns(RuntimeWarning, match="came out differently in the faulty machine"):
        found = faulty("wrong once", verify=1.0)
    assert found.to_json() == surveyed().to_json()


@pytest.mark.slow
def test_another_version_is_refused(faulty):
    with pytest.raises(fastmlp.SurveyError, match=r"has fastmlp 0\.0\.1 with kernels 00000000, this process"):
        faulty("another version")


@pytest.mark.slow
def test_large_data_go_through_a_file_or_inside_if_a_worker_cannot_read_it(faulty, monkeypatch, tmp_path):
    monkeypatch.setattr("fastmlp.distributing.files.MOST_IN_A_TASK", 10)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "marks").mkdir()
    monkeypatch.setattr(FaultyPool, "marks", str(tmp_path / "marks"))
    written = []
    monkeypatch.setattr(
        "fastmlp.distributing.files.write_data", lambda data: written.append(sent_data.write_data(data)) or written[-1]
    )
    for kind in ("", "no file"):
        assert faulty(kind).to_json() == surveyed().to_json()
    assert len(written) == 2
    assert not any(os.path.exists(file.path) for file in written)


def test_a_pool_that_cannot_be_replaced_ends_the_survey():
    class Broken(ThreadPoolExecutor):
        def submit(self, function, *task):
            return super().submit(_break, *task)

    with Broken(1) as executor, pytest.raises(fastmlp.SurveyError, match="cannot be replaced"):
        surveyed(executor=executor)


def _break(*_):
    from concurrent.futures import BrokenExecutor

    raise BrokenExecutor("gone")


def test_a_callback_that_fails_loses_nothing():
    for wrong in (lambda _: 1 / 0, lambda _: np.array([1, 0])):
        with pytest.raises(fastmlp.SurveyError, match="callback raised") as caught:
            surveyed(shard_nets=50, callback=wrong)
        assert caught.value.survey.done == [(0, 50)]


class OfMixedVersions(ThreadPoolExecutor):
    """All pieces after the first are of another version."""

    def submit(self, function, work, shard, sent):
        return super().submit(_of_another_version if shard.first else function, work, shard, sent)


def _of_another_version(*task):
    return run_in_worker(*task)._replace(identity={"fastmlp": "0.0.0", "kernels": ""})


@pytest.mark.parametrize("case", ["another version", "not verified"])
def test_an_interrupt_merges_only_what_may_be_merged(case):
    def interrupt(_):
        time.sleep(0.5)  # what is in flight comes meanwhile
        raise KeyboardInterrupt

    executor = OfMixedVersions(2) if case == "another version" else ThreadPoolExecutor(2)
    with executor, pytest.raises(fastmlp.SurveyInterrupted) as caught:
        surveyed(executor=executor, shard_nets=30, callback=interrupt, verify=float(case == "not verified"))
    assert len(caught.value.survey) == 30


# ------------------------------------------------------------------------------------------------------ interruptions


def test_a_callback_stops_a_survey():
    seen = []
    found = surveyed(shard_nets=50, callback=lambda state: seen.append(state) or len(seen) == 2)
    assert not found.complete
    assert found.done == [(0, 100)]
    assert found.summary == surveyed(n_nets=100).summary
    assert seen[-1][:2] == (100, N)
    assert seen[-1].solved == found.n_solved
    assert "100 of 300" in str(found)


@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_brings_the_nets_so_far(many, pool, usual_handlers):
    executor = pool if many else None
    with pytest.raises(fastmlp.SurveyInterrupted) as caught:
        surveyed(executor=executor, shard_nets=30, callback=lambda _: os.kill(os.getpid(), signal.SIGINT))
    found = caught.value.survey
    assert 30 <= len(found) < N
    assert sum(stop - first for first, stop in found.done) == len(found)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.survey.to_json() == found.to_json()
    assert str(again) == str(caught.value)


def test_an_interrupt_in_a_worker_does_not_end_it(monkeypatch):
    from fastmlp.training import TrainingInterrupted

    about = described(
        ARCH, XOR_X, XOR_Y, n_nets=3, first_net=0, keep=1, solved_loss=None, settings={"epochs": 1, "optimizer": "sgd"}
    )
    shard = shards.Shard(about, 0, 3, 1, "none")

    def interrupted(**_):
        raise TrainingInterrupted(fastmlp.train(ARCH, XOR_X, XOR_Y, epochs=0), signal.SIGINT)

    monkeypatch.setattr(shards, "train", interrupted)
    assert "TrainingInterrupted" in run_in_worker(shards.train_shard, shard, about.data).message


# ------------------------------------------------------------------------------------------------------------ results


def test_pictures_show_the_counts():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    runs = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=N, **PLAIN)
    found = fastmlp.Survey.from_json(surveyed().to_json())
    curve = found.plot.solved().get_lines()[0]
    epochs = np.sort(runs.epochs[runs.accuracy == 1])
    for epoch in (0, 60, 100, 120):
        expected = 100 * (epochs <= epoch).sum() / N
        assert curve.get_ydata()[curve.get_xdata() <= epoch][-1] == pytest.approx(expected)
    ours, theirs = found.plot.losses(), runs.plot.losses()
    assert "mean cross-entropy" in surveyed("validation").plot.losses().get_xlabel()
    heights = [ax.patches[0].get_data().values for ax in (ours, theirs)]
    assert heights[0].sum() == pytest.approx(100, abs=1)
    assert np.argmax(heights[0]) == np.argmax(heights[1])
    largest = [float(ax.texts[0].get_text().split(" %")[0]) for ax in (ours, theirs)]
    assert largest[0] == pytest.approx(largest[1], abs=0.5)  # one net at the end of a bin
    assert ours.get_title() == "final losses of 300 nets"
    pyplot.close("all")
    with pytest.raises(ValueError, match="no net is solved"):
        surveyed(epochs=0).plot.solved()


def test_tables_of_the_nets():
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    found = surveyed()
    for which in ("best", "sample"):
        frame = found.to_pandas(which)
        assert [fastmlp.surveying.summary.NetRecord(*row) for row in frame.itertuples(index=False)] == getattr(
            found, which
        )
        assert found.to_polars(which)["number"].to_list() == frame["number"].tolist()
    with pytest.raises(ValueError, match="which='worst'"):
        found.to_pandas("worst")
    assert len(surveyed(keep=0).to_pandas()) == 0


def test_json_gives_the_survey_and_its_nets_again():
    for job in ("xor", "validation", "restarts"):
        found = surveyed(job)
        read = fastmlp.Survey.from_json(found.to_json())
        assert read.to_json() == found.to_json()
        assert str(read).splitlines() == str(found).splitlines()
        _, samples, targets, settings = JOBS[job]
        held = {name: settings[name] for name in ("sample_weight", "validation") if name in settings}
        nets = read.retrain([net.number for net in read.best], samples, targets, **held)
        assert nets.loss.tolist() == [net.loss for net in found.best]
    with pytest.raises(ValueError, match="not the data of this survey"):
        read.retrain([1], XOR_X, [1, 0, 0, 1])
    with pytest.raises(ValueError, match="pass X and y"):
        read.retrain([1])
    with pytest.raises(ValueError, match="settings that JSON does not hold"):
        fastmlp.Survey.from_json(surveyed(l2=np.zeros(N)).to_json()).retrain([1], XOR_X, XOR_Y)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format":2}', "null", b"\xff"])
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="not the JSON of a survey"):
        fastmlp.Survey.from_json(text)


def test_quantiles_bracket_those_of_the_nets():
    runs, found = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=N, **PLAIN), surveyed()
    losses, epochs = np.sort(runs.loss), np.sort(runs.epochs[runs.accuracy == 1])
    for share in (0.0, 0.3, 0.5, 0.9, 1.0):
        low, high = found.loss_quantile(share)
        assert low <= losses[int(share * (N - 1))] <= high <= low * (1 + 2**-10)
        assert found.epochs_quantile(share)[0] == epochs[int(share * (len(epochs) - 1))]
    assert found.mean_loss == pytest.approx(runs.loss.astype(float).mean(), rel=1e-12)
    assert found.variance_of_loss == pytest.approx(runs.loss.astype(float).var(), rel=1e-12)
    assert found.success_rate == (runs.accuracy == 1).mean()
    with pytest.raises(ValueError, match="share=2"):
        found.loss_quantile(2)
    with pytest.raises(ValueError, match="of='stuck'"):
        found.epochs_quantile(0.5, of="stuck")


@pytest.mark.parametrize("nets", ["all", "best"])
def test_restarted_nets_are_kept_in_the_order_of_their_first_numbers(nets):
    runs = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=N, **PLAIN, restart_stuck=2)
    found = surveyed("restarts", nets=nets, shard_nets=37)
    order = range(N) if nets == "all" else [net.number for net in found.best]
    assert bits(found.nets.parameters) == bits(runs.parameters[list(order)])
    assert found.nets.net_ids.tolist() == runs.net_ids[list(order)].tolist()


def test_what_the_user_does_to_the_data_afterwards_does_not_show():
    inputs, rates = XOR_X.copy().astype(float), np.full(N, 0.5)
    weights = [np.random.default_rng(0).normal(size=(N, *shape)) for shape in ((2, 4), (4, 1))]
    found = fastmlp.survey(
        fastmlp.Architecture((2, 4, 1), bias=False),
        inputs,
        XOR_Y,
        n_nets=N,
        epochs=9,
        optimizer=fastmlp.SGD(rates),
        init=(weights, []),
        l2=rates,
    )
    for array in (inputs, rates, *weights):
        array[...] = 0.25
    assert [float(loss) for loss in found.retrain(found.best[:5]).loss] == [net.loss for net in found.best[:5]]


@pytest.mark.slow
def test_kept_nets_have_their_settings_for_a_diagnosis():
    whole, parts = (surveyed("by net", nets="all", shard_nets=size, schedule=None) for size in (N, 40))
    reports = [str(found.nets.diagnose(XOR_X, XOR_Y, try_fixes=True, max_nets_tried=20)) for found in (whole, parts)]
    assert reports[0] == reports[1]


def test_retrain_takes_what_belongs_to_the_survey_alone():
    found = surveyed()
    for name in ("net_ids", "seed", "warm_start", "init"):
        with pytest.raises(TypeError, match=f"leave {name} out"):
            found.retrain([1], **{name: 1})
    with pytest.raises(ValueError, match="leave X and y out"):
        found.retrain([1], XOR_X, XOR_Y)
    with pytest.raises(ValueError, match="at least one"):
        found.retrain([])
    content = json.loads(found.to_json())
    content["about"]["bits_version"] = 0
    with pytest.warns(RuntimeWarning, match="bits_version=0, this fastmlp"):
        fastmlp.Survey.from_json(json.dumps(content)).retrain([1], XOR_X, XOR_Y)
    del content["about"]["architecture"]
    with pytest.raises(ValueError, match="not the JSON of a survey"):
        fastmlp.Survey.from_json(json.dumps(content))


def test_blocks_leave_room_for_weights_by_sample():
    about = described(
        ARCH,
        np.zeros((2000, 2)),
        np.zeros(2000),
        n_nets=10,
        first_net=0,
        keep=1,
        solved_loss=None,
        settings={"bootstrap": True},
    )
    assert shards.block_nets(about, 2000) * 2000 * 4 <= shards.BLOCK_BYTES


def test_describing_a_trillion_nets_takes_no_memory():
    keywords = {"n_nets": 10**12, "epochs": 3, "optimizer": "sgd", "shard_nets": 1000, "callback": lambda _: True}
    fastmlp.survey(ARCH, XOR_X, XOR_Y, **keywords)
    tracemalloc.start()
    found = fastmlp.survey(ARCH, XOR_X, XOR_Y, **keywords)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.about["n_nets"] == str(10**12)
    assert peak < 2e7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_nets": 0}, "n_nets=0"),
        ({"n_nets": 2**63 - 5, "first_net": 6}, "n_nets="),
        ({"first_net": -1}, "first_net=-1"),
        ({"keep": -1}, "keep=-1"),
        ({"keep": 10**6}, "keep=1000000"),
        ({"nets": "some"}, "nets='some'"),
        ({"solved_loss": -1}, "solved_loss"),
        ({"executor": "fast"}, "executor='fast'"),
        ({"executor": 4}, "executor=4"),
        ({"executor": ThreadPoolExecutor}, "ThreadPoolExecutor is a class"),
        ({"solved_loss": np.inf}, "solved_loss=inf"),
        ({"sample_weight": np.vstack([np.ones((N - 1, 4)), [1, 1, 1, -1]])}, "sample_weight"),
        ({"schedule": lambda _: "0.5"}, "schedule"),
        ({"shard_nets": 0}, "shard_nets=0"),
        ({"shard_seconds": 0}, "shard_seconds"),
        ({"shard_seconds": [1, 2]}, "shard_seconds"),
        ({"shard_threads": 0}, "shard_threads=0"),
        ({"retries": 0}, "retries=0"),
        ({"verify": 1.5}, "verify"),
        ({"on_failure": "ignore"}, "on_failure='ignore'"),
        ({"callback": 3}, "callback=3"),
        ({"net_ids": [1]}, "survey takes no net_ids: pass first_net and n_nets"),
        ({"warm_start": None}, "survey takes no warm_start"),
        ({"keep_state": True}, "survey takes no keep_state"),
        ({"record_every": 1}, "survey takes no record_every"),
        ({"threads": 2}, "survey takes no threads"),
        ({"kernel": "units"}, "survey takes no kernel"),
        ({"epoch": 2}, "unexpected argument 'epoch'"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"seed": -1}, "seed=-1"),
        ({"l2": np.zeros(N - 1)}, "l2"),
        ({"optimizer": fastmlp.SGD(np.ones(N + 1))}, "SGD"),
        ({"sample_weight": np.ones((N + 1, 4))}, "sample_weight has 301 rows"),
        ({"sample_weight": np.ones(5)}, "sample_weight"),
        (
            {"init": ([np.zeros((2, 2, 4)), np.zeros((2, 4, 1))], [np.zeros((2, 4)), np.zeros((2, 1))])},
            "init holds 2 nets",
        ),
        ({"restart_stuck": 1, "first_net": 2**40}, "restart_stuck needs net numbers below"),
        ({"schedule": lambda _: 1.0, "epochs": 2**21}, "schedule is a function"),
        ({"validation": 5}, "validation needs a pair"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:25],
)
def test_bad_input_is_refused_before_any_work(changes, message, monkeypatch):
    monkeypatch.setattr(shards, "train", None)
    with pytest.raises((ValueError, TypeError), match=message):
        surveyed(**changes)


def test_bad_data_are_refused():
    with pytest.raises(ValueError, match="X"):
        fastmlp.survey(ARCH, [[0, 1, 2]], [0], n_nets=5)
    with pytest.raises(ValueError, match="y"):
        fastmlp.survey(ARCH, XOR_X, [0, 1], n_nets=5)
    with pytest.raises(TypeError, match="architecture"):
        fastmlp.survey((2, 4, 1), XOR_X, XOR_Y, n_nets=5)
    found = surveyed()
    for numbers, error in (([N], ValueError), ([-1], ValueError), ([0.5], TypeError), ([[1]], TypeError)):
        with pytest.raises(error, match="numbers="):
            found.retrain(numbers)


FINGERPRINT = """
import fastmlp
found = fastmlp.survey(fastmlp.Architecture((2, 4, 1)), [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], n_nets=70,
                       optimizer=fastmlp.SGD(0.5), epochs=60, target_loss=0.1, shard_nets=33)
print(found.fingerprint)
"""


@pytest.mark.parametrize("cpu", [None, *(pytest.param(cpu, marks=pytest.mark.slow) for cpu in ("haswell", "x86-64"))])
def test_the_fingerprint_is_that_of_every_processor(cpu):
    if cpu is not None and platform.machine() != "x86_64":
        pytest.skip("needs an x86-64 processor")
    environment = {**os.environ, **({} if cpu is None else {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""})}
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINT], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "ce41da324c99de00"


DRAWN = """
import numpy as np
import fastmlp
from fastmlp.surveying.summary import fingerprint_of
rng = np.random.default_rng(0)
arch = fastmlp.Architecture((2, 3, 1))
for dtype in ("float32", "float64"):
    loss = rng.random(50).astype(dtype)
    loss[::7] = np.nan
    runs = fastmlp.Runs(arch, rng.normal(size=(50, arch.n_parameters)).astype(dtype), loss, loss, rng.integers(0, 9, 50),
                        (rng.integers(0, 4, 50)).astype(np.int8), net_ids=np.arange(50, dtype=np.uint64), seed=0)
    print(f"{fingerprint_of(runs, runs.net_ids):016x}")
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="emulates on x86-64 Linux")
def test_the_fingerprint_is_that_of_an_emulated_arm_processor(tmp_path):
    """Of drawn nets; that these are the same on Arm is for the golden hashes."""
    arm = SUPPORT / "arm64-python"
    probe = subprocess.run([str(arm), "-c", "import numba"], capture_output=True, text=True, check=False)
    if probe.returncode == 77:
        pytest.skip(probe.stderr.strip().splitlines()[-1])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path)}
    here, there = (
        subprocess.run([python, "-c", DRAWN], capture_output=True, text=True, check=True, env=environment).stdout
        for python in (sys.executable, str(arm))
    )
    assert len(here.split()) == 2
    assert here == there
