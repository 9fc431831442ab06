"""asv: small calls, and how long a process takes to its first result, with a warm cache and with none."""

import os
import subprocess
import sys
import tempfile

import numpy as np

import fastmlp
from benchmarks.workloads import XOR_X, XOR_Y, Workload

WORKLOAD = Workload((30, 32, 2), 1, 20, "adam", 455, 32)


class SmallCalls:
    """Calls whose own work is microseconds."""

    def setup(self):
        self.X, self.y = WORKLOAD.data()
        self.net, self.row = WORKLOAD.train(1).best(), self.X[:1].astype(np.float32)
        self.tiny, self.rate = fastmlp.Architecture((2, 4, 1)), fastmlp.SGD(0.5)
        self.time_train_one_epoch()

    def time_predict_one_row(self):
        self.net.predict(self.row)

    def time_train_one_epoch(self):
        fastmlp.train(self.tiny, XOR_X, XOR_Y, epochs=1, optimizer=self.rate)

    def time_train_20_epochs(self):
        WORKLOAD.train(20)


class SmallCallsOfEstimators:
    """`partial_fit` with 100 rows, and probabilities of one."""

    def setup(self):
        X, self.y = WORKLOAD.data()
        self.X = X
        self.model = fastmlp.MLPClassifier((32,), random_state=0).partial_fit(X, self.y, classes=[0, 1])

    def time_partial_fit(self):
        self.model.partial_fit(self.X[:100], self.y[:100])

    def time_predict_proba_one_row(self):
        self.model.predict_proba(self.X[:1])


class WarmStart:
    """A process of its own, with a warm cache."""

    timeout = 300

    def setup(self):
        self.time_a_small_job()

    def time_import(self):
        subprocess.run([sys.executable, "-c", "import fastmlp"], check=True)

    def time_a_small_job(self):
        command = [sys.executable, "-m", "fastmlp", "xor", "--restarts", "32", "--json"]
        subprocess.run(command, check=True, capture_output=True)


class ColdStart:
    """A process of its own that compiles its kernels."""

    timeout = 300
    number = 1
    repeat = 2
    rounds = 1
    warmup_time = 0

    def time_a_small_job(self):
        command = [sys.executable, "-m", "fastmlp", "xor", "--restarts", "32", "--json"]
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"NUMBA_CACHE_DIR": folder}
            subprocess.run(command, check=True, capture_output=True, env=environment)
