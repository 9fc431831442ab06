"""How a job is cut into chunks: runs of nets that fit a thread's cache, in even shares of the work."""

from __future__ import annotations

import numpy as np

from fastmlp._engine.cost_model import rounds
from fastmlp._engine.job import Job
from fastmlp._engine.tile_arrays import MAX_CHUNK_BYTES
from fastmlp._kernels import structs

# What else was tried stands in docs/performance.md
WORTHWHILE_CHUNK_SECONDS = 0.02  # roughly: a chunk costs some tenths of a millisecond on top of its training
LEAST_CHUNK_SECONDS = 0.0015  # where there is less, another thread does not pay
MAX_CHUNK_TILES = 256
MOST_CHUNKS_A_THREAD = 16

Chunk = tuple[int, int]
"""The first of its nets, and the one behind the last."""


def unfinished_chunks(job: Job, threads: int) -> list[Chunk]:
    """The chunks of this part's nets that are still to be trained.

    Those of a chunk have been trained equally far, and what has ended among them stays out of it.
    """
    unfinished = np.flatnonzero(job.results.status.array[: job.stop] == structs.INTERRUPTED)
    unfinished = unfinished[unfinished >= job.first]
    trained = job.results.epochs.array[unfinished]
    stretches = np.split(unfinished, np.flatnonzero(np.diff(trained)) + 1) if unfinished.size else []
    size, found = _chunk_size(job, threads), []
    for nets in stretches:
        # of the pieces of a stretch those that have a net to train
        pieces = np.unique((nets - nets[0]) // size)
        first, stop = int(nets[0]), int(nets[-1]) + 1
        found += [(first + int(k) * size, min(first + (int(k) + 1) * size, stop)) for k in pieces]
    return found


def all_chunks(job: Job, threads: int) -> list[Chunk]:
    """Chunks of all nets."""
    size = _chunk_size(job, threads)
    return [(first, min(first + size, job.n_nets)) for first in range(0, job.n_nets, size)]


def _chunk_size(job: Job, threads: int) -> int:
    width, nets = job.vectors.width, job.stop - job.first
    seconds = job.seconds_of_a_tile * max(1, job.epochs)
    return tiles_of_a_chunk(-(-nets // width), seconds, threads, job.tile_bytes) * width


def tiles_of_a_chunk(tiles: int, seconds_of_a_tile: float, threads: int, tile_bytes: int) -> int:
    """How many of a job's tiles one thread trains together."""
    seconds = tiles * seconds_of_a_tile
    busy = max(1, min(threads, int(seconds / LEAST_CHUNK_SECONDS)))
    chunks = max(1, min(int(seconds / busy / WORTHWHILE_CHUNK_SECONDS), MOST_CHUNKS_A_THREAD))
    largest = max(1, min(-(-tiles // (busy * chunks)), MAX_CHUNK_TILES, MAX_CHUNK_BYTES // tile_bytes))
    # the busiest thread is to have least to do
    return min(range(largest, largest // 2, -1), key=lambda size: rounds(tiles, size, busy) * size)
