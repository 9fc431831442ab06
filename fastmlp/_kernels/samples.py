"""The samples of a pass, in order, and their weights.

F is the vector of W numbers, Blk that of B · W, B samples of W nets; other symbols are those of `structs`.
"""

from fastmlp._kernels import structs
from fastmlp._kernels.own_samples import gather, sum_of_weights
from fastmlp._kernels.sums import add_compensated
from fastmlp._simd.arithmetic import broadcast, ratio, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, load_grid, spread_samples, store


@inline
def choose_chunk(F, net, data, tiles, tile, orders, order, stop, first, count, n_filled, samples):
    """`choose_samples`, or lay out samples of each net's own, which are then numbered from 0 on.

    `order` is where the order begins in `orders`, or of samples of each net's own its number.
    """
    if data.by_net:
        gather(F, net, data, tiles, tile, orders, order, stop, first, count, n_filled)
        for s in range(n_filled):
            samples[s] = s
    else:
        choose_samples(orders, order, first, count, n_filled, samples)


@inline
def choose_samples(orders, order, first, count, n_filled, samples):
    """Write the numbers of the samples from position `first` of the order on; the last one is repeated up to
    `n_filled`.

    The order starts at position `order` of `orders`; −1 means unshuffled.
    """
    for s in range(n_filled):
        samples[s] = _sample_at(orders, order, first + min(s, count - 1))


@inline
def _sample_at(orders, order, place):
    return orders[order + place] if order >= 0 else place


@inline
def block_weights(Blk, F, data, tiles, tile, samples, s, scratch):
    """The weights of one block of samples."""
    weights = broadcast(Blk, 1.0)
    if data.by_net:
        weights = load_grid(Blk, Blk, F, data.chunk.weights, s, 0, 1)
    elif data.weighting == structs.BY_SAMPLE:
        weights = spread_samples(Blk, F, data.weights, samples, s, 1, 0)
    elif data.weighting == structs.BY_NET:
        for b in range(ratio(Blk, F)):
            store(scratch.weights, b, load(F, tiles.sample_weights, tile * data.n_samples + samples[s + b]))
        weights = load(Blk, scratch.weights, 0)
    return weights


@inline
def inverse_of(flags, weight_sum):
    """The factor from a sum over samples to the gradient of the mean; 0 for a minibatch of weight 0."""
    return select(weight_sum > 0.0, flags.delta_scale / weight_sum, 0.0)


@inline
def weight_sum_of(F, data, tiles, tile, orders, order, start, stop, lanes):
    """Sum of the weights of the samples `start` to `stop` − 1; `lanes` is scratch."""
    if data.by_net:
        return sum_of_weights(F, data, tiles, tile, orders, order, start, stop, lanes)
    total = rest = broadcast(F, 0.0)
    if data.weighting == structs.UNWEIGHTED:
        total = broadcast(F, stop - start)
    else:
        for position in range(start, stop):
            sample = _sample_at(orders, order, position)
            if data.weighting == structs.BY_SAMPLE:
                weight = broadcast(F, data.weights[sample])
            else:
                weight = load(F, tiles.sample_weights, tile * data.n_samples + sample)
            total, rest = add_compensated(total, rest, weight)
    return total
