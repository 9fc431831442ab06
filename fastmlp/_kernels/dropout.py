"""Dropout: choose the hidden units that a net leaves out for a sample, with Philox.

The choice depends only on (seed, epoch, net number, sample, layer, unit): each epoch has its own key, and the counter
holds the rest, with four units in a draw. Outputs of units that are left out become 0; others are multiplied by
1 / (1 − p). Reference: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting, JMLR 2014.
"""

import numpy as np

from fastmlp._kernels.barrier import share_of, wait
from fastmlp._kernels.formulas import optimizers
from fastmlp._simd.arithmetic import broadcast, ratio, repeat, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, store
from fastmlp._simd.philox import WORD, philox

UNITS_A_DRAW = 4


@inline
def _words(U, net_id, sample, layer, unit, key):
    group = np.uint64((layer << 24) | (unit // UNITS_A_DRAW))
    return philox(sample, broadcast(U, group), net_id & WORD, net_id >> 32, broadcast(U, key))


@inline
def lanes_masks(kinds, F, net, data, tiles, tile, key, samples, count, scratch):
    """Write the factor of every hidden unit for the first `count` samples, nets as lanes, to `scratch.masks`."""
    U = kinds.Words
    scale = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.DROPOUT_SCALE)
    net_id, threshold = load(U, tiles.rng_words, 2 * tile), load(U, tiles.rng_words, 2 * tile + 1)
    for s in range(count):
        sample = broadcast(U, np.uint64(samples[s]))
        if data.by_net:
            sample = load(U, data.chunk.places, s)
        for layer in range(1, net.n_layers):
            row = s * net.n_unit_rows + net.unit_rows[layer]
            for j in range(0, net.sizes[layer], UNITS_A_DRAW):
                a, b, c, d = _words(U, net_id, sample, layer, j, key)
                here, last = row + j, row + net.sizes[layer] - 1
                # rows beyond the last unit are written first, so that the last unit's row ends right
                store(scratch.masks, min(here + 3, last), select(d < threshold, 0.0, scale))
                store(scratch.masks, min(here + 2, last), select(c < threshold, 0.0, scale))
                store(scratch.masks, min(here + 1, last), select(b < threshold, 0.0, scale))
                store(scratch.masks, here, select(a < threshold, 0.0, scale))


@inline
def units_masks(kinds, F, net, data, tiles, tile, key, samples, count, scratch):
    """The factors for one net: a draw is for four units of V samples, which are written to their rows one by one."""
    Column, U = kinds.Column, kinds.Words
    V = ratio(Column, F)
    scale = repeat(Column, load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.DROPOUT_SCALE))
    net_id, threshold = broadcast(U, tiles.rng_words[2 * tile]), broadcast(U, tiles.rng_words[2 * tile + 1])
    first, stop = share_of(scratch, (count + V - 1) // V)
    for row in range(first, stop):
        sample = load(U, data.chunk.places if data.by_net else samples, row)
        for layer in range(1, net.n_layers):
            for j in range(0, net.sizes[layer], UNITS_A_DRAW):
                a, b, c, d = _words(U, net_id, sample, layer, j, key)
                store(scratch.own.transposed, 0, select(a < threshold, 0.0, scale))
                store(scratch.own.transposed, 1, select(b < threshold, 0.0, scale))
                store(scratch.own.transposed, 2, select(c < threshold, 0.0, scale))
                store(scratch.own.transposed, 3, select(d < threshold, 0.0, scale))
                for k in range(V):
                    here = (row * V + k) * net.n_unit_rows + net.unit_rows[layer] + j
                    for w in range(min(UNITS_A_DRAW, net.sizes[layer] - j)):
                        scratch.masks[here + w] = scratch.own.transposed[w * V + k]
    wait(scratch)
