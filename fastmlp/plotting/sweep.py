"""The pictures of `sweep.plot`."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastmlp._check_values import choose
from fastmlp.plotting.style import axes_or_new
from fastmlp.settings import shown


class SweepResult(Protocol):
    """The attributes of `fastmlp.Sweep` that pictures need."""

    @property
    def table(self) -> dict[str, np.ndarray]: ...

    @property
    def loss(self) -> np.ndarray: ...


class SweepPlots:
    """The pictures of `sweep.plot`.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> grid = {"sizes": [(2, 2, 1), (2, 8, 1)], "learning_rate": [0.1, 1.0]}
    >>> found = fastmlp.sweep(X, y, grid, optimizer="sgd", epochs=100, n_seeds=20)
    >>> ax = found.plot.success_map("learning_rate", "sizes")
    """

    def __init__(self, sweep: SweepResult) -> None:
        self._sweep = sweep

    def success_map(self, x: str, y: str, ax: Any = None) -> Any:
        """The share of nets solved over two settings of the grid; of the other settings the best is taken.

        Parameters
        ----------
        x, y : str
            Names of settings in the grid, such as "learning_rate".
        ax : matplotlib Axes, optional
        """
        table = self._sweep.table
        swept = {name[6:]: name for name in table if name.startswith("param_")}
        columns = [_labels(table[choose(axis, name, swept)]) for axis, name in (("x", x), ("y", y))]
        if x == y:
            raise ValueError(f"x and y are both {x!r}: needs two settings")
        (names, across), (others, up) = columns
        shares = np.full((len(others), len(names)), np.nan)
        for column, row, share in zip(across, up, table["success_rate"], strict=True):
            shares[row, column] = np.fmax(shares[row, column], 100 * share)
        ax = axes_or_new(ax)
        picture = ax.imshow(shares, origin="lower", aspect="auto", cmap="cividis", vmin=0, vmax=100)
        ax.figure.colorbar(picture, ax=ax, label="nets solved, %")
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share):
                ax.text(
                    column,
                    row,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="black" if share > 50 else "white",
                )
        ax.set_xticks(range(len(names)), names, rotation=30 if max(map(len, names)) > 6 else 0)
        ax.set_yticks(range(len(others)), others)
        ax.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
        rest = len(swept) - 2
        ax.set_title(
            f"{self._sweep.loss.shape[1]:,} seeds each" + ("; of the other settings the best" if rest else ""),
            fontsize=10,
        )
        return ax


def _labels(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    if values.dtype != object:
        found, where = np.unique(values, return_inverse=True)
        short = [f"{value:g}" for value in found]
        return short if len(set(short)) == len(short) else [str(value) for value in found], where
    texts = [shown(value) for value in values]
    order = list(dict.fromkeys(texts))
    return order, np.array([order.index(text) for text in texts])
