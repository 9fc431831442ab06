"""`Survey`: the results of `survey`, exact and small."""

from __future__ import annotations

import json
import math
import os
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastmlp._check_values import choose
from fastmlp._tables import html_table
from fastmlp._version import BITS_VERSION
from fastmlp.architecture import Architecture
from fastmlp.distributing.data import Data
from fastmlp.runs import Runs
from fastmlp.statistics import interval, percent, wilson_interval
from fastmlp.surveying.description import Description
from fastmlp.surveying.folder import Folder
from fastmlp.surveying.found import FailedShard, Found, Range
from fastmlp.surveying.shard import keywords, numbers_of, together
from fastmlp.surveying.stored import NotStoredError, described_again
from fastmlp.surveying.summary import NetRecord, Summary
from fastmlp.training import train

if TYPE_CHECKING:
    from fastmlp.plotting import SurveyPlots

FORMAT = 1
SHOWN = 5
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class Survey:
    """What a survey found out about its nets, without keeping them.

    Everything but `seconds` and `net_epochs_here` is exact and the same for every executor, shard size and order.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> found = fastmlp.survey(
    ...     fastmlp.Architecture((2, 4, 1)), X, y, n_nets=10_000, optimizer=fastmlp.SGD(0.5), epochs=500,
    ...     target_loss=0.1,
    ... )
    >>> found.n_solved, len(found.best), found.mean_loss < 0.3
    (6459, 100, True)
    >>> low, high = found.loss_quantile(0.5)
    >>> low <= 0.1 <= high * 1.01
    True
    """

    about: dict[str, Any]
    """Architecture, settings, hashes of the data, seed, and the range of nets, as names and numbers."""
    done: list[Range]
    """Net numbers that were trained, as ranges ``(first, stop)``; all of them unless the survey was stopped."""
    failed: list[FailedShard]
    """Nets that are missing because their shards failed, with ``on_failure="skip"``."""
    summary: Summary = field(repr=False)
    nets: Runs | None = field(default=None, repr=False)
    """The nets asked for by `nets`, in the order of their numbers, or for "best" of their losses."""
    seconds: float = 0.0
    net_epochs_here: int = 0
    """Epochs of all nets that this call has trained, in these seconds; others were in the folder."""
    _description: Description | None = field(default=None, repr=False)

    # --------------------------------------------------------------------------------------------------- the numbers

    def __len__(self) -> int:
        """The number of nets that were trained."""
        return self.summary.n_nets

    @property
    def complete(self) -> bool:
        """Whether every net was trained."""
        return len(self) == int(self.about["n_nets"])

    @property
    def status(self) -> dict[str, int]:
        """The number of nets with each status."""
        return dict(self.summary.status)

    @property
    def n_solved(self) -> int:
        """The number of solved nets; `survey` says when a net is solved."""
        return self.summary.solved

    @property
    def success_rate(self) -> float:
        """The share of solved nets; NaN if no net was trained."""
        return self.n_solved / len(self) if len(self) else math.nan

    @property
    def success_interval(self) -> tuple[float, float]:
        """Its 95 % interval (Wilson)."""
        return wilson_interval(self.n_solved, len(self)) if len(self) else (0.0, 1.0)

    @property
    def net_epochs(self) -> int:
        """Epochs of all nets together."""
        return self.summary.net_epochs

    @property
    def mean_loss(self) -> float:
        """The mean final loss of the nets that did not diverge, correctly rounded; NaN if there are none."""
        return self.summary.sums.mean

    @property
    def variance_of_loss(self) -> float:
        """The variance of these losses (divided by their number), correctly rounded."""
        return self.summary.sums.variance

    def loss_quantile(self, share: float) -> tuple[float, float]:
        """Bounds of the final loss that this share of the nets that did not diverge lies below.

        The loss with ``int(share * (n - 1))`` others below it lies between them; they differ by a factor of at most
        1 + 2**-10.
        """
        return _quantile(self.summary.losses, share)

    def epochs_quantile(self, share: float, of: str = "solved") -> tuple[float, float]:
        """Likewise for the epochs of the solved nets, or of those with the status `of`; exact below 2048."""
        if of not in self.summary.epochs:
            raise ValueError(f"of={of!r}: use one of {', '.join(map(repr, self.summary.epochs))}")
        return _quantile(self.summary.epochs[of], share)

    @property
    def best(self) -> list[NetRecord]:
        """The nets of least loss, at most `keep`, the best first."""
        return list(self.summary.best)

    @property
    def sample(self) -> list[NetRecord]:
        """A uniform random sample of at most `keep` nets, drawn by the seed, in the order of their numbers."""
        return sorted((net for _, net in self.summary.sample), key=lambda net: net.number)

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that depend on every bit of every net: its weights, loss, epochs and status."""
        return f"{self.summary.fingerprint:016x}"

    @property
    def loss_name(self) -> str:
        """The loss: "bce", "cross_entropy", "mse" or "poisson"."""
        named = self.about["architecture"]
        return self.about["settings"]["loss"] or Architecture(named["sizes"], output=named["output"]).default_loss

    @property
    def plot(self) -> SurveyPlots:
        """Pictures; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import SurveyPlots

        return SurveyPlots(self)

    def to_pandas(self, which: Literal["best", "sample"] = "best") -> Any:
        """The nets of `best` or `sample` as a pandas DataFrame, with the fields of `NetRecord` as columns."""
        import pandas as pd

        return pd.DataFrame(self._columns(which))

    def to_polars(self, which: Literal["best", "sample"] = "best") -> Any:
        """The same as a polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self._columns(which))

    def _columns(self, which: str) -> dict[str, np.ndarray]:
        nets = choose("which", which, {"best": self.best, "sample": self.sample})
        kinds = {"number": np.uint64, "epochs": np.int64, "status": str, "solved": bool}
        return {
            name: np.array([getattr(net, name) for net in nets], kinds.get(name, np.float64))
            for name in NetRecord._fields
        }

    # ------------------------------------------------------------------------------------------------------- the nets

    def retrain(self, numbers: Any, X: Any = None, y: Any = None, **changes: Any) -> Runs:
        """Train nets of the survey again, to the same bits, to get their weights, curves or state.

        Parameters
        ----------
        numbers : array_like of int, or list of NetRecord
            Net numbers, or nets of `best` or `sample`.
        X, y : array_like, optional
            The data, needed for a survey that was read from JSON, as are its `sample_weight` and `validation`.
        **changes
            Settings of `train` that differ, such as ``record_every``.

        Returns
        -------
        Runs
            In the order of `numbers`.
        """
        if isinstance(numbers, (list, tuple)):
            numbers = [net.number if isinstance(net, NetRecord) else net for net in numbers]
        ids = np.atleast_1d(np.asarray(numbers))
        if not ids.size:
            raise ValueError(f"numbers={numbers!r}: needs at least one net number")
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise TypeError(f"numbers={numbers!r}: needs a row of net numbers")
        for name in ("net_ids", "n_nets", "seed", "warm_start", "init"):
            if name in changes:
                raise TypeError(f"retrain trains nets of the survey again: leave {name} out")
        if self._description is not None and not (X is None and y is None):
            raise ValueError("this survey holds its data: leave X and y out")
        held: dict[str, Any] = {name: changes.pop(name) for name in ("sample_weight", "validation") if name in changes}
        about = self._description or self._described_again(X, y, held)
        if not about.first_net <= int(ids.min()) <= int(ids.max()) < about.stop:
            raise ValueError(f"numbers={numbers!r}: the survey has the nets {about.first_net} to {about.stop - 1}")
        ids = ids.astype(np.uint64)
        asked = keywords(about.settings_of_numbers(ids), about.data)
        asked |= {"net_ids": ids, "seed": about.seed, "restart_stuck": about.restart_stuck, **changes}
        if self._description is not None:
            asked |= held
        return train(X=about.data.X, y=about.data.y, **asked)

    def _described_again(self, X: Any, y: Any, held: dict[str, Any]) -> Description:
        """The description of a survey that was read from JSON."""
        if X is None or y is None:
            raise ValueError("this survey was read from JSON, which does not hold the data: pass X and y")
        try:
            found = described_again(self.about, Data(X, y), {}, held)
        except NotStoredError as error:
            raise ValueError(
                f"this survey has settings that JSON does not hold ({error}): call fastmlp.train with net_ids"
            ) from None
        theirs = self.about.get("bits_version")
        if theirs != BITS_VERSION:
            warnings.warn(
                f"this survey has bits_version={theirs}, this fastmlp has {BITS_VERSION}: the nets may differ",
                RuntimeWarning,
                stacklevel=3,
            )
        if found.hashes != self.about["data"]:
            raise ValueError(
                "these are not the data of this survey: pass the same X and y, with sample_weight and validation if "
                "it had them, in the same order of samples"
            )
        return found

    # ----------------------------------------------------------------------------------------------------------- made

    @classmethod
    def of(cls, found: Found, seconds: float = 0.0, net_epochs_before: int | None = None) -> Survey:
        """What was found of a survey."""
        about, kept = found.about, None
        if found.nets and found.keeps != "none":
            kept = together(found.nets)
            if found.keeps != "best":
                kept = kept[numbers_of(kept, about).argsort(kind="stable")]
            call = about.settings_of_numbers(numbers_of(kept, about))
            if about.data.sample_weight is not None:
                call = call.changed(sample_weight=about.data.sample_weight)
            kept.call = call.kept()
        return cls(
            about=about.as_plain(),
            done=found.done,
            failed=sorted(found.failed),
            summary=found.summary,
            nets=kept,
            seconds=seconds,
            net_epochs_here=0 if net_epochs_before is None else found.summary.net_epochs - net_epochs_before,
            _description=about,
        )

    @classmethod
    def from_folder(cls, folder: str | os.PathLike) -> Survey:
        """Merge what a folder of `survey` has; nothing is trained.

        Raises
        ------
        ValueError
            If the folder holds no survey, a damaged one, or one of another version.
        """
        there, about = Folder.opened(folder)
        found = Found.nothing(about, there.nets)
        for piece in there.pieces(about.first_net, about.stop):
            found.add(piece)
        return cls.of(found)

    # ----------------------------------------------------------------------------------------------------------- text

    def to_json(self) -> str:
        """The survey as JSON, without `nets` and `seconds`.

        Canonical: the same bytes for every executor, shard size and order.
        """
        content = {
            "format": FORMAT,
            "about": self.about,
            "done": [[str(first), str(stop)] for first, stop in self.done],
            "failed": [[str(first), str(stop), message] for first, stop, message in self.failed],
            "summary": self.summary.as_plain(),
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Survey:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise ValueError(f"it has the format {content['format']!r}, and this version reads {FORMAT}")
            about = content["about"]
            found = cls(
                about=about,
                done=[(int(first), int(stop)) for first, stop in content["done"]],
                failed=[FailedShard(int(first), int(stop), str(why)) for first, stop, why in content["failed"]],
                summary=Summary.from_plain(content["summary"], about["dtype"], about["keep"]),
            )
            str(found)  # everything that it shows is there
            return found
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"not the JSON of a survey: {type(error).__name__}: {error}") from None

    def rows(self) -> list[tuple[str, str]]:
        """The names and values that printing shows."""
        s, n = self.summary, len(self)
        rows = [("nets", f"{n:,} of {int(self.about['n_nets']):,}" if not self.complete else f"{n:,}")]
        if not n:
            return rows
        rows.append(("solved", f"{s.solved:,} = {percent(self.success_rate)} (95 %: {interval(s.solved, n)})"))
        rows.append(("status", ", ".join(f"{name}: {count:,}" for name, count in s.status.items() if count)))
        if s.solved:
            spread = ", ".join(f"{self.epochs_quantile(share)[0]:,.0f}" for share in QUANTILES)
            rows.append(("epochs of solved nets", f"{spread} (5, 25, 50, 75 and 95 %)"))
        if len(s.losses):
            spread = ", ".join(f"{sum(self.loss_quantile(share)) / 2:.4g}" for share in QUANTILES)
            rows.append(("loss", f"{spread} (5, 25, 50, 75 and 95 %)"))
            rows.append(("mean loss", f"{self.mean_loss:.6g}, standard deviation {math.sqrt(s.sums.variance):.4g}"))
        best = ", ".join(f"{net.number} ({net.loss:.4g})" for net in s.best[:SHOWN])
        rows += [("best nets (loss)", best)] if best else []
        rows += [("restarts", ", ".join(f"{k}: {count:,}" for k, count in s.restarts.items()))] if s.restarts else []
        rows.append(("net-epochs", f"{s.net_epochs:,}"))
        rows += [("failed", f"nets {first} to {stop - 1}: {why}") for first, stop, why in self.failed]
        rows.append(("fingerprint", self.fingerprint))
        return rows

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join([repr(self), *(f"{name:{width}}  {value}" for name, value in rows)])

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.about["architecture"]["sizes"]))
        return (
            f"Survey({len(self):,} x {sizes}, {self.about['dtype']}, solved: {self.n_solved:,}, "
            f"bits_version={self.about.get('bits_version')})"
        )

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return html_table(repr(self), ["", ""], self.rows())


def _quantile(bins: Any, share: float) -> tuple[float, float]:
    if not 0 <= share <= 1:
        raise ValueError(f"share={share!r}: needs a number from 0 to 1")
    if not len(bins):
        return math.nan, math.nan
    return bins.order_statistic(int(share * (len(bins) - 1)))
