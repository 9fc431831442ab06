"""The units kernel's three products alone, as shares of one core's peak: `python -m benchmarks.products`.

A shape M x K x N is a minibatch of M samples and a layer from K units to N, behind a layer to K: the weighted sums, the
gradients passed down to the K units, and the gradients of the weights, each 2 M K N flops. The weights' turning round,
which the second needs, counts as part of it. Larger minibatches are worked on in chunks, as in training; copying what
the last one lays side by side, and the biases' gradients, are part of it.
"""

import argparse
import sys
import time

import numpy as np

from benchmarks.peak import peak_flops
from fastmlp._engine.chunk_trainer import ChunkTrainer
from fastmlp._kernels import units
from fastmlp._kernels.units_weight_gradients import gradients
from fastmlp._simd.arithmetic import broadcast, ratio
from fastmlp._simd.jit import kernel
from fastmlp.architecture import Architecture
from fastmlp.optimizers import SGD
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.prepare import prepare_job

SHAPES = (
    (32, 32, 32),
    (32, 64, 64),
    (64, 64, 64),
    (64, 128, 128),
    (128, 128, 128),
    (128, 256, 256),
    (256, 256, 256),
    (128, 768, 256),
    (256, 512, 512),
    (128, 1024, 1024),
)
LAYER = 1
SECONDS = 0.1


@kernel
def weighted_sums(kinds, F, net, flags, data, tiles, scratch, times):  # noqa: ARG001
    Patch, Line, Column = kinds.Patch, kinds.Line, kinds.Column
    vectors = net.sizes[LAYER + 1] // ratio(Column, F)
    for _ in range(times):
        for first in range(0, data.n_samples, scratch.capacity):
            count = min(scratch.capacity, data.n_samples - first)
            for j in range(0, vectors, 2):
                units._linear_forward(
                    Patch,
                    Line,
                    Column,
                    F,
                    net,
                    tiles.rows,
                    0,
                    LAYER,
                    data,
                    scratch.samples,
                    0,
                    count,
                    scratch.units,
                    j,
                    False,
                )


@kernel
def gradients_passed_down(kinds, F, net, flags, data, tiles, scratch, times):  # noqa: ARG001
    Patch, Line, Column = kinds.Patch, kinds.Line, kinds.Column
    vectors = net.sizes[LAYER] // ratio(Column, F)
    for _ in range(times):
        for first in range(0, data.n_samples, scratch.capacity):
            count = min(scratch.capacity, data.n_samples - first)
            for i in range(0, vectors, 2):
                weight = net.weight_rows[LAYER]
                units._input_gradients(Patch, Line, Column, F, net, tiles.rows, weight, LAYER, scratch, 0, count, i)


@kernel
def gradients_of_weights(kinds, F, net, flags, data, tiles, scratch, times):
    Patch, Line, Column = kinds.Patch, kinds.Line, kinds.Column
    active = broadcast(F, 1.0) > 0.0
    for _ in range(times):
        for first in range(0, data.n_samples, scratch.capacity):
            count = min(scratch.capacity, data.n_samples - first)
            gradients(
                Patch, Line, Column, F, net, flags, tiles, 0, LAYER, data, scratch, count, first == 0, False, active
            )


PRODUCTS = (weighted_sums, gradients_passed_down, gradients_of_weights)


def prepared(shape, dtype):
    """What the kernels take, for a net of which one layer has this shape."""
    M, K, N = shape
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((M, 1)), rng.standard_normal((M, N))
    settings = TrainSettings(
        Architecture((1, K, N), "identity", "identity"), SGD(), epochs=1, batch_size=M, shuffle=False, dtype=dtype
    )
    job, _ = prepare_job(settings, X, y, NetSelection(1), kernel="units", threads=1)
    trainer, tiles = ChunkTrainer(job), job.new_tiles(0, 1)
    trainer.fill(tiles, 0)
    scratch = trainer.new_team().scratches[0]
    return job.vectors.kinds, job.vectors.F, job.net, job.flags, job.data, tiles.kernel_view, scratch


def seconds(product, arguments, times):
    begun = time.perf_counter()
    product(*arguments, times)
    return time.perf_counter() - begun


def shares_of_peak(shape, dtype, rounds):
    """Of each product, the median over the rounds; the peak is measured in the same run."""
    arguments = prepared(shape, dtype)
    flops = 2 * np.prod(shape)
    found = []
    for product in PRODUCTS:
        product(*arguments, 1)
        times = 1
        while seconds(product, arguments, times) < SECONDS:
            times *= 2
        shares = []
        for _ in range(rounds):
            rate = flops * times / seconds(product, arguments, times)
            shares.append(rate / peak_flops(dtype))
        found.append(float(np.median(shares)))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"))
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    options = parser.parse_args()
    print(f"{'samples x inputs x units':>26}  weighted sums  passed down  of weights")
    for shape in SHAPES:
        shares = shares_of_peak(shape, options.dtype, options.rounds)
        name = " x ".join(map(str, shape))
        print(f"{name:>26}  {shares[0]:13.0%}  {shares[1]:11.0%}  {shares[2]:10.0%}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
