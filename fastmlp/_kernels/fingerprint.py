"""A fingerprint of trained nets: the sum of one 64-bit hash a net, so that parts add up in any order.

A net's hash is that of Philox2x32 whose round keys are the net's own words: a changed word always changes the hash at
once, and later rounds spread it. It finds damage by chance, such as a faulty processor, and not deliberate changes.
Reference: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

import numpy as np

from fastmlp._simd.jit import inline, kernel

LAST_ROUNDS = 10
MULTIPLIER = np.uint64(0xD256D193)
WORD = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@inline
def absorb(c0, c1, words, first, count):
    """The two halves of a hash after `count` more words, from `first` on."""
    for i in range(first, first + count):
        product = c0 * MULTIPLIER
        c0, c1 = (product >> HALF) ^ c1 ^ np.uint64(words[i]), product & WORD
    return c0, c1


@kernel
def add_fingerprints(parameters, n_parameters, others, n_others, zeros, n_nets, sums):
    """Add the halves of the nets' hashes to `sums` (2,) uint64.

    `parameters` (n, n_parameters) and `others` (n, n_others) are uint32 words, `zeros` (LAST_ROUNDS,) zeros.
    """
    for net in range(n_nets):
        c0, c1 = absorb(WORD, np.uint64(0), others, net * n_others, n_others)
        c0, c1 = absorb(c0, c1, parameters, net * n_parameters, n_parameters)
        c0, c1 = absorb(c0, c1, zeros, 0, LAST_ROUNDS)
        sums[0] += c0
        sums[1] += c1
