"""What asv tracks over commits: many simultaneous XOR restarts. Kernels are warmed up in `setup`."""

import subprocess
import sys

import fastmlp
from fastmlp._xor import X, Y

EPOCHS = 200


class TrainXor:
    """Training alone, and the share of nets that it solves, so that a fast wrong kernel shows."""

    params = ([32, 1024, 65_536], [4, 16])
    param_names = ("nets", "hidden units")
    timeout = 300

    def setup(self, nets, hidden):
        self.arch = fastmlp.Architecture((2, hidden, 1))
        self.settings = {"n_nets": nets, "optimizer": fastmlp.SGD(0.5), "epochs": EPOCHS}
        fastmlp.train(self.arch, X, Y, **self.settings)

    def time_train(self, nets, hidden):
        fastmlp.train(self.arch, X, Y, **self.settings)

    def track_share_solved(self, nets, hidden):
        return float((fastmlp.train(self.arch, X, Y, **self.settings).accuracy == 1).mean())

    track_share_solved.unit = "share"


class ColdStart:
    """A process of its own, with a warm cache."""

    timeout = 300

    def setup(self):
        self.time_import()
        self.time_a_small_job()

    def time_import(self):
        subprocess.run([sys.executable, "-c", "import fastmlp"], check=True)

    def time_a_small_job(self):
        command = [sys.executable, "-m", "fastmlp", "xor", "--restarts", "32", "--json"]
        subprocess.run(command, check=True, capture_output=True)
