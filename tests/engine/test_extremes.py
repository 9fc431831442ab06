"""Data at the edge of what numbers and files allow: what comes out is defined, and nothing is lost."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastmlp
from fastmlp import Status
from tests.support.data import XOR_X, XOR_Y, bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
KERNELS = ("lanes", "units")


def train(X=X, y=Y, hidden=5, **settings):
    arch = fastmlp.Architecture(
        (np.shape(X)[1], hidden, settings.pop("outputs", 1)), output=settings.pop("output", "sigmoid")
    )
    return fastmlp.train(arch, X, y, **{"n_nets": 20, "epochs": 30, "batch_size": 8, **settings})


def assert_sound(runs):
    """Every net has run to its end, with a finite loss and weights."""
    assert (runs.status == Status.RAN_ALL_EPOCHS).all()
    assert np.isfinite(runs.loss).all()
    assert np.isfinite(runs.parameters).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_column_of_zeros_leaves_its_weights_as_they_were(kernel):
    data = X.copy()
    data[:, 1] = 0
    before, after = (train(data, epochs=epochs, optimizer="sgd", kernel=kernel) for epochs in (0, 30))
    assert_sound(after)
    assert bits(before.weights[0][:, 1]) == bits(after.weights[0][:, 1])
    assert bits(before.weights[0][:, 0]) != bits(after.weights[0][:, 0])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("value", [1.0, -3.5, 1e-30])
def test_constant_columns(kernel, value):
    assert_sound(train(np.full((40, 3), value), kernel=kernel))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("output", "y"), [("sigmoid", np.ones(40)), ("sigmoid", np.zeros(40)), ("softmax", np.ones(40))]
)
def test_one_class_is_learnt_with_certainty(kernel, output, y):
    runs = train(
        y=y,
        kernel=kernel,
        output=output,
        outputs=2 if output == "softmax" else 1,
        optimizer=fastmlp.Adam(0.1),
        epochs=100,
    )
    assert_sound(runs)
    assert (runs.accuracy == 1).all()
    assert (runs.loss < 0.01).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_one_sample_and_one_feature(kernel, batch_size):
    assert_sound(train(X[:1], Y[:1], kernel=kernel, batch_size=batch_size))
    assert_sound(train(X[:, :1], kernel=kernel, batch_size=batch_size))
    assert_sound(train(X[:1, :1], Y[:1], kernel=kernel, batch_size=batch_size))


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_epochs_give_the_initial_weights_and_their_loss(kernel):
    runs = train(epochs=0, kernel=kernel, record_every=1)
    assert_sound(runs)
    assert bits(runs.history[:, 0]) == bits(runs.loss)
    assert (runs.epochs == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_subnormal_inputs_are_numbers_like_others(dtype):
    """They are not taken for 0, and the kernels agree on them bit for bit."""
    tiny = float(np.finfo(dtype).smallest_subnormal)
    data = np.round(X * 1000) * tiny
    one, other = (train(data, kernel=kernel, dtype=dtype, optimizer="sgd", l2=0.0) for kernel in KERNELS)
    assert bits(one.parameters) == bits(other.parameters)
    assert_sound(one)
    weights = [np.full((1, 3, 5), 1e6), np.full((1, 5, 1), 1.0)]
    runs = fastmlp.train(
        fastmlp.Architecture((3, 5, 1), hidden="identity", output="identity", bias=False),
        data,
        Y,
        init=(weights, []),
        epochs=0,
        dtype=dtype,
    )
    assert np.allclose(runs.predict(data)[0, :, 0] / tiny, 5e6 * np.round(X * 1000).sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize(("dtype", "least"), [("float32", 2.0**-63), ("float64", 2.0**-511)])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_gradients_at_an_output_whose_square_is_subnormal_count_as_0(dtype, least, output):
    """Just above they do not: a net that is very sure makes no subnormal numbers, and a sure one still learns."""
    arch = fastmlp.Architecture((1, 1 if output == "sigmoid" else 2), output=output)
    for factor, expected in ((1.01, True), (0.99, False)):
        logit = np.log(least * factor)
        weights = np.array([[logit]] if output == "sigmoid" else [[0.0, logit]])
        result = fastmlp.loss_and_gradients(
            arch, [weights[None]], [np.zeros((1, arch.sizes[-1]))], [[1.0]], [0], dtype=dtype
        )
        gradient = result.weight_gradients[0][0, 0, -1]
        assert (gradient != 0) == expected
        if expected:
            assert gradient == pytest.approx(least * factor, rel=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [1e30, 3e38])
def test_overflow_is_divergence_and_nothing_else(kernel, scale):
    runs = train(X / np.abs(X).max() * scale, kernel=kernel, optimizer=fastmlp.SGD(0.5))
    assert np.isin(runs.status, (Status.DIVERGED, Status.RAN_ALL_EPOCHS)).all()
    assert (runs.status == Status.DIVERGED).any()
    assert np.isnan(runs.loss[runs.status == Status.DIVERGED]).all()
    assert np.isfinite(runs.loss[runs.status == Status.RAN_ALL_EPOCHS]).all()


@pytest.mark.parametrize("weight", [None, 1e18])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_target_does_not_hide_sums_that_overflow(dtype, weight, xor):
    """The kernel of XOR looks at a bound of the loss alone, and must see all the same that a loss is infinite or NaN."""
    rng, n, greatest = np.random.default_rng(0), 400, float(np.finfo(dtype).max) / (weight or 1)
    first, second = rng.choice([-1.0, 1.0], (n, 2, 4)), rng.choice([-1.0, 1.0], (n, 4, 1))
    biases = rng.uniform(-1, 1, (n, 4))
    second *= greatest * 2.0 ** -rng.exponential(6, (n, 4, 1))
    # two losses of 0.9 times the greatest number, from weighted sums that cancel each other
    first[0], biases[0] = [[1, -1, 1, 0], [-1, 1, 1, 0]], [0, 0, -1, 0]
    second[0, :, 0] = [-0.9 * greatest, 0, 0.9 * greatest, 0]

    def trained(kernel, nets):
        return fastmlp.train(
            *xor,
            init=([first[:nets], second[:nets]], [biases[:nets], np.zeros((nets, 1))]),
            epochs=3,
            optimizer=fastmlp.SGD(0.5),
            target_loss=0.01,
            dtype=dtype,
            kernel=kernel,
            sample_weight=None if weight is None else np.full(4, weight),
        )

    one, other, alone = trained("lanes", n), trained("units", n), trained("lanes", 1)
    for name in ("parameters", "loss", "status", "epochs"):
        assert bits(getattr(one, name)) == bits(getattr(other, name)), name
        assert bits(getattr(one, name)[:1]) == bits(getattr(alone, name)), name
    diverged = one.status == Status.DIVERGED
    assert 20 < diverged.sum() < n - 20


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("logit", [80.0, 1e4, 1e30])
def test_saturated_outputs_have_finite_losses(kernel, logit):
    arch = fastmlp.Architecture((1, 1))
    runs = fastmlp.train(
        arch,
        [[1.0], [-1.0]],
        [1, 0],
        init=([np.array([[[logit]], [[-logit]]])], [np.zeros((2, 1))]),
        epochs=0,
        kernel=kernel,
    )
    assert runs.loss[0] < 1e-30
    assert np.isclose(runs.loss[1], logit, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ files


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_full_disk_leaves_the_old_file(small_disk):
    path = small_disk / "nets"
    fine = train(n_nets=200)
    fine.save(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left on device"):
        train(n_nets=5000, epochs=0).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in small_disk.iterdir()] == ["nets"]
    with pytest.raises(OSError, match="No space left on device"):
        train(n_nets=5000, checkpoint=small_disk / "job")
    assert [file.name for file in small_disk.iterdir()] == ["nets"]
    assert bits(fastmlp.load(path).parameters) == bits(fine.parameters)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_fills_up_meanwhile_keeps_the_last_checkpoint(small_disk):
    path, filler = small_disk / "job", small_disk / "filler"
    settings = {"n_nets": 100, "epochs": 4000, "checkpoint": path, "checkpoint_every": 0.001}
    moments = []

    def fill(progress):
        if not filler.exists() and progress.net_epochs > 10_000:
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            filler.write_bytes(bytes(free))
            moments.append(path.read_bytes())
        return progress.net_epochs > 200_000

    with pytest.warns(RuntimeWarning, match="could not be written, training goes on: .*No space left on device"):
        runs = train(**settings, callback=fill)
    assert (runs.status == Status.INTERRUPTED).any()
    assert path.read_bytes() == moments[0]
    filler.unlink()
    del settings["checkpoint"], settings["checkpoint_every"]
    assert bits(fastmlp.resume(path, X, Y).parameters) == bits(train(**settings).parameters)


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_read_only_folder_is_an_error_before_training(small_disk):
    runs = train()
    runs.save(small_disk / "nets")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        runs.save(small_disk / "nets")
    with pytest.raises(OSError, match="Read-only file system"):
        train(checkpoint=small_disk / "job", callback=lambda _: pytest.fail("training began"))
    assert bits(fastmlp.load(small_disk / "nets").parameters) == bits(runs.parameters)


def test_files_that_have_vanished(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fastmlp.load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fastmlp.resume(tmp_path / "nowhere", XOR_X, XOR_Y)
    folder = tmp_path / "folder"
    folder.mkdir()
    left = [3]

    def remove(_progress):
        left[0] -= 1
        if folder.exists():
            (folder / "job").unlink()
            folder.rmdir()
        return left[0] < 0

    with pytest.warns(RuntimeWarning, match=r"could not be written, training goes on: .*No such file"):
        runs = train(n_nets=200, epochs=3000, checkpoint=folder / "job", checkpoint_every=0.001, callback=remove)
    assert len(runs) == 200
