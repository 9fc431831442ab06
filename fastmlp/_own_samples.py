"""Samples of each net's own: read what the user gives, check it, and lay it out for the kernels.

Whatever form it has, it becomes one table of inputs, one of targets, lists of row numbers, and for each net the places
where its own begin in them. So samples that several nets share are stored once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmlp import _check_data as checks
from fastmlp._engine.memory_limit import refuse_if_too_large
from fastmlp._kernels import structs
from fastmlp._kernels.formulas.activations import Activation
from fastmlp.architecture import Architecture
from fastmlp.settings import TrainSettings

REST = "rest"


class Part(NamedTuple):
    """The samples of all nets, in training or in validation."""

    inputs: np.ndarray  # (R, n_in)
    targets: np.ndarray  # (Q, n_out)
    weights: np.ndarray | None  # (M,), each net's own one after the other
    rows: np.ndarray  # int32: lists of rows, one after the other
    spans: np.ndarray  # (n, N_SPANS) int64

    @property
    def counts(self) -> np.ndarray:
        return self.spans[:, structs.COUNT]

    def rows_of(self, net: int) -> np.ndarray:
        """The rows of a net's samples among its inputs and targets."""
        first = self.spans[net, structs.FIRST_ROW]
        return self.rows[first : first + self.counts[net]]

    def inputs_of(self, net: int) -> np.ndarray:
        return self.inputs[self.spans[net, structs.FIRST_INPUT] + self.rows_of(net)]

    def targets_of(self, net: int) -> np.ndarray:
        return self.targets[self.spans[net, structs.FIRST_TARGET] + self.rows_of(net)]

    def weights_of(self, net: int) -> np.ndarray | None:
        first = self.spans[net, structs.FIRST_WEIGHT]
        return None if self.weights is None else self.weights[first : first + self.counts[net]]

    def first_of_each(self) -> tuple[np.ndarray, np.ndarray]:
        """One net for each set of samples, and which of these every net is like, (n,)."""
        kinds = self.spans.copy()
        kinds[:, structs.FIRST_ORDER] = 0
        _, first, which = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
        return first, which.reshape(-1)


class Lists(NamedTuple):
    """Lists of sample numbers, and which of them each net has."""

    lists: list[np.ndarray]
    which: np.ndarray  # (n,)


# ------------------------------------------------------------------------------------------- forms of the arguments


def is_several(given: Any) -> bool:
    """Whether this is a list with a table for each net."""
    return isinstance(given, (list, tuple)) and len(given) > 0 and _ndim(given[0]) == 2 and not _is_one_array(given)


def _ndim(given: Any) -> int:
    try:
        return np.ndim(given)
    except ValueError:  # nested lists of different lengths
        return -1


def _is_one_array(given: Sequence[Any]) -> bool:
    return not any(hasattr(one, "shape") for one in given) and _ndim(given) == 3


def is_by_net(settings: TrainSettings, X: Any, y: Any) -> bool:
    """Whether nets have samples of their own."""
    if settings.rows is not None or settings.validation_rows is not None or settings.rows_of is not None:
        return True
    if is_several(X) or _ndim(X) == 3 or _targets_by_net(settings, X, y):
        return True
    return is_validation_by_net(settings)


def is_validation_by_net(settings: TrainSettings) -> bool:
    """Whether nets have validation samples of their own."""
    if settings.validation_rows is not None:
        return True
    held_out = settings.validation
    if not isinstance(held_out, (tuple, list)) or len(held_out) not in (2, 3):
        return False
    X, y = held_out[:2]
    return is_several(X) or _ndim(X) == 3 or _targets_by_net(settings, X, y)


def _targets_by_net(settings: TrainSettings, X: Any, y: Any) -> bool:
    """Whether targets for one table of inputs differ from net to net, by their shape."""
    dims = _ndim(y)
    if dims == 3:
        return True
    if dims != 2 or _ndim(X) != 2 or not _takes_rows(settings):
        return False
    (first, second), n_samples = np.shape(y), np.shape(X)[0]
    if second != n_samples or n_samples == 1:
        return False
    return (first, second) != (n_samples, settings.architecture.sizes[-1])


def refuse_two_readings(settings: TrainSettings, X: Any, y: Any, n_nets: int | None) -> None:
    """Refuse y of shape (k, k) for k samples, k softmax outputs and k nets, whose rows are samples or nets."""
    if not isinstance(settings.architecture, Architecture):  # which is refused with the other settings
        return
    n_out = settings.architecture.sizes[-1]
    if _ndim(X) != 2 or np.shape(X)[0] != n_out or np.shape(y) != (n_out, n_out) or n_nets != n_out or n_out == 1:
        return
    if _takes_rows(settings) and settings.loss_name != "cross_entropy":
        raise ValueError(
            f"y has shape {np.shape(y)}, which can be {n_out} outputs for each of {n_out} samples, the same for all "
            f"nets, or one target a sample for each of {n_nets} nets: for the first pass "
            f"np.broadcast_to(y, ({n_nets}, {n_out}, {n_out})), for the second y[:, :, None]"
        )


def _takes_rows(settings: TrainSettings) -> bool:
    """Whether the targets of a net can be one row of numbers."""
    architecture = settings.architecture
    return architecture.sizes[-1] == 1 or architecture.activations[-1] == Activation.SOFTMAX


def refuse_by_net(function: str, settings: TrainSettings, X: Any, y: Any) -> None:
    """Raise for a function whose nets share all samples."""
    if is_by_net(settings, X, y):
        raise ValueError(
            f"{function} trains all nets on the same samples, X of shape (n_samples, n_inputs), y of (n_samples,) or "
            "(n_samples, n_outputs): pass samples of each net's own to train"
        )


def implied_nets(settings: TrainSettings, X: Any, y: Any) -> int | None:
    """The number of nets that the data's shapes tell, or None."""
    if settings.rows_of is not None:
        return np.size(settings.rows_of)
    if settings.rows is not None:
        return len(settings.rows) if hasattr(settings.rows, "__len__") else None
    if is_several(X) or _ndim(X) == 3:
        return len(X)
    if _ndim(y) == 3 or _targets_by_net(settings, X, y):
        return len(y)
    return None


def rows_or_groups(rows: Any, groups: Any, X: Any) -> Any:
    """`rows`, or those of `groups`."""
    if groups is None:
        return rows
    if rows is not None:
        raise ValueError("rows and groups both say which samples each net has: leave one of them out")
    return rows_of_groups(groups, X)


def rows_of_groups(groups: Any, X: Any) -> list[np.ndarray]:
    """The samples of each group, the groups' labels in ascending order."""
    labels = np.asarray(groups)
    if _ndim(X) != 2 or is_several(X):
        raise ValueError("groups says which model a sample of one table X belongs to: X needs shape (n_samples, n_in)")
    if labels.shape != (len(X),):
        raise ValueError(f"groups has shape {labels.shape}; needs one label for each of the {len(X):,} samples")
    missing = sum(label is None or (isinstance(label, float) and np.isnan(label)) for label in labels.tolist())
    if missing:
        raise ValueError(f"groups has {missing:,} missing labels: leave those samples out, or give them a label")
    try:
        _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    except TypeError as error:
        raise TypeError(f"groups has labels that cannot be sorted ({error}): use numbers or words alone") from None
    return np.split(np.argsort(which, kind="stable"), np.cumsum(counts)[:-1])


def of_nets(settings: TrainSettings, X: Any, y: Any, which: np.ndarray, n_nets: int) -> tuple[TrainSettings, Any, Any]:
    """The arguments of `train` for some of `n_nets` nets; `settings` are theirs already, except for data."""

    def some(data: Any) -> Any:
        return [data[i] for i in which.tolist()] if isinstance(data, (list, tuple)) else np.asarray(data)[which]

    def tables(X: Any, y: Any) -> tuple[Any, Any]:
        inputs_by_net = is_several(X) or _ndim(X) == 3
        targets_by_net = is_several(X) or _targets_by_net(settings, X, y)
        if _ndim(X) == 3 and _ndim(y) == 2:
            targets_by_net = np.shape(y) == (n_nets, np.shape(X)[1]) and _takes_rows(settings)
        if targets_by_net:
            y = some(y)
            if not is_several(X) and _ndim(y) == 2:
                y = np.asarray(y)[:, :, None]  # which has one reading for any number of nets
        return some(X) if inputs_by_net else X, y

    held_out = settings.validation
    if is_validation_by_net(settings) and held_out is not None:
        by_net = is_several(held_out[0])
        others = tuple(one if one is None or (_ndim(one) == 1 and not by_net) else some(one) for one in held_out[2:])
        settings = settings.changed(validation=(*tables(*held_out[:2]), *others))
    return settings, *tables(X, y)


# ------------------------------------------------------------------------------------------- reading and checking


def parts_of(settings: TrainSettings, X: Any, y: Any, n_nets: int) -> tuple[Part, Part | None]:
    """The samples of each net in training, and in validation if these are by net too."""
    training = training_part(settings, X, y, n_nets)
    return training, validation_part(settings, X, y, n_nets) if is_validation_by_net(settings) else None


def training_part(settings: TrainSettings, X: Any, y: Any, n_nets: int) -> Part:
    """The training samples of each net, checked."""
    tables = _Tables(settings, X, y, n_nets, "")
    lists = _lists("rows", settings.rows, settings.rows_of, n_nets, tables)
    return tables.part(lists, settings.sample_weight)


def validation_part(settings: TrainSettings, X: Any, y: Any, n_nets: int) -> Part:
    """The validation samples of each net, checked."""
    given, rows = settings.validation, settings.validation_rows
    if given is not None and (not isinstance(given, (tuple, list)) or len(given) not in (2, 3)):
        raise TypeError("validation needs a pair (X, y), or (X, y, sample_weight)")
    X, y = (X, y) if given is None else given[:2]
    try:
        tables = _Tables(settings, X, y, n_nets, "validation: ")
    except (ValueError, TypeError) as error:
        message = str(error)
        raise type(error)(message if message.startswith("validation") else f"validation: {message}") from None
    weights = given[2] if given is not None and len(given) == 3 else None
    if isinstance(rows, str):
        if rows != REST:
            raise ValueError(f"validation_rows={rows!r}: needs lists of sample numbers, or 'rest'")
        if settings.rows is None or given is not None:
            raise ValueError("validation_rows='rest' is what rows leaves of X: pass rows, and leave validation out")
        lists = _lists("rows", settings.rows, settings.rows_of, n_nets, tables)
        assert lists is not None
        rest = [_left_out(one, tables.n_samples) for one in lists.lists]
        for k, one in enumerate(rest):
            if not one.size:
                raise ValueError(f"rows[{k}] has all samples of X, so that validation_rows='rest' has none left")
        return tables.part(Lists(rest, lists.which), weights)
    of = settings.rows_of if rows is not None else None
    return tables.part(_lists("validation_rows", rows, of, n_nets, tables), weights)


def _left_out(rows: np.ndarray, n_samples: int) -> np.ndarray:
    left = np.ones(n_samples, bool)
    left[rows] = False
    return np.flatnonzero(left).astype(np.int32)


def _lists(name: str, given: Any, rows_of: Any, n_nets: int, tables: _Tables) -> Lists | None:
    """Lists of sample numbers; None for all samples."""
    if given is None:
        if rows_of is not None:
            raise ValueError("rows_of says which of the lists in rows each net has: pass rows too")
        return None
    if tables.sizes is not None:
        raise ValueError(f"{name} cannot go with a list of tables of different sizes: leave those samples out of X")
    if isinstance(given, (str, Mapping, set, frozenset)) or not hasattr(given, "__len__"):
        raise TypeError(
            f"{name} is of type {type(given).__name__}: needs a list of arrays of sample numbers, one a net, or with "
            "rows_of a few"
        )
    if isinstance(given, np.ndarray) and given.ndim == 2 and given.size and given.dtype.kind in "iu":
        _numbers(name, given.reshape(-1), tables.n_samples)
        lists = list(given.astype(np.int32))
    else:
        lists = [_numbers(f"{name}[{k}]", one, tables.n_samples) for k, one in enumerate(given)]
    if rows_of is None:
        if len(lists) != n_nets:
            raise ValueError(
                f"{name} has {len(lists)} lists for {n_nets} nets (groups gives one for each label): pass one a net, "
                "or with rows_of, which says which list each net has, a few; to train all nets on the same samples "
                "pass X[rows] and y[rows]"
            )
        return Lists(lists, np.arange(n_nets))
    which = np.asarray(rows_of)
    if name == "validation_rows" and tables.n_lists not in (None, len(lists)):
        raise ValueError(f"validation_rows has {len(lists)} lists, rows {tables.n_lists}: both need the same number")
    if which.dtype.kind not in "iu" or which.shape != (n_nets,):
        raise ValueError(
            f"rows_of has dtype {which.dtype} and shape {which.shape}; needs one whole number for each of {n_nets} nets"
        )
    if which.min() < 0 or which.max() >= len(lists):
        raise ValueError(f"rows_of has numbers from {which.min()} to {which.max()}; {name} has {len(lists)} lists")
    return Lists(lists, which.astype(np.intp))


def _numbers(name: str, given: Any, n_samples: int) -> np.ndarray:
    """Sample numbers from numbers or a mask."""
    try:
        array = np.asarray(given)
    except ValueError:
        raise ValueError(
            f"{name} has parts of different lengths; needs a row of sample numbers: of pairs (train, test) the first"
        ) from None
    if array.dtype.kind == "b":
        if array.shape != (n_samples,):
            raise ValueError(
                f"{name} is a mask of shape {array.shape}; needs one value for each of {n_samples} samples"
            )
        array = np.flatnonzero(array)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} has dtype {array.dtype} and shape {array.shape}; needs a row of sample numbers, or a mask"
        )
    if not array.size:
        raise ValueError(f"{name} is empty: every net needs at least one sample")
    if array.min() < 0 or array.max() >= n_samples:
        raise ValueError(
            f"{name} has numbers from {array.min()} to {array.max()}; X has the samples 0 to {n_samples - 1}"
        )
    return array.astype(np.int32)


class _Tables:
    """Inputs and targets, as one table each, with the places where each net's own begin."""

    def __init__(self, settings: TrainSettings, X: Any, y: Any, n_nets: int, prefix: str) -> None:
        self._settings, self._n_nets, self._prefix = settings, n_nets, prefix
        architecture, dtype, n_in = settings.architecture, settings.dtype, settings.architecture.sizes[0]
        self.sizes: np.ndarray | None = None
        """The number of samples of each net, (n,), where they differ."""
        if is_several(X):
            self._refuse_other_number("X is a list of", len(X))
            tables = [_named(f"X[{k}]", checks.inputs, one, architecture, dtype) for k, one in enumerate(X)]
            self.sizes = np.array([len(one) for one in tables])
            self.inputs, self._input_step = np.concatenate(tables), -1
            self.n_samples = int(self.sizes.max())
        else:
            array = checks.real_array("X", X)
            if array.ndim == 3:
                self._refuse_other_number("X has samples for", len(array))
                if array.shape[2] != n_in:
                    raise ValueError(f"X has shape {array.shape}; needs (n_nets, n_samples, {n_in})")
            elif array.ndim != 2:
                raise ValueError(f"X has shape {array.shape}; needs (n_samples, {n_in}) or (n_nets, n_samples, {n_in})")
            self.n_samples = array.shape[-2]
            array = _without_repeats(array, 2)
            self._input_step = self.n_samples if array.ndim == 3 else 0
            _refuse_tables("X", array, dtype)
            self.inputs = checks.inputs(np.reshape(array, (-1, array.shape[-1])), architecture, dtype)
        self.targets, self._target_step = self._read_targets(y)
        self.n_lists = len(settings.rows) if hasattr(settings.rows, "__len__") else None

    def _refuse_other_number(self, what: str, found: int) -> None:
        if found != self._n_nets:
            raise ValueError(f"{what} {found} nets; {self._n_nets} are to be trained: both need the same number")

    def _read_targets(self, y: Any) -> tuple[np.ndarray, int]:
        """Targets (Q, n_out), and the rows from net to net: 0 if all nets share them, −1 if their numbers differ."""
        settings, n, n_nets, n_out = self._settings, self.n_samples, self._n_nets, self._settings.architecture.sizes[-1]

        def checked(array: Any, n_samples: int) -> np.ndarray:
            return checks.targets(array, settings.architecture, settings.loss_code, n_samples, settings.dtype)

        if self.sizes is not None:
            if not isinstance(y, (list, tuple)) or len(y) != n_nets:
                raise ValueError(f"X is a list of {n_nets} tables: y needs to be a list of {n_nets} arrays")
            targets = []
            for k, (one, size) in enumerate(zip(y, self.sizes.tolist(), strict=True)):
                targets.append(_named(f"y[{k}]", checked, one, size))
            return np.concatenate(targets), -1
        if isinstance(y, (list, tuple)) and len(y) == n_nets and all(_ndim(one) >= 1 for one in y):
            y = [checks.real_array(f"y[{k}]", one) for k, one in enumerate(y)]
            if len({one.shape for one in y}) > 1:
                raise ValueError(f"y is a list of arrays of different shapes; each of them needs {n} targets")
            y = np.array(y)
        array = checks.real_array("y", y)
        of_one = ((n_nets, n, n_out),) + (((n_nets, n, 1), (n_nets, n)) if _takes_rows(settings) else ())
        if array.shape not in of_one:
            if array.ndim > 2 or (array.ndim == 2 and array.shape[0] != n):
                shared = f"({n},)" if _takes_rows(settings) else f"({n}, {n_out})"
                raise ValueError(
                    f"y has shape {array.shape}; needs {shared}, the same for all nets, or {of_one[-1]}, for each of "
                    f"{n_nets} nets its own"
                )
            return checked(array, n), 0
        if array.strides[0] == 0:
            return checked(array[0], n), 0
        _refuse_tables("y", array, settings.dtype, n_out)
        flat = array.reshape(-1) if array.ndim == 2 else array.reshape(-1, array.shape[2])
        return checked(flat, n_nets * n), n

    def part(self, lists: Lists | None, weights: Any) -> Part:
        """What the nets have: all samples, or those of their lists."""
        n_nets, spans = self._n_nets, np.zeros((self._n_nets, structs.N_SPANS), np.int64)
        if lists is None:
            rows = np.arange(self.n_samples, dtype=np.int32)
            spans[:, structs.COUNT] = self.n_samples if self.sizes is None else self.sizes
        else:
            sizes = np.array([one.size for one in lists.lists])
            rows = np.concatenate(lists.lists).astype(np.int32, copy=False)
            spans[:, structs.COUNT] = sizes[lists.which]
            spans[:, structs.FIRST_ROW] = np.cumsum([0, *sizes[:-1]])[lists.which]
        begin = np.zeros(1) if self.sizes is None else np.cumsum([0, *self.sizes[:-1]])
        for column, step in ((structs.FIRST_INPUT, self._input_step), (structs.FIRST_TARGET, self._target_step)):
            spans[:, column] = begin if step < 0 else step * np.arange(n_nets)
        part = Part(self.inputs, self.targets, None, rows, spans)
        return part if weights is None else self._weighted(part, lists, weights)

    def _weighted(self, part: Part, lists: Lists | None, given: Any) -> Part:
        """The part with sample weights: one a sample for all nets, or one a net and sample."""
        dtype, n_nets, n, spans = self._settings.dtype, self._n_nets, self.n_samples, part.spans.copy()
        if self.sizes is not None:
            if not isinstance(given, (list, tuple)) or len(given) != n_nets:
                raise ValueError(
                    f"{self._prefix}sample_weight needs a list of {n_nets} arrays, one number for each sample of a net"
                )
            own = [
                _named(f"{self._prefix}sample_weight[{k}]", checks.sample_weights, one, size, 0, dtype)
                for k, (one, size) in enumerate(zip(given, self.sizes.tolist(), strict=True))
            ]
            spans[:, structs.FIRST_WEIGHT] = np.cumsum([0, *self.sizes[:-1]])
            return part._replace(weights=np.concatenate(own), spans=spans)
        array = checks.real_array("sample_weight", given)
        if array.shape not in ((n,), (n_nets, n)):
            raise ValueError(
                f"{self._prefix}sample_weight has shape {array.shape}; needs ({n},), one a sample, or ({n_nets}, {n}), "
                "one a net and sample"
            )
        if array.ndim == 1:
            chosen = [array] if lists is None else [array[one] for one in lists.lists]
            begin, which = np.cumsum([0, *(one.size for one in chosen[:-1])]), np.zeros(n_nets, np.intp)
            spans[:, structs.FIRST_WEIGHT] = begin[which if lists is None else lists.which]
        else:
            refuse_weights(int(part.counts.sum()), n_nets, dtype)
            chosen = [array[net] if lists is None else array[net, part.rows_of(net)] for net in range(n_nets)]
            spans[:, structs.FIRST_WEIGHT] = np.cumsum([0, *part.counts[:-1]])
        what = "net" if lists is None or array.ndim == 2 else "list"
        checked = [
            _named(f"{self._prefix}of {what} {k}", checks.sample_weights, one, one.size, 0, dtype)
            for k, one in enumerate(chosen)
        ]
        return part._replace(weights=np.concatenate(checked), spans=spans)


def _named(name: str, check: Callable[..., Any], *arguments: Any) -> Any:
    """What a check gives; its error names the table."""
    if arguments[0] is None:
        raise TypeError(f"{name} is None: needs an array")
    try:
        return check(*arguments)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _without_repeats(array: np.ndarray, dims: int) -> np.ndarray:
    """The array of one net where all nets have the same one, such as by `np.broadcast_to`."""
    return array[0] if array.ndim > dims and len(array) and array.strides[0] == 0 else array


def _refuse_tables(name: str, array: np.ndarray, dtype: np.dtype, n_columns: int = 1) -> None:
    """Raise MemoryError if the samples of all nets do not fit into memory, twice while they are laid out."""
    size = max(array.size, int(np.prod(array.shape[:2])) * n_columns)
    refuse_if_too_large(2 * size * dtype.itemsize, f"{name} of shape {array.shape}", "train fewer nets at once")


def refuse_weights(numbers: int, n_nets: int, dtype: np.dtype) -> None:
    """Raise MemoryError if so many sample weights do not fit into memory."""
    refuse_if_too_large(
        numbers * dtype.itemsize,
        f"the sample weights of {n_nets:,} nets",
        "train fewer nets at once, in shards of net_ids",
    )
