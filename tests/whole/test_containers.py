"""Results as objects: pickled, copied, sent to other processes, selected from, listed, and shown in notebooks."""

import concurrent.futures
import copy
import html.parser
import multiprocessing
import pickle
import signal
import sys

import numpy as np
import pytest

import fastmlp
from tests.support.data import DATA, XOR_X, XOR_Y

ARCH = fastmlp.Architecture((2, 3, 1), "leaky_relu", leaky_slope=np.linspace(0, 0.2, 6))
RUNS = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=6, epochs=4, keep_state=True, record_every=1, validation=(XOR_X, XOR_Y))


def slower(epoch):
    return 0.9**epoch


def interruption():
    return fastmlp.TrainingInterrupted(RUNS, signal.SIGINT)


def objects():
    """Every public kind of object and exception, by name."""
    stuck = fastmlp.train(fastmlp.Architecture((2, 3, 1), bias=False), XOR_X, XOR_Y, n_nets=9, epochs=9)
    weights, biases = [RUNS.weights[0][0], RUNS.weights[1][0]], [RUNS.biases[0][0], RUNS.biases[1][0]]
    plain = fastmlp.Architecture((2, 3, 1))
    gradients = fastmlp.loss_and_gradients(plain, [w[None] for w in weights], [b[None] for b in biases], XOR_X, XOR_Y)
    mine = [g[0] for g in gradients.weight_gradients], [g[0] for g in gradients.bias_gradients]
    grid = {"sizes": [(2, 3, 1)], "schedule": [slower, lambda epoch: 1.0, None]}
    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    survey = fastmlp.survey(plain, XOR_X, XOR_Y, n_nets=20, epochs=3, schedule=lambda epoch: 0.9**epoch, nets="best")
    return {
        "Runs": RUNS,
        "Runs of none": RUNS[:0],
        "Network": RUNS[2],
        "Architecture": ARCH,
        "Status": RUNS[0].status,
        "SGD": fastmlp.SGD(np.array([0.1, 0.2]), 0.5, True),
        "Adam": fastmlp.Adam(),
        "RMSprop": fastmlp.RMSprop(),
        "Rprop": fastmlp.Rprop(),
        "Normal": fastmlp.Normal(0.1, bias=fastmlp.Uniform(-1, 1)),
        "VarianceScaling": fastmlp.initializers.INITIALIZERS["he_uniform"],
        "Cause": fastmlp.Cause.SOLVED,
        "Diagnosis": stuck.diagnose(XOR_X, XOR_Y, try_fixes=True),
        "Diagnosis without trials": stuck.diagnose(XOR_X, XOR_Y),
        "Estimate": fastmlp.estimate(plain, 4),
        "LossAndGradients": gradients,
        "GradientAudit": fastmlp.audit_gradients(plain, weights, biases, XOR_X, XOR_Y, *mine),
        "Progress": fastmlp.Progress(1, 2, 3, 4, 5.0),
        "Sweep": fastmlp.sweep(XOR_X, XOR_Y, grid, n_seeds=3, epochs=3),
        "Survey": survey,
        "SurveyError": fastmlp.SurveyError("a shard failed", survey),
        "SurveyInterrupted": fastmlp.SurveyInterrupted(survey),
        "TrainingInterrupted": interruption(),
        "FileFormatError": fastmlp.FileFormatError("no file of nets"),
        "MLPClassifier": fastmlp.MLPClassifier((3,), max_iter=5, tol=1.0, n_iter_no_change=1).fit(X, y),
        "MLPRegressor": fastmlp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, tol=1.0, n_iter_no_change=1).fit(
            X, y
        ),
    }


@pytest.fixture(scope="module")
def things():
    return objects()


def by_pickle(thing):
    return pickle.loads(pickle.dumps(thing))


def content(thing):
    """What a thing says and holds."""
    parts = [type(thing), str(thing)]
    for name, value in sorted(getattr(thing, "__dict__", {}).items()):
        if isinstance(value, np.ndarray) and value.dtype != object:
            parts.append((name, value.dtype, value.tobytes()))
    return parts


@pytest.mark.parametrize("way", [by_pickle, copy.copy, copy.deepcopy])
def test_every_public_object_is_pickled_and_copied(way, things):
    for name, thing in things.items():
        again = way(thing)
        assert content(again) == content(thing), name


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
def test_pickles_from_before_the_packages_load():
    """They name modules as these were called then."""
    things = pickle.loads((DATA / "before-packages.pickle").read_bytes())
    assert things["Runs"].settings["optimizer"] == "adam"
    assert things["Runs"].plot is not None
    again = fastmlp.train(
        things["Architecture"],
        XOR_X,
        XOR_Y,
        n_nets=4,
        epochs=20,
        optimizer=fastmlp.Adam(0.05),
        init=fastmlp.Normal(0.5),
        validation=(XOR_X, XOR_Y),
    )
    assert things["Runs"].weights_sha256() == again.weights_sha256()
    assert things["Diagnosis"].trials[0].fix.name == "bias"
    assert things["Sweep"].best()[0]["sizes"] == (2, 3, 1)
    assert things["MLPClassifier"].predict(XOR_X).shape == (4,)
    assert all(str(thing) for thing in things.values())


def echo(thing):
    return type(thing).__name__, str(thing), thing


def test_every_public_object_goes_to_a_spawned_process_and_back(things):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        for name, (kind, text, again) in zip(things, pool.map(echo, things.values()), strict=True):
            assert kind == type(things[name]).__name__
            assert text == str(things[name])
            assert content(again) == content(things[name]), name


def interrupted():
    raise interruption()


def test_an_interrupt_in_a_process_of_a_pool_brings_its_results():
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(fastmlp.TrainingInterrupted, match="holds the results so far") as caught:
            pool.submit(interrupted).result()
        assert caught.value.runs.weights_sha256() == RUNS.weights_sha256()
        assert caught.value.signal == signal.SIGINT
        assert pool.submit(len, [1]).result() == 1  # the pool goes on


def test_functions_without_a_name_are_lost_and_say_so(things):
    again = by_pickle(things["Sweep"])
    assert again.train(0).weights_sha256() == things["Sweep"].train(0).weights_sha256()
    with pytest.raises(ValueError, match="could not be kept in the pickle"):
        again.train(1)
    assert again.train(1, schedule=slower).weights_sha256() == again.train(0).weights_sha256()
    copied = copy.deepcopy(things["Sweep"])
    assert copied.train(1).weights_sha256() == things["Sweep"].train(1).weights_sha256()
    fix = by_pickle(things["Diagnosis"]).trials[0].fix
    with pytest.raises(ValueError, match="could not be kept"):
        fix.change(None)


def test_copies_of_runs_can_be_diagnosed_with_fixes():
    stuck = fastmlp.train(fastmlp.Architecture((2, 3, 1), bias=False), XOR_X, XOR_Y, n_nets=9, epochs=9)
    for again in (copy.copy(stuck), copy.deepcopy(stuck)):
        assert again.diagnose(XOR_X, XOR_Y, try_fixes=True).trials
    deep = copy.deepcopy(stuck)
    deep.parameters[:] = 0
    assert stuck.parameters.any()


# ---------------------------------------------------------------------------------------------- selections


@pytest.mark.parametrize(
    "which",
    [
        True,
        False,
        np.True_,
        np.array(True),
        None,
        Ellipsis,
        (0, 1),
        (slice(2), 0),
        1.0,
        "0",
        [0.5],
        [[0, 1]],
        np.zeros((6, 1), bool),
        np.array([["a"]]),
        {0: 1},
        {0},
    ],
    ids=repr,
)
def test_what_is_no_selection_of_nets_is_refused(which):
    with pytest.raises((TypeError, IndexError), match="needs a net's number, a slice, a mask"):
        RUNS[which]


@pytest.mark.parametrize("length", [5, 7, 0])
def test_masks_of_another_length_are_refused(length):
    with pytest.raises(IndexError, match=r"a mask of shape \(6,\)"):
        RUNS[np.ones(length, bool)]


def test_selections_are_runs_or_one_net():
    assert isinstance(RUNS[-1], fastmlp.Network)
    assert isinstance(RUNS[np.int8(3)], fastmlp.Network)
    assert isinstance(RUNS[np.array(3)], fastmlp.Network)
    for which, count in ((slice(1, 3), 2), ([0, 5, 5], 3), (RUNS.loss > 0, 6), ([], 0), ([True] * 6, 6), (range(2), 2)):
        some = RUNS[which]
        assert isinstance(some, fastmlp.Runs)
        assert len(some) == count
        assert some.parameters.shape == (count, RUNS.parameters.shape[1])


# -------------------------------------------------------------------------------------- notebooks and listings


class Tables(html.parser.HTMLParser):
    """Counts elements, and holds that each is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.counts = [], {}

    def handle_starttag(self, tag, _attributes):
        self.open.append(tag)
        self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_notebooks_show_tables(things):
    for name in ("Runs", "Runs of none", "Network", "Diagnosis", "Diagnosis without trials", "Sweep"):
        shown = Tables()
        shown.feed(things[name]._repr_html_())
        assert not shown.open, name
        assert shown.counts["table"] == 1
    assert things["Runs"]._repr_html_().count("<tr>") == 7
    assert "zero_input" in things["Diagnosis"]._repr_html_()
    assert "2-3-1" in things["Sweep"]._repr_html_()
    many = RUNS[np.zeros(40, int)]._repr_html_()
    assert many.count("<tr>") == 11
    assert "30 more nets" in many
    from fastmlp._tables import html_table

    assert "&lt;b&gt;" in html_table("<b>", ["<b>"], [["<b>"]], "<b>")
    assert "<b>" not in html_table("<b>", ["<b>"], [["<b>"]], "<b>")


def test_what_there_is_is_listed():
    shown = dir(fastmlp)
    assert set(fastmlp.__all__) < set(shown)
    for name in ("load", "FileFormatError", "MLPClassifier", "MLPRegressor", "__version__"):
        assert name in shown
    assert not {"TYPE_CHECKING", "Any"} & set(shown)
    for name in shown:
        assert getattr(fastmlp, name) is not None


def test_sizes_are_those_of_the_arrays():
    """What Dask and joblib go by, when they decide what to keep and to send."""
    arrays = [RUNS.parameters, RUNS.loss, RUNS.history, RUNS.validation_history, RUNS.state.rows]
    assert sys.getsizeof(RUNS) > sum(array.nbytes for array in arrays)
    assert sys.getsizeof(RUNS[:1]) < sys.getsizeof(RUNS)
