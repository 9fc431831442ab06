"""What every mistake of the catalogue costs, on four tasks: python -m benchmarks.mistakes > docs/mistakes.md

Each cell is the share of nets that is solved with the mistake, made in every layer that it can be in; the first row is
without any. A dash stands where a net cannot have the mistake.
"""

import argparse

import numpy as np

import fastmlp
from fastmlp.audit import MISTAKES, train_with_mistakes

INTRODUCTION = """# What a mistake costs

The share of {nets:,} restarts that is solved when a program makes one mistake of the audit's catalogue, in every layer
that it can be in; a dash where these nets cannot have it. `python -m benchmarks.mistakes > docs/mistakes.md` makes this
page. The tasks:

- **XOR**: 2-4-1, ReLU and sigmoid, He's uniform weights, learning rate 0.5, 2,000 epochs of the full batch;
- **ring**: 60 points, inside a ring or not, 2-8-8-8-1 with tanh, Glorot's uniform weights, learning rate 0.5, 2,000
  epochs;
- **clouds**: 60 points of three classes, 2-8-3 with leaky ReLU of slope 0.1 and softmax, minibatches of 10, learning
  rate 0.1, 200 epochs; solved when all 60 are right;
- **waves**: 40 points of a sine and a cosine, 1-12-2 with tanh, squared error, learning rate 0.3, 2,000 epochs; solved
  when the error is at most a hundredth of the targets' variance.

Mistakes that change the gradient's size alone cost what the learning rate that they amount to costs: at another one
they cost nothing, or help.
"""


def tasks():
    """Name and settings of each."""
    rng = np.random.default_rng(0)
    xor = {"X": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0], "epochs": 2000, "optimizer": fastmlp.SGD(0.5)}
    points = rng.uniform(-1.5, 1.5, (60, 2))
    ring = {"X": points, "y": (np.hypot(*points.T) < 1).astype(int), "epochs": 2000, "optimizer": fastmlp.SGD(0.5)}
    kinds = np.arange(60) % 3
    centres = np.array([[0.0, 1.0], [0.9, -0.5], [-0.9, -0.5]])
    clouds = {
        "X": centres[kinds] + 0.25 * rng.normal(size=(60, 2)),
        "y": kinds,
        "epochs": 200,
        "batch_size": 10,
        "optimizer": fastmlp.SGD(0.1),
    }
    x = np.linspace(-1, 1, 40)[:, None]
    waves = {
        "X": x,
        "y": np.concatenate([np.sin(3 * x), np.cos(3 * x)], axis=1),
        "epochs": 2000,
        "optimizer": fastmlp.SGD(0.3),
        "init": "glorot_uniform",
    }
    return {
        "XOR": {"architecture": fastmlp.Architecture((2, 4, 1)), **xor},
        "ring": {"architecture": fastmlp.Architecture((2, 8, 8, 8, 1), "tanh"), "init": "glorot_uniform", **ring},
        "clouds": {"architecture": fastmlp.Architecture((2, 8, 3), "leaky_relu", "softmax", leaky_slope=0.1), **clouds},
        "waves": {"architecture": fastmlp.Architecture((1, 12, 2), "tanh", "identity"), **waves},
    }


def share(settings, mistakes, nets):
    """In %, or a dash."""
    l2 = 0.001 if mistakes == ["l2_left_out"] else 0.0
    try:
        found = train_with_mistakes(mistakes=mistakes, n_nets=nets, seed=0, l2=l2, **settings)
    except ValueError:
        return "–"
    return f"{100 * found.n_solved / nets:.1f}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--nets", type=int, default=1000)
    nets = parser.parse_args().nets
    print(INTRODUCTION.format(nets=nets))
    found = tasks()
    print("| solved, % | " + " | ".join(found) + " |\n|" + " --- |" * (1 + len(found)))
    for name in ("no mistake", *MISTAKES):
        if name == "one_minibatch":
            continue
        made = [] if name == "no mistake" else [name]
        cells = [share(settings, made, nets) for settings in found.values()]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
