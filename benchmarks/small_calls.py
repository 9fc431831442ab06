"""What small calls and a cold start take, beside scikit-learn and others: `python -m benchmarks.small_calls`.

In each round everything is measured, one after the other: medians over the rounds of the mean time of a call. `--cold`
measures instead, in fresh processes with empty caches, the first `MLPClassifier().fit` and the first `train` on XOR.
What is not installed is left out.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial

import numpy as np

import fastmlp
from benchmarks import peers
from benchmarks.compare import seconds_of_a_call
from benchmarks.workloads import XOR_X, XOR_Y, Workload

WORKLOAD = Workload((30, 32, 2), 1, 20, "adam", 455, 32)
SECONDS = 0.2  # of each measurement
COLD = {
    "fastmlp.MLPClassifier().fit": "from fastmlp import MLPClassifier; MLPClassifier(max_iter=5).fit(X, y)",
    "sklearn MLPClassifier().fit": "from sklearn.neural_network import MLPClassifier as M; M(max_iter=5).fit(X, y)",
    "fastmlp.train, XOR": "import fastmlp as f; f.train(f.Architecture((2, 4, 1)), XOR, TARGETS, epochs=10)",
}
COLD_DATA = (
    "import warnings; warnings.simplefilter('ignore')\n"
    "import numpy as np; X = np.random.default_rng(0).normal(size=(200, 10)); y = (X[:, 0] > 0).astype(int)\n"
    "XOR, TARGETS = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]\n"
)


def calls():
    """Rows: a title, and a function for each library, the first being ours."""
    X, y = WORKLOAD.data()
    net, row = WORKLOAD.train(1).best(), X[:1].astype(np.float32)
    predictions = {"fastmlp": partial(net.predict, row)}
    parts = {"fastmlp": partial(_new_classifier(fastmlp.MLPClassifier, X, y).partial_fit, X[:100], y[:100])}
    if importlib.util.find_spec("sklearn"):
        from sklearn.neural_network import MLPClassifier

        theirs = _new_classifier(MLPClassifier, X, y)
        predictions["scikit-learn"] = partial(theirs.predict_proba, row)
        parts["scikit-learn"] = partial(theirs.partial_fit, X[:100], y[:100])
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
        session = _onnx_session(net)
        predictions["onnxruntime"] = partial(session.run, None, {"X": row})
    trainings = {"fastmlp": partial(WORKLOAD.train, 20)}
    for name, peer in peers.installed().items():
        train = peer(WORKLOAD, *WORKLOAD.initial(1), X, y)
        trainings[name] = partial(train, 20)
    architecture, rate = fastmlp.Architecture((2, 4, 1)), fastmlp.SGD(0.5)
    one = partial(fastmlp.train, architecture, XOR_X, XOR_Y, epochs=1, optimizer=rate)
    return {
        "predict, one row, 30-32-2": predictions,
        "partial_fit, 100 rows, 30-32-2": parts,
        "train, 30-32-2, 455 samples, minibatch 32, 20 epochs": trainings,
        "train, 2-4-1, XOR, one epoch": {"fastmlp": one},
    }


def _new_classifier(kind, X, y):
    return kind((32,), random_state=0).partial_fit(X, y, classes=[0, 1])


def _onnx_session(net):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    arrays = {f"{kind}{k}": a for kind, all_ in (("W", net.weights), ("b", net.biases)) for k, a in enumerate(all_)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["X", "W0", "b0"], ["z"]),
            helper.make_node("Relu", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "W1", "b1"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 30])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(np.ascontiguousarray(a, np.float32), name) for name, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def warm(rounds, seconds):
    """Print a line for each call and library: microseconds, and how many times ours that is."""
    for title, by_library in calls().items():
        for call in by_library.values():
            call()
        times = [
            {name: 1e6 * seconds_of_a_call(call, seconds) for name, call in by_library.items()} for _ in range(rounds)
        ]
        for name in by_library:
            ratio = np.median([one[name] / one["fastmlp"] for one in times])
            middle = np.median([one[name] for one in times])
            print(f"{title:54} {name:20} {middle:10.1f} us   x {ratio:.2f}", flush=True)


def cold(rounds):
    """Print the median seconds of a fresh process with an empty cache."""
    times = {name: [] for name in COLD}
    for _ in range(rounds):
        for name, code in COLD.items():
            with tempfile.TemporaryDirectory() as folder:
                begun = time.perf_counter()
                environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
                subprocess.run([sys.executable, "-c", COLD_DATA + code], env=environment, check=True)
                times[name].append(time.perf_counter() - begun)
    for name, seconds in times.items():
        print(f"{name:30} {np.median(seconds):6.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--cold", action="store_true", help="measure cold starts instead")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rounds = 1 if options.quick else options.rounds
    if options.cold:
        cold(rounds)
    else:
        warm(rounds, 0.01 if options.quick else SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
