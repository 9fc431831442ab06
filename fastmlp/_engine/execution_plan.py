"""`ExecutionPlan`: kernel, vectors and order of parameters for nets of one architecture."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastmlp._engine.cost_model import Choice
from fastmlp._engine.kept import Kept, cached
from fastmlp._engine.team import Team
from fastmlp._engine.tile_arrays import (
    TileArrays,
    Vectors,
    net_buffers,
    row_order,
    rows_of_a_tile,
    scratch_buffers,
    tiny_scratch_buffers,
)
from fastmlp._engine.units_memory import (
    unit_net_buffers,
    unit_row_order,
    unit_rows_of_a_tile,
    unit_scratch_buffers,
    unit_vectors,
)
from fastmlp._kernels import structs
from fastmlp._simd.jit import code_for
from fastmlp._simd.types import Buffer
from fastmlp.architecture import Architecture

MOST_KEPT = 2**14  # parameters of a net whose plan is kept for further calls


@dataclass(frozen=True)
class ExecutionPlan:
    """A kernel for an architecture, with everything that depends on both."""

    architecture: Architecture
    kernel: str  # "tiny", "lanes" or "units"
    threads_per_net: int  # threads per net, with the units kernel
    vectors: Vectors
    net: structs.Net
    row_of: Buffer  # row in a tile of each parameter in the user's order
    nanoseconds: float  # approximate time of an epoch of a tile
    compiled: set[Hashable] = field(compare=False)
    """Groups of kernels that this process has compiled or loaded; shared by all plans with the same kernels."""
    codes: dict[Any, Callable[..., Any]] = field(default_factory=dict, compare=False)
    """What the kernels of `call` call."""
    teams: Kept[Team] = field(default_factory=lambda: Kept(2, 2), compare=False)
    """Small working memory, kept for later jobs."""
    tiles: Kept[TileArrays] = field(default_factory=lambda: Kept(2, 2), compare=False)
    """Tiles of few nets, kept for later jobs."""

    @classmethod
    def of(
        cls, architecture: Architecture, loss: str, dtype: np.dtype, choice: Choice, online: bool = False
    ) -> ExecutionPlan:
        """`online` learning, a sample at a time, needs no blocks of samples."""
        make = _kept_plan if architecture.n_parameters <= MOST_KEPT else _plan
        return make(architecture, loss, dtype, choice, online)

    def call(self, kernel: Any, *arguments: Any, variant: Hashable = None) -> Any:
        """Call a kernel whose types of arguments follow from the plan, and from the static numbers in `variant`.

        They are looked at in the first call.
        """
        code = self.codes.get((kernel, variant))
        if code is None:
            code = self.codes[kernel, variant] = code_for(kernel, arguments)
        return code(*arguments)

    @property
    def fill(self) -> int:
        """A sample's inputs are padded to a multiple of this many numbers."""
        return self.vectors.Units.count if self.kernel == "units" else structs.BLOCK

    def rows_of_a_tile(self, n_state_rows: int) -> int:
        """Rows of a tile's parameters, gradients and state; −1 stands for no gradients."""
        if self.kernel == "units":
            return unit_rows_of_a_tile(self.net, n_state_rows, self.vectors)
        return rows_of_a_tile(n_state_rows, self.net.state_step)

    def new_scratch(self, n_samples: int, dropping: bool = False, other_rows: int = 0) -> structs.Scratch:
        """One thread's working memory, for chunks of at most `n_samples` samples.

        With nets as lanes, each sample takes `other_rows` of one number a net elsewhere, which makes chunks shorter.
        """
        if self.kernel == "tiny":
            return tiny_scratch_buffers(self.net, self.vectors)
        if self.kernel == "units":
            return unit_scratch_buffers(self.net, self.vectors, n_samples, dropping)
        return scratch_buffers(self.architecture, self.net, self.vectors, n_samples, dropping, other_rows)


_COMPILED: dict[Hashable, set[Hashable]] = {}


def _plan(architecture: Architecture, loss: str, dtype: np.dtype, choice: Choice, online: bool) -> ExecutionPlan:
    if choice.kernel == "units":
        vectors = unit_vectors(dtype)
        net = unit_net_buffers(architecture, loss, vectors)
        order = unit_row_order(architecture, net, vectors)
    else:
        vectors = Vectors.of(choice.lanes, 1 if online else structs.BLOCK)
        net, order = net_buffers(architecture, loss, vectors), row_order(architecture)
    compiled = _COMPILED.setdefault((choice.kernel, vectors, net.kernel, net.formulas), set())
    return ExecutionPlan(
        architecture, choice.kernel, choice.threads_per_net, vectors, net, Buffer(order), choice.nanoseconds, compiled
    )


_kept_plan = cached(64)(_plan)
