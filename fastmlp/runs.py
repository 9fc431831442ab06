"""Results of training: `Runs`, of many nets, and `Network`, one of them."""

from __future__ import annotations

import copy
import hashlib
import operator
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from fastmlp._check_values import choose
from fastmlp._engine.predict import predict, predict_mean, predict_over_nets
from fastmlp._engine.trained_nets import Status, Train
from fastmlp._io.nets import save
from fastmlp._own_samples import rows_or_groups
from fastmlp._tables import html_table
from fastmlp.architecture import Architecture
from fastmlp.scoring import REDUCTIONS, evaluate, reduction

if TYPE_CHECKING:
    from fastmlp._engine.optimizer_state import OptimizerState
    from fastmlp.diagnosis import Diagnosis
    from fastmlp.plotting import RunsPlots
    from fastmlp.settings import TrainSettings


SHOWN = 10  # nets in a notebook's table


class _Parameters:
    """Weights and biases as views of one array (…, P): a layer's weights (in, out), then its biases."""

    architecture: Architecture
    parameters: np.ndarray

    def _layers(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        first = 0
        lead = self.parameters.shape[:-1]
        for n_in, n_out in self.architecture.shapes:
            weights = self.parameters[..., first : first + n_in * n_out].reshape(*lead, n_in, n_out)
            first += n_in * n_out
            biases = None
            if self.architecture.bias:
                biases = self.parameters[..., first : first + n_out]
                first += n_out
            yield weights, biases

    @property
    def weights(self) -> list[np.ndarray]:
        """Each layer's weights, (…, in, out) as scikit-learn and Keras have them."""
        return [weights for weights, _ in self._layers()]

    @property
    def weights_out_in(self) -> list[np.ndarray]:
        """Each layer's weights, (…, out, in) as PyTorch has them."""
        return [np.swapaxes(weights, -1, -2) for weights, _ in self._layers()]

    @property
    def biases(self) -> list[np.ndarray]:
        """Each layer's biases, (…, out); an empty list for a net without biases."""
        return [biases for _, biases in self._layers() if biases is not None]


class Network(_Parameters):
    """One trained net.

    Attributes
    ----------
    architecture : Architecture
    weights, weights_out_in, biases : list of ndarray
        One array a layer: (in, out), (out, in), (out,).
    parameters : ndarray of shape (P,)
        All weights and biases in one row.
    net_id : int
        The net's number, which with the seed determines its initial weights.
    seed : int
    loss, accuracy, epochs, status, settings, bits_version
        See `Runs`.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, optimizer=fastmlp.SGD(0.5), epochs=2000)
    >>> net = runs.best()
    >>> net.predict(X).round().ravel()
    array([0., 1., 1., 0.], dtype=float32)
    >>> [w.shape for w in net.weights], net.status.name
    ([(2, 4), (4, 1)], 'RAN_ALL_EPOCHS')
    """

    bits_version: int | None = None  # for pickles of earlier versions

    def __init__(
        self,
        architecture: Architecture,
        parameters: np.ndarray,
        net_id: int,
        loss: float,
        accuracy: float,
        epochs: int,
        status: Status,
        seed: int = 0,
        settings: dict[str, Any] | None = None,
        bits_version: int | None = None,
    ) -> None:
        self.architecture = architecture
        self.parameters = parameters
        self.net_id = net_id
        self.loss = loss
        self.accuracy = accuracy
        self.epochs = epochs
        self.status = status
        self.seed = seed
        self.settings = settings or {}
        self.bits_version = bits_version

    def save(self, path: str | os.PathLike) -> None:
        """Write the net to a file that `fastmlp.load` reads; see `Runs.save`."""
        one = Runs(
            self.architecture,
            self.parameters[None],
            np.array([self.loss], self.parameters.dtype),
            np.array([self.accuracy], self.parameters.dtype),
            np.array([self.epochs]),
            np.array([self.status], np.int8),
            np.array([self.net_id], np.uint64),
            self.seed,
            settings=self.settings,
            bits_version=self.bits_version,
        )
        save(path, one, network=True)

    def predict(self, X: Any) -> np.ndarray:
        """Outputs (n_samples, n_outputs) for inputs X (n_samples, n_inputs)."""
        return predict(self.architecture, self.parameters[None], X)[0]

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.architecture.sizes))
        return (
            f"Network({sizes}, net_id={self.net_id}, loss={self.loss:.4g}, accuracy={self.accuracy:.4g}, "
            f"epochs={self.epochs}, {self.status.name.lower()}, bits_version={self.bits_version})"
        )

    def _repr_html_(self) -> str:
        """A table of the layers, for notebooks."""
        arch = self.architecture
        rows = [
            (f"{n_in} to {n_out}", code.name.lower(), f"{n_in * n_out + arch.bias * n_out:,}")
            for (n_in, n_out), code in zip(arch.shapes, arch.activations, strict=True)
        ]
        return html_table(repr(self), ["layer", "activation", "parameters"], rows)


class Runs(_Parameters):
    """The results of training many nets; every array has one value for each net.

    ``runs[…]`` is `Runs` for a slice, a mask or an index array, and a `Network` for one number.

    Attributes
    ----------
    architecture : Architecture
    loss : ndarray of shape (n_nets,)
        The mean loss over the training samples at the final weights, without the L2 term; NaN for a net that diverged.
    accuracy : ndarray of shape (n_nets,)
        Share of the samples, by weight, with every output on the target's side of 0.5, or for softmax with the right
        class; NaN if targets are not classes.
    epochs : ndarray of shape (n_nets,), int64
        Epochs of training, including those before a warm start.
    status : ndarray of shape (n_nets,), int8
        The `Status` of each net.
    history : ndarray of shape (n_nets, n_records) or None
        The loss after 0, `record_every`, 2 `record_every`, … epochs; NaN after a net has stopped.
    validation_score : ndarray of shape (n_nets,) or None
        The best score on the validation data, if there are some. Unless ``restore_best=False``, the nets have the
        weights of that score, except nets that reached their target.
    best_epoch : ndarray of shape (n_nets,), int64, or None
        The number of epochs before the best score; 0 for a net that was never scored.
    validation_history, validation_losses : ndarray of shape (n_nets, n_records) or None
        The score, and the loss on the validation data, after `record_every`, 2 `record_every`, … epochs; NaN after a
        net has stopped, and in the last place, which has no epoch.
    state : OptimizerState or None
        The state that training can continue from, if `keep_state` was set.
    restarts : ndarray of shape (n_nets,), int64, or None
        The number of restarts of each net, with `restart_stuck`; `net_ids` has the numbers of the last restarts.
    settings : dict
        The settings of `train` as names and numbers; "an array" stands for a setting with one value for each net or
        epoch. Kept in files. Empty for nets of the estimators.
    call : TrainSettings or None
        The settings of `train` without the samples, with which `diagnose` trains the same nets again. Not kept in files
        and pickles.
    net_ids : ndarray of shape (n_nets,), uint64
    seed : int
    parameters : ndarray of shape (n_nets, P)
        All weights and biases of a net in one row: layer by layer the weights (in, out), then the biases.
    weights, weights_out_in, biases : list of ndarray
        One array a layer, (n_nets, in, out), (n_nets, out, in) and (n_nets, out); views of `parameters`.
    bits_version : int or None
        The `fastmlp.BITS_VERSION` that trained the nets; None if several have, after a warm start too, for files
        without one, and for nets that SciPy's L-BFGS trained.
    compile_seconds, train_seconds : float
        Seconds that the call spent compiling or loading the kernels, and training.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, optimizer=fastmlp.SGD(0.5), epochs=2000)
    >>> solved = runs[runs.accuracy == 1]
    >>> len(solved), solved.weights[0].shape
    (63, (63, 2, 4))
    >>> solved.predict(X, reduce="mean").round().ravel()
    array([0., 1., 1., 0.])
    """

    bits_version: int | None = None  # for pickles of earlier versions
    _train: ClassVar[Train]  # `fastmlp.train`, set by `fastmlp.training`, which imports this module
    _PER_NET = ("parameters", "loss", "accuracy", "epochs", "status", "net_ids")
    _IF_KEPT = (
        "history",
        "validation_score",
        "best_epoch",
        "validation_history",
        "validation_losses",
        "restarts",
        "state",
    )

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        architecture: Architecture,
        parameters: np.ndarray,
        loss: np.ndarray,
        accuracy: np.ndarray,
        epochs: np.ndarray,
        status: np.ndarray,
        net_ids: np.ndarray,
        seed: int,
        history: np.ndarray | None = None,
        compile_seconds: float = 0.0,
        train_seconds: float = 0.0,
        validation_score: np.ndarray | None = None,
        best_epoch: np.ndarray | None = None,
        validation_history: np.ndarray | None = None,
        validation_losses: np.ndarray | None = None,
        state: OptimizerState | None = None,
        settings: dict[str, Any] | None = None,
        restarts: np.ndarray | None = None,
        bits_version: int | None = None,
    ) -> None:
        self.architecture = architecture
        self.parameters = parameters
        self.loss = loss
        self.accuracy = accuracy
        self.epochs = epochs
        self.status = status
        self.net_ids = net_ids
        self.seed = seed
        self.history = history
        self.compile_seconds = compile_seconds
        self.train_seconds = train_seconds
        self.validation_score = validation_score
        self.best_epoch = best_epoch
        self.validation_history = validation_history
        self.validation_losses = validation_losses
        self.state = state
        self.settings = settings or {}
        self.restarts = restarts
        self.bits_version = bits_version
        self.call: TrainSettings | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickles, without `call`, which may hold functions that cannot be pickled."""
        return {**self.__dict__, "call": None}

    def __copy__(self) -> Runs:
        result = object.__new__(type(self))
        result.__dict__.update(self.__dict__)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Runs:
        result = object.__new__(type(self))
        memo[id(self)] = result
        result.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return result

    def __len__(self) -> int:
        return len(self.loss)

    def __sizeof__(self) -> int:
        """Bytes with those of the arrays, by which Dask decides what to keep and to move."""
        arrays = [*self.per_net().values(), *(part for part in self.state or () if isinstance(part, np.ndarray))]
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays)

    @overload
    def __getitem__(self, which: int | np.integer) -> Network: ...

    @overload
    def __getitem__(self, which: slice | np.ndarray | Sequence[int] | Sequence[bool]) -> Runs: ...

    def __getitem__(self, which: Any) -> Runs | Network:
        which = _selection(which, len(self))
        slope = self.architecture.leaky_slope
        architecture = (
            self.architecture.with_slope(slope[which]) if isinstance(slope, np.ndarray) else self.architecture
        )
        if isinstance(which, int):
            return Network(
                architecture,
                self.parameters[which],
                int(self.net_ids[which]),
                float(self.loss[which]),
                float(self.accuracy[which]),
                int(self.epochs[which]),
                Status(int(self.status[which])),
                self.seed,
                self.settings,
                self.bits_version,
            )
        subset = Runs(
            architecture=architecture,
            seed=self.seed,
            settings=self.settings,
            compile_seconds=self.compile_seconds,
            train_seconds=self.train_seconds,
            bits_version=self.bits_version,
            **{name: getattr(self, name)[which] for name in self._PER_NET},
            **{name: value[which] for name in self._IF_KEPT if (value := getattr(self, name)) is not None},
        )
        subset.call = None if self.call is None else self.call.of(which)
        return subset

    def __iter__(self) -> Iterator[Network]:
        return (self[i] for i in range(len(self)))

    def per_net(self) -> dict[str, np.ndarray]:
        """Every array with one value or row for each net."""
        kept = {name: getattr(self, name) for name in (*self._PER_NET, *self._IF_KEPT) if name != "state"}
        return {name: values for name, values in kept.items() if values is not None}

    @classmethod
    def concatenated(cls, parts: list[Runs], architecture: Architecture) -> Runs:
        """Join the nets of several runs of one seed; their states are kept if all have one."""
        from fastmlp._engine.optimizer_state import joined

        first: dict[str, Any] = parts[0].per_net()
        arrays: dict[str, Any] = {name: np.concatenate([part.per_net()[name] for part in parts]) for name in first}
        states = [part.state for part in parts if part.state is not None]
        state = joined(states) if len(states) == len(parts) else None
        versions = {part.bits_version for part in parts}
        return cls(
            architecture=architecture,
            seed=parts[0].seed,
            state=state,
            settings=parts[0].settings,
            bits_version=versions.pop() if len(versions) == 1 else None,
            **arrays,
        )

    def best(self) -> Network:
        """The net of least loss; the first one of several."""
        if np.isnan(self.loss).all():
            raise ValueError(f"no net of {self!r} has a finite loss: lower the learning rate")
        return self[int(np.nanargmin(self.loss))]

    def evaluate(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        metrics: Any = None,
        rows: Any = None,
        rows_of: Any = None,
        groups: Any = None,
        threads: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Score every net on samples, in blocks, so that outputs of all nets are never held at once.

        Parameters
        ----------
        X, y, rows, rows_of, groups
            The samples, the same for all nets or each net's own, as for `train`.
        sample_weight : array_like of shape (n_samples,), optional
            As for `train`, where nets have samples of their own.
        metrics : str, function, or list of such, optional
            "loss" (that of training, without the L2 term); for classes "accuracy", "balanced_accuracy" and "roc_auc"
            (of several classes, each against the others, averaged); for numbers, and for the outputs of classes, "r2",
            "mean_absolute_error", "mean_squared_error" and "root_mean_squared_error". Definitions are those of
            scikit-learn; several outputs are averaged. A function takes y and the outputs (n_samples, n_outputs) of one
            net, with weights also ``sample_weight``, and gives a number; it is not called for outputs that are not
            finite. Default: the loss, and the accuracy for classes or "r2" for numbers.
        threads : int or None
            None for all processors that this process may use.

        Returns
        -------
        dict of ndarrays of shape (n_nets,), float64
            By the metrics' names; NaN for a net with outputs that are not finite, and where a net's own samples lack a
            class that the metric needs.

        Examples
        --------
        >>> import fastmlp
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> runs = fastmlp.train(fastmlp.Architecture((2, 4, 1)), X, y, n_nets=100, epochs=500)
        >>> runs.evaluate(X, y, metrics=["accuracy", "roc_auc"])["roc_auc"].shape
        (100,)
        """
        if groups is not None:
            rows = rows_or_groups(rows, groups, X)
        return evaluate(self, X, y, sample_weight, metrics, Runs._train, threads, rows, rows_of)

    def to_pandas(self, **columns: Any) -> Any:
        """A pandas DataFrame with a row for each net: what `Runs` has of it but weights and curves, and `columns`.

        ``runs.to_pandas(test_accuracy=runs.evaluate(X, y)["accuracy"])`` adds scores.
        """
        import pandas as pd

        return pd.DataFrame(self._columns(columns))

    def to_polars(self, **columns: Any) -> Any:
        """The same as a polars DataFrame."""
        import polars as pl

        return pl.DataFrame(self._columns(columns))

    def _columns(self, more: dict[str, Any]) -> dict[str, Any]:
        names = ("loss", "accuracy", "epochs", "restarts", "validation_score", "best_epoch")
        columns = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        status = [Status(code).name.lower() for code in self.status]
        columns = {"net_id": self.net_ids, "status": status, **columns}
        for name in sorted(columns.keys() & more.keys()):
            raise ValueError(f"{name} is a column of the nets already: add yours by another name, such as test_{name}")
        return {**columns, **more}

    def predict(
        self,
        X: Any,
        *,
        reduce: Literal["mean", "std", "median", "quantile", "vote"] | None = None,
        q: Any = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Outputs for inputs X (n_samples, n_inputs).

        Parameters
        ----------
        X : array_like of shape (n_samples, n_inputs)
        reduce : {None, "mean", "std", "median", "quantile", "vote"}
            None: outputs of every net. Otherwise their mean, standard deviation, median or quantiles over the nets, or
            the share of nets that vote for each class, which take little memory; NaN where a net's output is NaN.
        q : float or array_like
            The quantiles, from 0 to 1.
        threads : int or None
            None for all processors that this process may use.

        Returns
        -------
        ndarray of shape (n_nets, n_samples, n_outputs), or (n_samples, n_outputs) in float64 if they are reduced, with
        a first axis for several `q`
        """
        if q is not None and reduce != "quantile":
            raise ValueError(f"q={q!r} is for reduce='quantile': leave it out")
        if reduce is None:
            return predict(self.architecture, self.parameters, X, threads=threads)
        choose("reduce", reduce, dict.fromkeys(("mean", *REDUCTIONS)))
        if reduce == "mean":
            return predict_mean(self.architecture, self.parameters, X, threads=threads)
        return predict_over_nets(
            self.architecture, self.parameters, X, reduction(reduce, q, self.architecture), threads=threads
        )

    @property
    def plot(self) -> RunsPlots:
        """Pictures, `fan`, `losses`, `boundary`, `dead_units` and `animate`; needs matplotlib (extra ``plot``)."""
        from fastmlp.plotting import RunsPlots

        return RunsPlots(self, Runs._train)

    def diagnose(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | None = None,
        solved_loss: float | None = None,
        try_fixes: bool = False,
        max_nets_tried: int = 10_000,
        threads: int | None = None,
    ) -> Diagnosis:
        """Diagnose why nets are stuck: one cause for each net, and what to change first.

        The state of the nets on the samples decides first: units that are silent, saturated or copies of each other,
        gradients that vanish, outputs on a plateau. Nets that this does not explain are trained further (for a fiftieth
        of their epochs, at least 20 and at most 100), to see whether they improve or overshoot. Adam, RMSprop and
        momentum then start with a fresh state, unless the nets were trained with ``keep_state=True``.

        Parameters
        ----------
        X, y : array_like
            The samples that the nets were trained on, as for `train`. All samples have weight 1 here.
        loss : str, optional
            Default: the loss of training.
        solved_loss : float, optional
            A net is solved if its loss is at most this. Default: if every sample is on its target's side of 1/2, or has
            the right class; if targets are not classes, if the loss is at most a hundredth of their variance.
        try_fixes : bool, default False
            Whether to train the same seeds again with each suggested change.
        max_nets_tried : int, default 10_000
            The number of nets that are trained again: the first ones.
        threads : int, optional
            Default: the processors that this process may use.

        Returns
        -------
        Diagnosis
            Print it for a report; programs use ``.causes``, ``.counts()``, ``.dead_units``, ``.plateau``, ``.trials``.

        Raises
        ------
        ValueError, TypeError
            If the data do not fit the nets; with `try_fixes`, if the nets have no record of their settings.

        Examples
        --------
        >>> import fastmlp
        >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> arch = fastmlp.Architecture((2, 4, 1), bias=False)
        >>> runs = fastmlp.train(arch, X, y, n_nets=100, optimizer=fastmlp.SGD(0.5), epochs=100)
        >>> runs.diagnose(X, y).counts()
        {'zero_input': 100}
        """
        from fastmlp.diagnosis import diagnose

        return diagnose(
            self,
            X,
            y,
            loss=loss,
            solved_loss=solved_loss,
            try_fixes=try_fixes,
            max_nets_tried=max_nets_tried,
            threads=threads,
            train=Runs._train,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write the nets to a file in the safetensors format (extra ``files``), which `fastmlp.load` reads.

        A temporary file next to `path` is written and then moved there, so that a complete file exists at any moment.
        """
        save(path, self)

    def weights_sha256(self) -> str:
        """SHA-256 of `parameters` in little-endian order: the same on every processor."""
        little = self.parameters.astype(self.parameters.dtype.newbyteorder("<"), copy=False)
        return hashlib.sha256(np.ascontiguousarray(little).data).hexdigest()

    def counts(self) -> dict[str, int]:
        """The number of nets with each status."""
        return {status.name.lower(): int((self.status == status).sum()) for status in Status}

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.architecture.sizes))
        ended = ", ".join(f"{name}: {count:,}" for name, count in self.counts().items() if count)
        finite = self.loss[np.isfinite(self.loss)]
        losses = f"loss {finite.min():.4g} to {finite.max():.4g}, " if finite.size else ""
        about = f"{losses}{ended}, bits_version={self.bits_version}"
        return f"Runs({len(self):,} x {sizes}, {self.parameters.dtype}, {about})"

    def _repr_html_(self) -> str:
        """A table of the first nets, for notebooks."""
        heading = ["net", "loss", "accuracy", "epochs", "status"]
        rows = [
            (net.net_id, f"{net.loss:.4g}", f"{net.accuracy:.4g}", f"{net.epochs:,}", net.status.name.lower())
            for net in (self[k] for k in range(min(len(self), SHOWN)))
        ]
        more = f"… and {len(self) - SHOWN:,} more nets" if len(self) > SHOWN else ""
        return html_table(repr(self), heading, rows, more)


def _selection(which: Any, n_nets: int) -> Any:
    """Check the index in ``runs[…]``: one number, a slice, a mask of the nets, or a row of numbers."""
    if isinstance(which, slice):
        return which
    needed = f"needs a net's number, a slice, a mask of shape ({n_nets},), or a row of numbers"
    if isinstance(which, (bool, np.bool_)) or which is None or which is Ellipsis or isinstance(which, tuple):
        raise TypeError(f"runs[{which!r}]: {needed}")
    if np.ndim(which) == 0:
        try:
            return operator.index(which)
        except TypeError:
            raise TypeError(f"runs[{which!r}]: {needed}") from None
    chosen = np.asarray(which)
    if chosen.size == 0 and chosen.ndim == 1 and chosen.dtype.kind == "f":  # an empty list
        chosen = chosen.astype(np.intp)
    if chosen.ndim != 1 or chosen.dtype.kind not in "biu":
        raise TypeError(f"runs[an array of {chosen.dtype} and shape {chosen.shape}]: {needed}")
    if chosen.dtype.kind == "b" and len(chosen) != n_nets:
        raise IndexError(f"runs[a mask of shape {chosen.shape}]: {needed}")
    return chosen
