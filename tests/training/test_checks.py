"""Bad input: a ValueError or TypeError that says what was given and what is needed, before any kernel runs."""

import numpy as np
import pandas
import pytest
import scipy.sparse

import fastmlp
from fastmlp._engine import chunk_trainer
from tests.support.data import XOR_X, XOR_Y

ARCH = fastmlp.Architecture((2, 4, 1))
SOFTMAX = fastmlp.Architecture((2, 3), output="softmax")
IDENTITY = fastmlp.Architecture((2, 1), output="identity")
WEIGHTS, BIASES = [np.zeros((2, 2, 4)), np.zeros((2, 4, 1))], [np.zeros((2, 4)), np.zeros((2, 1))]

BAD_CALLS = [
    ({"architecture": (2, 4, 1)}, TypeError, "needs a fastmlp.Architecture"),
    ({"X": XOR_X[:, :1]}, ValueError, r"X has shape \(4, 1\); needs \(n_samples, 2\)"),
    ({"X": XOR_X[0]}, ValueError, r"X has shape \(2,\).*X\[None, :\]"),
    ({"X": np.zeros((0, 2)), "y": []}, ValueError, "X has 0 samples"),
    ({"X": [[0, 0], [1]]}, ValueError, "X is not a rectangular array"),
    ({"X": [["a", "b"]]}, TypeError, "X has dtype .* needs real numbers"),
    ({"X": XOR_X.astype(object)}, TypeError, "X has dtype object.*convert the columns"),
    ({"X": XOR_X * 1j}, TypeError, "X has dtype complex128"),
    ({"X": np.where(XOR_X, np.nan, 0)}, ValueError, r"X has nan at \(1, 1\) \(4 such in all\)"),
    ({"X": np.where(XOR_X, -np.inf, 0)}, ValueError, "X has -inf at"),
    ({"X": XOR_X * 1e300}, ValueError, "X has 1e\\+300 at .* range of float32"),
    ({"X": np.ma.masked_array(XOR_X, XOR_X == 1)}, ValueError, "X has masked entries"),
    ({"y": [0, 1]}, ValueError, r"y has shape \(2,\), X has 4 samples"),
    ({"y": 1}, ValueError, r"y has shape \(\)"),
    ({"y": np.zeros((4, 2))}, ValueError, r"y has shape \(4, 2\); 1 outputs"),
    ({"y": [-1, 1, 1, -1]}, ValueError, r"y has values \{-1, 1\}.*pass \(y \+ 1\) / 2"),
    ({"y": [0, 1, 2, 3]}, ValueError, r"y has values \{0, 1, 2, 3\}.*loss='mse'"),
    ({"y": [0, np.nan, 1, 0]}, ValueError, "y has nan at \\(1, 0\\)"),
    ({"y": ["0", "1", "1", "0"]}, TypeError, "y has dtype"),
    ({"architecture": SOFTMAX, "y": [0, 1, 2, 3]}, ValueError, "y has the class 3; 3 softmax outputs"),
    ({"architecture": SOFTMAX, "y": [0, 1, 0.5, 0]}, ValueError, "y has the class 0.5"),
    ({"architecture": SOFTMAX, "y": np.eye(4)[:, :3]}, ValueError, r"pass y.argmax\(axis=1\)"),
    ({"n_nets": 0}, ValueError, "n_nets=0: needs a whole number from 1"),
    ({"n_nets": -5}, ValueError, "n_nets=-5"),
    ({"n_nets": 2.5}, TypeError, "n_nets=2.5: needs a whole number"),
    ({"n_nets": True}, TypeError, "n_nets=True"),
    ({"n_nets": 2**41}, ValueError, "n_nets=2199023255552"),
    ({"seed": -1}, ValueError, "seed=-1"),
    ({"seed": 2**64}, ValueError, "seed=18446744073709551616"),
    ({"seed": None}, TypeError, "seed=None"),
    ({"epochs": -1}, ValueError, "epochs=-1"),
    ({"epochs": "many"}, TypeError, "epochs='many'"),
    ({"optimizer": "sdg"}, ValueError, "optimizer='sdg' is not known: use one of 'sgd', 'adam', 'rmsprop', 'rprop'"),
    ({"optimizer": fastmlp.SGD}, TypeError, "optimizer=.*needs one of the names"),
    (
        {"optimizer": fastmlp.SGD(np.ones(3)), "n_nets": 4},
        ValueError,
        r"SGD\(learning_rate=…\) has shape \(3,\); .* of shape \(4,\)",
    ),
    ({"loss": "hinge"}, ValueError, "loss='hinge' is not known: use one of 'bce', 'mse'"),
    ({"loss": "cross_entropy"}, ValueError, "loss='cross_entropy' is not known: use one of 'bce', 'mse'"),
    ({"init": "zeros"}, ValueError, "init='zeros' is not known: use one of 'he_uniform'"),
    ({"init": (WEIGHTS,)}, ValueError, r"needs the pair \(weights, biases\)"),
    ({"init": (WEIGHTS[:1], BIASES)}, ValueError, "weights is 1 arrays; needs a list of 2 arrays"),
    ({"init": (WEIGHTS, WEIGHTS)}, ValueError, r"biases\[0\] has shape \(2, 2, 4\); needs \(n_nets, 4\)"),
    ({"init": (WEIGHTS, [BIASES[0], np.zeros((3, 1))])}, ValueError, r"biases\[1\] holds 3 nets; needs 2"),
    ({"init": (WEIGHTS, BIASES), "n_nets": 3}, ValueError, "init holds 2 nets, but n_nets or net_ids ask for 3"),
    ({"init": ([WEIGHTS[0] * np.nan, WEIGHTS[1]], BIASES)}, ValueError, r"weights\[0\] has nan"),
    ({"batch_size": 0}, ValueError, "batch_size=0"),
    ({"batch_size": "all"}, TypeError, "batch_size='all'"),
    (
        {"architecture": fastmlp.Architecture((2, 1), output="exp"), "y": [0, 1, -2, 0]},
        ValueError,
        "y has the value -2; loss='poisson' is for counts",
    ),
    ({"shuffle": 1}, TypeError, "shuffle=1: needs True, False or 'by_net'"),
    ({"l2": -0.1}, ValueError, "l2=-0.1: needs numbers of at least 0"),
    ({"l2": [0.1, 0.2], "n_nets": 3}, ValueError, r"l2 has shape \(2,\)"),
    ({"l2": np.nan}, ValueError, "l2=nan"),
    ({"sample_weight": [1, 2]}, ValueError, r"sample_weight has shape \(2,\); needs \(4,\).*\(1, 4\)"),
    ({"sample_weight": [1, -1, 1, 1]}, ValueError, "sample_weight has the value -1"),
    ({"sample_weight": [0, 0, 0, 0]}, ValueError, "sample_weight is 0 for every sample"),
    ({"sample_weight": [1, np.inf, 1, 1]}, ValueError, "sample_weight has inf at 1"),
    ({"sample_weight": [3e38] * 4}, ValueError, "sample_weight adds up to 1.2e\\+39, which float32 cannot divide by"),
    ({"sample_weight": [1e-40] * 4}, ValueError, "sample_weight adds up to 4e-40"),
    ({"optimizer": fastmlp.SGD(1e-46)}, ValueError, r"SGD\(learning_rate=…\) has the value 1e-46, which float32"),
    ({"optimizer": fastmlp.SGD(1e39)}, ValueError, r"SGD\(learning_rate=…\) has the value 1e\+39"),
    ({"optimizer": fastmlp.Adam(epsilon=1e-46)}, ValueError, r"Adam\(epsilon=…\) has the value 1e-46"),
    ({"optimizer": fastmlp.Adam(beta2=1 - 1e-12)}, ValueError, r"Adam\(beta2=…\) has the value 0.99"),
    ({"optimizer": fastmlp.Adam(weight_decay=np.zeros(3))}, ValueError, r"Adam\(weight_decay=…\) has shape \(3,\)"),
    ({"l2": np.inf}, ValueError, "l2 has the value inf"),
    ({"tol": np.inf}, ValueError, "tol=inf"),
    ({"target_loss": -1}, ValueError, "target_loss=-1"),
    ({"target_accuracy": 1.5}, ValueError, "target_accuracy=1.5: needs numbers from 0 to 1"),
    (
        {"target_accuracy": 1.0, "architecture": IDENTITY, "y": [1, 2, 3, 4]},
        ValueError,
        "target_accuracy needs classes",
    ),
    ({"patience": 0}, ValueError, "patience=0"),
    ({"tol": -1e-3}, ValueError, "tol=-0.001"),
    ({"record_every": 0}, ValueError, "record_every=0"),
    ({"net_ids": [0.5]}, TypeError, "net_ids has dtype float64"),
    ({"net_ids": []}, TypeError, "net_ids has dtype float64"),
    ({"net_ids": np.zeros(0, int)}, ValueError, "net_ids is empty"),
    ({"net_ids": [-1]}, ValueError, r"net_ids needs numbers from 0 to 2\*\*63 - 1"),
    ({"net_ids": np.array([2**63], np.uint64)}, ValueError, "net_ids needs numbers"),
    ({"net_ids": [1, 2], "n_nets": 3}, ValueError, "n_nets=3 but net_ids has 2 numbers"),
    ({"dtype": "float16"}, ValueError, "dtype='float16': needs 'float32' or 'float64'"),
    ({"dtype": "floaty"}, TypeError, "dtype='floaty'"),
    ({"threads": 0}, ValueError, "threads=0"),
    ({"callback": 3}, TypeError, "callback=3"),
    ({"learning_rate": 0.1}, TypeError, r"no argument 'learning_rate'.*pass optimizer=fastmlp.Adam\(0.1\)"),
    ({"lr": 0.1}, TypeError, r"pass optimizer=fastmlp.Adam\(0.1\)"),
    ({"momentum": 0.9}, TypeError, r"fastmlp.SGD\(0.1, momentum=0.9\)"),
    ({"weight_decay": 0.1}, TypeError, "a setting of the optimizer"),
    ({"max_iter": 7}, TypeError, "pass epochs=7"),
    ({"random_state": 7}, TypeError, "pass seed=7"),
    ({"n_jobs": 2}, TypeError, "pass threads=2"),
    ({"early_stopping": True}, TypeError, "pass validation="),
    ({"hidden": "tanh"}, TypeError, "it belongs to the net"),
    ({"epoch": 3}, TypeError, "did you mean 'epochs'"),
    ({"sample_weights": [1] * 4}, TypeError, "did you mean 'sample_weight'"),
    ({"nonsense": 3}, TypeError, "see help"),
    ({"optimizer": "adamw"}, ValueError, "AdamW is Adam with weight_decay"),
    ({"dropout": 1}, ValueError, "dropout=1: needs numbers from 0 to below 1"),
    ({"dropout": [0.5, 1.0], "n_nets": 2}, ValueError, "from 0 to below 1"),
    ({"X": scipy.sparse.csr_matrix(XOR_X)}, TypeError, r"X is a sparse csr_matrix of shape \(4, 2\).*X.toarray\(\)"),
    ({"X": scipy.sparse.coo_array(XOR_X)}, TypeError, "pass X.toarray()"),
    ({"y": scipy.sparse.csc_matrix(XOR_Y[:, None])}, TypeError, "y is a sparse"),
    ({"validation": (scipy.sparse.csr_matrix(XOR_X), XOR_Y)}, TypeError, "is a sparse"),
    (
        {"validation": (XOR_X, XOR_Y, np.ones((3, 4))), "n_nets": 3},
        ValueError,
        r"shape \(3, 4\); needs \(4,\), one number a sample: all nets are scored with the same weights",
    ),
    (
        {"X": pandas.DataFrame({"a": pandas.array([0, None, 1, 1], "Int64"), "b": 0.5})},
        ValueError,
        r"X has nan at \(1, 0\)",
    ),
    ({"X": pandas.DataFrame({"a": ["x"] * 4, "b": 0.5})}, TypeError, "convert the columns to numbers"),
    ({"y": pandas.Series(["a", "b"] * 2, dtype="string")}, TypeError, "y has dtype"),
]


NULLABLE = [
    "Int8",
    "Int64",
    "UInt16",
    "Float32",
    "Float64",
    "boolean",
    "double[pyarrow]",
    "int64[pyarrow]",
    "bool[pyarrow]",
]


@pytest.mark.parametrize("dtype", NULLABLE)
def test_pandas_nullable_and_arrow_columns_are_numbers(dtype):
    frame = pandas.DataFrame({"a": pandas.array([0, 0, 1, 1], dtype), "b": np.array([0, 1, 0, 1], np.float32)})
    target = pandas.Series([0, 1, 1, 0]).astype(dtype)
    runs = fastmlp.train(ARCH, frame, target, n_nets=3, epochs=5, sample_weight=target + 1 if dtype[0] != "b" else None)
    plain = fastmlp.train(ARCH, XOR_X, XOR_Y, n_nets=3, epochs=5, sample_weight=XOR_Y + 1 if dtype[0] != "b" else None)
    assert runs.weights_sha256() == plain.weights_sha256()
    assert (runs.predict(frame) == plain.predict(XOR_X)).all()
    assert runs.diagnose(frame, target).counts() == plain.diagnose(XOR_X, XOR_Y).counts()
    found = fastmlp.sweep(frame, target, {"sizes": [(2, 3, 1)]}, n_seeds=2, epochs=2)
    assert len(found) == 1


@pytest.mark.parametrize("every", [2**53, 2**63, 10**30])
def test_records_may_be_as_rare_as_one_likes(every):
    runs = fastmlp.train(ARCH, XOR_X, XOR_Y, epochs=3, record_every=every)
    assert runs.history.shape == (1, 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"), BAD_CALLS, ids=[f"{list(c)} {i}" for i, (c, _, _) in enumerate(BAD_CALLS)]
)
def test_train_refuses_before_any_kernel_runs(changes, error, message, monkeypatch):
    for kernel in ("train_tiles", "train_tiny_tiles", "draw", "copy_in", "copy_out", "measure_tiles"):
        monkeypatch.setattr(chunk_trainer, kernel, lambda *args: pytest.fail("a kernel ran"))
    call = {"architecture": ARCH, "X": XOR_X, "y": XOR_Y, **changes}
    with pytest.raises(error, match=message):
        fastmlp.train(**call)


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (((2,),), {}, ValueError, "at least the inputs and the outputs"),
        (((2, 0, 1),), {}, ValueError, "at least one unit"),
        (((2, -4, 1),), {}, ValueError, "at least one unit"),
        (((2, 4.5, 1),), {}, TypeError, "whole numbers"),
        ((7,), {}, TypeError, "whole numbers"),
        (((100_000, 100_000),), {}, ValueError, "10,000,100,000 parameters a net"),
        (((2, 4, 1),), {"hidden": "rely"}, ValueError, "hidden='rely' is not known: use one of 'relu', 'leaky_relu'"),
        (((2, 1),), {"hidden": "rely"}, ValueError, "hidden='rely' is not known"),
        (((2, 4, 1),), {"hidden": "softmax"}, ValueError, "hidden='softmax' is not known"),
        (((2, 4, 1),), {"hidden": ("relu", "relu")}, ValueError, "names 2 activations, but .* 1 hidden layers"),
        (((2, 4, 1),), {"output": "tanh"}, ValueError, "output='tanh' is not known"),
        (((2, 4, 1),), {"output": "softmax"}, ValueError, "at least 2 outputs"),
        (((2, 4, 1),), {"bias": 1}, TypeError, "bias=1"),
        (((2, 4, 1),), {"leaky_slope": -0.1}, ValueError, "leaky_slope=-0.1"),
        (((2, 4, 1),), {"leaky_slope": "small"}, TypeError, "leaky_slope='small'"),
    ],
)
def test_architecture_refuses(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        fastmlp.Architecture(*arguments, **settings)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastmlp.SGD(0), ValueError, r"SGD\(learning_rate=…\) has the value 0.0: needs finite numbers above 0"),
        (lambda: fastmlp.SGD(np.inf), ValueError, "has the value inf"),
        (lambda: fastmlp.SGD("fast"), TypeError, r"SGD\(learning_rate='fast'\)"),
        (lambda: fastmlp.SGD(0.1, momentum=1.0), ValueError, "of at least 0 and below 1"),
        (lambda: fastmlp.SGD(0.1, nesterov=1), TypeError, "nesterov=1: needs True or False"),
        (lambda: fastmlp.SGD([[0.1]]), TypeError, "one-dimensional"),
        (lambda: fastmlp.Adam(beta2=[0.9, 1.0]), ValueError, "beta2=…. has the value 1.0"),
        (lambda: fastmlp.Rprop(min_step=10, max_step=0.1), ValueError, "min_step must not exceed max_step"),
        (
            lambda: fastmlp.train(ARCH, XOR_X, XOR_Y, epochs=0)[:0].predict(XOR_X, reduce="mean"),
            ValueError,
            "no nets to average",
        ),
        (lambda: fastmlp.Uniform(1, 0), ValueError, "low must not exceed high"),
        (lambda: fastmlp.Uniform(0, np.nan), ValueError, "high=nan"),
        (lambda: fastmlp.Uniform("a", 1), TypeError, "low='a'"),
        (lambda: fastmlp.Normal(-1), ValueError, "std=-1"),
        (lambda: fastmlp.VarianceScaling(0, "in", "normal"), ValueError, "scale=0"),
        (lambda: fastmlp.VarianceScaling(1, "out", "normal"), ValueError, "fan='out'"),
        (lambda: fastmlp.loss_and_gradients(ARCH, WEIGHTS, None, XOR_X, XOR_Y), ValueError, "biases is NoneType"),
        (
            lambda: fastmlp.loss_and_gradients((2, 4, 1), WEIGHTS, BIASES, XOR_X, XOR_Y),
            TypeError,
            "needs a fastmlp.Arch",
        ),
        (lambda: fastmlp.train(ARCH, XOR_X, XOR_Y, epochs=0).predict([[1, 2, 3]]), ValueError, r"X has shape \(1, 3\)"),
        (
            lambda: fastmlp.train(ARCH, XOR_X, XOR_Y, epochs=0).predict(XOR_X, reduce="mode"),
            ValueError,
            "reduce='mode'",
        ),
    ],
)
def test_the_other_names_refuse(make, error, message):
    with pytest.raises(error, match=message):
        make()
