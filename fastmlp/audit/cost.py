"""The cost of a mistake: train the same seeds with it, without it, and with other changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmlp.architecture import Architecture
from fastmlp.audit.mistakes import MISTAKES, Placed, said_layers
from fastmlp.audit.training import MistakenRuns, placed, train_with_mistakes
from fastmlp.diagnosis.causes import HAIR
from fastmlp.statistics import differ, interval, percent

MOSTLY_SOLVED = 0.9
MUCH_WORSE = 1.1  # ratio of median losses; other seeds change them by less
AS_IT_IS, RIGHT, ALL = "as it is", "without the mistakes", "without the mistakes, with all changes"


@dataclass(frozen=True)
class CostRow:
    """Results of the same seeds with one change."""

    change: str
    """The change from the program as it is, mistakes included."""
    n_nets: int
    n_solved: int
    median_loss: float
    median_margin: float
    """Median margin of the solved nets: the distance of the worst sample from 1/2, on its target's side. NaN if none is
    solved, or if targets are not classes."""

    @classmethod
    def of(cls, change: str, found: MistakenRuns) -> CostRow:
        """Summarise the nets of one change."""
        margins = found.margin[found.solved]
        loss = np.where(np.isfinite(found.runs.loss), found.runs.loss, np.inf)
        middle = float(np.median(margins)) if len(margins) else float("nan")
        return cls(change, len(found.runs), found.n_solved, float(np.median(loss)), middle)

    @property
    def share(self) -> float:
        """The share of nets that is solved."""
        return self.n_solved / self.n_nets

    def __str__(self) -> str:
        hair = f", by {self.median_margin:.1g} (the median margin)" if self.median_margin < HAIR else ""
        shares = f"{percent(self.share):>7} solved{hair}  ({interval(self.n_solved, self.n_nets)})"
        return f"{shares}, median loss {self.median_loss:.4g}"


@dataclass(frozen=True)
class MistakeCost:
    """What mistakes cost; print it for a report.

    Examples
    --------
    >>> import fastmlp
    >>> from fastmlp.audit import cost_of_mistakes
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> arch, rate = fastmlp.Architecture((2, 4, 1)), fastmlp.SGD(0.5)
    >>> cost = cost_of_mistakes(arch, X, y, mistakes="sign_flipped", n_nets=100, optimizer=rate, epochs=500)
    >>> cost["as it is"].share, cost["without the mistakes"].share > 0.5
    (0.0, True)
    """

    description: str
    mistakes: tuple[Placed, ...]
    n_layers: int
    rows: tuple[CostRow, ...]
    """The program as it is; without each mistake, if there are several; without all; with each change; with all."""

    def __getitem__(self, change: str) -> CostRow:
        """The row of the change with this name."""
        return {row.change: row for row in self.rows}[change]

    @property
    def verdict(self) -> str:
        """Whether the mistakes are why nets are stuck."""
        with_them, without = self[AS_IT_IS], self[RIGHT]
        n = with_them.n_nets
        them, they = ("it", "it is") if len(self.mistakes) == 1 else ("them", "they are")
        shares = f"Of {n:,} restarts {percent(with_them.share)} learn with {them}, and {percent(without.share)} without"
        if not differ(with_them.n_solved, n, without.n_solved, n):
            return self._by_losses(shares, they)
        if without.share < with_them.share:
            return f"{shares}: {they} not why nets are stuck; more of them learn with {them}."
        rest = 1 - without.share
        part = "" if rest < 0.5 * (1 - with_them.share) else ", though not of most that are stuck"
        return f"{shares}: {they} why nets are stuck{part}."

    def _by_losses(self, shares: str, they: str) -> str:
        """The verdict by the median loss, where as many nets are solved with the mistakes as without (perhaps none)."""
        with_them, without = self[AS_IT_IS], self[RIGHT]
        if max(with_them.share, without.share) >= MOSTLY_SOLVED:
            return f"{shares}: {they} not why nets are stuck."
        losses = f"the median loss is {with_them.median_loss:.4g} and {without.median_loss:.4g}"
        if not np.isfinite(without.median_loss):
            return f"{shares}; {losses}: no verdict, because most nets diverge without the mistakes too."
        if with_them.median_loss > MUCH_WORSE * without.median_loss:
            return f"{shares}, but {losses}: {they} why nets learn worse."
        return f"{shares}, and {losses}: {they} not why nets are stuck."

    def __str__(self) -> str:
        lines = [self.description]
        for mistake in self.mistakes:
            where = f", in {said_layers(mistake.layers, self.n_layers)}" if mistake.layers else ""
            lines.append(f"Mistake: {MISTAKES[mistake.name].meaning}{where}.")
        lines.append("What the same seeds do:")
        width = max(len(row.change) for row in self.rows)
        lines += [f"  {row.change:{width}}  {row}" for row in self.rows]
        return "\n".join([*lines, self.verdict])


def cost_of_mistakes(
    architecture: Architecture,
    X: Any,
    y: Any,
    *,
    mistakes: Any,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    n_nets: int = 10_000,
    tell: Callable[[str], Any] = lambda _change: None,
    **settings: Any,
) -> MistakeCost:
    """Train the same seeds with mistakes, without them, and with other changes, to find why nets are stuck.

    Parameters
    ----------
    architecture, X, y, mistakes
        As for `train_with_mistakes`.
    changes : mapping of str to mapping, optional
        Other changes to try, each alone and with the mistakes: from a name to the settings that differ, such as
        ``{"glorot weights": {"init": "glorot_uniform"}}``. `architecture` and `mistakes` are allowed.
    n_nets : int, default 10,000
        Restarts of each row.
    tell : function, optional
        Called with the name of each row before it is trained.
    **settings
        As for `train_with_mistakes`.

    Returns
    -------
    MistakeCost

    Raises
    ------
    ValueError, TypeError, MemoryError, TrainingInterrupted
        As by `train_with_mistakes`.

    Examples
    --------
    >>> import fastmlp
    >>> from fastmlp.audit import cost_of_mistakes
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> cost = cost_of_mistakes(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, mistakes="bias_gradient_zero", n_nets=500, seed=1,
    ...     optimizer=fastmlp.SGD(0.5), changes={"16 units": {"architecture": fastmlp.Architecture((2, 16, 1))}},
    ... )
    >>> [row.change for row in cost.rows]
    ['as it is', 'without the mistakes', '16 units', 'without the mistakes, with all changes']
    >>> cost["as it is"].share < cost["without the mistakes"].share
    True
    """
    made = tuple(placed(mistakes, architecture, X, y, settings.get("loss"), settings.get("l2", 0.0)))
    if not made:
        raise ValueError("mistakes is empty: needs at least one name from fastmlp.audit.MISTAKES")
    base = {"architecture": architecture, "mistakes": made, **settings}
    changes = changes or {}
    own = [name for name in changes if name in (AS_IT_IS, RIGHT, ALL) or name in {f"without {m.name}" for m in made}]
    if own:
        raise ValueError(f"changes={own}: the table has rows of these names already; choose others")
    ways: dict[str, dict[str, Any]] = {AS_IT_IS: {}}
    if len(made) > 1:
        for mistake in made:
            ways[f"without {mistake.name}"] = {"mistakes": [other for other in made if other is not mistake]}
    ways[RIGHT] = {"mistakes": ()}
    ways |= {name: dict(change) for name, change in changes.items()}
    if changes:
        together: dict[str, Any] = {}
        for change in changes.values():
            together |= change
        ways[ALL] = {**together, "mistakes": ()}
    for change in ways.values():  # refuse before any work starts
        train_with_mistakes(X=X, y=y, n_nets=1, **{**base, **change, "epochs": 0})
    rows = []
    for name, change in ways.items():
        tell(name)
        rows.append(CostRow.of(name, train_with_mistakes(X=X, y=y, n_nets=n_nets, **{**base, **change})))
    sizes = "-".join(map(str, architecture.sizes))
    return MistakeCost(f"{n_nets:,} nets {sizes}, {len(X):,} samples", made, architecture.n_layers, tuple(rows))
