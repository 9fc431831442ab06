"""What asv tracks over commits: many simultaneous XOR restarts, against pure NumPy and the processor's peak.

Kernels are warmed up in `setup`; ratios are medians of rounds that measure both sides next to each other, in one
process.
"""

import time

import numpy as np

from benchmarks import numpy_nets
from benchmarks.workloads import Workload

try:
    from benchmarks.peak import peak_flops
except ImportError:  # commits from before the library's packages lack what it needs
    peak_flops = None

NETS = [1, 32, 1024, 65_536]
HIDDEN = [2, 4, 16]
ROUNDS = 3
SECONDS = 0.1  # a measurement of fastmlp
NUMPY_NETS = {"one at a time": 2, "batched matmul": 4096, "net index last": 4096}  # at once, at most
NUMPY = {
    "one at a time": numpy_nets.train_one_at_a_time,
    "batched matmul": numpy_nets.train_batched,
    "net index last": numpy_nets.train_net_last,
}


class Xor:
    """2-H-1 nets, full-batch gradient descent, for as many epochs as take `SECONDS`."""

    params = (NETS, HIDDEN)
    param_names = ("nets", "hidden units")
    timeout = 600

    def setup(self, nets, hidden):
        self.workload = Workload((2, hidden, 1), nets, 100)
        self.workload.train()
        seconds = max(1e-6, self.workload.train().train_seconds)
        self.epochs = int(min(20_000, max(100, 100 * SECONDS / seconds)))

    def rate(self, threads=None):
        """Net-epochs a second."""
        return self.workload.nets * self.epochs / self.workload.train(self.epochs, threads).train_seconds


class TimeXor(Xor):
    """Training alone."""

    def time_train_100_epochs(self, nets, hidden):
        self.workload.train()

    def peakmem_train(self, nets, hidden):
        self.workload.train()


class TrackXor(Xor):
    """Rates, and the share of nets that it solves, so that a fast wrong kernel shows."""

    def track_net_epochs(self, nets, hidden):
        return float(np.median([self.rate() for _ in range(ROUNDS)]))

    track_net_epochs.unit = "net-epochs a second"

    def track_share_of_peak(self, nets, hidden):
        shares = [self.rate(1) * self.workload.flops / peak_flops("float32", 1) for _ in range(ROUNDS)]
        return float(np.median(shares))

    track_share_of_peak.unit = "useful flops over peak, one thread"

    def track_share_solved(self, nets, hidden):
        return float((self.workload.train(1000).accuracy == 1).mean())

    track_share_solved.unit = "share of nets"


class RatioToNumpy(Xor):
    """How many times the net-epochs of each NumPy version."""

    params = (NETS, HIDDEN, list(NUMPY))
    param_names = ("nets", "hidden units", "NumPy version")

    def setup(self, nets, hidden, version):
        super().setup(nets, hidden)

    def track_ratio(self, nets, hidden, version):
        count = min(nets, NUMPY_NETS[version])
        arrays = self.workload.initial(count)
        X, y = self.workload.data()
        epochs = min(200, 20_000 // count)
        ratios = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            NUMPY[version](self.workload, *arrays, X, y, epochs)
            numpy_rate = count * epochs / (time.perf_counter() - begun)
            ratios.append(self.rate() / numpy_rate)
        return float(np.median(ratios))

    track_ratio.unit = "times"
