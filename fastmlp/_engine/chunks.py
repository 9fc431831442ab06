"""Divide a job into chunks: ranges of nets that fit into a thread's cache, with equal shares of the work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastmlp._engine.cost_model import rounds
from fastmlp._engine.job import Job
from fastmlp._engine.tile_arrays import MAX_CHUNK_BYTES
from fastmlp._kernels import structs

# docs/performance.md has the other values that were tried
WORTHWHILE_CHUNK_SECONDS = 0.02  # least time of a chunk, whose overhead is some tenths of a millisecond
LEAST_CHUNK_SECONDS = 0.0015  # least work for one more thread
MAX_CHUNK_TILES = 256
MOST_CHUNKS_A_THREAD = 16

Chunk = tuple[int, int]
"""The range of its nets, (first, stop)."""


def unfinished_chunks(job: Job, threads: int) -> list[Chunk]:
    """The chunks of unfinished nets in this part.

    The nets of a chunk have the same number of epochs; finished nets are left out.
    """
    part = job.nets_of(job.first, job.stop)
    is_unfinished, trained = job.results.status.array[part] == structs.INTERRUPTED, job.results.epochs.array[part]
    size, found = _chunk_size(job, threads), list[Chunk]()
    if is_unfinished.all() and trained.min() == trained.max():
        return [(first, min(first + size, job.stop)) for first in range(job.first, job.stop, size)]
    unfinished = job.first + np.flatnonzero(is_unfinished)
    if not unfinished.size:
        return []
    trained = trained[is_unfinished]
    for nets in np.split(unfinished, np.flatnonzero(np.diff(trained)) + 1):
        # keep pieces with at least one unfinished net
        pieces = np.unique((nets - nets[0]) // size)
        first, stop = int(nets[0]), int(nets[-1]) + 1
        found += [(first + int(k) * size, min(first + (int(k) + 1) * size, stop)) for k in pieces]
    return found


def all_chunks(job: Job, threads: int) -> list[Chunk]:
    """Chunks of all nets."""
    size = _chunk_size(replace(job, first=0, stop=job.n_nets), threads)
    return [(first, min(first + size, job.n_nets)) for first in range(0, job.n_nets, size)]


def _chunk_size(job: Job, threads: int) -> int:
    width, nets = job.vectors.width, job.stop - job.first
    if nets <= width:
        return width
    seconds = job.seconds_of_a_tile * max(1, job.epochs)
    return tiles_of_a_chunk(-(-nets // width), seconds, threads, job.tile_bytes) * width


def tiles_of_a_chunk(tiles: int, seconds_of_a_tile: float, threads: int, tile_bytes: int) -> int:
    """Number of tiles in a chunk."""
    seconds = tiles * seconds_of_a_tile
    busy = max(1, min(threads, int(seconds / LEAST_CHUNK_SECONDS)))
    chunks = max(1, min(int(seconds / busy / WORTHWHILE_CHUNK_SECONDS), MOST_CHUNKS_A_THREAD))
    largest = max(1, min(-(-tiles // (busy * chunks)), MAX_CHUNK_TILES, MAX_CHUNK_BYTES // tile_bytes))
    # minimise the work of the busiest thread
    return min(range(largest, largest // 2, -1), key=lambda size: rounds(tiles, size, busy) * size)
