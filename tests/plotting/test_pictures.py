"""Every picture is drawn on the axes that are given, with its units, and says what it lacks; the commands' pages."""

import json
import re

import numpy as np
import pytest

import fastmlp
from fastmlp.plotting import animation
from tests.support.command import command, refused
from tests.support.data import ROOT, XOR_X, XOR_Y

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def runs():
    return fastmlp.train(
        fastmlp.Architecture((2, 4, 3, 1)),
        XOR_X,
        XOR_Y,
        n_nets=200,
        optimizer=fastmlp.SGD(0.5),
        epochs=100,
        record_every=10,
    )


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


def test_the_fan_shows_the_quantiles_of_the_curves(runs, axes):
    assert runs.plot.fan(ax=axes) is axes
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_ydata(), np.median(runs.history, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(line.get_xdata(), np.arange(0, 101, 10))
    assert axes.get_xlabel() == "epochs"
    assert "nats" in axes.get_ylabel()


def test_a_net_that_has_stopped_counts_with_its_last_loss(axes):
    stopped = fastmlp.train(
        fastmlp.Architecture((2, 8, 1)),
        XOR_X,
        XOR_Y,
        n_nets=50,
        optimizer=fastmlp.SGD(0.5),
        epochs=2000,
        record_every=10,
        target_loss=0.3,
    )
    stopped.plot.fan(ax=axes)
    assert 0.25 < axes.lines[0].get_ydata()[-1] < 0.35


def test_the_histogram_names_the_plateaus(runs, axes):
    found = runs.diagnose(XOR_X, XOR_Y)
    runs.plot.losses(found, ax=axes)
    texts = [text.get_text() for text in axes.texts]
    levels = {round(p.loss, 4) for p in found.plateaus}
    assert len(levels) > 1
    for level in levels:
        share = 100 * (np.abs(runs.loss - level) < 0.008).mean()
        own = [text for text in texts if f"at {level:.4f}" in text and "samples at" in text]
        assert len(own) == 1
        assert float(own[0].split(" %")[0]) == pytest.approx(share, abs=3)
    assert axes.patches[0].get_data().values.sum() == pytest.approx(100, abs=1)
    assert axes.get_yscale() == "linear"


@pytest.mark.parametrize("which", ["mean", "spread", 3])
def test_the_boundary_is_what_the_nets_say(runs, axes, which):
    runs.plot.boundary(XOR_X, XOR_Y, which, ax=axes)
    field = axes.collections[0].get_array().reshape(200, 200)
    points = np.array([[-0.25, -0.25], [1.25, 1.25]])
    outputs = runs.predict(points)[:, :, 0].astype(float)
    expected = {"mean": outputs.mean(axis=0), "spread": outputs.std(axis=0), 3: outputs[3]}[which]
    np.testing.assert_allclose([field[0, 0], field[-1, -1]], expected, rtol=1e-4, atol=1e-6)


def test_dead_units_over_depth(runs, axes):
    runs.plot.dead_units(XOR_X, XOR_Y, ax=axes)
    a1 = np.maximum(np.einsum("si,nij->nsj", XOR_X, runs.weights[0]) + runs.biases[0][:, None], 0)
    dead = (a1.max(axis=1) == 0).mean() * 100
    assert axes.patches[0].get_height() == pytest.approx(dead)


def test_the_map_over_two_settings(axes):
    found = fastmlp.sweep(
        XOR_X,
        XOR_Y,
        {"sizes": [(2, 2, 1), (2, 8, 1)], "learning_rate": [0.01, 0.1, 1.0]},
        optimizer="sgd",
        n_seeds=50,
        epochs=200,
    )
    found.plot.success_map("learning_rate", "sizes", ax=axes)
    np.testing.assert_allclose(axes.images[0].get_array(), 100 * found.table["success_rate"].reshape(2, 3), rtol=1e-12)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["2-2-1", "2-8-1"]
    with pytest.raises(ValueError, match="x='rate' is not known"):
        found.plot.success_map("rate", "sizes")


@pytest.mark.parametrize("ending", [".gif", ".html"])
def test_the_animation_ends_at_the_trained_nets(runs, tmp_path, ending, monkeypatch):
    steps = animation.training_steps
    seen = []
    monkeypatch.setattr(animation, "training_steps", lambda *a: seen.extend(steps(*a)) or seen)
    path = runs[:20].plot.animate(XOR_X, XOR_Y, tmp_path / f"a{ending}", frames=5)
    assert [epoch for epoch, _ in seen] == [0, 6, 25, 56, 100]
    assert (seen[-1][1].parameters == runs[:20].parameters).all()
    content = path.read_bytes()
    if ending == ".gif":
        assert content[:3] == b"GIF"
    else:
        assert content.count(b"data:image/png;base64") == 5
        assert b"<link" not in content


def test_pictures_say_what_they_lack(runs):
    bare = fastmlp.train(fastmlp.Architecture((3, 1)), np.eye(3), [0, 1, 1], n_nets=3, epochs=1)
    with pytest.raises(ValueError, match="train with record_every"):
        bare.plot.fan()
    with pytest.raises(ValueError, match="2 inputs"):
        bare.plot.boundary(np.eye(3), [0, 1, 1])
    with pytest.raises(ValueError, match="no hidden layer"):
        bare.plot.dead_units(np.eye(3), [0, 1, 1])
    with pytest.raises(ValueError, match=r"'.png' is not known: use one of '.gif'"):
        runs.plot.animate(XOR_X, XOR_Y, "a.png")
    with pytest.raises(ValueError, match="whole number from 0 to 199"):
        runs.plot.boundary(XOR_X, XOR_Y, 200)


# ------------------------------------------------------------------------------------------------ commands


def test_why_tells_the_whole_story(tmp_path):
    done = command(
        "why",
        "--sizes",
        "2-6-1",
        "--no-bias",
        "--restarts",
        "500",
        "--epochs",
        "300",
        "--html",
        "why.html",
        folder=tmp_path,
    )
    assert "Solved: 0 of 500" in done.stdout
    assert "Most likely cause: missing biases." in done.stdout
    assert re.search(r"0\.00% -> +[1-9]\d\.\d+%.*bias=True", done.stdout)
    assert (tmp_path / "why.png").read_bytes()[:4] == b"\x89PNG"
    page = (tmp_path / "why.html").read_text()
    assert "Most likely cause: missing biases." in page
    assert page.count("<table>") >= 2
    assert "<pre>" not in page
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_why_of_a_table_and_for_scripts(tmp_path):
    pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    kind = np.where(X[:, 0] * X[:, 1] > 0, "a", "b")
    rows = ["x,y,z,kind", *(f"{a},{b},{c},{k}" for (a, b, c), k in zip(X, kind, strict=True))]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    done = command(
        "why",
        "--data",
        "data.csv",
        "--target",
        "kind",
        "--restarts",
        "50",
        "--epochs",
        "100",
        "--json",
        "--no-picture",
        "--no-fixes",
        folder=tmp_path,
    )
    facts = json.loads(done.stdout)
    assert facts["nets"] == 50
    assert sum(facts["causes"].values()) == 50
    assert "3-8-1" in facts["description"]
    assert [p.name for p in tmp_path.iterdir()] == ["data.csv"]


def test_why_of_softmax_and_of_three_classes(tmp_path):
    pytest.importorskip("pandas")
    short = ("--restarts", "20", "--epochs", "10", "--no-picture", "--json", "--no-fixes")
    assert "2-4-2" in command("why", "--output", "softmax", *short, folder=tmp_path).stdout
    (tmp_path / "d.csv").write_text("a,kind\n" + "\n".join(f"{i},{'xyz'[i % 3]}" for i in range(30)))
    data = ("--data", "d.csv", "--target", "kind")
    for output in ("sigmoid", "softmax"):
        assert "1-8-3" in command("why", *data, "--output", output, *short, folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--init", "uniform:1"), "needs the form uniform:LOW:HIGH"),
        (("--sizes", "3-4-1"), "these data have 2 inputs"),
        (("--data", "no.csv"), "pass --target COLUMN"),
        (("--target", "y"), "pass both"),
        (("--html", "no/such/page.html"), "there is no folder"),
        (("--sizes", "2"), "not a list of layer sizes"),
    ],
)
def test_wrong_options_of_why_get_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "why", *arguments)


def test_the_gallery_is_what_it_printed(tmp_path):
    only = ("--only", "tiny-weights", "--only", "2-2-2-1")
    done = command("gallery", "--restarts", "300", *only, "--out", ".", folder=tmp_path)
    assert (tmp_path / "gallery.md").read_text().strip() == done.stdout.strip()
    assert "only just: the median margin is" in done.stdout
    assert "It printed the outputs 0.00803" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "gallery-2-2-2-1.png",
        "gallery-tiny-weights.png",
        "gallery.md",
    ]


def test_the_documented_gallery_is_the_recipes():

    from fastmlp.cli.recipes import RECIPES

    page = (ROOT / "docs" / "gallery.md").read_text()
    for recipe in RECIPES:
        assert recipe.title in page
        for variant in recipe.variants:
            assert f"| {variant.change} | " in page
