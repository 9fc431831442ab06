"""How much slower the kernel that is chosen is than the better one: `python -m benchmarks.choice [--plot FILE]`.

Sizes, numbers of nets, samples and minibatches from a grid; each setting runs with both kernels, one after the other,
several times. With `--plot`, instead, the time of a net-epoch over 1 to 64 nets, drawn for three architectures.
"""

import argparse
import itertools
import sys

import numpy as np

from benchmarks.workloads import Workload

SIZES = ((2, 4, 1), (8, 8, 1), (24, 8, 1), (30, 32, 2), (64, 64, 10), (20, 200, 1), (128, 128, 10))
SAMPLES = ((64, None), (256, 32))
NETS = (1, 2, 5, 12, 40)
SECONDS = 0.15  # long against drawing initial weights
ROUNDS = 4
PLOT_SECONDS, PLOT_ROUNDS = 0.6, 2  # long enough for a job's last nets to be trained apart
ARCHITECTURES = (((2, 4, 1), 4, None), ((30, 32, 2), 455, 32), ((64, 64, 10), 1437, 64))


def seconds_an_epoch(workload, epochs, **settings):
    return workload.train(epochs, **settings).train_seconds / epochs


def epochs_for(workload, seconds, **settings):
    """How many epochs take about `seconds`."""
    workload.train(1, **settings)
    epochs = 1
    while (elapsed := workload.train(epochs, **settings).train_seconds) < seconds / 2:
        epochs = max(epochs + 1, round(epochs * min(16, seconds / max(elapsed, 1e-5))))
    return epochs


def regret(workload):
    """Seconds with the chosen kernel over those with the better one, and the better one."""
    choices = {"chosen": None, "lanes": "lanes", "units": "units"}
    epochs = {name: epochs_for(workload, SECONDS, kernel=kernel) for name, kernel in choices.items()}
    times = {name: [] for name in choices}
    for _ in range(ROUNDS):
        for name, kernel in choices.items():
            times[name].append(seconds_an_epoch(workload, epochs[name], kernel=kernel))
    chosen, lanes, units = (min(times[name]) for name in choices)
    return chosen / min(lanes, units), "lanes" if lanes < units else "units"


def plot(file):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(ARCHITECTURES), figsize=(15, 4.5), layout="constrained")
    counts = [*range(1, 13), *range(14, 34, 2), 36, 40, 48, 49, 56, 64]
    for axis, (sizes, samples, batch) in zip(axes, ARCHITECTURES, strict=True):
        found = []
        for nets in counts:
            workload = Workload(sizes, nets, 1, "adam", samples, batch)
            epochs = epochs_for(workload, PLOT_SECONDS)
            found.append(min(seconds_an_epoch(workload, epochs) for _ in range(PLOT_ROUNDS)) / nets)
        axis.plot(counts, 1e6 * np.array(found), "o-", markersize=3)
        axis.set(title="-".join(map(str, sizes)), xlabel="nets", ylabel="microseconds a net-epoch", yscale="log")
        axis.grid(alpha=0.3, which="both")
    figure.savefig(file, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", metavar="FILE", help="draw the time of a net-epoch over the number of nets")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot)
        return 0
    found = []
    for sizes, (samples, batch), nets in itertools.product(SIZES, SAMPLES, NETS):
        workload = Workload(sizes, nets, 1, "adam", samples, batch)
        ratio, better = regret(workload)
        found.append(ratio)
        print(f"{workload.name:60} {ratio:5.2f}  better: {better}", flush=True)
    found = np.array(found)
    print(
        f"{found.size} settings: {np.mean(found <= 1.1):.0%} within 10 % of the better kernel, worst {found.max():.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
