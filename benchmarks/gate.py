"""A regression gate: is the working tree slower than its base commit? `python -m benchmarks.gate`.

Both trees run the same small jobs in processes that stay alive, one after the other in short rounds, the order changing
from round to round. A job's verdict is the median over the rounds of the ratio of two measurements taken next to each
other, so that noise which lasts longer than a round, and what hits both alike, drops out. Exit code 1 means slower.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 0.04  # of training in a measurement: long against a time slice, short against most disturbances

WORKER = """
import json, sys
import numpy as np
import fastmlp

def job(sizes, nets, n_samples, batch_size, optimizer):
    rng = np.random.default_rng(0)
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) if n_samples == 4 else rng.normal(size=(n_samples, sizes[0]))
    y = rng.integers(0, max(2, sizes[-1]), n_samples)
    arch = fastmlp.Architecture(sizes, output="softmax" if sizes[-1] > 1 else "sigmoid")
    def train(epochs):
        return fastmlp.train(arch, X, y, n_nets=nets, epochs=epochs, optimizer=optimizer, batch_size=batch_size,
                             threads=1).train_seconds
    return train

jobs = {name: job(*settings) for name, settings in json.loads(sys.argv[1]).items()}
for train in jobs.values():
    train(1)
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    name, epochs = json.loads(line)
    print(json.dumps(jobs[name](epochs)), flush=True)
"""

# sizes, nets, samples, minibatch, optimizer
JOBS = {
    "2-4-1 sgd": ((2, 4, 1), 4096, 4, None, "sgd"),
    "2-4-4-1 adam": ((2, 4, 4, 1), 2048, 4, None, "adam"),
    "24-8-1 adam": ((24, 8, 1), 128, 200, None, "adam"),
    "30-32-1 adam, minibatch 32": ((30, 32, 1), 32, 455, 32, "adam"),
    "64-64-10 adam, minibatch 64": ((64, 64, 10), 16, 300, 64, "adam"),
}


class Worker:
    """A process that trains with the package of one tree."""

    def __init__(self, tree):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(JOBS)],
            cwd=tree,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_environment(tree),
        )
        self._answer()

    def seconds(self, job, epochs):
        self.process.stdin.write(json.dumps([job, epochs]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("gate: a worker ended; its message is above")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def _environment(tree):
    return {**os.environ, "PYTHONPATH": str(tree)}


def ratios(base, tree, job, rounds):
    """Seconds of `tree` over seconds of `base`, one ratio a round."""
    epochs = 1
    while (elapsed := base.seconds(job, epochs)) < SECONDS / 2:
        epochs = max(epochs + 1, round(epochs * min(8, SECONDS / max(elapsed, 1e-5))))
    found = []
    for number in range(rounds):
        first, second = (base, tree) if number % 2 else (tree, base)
        times = {id(worker): worker.seconds(job, epochs) for worker in (first, second)}
        found.append(times[id(tree)] / times[id(base)])
    return np.array(found)


def base_commit():
    """The last commit, or the one before it when nothing is changed."""
    changed = _git("status", "--porcelain", "--", "fastmlp")
    return _git("rev-parse", "HEAD" if changed else "HEAD~1")


def _git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", help="commit to compare with (default: the last, or the one before it)")
    parser.add_argument("--factor", type=float, default=1.1, help="slower than this fails; default 1.1")
    parser.add_argument("--rounds", type=int, default=41, help="default 41")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and only a factor of 1.5 fails")
    options = parser.parse_args()
    rounds, factor = (9, 1.5) if options.quick else (options.rounds, options.factor)
    base = options.base or base_commit()
    with tempfile.TemporaryDirectory() as folder:
        _git("worktree", "add", "--detach", folder, base)
        try:
            slower = _compare(Path(folder), base, rounds, factor)
        finally:
            _git("worktree", "remove", "--force", folder)
    return 1 if slower else 0


def _compare(folder, base, rounds, factor):
    workers = [Worker(folder), Worker(ROOT)]
    slower = []
    print(f"working tree against {base[:10]}, seconds over seconds, {rounds} rounds; more than {factor:g} fails")
    for job in JOBS:
        found = ratios(*workers, job, rounds)
        median = float(np.median(found))
        low, high = np.percentile(found, (25, 75))
        verdict = "slower" if median > factor else "ok"
        slower += [job] * (median > factor)
        print(f"{job:30} {median:.3f}  (middle half {low:.3f} to {high:.3f})  {verdict}", flush=True)
    for worker in workers:
        worker.close()
    return slower


if __name__ == "__main__":
    sys.exit(main())
