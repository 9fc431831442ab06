"""Fill and empty tiles: draw initial weights, copy parameters in, copy finished nets out, compact lanes.

The user's order of a net's parameters is, layer by layer, the weights (in, out) and then the biases; `row_of` maps it
to the rows of a tile. Symbols are those of `structs`; D is the vector of W float64 numbers, U that of W uint64. Every
kernel takes F, even if it does not use it, because its type identifies the sources in numba's cache.
"""

from typing import NamedTuple

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas.optimizers import N_HYPERPARAMETERS
from fastmlp._simd.arithmetic import broadcast, convert, fma, lane_count, lane_numbers
from fastmlp._simd.elementary import normal_pair
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, store
from fastmlp._simd.philox import BOOTSTRAP, INITIAL_WEIGHTS, SHUFFLING, WORD, philox, uniform_pair
from fastmlp._simd.types import Buffer

CONSTANT, UNIFORM, NORMAL = range(3)


class InitSpec(NamedTuple):
    """Distributions of each layer's weights and of each layer's biases: 2 L groups in the user's order."""

    sizes: Buffer  # (2 L,) number of parameters
    kinds: Buffer  # (2 L,) CONSTANT, UNIFORM or NORMAL
    first: Buffer  # (2 L,) float64: the constant, the lower end, or the mean
    second: Buffer  # (2 L,) float64: unused, upper end − lower end, or the standard deviation
    n_groups: int


@kernel
def draw(F, D, U, tiles, groups, row_of, seed):
    """Draw the parameters: in float64 from Philox, then rounded."""
    key, purpose = broadcast(U, seed), broadcast(U, np.uint64(INITIAL_WEIGHTS))
    for tile in range(tiles.n_tiles):
        net = load(U, tiles.rng_words, 2 * tile)
        u = v = broadcast(D, 0.0)
        position = 0
        for group in range(groups.n_groups):
            first, second = groups.first[group], groups.second[group]
            begin = position
            for _ in range(groups.sizes[group]):
                value = broadcast(D, first)
                if groups.kinds[group] != CONSTANT:
                    if position & 1 == 0 or position == begin:  # a pair is for an even position and the next one
                        u, v = uniform_pair(net, purpose, broadcast(U, np.uint64(position >> 1)), key)
                        if groups.kinds[group] == NORMAL:
                            u, v = normal_pair(1.0 - u, v)
                    value = fma(second, v if position & 1 else u, value)
                store(tiles.rows, tile * tiles.n_rows + row_of[position], convert(F, value))
                position += 1


@inline
def copy_to_lanes(tiles, parameters, row_of, n_parameters, first_row):
    """Copy nets from `parameters` (n, P) to the lanes; see `copy_in`."""
    for tile in range(tiles.n_tiles):
        for lane in range(tiles.width):
            net = tiles.result_index[tile * tiles.width + lane]
            if net >= 0:
                source = net * n_parameters
                for p in range(n_parameters):
                    row = tile * tiles.n_rows + first_row + row_of[p]
                    tiles.rows[row * tiles.width + lane] = parameters[source + p]


@kernel
def copy_in(F, tiles, parameters, row_of, n_parameters, first_row):
    """Copy nets from `parameters` (n, P) to the lanes.

    `first_row` is 0 for the parameters, 2 or 3 times the state step for the optimizer's state.
    """
    copy_to_lanes(tiles, parameters, row_of, n_parameters, first_row)


@kernel
def copy_out(F, tiles, parameters, row_of, n_parameters, first_row, chosen):
    """Copy the nets of the `chosen` lanes (T, W) to their rows of `parameters` (n, P).

    Every NaN is written with the same bits, because IEEE 754 does not define them. `first_row` is as for `copy_in`, or
    one state step for the gradients.
    """
    for tile in range(tiles.n_tiles):
        for lane in range(tiles.width):
            if chosen[tile * tiles.width + lane]:
                slot = tiles.result_index[tile * tiles.width + lane]
                for p in range(n_parameters):
                    row = tile * tiles.n_rows + first_row + row_of[p]
                    value = tiles.rows[row * tiles.width + lane]
                    parameters[slot * n_parameters + p] = np.nan if np.isnan(value) else value


@inline
def _move_lane(buffer, n_rows, width, source, target):
    """Copy lane `source` of every row to lane `target`, numbered over all tiles."""
    source_base = source // width * n_rows * width + source % width
    target_base = target // width * n_rows * width + target % width
    for r in range(n_rows):
        buffer[target_base + r * width] = buffer[source_base + r * width]


@kernel
def compact(F, tiles, n_samples):
    """Move the last nets to the lanes of nets that have left.

    `n_samples` is S if every net has its own sample weights, otherwise 0.
    """
    width, front, back = tiles.width, 0, tiles.n_tiles * tiles.width
    while True:
        while front < back and tiles.result_index[front] >= 0:
            front += 1
        while front < back and tiles.result_index[back - 1] < 0:
            back -= 1
        if front == back:
            return
        lane = back - 1
        _move_lane(tiles.rows, tiles.n_rows, width, lane, front)
        _move_lane(tiles.hyper, N_HYPERPARAMETERS, width, lane, front)
        _move_lane(tiles.stop_state, structs.N_STOP_STATE, width, lane, front)
        _move_lane(tiles.powers, structs.N_POWERS, width, lane, front)
        _move_lane(tiles.rng_words, 2, width, lane, front)
        _move_lane(tiles.spans, tiles.n_spans, width, lane, front)
        _move_lane(tiles.sample_weights, n_samples, width, lane, front)
        tiles.result_index[front], tiles.result_index[lane] = tiles.result_index[lane], -1
        tiles.stop_state[(lane // width * structs.N_STOP_STATE + structs.ACTIVE) * width + lane % width] = 0.0


@kernel
def shuffle(D, U, orders, uniforms, n_samples, first_epoch, stop_epoch, seed):
    """Write a permutation of the sample numbers for each epoch to `orders` (epochs, S), keyed by (seed, epoch).

    Fisher and Yates' method; `uniforms` is scratch for S numbers, rounded up to two vectors. Reference: Durstenfeld,
    Algorithm 235: random permutation, 1964.
    """
    key, purpose = broadcast(U, seed), broadcast(U, np.uint64(SHUFFLING))
    n_lanes = lane_count(D)
    for epoch in range(first_epoch, stop_epoch):
        number = broadcast(U, np.uint64(epoch))
        for block in range((n_samples + 2 * n_lanes - 1) // (2 * n_lanes)):
            u, v = uniform_pair(number, purpose, lane_numbers(U, np.uint64(block * n_lanes)), key)
            store(uniforms, 2 * block, u)
            store(uniforms, 2 * block + 1, v)
        base = (epoch - first_epoch) * n_samples
        for i in range(n_samples):
            orders[base + i] = i
        for i in range(n_samples - 1, 0, -1):
            # position i is the first or the second number of pair i // 2
            pair = i // 2
            row = 2 * (pair // n_lanes) + i % 2
            j = min(i, int(uniforms[row * n_lanes + pair % n_lanes] * (i + 1)))
            a, b = orders[base + i], orders[base + j]
            orders[base + i], orders[base + j] = b, a


@kernel
def derive_keys(U, numbers, keys, n_rows, purpose, seed):
    """Write a seed for each of the `numbers` of epochs or nets to `keys`; both are whole vectors."""
    key, zero = broadcast(U, seed), broadcast(U, np.uint64(0))
    for row in range(n_rows):
        number = load(U, numbers, row)
        a, b, _, _ = philox(number & WORD, broadcast(U, purpose), number >> 32, zero, key)
        store(keys, row, a | (b << 32))


@kernel
def draw_samples(D, U, weights, uniforms, n_samples, nets, n_nets, seed):
    """Write how often each net draws each sample, in n_samples draws with replacement, to `weights` (n, S).

    `nets` (n,) are the nets' numbers, `uniforms` scratch for two vectors. Reference: Breiman, Bagging predictors, 1996.
    """
    key, purpose, n_lanes = broadcast(U, seed), broadcast(U, np.uint64(BOOTSTRAP)), lane_count(D)
    for row in range(n_nets):
        net = broadcast(U, nets[row])
        for first in range(0, n_samples, 2 * n_lanes):
            u, v = uniform_pair(net, purpose, lane_numbers(U, np.uint64(first // 2)), key)
            store(uniforms, 0, u)
            store(uniforms, 1, v)
            for i in range(min(2 * n_lanes, n_samples - first)):
                # the first or the second number of pair i // 2
                sample = min(n_samples - 1, int(uniforms[i % 2 * n_lanes + i // 2] * n_samples))
                weights[row * n_samples + sample] += 1
