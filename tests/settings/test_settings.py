"""`TrainSettings`: one list of settings, which `train`, files and selections of nets share."""

import dataclasses
import inspect

import numpy as np
import pytest

import fastmlp
from fastmlp.settings import NUMBERS, STOPPING_RULES, WORDS, TrainSettings
from tests.support.data import XOR_X, XOR_Y

ARCH = fastmlp.Architecture((2, 4, 1))


def test_train_has_the_settings_and_their_defaults():
    """The one other place where settings are listed is the signature of `train`."""
    arguments = inspect.signature(fastmlp.train).parameters
    for entry in dataclasses.fields(TrainSettings):
        default = arguments[entry.name].default
        if entry.name not in ("architecture", "optimizer", "dtype"):
            assert default == entry.default, entry.name
    assert arguments["optimizer"].default == TrainSettings(ARCH).optimizer.name
    assert np.dtype(arguments["dtype"].default) == TrainSettings(ARCH).dtype


def test_files_keep_every_setting_but_the_data():
    elsewhere = {"architecture", "optimizer", "init", "sample_weight", "validation", "dtype"}
    elsewhere |= {"rows", "rows_of", "validation_rows"}
    assert {*WORDS, *NUMBERS} | elsewhere == {entry.name for entry in dataclasses.fields(TrainSettings)}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "optimizer": fastmlp.SGD(0.1, 0.9, nesterov=True),
            "epochs": np.int64(7),
            "patience": 3,
            "l2": np.float32(0.5),
        },
        {"optimizer": fastmlp.Rprop(), "shuffle": "by_net", "loss": "mse", "init": "torch", "target_loss": 0.25},
        {"schedule": "adaptive", "patience": 5, "bootstrap": np.bool_(True), "validation_score": "accuracy"},
    ],
)
def test_a_record_gives_the_settings_again(changes):
    settings = TrainSettings(ARCH, **changes).validated().validated_for(3)
    again = TrainSettings.from_record(settings.recorded(3), ARCH, settings.dtype)
    assert again is not None
    for entry in dataclasses.fields(TrainSettings):
        assert getattr(again, entry.name) == getattr(settings, entry.name), entry.name
        assert type(getattr(again, entry.name)) is type(getattr(settings, entry.name)), entry.name


@pytest.mark.parametrize(
    "changes", [{"l2": [0.1, 0.2, 0.3]}, {"schedule": lambda _: 1.0}, {"sample_weight": [1.0] * 4}, {"init": ([], [])}]
)
def test_what_a_record_cannot_hold_gives_none(changes):
    settings = TrainSettings(ARCH, **changes).validated().validated_for(3)
    assert TrainSettings.from_record(settings.recorded(3), ARCH, settings.dtype) is None


def test_validating_twice_changes_nothing():
    once = TrainSettings(ARCH, l2=[0.1, 0.2], tol=0, dropout=0.5, schedule=[1, 0.5], epochs=2, dtype="float64")
    once = once.validated().validated_for(2)
    twice = once.validated().validated_for(2)
    for entry in dataclasses.fields(TrainSettings):
        np.testing.assert_equal(getattr(twice, entry.name), getattr(once, entry.name))


def test_some_of_the_nets_have_their_own_values():
    n = 5
    rate, l2, weight = np.arange(1.0, n + 1), np.arange(n) / 10, np.arange(1.0, 1 + 3 * n).reshape(n, 3)
    init = [np.arange(n * 8.0).reshape(n, 2, 4), np.zeros((n, 4, 1))], [np.zeros((n, 4)), np.arange(n)[:, None]]
    arch = ARCH.with_slope(np.arange(n) / 100)
    settings = TrainSettings(
        arch, fastmlp.SGD(rate), l2=l2, patience=np.arange(n) + 1, sample_weight=weight, init=init, dropout=0.1
    )
    for which in (np.array([4, 1]), slice(1, 3), np.arange(n) > 2):
        some = settings.of(which)
        np.testing.assert_array_equal(some.optimizer.learning_rate, rate[which])
        np.testing.assert_array_equal(some.l2, l2[which])
        np.testing.assert_array_equal(some.patience, (np.arange(n) + 1)[which])
        np.testing.assert_array_equal(some.sample_weight, weight[which])
        np.testing.assert_array_equal(some.architecture.leaky_slope, arch.leaky_slope[which])
        np.testing.assert_array_equal(some.init[0][0], init[0][0][which])
        np.testing.assert_array_equal(some.init[1][1], init[1][1][which])
        assert some.dropout == 0.1


def test_what_is_kept_does_not_change_with_the_users_arrays():
    rate, weight, l2 = np.array([0.1, 0.2]), np.ones(4), np.array([0.0, 0.1])
    runs = fastmlp.train(
        ARCH, np.eye(4, 2), [0, 1, 1, 0], n_nets=2, epochs=1, optimizer=fastmlp.SGD(rate), sample_weight=weight, l2=l2
    )
    rate[:], weight[:], l2[:] = 9, 9, 9
    assert runs.call.optimizer.learning_rate.tolist() == [0.1, 0.2]
    assert runs.call.sample_weight.tolist() == [1] * 4
    assert runs.call.l2.tolist() == [0.0, 0.1]


@pytest.mark.parametrize("name", STOPPING_RULES)
def test_limits_of_stopping_rules(name):
    rule = STOPPING_RULES[name]
    settings = TrainSettings(ARCH, **{name: rule.least})
    assert getattr(settings.validated().validated_for(2), name) == rule.least
    for wrong in (np.nextafter(rule.least, -1), np.nan, [1.0] * 3):
        with pytest.raises((ValueError, TypeError), match=name):
            TrainSettings(ARCH, **{name: wrong}).validated().validated_for(2)
    if np.isfinite(rule.greatest):
        with pytest.raises(ValueError, match=name):
            TrainSettings(ARCH, **{name: np.nextafter(rule.greatest, np.inf)}).validated().validated_for(2)


def test_settings_checked_before_are_known_by_their_types_and_spelling():
    """Checked settings are remembered by value: 1 and True are not the same, nor are two spellings of one net."""
    plain = TrainSettings(fastmlp.Architecture((2, 4, 1)), fastmlp.SGD(0.5), epochs=1)
    assert plain.never_change
    assert plain.validated() is dataclasses.replace(plain).validated()
    assert plain.validated().validated_for(3) is dataclasses.replace(plain).validated().validated_for(3)
    with pytest.raises(TypeError, match="epochs=True"):
        dataclasses.replace(plain, epochs=True).validated()
    with pytest.raises(TypeError, match="batch_size"):
        dataclasses.replace(plain, batch_size=2.0).validated()
    listed = dataclasses.replace(plain, architecture=fastmlp.Architecture((2, 4, 1), ["relu"]))
    assert listed.validated().architecture.hidden == ("relu",)
    assert plain.validated().architecture.hidden == "relu"
    for rate in (0.25, 0.5):
        assert dataclasses.replace(plain, optimizer=fastmlp.SGD(rate)).validated().optimizer.learning_rate == rate


@pytest.mark.parametrize(
    "changes",
    [
        {"l2": np.zeros(3)},
        {"optimizer": fastmlp.SGD(np.full(3, 0.1))},
        {"architecture": fastmlp.Architecture((2, 4, 1), "leaky_relu", leaky_slope=np.zeros(3))},
        {"schedule": lambda _epoch: 1.0},
        {"sample_weight": np.ones(4)},
        {"validation": (np.zeros((1, 2)), np.zeros(1))},
        {"init": ([np.zeros((3, 2, 4)), np.zeros((3, 4, 1))], [])},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_that_may_change_are_checked_each_time(changes):
    settings = dataclasses.replace(TrainSettings(fastmlp.Architecture((2, 4, 1))), **changes)
    assert not settings.never_change
    assert settings.validated() is not settings.validated()


def test_a_record_belongs_to_its_runs():
    """What a user does to the settings of one call's results does not show in another's."""
    first = fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, epochs=1)
    first.settings["epochs"] = 5
    assert fastmlp.train(fastmlp.Architecture((2, 4, 1)), XOR_X, XOR_Y, epochs=1).settings["epochs"] == 1
