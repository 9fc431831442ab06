"""Samples of each net's own: the bits of separate calls, whatever their form, and clear errors."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fastmlp
from fastmlp import Architecture
from fastmlp._engine import tile_arrays, units_memory
from fastmlp.training.checkpoint import load_checkpoint
from tests.support.data import ROOT, XOR_X, bits
from tests.support.own_cases import differences, random_case

RNG = np.random.default_rng(0)
ARCH = Architecture((3, 5, 1))
X, Y = RNG.normal(size=(20, 3)), RNG.integers(0, 2, 20)
PLAIN = {"epochs": 3, "optimizer": fastmlp.SGD(0.1)}


def trained(*args, **settings):
    return fastmlp.train(*(args or (ARCH, X, Y)), **{**PLAIN, **settings})


# ---------------------------------------------------------------------------------------- the bits of separate calls


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "seeds", [range(40), *(pytest.param(range(k, k + 65), marks=pytest.mark.slow) for k in range(40, 300, 65))], ids=str
)
def test_nets_have_the_bits_of_calls_of_their_own(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        form, together, alone = random_case(rng)
        runs = fastmlp.train(**together, threads=int(rng.integers(1, 4)))
        found = differences(runs, [fastmlp.train(**one) for one in alone])
        assert not found, (seed, form, found[:3])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("processor", ["haswell", "x86-64"])
def test_nets_have_these_bits_on_other_processors(processor):
    code = (
        "import numpy as np, fastmlp\n"
        "from tests.support.own_cases import random_case, differences\n"
        "for seed in range(300, 360):\n"
        "    form, together, alone = random_case(np.random.default_rng(seed))\n"
        "    found = differences(fastmlp.train(**together), [fastmlp.train(**one) for one in alone])\n"
        "    assert not found, (seed, form, found[:3])\n"
    )
    chosen = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **chosen, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_many_nets_of_a_group_and_one_of_each_have_the_same_bits():
    groups = RNG.integers(0, 7, 60)
    inputs, targets = RNG.normal(size=(60, 3)), RNG.integers(0, 2, 60)
    for settings in ({}, {"batch_size": 4, "optimizer": fastmlp.Adam(0.05)}):
        once = trained(ARCH, inputs, targets, groups=groups, **settings)
        which = np.repeat(np.arange(7), 20)
        often = trained(ARCH, inputs, targets, groups=groups, rows_of=which, net_ids=which, **settings)
        assert bits(often.parameters) == bits(once.parameters[which])


def test_shared_samples_in_any_form_are_the_same():
    expected = trained(n_nets=4)
    for form in (
        {"rows": [np.arange(20)], "rows_of": [0] * 4},
        {"rows": np.tile(np.arange(20), (4, 1))},
        {"rows": np.ones((4, 20), bool)},
        {"X": np.broadcast_to(X, (4, 20, 3))},
        {"y": np.broadcast_to(Y, (4, 20))},
        {"X": [X] * 4, "y": [Y] * 4},
        {"X": np.broadcast_to(X, (4, 20, 3)), "y": np.broadcast_to(Y, (4, 20, ))[..., None]},
    ):  # fmt: skip
        runs = fastmlp.train(ARCH, **{"X": X, "y": Y, **PLAIN, **form})
        assert len(runs) == 4
        assert bits(runs.parameters) == bits(expected.parameters), sorted(form)
        assert bits(runs.loss) == bits(expected.loss)


def test_restarts_keep_the_samples_of_their_net():
    targets = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 1]] * 5)
    settings = {"optimizer": fastmlp.SGD(0.5), "epochs": 400, "target_loss": 0.1, "seed": 3, "restart_stuck": 4}
    arch = Architecture((2, 2, 1))
    for form in ({"X": XOR_X, "y": targets}, {"X": [XOR_X] * 20, "y": list(targets)}):
        runs = fastmlp.train(arch, **form, **settings)
        assert runs.restarts.max() > 0
        for i in range(20):
            alone = fastmlp.train(arch, XOR_X, targets[i], net_ids=[i], **settings)
            assert bits(alone.parameters[0]) == bits(runs.parameters[i])
            assert (alone.restarts[0], alone.net_ids[0]) == (runs.restarts[i], runs.net_ids[i])


def test_restarts_keep_weights_and_validation_of_their_net():
    targets = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 1]] * 5)
    weights, held_out = RNG.random((20, 4)) + 0.1, (RNG.normal(size=(20, 3, 2)), RNG.integers(0, 2, (20, 3)), None)
    settings = {"optimizer": fastmlp.SGD(0.5), "epochs": 300, "target_loss": 0.1, "restart_stuck": 2}
    arch = Architecture((2, 2, 1))
    own = {"sample_weight": list(weights), "validation": (list(held_out[0]), list(held_out[1]))}
    tables = fastmlp.train(arch, [XOR_X] * 20, list(targets), **own, **settings)
    arrays = fastmlp.train(arch, XOR_X, targets, sample_weight=weights, validation=held_out, **settings)
    nested = fastmlp.train(
        arch, [XOR_X.tolist()] * 20, targets.tolist(), sample_weight=weights.tolist(), validation=held_out, **settings
    )
    assert tables.restarts.max() > 0
    assert bits(tables.parameters) == bits(arrays.parameters) == bits(nested.parameters)


def small_chunks(monkeypatch):
    """Chunks of few samples, so that gradients of a minibatch come from several."""
    monkeypatch.setattr(tile_arrays, "CHUNK_SAMPLES", 16)
    monkeypatch.setattr(units_memory, "CHUNK_SAMPLES", 16)
    monkeypatch.setattr(units_memory, "CHUNK_BYTES", 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernel", ["lanes", "units"])
def test_several_chunks_of_samples(kernel, monkeypatch):
    rows = [RNG.integers(0, 300, int(n)) for n in (9, 16, 17, 40, 100, 100, 150, 290, 300, 33)]
    inputs, targets = RNG.normal(size=(300, 4)), RNG.integers(0, 3, 300)
    arch = Architecture((4, 9, 3), output="softmax")
    given = {"rows": rows, "validation_rows": "rest", "sample_weight": (np.arange(300) % 4) / 2, "kernel": kernel}
    for settings in (
        {"optimizer": "adam", "epochs": 6},
        {"batch_size": 64, "optimizer": fastmlp.SGD(0.1, momentum=0.9), "epochs": 4, "dropout": 0.2, "patience": 2},
        {"batch_size": 40, "bootstrap": True, "epochs": 3, "record_every": 1},
    ):
        whole = fastmlp.train(arch, inputs, targets, threads=2, **given, **settings)
        with monkeypatch.context() as patched:
            small_chunks(patched)
            small = fastmlp.train(arch, inputs, targets, threads=1, **given, **settings)
        assert bits(small.parameters) == bits(whole.parameters)
        alone = []
        for i, own in enumerate(rows):
            rest = np.setdiff1d(np.arange(300), own)
            of_net = {"sample_weight": given["sample_weight"][own], "validation": (inputs[rest], targets[rest])}
            alone.append(fastmlp.train(arch, inputs[own], targets[own], net_ids=[i], **of_net, **settings))
        assert not differences(whole, alone)


def test_teams_of_threads_and_parts_of_different_kernels():
    inputs, targets = RNG.normal(size=(900, 30)), RNG.integers(0, 2, 900)
    arch = Architecture((30, 200, 1))
    rows = [np.arange(20), np.arange(900), np.arange(50, 800)]
    settings = {"batch_size": 64, "optimizer": fastmlp.Adam(0.01), "epochs": 3, "shuffle": "by_net"}
    runs = fastmlp.train(arch, inputs, targets, rows=rows, threads=3, **settings)
    for i, own in enumerate(rows):
        alone = fastmlp.train(arch, inputs[own], targets[own], net_ids=[i], threads=1, **settings)
        assert bits(alone.parameters[0]) == bits(runs.parameters[i])


def test_many_chunks_of_nets_that_end_at_different_times():
    sizes = RNG.integers(3, 12, 900)
    groups = np.repeat(np.arange(900), sizes)
    inputs, targets = RNG.normal(size=(len(groups), 2)), RNG.integers(0, 2, len(groups))
    arch = Architecture((2, 6, 1))
    settings = {"optimizer": fastmlp.Adam(0.1), "epochs": 200, "target_loss": 0.3, "batch_size": 8, "patience": 50}
    runs = fastmlp.train(arch, inputs, targets, groups=groups, threads=2, **settings)
    assert len(np.unique(runs.epochs)) > 20
    for i in range(0, 900, 31):
        own = groups == i
        alone = fastmlp.train(arch, inputs[own], targets[own], net_ids=[i], **settings)
        assert bits(alone.parameters[0]) == bits(runs.parameters[i])
        assert (alone.epochs[0], alone.status[0]) == (runs.epochs[i], runs.status[i])


def test_a_warm_start_goes_on_with_the_same_samples():
    rows = [np.arange(5 + i) for i in range(9)]
    settings = {"rows": rows, "batch_size": 3, "optimizer": fastmlp.Adam(0.01), "keep_state": True}
    whole = trained(epochs=8, **settings)
    begun = trained(epochs=5, **settings)
    assert bits(trained(epochs=3, warm_start=begun, **settings).parameters) == bits(whole.parameters)


def test_gradients_of_samples_of_each_nets_own():
    arch, n = Architecture((3, 4, 2), "tanh", output="identity"), 5
    inputs, targets = RNG.normal(size=(n, 6, 3)), RNG.normal(size=(n, 6, 2))
    weights = [RNG.normal(size=(n, 3, 4)), RNG.normal(size=(n, 4, 2))]
    biases = [RNG.normal(size=(n, 4)), RNG.normal(size=(n, 2))]

    def loss(weights, biases):
        outputs = np.tanh(inputs @ weights[0] + biases[0][:, None]) @ weights[1] + biases[1][:, None]
        return ((outputs - targets) ** 2).mean(axis=(1, 2))

    losses, by_weights, by_biases = fastmlp.loss_and_gradients(
        arch, weights, biases, inputs, targets, loss="mse", dtype="float64"
    )
    np.testing.assert_allclose(losses, loss(weights, biases), rtol=1e-12)
    step = 1e-6
    for arrays, gradients in ((weights, by_weights), (biases, by_biases)):
        for array, gradient in zip(arrays, gradients, strict=True):
            for place in np.ndindex(array.shape[1:]):
                before = array[(slice(None), *place)].copy()
                array[(slice(None), *place)] = before + step
                more = loss(weights, biases)
                array[(slice(None), *place)] = before - step
                less = loss(weights, biases)
                array[(slice(None), *place)] = before
                np.testing.assert_allclose(gradient[(slice(None), *place)], (more - less) / (2 * step), atol=1e-8)


def test_gradients_agree_with_vmap():
    torch = pytest.importorskip("torch")
    n = 4
    inputs, targets = torch.randn(n, 7, 3), torch.rand(n, 7, 1).round()
    weights = [torch.randn(n, 3, 5), torch.randn(n, 5, 1)]
    biases = [torch.randn(n, 5), torch.randn(n, 1)]

    def loss(w0, w1, b0, b1, x, t):
        z = torch.relu(x @ w0 + b0) @ w1 + b1
        return torch.nn.functional.binary_cross_entropy_with_logits(z, t)

    theirs = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1, 2, 3)))(*weights, *biases, inputs, targets)
    _, by_weights, by_biases = fastmlp.loss_and_gradients(
        ARCH, [w.numpy() for w in weights], [b.numpy() for b in biases], inputs.numpy(), targets.numpy()
    )
    for ours, its in zip((*by_weights, *by_biases), theirs, strict=True):
        np.testing.assert_allclose(ours, its.numpy(), atol=2e-6)


# ---------------------------------------------------------------------------------------- checkpoints

JOB = """
import sys, numpy as np, fastmlp
rng = np.random.default_rng(0)
X, y = rng.normal(size=(4000, 6)), rng.integers(0, 2, 4000)
given = {"rows": [rng.integers(0, 4000, int(n)) for n in rng.integers(20, 400, 60)], "validation_rows": "rest"}
settings = {"epochs": 60, "batch_size": 16, "optimizer": "adam", "dropout": 0.1, "patience": 50}
arch = fastmlp.Architecture((6, 12, 1))
if sys.argv[1] == "whole":
    runs = fastmlp.train(arch, X, y, **given, **settings)
elif sys.argv[1] == "begin":
    print("begun", flush=True)
    runs = fastmlp.train(arch, X, y, **given, **settings, checkpoint=sys.argv[2], checkpoint_every=0.001)
else:
    runs = fastmlp.resume(sys.argv[2], X, y, **given)
print([runs.parameters.tobytes().hex(), runs.epochs.tolist(), runs.best_epoch.tolist()])
"""


@pytest.mark.slow
def test_a_killed_job_is_resumed_to_the_same_bits(tmp_path):
    path = tmp_path / "job"

    def run(*arguments):
        return subprocess.Popen([sys.executable, "-c", JOB, *arguments], stdout=subprocess.PIPE, text=True)

    whole, _ = run("whole").communicate()
    killed = run("begin", str(path))
    while not path.exists():
        assert killed.poll() is None
    written = path.stat().st_mtime_ns
    while path.stat().st_mtime_ns == written:
        assert killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    trained = load_checkpoint(path).runs.epochs
    assert trained.max() > 0
    assert trained.min() < 60
    resumed, _ = run("resume", str(path)).communicate()
    assert resumed == whole


def test_resuming_needs_the_same_samples(tmp_path):
    rows, path = [np.arange(9), np.arange(3, 15)], tmp_path / "job"
    expected = trained(rows=rows, checkpoint=path)
    assert bits(fastmlp.resume(path, X, Y, rows=rows).parameters) == bits(expected.parameters)
    with pytest.raises(ValueError, match="had samples of their own"):
        fastmlp.resume(path, X, Y)
    with pytest.raises(ValueError, match="rows differs"):
        fastmlp.resume(path, X, Y, rows=[rows[0], rows[1][::-1]])
    trained(n_nets=2, checkpoint=tmp_path / "other")
    with pytest.raises(ValueError, match="shared all samples"):
        fastmlp.resume(tmp_path / "other", X, Y, rows=rows)


# ---------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": [[0, 1], [2]], "n_nets": 3}, "rows has 2 lists for 3 nets"),
        ({"rows": [0, 1, 2]}, r"rows\[0\] has dtype int64 and shape \(\)"),
        ({"rows": [[0], [20]]}, r"rows\[1\] has numbers from 20 to 20; X has the samples 0 to 19"),
        ({"rows": [[0], [-1]]}, "from -1 to -1"),
        ({"rows": [[0], []]}, r"rows\[1\] is empty"),
        ({"rows": [[0.5], [1]]}, "dtype float64"),
        ({"rows": np.zeros((2, 20), bool)}, r"rows\[0\] is empty"),
        ({"rows": np.ones((2, 19), bool)}, r"mask of shape \(19,\)"),
        ({"rows": "all"}, "needs a list of arrays"),
        ({"rows": 3}, "needs a list of arrays"),
        ({"rows": [[0], [1]], "rows_of": [0, 1, 2]}, "numbers from 0 to 2; rows has 2 lists"),
        ({"rows": [[0], [1]], "rows_of": [0.0, 1.0]}, "dtype float64"),
        ({"rows": [[0], [1]], "rows_of": [0, 1], "n_nets": 3}, "one whole number for each of 3 nets"),
        ({"rows_of": [0, 1]}, "pass rows too"),
        ({"rows": [[0], [1]], "groups": np.arange(20)}, "leave one of them out"),
        ({"groups": np.arange(19)}, "one label for each of the 20 samples"),
        ({"groups": [None] * 20}, "20 missing labels"),
        ({"groups": [np.nan] * 20}, "20 missing labels"),
        ({"groups": [*"ab"] * 10, "n_nets": 3}, "rows has 2 lists for 3 nets"),
        ({"validation_rows": "rest"}, "pass rows"),
        ({"rows": [np.arange(20)], "validation_rows": "rest"}, "has none left"),
        ({"rows": [[0], [1]], "validation_rows": "others"}, "or 'rest'"),
        ({"rows": [[0], [1]], "validation_rows": [[0]]}, "validation_rows has 1 lists for 2 nets"),
        ({"rows": [[0], [1]], "rows_of": [0, 1], "validation_rows": [[0], [1], [2]]}, "3 lists, rows 2"),
        ({"rows": [(np.arange(9), np.arange(9, 20))]}, r"rows\[0\] has parts of different lengths"),
        ({"rows": {"a": [0], "b": [1]}}, "rows is of type dict"),
        ({"X": X[:1], "y": np.ones((5, 1))}, "X has 1 samples"),
        ({"X": [X, X[:4]], "y": [Y, Y[:4]], "sample_weight": [np.ones(20), None]}, r"sample_weight\[1\] is None"),
        ({"X": [X, X[:4] * np.nan], "y": [Y, Y[:4]]}, r"X\[1\]: X has nan"),
        ({"X": [X, X[:4]], "y": Y}, "y needs to be a list of 2 arrays"),
        ({"X": [X, X[:4]], "y": [Y, Y]}, r"y\[1\]: y has shape \(20,\), X has 4 samples"),
        ({"X": [X, X[:4, :2]], "y": [Y, Y[:4]]}, "needs 3 columns"),
        ({"X": [X, X[:4]], "y": [Y, Y[:4]], "rows": [[0], [1]]}, "list of tables"),
        ({"X": [X, X[:4]], "y": [Y, Y[:4]], "sample_weight": np.ones(20)}, "list of 2 arrays"),
        ({"X": [X, X[:4]], "y": [Y, Y[:4]], "n_nets": 3}, "list of 2 nets; 3 are to be trained"),
        ({"X": np.ones((2, 20, 3)), "n_nets": 3}, "for 2 nets; 3 are to be trained"),
        ({"X": np.ones((2, 20, 2))}, r"needs \(n_nets, n_samples, 3\)"),
        ({"y": np.ones((3, 20)), "n_nets": 2}, r"needs \(20,\), the same for all nets, or \(2, 20\)"),
        ({"y": np.ones((3, 19)), "n_nets": 3}, r"y has shape \(3, 19\)"),
        ({"y": np.ones((3, 20, 2)), "n_nets": 3}, r"y has shape \(3, 20, 2\)"),
        ({"y": np.full((3, 20), 2.0)}, "needs 0 and 1"),
        ({"rows": [[0], [1]], "sample_weight": np.ones(2)}, "sample_weight has shape"),
        ({"rows": [[0], [1]], "sample_weight": [0, 1] + [1] * 18}, "0 for every sample"),
        ({"rows": [[0, 1], [2, 3]], "y": np.linspace(0, 1, 20), "target_accuracy": 1.0}, "those of net"),
        ({"validation": (np.ones((2, 4, 3)), np.ones((2, 4))), "n_nets": 3}, "validation: X has samples for 2 nets"),
        ({"validation": (np.ones((2, 4, 3)), np.ones((2, 4)), 1, 2), "n_nets": 2}, "needs a pair"),
    ],
)  # fmt: skip
def test_wrong_samples_are_refused(settings, message, monkeypatch):
    monkeypatch.setattr(fastmlp.training, "Runner", lambda *_: pytest.fail("trained"))
    with pytest.raises((ValueError, TypeError), match=message):
        fastmlp.train(ARCH, **{"X": X, "y": Y, **settings})


def test_one_hot_rows_are_not_read_as_targets_by_net():
    with pytest.raises(ValueError, match=r"pass y\.argmax\(axis=1\)"):
        fastmlp.train(Architecture((3, 5, 3), output="softmax"), X[:3], np.eye(3), n_nets=3)


def test_the_number_of_stuck_nets_does_not_change_how_targets_are_read():
    arch, targets = Architecture((3, 2, 4), output="softmax"), np.eye(4)
    settings = {"loss": "mse", "target_loss": 1e-9, "epochs": 2, "restart_stuck": 1}
    assert len(fastmlp.train(arch, X[:4], targets, net_ids=range(4), **settings)) == 4
    found = fastmlp.sweep(X[:4], targets, {"sizes": [(3, 2, 4)]}, output="softmax", loss="mse", epochs=2, n_seeds=4)
    assert found.loss.shape == (1, 4)


def test_targets_that_can_be_read_in_two_ways_are_refused():
    arch, targets = Architecture((3, 5, 4), output="softmax"), np.eye(4)
    with pytest.raises(ValueError, match="4 outputs for each of 4 samples, .* or one target a sample for each of 4"):
        fastmlp.train(arch, X[:4], targets, loss="mse", n_nets=4)
    shared = fastmlp.train(arch, X[:4], np.broadcast_to(targets, (4, 4, 4)), loss="mse", n_nets=4, epochs=2)
    assert bits(shared.parameters) == bits(
        fastmlp.train(arch, X[:4], targets, loss="mse", n_nets=5, epochs=2)[:4].parameters
    )
    own = fastmlp.train(arch, X[:4], targets[:, :, None], loss="mse", n_nets=4, epochs=2)
    first = fastmlp.train(arch, X[:4], targets[0], loss="mse", epochs=2)
    assert bits(own.parameters[0]) == bits(first.parameters[0])


@pytest.mark.parametrize("own", [{"X": np.ones((1, 20, 3))}, {"y": np.ones((1, 20))}, {"rows": [[1, 2]]}], ids=str)
def test_functions_of_shared_samples_say_so(own):
    given = {"X": X, "y": Y, **own}
    with pytest.raises((ValueError, TypeError), match="same samples|takes no rows|not known"):
        fastmlp.survey(ARCH, n_nets=3, **given)
    with pytest.raises((ValueError, TypeError), match="same samples|takes no rows|not known"):
        fastmlp.cross_validate(ARCH, **given)
    with pytest.raises((ValueError, TypeError), match="same samples|takes no rows|not known"):
        fastmlp.sweep(grid={"sizes": [(3, 5, 1)]}, **given)


def test_results_do_not_offer_to_train_again_with_shared_samples(tmp_path):
    runs = trained(rows=[[0, 1], [2, 3]])
    assert runs.call is None
    assert runs.settings["rows"] == "an array"
    runs.save(tmp_path / "runs")
    assert fastmlp.load(tmp_path / "runs").settings["rows"] == "an array"


def test_accuracy_is_that_of_a_net_whose_targets_are_classes():
    y = np.array([0, 1, 0, 1, 0.5, 0.2])
    runs = trained(ARCH, X[:6], y, rows=[[0, 1, 2], [3, 4, 5], [1, 3]])
    assert np.isnan(runs.accuracy).tolist() == [False, True, False]
