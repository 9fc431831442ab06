"""What cross-validation, learning curves and permutation tests share: checked settings and samples, trained folds."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.processors import thread_count
from fastmlp._own_samples import refuse_by_net
from fastmlp._splits import Fold
from fastmlp.architecture import Architecture
from fastmlp.cross_validation.fold import FoldResult, FoldsTask, refuse_other_samples, train_folds
from fastmlp.distributing.data import Data
from fastmlp.distributing.dispatcher import run_tasks
from fastmlp.distributing.engines import engine_of
from fastmlp.scoring import default_metrics
from fastmlp.settings import NetSelection, TrainSettings
from fastmlp.training.prepare import prepare_job

NOT_HERE = {
    "n_nets": "pass n_seeds",
    "net_ids": "the nets of each fold have the numbers 0 to n_seeds - 1",
    "warm_start": "each fold begins with fresh nets",
    "checkpoint": "pass the folds one by one to fastmlp.train",
    "keep_state": "fastmlp.train gives it, for one fold",
    "rows": "cv says which samples a fold has",
    "rows_of": "cv says which samples a fold has",
    "validation_rows": "pass validation, or train one fold with fastmlp.train",
    "record_every": "fastmlp.train gives curves, for one fold",
}


class Study(NamedTuple):
    """Checked settings and samples."""

    call: TrainSettings
    data: Data
    n_seeds: int
    seed: int
    threads: int | None

    @property
    def n_samples(self) -> int:
        return len(self.data.X)

    @classmethod
    def of(
        cls,
        function: str,
        architecture: Architecture,
        X: Any,
        y: Any,
        n_seeds: Any,
        seed: Any,
        sample_weight: Any,
        threads: Any,
        settings: dict[str, Any],
    ) -> Study:
        """Check the arguments of a function; `settings` are those of `train`."""
        for name, advice in NOT_HERE.items():
            if name in settings:
                raise TypeError(f"{function} takes no {name}: {advice}")
        count = checks.whole_number("n_seeds", n_seeds, 1, 2**40)
        number = checks.whole_number("seed", seed, 0, 2**64 - 1)
        if threads is not None:
            thread_count(threads)
        unknown = settings.keys() - TrainSettings.__dataclass_fields__.keys()
        if unknown:
            raise TypeError(f"{function} got an unexpected argument {sorted(unknown)[0]!r}")
        call = TrainSettings(architecture, **settings).validated().validated_for(count)
        refuse_by_net(function, call, X, y)
        data = Data.copied(X, y, sample_weight, call.validation)
        weights, n_samples = data.sample_weight, len(data.X)
        if weights is not None and weights.shape != (n_samples,):
            raise ValueError(f"sample_weight has shape {weights.shape}; needs ({n_samples},), one a sample")
        if call.begins_with_arrays and any(len(layer) != count for part in call.init for layer in part or ()):  # type: ignore[union-attr]
            raise ValueError(f"init holds another number of nets than n_seeds={count}")
        one = NetSelection(net_ids=np.zeros(1, np.uint64), seed=number)
        first = call if call.never_change else call.of(slice(0, 1))
        prepare_job(first.changed(sample_weight=weights), data.X, data.y, one, threads=1)
        return cls(call.with_factors().changed(validation=None), data, count, number, threads)

    def metrics(self, asked: Any) -> Any:
        """The same metrics for all folds, as a list."""
        if asked is None:
            softmax = self.call.architecture.output == "softmax"
            return default_metrics(softmax or checks.counts_accuracy(self.data.y))
        return (asked,) if isinstance(asked, str) or callable(asked) else asked

    def trained(
        self, folds: list[Fold], metrics: Any, executor: Any, on_own: bool = False, n_folds: int | None = None
    ) -> list[FoldResult]:
        """Train the nets of all folds, and score them.

        `on_own` says whether also on the samples they train on; `n_folds` after how many their numbers begin anew.
        """
        number = len(folds) if n_folds is None else n_folds
        for k, (rows, held) in enumerate(folds):
            refuse_other_samples(k % number, rows, held, self.call, self.data, metrics)
        with contextlib.ExitStack() as stack:
            engine = None if executor is None else stack.enter_context(contextlib.closing(engine_of(executor)))
            own = self.threads if engine is None else self.threads or 1
            # one run of all folds has fewer tiles with empty lanes; an executor has one task a fold
            tasks = [folds] if engine is None else [[fold] for fold in folds]
            came = dict(
                run_tasks(
                    engine,
                    train_folds,
                    range(len(tasks)),
                    lambda k: FoldsTask(self.call, tasks[k], self.n_seeds, self.seed, metrics, own, on_own),
                    self.data,
                    threads=self.threads,
                    named=lambda k: f"fold {k % number}",
                )
            )
        return [result for k in range(len(tasks)) for result in came[k]]
