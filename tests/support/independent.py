"""A second implementation of `train` for one net, in NumPy and float64, written from the documentation alone.

Nothing of the library is imported here. Formulas are those of the docstrings of `train` and of the optimizers, random
numbers those of Philox4x32-10 as Salmon et al. (2011) describe it.
"""

from dataclasses import dataclass, field

import numpy as np

RAN_ALL_EPOCHS, REACHED_TARGET, STALLED, DIVERGED = 0, 1, 2, 3
SHUFFLING, DROPOUT, BOOTSTRAP, SHUFFLING_BY_NET = 1, 2, 3, 4
LEAST_RATE = 1e-6


# ------------------------------------------------------------------------------------------------ random numbers


def philox(c0, c1, c2, c3, seed):
    """Four random words of 32 bits, as Python integers."""
    k0, k1, low = seed & 0xFFFFFFFF, seed >> 32, 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & low, (p0 >> 32) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
    return c0, c1, c2, c3


def uniform(number, purpose, position, seed):
    """A number in [0, 1) for this position: two of them come from one call of the generator."""
    pair = position // 2
    words = philox(pair & 0xFFFFFFFF, purpose, number & 0xFFFFFFFF, number >> 32, seed)
    low, high = words[2 * (position % 2) : 2 * (position % 2) + 2]
    return ((high << 32 | low) >> 12) / 2**52


def derived_seed(number, purpose, seed):
    a, b, _, _ = philox(number & 0xFFFFFFFF, purpose, number >> 32, 0, seed)
    return a | b << 32


def order_of_samples(n, epoch, seed):
    """Durstenfeld's shuffle."""
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = min(i, int(uniform(epoch, SHUFFLING, i, seed) * (i + 1)))
        order[i], order[j] = order[j], order[i]
    return order


def drawn_counts(n, net, seed):
    counts = np.zeros(n)
    for i in range(n):
        counts[min(n - 1, int(uniform(net, BOOTSTRAP, i, seed) * n))] += 1
    return counts


def dropped(p, n, layer, units, net, epoch, seed):
    """Which units of a hidden layer, counted from 1, are left out for which sample: (n, units)."""
    key = derived_seed(epoch, DROPOUT, seed)
    out = np.zeros((n, units), bool)
    for sample in range(n):
        for unit in range(units):
            counter = sample, layer * 2**24 + unit // 4, net & 0xFFFFFFFF, net >> 32
            out[sample, unit] = philox(*counter, key)[unit % 4] < int(p * 2**32)
    return out


# ------------------------------------------------------------------------------------------------------ one net


def activate(name, z, slope):
    if name == "relu":
        return np.maximum(z, 0)
    if name == "leaky_relu":
        return np.where(z > 0, z, slope * z)
    if name == "tanh":
        return np.tanh(z)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-z))
    if name == "exp":
        return np.exp(z)
    if name == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)
    return z


def derivative(name, z, slope):
    if name == "relu":
        return (z > 0).astype(float)
    if name == "leaky_relu":
        return np.where(z > 0, 1.0, slope)
    if name == "tanh":
        return 1 - np.tanh(z) ** 2
    if name == "sigmoid":
        o = 1 / (1 + np.exp(-z))
        return o * (1 - o)
    return np.ones_like(z)


def sample_losses(loss, z, o, T):
    """Each sample's loss: the mean over the outputs, for cross-entropy the sum."""
    if loss == "bce":
        return (np.maximum(z, 0) - T * z + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)
    if loss == "cross_entropy":
        top = z.max(axis=1, keepdims=True)
        return (T * (top - z + np.log(np.exp(z - top).sum(axis=1, keepdims=True)))).sum(axis=1)
    if loss == "poisson":
        logs = np.log(np.where(T > 0, T, 1))
        return (o - np.where(T > 0, T * (z + 1 - logs), 0)).mean(axis=1)
    return ((o - T) ** 2).mean(axis=1)


def output_gradients(loss, output, z, o, T):
    """Of each sample's loss, by the weighted sums of the outputs."""
    if loss == "cross_entropy":
        return o - T
    if loss in ("bce", "poisson"):
        return (o - T) / o.shape[1]
    by_output = 2 * (o - T) / o.shape[1]
    if output == "softmax":
        return o * (by_output - (by_output * o).sum(axis=1, keepdims=True))
    return by_output * derivative(output, z, 0)


@dataclass
class Net:
    """Weights, biases, the optimizer's state, and what patience has seen."""

    weights: list
    biases: list
    rate: float = 0.0
    steps: int = 0
    memory: dict = field(default_factory=dict)
    best_loss: float = np.inf
    waited: int = 0
    epoch: int = 0

    def copy(self):
        return Net(
            [w.copy() for w in self.weights],
            [b.copy() for b in self.biases],
            self.rate,
            self.steps,
            {k: v.copy() for k, v in self.memory.items()},
            self.best_loss,
            self.waited,
            self.epoch,
        )


class Task:
    """What a net is trained on, and how it computes."""

    def __init__(self, hidden, output, bias, slope, loss, X, T, weight):
        self.hidden, self.output, self.bias, self.slope, self.loss = hidden, output, bias, slope, loss
        self.X, self.T, self.weight = X, T, np.ones(len(X)) if weight is None else weight
        self.classes = bool(np.isin(T, (0, 1)).all())

    def forward(self, net, X, masks=None):
        sums, outputs = [], [X]
        for layer, w in enumerate(net.weights):
            z = outputs[-1] @ w + (net.biases[layer] if self.bias else 0)
            last = layer == len(net.weights) - 1
            a = activate(self.output if last else self.hidden[layer], z, self.slope)
            if masks is not None and not last:
                a = a * masks[layer]
            sums.append(z)
            outputs.append(a)
        return sums, outputs

    def measure(self, net, X=None, T=None, weight=None):
        """The loss, the accuracy by weight, and the squared errors of each output."""
        X, T, weight = (self.X, self.T, self.weight) if X is None else (X, T, weight)
        sums, outputs = self.forward(net, X)
        losses = sample_losses(self.loss, sums[-1], outputs[-1], T)
        right = self.right(sums[-1], outputs[-1], T)
        errors = weight @ (outputs[-1] - T) ** 2
        return weight @ losses / weight.sum(), weight @ right / weight.sum(), errors

    def right(self, z, o, T):
        if self.output == "softmax":
            return T[np.arange(len(T)), z.argmax(axis=1)] == 1
        return ((o - 0.5) * (T - 0.5) > 0).all(axis=1)

    def gradients(self, net, chosen, masks):
        """Gradients of the mean loss over the chosen samples by weights and biases, the loss, and which samples are right."""
        X, T, weight = self.X[chosen], self.T[chosen], self.weight[chosen]
        masks = None if masks is None else [mask[chosen] for mask in masks]
        sums, outputs = self.forward(net, X, masks)
        total = weight.sum()
        losses = sample_losses(self.loss, sums[-1], outputs[-1], T)
        loss = weight @ losses / total if total > 0 else 0.0
        right = weight @ self.right(sums[-1], outputs[-1], T)
        share = weight / total if total > 0 else 0 * weight
        delta = output_gradients(self.loss, self.output, sums[-1], outputs[-1], T) * share[:, None]
        finite = bool(np.isfinite(delta).all())
        by_weights, by_biases = [], []
        for layer in range(len(net.weights) - 1, -1, -1):
            by_weights.insert(0, outputs[layer].T @ delta)
            by_biases.insert(0, delta.sum(axis=0))
            if layer:
                delta = delta @ net.weights[layer].T
                delta = delta if masks is None else delta * masks[layer - 1]
                delta = delta * derivative(self.hidden[layer - 1], sums[layer - 1], self.slope)
        return by_weights, by_biases, loss, right, total, finite


def step(net, by_weights, by_biases, optimizer, o, l2, rate):
    """One update by the optimizer of this name, with the settings `o`."""
    net.steps += 1
    parameters = net.weights + net.biases
    gradients = [g + l2 * w for g, w in zip(by_weights, net.weights, strict=True)] + by_biases
    for k, (w, g) in enumerate(zip(parameters, gradients, strict=False)):

        def kept(name, initial=0.0, k=k, w=w):
            return net.memory.setdefault(f"{name}{k}", np.full_like(w, initial))

        if optimizer == "sgd":
            direction = g
            if o["momentum"]:
                velocity = kept("v")
                velocity[...] = o["momentum"] * velocity + g
                direction = g + o["momentum"] * velocity if o["nesterov"] else velocity
            w -= rate * direction
        elif optimizer == "adam":
            m, v = kept("m"), kept("v")
            m[...] = o["beta1"] * m + (1 - o["beta1"]) * g
            v[...] = o["beta2"] * v + (1 - o["beta2"]) * g**2
            w *= 1 - rate * o["weight_decay"]
            root = np.sqrt(v) / np.sqrt(1 - o["beta2"] ** net.steps) + o["epsilon"]
            w -= rate / (1 - o["beta1"] ** net.steps) * m / root
        elif optimizer == "rmsprop":
            v = kept("v")
            v[...] = o["alpha"] * v + (1 - o["alpha"]) * g**2
            direction = g / (np.sqrt(v) + o["epsilon"])
            if o["momentum"]:
                b = kept("b")
                b[...] = o["momentum"] * b + direction
                direction = b
            w -= rate * direction
        else:
            size, before = kept("size", net.rate), kept("g")
            agreement = np.sign(g) * np.sign(before)
            size[...] = np.where(agreement > 0, size * 1.2, np.where(agreement < 0, size * 0.5, size))
            size[...] = np.clip(size, 1e-6, 50.0)
            before[...] = np.where(agreement < 0, 0, g)
            w -= np.sign(before) * size


# ---------------------------------------------------------------------------------------------------- training


@dataclass
class Result:
    """What became of the net."""

    net: Net
    loss: float
    accuracy: float
    epochs: int
    status: int
    history: np.ndarray
    validation_history: np.ndarray
    validation_losses: np.ndarray
    validation_score: float
    best_epoch: int
    state: Net  # what training goes on from


def train(
    task,
    net,
    *,
    epochs,
    optimizer,
    settings,
    batch_size=None,
    shuffle=True,
    seed=0,
    net_id=0,
    l2=0.0,
    dropout=0.0,
    target_loss=None,
    target_accuracy=None,
    patience=None,
    tol=1e-4,
    schedule=None,
    validation=None,
    score="loss",
    restore_best=True,
    record_every=None,
):
    """Train the net for `epochs` more epochs."""
    net, n = net.copy(), len(task.X)
    batch = n if batch_size is None else min(n, batch_size)
    first, last = net.epoch, net.epoch + epochs
    full_batch = batch == n and not dropout
    every = record_every or 0
    curves = [np.full(epochs // every + 1 if every else 0, np.nan) for _ in range(3)]
    watched = patience if validation is None else None  # patience on the training loss
    rules = not (target_loss is None and target_accuracy is None and watched is None)
    adaptive = isinstance(schedule, str)
    status, ended, loss, accuracy = None, None, np.nan, np.nan
    best_score, best_epoch, best, waited = -np.inf, 0, None, 0

    def reached(loss, accuracy):
        by_loss = target_loss is not None and loss <= target_loss
        return by_loss or (target_accuracy is not None and accuracy >= target_accuracy)

    def out_of_patience(loss):
        improved = loss <= net.best_loss - tol and loss < net.best_loss
        net.waited = 0 if improved else net.waited + 1
        net.best_loss = min(loss, net.best_loss)
        if watched is None or net.waited < watched:
            return False
        if adaptive and net.rate > LEAST_RATE:
            net.rate, net.waited = net.rate / 5, 0
            return False
        return True

    def end(how, epoch, measured=(np.nan, np.nan)):
        nonlocal status, ended, loss, accuracy
        status, ended = how, epoch
        loss, accuracy = measured[:2]

    def validate(epoch):
        nonlocal best_score, best_epoch, best, waited
        X, T, weight = validation
        value, right, errors = task.measure(net, X, T, weight)
        found = {"loss": -value, "accuracy": right}.get(score)
        if score == "r2":
            spread = weight @ (T - weight @ T / weight.sum()) ** 2
            found = np.mean(1 - errors / spread)
        if every and (epoch - first) % every == 0:
            place = (epoch - first) // every - 1
            curves[1][place], curves[2][place] = found, value
        waited = 0 if found > best_score and found >= best_score + tol else waited + 1
        if found > best_score:
            best_score, best_epoch, best = found, epoch, net.copy()
        if patience is not None and waited >= patience and status is None:
            if adaptive and net.rate > LEAST_RATE:
                net.rate, waited = net.rate / 5, 0
            else:
                end(STALLED, epoch)

    epoch = first
    while status is None:
        rate = net.rate  # what the rules lower counts from the next epoch on
        if schedule is not None and not adaptive and epoch < last:
            rate *= schedule[epoch - first]
        if every and (epoch - first) % every == 0 and (full_batch or epoch < last):
            curves[0][(epoch - first) // every] = task.measure(net)[0]
        if full_batch or epoch == last:
            value = task.measure(net)
            if (rules or epoch == last) and not value[0] < np.inf:
                end(DIVERGED, epoch)
            elif full_batch and rules and reached(*value[:2]):
                end(REACHED_TARGET, epoch, value)
            elif full_batch and rules and epoch < last and out_of_patience(value[0]):
                end(STALLED, epoch, value)
            elif epoch == last:
                if every and (epoch - first) % every == 0:
                    curves[0][(epoch - first) // every] = value[0]
                end(RAN_ALL_EPOCHS, epoch, value)
            if status is not None:
                break
        order = np.arange(n) if batch == n or not shuffle else np.array(order_of_samples(n, epoch, seed))
        masks = None
        if dropout:
            sizes = [w.shape[1] for w in net.weights[:-1]]
            masks = [
                np.where(dropped(dropout, n, k + 1, size, net_id, epoch, seed), 0.0, 1 / (1 - dropout))
                for k, size in enumerate(sizes)
            ]
        mean, right, seen, suspect = 0.0, 0.0, 0.0, False
        for start in range(0, n, batch):
            chosen = order[start : start + batch]
            by_weights, by_biases, loss_before, right_before, weight, finite = task.gradients(net, chosen, masks)
            mean += len(chosen) / n * loss_before
            right, seen = right + right_before, seen + weight
            if rules and not full_batch and start + batch >= n:
                if not mean < np.inf:
                    end(DIVERGED, epoch)
                    break
                suspect = reached(mean, right / seen)
                suspect = out_of_patience(mean) or suspect
            if not finite:
                end(DIVERGED, epoch)
                break
            step(net, by_weights, by_biases if task.bias else [], optimizer, settings, l2, rate)
        if status is not None:
            break
        epoch += 1
        if suspect:
            value = task.measure(net)
            if reached(*value[:2]):
                end(REACHED_TARGET, epoch, value)
            elif watched is not None and net.waited >= watched:
                end(STALLED, epoch, value)
            if status is not None and every and (epoch - first) % every == 0:
                curves[0][(epoch - first) // every] = value[0]
        if validation is not None and status is None:
            if epoch == last:  # there the net has had its last epoch, and nothing stops it any more
                patience = None
            validate(epoch)
    net.epoch = last if status == RAN_ALL_EPOCHS else ended
    state = net.copy()
    if validation is not None and best is not None and restore_best and status != REACHED_TARGET:
        net = best
        loss, accuracy = task.measure(net)[:2]
    elif validation is not None and status == STALLED:
        loss, accuracy = task.measure(net)[:2]
    return Result(
        net,
        loss,
        accuracy if task.classes or task.output == "softmax" else np.nan,
        ended,
        status,
        *curves,
        best_score,
        best_epoch,
        state,
    )
