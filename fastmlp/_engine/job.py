"""`Job`: everything that training depends on, and the arrays for its results."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from fastmlp._engine.early_stopping import Validation
from fastmlp._engine.execution_plan import ExecutionPlan
from fastmlp._engine.optimizer_state import OptimizerState
from fastmlp._engine.tile_arrays import TileArrays, Vectors
from fastmlp._kernels import structs
from fastmlp._kernels.tiles import InitSpec
from fastmlp._kernels.tiny_xor import is_small
from fastmlp.architecture import Architecture
from fastmlp.settings import PerNet, TrainSettings


class OwnSamples(NamedTuple):
    """Where the nets of a job find samples of their own."""

    spans: np.ndarray  # (n, n_spans) int64: N_SPANS numbers for training, and as many for validation if that is by net
    order: np.ndarray  # (n,) the nets in the order in which they are trained: those with equal samples side by side
    counts_accuracy: np.ndarray  # (n,) whether the targets of a net are classes

    @property
    def counts(self) -> np.ndarray:
        """Each net's number of samples, (n,)."""
        return self.spans[:, structs.COUNT]


class Rest(NamedTuple):
    """How the nets from `Job.stop` on are trained."""

    plan: ExecutionPlan
    flags: structs.TrainFlags
    most_samples: int


class Beginning(NamedTuple):
    """The nets of a job and their initial state."""

    net_ids: np.ndarray  # (n,) uint64
    seed: int
    parameters: np.ndarray | None  # (n, P), or None if they are drawn
    state: OptimizerState | None
    first_epoch: int  # the first epoch, for orders, dropout and the schedule
    earlier_epochs: np.ndarray | None  # (n,) epochs of each net before this job, or None
    bits_version: int | None = None  # of the results; None after a warm start from nets of another


@dataclass(frozen=True)
class Job:
    """The description of a job. Training changes the arrays in it, and nothing else."""

    settings: TrainSettings
    begin: Beginning
    init_spec: InitSpec | None  # distributions of initial weights
    data: structs.Data
    sample_weights: np.ndarray | None  # (n, S), or None unless each net has its own
    flags: structs.TrainFlags
    hyper: dict[int, PerNet]  # by row of a tile
    stopping: dict[int, PerNet]  # likewise
    plan: ExecutionPlan
    stop: int  # nets `first` to `stop` are trained by this plan,
    parameters: np.ndarray  # (n, P)
    gradients: np.ndarray | None  # (n, P), or None if not wanted
    results: structs.Results
    first: int = 0
    rest: Rest | None = None  # for the nets from `stop` on
    own: OwnSamples | None = None  # samples of each net's own; `first` and `stop` are then places in its order
    rate_factor: Callable[[int], float] | None = None  # factor of the learning rate in an epoch
    order_source: Callable[[int, int], np.ndarray] | None = None  # in place of the library's own orders
    orders_by_net: tuple[list[Callable[[int, int], np.ndarray] | None], np.ndarray] | None = None  # several, by net
    final_state: OptimizerState | None = None  # filled by training, or None if not wanted
    validation: Validation | None = None
    resumable: bool = False  # whether a halt leaves every net as it was between two epochs
    halt: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int8))
    """(2,) int8 flags: stop at once; stop when the current slices are done."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held during calls of a user's function."""

    def parts(self) -> list[Job]:
        """This job, and a second one for the last nets if they are trained otherwise."""
        if self.rest is None:
            return [self]
        plan, flags, most = self.rest
        data = self.data._replace(n_samples=most)
        return [self, replace(self, plan=plan, flags=flags, data=data, first=self.stop, stop=self.n_nets, rest=None)]

    def nets_of(self, first: int, stop: int) -> slice | np.ndarray:
        """What selects the nets of a chunk."""
        return slice(first, stop) if self.own is None else self.own.order[first:stop]

    @property
    def architecture(self) -> Architecture:
        return self.settings.architecture

    @property
    def epochs(self) -> int:
        return self.settings.epochs

    @property
    def n_nets(self) -> int:
        return len(self.begin.net_ids)

    @property
    def seed(self) -> np.uint64:
        return np.uint64(self.begin.seed)

    @property
    def last_epoch(self) -> int:
        return self.begin.first_epoch + self.epochs

    @property
    def adaptive(self) -> bool:
        """Whether the end of patience, on any data, lowers learning rates."""
        return isinstance(self.settings.schedule, str)

    @property
    def draws_every_slice(self) -> bool:
        """Whether each slice needs new orders, keys or factors, which take time."""
        return self.flags.shuffle or self.flags.dropping or self.rate_factor is not None

    @property
    def vectors(self) -> Vectors:
        return self.plan.vectors

    @property
    def net(self) -> structs.Net:
        return self.plan.net

    @property
    def n_weighted(self) -> int:
        """Number of sample weights that each net has of its own."""
        return 0 if self.sample_weights is None else self.sample_weights.shape[1]

    @property
    def n_spans(self) -> int:
        """Numbers of a tile's lane about samples of its own."""
        return 0 if self.own is None else self.own.spans.shape[1]

    @functools.cached_property
    def n_rows(self) -> int:
        """Rows of a tile."""
        return self.plan.rows_of_a_tile(self.settings.optimizer.n_state_rows)

    @functools.cached_property
    def takes_short_cut(self) -> bool:
        """Whether the path for jobs like XOR trains these nets."""
        return is_small(self.net, self.flags)

    @property
    def tile_bytes(self) -> int:
        return TileArrays.nbytes(self.vectors.width, self.vectors, self.n_rows, self.n_weighted, self.n_spans)

    @property
    def seconds_of_a_tile(self) -> float:
        """Approximate time of an epoch of a tile."""
        return self.plan.nanoseconds / 1e9

    @property
    def seconds_a_net(self) -> float:
        """Approximate time of a net on one thread, if all lanes are filled."""
        width = 1 if self.plan.kernel == "units" else self.vectors.width
        return self.seconds_of_a_tile * max(1, self.epochs) / width

    @property
    def seconds(self) -> float:
        """Approximate time of the part on one thread."""
        return self.seconds_of_a_tile * -(-(self.stop - self.first) // self.vectors.width) * max(1, self.epochs)

    def new_tiles(self, first: int, stop: int) -> TileArrays:
        """Allocate tiles for some of the nets."""
        order = None if self.own is None else self.own.order
        return TileArrays(self.vectors, first, stop, self.n_rows, self.n_weighted, order, self.n_spans)
