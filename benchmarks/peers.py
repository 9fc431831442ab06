"""The same training by other libraries, those that are installed: JAX, PyTorch, scikit-learn.

Each function takes a workload, initial weights and the data, and returns a function of a number of epochs that trains,
waits for the result and returns the final mean loss of each net. What compiles is compiled by its first call.
"""

import importlib.util
import warnings

import numpy as np


def installed():
    """Names of the peers that can be imported, with their functions."""
    modules = {
        "JAX jit(vmap)": ("jax", with_jax),
        "PyTorch stacked": ("torch", with_torch),
        "PyTorch nn.Linear": ("torch", with_torch_modules),
        "scikit-learn": ("sklearn", with_sklearn),
    }
    return {name: function for name, (module, function) in modules.items() if importlib.util.find_spec(module)}


def with_jax(workload, weights, biases, X, y):
    """One net's training loop under `vmap`, compiled for all epochs at once."""
    import jax
    from jax import numpy as jnp

    x, rate = jnp.asarray(X, jnp.float32), workload.learning_rate
    targets = jnp.asarray(y, jnp.float32 if workload.output == "sigmoid" else jnp.int32)
    size = workload.batch_size or len(X)

    def loss(parameters, x, t):
        for layer, (w, b) in enumerate(parameters):
            x = x @ w + b
            x = jax.nn.relu(x) if layer < len(parameters) - 1 else x
        if workload.output == "sigmoid":
            return jnp.mean(jnp.logaddexp(0.0, x[:, 0]) - t * x[:, 0])
        return jnp.mean(jax.nn.logsumexp(x, axis=1) - jnp.take_along_axis(x, t[:, None], axis=1)[:, 0])

    def sgd(state, gradients):
        parameters, rest = state
        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), rest

    def adam(state, gradients):
        parameters, (means, squares, steps) = state
        steps = steps + 1
        means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients)
        scale, correction = rate / (1 - 0.9**steps), 1 / jnp.sqrt(1 - 0.999**steps)
        parameters = jax.tree.map(
            lambda p, m, v: p - scale * m / (jnp.sqrt(v) * correction + 1e-8), parameters, means, squares
        )
        return parameters, (means, squares, steps)

    step = sgd if workload.optimizer == "sgd" else adam

    def epoch(_, state):
        if size == len(X):
            return step(state, jax.grad(loss)(state[0], x, targets))
        whole = len(X) // size * size
        batches = (x[:whole].reshape(-1, size, x.shape[1]), targets[:whole].reshape(-1, size))
        state, _ = jax.lax.scan(lambda s, b: (step(s, jax.grad(loss)(s[0], *b)), None), state, batches)
        return step(state, jax.grad(loss)(state[0], x[whole:], targets[whole:])) if whole < len(X) else state

    def one_net(parameters, epochs):
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state = jax.lax.fori_loop(0, epochs, epoch, (parameters, (zeros, zeros, jnp.float32(0))))
        return loss(state[0], x, targets)

    parameters = [(jnp.asarray(w), jnp.asarray(b)) for w, b in zip(weights, biases, strict=True)]
    if len(weights[0]) == 1:
        alone, first = jax.jit(one_net), jax.tree.map(lambda p: p[0], parameters)
        return lambda epochs: np.asarray(alone(first, epochs))[None]
    all_nets = jax.jit(jax.vmap(one_net, in_axes=(0, None)))
    return lambda epochs: np.asarray(all_nets(parameters, epochs))


def with_torch(workload, weights, biases, X, y):
    """All nets stacked into one model of batched products, with autograd and PyTorch's own optimizers."""
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)
    x = torch.as_tensor(np.asarray(X), dtype=torch.float32)
    sigmoid, size, nets = workload.output == "sigmoid", workload.batch_size or len(X), len(weights[0])
    targets = torch.as_tensor(np.asarray(y), dtype=torch.float32 if sigmoid else torch.int64)

    def logits(parameters, x):
        x = x.expand(nets, *x.shape)
        for layer, (w, b) in enumerate(parameters):
            x = torch.baddbmm(b[:, None], x, w)
            x = torch.relu(x) if layer < len(parameters) - 1 else x
        return x

    def losses(z, t):
        t = t.expand(nets, *t.shape)
        if sigmoid:
            return functional.binary_cross_entropy_with_logits(z[..., 0], t, reduction="none").mean(dim=1)
        return functional.cross_entropy(z.transpose(1, 2), t, reduction="none").mean(dim=1)

    def train(epochs):
        parameters = [
            (torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True))
            for w, b in zip(weights, biases, strict=True)
        ]
        flat = [p for pair in parameters for p in pair]
        rate = workload.learning_rate
        optimizer = (torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam)(flat, lr=rate, fused=True)
        for _ in range(epochs):
            for start in range(0, len(x), size):
                optimizer.zero_grad()
                losses(logits(parameters, x[start : start + size]), targets[start : start + size]).sum().backward()
                optimizer.step()
        with torch.no_grad():
            return losses(logits(parameters, x), targets).numpy()

    return train


def with_torch_modules(workload, weights, biases, X, y):
    """One net of `nn.Linear` layers."""
    import torch
    from torch import nn

    torch.set_flush_denormal(True)
    x = torch.as_tensor(np.asarray(X), dtype=torch.float32)
    sigmoid, size = workload.output == "sigmoid", workload.batch_size or len(X)
    targets = torch.as_tensor(np.asarray(y), dtype=torch.float32 if sigmoid else torch.int64)
    targets = targets[:, None] if sigmoid else targets
    loss = nn.BCEWithLogitsLoss() if sigmoid else nn.CrossEntropyLoss()
    layers = []
    for w, b in zip(weights, biases, strict=True):
        linear = nn.Linear(*w.shape[1:])
        layers += [linear, nn.ReLU()]
        linear.start = torch.tensor(w[0].T.copy()), torch.tensor(b[0])
    model = nn.Sequential(*layers[:-1])

    def train(epochs):
        with torch.no_grad():
            for linear in layers[::2]:
                for parameter, start in zip((linear.weight, linear.bias), linear.start, strict=True):
                    parameter.copy_(start)
        rule = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
        optimizer = rule(model.parameters(), lr=workload.learning_rate, fused=True)
        for _ in range(epochs):
            for start in range(0, len(x), size):
                optimizer.zero_grad()
                loss(model(x[start : start + size]), targets[start : start + size]).backward()
                optimizer.step()
        with torch.no_grad():
            return np.array([loss(model(x), targets).item()])

    return train


def with_sklearn(workload, weights, _biases, X, y):
    """MLPClassifier, one net after another, from its own initial weights."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def train(epochs):
        losses = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for net in range(len(weights[0])):
                model = MLPClassifier(
                    workload.sizes[1:-1],
                    solver=workload.optimizer,
                    alpha=0.0,
                    momentum=0.0,
                    tol=0.0,
                    shuffle=False,
                    batch_size=workload.batch_size or len(X),
                    max_iter=epochs,
                    n_iter_no_change=epochs + 1,
                    learning_rate_init=workload.learning_rate,
                    random_state=net,
                )
                losses.append(model.fit(np.asarray(X, np.float32), y).loss_)
        return np.array(losses)

    return train
