"""Speed of the headline job beside the processor's peak, in one process: `python -m benchmarks.xor [--json]`.

XOR, full-batch gradient descent, all nets for all epochs. A net-epoch is one pass of one net over its four samples,
update included. Useful flops are those of the products alone: 2 · in · out a sample for the forward pass, for the
weight gradient, and (but for the first layer) for the gradient passed down.
"""

import argparse
import itertools
import json

import numpy as np

import fastmlp
from benchmarks.peak import peak_flops
from fastmlp import _threads

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
NETS = 65_536
ROUNDS = 5


def useful_flops(sizes, n_samples):
    """Useful flops of a net-epoch."""
    products = [a * b for a, b in itertools.pairwise(sizes)]
    return 2 * n_samples * (3 * sum(products) - products[0])


def measure(sizes, threads, dtype="float32", epochs=1000, nets=NETS):
    """Net-epochs a second and share of peak, medians of rounds in which the two are measured next to each other."""
    arch = fastmlp.Architecture(sizes)
    settings = {"n_nets": nets, "optimizer": fastmlp.SGD(0.5), "dtype": dtype, "threads": threads}
    fastmlp.train(arch, X, Y, epochs=2, **settings)
    rates, shares = [], []
    for _ in range(ROUNDS):
        peak = peak_flops(dtype, threads)
        runs = fastmlp.train(arch, X, Y, epochs=epochs, **settings)
        rates.append(nets * epochs / runs.train_seconds)
        shares.append(rates[-1] * useful_flops(sizes, len(X)) / peak)
    return {
        "sizes": "-".join(map(str, sizes)),
        "dtype": dtype,
        "threads": threads,
        "net_epochs_per_second": float(np.median(rates)),
        "share_of_peak": float(np.median(shares)),
        "peak_gflops": peak / 1e9,
        "solved": float((runs.accuracy == 1).mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, to see that it runs")
    options = parser.parse_args()
    several = _threads.available_threads()
    rows = [
        measure(sizes, threads, dtype, epochs=(1000 if sizes[1] == 4 else 300) // (10 if options.quick else 1))
        for sizes in ((2, 4, 1), (2, 16, 1))
        for dtype in ("float32", "float64")
        for threads in sorted({1, several})
    ]
    if options.json:
        print(json.dumps(rows))
        return
    print("net     dtype    threads  M net-epochs/s  share of peak  peak, GFLOP/s  solved")
    for row in rows:
        print(
            f"{row['sizes']:7} {row['dtype']:8} {row['threads']:7} {row['net_epochs_per_second'] / 1e6:15.1f} "
            f"{row['share_of_peak']:14.1%} {row['peak_gflops']:14.0f} {row['solved']:7.1%}"
        )


if __name__ == "__main__":
    main()
