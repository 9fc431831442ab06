"""The version of the bits: in results, in files, and when a job goes on that another version began."""

import json
import pickle

import pytest

import fastmlp
from fastmlp._io import safetensors
from tests.support.data import XOR_X, XOR_Y

ARCH = fastmlp.Architecture((2, 4, 1))
OURS = fastmlp.BITS_VERSION


def trained(**settings):
    return fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=5, epochs=6, **settings)


def rewrite(path, bits_version):
    """Put another version, or none, into a file, and sign it again."""
    arrays, about = safetensors.read(path, lambda _entries, _about: None)
    for name in ("format", "sha256"):
        about.pop(name, None)
    about["bits_version"] = bits_version
    if bits_version is None:
        del about["bits_version"]
    safetensors.write(path, arrays, about)


def test_results_show_it():
    runs = trained()
    for nets in (runs, runs[1], runs[1:3], runs.best()):
        assert nets.bits_version == OURS
        assert repr(nets).endswith(f", bits_version={OURS})")
    found = fastmlp.survey(ARCH, XOR_X, XOR_Y, n_nets=5, epochs=6)
    assert repr(found).endswith(f", bits_version={OURS})")
    assert json.loads(found.to_json())["about"]["bits_version"] == OURS


@pytest.mark.parametrize("version", [OURS, OURS + 1, None])
def test_nets_in_files_keep_the_version_that_trained_them(tmp_path, version):
    path = tmp_path / "runs"
    trained().save(path)
    rewrite(path, version)
    found = fastmlp.load(path, kind="runs")
    assert found.bits_version == found[0].bits_version == version
    found.save(path)
    found[0].save(tmp_path / "net")
    assert fastmlp.load(path).bits_version == fastmlp.load(tmp_path / "net").bits_version == version


@pytest.mark.parametrize("version", ["1", 1.0, True])
def test_a_file_with_a_version_that_is_no_number_is_refused(tmp_path, version):
    path = tmp_path / "runs"
    trained().save(path)
    rewrite(path, version)
    with pytest.raises(fastmlp.FileFormatError, match="bits_version"):
        fastmlp.load(path)


def test_nets_of_two_versions_together_have_none():
    runs, other = trained(), trained()
    other.bits_version = OURS + 1
    assert fastmlp.Runs.concatenated([runs, runs], ARCH).bits_version == OURS
    assert fastmlp.Runs.concatenated([runs, other], ARCH).bits_version is None


def test_a_finished_job_of_other_bits_gives_its_results(tmp_path):
    path = tmp_path / "job"
    runs = trained(checkpoint=path)
    assert fastmlp.resume(path, XOR_X, XOR_Y).bits_version == OURS
    rewrite(path, OURS + 1)
    again = fastmlp.resume(path, XOR_X, XOR_Y)  # all nets have ended: these are theirs
    assert again.bits_version == OURS + 1
    assert (again.parameters == runs.parameters).all()


def test_an_unfinished_job_of_other_bits_goes_on_with_a_warning(tmp_path, monkeypatch):
    path = tmp_path / "job"
    monkeypatch.setattr("fastmlp.training.Runner.run", lambda *_: fastmlp.training.runner.signal.SIGINT)
    with pytest.raises(fastmlp.TrainingInterrupted):
        trained(checkpoint=path)
    monkeypatch.undo()
    rewrite(path, OURS + 1)
    with pytest.warns(UserWarning, match=f"bits_version={OURS + 1}, this fastmlp has {OURS}") as seen:
        runs = fastmlp.resume(path, XOR_X, XOR_Y)
    assert seen[0].filename == __file__
    assert runs.bits_version is None
    assert (runs.parameters == trained().parameters).all()


def test_training_that_continues_nets_of_other_bits_has_none():
    runs = trained(keep_state=True)
    assert fastmlp.train(ARCH, XOR_X, XOR_Y, warm_start=runs, epochs=2).bits_version == OURS
    for other in (OURS + 1, None):
        runs.bits_version = other
        assert fastmlp.train(ARCH, XOR_X, XOR_Y, warm_start=runs, epochs=2).bits_version is None


def test_restarted_nets_have_it():
    assert trained(restart_stuck=2, target_loss=0.01).bits_version == OURS


def test_pickles_from_before_it_have_none():
    runs = trained()
    net = runs[0]
    del runs.bits_version, net.bits_version
    again, one = pickle.loads(pickle.dumps((runs, net)))
    assert again.bits_version is again[0].bits_version is one.bits_version is None


def test_estimators_have_it_but_not_with_scipys_lbfgs():
    pytest.importorskip("sklearn")
    model = fastmlp.MLPClassifier((3,), max_iter=50, random_state=0, tol=1)
    assert model.fit(XOR_X, XOR_Y).runs_.bits_version == OURS
    assert model.set_params(solver="lbfgs").fit(XOR_X, XOR_Y).runs_.bits_version is None
