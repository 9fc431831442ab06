"""fastmlp, pure NumPy and every installed peer, in one table from one run: `python -m benchmarks.compare`.

In each round everything is measured once, one after the other, and the ratios are taken within the round; the table
gives medians over the rounds. Competitors use as many threads as they like, and each may split the nets into the
groups that suit it best. Kernels are warmed up first. Definitions: docs/performance.md.
"""

import argparse
import contextlib
import json
import os
import platform
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import numpy_nets, peers
from benchmarks.peak import peak_flops
from benchmarks.workloads import WORKLOADS
from fastmlp._engine.processors import available_threads

SECONDS = 0.4  # a measurement of a competitor
GROUPS = (1024, 4096, 65_536)  # nets at once that competitors may choose from
QUICK_SECONDS = 0.02
MOST_APART = 0.05  # share of the loss


def baselines(workload):
    """Name and trainer of the pure-NumPy ones that can do this workload."""
    found = {
        "NumPy, one net at a time": numpy_nets.train_one_at_a_time,
        "NumPy, batched matmul": numpy_nets.train_batched,
    }
    if workload.sizes[0] == 2 and len(workload.sizes) == 3 and workload.optimizer == "sgd":
        found["NumPy, net index last"] = numpy_nets.train_net_last
    return found


class Competitor:
    """Something else that trains the workload: `run(epochs)` on `nets` nets."""

    def __init__(self, name, nets, run, seconds, most_epochs):
        self.name, self.nets, self.run, self.seconds = name, nets, run, seconds
        self.epochs = 1
        run(1)  # what compiles, compiles here
        elapsed = _seconds(partial(run, 1))
        while elapsed < seconds / 4 and self.epochs < most_epochs:
            self.epochs = min(most_epochs, 4 * self.epochs)
            elapsed = _seconds(partial(run, self.epochs))
        self.epochs = max(1, min(most_epochs, round(self.epochs * seconds / elapsed)))

    def rate(self):
        """Net-epochs a second, over calls that each train nets from the beginning."""
        return self.nets * self.epochs / seconds_of_a_call(partial(self.run, self.epochs), self.seconds)

    def loss(self):
        """The median loss after the epochs that are measured; None if they are not returned, or of other nets."""
        losses = self.run(self.epochs)
        return None if losses is None or self.name == "scikit-learn" else float(np.median(losses))


def competitors(workload, seconds):
    """Everyone who can do the workload, each with the number of nets at once that suits it best."""
    X, y = workload.data()
    found = []
    for name, trainer in baselines(workload).items():

        def start(nets, trainer=trainer):
            weights, biases = workload.initial(nets)

            def run(epochs):  # it trains in place: each call begins anew, or else nets become certain
                trainer(workload, [w.copy() for w in weights], [b.copy() for b in biases], X, y, epochs)

            return run

        found.append(_best(name, workload, _group_sizes(workload, "one net" in name), start, seconds))
    for name, peer in peers.installed().items():
        if name == "PyTorch nn.Linear" and workload.nets > 1:
            continue  # it has one net

        def start_peer(nets, peer=peer):
            return peer(workload, *workload.initial(nets), X, y)

        found.append(_best(name, workload, _group_sizes(workload, name == "scikit-learn"), start_peer, seconds))
    return found


def with_options(workload, epochs, threads):
    """The same training with a rule that stops no net, a learning rate for each net, and a progress bar."""
    rates = np.full(workload.nets, workload.learning_rate)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        return workload.train(epochs, threads, rate=rates, target_loss=1e-9, progress=True)


def _group_sizes(workload, one_by_one):
    if one_by_one:
        return (1,)
    return [nets for nets in GROUPS if nets <= workload.nets] or [workload.nets]


def _best(name, workload, group_sizes, start, seconds):
    candidates = [Competitor(name, nets, start(nets), seconds, workload.epochs) for nets in group_sizes]
    return max(candidates, key=lambda c: np.median([c.rate() for _ in range(3)]) if len(candidates) > 1 else 0)


def _seconds(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def seconds_of_a_call(call, at_least):
    """The mean time of as many calls as take so long."""
    calls, begun = 0, time.perf_counter()
    while not calls or time.perf_counter() - begun < at_least:
        call()
        calls += 1
    return (time.perf_counter() - begun) / calls


def check_losses(workload, others):
    """Raise an error if another library's nets do not come to our losses; the order of sums makes small differences."""
    for other in others:
        theirs = other.loss()
        if theirs is None:
            continue
        ours = float(np.median(workload.train(other.epochs, nets=other.nets).loss))
        if not abs(theirs - ours) <= MOST_APART * ours:
            raise SystemExit(f"{workload.name}: {other.name} has a loss of {theirs:.4g} where ours is {ours:.4g}")


def compare(workload, rounds, quick=False):
    """One row: medians over the rounds."""
    threads = available_threads()
    epochs = max(1, workload.epochs // (50 if quick else 1))
    seconds = QUICK_SECONDS if quick else SECONDS

    def rate(runs_of):
        return workload.nets * epochs / seconds_of_a_call(runs_of, seconds)

    workload.train(epochs=1, nets=64)
    others = competitors(workload, seconds)
    check_losses(workload, others)
    own = ("one", "all", "share", "speedup", "share_all", "peak", "float64", "options")
    table = {key: [] for key in (*own, *(c.name for c in others))}
    workload.train(epochs=1, nets=64, dtype="float64")
    with_options(workload, 1, 1)
    for _ in range(rounds):
        before = peak_flops("float32", 1)
        rate_one = rate(lambda: workload.train(epochs, 1))
        peak = (before + peak_flops("float32", 1)) / 2
        rate_all = rate(lambda: workload.train(epochs, threads))
        table["one"].append(rate_one)
        table["all"].append(rate_all)
        table["peak"].append(peak)
        table["share"].append(rate_one * workload.flops / peak)
        table["share_all"].append(rate_all * workload.flops / peak_flops("float32", threads))
        table["speedup"].append(rate_all / rate_one)
        table["float64"].append(rate(lambda: workload.train(epochs, 1, dtype="float64")) / rate_one)
        table["options"].append(rate_one / rate(lambda: with_options(workload, epochs, 1)))
        for competitor in others:
            table[competitor.name].append(rate_all / competitor.rate())
    medians = {key: float(np.median(values)) for key, values in table.items()}
    return {
        "workload": workload.name,
        "epochs": epochs,
        "threads": threads,
        "net_epochs_per_second_one_thread": medians["one"],
        "net_epochs_per_second": medians["all"],
        "peak_one_thread": medians["peak"],
        "share_of_peak_one_thread": medians["share"],
        "share_of_peak": medians["share_all"],
        "speedup_of_threads": medians["speedup"],
        "float64_over_float32": medians["float64"],
        "options_over_none": medians["options"],
        "times": {c.name: medians[c.name] for c in others},
        "nets_at_once": {c.name: c.nets for c in others},
        "rounds": table,
    }


def lines(rows, names):
    """The table as lists of cells, the heading first."""
    own = ["workload", "net-epochs/s", "share of peak, 1 thread", "threads", "float64", "with options"]
    yield [*own, *(f"× {name}" for name in names)]
    for row in rows:
        yield [
            row["workload"],
            f"{row['net_epochs_per_second']:,.0f}",
            f"{row['share_of_peak_one_thread']:.0%}",
            f"{row['threads']}: × {row['speedup_of_threads']:.2f}",
            f"× {row['float64_over_float32']:.2f}",
            f"{row['options_over_none'] - 1:+.0%}",
            *(f"{row['times'][name]:,.1f}" if name in row["times"] else "" for name in names),
        ]


def brief_lines(rows):
    """The README's table: of each library the fastest of its versions."""
    libraries = ("NumPy", "JAX", "PyTorch", "scikit-learn")
    yield ["workload", "net-epochs/s", *(f"× {library}" for library in libraries)]
    for row in rows:
        best = [
            min((times for name, times in row["times"].items() if name.startswith(library)), default=None)
            for library in libraries
        ]
        yield [
            row["workload"],
            f"{row['net_epochs_per_second']:,.0f}",
            *("" if times is None else f"{times:,.1f}" if times < 100 else f"{times:,.0f}" for times in best),
        ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object, every round included")
    parser.add_argument("--keep", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--from", dest="kept", metavar="FILE", help="print what --keep wrote, and measure nothing")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--brief", action="store_true", help="print the README's table: the fastest of each library")
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the work, to see that it runs")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    if options.kept and (options.json or options.keep or options.only or options.quick):
        parser.error("--from prints what was measured: leave --json, --keep, --only and --quick out")
    if options.kept:
        rows = json.loads(Path(options.kept).read_text(encoding="utf-8"))["rows"]
    else:
        rows = [compare(workload, rounds, options.quick) for workload in WORKLOADS if options.only in workload.name]
    result = json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows})
    if options.keep:
        Path(options.keep).write_text(result, encoding="utf-8")
    if options.json:
        print(result)
        return
    names = list(dict.fromkeys(name for row in rows for name in row["times"]))
    table = list(brief_lines(rows) if options.brief else lines(rows, names))
    if options.markdown:
        table.insert(1, ["---"] * len(table[0]))
        print("\n".join(f"| {' | '.join(row)} |" for row in table))
        return
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print("\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table))


if __name__ == "__main__":
    main()
