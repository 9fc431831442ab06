"""The same training in pure NumPy, three ways: one net at a time, nets batched with matmul, the net index last.

Each takes the initial weights and trains them in place: plain gradient descent or Adam, as `fastmlp` states them.
"""

import numpy as np


def train_batched(workload, weights, biases, X, y, epochs):
    """All nets at once: weights (n, in, out) and biases (n, out), or one net's (in, out) and (out,)."""
    X, targets = _arrays(workload, weights[0].dtype, X, y)
    step = _OPTIMIZERS[workload.optimizer]([*weights, *biases], workload.learning_rate)
    size = workload.batch_size or len(X)
    for _ in range(epochs):
        for start in range(0, len(X), size):
            step(_gradients(workload, weights, biases, X[start : start + size], targets[start : start + size]))


def train_one_at_a_time(workload, weights, biases, X, y, epochs):
    """One net after another: the net that people write first, in a loop over seeds."""
    for net in range(len(weights[0])):
        train_batched(workload, [w[net] for w in weights], [b[net] for b in biases], X, y, epochs)


def loss_of(workload, weights, biases, X, y):
    """The mean loss of each net."""
    X, targets = _arrays(workload, weights[0].dtype, X, y)
    z = _forward(weights, biases, X)[-1]
    if workload.output == "sigmoid":
        return (np.logaddexp(0, z) - targets * z).mean(axis=(-2, -1))
    return (np.logaddexp.reduce(z, axis=-1) - (z * targets).sum(axis=-1)).mean(axis=-1)


def _arrays(workload, dtype, X, y):
    if workload.output == "sigmoid":
        return np.asarray(X, dtype), np.asarray(y, dtype)[:, None]
    return np.asarray(X, dtype), np.eye(workload.sizes[-1], dtype=dtype)[y]


def _forward(weights, biases, X):
    """Inputs of every layer, and last the logits."""
    inputs = [X]
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = inputs[-1] @ w + b[..., None, :]
        inputs.append(np.maximum(z, 0) if layer < len(weights) - 1 else z)
    return inputs


def _gradients(workload, weights, biases, X, targets):
    *inputs, z = _forward(weights, biases, X)
    if workload.output == "sigmoid":
        with np.errstate(over="ignore"):
            outputs = 1 / (1 + np.exp(-z))
    else:
        exponentials = np.exp(z - z.max(axis=-1, keepdims=True))
        outputs = exponentials / exponentials.sum(axis=-1, keepdims=True)
    delta = (outputs - targets) / len(X)
    of_weights, of_biases = [], []
    for layer in range(len(weights) - 1, -1, -1):
        of_weights.insert(0, inputs[layer].swapaxes(-1, -2) @ delta)
        of_biases.insert(0, delta.sum(axis=-2))
        if layer:
            delta = (delta @ weights[layer].swapaxes(-1, -2)) * (inputs[layer] > 0)
    return [*of_weights, *of_biases]


def _sgd(parameters, rate):
    def step(gradients):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= np.asarray(rate, parameter.dtype) * gradient

    return step


def _adam(parameters, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps = 0

    def step(gradients):
        nonlocal steps
        steps += 1
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m *= p.dtype.type(beta1)
            m += p.dtype.type(1 - beta1) * g
            v *= p.dtype.type(beta2)
            v += p.dtype.type(1 - beta2) * g * g
            scale = p.dtype.type(rate / (1 - beta1**steps))
            p -= scale * m / (np.sqrt(v) * p.dtype.type(1 / np.sqrt(1 - beta2**steps)) + p.dtype.type(epsilon))

    return step


_OPTIMIZERS = {"sgd": _sgd, "adam": _adam}


def train_net_last(workload, weights, biases, X, y, epochs):
    """The best NumPy layout for many 2-H-1 nets: arrays with the net index last, formulas written out, no temporaries.

    Every operation runs over contiguous memory of all nets; results of the samples are kept apart.
    """
    dtype, hidden, nets = weights[0].dtype, workload.sizes[1], len(weights[0])
    w0, w1 = (np.ascontiguousarray(weights[0][:, i].T) for i in range(2))  # (hidden, nets)
    v, b, c = np.ascontiguousarray(weights[1][:, :, 0].T), np.ascontiguousarray(biases[0].T), biases[1][:, 0].copy()
    rate, count = dtype.type(workload.learning_rate), len(X)
    samples, targets = [tuple(map(float, row)) for row in X], [float(t) for t in y]
    a = np.empty((count, hidden, nets), dtype)
    delta = np.empty((count, nets), dtype)
    total, term, down = np.empty((hidden, nets), dtype), np.empty((hidden, nets), dtype), np.empty_like(a)
    for _ in range(epochs):
        for s, (x0, x1) in enumerate(samples):
            z = a[s]
            np.add(b, 0, out=z)
            if x0:
                z += w0 if x0 == 1 else np.multiply(w0, dtype.type(x0), out=term)
            if x1:
                z += w1 if x1 == 1 else np.multiply(w1, dtype.type(x1), out=term)
            np.maximum(z, 0, out=z)
            o = delta[s]
            np.multiply(z, v, out=term)
            np.sum(term, axis=0, out=o)
            o += c
            np.negative(o, out=o)
            np.exp(o, out=o)
            o += 1
            np.reciprocal(o, out=o)
            o -= dtype.type(targets[s])
        delta *= dtype.type(1 / count)
        for s in range(count):
            np.multiply(v, delta[s], out=down[s])
            down[s] *= a[s] > 0
        np.multiply(a[0], delta[0], out=total)
        for s in range(1, count):
            total += np.multiply(a[s], delta[s], out=term)
        v -= np.multiply(total, rate, out=total)
        c -= rate * delta.sum(axis=0)
        for target, column in ((w0, 0), (w1, 1), (b, None)):
            total[...] = 0
            for s in range(count):
                x = 1.0 if column is None else samples[s][column]
                if x:
                    total += down[s] if x == 1 else np.multiply(down[s], dtype.type(x), out=term)
            target -= np.multiply(total, rate, out=total)
    weights[0][:, 0], weights[0][:, 1], weights[1][:, :, 0] = w0.T, w1.T, v.T
    biases[0][...], biases[1][:, 0] = b.T, c
