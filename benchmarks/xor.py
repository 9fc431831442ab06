"""Speed of the headline job beside the processor's peak and pure NumPy, in one process: `python -m benchmarks.xor`.

XOR, full-batch gradient descent, all nets for all epochs. A net-epoch is one pass of one net over its four samples,
update included; the share of peak counts its useful flops (`Architecture.useful_flops`).
"""

import argparse
import json
import time

import numpy as np

import fastmlp
from benchmarks.peak import peak_flops
from fastmlp import _threads
from fastmlp._xor import X, Y

NETS = 65_536
NUMPY_NETS = 4096
ROUNDS = 5


def measure(sizes, threads, dtype="float32", epochs=1000, nets=NETS):
    """Net-epochs a second and share of peak, medians of rounds in which the two are measured next to each other."""
    arch = fastmlp.Architecture(sizes)
    settings = {"n_nets": nets, "optimizer": fastmlp.SGD(0.5), "dtype": dtype, "threads": threads}
    fastmlp.train(arch, X, Y, epochs=2, **settings)
    rates, shares, peaks = [], [], []
    for _ in range(ROUNDS):
        peaks.append(peak_flops(dtype, threads))
        runs = fastmlp.train(arch, X, Y, epochs=epochs, **settings)
        rates.append(nets * epochs / runs.train_seconds)
        shares.append(rates[-1] * arch.useful_flops(len(X)) / peaks[-1])
    return {
        "sizes": "-".join(map(str, sizes)),
        "dtype": dtype,
        "threads": threads,
        "net_epochs_per_second": float(np.median(rates)),
        "share_of_peak": float(np.median(shares)),
        "peak_gflops": float(np.median(peaks)) / 1e9,
        "solved": float((runs.accuracy == 1).mean()),
    }


def measure_numpy(hidden, epochs, nets=NUMPY_NETS):
    """Net-epochs a second of batched matrix products in NumPy (float32, however many threads its library uses)."""
    runs = fastmlp.train(fastmlp.Architecture((2, hidden, 1)), X, Y, n_nets=nets, epochs=0)
    (w1, w2), (b1, b2) = ([array.copy() for array in arrays] for arrays in (runs.weights, runs.biases))
    x, y, rate = X.astype(np.float32), Y.astype(np.float32)[:, None], np.float32(0.5)
    rates = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(epochs):
            a = np.maximum(x @ w1 + b1[:, None], 0)
            delta = (1 / (1 + np.exp(-(a @ w2 + b2[:, None]))) - y) / 4
            down = (delta @ w2.transpose(0, 2, 1)) * (a > 0)
            w2 -= rate * (a.transpose(0, 2, 1) @ delta)
            b2 -= rate * delta.sum(axis=1)
            w1 -= rate * (x.T @ down)
            b1 -= rate * down.sum(axis=1)
        rates.append(nets * epochs / (time.perf_counter() - begun))
    return float(np.median(rates))


HEADER = ("net", "dtype", "threads", "million net-epochs/s", "share of peak", "peak, GFLOP/s", "times NumPy", "solved")


def cells(row):
    """A row of the table."""
    return (
        row["sizes"], row["dtype"], str(row["threads"]), f"{row['net_epochs_per_second'] / 1e6:.1f}",
        f"{row['share_of_peak']:.1%}", f"{row['peak_gflops']:.0f}", f"{row['times_numpy']:.0f}", f"{row['solved']:.1%}",
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, to see that it runs")
    options = parser.parse_args()
    several = _threads.available_threads()
    rows = [
        measure(sizes, threads, dtype, epochs=(1000 if sizes[1] == 4 else 300) // (10 if options.quick else 1))
        for sizes in ((2, 4, 1), (2, 16, 1))
        for dtype in ("float32", "float64")
        for threads in sorted({1, several})
    ]
    numpy_rates = {hidden: measure_numpy(hidden, 4 if options.quick else 40) for hidden in (4, 16)}
    for row in rows:
        row["times_numpy"] = row["net_epochs_per_second"] / numpy_rates[int(row["sizes"].split("-")[1])]
    if options.json:
        print(json.dumps(rows))
        return
    table = [HEADER, *map(cells, rows)]
    if options.markdown:
        table.insert(1, ("---",) * len(HEADER))
        print("\n".join(f"| {' | '.join(row)} |" for row in table))
        return
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print("\n".join("  ".join(map(str.ljust, row, widths)) for row in table))


if __name__ == "__main__":
    main()
