"""Calls of the public functions with something wrong in them: python tests/support/bad_calls.py NUMBER SEED"""

import importlib.util
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd

import fastmlp

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([0, 1, 1, 0])
ARCHITECTURE = fastmlp.Architecture((2, 3, 1))
WEIGHTS, BIASES = [np.ones((2, 2, 3)), np.ones((2, 3, 1))], [np.zeros((2, 3)), np.zeros((2, 1))]
RUNS = fastmlp.train(ARCHITECTURE, X, Y, n_nets=3, epochs=1, keep_state=True)
_temporary = tempfile.TemporaryDirectory()  # removed when the process ends
FOLDER = Path(_temporary.name)
fastmlp.train(ARCHITECTURE, X, Y, n_nets=3, epochs=1, checkpoint=FOLDER / "job")

STRANGE = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    3,
    3.7,
    -0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    -float("inf"),
    10**30,
    -(2**63),
    2**64,
    1j,
    "",
    "x",
    "relu",
    "adam",
    "softmax",
    "bce",
    b"x",
    "\0",
    (),
    [],
    [1],
    [1, 2],
    [[1]],
    [[1, 2], [3]],
    [None],
    ["a"],
    [[[]]],
    {},
    {"a": 1},
    set(),
    frozenset([1]),
    object(),
    object,
    len,
    lambda: 1,
    lambda a: a,
    lambda a: "x",
    range(4),
    range(0),
    iter([1]),
    slice(1),
    Ellipsis,
    NotImplemented,
    Fraction(1, 3),
    Decimal("0.1"),
    np.float32("nan"),
    np.float64(0.5),
    np.int8(-1),
    np.bool_(True),
    np.array(3),
    np.array([]),
    np.zeros((0, 2)),
    np.zeros((4, 0)),
    np.zeros((4, 3)),
    np.zeros((4, 2, 1)),
    np.full((4, 2), np.nan),
    np.full((4, 2), 1e300),
    np.array([0, 1, 2, 3]),
    np.array([-1, 1, 1, -1]),
    np.array([0.5, 2, 3, 4]),
    np.zeros(3),
    np.zeros(5),
    np.array(["a"] * 4),
    np.array([None] * 4),
    np.zeros(4, complex),
    np.zeros(4, "M8[s]"),
    np.zeros(4, [("a", "f4")]),
    np.zeros((4, 2), object),
    np.ma.masked_all((4, 2)),
    np.zeros((4, 2), np.float16),
    np.zeros(4, bool),
    np.matrix([[1.0, 2.0]]),
    pd.Series(["a", "b"]),
    pd.Series([1, None]),
    pd.DataFrame({"a": ["x"] * 4, "b": 1}),
    pd.Categorical(["a", "b"]),
    memoryview(b"abcd"),
    bytearray(b"ab"),
    np.dtype("f4"),
    np.float32,
    "float16",
    "float32",
    ARCHITECTURE,
    RUNS,
    RUNS[0],
    fastmlp.SGD(0.1),
    fastmlp.Uniform(-1, 1),
    fastmlp.Status.STALLED,
    Exception("x"),
]
# settings that would make a right call run for ever, or ask for all memory there is
NO_LARGE = (
    "epochs",
    "n_nets",
    "n_samples",
    "n_restarts",
    "max_iter",
    "hidden_layer_sizes",
    "sizes",
    "batch_size",
    "threads",
    "max_fun",
    "max_nets_tried",
    "restart_stuck",
    "halving",
    "values",
    "n_seeds",
    "shard_threads",
)


def train(**changes):
    return fastmlp.train(**{"architecture": ARCHITECTURE, "X": X, "y": Y, "epochs": 1, **changes})


def resume(**changes):
    return fastmlp.resume(**{"path": FOLDER / "job", "X": X, "y": Y, **changes})


def gradients(**changes):
    return fastmlp.loss_and_gradients(
        **{"architecture": ARCHITECTURE, "weights": WEIGHTS, "biases": BIASES, "X": X, "y": Y, **changes}
    )


def audit(**changes):
    one = {"weights": [w[0] for w in WEIGHTS], "biases": [b[0] for b in BIASES]}
    gradients = {"weight_gradients": one["weights"], "bias_gradients": one["biases"]}
    return fastmlp.audit_gradients(**{"architecture": ARCHITECTURE, "X": X, "y": Y, **one, **gradients, **changes})


def sweep(**changes):
    grid = changes.pop("grid", {"sizes": [(2, 3, 1)], "l2": [0.0, 0.1]})
    return fastmlp.sweep(**{"X": X, "y": Y, "grid": grid, "n_seeds": 3, "epochs": 2, **changes})


def survey(**changes):
    return fastmlp.survey(**{"architecture": ARCHITECTURE, "X": X, "y": Y, "n_nets": 3, "epochs": 1, **changes})


def cross_validate(**changes):
    given = {"architecture": ARCHITECTURE, "X": X, "y": Y, "cv": 2, "n_seeds": 2, "epochs": 1, **changes}
    return fastmlp.cross_validate(**given)


def evaluate(**changes):
    return RUNS.evaluate(**{"X": X, "y": Y, **changes})


def swept(name, values):
    return sweep(grid={"sizes": [(2, 3, 1)], name: values})


def diagnose(**changes):
    return RUNS.diagnose(**{"X": X, "y": Y, **changes})


def estimate(**changes):
    return fastmlp.estimate(**{"architecture": ARCHITECTURE, "n_samples": 4, **changes})


def classifier(**changes):
    data = {name: changes.pop(name) for name in ("X", "y", "sample_weight") if name in changes}
    model = fastmlp.MLPClassifier(**{"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, **changes})
    return model.fit(**{"X": X, "y": Y, **data})


def regressor(**changes):
    data = {name: changes.pop(name) for name in ("X", "y", "sample_weight") if name in changes}
    model = fastmlp.MLPRegressor(**{"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0, **changes})
    return model.fit(**{"X": X, "y": Y * 1.5, **data})


FUNCTIONS = {
    train: (
        "architecture X y n_nets seed optimizer epochs loss init batch_size shuffle l2 dropout sample_weight bootstrap "
        "target_loss target_accuracy patience tol schedule validation validation_score restore_best record_every "
        "net_ids warm_start keep_state restart_stuck dtype kernel threads checkpoint_every callback"
    ),
    resume: "path X y sample_weight validation schedule checkpoint_every kernel threads callback",
    gradients: "architecture weights biases X y loss sample_weight dtype threads",
    audit: "architecture weights biases X y weight_gradients bias_gradients loss outputs",
    sweep: "X y grid seed solved_loss halving threads optimizer init loss batch_size l2 dropout learning_rate momentum hidden",
    survey: (
        "architecture X y n_nets first_net keep nets seed executor folder shard_nets shard_seconds shard_threads retries "
        "verify on_failure progress solved_loss optimizer epochs loss init batch_size l2 dropout sample_weight "
        "bootstrap validation patience tol schedule dtype kernel restart_stuck"
    ),
    cross_validate: (
        "architecture X y cv n_seeds seed groups metrics threads executor optimizer epochs loss init batch_size l2 dropout "
        "sample_weight patience tol schedule dtype kernel"
    ),
    evaluate: "X y sample_weight metrics threads",
    swept: "name values",
    diagnose: "X y loss solved_loss try_fixes max_nets_tried threads",
    estimate: (
        "architecture n_samples n_nets optimizer epochs batch_size record_every validation_samples dtype threads"
    ),
    fastmlp.Architecture: "sizes hidden output bias leaky_slope",
    fastmlp.SGD: "learning_rate momentum nesterov",
    fastmlp.Adam: "learning_rate beta1 beta2 epsilon weight_decay",
    fastmlp.RMSprop: "learning_rate alpha epsilon momentum",
    fastmlp.Rprop: "learning_rate",
    fastmlp.Uniform: "low high",
    fastmlp.Normal: "mean std",
    fastmlp.load: "path allow_nonfinite",
    RUNS.predict: "X reduce q threads",
    RUNS.save: "path",
    classifier: (
        "X y sample_weight hidden_layer_sizes activation solver alpha batch_size learning_rate learning_rate_init power_t "
        "max_iter shuffle random_state tol warm_start momentum early_stopping validation_fraction beta_1 epsilon "
        "n_iter_no_change n_restarts combine dropout bootstrap class_weight"
    ),
    regressor: "X y sample_weight loss hidden_layer_sizes solver alpha batch_size random_state tol n_restarts combine",
}
if importlib.util.find_spec("sklearn") is None:  # the estimators need it, nothing else does
    del FUNCTIONS[classifier], FUNCTIONS[regressor]
ALWAYS = {
    swept: {"name": "l2", "values": [0.1]},
    fastmlp.Architecture: {"sizes": (2, 3, 1)},
    fastmlp.Uniform: {"low": -1, "high": 1},
    fastmlp.load: {"path": FOLDER / "runs"},
    RUNS.predict: {"X": X},
    RUNS.save: {"path": FOLDER / "runs"},
}


def is_large(value):
    try:
        return bool(np.size(value)) and bool(np.max(np.abs(np.asarray(value, float))) > 10)
    except (TypeError, ValueError, OverflowError):
        return False


def call(rng):
    """A call with one to three strange arguments; what became of it."""
    functions = list(FUNCTIONS)
    function = functions[rng.integers(len(functions))]
    names = FUNCTIONS[function].split()
    arguments = dict(ALWAYS.get(function, {}))
    for name in rng.choice(names, min(len(names), int(rng.integers(1, 4))), replace=False):
        value = STRANGE[rng.integers(len(STRANGE))]
        if not (name in NO_LARGE and is_large(value)):
            arguments[str(name)] = value
    try:
        function(**arguments)
    except (ValueError, TypeError) as error:
        if not str(error):
            raise AssertionError(
                f"{function.__name__}({arguments}): {type(error).__name__} without a message"
            ) from None
        return "refused"
    except FileNotFoundError:
        return "no such file"
    except BaseException as error:
        raise AssertionError(f"{function.__name__}({arguments}): {type(error).__name__}: {error}") from error
    return "done"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.chdir(FOLDER)  # where files with strange names may be written
    rng, counts = np.random.default_rng(int(sys.argv[2])), Counter()
    while counts["refused"] < int(sys.argv[1]):
        counts[call(rng)] += 1
    os.chdir("/")
    print(json.dumps(counts))
