"""Choose the fastest kernels for a job, by a model of their costs: counts of operations times the cost of each.

All kernels give the same bits, so the choice affects only speed. Ratios of costs matter; the time of a job, which sets
the size of chunks, may be approximate. The constants are nanoseconds on one core of an AMD Zen 4 server, fitted to
epochs of 63 jobs from 2-4-1 to 784-256-10 (docs/performance.md). Those of the units kernel are an eighth below the fit,
those of its layers and updates a third to a half, because on an Intel Sapphire Rapids server this kernel is that much
faster relative to the lanes kernel. The cost of a team was measured on that server. The benchmark `benchmarks.choice`
shows how often, and by how much, the model is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmlp._engine.kept import cached
from fastmlp._engine.tile_arrays import is_tiny, rounded_up
from fastmlp._simd.cpu import host_lanes
from fastmlp._simd.types import VectorSpec

if TYPE_CHECKING:
    from fastmlp.architecture import Architecture

# A tile of the lanes kernel: for each multiply-add of a sample, each unit of a sample, each parameter of an update, and
# the rest of an update
LANES_PRODUCT, LANES_UNIT, LANES_PARAMETER, LANES_UPDATE = 0.166, 3.4, 4.7, 118.0
# Beyond the second-level cache everything takes longer, up to `LANES_OUT_OF_CACHE` times
CACHE_BYTES, LANES_OUT_OF_CACHE = 2**20, 1.4
# A tile of the tiny kernel: for each parameter, everything included, with vectors of several registers, of one
# register, or of `FEW_BYTES` bytes; with one register, latency dominates
TINY_PARAMETER, TINY_PARAMETER_OF_ONE, TINY_PARAMETER_OF_FEW, FEW_BYTES = 14.0, 9.0, 8.0, 16
# A net of the units kernel: for each multiply-add of a vector, each output of a sample, each sample of a layer; for an
# update each vector of parameters, each patch of gradients, each layer, and the rest
UNITS_PRODUCT, UNITS_OUTPUT, UNITS_SAMPLE = 0.215, 3.8, 2.3
UNITS_PARAMETERS, UNITS_PATCH, UNITS_LAYER, UNITS_UPDATE = 0.96, 76.0, 65.0, 65.0
# A team: each barrier, and each sample of a layer that moves from one processor's cache to another's
MEETING, SHARED_SAMPLE = 400.0, 60.0
PATCH_ROWS = 8
WORTH_ANOTHER_KERNEL = 5e7  # nanoseconds to load a kernel from the cache


class Choice(NamedTuple):
    """A choice of kernel and vector."""

    kernel: str  # "tiny", "lanes" or "units"
    lanes: VectorSpec  # the vector with one number for each net, for the tiny and lanes kernels
    threads_per_net: int = 1  # threads that train a net together, with the units kernel
    nanoseconds: float = 1.0  # cost of an epoch of a tile, or of a net with the units kernel


class Rest(NamedTuple):
    """The last nets of a job, if another kernel trains them."""

    nets: int
    choice: Choice


def choose_kernel(
    architecture: Architecture,
    n_nets: int,
    n_samples: int,
    batch: int,
    dtype: np.dtype,
    threads: int,
    asked: str | None = None,
    plain: bool = True,
) -> Choice:
    """The fastest choice for this job, or the fastest with the given kernel.

    A job that is not `plain` needs features that the kernel of tiny jobs does not have.
    """
    return _choose_one(architecture, n_nets, n_samples, batch, dtype, threads, asked, plain)[0]


@cached(256)
def choose_kernels(
    architecture: Architecture,
    n_nets: int,
    n_samples: int,
    batch: int,
    dtype: np.dtype,
    threads: int,
    epochs: int,
    asked: str | None = None,
    plain: bool = True,
) -> tuple[Choice, Rest | None]:
    """One choice for all nets, or two if that is faster: one for most nets, and one for the last ones.

    Threads are best used if each gets the same number of tiles. A few nets more would cost another round of tiles.
    """
    one, cost = _choose_one(architecture, n_nets, n_samples, batch, dtype, threads, asked, plain)
    rest = n_nets % (threads * one.lanes.count)
    if asked is not None or rest in (0, n_nets) or cost * epochs < WORTH_ANOTHER_KERNEL:
        return one, None
    many, cost_of_many = _choose_lanes(architecture, n_nets - rest, n_samples, batch, dtype, threads, plain)
    few, cost_of_few = _choose_lanes(architecture, rest, n_samples, batch, dtype, threads, plain)
    of_a_net = _units_cost(architecture, n_samples, batch, _unit_width(dtype))
    units = -(-rest // threads) * of_a_net
    if units < cost_of_few:
        few, cost_of_few = Choice("units", many.lanes, nanoseconds=of_a_net), units
    if (cost - cost_of_many - cost_of_few) * epochs > WORTH_ANOTHER_KERNEL:
        return many, Rest(rest, few)
    return one, None


def _choose_one(
    architecture: Architecture,
    n_nets: int,
    n_samples: int,
    batch: int,
    dtype: np.dtype,
    threads: int,
    asked: str | None,
    plain: bool,
) -> tuple[Choice, float]:
    """One choice for all nets, and the nanoseconds of an epoch of all nets."""
    by_tiles, tiles = _choose_lanes(architecture, n_nets, n_samples, batch, dtype, threads, plain)
    threads_per_net, units = choose_threads_per_net(architecture, n_nets, n_samples, batch, dtype, threads)
    if asked == "units" or (asked is None and units < tiles):
        of_a_net = _units_cost(architecture, n_samples, batch, _unit_width(dtype), threads_per_net)
        return Choice("units", by_tiles.lanes, threads_per_net, of_a_net), units
    return by_tiles, tiles


def _choose_lanes(
    architecture: Architecture, n_nets: int, n_samples: int, batch: int, dtype: np.dtype, threads: int, plain: bool
) -> tuple[Choice, float]:
    """The kernel with nets as lanes and its best vector, and the nanoseconds of an epoch of all nets."""
    narrow = host_lanes(dtype, narrow=True)
    if plain and is_tiny(architecture, n_samples, batch):
        wide = host_lanes(dtype)
        few = VectorSpec(dtype, min(wide.count, FEW_BYTES // dtype.itemsize))
        of_a_parameter = {few: TINY_PARAMETER_OF_FEW, narrow: TINY_PARAMETER_OF_ONE}
        of_a_parameter[wide] = TINY_PARAMETER
        kernel, tile = "tiny", {lanes: architecture.n_parameters * cost for lanes, cost in of_a_parameter.items()}
    else:
        kernel, tile = "lanes", {narrow: _lanes_cost(architecture, n_samples, batch, narrow.count * dtype.itemsize)}
    costs = {lanes: rounds(n_nets, lanes.count, threads) * cost for lanes, cost in tile.items()}
    lanes = min(costs, key=costs.__getitem__)
    return Choice(kernel, lanes, nanoseconds=tile[lanes]), costs[lanes]


def rounds(number: int, width: int, threads: int) -> int:
    """Number of tiles of `width` nets on the busiest thread."""
    pieces = -(-number // width)
    return -(-pieces // threads)


def _unit_width(dtype: np.dtype) -> int:
    return host_lanes(dtype, narrow=True).count


def choose_threads_per_net(
    architecture: Architecture, n_nets: int, n_samples: int, batch: int, dtype: np.dtype, threads: int
) -> tuple[int, float]:
    """Threads per net of the units kernel, and the nanoseconds of an epoch of all nets."""
    width = _unit_width(dtype)

    def cost(threads_per_net: int) -> float:
        net = _units_cost(architecture, n_samples, batch, width, threads_per_net)
        return -(-n_nets // (threads // threads_per_net)) * net

    threads_per_net = min(range(1, threads + 1), key=cost)
    return threads_per_net, cost(threads_per_net)


def _lanes_cost(architecture: Architecture, n_samples: int, batch: int, row_bytes: int) -> float:
    """Nanoseconds of an epoch of a tile of the lanes kernel."""
    steps = -(-n_samples // batch)
    cost = (
        LANES_PRODUCT * architecture.useful_flops(n_samples) / 2
        + LANES_UNIT * n_samples * sum(architecture.sizes[1:])
        + steps * (LANES_PARAMETER * architecture.n_parameters + LANES_UPDATE)
    )
    tile_bytes = 4 * architecture.n_parameters * row_bytes
    return cost * min(LANES_OUT_OF_CACHE, max(1.0, tile_bytes / CACHE_BYTES))


def _units_cost(architecture: Architecture, n_samples: int, batch: int, width: int, threads_per_net: int = 1) -> float:
    """Nanoseconds of an epoch of a net of the units kernel."""
    steps = -(-n_samples // batch)
    full, rest = divmod(n_samples, batch)

    def filled(size: int) -> int:
        return full * rounded_up(batch, size) + rounded_up(rest, size)

    def shared(vectors: int) -> float:
        pairs = -(-vectors // 2)
        return -(-pairs // threads_per_net) / pairs if pairs >= threads_per_net else 1 / threads_per_net

    cost = 0.0
    for layer, (n_in, n_out) in enumerate(architecture.shapes):
        vectors = rounded_up(n_out, width) // width
        products = filled(PATCH_ROWS) * n_in * vectors + n_samples * rounded_up(n_in, PATCH_ROWS) * vectors
        parameters = (n_in + architecture.bias) * vectors
        patches = -(-n_in // (2 * PATCH_ROWS)) * -(-vectors // 2)
        updates = steps * (UNITS_PARAMETERS * parameters + UNITS_PATCH * patches)
        cost += shared(vectors) * (UNITS_PRODUCT * products + updates)
        if layer:
            below = rounded_up(n_in, width) // width
            cost += shared(below) * UNITS_PRODUCT * filled(PATCH_ROWS) * n_out * below
    team = 0.0
    if threads_per_net > 1:
        team = (MEETING * 2 * steps + SHARED_SAMPLE * n_samples) * architecture.n_layers
    return (
        cost
        + UNITS_OUTPUT * filled(width) * architecture.sizes[-1]
        + UNITS_SAMPLE * n_samples * architecture.n_layers
        + steps * (UNITS_LAYER * architecture.n_layers + UNITS_UPDATE)
        + team
    )
