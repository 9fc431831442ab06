"""Look up names that users give; errors list the known names and suggest the right one."""

import difflib
from collections.abc import Collection, Mapping
from typing import NoReturn, TypeVar

Value = TypeVar("Value")


def choose(parameter: str, name: object, known: Mapping[str, Value]) -> Value:
    """`known[name]`, or an error that lists the known names."""
    names = ", ".join(repr(key) for key in known)
    if not isinstance(name, str):
        raise TypeError(f"{parameter}={name!r}: needs one of the names {names}")
    if name not in known:
        hint = f"; {_IN_OTHER_WORDS[name.lower()]}" if name.lower() in _IN_OTHER_WORDS else ""
        raise ValueError(f"{parameter}={name!r} is not known: use one of {names}{hint}")
    return known[name]


_IN_OTHER_WORDS = {
    "adamw": "AdamW is Adam with weight_decay, such as optimizer=fastmlp.Adam(0.001, weight_decay=0.01)",
    "nesterov": "Nesterov's momentum is optimizer=fastmlp.SGD(0.1, momentum=0.9, nesterov=True)",
    "momentum": "momentum is optimizer=fastmlp.SGD(0.1, momentum=0.9)",
    "binary_crossentropy": "that is 'bce'",
    "categorical_crossentropy": "that is 'cross_entropy'",
    "sparse_categorical_crossentropy": "that is 'cross_entropy'",
    "mean_squared_error": "that is 'mse'",
    "linear": "that is 'identity'",
    "logistic": "that is 'sigmoid'",
    "xavier": "that is 'glorot_uniform' or 'glorot_normal'",
    "kaiming": "that is 'he_uniform' or 'he_normal'",
    "leakyrelu": "that is 'leaky_relu'",
    "swish": "that is 'silu'",
    "lr": "the learning rate is 'learning_rate'",
    "alpha": "the penalty on squared weights is 'l2'",
    "max_iter": "that is 'epochs'",
}

# Names of settings in other libraries, and what to use here
_ELSEWHERE = {
    **dict.fromkeys(
        ("learning_rate", "lr", "learning_rate_init", "eta"),
        "the learning rate is the optimizer's: pass optimizer=fastmlp.Adam({value}), or SGD, RMSprop, Rprop",
    ),
    **dict.fromkeys(
        ("momentum", "nesterov", "nesterovs_momentum"),
        "momentum is the optimizer's: pass optimizer=fastmlp.SGD(0.1, momentum=0.9)",
    ),
    **dict.fromkeys(
        ("beta1", "beta2", "beta_1", "beta_2", "betas", "epsilon", "eps", "weight_decay"),
        "it is a setting of the optimizer: pass optimizer=fastmlp.Adam(0.001, beta1=…, epsilon=…, weight_decay=…)",
    ),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_iter", "nb_epoch", "iterations"), "pass epochs={value}"),
    **dict.fromkeys(("alpha", "weight_penalty", "l2_penalty"), "the penalty on squared weights is l2={value}"),
    **dict.fromkeys(("random_state", "rng", "random_seed"), "pass seed={value}, a whole number"),
    **dict.fromkeys(
        ("n_seeds", "n_restarts", "restarts", "n_models", "members", "n_estimators"), "pass n_nets={value}"
    ),
    **dict.fromkeys(("n_jobs", "num_threads", "n_threads", "workers"), "pass threads={value}"),
    **dict.fromkeys(("verbose", "show_progress"), "pass progress=True"),
    **dict.fromkeys(
        ("early_stopping", "validation_split", "validation_fraction", "validation_data", "X_val", "y_val"),
        "pass validation=(X_held_out, y_held_out) and patience",
    ),
    **dict.fromkeys(("n_iter_no_change",), "pass patience={value}"),
    **dict.fromkeys(("class_weight",), "weigh the samples: sample_weight=…; MLPClassifier takes class_weight"),
    **dict.fromkeys(
        ("sizes", "hidden", "hidden_layer_sizes", "activation", "output", "bias", "leaky_slope"),
        "it belongs to the net: pass architecture=fastmlp.Architecture(sizes, hidden, output, bias, leaky_slope)",
    ),
    **dict.fromkeys(("criterion", "loss_function", "loss_fn"), "pass loss={value}"),
    **dict.fromkeys(("batch", "minibatch", "batchsize"), "pass batch_size={value}"),
}


def refuse_unknown(function: str, given: Mapping[str, object], known: Collection[str]) -> None:
    """Raise TypeError if there are unknown keyword arguments; suggest the right ones."""
    for name, value in given.items():
        _refuse_unknown(function, name, value, known)


def _refuse_unknown(function: str, name: str, value: object, known: Collection[str]) -> NoReturn:
    advice = _ELSEWHERE.get(name)
    if advice is not None:
        raise TypeError(f"{function} has no argument {name!r}: " + advice.format(value=_short(value)))
    near = difflib.get_close_matches(name, known, 1)
    meant = f"did you mean {near[0]!r}?" if near else f"see help(fastmlp.{function})"
    raise TypeError(f"{function} has no argument {name!r}: {meant}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 20 else "…"
