"""Is the cost linear in nets, epochs and samples? `python -m benchmarks.scaling [--picture FILE]`.

Fits the exponent of seconds ~ count ** exponent by least squares on logarithms: for nets from 10⁴ on.
"""

import argparse

import numpy as np

from benchmarks.workloads import Workload

ROUNDS = 5


def seconds(workload, epochs):
    """The fastest of a few runs: what disturbs a run only makes it longer."""
    return min(workload.train(epochs).train_seconds for _ in range(ROUNDS))


def series():
    """Name: (counts, seconds)."""
    nets = [10**3, 3162, 10**4, 31_623, 10**5, 316_228, 10**6]
    epochs = [1000, 3162, 10_000, 31_623]
    samples = [1024, 4096, 16_384, 65_536]
    return {
        "nets": (nets, [seconds(Workload((2, 4, 1), n, 1000), 1000) for n in nets]),
        "epochs": (epochs, [seconds(Workload((2, 4, 1), 32_768, n), n) for n in epochs]),
        "samples": (samples, [seconds(Workload((24, 8, 1), 256, 20, "adam", n), 20) for n in samples]),
    }


def exponent(name, counts, times):
    counts, times = np.array(counts, float), np.array(times)
    kept = counts >= 10**4 if name == "nets" else np.ones(len(counts), bool)
    return float(np.polyfit(np.log(counts[kept]), np.log(times[kept]), 1)[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="FILE", help="draw it there (needs matplotlib)")
    options = parser.parse_args()
    found = series()
    for name, (counts, times) in found.items():
        print(
            f"{name:8} exponent {exponent(name, counts, times):.3f}   "
            + "  ".join(f"{count:,}: {time:.4f} s" for count, time in zip(counts, times, strict=True))
        )
    if options.picture:
        draw(found, options.picture)
        print(f"Picture: {options.picture}")


def draw(found, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    for axes, (name, (counts, times)) in zip(figure.subplots(1, 3), found.items(), strict=True):
        slope = exponent(name, counts, times)
        axes.loglog(counts, times, "o-", label=f"measured: exponent {slope:.3f}")
        axes.loglog(counts, times[-1] * np.array(counts) / counts[-1], "--", color="grey", label="exactly linear")
        axes.set(xlabel=name, ylabel="seconds", title=f"seconds of training against {name}")
        axes.legend()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
