"""Counter-based random numbers: Philox4x32-10, a function of (seed, net number, purpose, position) and nothing else.

So every number is the same in any order of draws and on any number of threads. The key is
the seed; the counter holds the position (32 bits), the purpose (32 bits) and the net number (64 bits). Lanes run
over nets or over positions. Words of 32 bits are in lanes of 64, where a product of two fits.
Reference: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011.
"""

from fastmlp._simd.arithmetic import from_bits
from fastmlp._simd.jit import inline

INITIAL_WEIGHTS = 0
SHUFFLING = 1
DROPOUT = 2
BOOTSTRAP = 3
SHUFFLING_BY_NET = 4
SAMPLE_OF_NETS = 5

WORD = 0xFFFFFFFF


@inline
def philox(c0, c1, c2, c3, seed):
    """Four random words from the counter words c0 … c3 (uint64 lanes below 2^32) and the 64-bit `seed` (uint64)."""
    k0, k1 = seed & WORD, seed >> 32
    for _ in range(10):
        p0 = (c0 & WORD) * 0xD2511F53
        p1 = (c2 & WORD) * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & WORD, (p0 >> 32) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


@inline
def uniform_pair(net, purpose, position, seed):
    """Two float64 numbers, uniform on the multiples of 2^-52 in [0, 1), for uint64 lanes of one net and position."""
    a, b, c, d = philox(position & WORD, purpose, net & WORD, net >> 32, seed)
    return _unit(a, b), _unit(c, d)


@inline
def _unit(low, high):
    """The upper 52 of 64 random bits as a fraction: as the mantissa of a number in [1, 2), minus 1."""
    return from_bits((((high << 32) | low) >> 12) | 0x3FF0000000000000) - 1.0
