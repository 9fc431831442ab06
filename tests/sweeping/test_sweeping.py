"""Sweeps train the nets that separate calls would; restarts replace what is stuck; wrong grids are refused first."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import fastmlp
from fastmlp.sweeping import rungs, together
from tests.support.data import XOR_X, XOR_Y, bits

GRID = {
    "sizes": [(2, 3, 1), (2, 4, 4, 1)],
    "hidden": ["relu", "leaky_relu"],
    "leaky_slope": [0.01, 0.3],
    "init": ["he_uniform", fastmlp.Uniform(-1, 1, bias=0.1)],
    "learning_rate": [0.05, 0.5],
    "l2": [0.0, 0.01],
}
GRIDS = [
    {**GRID, "optimizer": ["sgd"], "momentum": [0.0, 0.9]},
    {"sizes": [(2, 5, 1)], "optimizer": ["adam"], "beta1": [0.8, 0.9], "dropout": [0.0, 0.2], "batch_size": [None, 2]},
    {"sizes": [(2, 5, 2)], "output": ["softmax"], "optimizer": ["rprop", "rmsprop"], "target_loss": [None, 0.1, 0.3]},
    {"sizes": [(2, 5, 1)], "optimizer": ["sgd"], "patience": [5, 20], "tol": [1e-3, 1e-2], "epochs": [20, 60]},
]


def alone(found, row, **fixed):
    """The nets of a row by a call of `train` that is written out from its names."""
    named = {name[6:]: values[row] for name, values in found.table.items() if name.startswith("param_")}
    named = {**{k: v for k, v in named.items() if k in found._settings[row].named}, **fixed}
    arch = fastmlp.Architecture(**{k: named.pop(k) for k in ("sizes", "hidden", "output", "leaky_slope") if k in named})
    kinds = {"sgd": fastmlp.SGD, "adam": fastmlp.Adam, "rprop": fastmlp.Rprop, "rmsprop": fastmlp.RMSprop}
    own = {k: float(named.pop(k)) for k in ("learning_rate", "momentum", "beta1") if k in named}
    kind = kinds[named.pop("optimizer", "adam")]
    named = {k: v.item() if isinstance(v, np.generic) else v for k, v in named.items()}
    return fastmlp.train(arch, XOR_X, XOR_Y, n_nets=found.loss.shape[1], optimizer=kind(**own), **named)


def test_every_row_has_the_bits_of_a_call_of_its_own():
    found = fastmlp.sweep(XOR_X, XOR_Y, GRIDS[0], n_seeds=7, epochs=40, seed=3)
    others = fastmlp.sweep(XOR_X, XOR_Y, GRIDS[1:3], n_seeds=7, epochs=40, seed=3)
    last = fastmlp.sweep(XOR_X, XOR_Y, GRIDS[3], n_seeds=7, seed=3)
    assert (len(found), len(others), len(last)) == (128, 14, 8)
    for sweep, fixed in ((found, {"epochs": 40}), (others, {"epochs": 40}), (last, {})):
        for row in range(len(sweep)):
            expected = alone(sweep, row, seed=3, **fixed)
            assert bits(expected.loss.astype(float)) == bits(sweep.loss[row]), sweep._settings[row].named
            assert ((expected.accuracy == 1) == sweep.solved[row]).all()
            if row % 10 == 0:
                assert bits(sweep.train(row).parameters) == bits(expected.parameters)


def test_groups_are_trained_in_few_runs(monkeypatch):
    """128 settings of four architectures and activations, with momentum and without, need a call each."""
    calls, train_nets = [], together.train_nets
    monkeypatch.setattr(
        together, "train_nets", lambda settings, *args: calls.append(settings) or train_nets(settings, *args)
    )
    fastmlp.sweep(XOR_X, XOR_Y, GRIDS[0], n_seeds=5, epochs=3)
    assert len([call for call in calls if call.epochs]) == 8


@pytest.mark.parametrize("settings", [{}, {"target_loss": 0.2}, {"patience": 30, "tol": 1e-3}])
def test_halving_keeps_the_best_and_their_bits(settings):
    grid = {"sizes": [(2, 2, 1), (2, 4, 1), (2, 8, 1)], "learning_rate": [0.003, 0.03, 0.3], "hidden": ["tanh", "relu"]}
    fixed = {"optimizer": "adam", "epochs": 540, **settings}
    found = fastmlp.sweep(XOR_X, XOR_Y, grid, n_seeds=40, halving=3, **fixed)
    whole = fastmlp.sweep(XOR_X, XOR_Y, grid, n_seeds=40, **fixed)
    assert sorted(found.table["epochs"].tolist()) == [20] * 12 + [60] * 4 + [180, 540]
    best = found.table["rank"].argsort()
    assert found.table["epochs"][best[0]] == 540
    assert bits(found.loss[best[0]]) == bits(whole.loss[best[0]])
    assert whole.table["success_rate"][best[0]] >= np.sort(whole.table["success_rate"])[-6]
    for row in best[1:]:  # those that left earlier are at a part of their epochs
        epochs = int(found.table["epochs"][row])
        assert bits(found.train(row, epochs=epochs).loss.astype(float)) == bits(found.loss[row])


def test_halving_goes_on_with_optimizers_that_keep_less():
    grid = {"momentum": [0.0, 0.999], "sizes": [(2, 8, 1)]}
    fixed = {"optimizer": "rmsprop", "learning_rate": 0.05, "epochs": 100}
    found = fastmlp.sweep(XOR_X, XOR_Y, grid, n_seeds=50, halving=2, **fixed)
    best = int(found.table["rank"].argmin())
    assert bits(found.train(best).loss.astype(float)) == bits(found.loss[best])


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize(
    "settings",
    [
        {"halving": 3, "target_loss": 0.2},
        {"halving": 2, "validation": (XOR_X, XOR_Y)},
        {"validation": (XOR_X, XOR_Y, np.arange(1.0, 5.0)), "schedule": lambda epoch: 0.99**epoch},
        {"bootstrap": True, "sample_weight": np.arange(1.0, 5.0)},
    ],
)
def test_an_executor_does_not_show(settings, pool, monkeypatch):
    grid = {
        "sizes": [(2, 3, 1), (2, 5, 1)],
        "learning_rate": [0.003, 0.3],
        "init": ["he_uniform", fastmlp.Uniform(-1, 1, bias=0.1)],
    }
    fixed = {"optimizer": "adam", "epochs": 90, "n_seeds": 23, "seed": 2, **settings}
    here = fastmlp.sweep(XOR_X, XOR_Y, grid, **fixed)
    for least in (rungs.LEAST_NETS, 1):  # some settings, or one net a task
        monkeypatch.setattr(rungs, "LEAST_NETS", least)
        if least == 1:
            monkeypatch.setattr(rungs, "TASK_SECONDS", 1e-9)
            fixed["n_seeds"] = 3
            here = fastmlp.sweep(XOR_X, XOR_Y, grid, **fixed)
        there = fastmlp.sweep(XOR_X, XOR_Y, grid, executor=pool, **fixed)
        for name, values in here.table.items():
            assert np.array_equal(values, there.table[name], equal_nan=values.dtype != object), name
        assert bits(here.loss) == bits(there.loss)
        assert bits(here.train(1).parameters) == bits(there.train(1).parameters)


@pytest.mark.parametrize("threads", [False, True])
def test_settings_that_are_finished_early_stay(threads):
    """All nets of the widest setting reach the target in the first of four rungs."""
    grid = {"sizes": [(2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 5, 1), (2, 8, 1), (2, 32, 1)]}
    fixed = {"epochs": 3000, "target_loss": 0.3, "n_seeds": 6, "learning_rate": 0.03, "halving": 2}
    with ThreadPoolExecutor(2) as pool:
        found = fastmlp.sweep(XOR_X, XOR_Y, grid, **fixed, **({"executor": pool} if threads else {}))
    assert found.table["epochs"].max() == 3000
    assert found.table["n_solved"][-1] == 0 or found.table["rank"].min() == 1
    for row in range(len(found)):
        assert bits(found.train(row).loss.astype(float)) == bits(found.loss[row])
    assert (found.table["epochs"] == 3000).sum() == 1


def test_bad_input_is_refused_before_the_executor_is_used():
    class Untouched(ThreadPoolExecutor):
        def submit(self, *_):
            pytest.fail("submitted")

    grid = {"sizes": [(2, 3, 1)], "epochs": [5, 10]}
    with Untouched(1) as executor:
        for changes, message in (
            ({"schedule": lambda epoch: 1.0 - epoch / 5}, "schedule gives"),
            ({"threads": 0}, "threads"),
            ({"threads": -5}, "threads"),
            ({"halving": 1}, "halving"),
        ):
            with pytest.raises(ValueError, match=message):
                fastmlp.sweep(XOR_X, XOR_Y, grid, executor=executor, **changes)


def test_nets_that_fail_on_an_executor_are_named(monkeypatch):
    monkeypatch.setattr(together, "train_nets", lambda *_: 1 / 0)
    with ThreadPoolExecutor(2) as threads, pytest.raises(RuntimeError) as caught:
        fastmlp.sweep(XOR_X, XOR_Y, {"sizes": [(2, 3, 1)]}, n_seeds=3, executor=threads)
    for part in ("{'sizes': (2, 3, 1)} failed 3 times: ZeroDivisionError", "In the worker:\nTraceback"):
        assert part in str(caught.value)
    with pytest.raises(TypeError, match="executor=3"):
        fastmlp.sweep(XOR_X, XOR_Y, {"sizes": [(2, 3, 1)]}, executor=3)


def test_the_table_says_what_the_nets_came_to():
    found = fastmlp.sweep(
        XOR_X, XOR_Y, {"sizes": [(2, 2, 1), (2, 8, 1)]}, n_seeds=300, epochs=500, optimizer="sgd", learning_rate=0.5
    )
    t = found.table
    runs = found.train(1)
    count = int((runs.accuracy == 1).sum())
    assert t["n_solved"][1] == count
    assert t["success_low"][1] < count / 300 < t["success_high"][1]
    assert t["median_loss"][1] == pytest.approx(np.median(runs.loss))
    assert t["rank"].tolist() == [2, 1]
    assert found.best() == [{"sizes": (2, 8, 1)}]
    assert "2-8-1" in str(found).splitlines()[2]


def test_tables_for_pandas_and_polars():
    pandas = pytest.importorskip("pandas")
    found = fastmlp.sweep(XOR_X, XOR_Y, {"sizes": [(2, 2, 1)], "l2": [0.0, 0.1]}, n_seeds=5, epochs=5)
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["param_sizes"].tolist() == ["2-2-1"] * 2
    assert frame["param_l2"].tolist() == [0.0, 0.1]
    pytest.importorskip("polars")
    assert found.to_polars()["n_seeds"].to_list() == [5, 5]


def test_numbers_are_solved_by_their_loss():
    X = np.linspace(-1, 1, 20)[:, None]
    grid = {"sizes": [(1, 8, 1)], "learning_rate": [1e-5, 0.03]}
    found = fastmlp.sweep(X, X[:, 0] ** 2, grid, output="identity", hidden="tanh", n_seeds=20, epochs=1000)
    assert found.table["n_solved"].tolist() == [0, 20]
    assert fastmlp.sweep(
        X, X[:, 0] ** 2, grid, output="identity", hidden="tanh", n_seeds=20, epochs=10, solved_loss=100.0
    ).table["n_solved"].tolist() == [20, 20]


NOISY = np.random.default_rng(2).normal(size=(160, 10))
NOISY_Y = ((NOISY[:, 0] > 0) ^ (np.random.default_rng(3).random(160) < 0.15)).astype(int)
HALF = {"validation": (NOISY[80:], NOISY_Y[80:]), "validation_score": "accuracy"}


def test_validation_data_rank_the_settings():
    """Wide nets learn the noise of their samples, which no other sample has."""
    grid = {"sizes": [(10, 64, 1), (10, 2, 1)], "l2": [0.0, 0.1]}
    settings = {"epochs": 400, "optimizer": fastmlp.Adam(0.02), "n_seeds": 12}
    plain = fastmlp.sweep(NOISY[:80], NOISY_Y[:80], grid, **settings)
    assert plain.best()[0]["sizes"] == (10, 64, 1)
    assert np.isnan(plain.table["median_validation"]).all()
    found = fastmlp.sweep(NOISY[:80], NOISY_Y[:80], grid, **settings, **HALF)
    medians = []
    for row in range(4):
        runs = found.train(row)
        assert (runs.loss == found.loss[row]).all()
        own = ((runs.predict(NOISY[80:])[:, :, 0] > 0.5) == NOISY_Y[80:]).mean(axis=1)
        np.testing.assert_allclose(own, runs.validation_score)
        medians.append(np.median(own))
    np.testing.assert_allclose(found.table["median_validation"], medians)
    assert found.table["median_validation"][found.table["rank"] == 1] == pytest.approx(max(medians))
    assert "median validation" in str(found)
    assert "median validation" not in str(plain)
    assert found.table["best_validation"].max() <= 1


def test_halving_goes_by_validation_data():
    grid = {"sizes": [(10, 64, 1), (10, 4, 1), (10, 1)], "l2": [0.0, 0.1]}
    settings = {"epochs": 360, "optimizer": fastmlp.Adam(0.02), "n_seeds": 8}
    found = fastmlp.sweep(NOISY[:80], NOISY_Y[:80], grid, halving=3, **settings, **HALF)
    assert sorted(found.table["epochs"].tolist()) == [40, 40, 40, 40, 120, 360]
    best = int(np.argmin(found.table["rank"]))
    whole = found.train(best)
    assert (whole.loss == found.loss[best]).all()
    assert np.median(whole.validation_score) == found.table["median_validation"][best]


@pytest.mark.parametrize(
    ("grid", "fixed", "message"),
    [
        ({"sizes": [(2, 3, 1)], "speed": [1]}, {}, "the name of a setting='speed' is not known"),
        ({"learning_rate": [0.1]}, {}, "sizes is neither in the grid"),
        ({"sizes": (2, 3, 1)}, {}, "needs a sequence of whole numbers"),
        ({"sizes": [(2, 3, 1)], "hidden": "relu"}, {}, "needs a list of the values"),
        ({"sizes": [(2, 3, 1)], "momentum": [0.5]}, {"optimizer": "adam"}, "Adam has no momentum"),
        ({"sizes": [(2, 3, 1)], "l2": [0.1]}, {"l2": 0.2}, "in the grid and given"),
        ({"sizes": [(2, 3, 1)], "l2": [-1.0]}, {}, "l2=-1.0"),
        ({"sizes": [(3, 3, 1)]}, {}, "X needs 3 columns"),
        ({"sizes": [(2, 3, 1)]}, {"halving": 1}, "halving=1"),
        ({"sizes": [(2, 3, 1)], "learning_rate": [[0.1, 0.2]]}, {}, "needs one number"),
        ([], {}, "needs a dict of lists"),
        ({"sizes": [(2, 3, 1)]}, {"epochs": 2.5}, "epochs=2.5"),
        ({"sizes": [(2, 3, 1)], "epochs": [20, 5]}, {"schedule": np.ones(20)}, "schedule has shape"),
        ({"sizes": [(2, 3, 1)]}, {"schedule": "adaptive"}, "pass patience too"),
        ({"sizes": [(2, 3, 1)]}, {"sample_weight": np.ones((3, 4))}, "one row a net"),
        ({"sizes": [(2, 3, 1)]}, {"init": ([], [])}, "init holds arrays"),
        ({"sizes": [(2, 3, 1)]}, {"optimizer": "sgd", "momentum": np.zeros(3)}, "momentum is an array"),
        ({"sizes": [(2, 3, 1)], "validation_score": ["loss", "accuracy"]}, {}, "validation_score is in the grid"),
        ({"sizes": [(2, 3, 1)], "loss": ["bce", "mse"]}, {"validation": (XOR_X, XOR_Y)}, "of different losses"),
        ({"sizes": [(2, 3, 1)]}, {"validation": (XOR_X[:, :1], XOR_Y)}, "needs 2 columns"),
        ({"sizes": [(2, 3, 1)]}, {"validation": (XOR_X, XOR_Y), "halving": 2, "restore_best": True}, "leave restore"),
        ({"sizes": [(2, 3, 1)]}, {"validation": (XOR_X, XOR_Y), "halving": 2, "patience": 3}, "leave one of them out"),
    ],
)
def test_wrong_grids_are_refused_before_anything_is_trained(grid, fixed, message, monkeypatch):
    monkeypatch.setattr(together, "train_nets", lambda *_: pytest.fail("trained"))
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.sweep(XOR_X, XOR_Y, grid, n_seeds=3, **fixed)


@pytest.mark.parametrize("y", [np.array([0.5, 2, 3, 4]), -np.inf], ids=["numbers", "infinite"])
def test_an_unknown_loss_is_refused_for_any_targets(y):
    with pytest.raises(ValueError, match=r"loss='' is not known|y "):
        fastmlp.sweep(XOR_X, y, {"sizes": [(2, 3, 1)]}, n_seeds=3, loss="")


# ------------------------------------------------------------------------------------------------ restarts

SETTINGS = {"optimizer": fastmlp.SGD(0.5), "epochs": 1000, "patience": 100, "target_loss": 0.1, "seed": 5}


@pytest.mark.parametrize("outputs", [["softmax", "identity"], ["identity", "softmax"]])
def test_each_output_says_what_is_solved(outputs):
    """Class numbers are on the right side or not; as numbers they are met by a loss that cross-entropy is not."""
    X, y = np.repeat(np.eye(3), 4, axis=0), np.repeat([0, 1, 2], 4)
    one, two = ({"output": [output], "sizes": [(3, 8, 3 if output == "softmax" else 1)]} for output in outputs)
    found = fastmlp.sweep(X, y, [one, two], n_seeds=12, epochs=30, optimizer=fastmlp.Adam(0.02))
    for row, output in enumerate(outputs):
        runs = fastmlp.train(
            fastmlp.Architecture((3, 8, 3 if output == "softmax" else 1), output=output),
            X,
            y,
            n_nets=12,
            epochs=30,
            optimizer=fastmlp.Adam(0.02),
        )
        expected = runs.accuracy == 1 if output == "softmax" else runs.loss <= 0.01 * np.var(y)
        assert expected.sum() > 0
        assert (found.solved[row] == expected).all()
        assert found.table["n_solved"][row] == expected.sum()


def test_stuck_nets_are_restarted_until_all_are_solved():
    arch = fastmlp.Architecture((2, 4, 1))
    runs = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=300, restart_stuck=100, **SETTINGS)
    assert (runs.status == fastmlp.Status.REACHED_TARGET).all()
    first = fastmlp.train(arch, XOR_X, XOR_Y, n_nets=300, **SETTINGS)
    assert ((runs.restarts == 0) == (first.status == fastmlp.Status.REACHED_TARGET)).all()
    assert 0 < runs.restarts.mean() < 2
    assert (runs.net_ids == np.arange(300) + runs.restarts * 2**40).all()
    again = fastmlp.train(arch, XOR_X, XOR_Y, net_ids=runs.net_ids, **SETTINGS)
    assert bits(again.parameters) == bits(runs.parameters)
    number = int(runs.restarts.argmax())
    before = fastmlp.train(arch, XOR_X, XOR_Y, net_ids=number + np.arange(runs.restarts.max()) * 2**40, **SETTINGS)
    assert (before.status != fastmlp.Status.REACHED_TARGET).all()
    part = fastmlp.train(arch, XOR_X, XOR_Y, net_ids=np.arange(100, 200), restart_stuck=100, threads=1, **SETTINGS)
    assert bits(part.parameters) == bits(runs.parameters[100:200])
    assert (runs[5:9].restarts == runs.restarts[5:9]).all()


def test_restarts_end_at_their_limit_and_settings_follow_their_nets():
    arch = fastmlp.Architecture((2, 4, 1))
    rates = np.where(np.arange(100) % 2, 0.5, 1e-6)
    runs = fastmlp.train(
        arch, XOR_X, XOR_Y, n_nets=100, optimizer=fastmlp.SGD(rates), epochs=500, restart_stuck=3, record_every=100
    )
    assert (runs.restarts[::2] == 3).mean() > 0.9
    assert runs.restarts[1::2].mean() < 1
    assert runs.history.shape == (100, 6)
    assert (runs.history[:, -1] == runs.loss).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restart_stuck": 0}, "restart_stuck=0"),
        ({"restart_stuck": True}, "whole number"),
        ({"restart_stuck": 2, "keep_state": True}, "not possible with keep_state"),
        (
            {
                "restart_stuck": 2,
                "init": ([np.ones((1, 2, 3)), np.ones((1, 3, 1))], [np.ones((1, 3)), np.ones((1, 1))]),
            },
            "not as arrays",
        ),
        ({"restart_stuck": 2, "net_ids": [2**41]}, "below 2\\*\\*40"),
        ({"restart_stuck": 2, "y": [0.5, 1, 2, 3], "loss": "mse"}, "pass target_loss"),
    ],
)
def test_restarts_that_make_no_sense_are_refused(settings, message, monkeypatch):
    monkeypatch.setattr(fastmlp.training, "Runner", lambda *_: pytest.fail("trained"))
    arguments = {"architecture": fastmlp.Architecture((2, 3, 1)), "X": XOR_X, "y": XOR_Y, "epochs": 2, **settings}
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.train(**arguments)


def test_restarts_take_numpys_false_for_false():
    settings = {"n_nets": 4, "epochs": 2, "restart_stuck": 1}
    arch = fastmlp.Architecture((2, 3, 1))
    plain = fastmlp.train(arch, XOR_X, XOR_Y, **settings)
    assert bits(fastmlp.train(arch, XOR_X, XOR_Y, keep_state=np.False_, **settings).parameters) == bits(
        plain.parameters
    )


# ------------------------------------------------------------------------------------------------ folds


@pytest.mark.parametrize("halving", [None, 2])
@pytest.mark.parametrize("executor", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_folds_are_trained_and_validated_apart(halving, executor):
    grid = {"sizes": [(10, 6, 1), (10, 1)], "learning_rate": [0.003, 0.03], "init": ["he_uniform", "torch"]}
    folds = [(np.arange(30, 90), np.arange(30)), (np.arange(60), np.arange(60, 90)), (np.arange(0, 90, 2), [1, 5, 7])]
    fixed = {
        "epochs": 8,
        "batch_size": 16,
        "cv": folds,
        "n_seeds": 5,
        "validation_score": "accuracy",
        "halving": halving,
    }
    X, y = NOISY[:90], NOISY_Y[:90]
    if executor:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = fastmlp.sweep(X, y, grid, executor=pool, **fixed)
    else:
        found = fastmlp.sweep(X, y, grid, **fixed)
    assert found.loss.shape == (8, 15)
    for row in range(8):
        epochs = int(found.table["epochs"][row])
        named = found.table["param_sizes"][row], found.table["param_learning_rate"][row], found.table["param_init"][row]
        scores = []
        for fold, (rows, held) in enumerate(folds):
            alone = fastmlp.train(
                fastmlp.Architecture(named[0]),
                X[rows],
                y[rows],
                n_nets=5,
                epochs=epochs,
                optimizer=fastmlp.Adam(named[1]),
                init=named[2],
                batch_size=16,
                validation=(X[held], y[held]),
                validation_score="accuracy",
                restore_best=halving is None,
            )
            assert (found.loss[row, 5 * fold : 5 * fold + 5] == alone.loss).all(), (row, fold)
            scores.append(alone.validation_score)
        assert found.table["median_validation"][row] == np.median(scores)
        assert (found.train(row).loss == found.loss[row]).all()


def test_folds_that_do_not_fit_are_refused():
    grid = {"sizes": [(10, 1)]}
    with pytest.raises(ValueError, match="leave validation out"):
        fastmlp.sweep(NOISY, NOISY_Y, grid, cv=2, validation=(NOISY, NOISY_Y))
    with pytest.raises(ValueError, match="pass cv too"):
        fastmlp.sweep(NOISY, NOISY_Y, grid, groups=np.zeros(len(NOISY)))
    with pytest.raises(ValueError, match=r"fold 0 has the sample 999"):
        fastmlp.sweep(NOISY, NOISY_Y, grid, cv=[([999], [0])])
    with pytest.raises(ValueError, match="leave one of them out"):
        fastmlp.sweep(NOISY, NOISY_Y, {"sizes": [(10, 1), (10, 2, 1)]}, cv=[([1], [0])], halving=2, patience=3)
