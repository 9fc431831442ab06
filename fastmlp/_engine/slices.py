"""Inputs of the kernels for a slice of epochs: orders of samples, keys of dropout, factors of learning rates."""

from __future__ import annotations

import numpy as np

from fastmlp._engine.job import Job
from fastmlp._engine.tile_arrays import TileArrays
from fastmlp._kernels import structs
from fastmlp._kernels.tiles import derive_keys, shuffle
from fastmlp._simd.philox import DROPOUT, SHUFFLING_BY_NET
from fastmlp._simd.types import Buffer, aligned_zeros
from fastmlp.settings import checked_factor

MOST_IN_ORDERS = 2**20  # numbers of samples


def epochs_of_orders(n_samples: int) -> int:
    """Most epochs whose orders are drawn at once."""
    return max(1, MOST_IN_ORDERS // n_samples)


def slice_of(job: Job, tiles: TileArrays, first: int, stop: int) -> structs.Epochs:
    """The epochs from `first` to `stop`, in one stride."""
    factors = np.ones(max(1, stop - first), job.vectors.F.dtype)
    if job.rate_factor is not None:
        with job.lock:  # one thread at a time calls a user's function
            factors[: stop - first] = [checked_factor(job.rate_factor(e), e) for e in range(first, stop)]
    if job.own is not None:
        orders = _orders_of_own(job, tiles, first, stop)
    else:
        orders = _orders_by_net(job, tiles, first, stop) if job.flags.order_by_net else orders_of(job, first, stop)
    keys = _keys(job, np.arange(first, stop, dtype=np.uint64), DROPOUT) if job.flags.dropping else _NO_KEYS
    return structs.Epochs(
        orders,
        Buffer(keys),
        Buffer(factors),
        job.begin.first_epoch,
        first,
        stop,
        stride=max(1, stop - first),
        fewest=0,
        last=job.last_epoch,
    )


def orders_of(job: Job, first: int, stop: int, seed: np.uint64 | None = None, n_samples: int | None = None) -> Buffer:
    """The order of samples in each of the epochs, (stop − first, S), from the job's seed or a net's seed."""
    if not job.flags.shuffle:
        return _NO_ORDERS
    if job.order_source is not None:
        begin = job.begin.first_epoch
        return Buffer(job.order_source(first - begin, stop - begin))
    n, D = job.data.n_samples if n_samples is None else n_samples, job.vectors.D
    orders = np.empty((stop - first, n), np.int32)
    uniforms = aligned_zeros(n + 2 * D.count, np.float64)
    shuffle(D, job.vectors.U, Buffer(orders), Buffer(uniforms), n, first, stop, job.seed if seed is None else seed)
    return Buffer(orders)


def _orders_by_net(job: Job, tiles: TileArrays, first: int, stop: int) -> Buffer:
    """Orders for each net, which is a tile."""
    keys = _keys(job, tiles.rng_words[: tiles.count, 0].ravel(), SHUFFLING_BY_NET)
    if not tiles.count:
        return _NO_ORDERS
    return Buffer(np.concatenate([orders_of(job, first, stop, key).array for key in keys]))


def _orders_of_own(job: Job, tiles: TileArrays, first: int, stop: int) -> Buffer:
    """Orders for each number of samples of these nets, or for each net; `tiles.spans` say where each begins."""
    spans = tiles.spans[: tiles.count]
    filled = tiles.result_index[: tiles.count] >= 0
    if not job.flags.shuffle:
        return _NO_ORDERS
    if not filled.any():  # to compile the kernels
        if job.orders_by_net is None:
            seeds = _keys(job, np.zeros(1, np.uint64), SHUFFLING_BY_NET) if job.flags.order_by_net else [job.seed]
            orders_of(job, first, first, seeds[0])
        return _NO_ORDERS
    counts, begin = spans[:, structs.COUNT][filled], spans[:, structs.FIRST_ORDER]
    if job.flags.order_by_net:  # each tile has one net
        keys = _keys(job, tiles.rng_words[: tiles.count, 0].ravel(), SHUFFLING_BY_NET)[filled.ravel()]
        orders = [orders_of(job, first, stop, key, int(n)).array.ravel() for key, n in zip(keys, counts, strict=True)]
        begin[filled] = np.cumsum([0, *(order.size for order in orders[:-1])])
        return Buffer(np.concatenate(orders))
    if job.orders_by_net is not None:
        return _given_orders(job, tiles, filled, first, stop)
    sizes, which = np.unique(counts, return_inverse=True)
    begin[filled] = ((stop - first) * np.cumsum([0, *sizes[:-1]]))[which]
    return Buffer(np.concatenate([orders_of(job, first, stop, n_samples=int(n)).array.ravel() for n in sizes]))


def _given_orders(job: Job, tiles: TileArrays, filled: np.ndarray, first: int, stop: int) -> Buffer:
    """Orders from several functions, of which each net has one."""
    assert job.orders_by_net is not None
    functions, which = job.orders_by_net
    chosen, places = np.unique(which[tiles.result_index[: tiles.count][filled]], return_inverse=True)
    begin, orders = job.begin.first_epoch, []
    for function in (functions[k] for k in chosen.tolist()):
        orders.append(np.zeros(0, np.int32) if function is None else function(first - begin, stop - begin).ravel())
    firsts = np.cumsum([0, *(order.size for order in orders[:-1])])
    tiles.spans[: tiles.count, structs.FIRST_ORDER][filled] = firsts[places.reshape(-1)]
    return Buffer(np.concatenate(orders))


def _keys(job: Job, numbers: np.ndarray, purpose: int) -> np.ndarray:
    """A seed for each of the given numbers of epochs or nets."""
    U = job.vectors.U
    rows = max(1, -(-len(numbers) // U.count))
    padded, keys = (aligned_zeros(rows * U.count, np.uint64) for _ in range(2))
    padded[: len(numbers)] = numbers
    derive_keys(U, Buffer(padded), Buffer(keys), rows, np.uint64(purpose), job.seed)
    return keys[: max(1, len(numbers))]


_NO_KEYS = np.zeros(1, np.uint64)
_NO_ORDERS = Buffer(np.zeros(1, np.int32))
