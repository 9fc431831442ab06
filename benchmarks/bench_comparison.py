"""asv: our side of every row of the comparison (`benchmarks.compare`), in float32 on all threads and on one."""

import numpy as np

from benchmarks.workloads import WORKLOADS

try:
    from benchmarks.peak import peak_flops
except ImportError:  # commits from before the library's packages lack what it needs
    peak_flops = None

ROWS = {row.name: row for row in WORKLOADS}
ROUNDS = 3


class Comparison:
    """Medians of rounds."""

    params = list(ROWS)
    param_names = ("workload",)
    timeout = 300

    def setup(self, name):
        self.row = ROWS[name]
        self.row.train(1)
        self.row.train(1, threads=1)

    def rate(self, threads=None):
        return self.row.nets * self.row.epochs / self.row.train(threads=threads).train_seconds

    def track_net_epochs(self, name):
        return float(np.median([self.rate() for _ in range(ROUNDS)]))

    track_net_epochs.unit = "net-epochs a second"

    def track_share_of_peak(self, name):
        shares = [self.rate(1) * self.row.flops / peak_flops("float32", 1) for _ in range(ROUNDS)]
        return float(np.median(shares))

    track_share_of_peak.unit = "useful flops over peak, one thread"
