"""The gallery is what the published programs do: held to twins in plain NumPy, one net at a time."""

import json
import os

import numpy as np
import pytest

from fastmlp.audit.training import train_with_mistakes
from fastmlp.cli.gallery import counted, trained, verdicts
from fastmlp.cli.main import main
from fastmlp.cli.recipes import RECIPES
from fastmlp.statistics import differ
from tests.support import programs

ROWS = [(recipe, number) for recipe in RECIPES for number in range(len(recipe.variants))]
NAMES = [f"{recipe.name}: {recipe.variants[number].change}" for recipe, number in ROWS]


def twin(recipe, number, nets, seed, epochs=None):
    """Outputs of the program's twin from the initial weights of the gallery's nets, (nets, 4, n_out)."""
    variant = recipe.variants[number]
    program, rows = programs.SEVEN[recipe.name]
    rate, flags = rows[number]
    start = train_with_mistakes(
        variant.architecture,
        recipe.X,
        recipe.y,
        mistakes=(),
        n_nets=nets,
        seed=seed,
        init=variant.init,
        epochs=0,
        **{**variant.settings, "dtype": "float64"},
    ).runs
    biases = start.biases or [np.zeros((nets, w.shape[2])) for w in start.weights]
    found = []
    for k in range(nets):
        parameters = [a[k].astype(float) for pair in zip(start.weights, biases, strict=True) for a in pair]
        outputs = programs.of(program, parameters, rate, variant.epochs if epochs is None else epochs, **flags)
        found.append(outputs[list(recipe.order)])
    return np.stack(found)


@pytest.mark.parametrize(("recipe", "number"), ROWS, ids=NAMES)
def test_a_program_takes_the_steps_of_its_twin(recipe, number):
    """Over fifty epochs, where rounding does not decide yet."""
    variant = recipe.variants[number]
    settings = {**variant.settings, "dtype": "float64"}
    found = train_with_mistakes(
        variant.architecture,
        recipe.X,
        recipe.y,
        mistakes=variant.mistakes,
        n_nets=5,
        seed=3,
        epochs=50,
        optimizer=variant.optimizer,
        init=variant.init,
        **settings,
    )
    wanted = twin(recipe, number, 5, 3, epochs=50)
    np.testing.assert_allclose(found.outputs, wanted, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "number"), ROWS, ids=NAMES)
def test_as_many_are_solved_as_by_the_twin(recipe, number):
    """FASTMLP_TEST_TWINS=2000 asks for more nets than the 100 that there is time for each day."""
    nets = int(os.environ.get("FASTMLP_TEST_TWINS", "100"))
    ours = trained(recipe, recipe.variants[number], nets, 11, None)
    outputs = twin(recipe, number, nets, 11)
    targets = recipe.y if recipe.y.ndim == 2 or outputs.shape[2] == 1 else np.stack([1 - recipe.y, recipe.y], axis=1)
    targets = targets.reshape(4, -1)
    if recipe.name == "keras-softmax":
        right = (np.argmax(outputs, axis=2) == recipe.y).all(axis=1)
    else:
        right = ((outputs - 0.5) * (targets - 0.5) > 0).all(axis=(1, 2))
    assert not differ(ours.found.n_solved, nets, int(right.sum()), nets)
    if recipe.counts == "at_most_half":
        own = ((outputs[:, :, 0] > 0.5) == (recipe.y == 1)).all(axis=1)
        assert not differ(ours.solved_as_published, nets, int(own.sum()), nets)
    elif recipe.counts == "larger":
        own = ((outputs[:, :, 1] > outputs[:, :, 0]) == (recipe.y[:, 1] == 1)).all(axis=1)
        assert not differ(ours.solved_as_published, nets, int(own.sum()), nets)
    print(recipe.name, recipe.variants[number].change, ours.found.n_solved, int(right.sum()), ours.solved_as_published)


def test_verdicts_follow_from_the_table():
    for recipe in RECIPES[:5]:
        results = [trained(recipe, variant, 64, 0, None) for variant in recipe.variants[:1]]
        shares = [f"{result.found.n_solved / 64:.2%}" for result in results]
        assert shares[0] in verdicts(recipe, results)[0]
        if recipe.counts == "half":
            np.testing.assert_array_equal(counted(recipe, results[0].found), results[0].found.solved)


def test_json_is_an_object_a_row(capsys):
    assert main(["gallery", "--only", "2-2-2-1", "--only", "one-hot", "--restarts", "16", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert next(row["change"] for row in rows if row["program"] == "one-hot") == "as published"
    assert len(rows) == 6 + 4
    for row in rows:
        assert {"program", "change", "nets", "solved", "solved_as_published", "median_loss"} <= set(row)
        assert row["nets"] == 16
        assert 0 <= row["solved"] <= 16
