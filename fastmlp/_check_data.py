"""Check users' data and convert them to arrays that the kernels can trust; errors say what is needed and what to do.

Arrays are copied, so that the user's data never change.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import BY_CODE, Loss
from fastmlp.architecture import Architecture

MAX_SAMPLES = 2**31 - 1
BLOCK = 2**20  # numbers checked at once, so that no mask is as large as the data


def whole_number(name: str, value: object, least: int, greatest: int | None = None) -> int:
    """`value` as an int between the bounds."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r}: needs a whole number")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}={value!r}: needs a whole number") from None
    if number < least or (greatest is not None and number > greatest):
        upto = f"of at least {least}" if greatest is None else f"from {least} to {greatest}"
        raise ValueError(f"{name}={value!r}: needs a whole number {upto}")
    return number


def float_dtype(dtype: object) -> np.dtype:
    """float32 or float64."""
    try:
        result = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"dtype={dtype!r}: needs 'float32' or 'float64'") from None
    if result not in (np.float32, np.float64):
        raise ValueError(f"dtype={dtype!r}: needs 'float32' or 'float64'")
    return result


def real_array(name: str, given: Any) -> np.ndarray:
    """`given` as a NumPy array of real numbers of any dtype."""
    if type(given) is np.ndarray and given.dtype.kind in "fiub":
        return given
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise ValueError(f"{name} has masked entries: fill them or leave those samples out first")
    if hasattr(given, "toarray") and hasattr(given, "nnz"):
        gigabytes = float(np.prod(given.shape, dtype=np.float64)) * 8 / 1e9
        raise TypeError(
            f"{name} is a sparse {type(given).__name__} of shape {given.shape}; fastmlp computes with dense arrays: "
            f"pass {name}.toarray() ({gigabytes:.2g} GB in float64), or fewer columns, such as those of "
            "sklearn.decomposition.TruncatedSVD"
        )
    try:
        array = np.asarray(_without_extensions(given))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} is not a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        hint = ": convert the columns to numbers first" if array.dtype.kind in "OUS" else ""
        raise TypeError(f"{name} has dtype {array.dtype}; needs real numbers{hint}")
    return array


def _without_extensions(given: Any) -> Any:
    """Convert pandas' nullable and Arrow columns of numbers to NumPy, missing values to NaN; leave anything else."""
    dtypes = getattr(given, "dtypes", None)  # of a DataFrame, a Series or an Index
    if dtypes is None or not hasattr(given, "to_numpy") or type(given).__module__.split(".")[0] != "pandas":
        return given
    kinds = list(dtypes) if np.ndim(given) == 2 else [dtypes]
    numbers = all(
        isinstance(kind, np.dtype) or getattr(kind, "_is_numeric", False) or getattr(kind, "_is_boolean", False)
        for kind in kinds
    )
    if not numbers or all(isinstance(kind, np.dtype) for kind in kinds):
        return given
    return given.to_numpy(dtype=np.float64, na_value=np.nan)


def cast_finite(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A C-contiguous copy of `array` in `dtype`; raises ValueError unless all of it is finite."""
    if array.dtype == dtype:
        result = np.array(array, order="C")
    else:
        with np.errstate(over="ignore"):
            result = np.array(array, dtype=dtype, order="C")
    flat = result.reshape(-1)
    if not all(np.isfinite(flat[i : i + BLOCK]).all() for i in range(0, flat.size, BLOCK)):
        finite = np.isfinite(result)
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"{name} has {array[where]} at {where if len(where) > 1 else where[0]} ({(~finite).sum():,} such in all); "
            f"needs finite numbers within the range of {dtype}"
        )
    return result


def inputs(X: Any, architecture: Architecture, dtype: np.dtype) -> np.ndarray:
    """X as (S, n_in)."""
    array = real_array("X", X)
    n_in = architecture.sizes[0]
    if array.ndim != 2 or array.shape[1] != n_in:
        hint = ""
        if array.ndim == 1:
            hint = ": reshape one sample with X[None, :], or one feature with X[:, None]"
        elif array.ndim == 2:
            hint = f": the net's first size is {n_in}, so X needs {n_in} columns"
        raise ValueError(f"X has shape {array.shape}; needs (n_samples, {n_in}){hint}")
    if not 1 <= len(array) <= MAX_SAMPLES:
        raise ValueError(f"X has {len(array):,} samples; needs at least 1 and at most {MAX_SAMPLES:,}")
    return cast_finite("X", array, dtype)


def targets(y: Any, architecture: Architecture, loss: int, n_samples: int, dtype: np.dtype) -> np.ndarray:
    """y as (S, n_out), classes one-hot."""
    array = real_array("y", y)
    n_out = architecture.sizes[-1]
    softmax = architecture.activations[-1] == Activation.SOFTMAX
    if array.ndim < 1 or len(array) != n_samples:
        raise ValueError(f"y has shape {array.shape}, X has {n_samples} samples: both need the same number of samples")
    if softmax and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    kind = BY_CODE[Loss(loss)].targets
    if kind == "classes" or (softmax and array.ndim == 1):
        return _one_hot(array, n_out, n_samples, dtype)
    if array.ndim == 1 and n_out == 1:
        array = array[:, None]
    if array.shape != (n_samples, n_out):
        raise ValueError(
            f"y has shape {array.shape}; {n_out} outputs and {n_samples} samples need "
            + (f"({n_samples},) or ({n_samples}, 1)" if n_out == 1 else f"({n_samples}, {n_out})")
        )
    array = cast_finite("y", array, dtype)
    if kind == "probabilities" and not (array.min() >= 0 and array.max() <= 1):
        found = np.unique(array)
        shown = ", ".join(f"{value:g}" for value in found[:6]) + (", …" if found.size > 6 else "")
        advice = "pass (y + 1) / 2" if set(found.tolist()) == {-1.0, 1.0} else "rescale y, or use loss='mse'"
        raise ValueError(f"y has values {{{shown}}}; loss='bce' needs 0 and 1, or numbers between: {advice}")
    if kind == "counts" and array.min() < 0:
        raise ValueError(f"y has the value {array.min():g}; loss='poisson' is for counts and rates, of at least 0")
    return array


def _one_hot(classes: np.ndarray, n_classes: int, n_samples: int, dtype: np.dtype) -> np.ndarray:
    if classes.ndim != 1:
        raise ValueError(
            f"y has shape {classes.shape}; a softmax output needs class numbers of shape ({n_samples},): "
            "for one-hot rows pass y.argmax(axis=1)"
        )
    if not (classes.min() >= 0 and classes.max() < n_classes and (classes == np.round(classes)).all()):
        wrong = ~np.isin(classes, np.arange(n_classes))
        raise ValueError(
            f"y has the class {classes[wrong][0]}; {n_classes} softmax outputs need whole class numbers from 0 to "
            f"{n_classes - 1}: for other labels pass np.unique(y, return_inverse=True)[1]"
        )
    result = np.zeros((n_samples, n_classes), dtype)
    for first in range(0, n_samples, BLOCK):
        some = classes[first : first + BLOCK].astype(np.intp)
        result[np.arange(first, first + len(some)), some] = 1
    return result


def counts_accuracy(target_array: np.ndarray) -> bool:
    """Whether targets are classes: all of them 0 or 1."""
    flat = target_array.reshape(-1)
    blocks = (flat[i : i + BLOCK] for i in range(0, flat.size, BLOCK))
    return all(bool(((block == 0) | (block == 1)).all()) for block in blocks)


def sample_weights(given: Any, n_samples: int, n_nets: int, dtype: np.dtype) -> np.ndarray | None:
    """Weights (S,) or (n_nets, S), or None."""
    if given is None:
        return None
    array = real_array("sample_weight", given)
    if array.shape not in ((n_samples,), (n_nets, n_samples)):
        raise ValueError(
            f"sample_weight has shape {array.shape}; needs ({n_samples},), one a sample, "
            f"or ({n_nets}, {n_samples}), one a net and sample"
        )
    array = cast_finite("sample_weight", array, dtype)
    if array.min() < 0:
        raise ValueError(f"sample_weight has the value {array.min()}; needs numbers of at least 0")
    total, limits = array.sum(axis=-1, dtype=np.float64), np.finfo(dtype)
    if not (total > 0).all():
        raise ValueError("sample_weight is 0 for every sample: at least one sample needs a weight above 0")
    if not ((total < limits.max / 16) & (total > limits.tiny * 16)).all():
        raise ValueError(
            f"sample_weight adds up to {np.max(total):.3g}, which {dtype} cannot divide by: scale the weights, "
            "for only their ratios count"
        )
    return array


def one_each(name: str, values: Any, n_nets: int) -> float | np.ndarray:
    """A number, or an array of one for each net."""
    if type(values) is float:
        return values
    array = real_array(name, values).astype(np.float64)
    if array.ndim == 0:
        return float(array)
    if array.shape != (n_nets,):
        raise ValueError(f"{name} has shape {array.shape}; needs one number, or an array of shape ({n_nets},)")
    return array


def bounded(
    name: str, values: Any, n_nets: int, least: float, greatest: float = np.inf, none: float | None = None
) -> float | np.ndarray:
    """`one_each` with bounds [least, greatest]; `none` replaces None."""
    if values is None and none is not None:
        return none
    result = one_each(name, values, n_nets)
    if type(result) is float and least <= result <= greatest:
        return result
    if not ((np.asarray(result) >= least) & (np.asarray(result) <= greatest)).all():
        upto = f"of at least {least:g}" if greatest == np.inf else f"from {least:g} to {greatest:g}"
        if greatest == np.nextafter(1.0, 0.0):
            upto = f"from {least:g} to below 1"
        raise ValueError(f"{name}={values!r}: needs numbers {upto}")
    return result


def in_dtype(name: str, values: float | np.ndarray, dtype: np.dtype) -> float | np.ndarray:
    """`values`; raises ValueError if rounding to `dtype` makes one of them infinite, 0 or 1."""
    if type(values) is float and abs(values) < 1e38:
        single = float(dtype.type(values))
        if (single == 0) == (values == 0) and (single < 1) == (values < 1):
            return values
    exact = np.asarray(values, np.float64)
    with np.errstate(over="ignore", under="ignore"):
        rounded = exact.astype(dtype)
    same = np.isfinite(rounded) & ((rounded == 0) == (exact == 0)) & ((rounded < 1) == (exact < 1))
    if not same.all():
        wrong = exact[~same][0] if exact.ndim else float(exact)
        raise ValueError(f"{name} has the value {wrong!r}, which {dtype} cannot tell from 0, 1 or infinity")
    return values


def net_count(net_ids: Any, n_nets: int | None, fallback: int) -> int:
    """The checked number of nets."""
    if net_ids is not None:
        return np.size(net_ids)
    return whole_number("n_nets", fallback if n_nets is None else n_nets, 1, 2**40)


def net_numbers(net_ids: Any, n_nets: int | None, count: int) -> np.ndarray:
    """The nets' numbers, (n_nets,) uint64."""
    if net_ids is None:
        return np.arange(count, dtype=np.uint64)
    array = np.asarray(net_ids)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"net_ids has dtype {array.dtype} and shape {array.shape}; needs a row of whole numbers")
    if array.size == 0:
        raise ValueError("net_ids is empty; needs at least one net number")
    if n_nets is not None and n_nets != array.size:
        raise ValueError(f"n_nets={n_nets} but net_ids has {array.size} numbers: leave n_nets out")
    if array.min() < 0 or int(array.max()) >= 2**63:
        raise ValueError("net_ids needs numbers from 0 to 2**63 - 1")
    return array.astype(np.uint64)


def parameters(
    weights: Any, biases: Any, architecture: Architecture, dtype: np.dtype, n_nets: int | None = None
) -> np.ndarray:
    """Lists over the layers, weights (n, in, out) and biases (n, out), as one array (n, P)."""
    shapes = architecture.shapes
    for name, given, n_arrays in (
        ("weights", weights, len(shapes)),
        ("biases", biases, len(shapes) * architecture.bias),
    ):
        if given is None and not n_arrays:
            continue
        if not isinstance(given, (list, tuple)) or len(given) != n_arrays:
            got = f"{len(given)} arrays" if isinstance(given, (list, tuple)) else type(given).__name__
            raise ValueError(f"{name} is {got}; needs a list of {n_arrays} arrays, one a layer")
    parts = []
    for layer, (n_in, n_out) in enumerate(shapes):
        wanted: list[tuple[str, Any, tuple[int, ...]]] = [(f"weights[{layer}]", weights[layer], (n_in, n_out))]
        if architecture.bias:
            wanted.append((f"biases[{layer}]", biases[layer], (n_out,)))
        for name, given, shape in wanted:
            array = real_array(name, given)
            if array.shape[1:] != shape or array.ndim != len(shape) + 1:
                raise ValueError(f"{name} has shape {array.shape}; needs (n_nets, {', '.join(map(str, shape))})")
            if n_nets is None:
                n_nets = len(array)
            if len(array) != n_nets or n_nets == 0:
                raise ValueError(f"{name} holds {len(array)} nets; needs {n_nets or 'at least one'}")
            parts.append(cast_finite(name, array, dtype).reshape(n_nets, -1))
    return np.concatenate(parts, axis=1)
