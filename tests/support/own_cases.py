"""Random jobs whose nets have samples of their own, and the same nets trained one by one."""

import numpy as np

import fastmlp

ACTIVATIONS = ("relu", "tanh", "leaky_relu", "gelu", "sigmoid")
FORMS = ("folds", "rows", "masks", "targets", "samples", "ragged", "groups")


def random_case(rng):
    """Keyword arguments of one call of `train` for all nets, and a list of those for each net alone."""
    form = FORMS[rng.integers(len(FORMS))]
    n_nets, n_samples, n_in = int(rng.integers(1, 40)), int(rng.integers(2, 60)), int(rng.integers(1, 9))
    kind = ("numbers", "binary", "classes")[rng.integers(3)]
    n_out = 1 if kind == "binary" else int(rng.integers(2, 5)) if kind == "classes" else int(rng.integers(1, 3))
    output = {"numbers": "identity", "binary": "sigmoid", "classes": "softmax"}[kind]
    hidden = [int(rng.integers(1, 20)) for _ in range(rng.integers(0, 3))]
    architecture = fastmlp.Architecture(
        (n_in, *hidden, n_out), ACTIVATIONS[rng.integers(5)], output=output, bias=bool(rng.random() < 0.8)
    )

    def targets(n):
        if kind == "numbers":
            return rng.normal(size=(n, n_out)) if n_out > 1 else rng.normal(size=n)
        return rng.integers(0, 2 if kind == "binary" else n_out, n).astype(np.float64)

    settings = _settings(rng, architecture, kind, n_nets, n_samples)
    if form in ("folds", "rows", "masks", "groups"):
        X, y = rng.normal(size=(n_samples, n_in)), targets(n_samples)
        which = np.arange(n_nets)
        if form == "folds":
            which = rng.integers(0, min(3, n_nets), n_nets)
            lists = [_some(rng, n_samples) for _ in range(which.max() + 1)]
            given = {"rows": lists, "rows_of": which}
        elif form == "groups":
            labels = np.concatenate([np.arange(n_nets), rng.integers(0, n_nets, max(0, n_samples - n_nets))])
            rng.shuffle(labels)
            X, y = rng.normal(size=(len(labels), n_in)), targets(len(labels))
            lists, given = [np.flatnonzero(labels == g) for g in range(n_nets)], {"groups": labels}
        else:
            lists = [_some(rng, n_samples) for _ in range(n_nets)]
            if form == "masks":
                lists = [np.unique(one) for one in lists]
            given = {"rows": lists if form == "rows" else [np.isin(np.arange(n_samples), one) for one in lists]}
        own = [(X[lists[k]], y[lists[k]]) for k in which]
        weights = _weights(rng, n_nets, len(X))
        if weights is not None:
            given["sample_weight"] = weights
        own_weights = [None if weights is None else (weights if weights.ndim == 1 else weights[i])[lists[k]]
                       for i, k in enumerate(which)]  # fmt: skip
        held_out = rng.random()
        if held_out < 0.25 and form in ("folds", "rows"):
            rest = [_some(rng, n_samples) for _ in lists]
            given["validation_rows"] = rest
            validations = [(X[rest[k]], y[rest[k]]) for k in which]
        elif held_out < 0.5 and form in ("folds", "rows") and all(len(set(one)) < n_samples for one in lists):
            given["validation_rows"] = "rest"
            rest = [np.setdiff1d(np.arange(n_samples), one) for one in lists]
            validations = [(X[rest[k]], y[rest[k]]) for k in which]
        elif held_out < 0.6:
            given["validation"] = (X[: max(1, n_samples // 2)], y[: max(1, n_samples // 2)])
            validations = [given["validation"]] * n_nets
        else:
            validations = [None] * n_nets
    elif form == "ragged":
        sizes = rng.integers(1, n_samples + 1, n_nets)
        own = [(rng.normal(size=(n, n_in)), targets(n)) for n in sizes]
        X, y, given = [one[0] for one in own], [one[1] for one in own], {}
        own_weights = [None] * n_nets
        if rng.random() < 0.4:
            given["sample_weight"] = own_weights = [rng.random(n) + 0.1 for n in sizes]
        validations = [None] * n_nets
        if rng.random() < 0.4:
            validations = [(rng.normal(size=(n, n_in)), targets(n)) for n in rng.integers(1, 30, n_nets)]
            given["validation"] = [one[0] for one in validations], [one[1] for one in validations]
    else:
        given = {}
        X = rng.normal(size=(n_nets, n_samples, n_in) if form == "samples" else (n_samples, n_in))
        y = np.array([targets(n_samples) for _ in range(n_nets)])
        if form == "samples" and rng.random() < 0.3:
            y = targets(n_samples)
        by_net = y.shape[0] == n_nets and y.ndim > 1 and y.shape[1] == n_samples
        own = [(X[i] if form == "samples" else X, y[i] if by_net else y) for i in range(n_nets)]
        weights = _weights(rng, n_nets, n_samples)
        own_weights = [
            None if weights is None else (weights if weights.ndim == 1 else weights[i]) for i in range(n_nets)
        ]
        if weights is not None:
            given["sample_weight"] = weights
        validations = [None] * n_nets
        if rng.random() < 0.4:
            given["validation"] = rng.normal(size=(n_nets, 7, n_in)), np.array([targets(7) for _ in range(n_nets)])
            validations = [(given["validation"][0][i], given["validation"][1][i]) for i in range(n_nets)]
    if all(one is None for one in validations):
        settings.pop("restore_best", None)
    together = {"architecture": architecture, "X": X, "y": y, "n_nets": n_nets, **settings, **given}
    alone = []
    for i in range(n_nets):
        mine = {k: v[i] if isinstance(v, np.ndarray) and v.shape == (n_nets,) else v for k, v in settings.items()}
        alone.append(
            {
                "architecture": architecture,
                "X": own[i][0],
                "y": own[i][1],
                "net_ids": [i],
                **mine,
                "sample_weight": own_weights[i],
                "validation": validations[i],
            }
        )
    return form, together, alone


def _some(rng, n_samples):
    """Some of the samples, some of them twice."""
    return rng.integers(0, n_samples, int(rng.integers(1, n_samples + 1)))


def _weights(rng, n_nets, n_samples):
    kind = rng.random()
    if kind < 0.6:
        return None
    return rng.random((n_nets, n_samples) if kind < 0.8 else n_samples) + 0.1


def _settings(rng, architecture, kind, n_nets, n_samples):
    rate = 10.0 ** rng.uniform(-3, 0) * (1e6 if rng.random() < 0.05 else 1)
    optimizer = [
        fastmlp.SGD(rate),
        fastmlp.SGD(rate, momentum=0.9, nesterov=bool(rng.random() < 0.5)),
        fastmlp.Adam(rate / 10),
        fastmlp.RMSprop(rate / 10),
        fastmlp.Rprop(0.01),
    ][rng.integers(5)]
    settings = {
        "optimizer": optimizer,
        "epochs": int(rng.integers(1, 25)),
        "seed": int(rng.integers(0, 1000)),
        "dtype": ("float32", "float64")[rng.integers(2)],
        "kernel": (None, "lanes", "units")[rng.integers(3)],
    }
    if rng.random() < 0.6:
        settings["batch_size"] = int(rng.integers(1, n_samples + 4))
    if rng.random() < 0.3:
        settings["shuffle"] = False
    elif rng.random() < 0.2 and settings["kernel"] != "lanes":
        settings["shuffle"] = "by_net"
    if rng.random() < 0.3:
        settings["l2"] = 0.01
    if rng.random() < 0.3 and architecture.n_layers > 1:
        settings["dropout"] = 0.3
    if rng.random() < 0.2:
        settings["bootstrap"] = True
    if rng.random() < 0.4:
        settings["record_every"] = int(rng.integers(1, 6))
    if rng.random() < 0.4:
        settings["patience"], settings["tol"] = int(rng.integers(1, 4)), 1e-3
        if rng.random() < 0.4 and not isinstance(optimizer, fastmlp.Rprop):
            settings["schedule"] = "adaptive"
    if rng.random() < 0.4:
        settings["target_loss"] = float(rng.choice([0.05, 0.3, 0.6]))
    if rng.random() < 0.3 and kind != "numbers":
        settings["target_accuracy"] = 0.9
    if rng.random() < 0.3:
        settings["restore_best"] = False
    if rng.random() < 0.2:
        settings["l2"] = np.linspace(0, 0.1, n_nets)
    if rng.random() < 0.2:
        settings["keep_state"] = True
    return settings


def differences(together, alone):
    """The names of results in which nets trained together differ from those trained alone, with the nets' numbers."""
    found = []
    for i, runs in enumerate(alone):
        for name in (*together.per_net(), "parameters"):
            ours, theirs = getattr(together, name), getattr(runs, name)
            if name in ("net_ids", "restarts") or ours is None or theirs is None:
                if (ours is None) != (theirs is None):
                    found.append((name, i, "missing"))
                continue
            if np.asarray(ours[i]).tobytes() != np.asarray(theirs[0]).tobytes():
                found.append((name, i, ours[i], theirs[0]))
        if together.state is not None:
            mine, its = together.state[[i]], runs.state
            for name in ("rows", "powers", "rate", "watched"):
                if getattr(mine, name).tobytes() != getattr(its, name).tobytes():
                    found.append((f"state.{name}", i))
    return found
