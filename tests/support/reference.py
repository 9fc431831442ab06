"""The scalar reference: one net, plain loops, one accumulator a sum, every fused multiply-add written out.

It knows nothing of vectors, tiles or lanes. exp and its relatives are those of `fastmlp._simd.elementary`, which test_math.py
checks by themselves. Numbers keep the dtype of the arrays: a literal would make them float64, hence `zero` and `one`.
"""

import numpy as np
from numba import njit

from fastmlp._engine.slices import orders_of
from fastmlp._kernels.formulas import activation_choice, activations, losses, optimizers
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.formulas.losses import Loss
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._simd import arithmetic as simd
from fastmlp._simd import elementary
from fastmlp._simd import memory as access
from fastmlp._simd import sqrt as _roots
from fastmlp._simd.arithmetic import broadcast
from fastmlp._simd.types import Buffer, VectorSpec, aligned_zeros

IDENTITY, RELU, LEAKY_RELU, TANH, SIGMOID, SOFTMAX, EXP = (
    int(getattr(Activation, n)) for n in ["IDENTITY", "RELU", "LEAKY_RELU", "TANH", "SIGMOID", "SOFTMAX", "EXP"]
)
NEEDS_SUM = tuple(int(record.code) for record in activations.RECORDS if record.needs_sum)
BCE, CROSS_ENTROPY, MSE, POISSON = map(int, (Loss.BCE, Loss.CROSS_ENTROPY, Loss.MSE, Loss.POISSON))
SGD, ADAM, RMSPROP = int(Method.SGD), int(Method.ADAM), int(Method.RMSPROP)


def scalar(function):
    """A function of vectors as one of numbers: a vector of one lane, through the memory `cell`."""

    @njit
    def of_numbers(lane, cell, x):
        cell[0] = x
        access.store(cell, 0, function(access.load(lane, cell, 0)))
        return cell[0]

    return of_numbers


exp, exp_of_negative, sigmoid, tanh, log, log1p_of_fraction, sqrt, without_negligible = map(
    scalar,
    (
        elementary.exp,
        elementary.exp_of_negative,
        elementary.sigmoid,
        elementary.tanh,
        elementary.log,
        elementary.log1p_of_fraction,
        _roots.sqrt,
        losses.without_negligible,
    ),
)


@njit
def fma(lane, cell, a, b, c):
    cell[0], cell[1], cell[2] = a, b, c
    access.store(cell, 0, simd.fma(access.load(lane, cell, 0), access.load(lane, cell, 1), access.load(lane, cell, 2)))
    return cell[0]


@njit
def activate(lane, cell, code, z, slope, zero):
    if code == RELU:
        return zero if z < zero else z
    if code == LEAKY_RELU:
        return z * slope if z < zero else z
    if code == TANH:
        return tanh(lane, cell, z)
    if code == SIGMOID:
        return sigmoid(lane, cell, z)
    if code == EXP:
        return exp(lane, cell, z)
    if code == IDENTITY:
        return z
    # of the others the formula is checked by itself (test_activations.py), here what the kernels do with it
    cell[0] = z
    formula = activation_choice.activate(
        activation_choice.ALL_ACTIVATIONS, code, access.load(lane, cell, 0), broadcast(lane, slope)
    )
    access.store(cell, 0, formula)
    return cell[0]


@njit
def derive(lane, cell, code, a, z, g, slope, zero, one):
    """The gradient by z from the activation's output a, or z, and the gradient g by a."""
    if code == RELU:
        return g if a > zero else zero
    if code == LEAKY_RELU:
        return g if a > zero else g * slope
    if code == TANH:
        return g * fma(lane, cell, -a, a, one)
    if code == SIGMOID:
        return g * (a * (one - a))
    if code in (IDENTITY, EXP):
        return g
    cell[0], cell[1] = z if code in NEEDS_SUM else a, g
    x, gradient = access.load(lane, cell, 0), access.load(lane, cell, 1)
    known = activation_choice.ALL_ACTIVATIONS
    access.store(cell, 0, activation_choice.activation_backward(known, code, x, gradient, broadcast(lane, slope)))
    return cell[0]


@njit
def forward(lane, cell, sizes, codes, bias, slope, w, x, masks, units, sums, zero):
    """Outputs of every unit, times its mask; of the last layer the weighted sums. units[l] belongs to layer l."""
    first = 0
    for i in range(sizes[0]):
        units[0, i] = x[i]
    for layer in range(len(sizes) - 1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        for j in range(n_out):
            z = w[first + n_in * n_out + j] if bias else zero
            for i in range(n_in):
                z = fma(lane, cell, w[first + i * n_out + j], units[layer, i], z)
            last = layer == len(sizes) - 2
            sums[layer + 1, j] = z
            units[layer + 1, j] = z if last else activate(lane, cell, codes[layer], z, slope, zero) * masks[layer, j]
        first += n_in * n_out + (n_out if bias else 0)


@njit
def outputs(lane, cell, code, z, o, zero, one):
    """Output activation of the sums z into o; returns the greatest sum and log Σ exp(z − greatest)."""
    greatest, total = z[0], zero
    if code != SOFTMAX:
        for k in range(len(z)):
            o[k] = activate(lane, cell, code, z[k], zero, zero)
        return greatest, zero
    for k in range(1, len(z)):
        greatest = max(greatest, z[k])
    for k in range(len(z)):
        o[k] = exp_of_negative(lane, cell, z[k] - greatest)
        total = total + o[k]
    share = one / total
    for k in range(len(z)):
        o[k] = o[k] * share
    return greatest, log(lane, cell, total)


@njit
def sample_loss(lane, cell, loss, z, o, t, greatest, log_sum, zero, one):
    total = zero
    for k in range(len(z)):
        if loss == BCE:
            positive = zero if z[k] < zero else z[k]
            total = total + (
                fma(lane, cell, -t[k], z[k], positive)
                + log1p_of_fraction(lane, cell, exp_of_negative(lane, cell, -abs(z[k])))
            )
        elif loss == CROSS_ENTROPY:
            total = total + (t[k] * ((greatest - z[k]) + log_sum) if t[k] > zero else zero)
        elif loss == POISSON:
            total = total + (o[k] - (t[k] * ((z[k] + one) - log(lane, cell, t[k])) if t[k] > zero else zero))
        else:
            total = total + (o[k] - t[k]) * (o[k] - t[k])
    return total


@njit
def is_right(code, z, o, t, half):
    if code == SOFTMAX:
        return t[np.argmax(z)] > half
    for k in range(len(z)):
        if not (o[k] - half) * (t[k] - half) > half - half:
            return False
    return True


@njit
def backward(
    lane, cell, sizes, codes, loss, bias, slope, w, units, sums, o, t, scale, deltas, g, masks, kept, zero, one
):
    """Add one sample's gradients to g."""
    n_layers, code = len(sizes) - 1, codes[-1]
    dot = zero
    if loss == MSE and code == SOFTMAX:
        for k in range(len(o)):
            dot = fma(lane, cell, fma(lane, cell, o[k], scale, -(t[k] * scale)), o[k], dot)
    for k in range(len(o)):
        delta = fma(lane, cell, o[k], scale, -(t[k] * scale))
        if loss == MSE:
            delta = (
                o[k] * (delta - dot)
                if code == SOFTMAX
                else derive(lane, cell, code, o[k], zero, delta, zero, zero, one)
            )
        deltas[n_layers, k] = without_negligible(lane, cell, delta)
    first = len(w)
    for layer in range(n_layers - 1, -1, -1):
        n_in, n_out = sizes[layer], sizes[layer + 1]
        first -= n_in * n_out + (n_out if bias else 0)
        for i in range(n_in if layer else 0):
            down = zero
            for j in range(n_out):
                down = fma(lane, cell, w[first + i * n_out + j], deltas[layer + 1, j], down)
            down, output = down * masks[layer - 1, i], units[layer, i] * kept  # the output before its mask
            deltas[layer, i] = derive(lane, cell, codes[layer - 1], output, sums[layer, i], down, slope, zero, one)
        for j in range(n_out):
            for i in range(n_in):
                p = first + i * n_out + j
                g[p] = fma(lane, cell, deltas[layer + 1, j], units[layer, i], g[p])
            if bias:
                g[first + n_in * n_out + j] = g[first + n_in * n_out + j] + deltas[layer + 1, j]


@njit
def add_compensated(total, rest, term):
    """Kahan's sum: the total with one term more, and what this rounding leaves out."""
    term = term + rest
    new = total + term
    return new, term - (new - total)


@njit
def step(lane, cell, method, nesterov, h, w, g, state1, state2, corrections, zero, one, tiny):
    """One optimizer step on every parameter."""
    rate = h[optimizers.LEARNING_RATE]
    momentum = h[optimizers.SGD_MOMENTUM] if method == SGD else h[optimizers.RMSPROP_MOMENTUM]
    for p in range(len(w)):
        if method == SGD:
            direction = g[p]
            if momentum != zero:
                velocity = fma(lane, cell, momentum, state1[p], g[p])
                direction = fma(lane, cell, momentum, velocity, g[p]) if nesterov else velocity
                state1[p] = zero if abs(velocity) < tiny else velocity
            w[p] = fma(lane, cell, -rate, direction, w[p])
        elif method == ADAM:
            m = fma(lane, cell, h[optimizers.ADAM_ONE_MINUS_BETA1], g[p] - state1[p], state1[p])
            change = fma(lane, cell, g[p], g[p], -state2[p])
            v = fma(lane, cell, h[optimizers.ADAM_ONE_MINUS_BETA2], change, state2[p])
            state1[p], state2[p] = zero if abs(m) < tiny else m, zero if abs(v) < tiny else v
            root = fma(lane, cell, sqrt(lane, cell, state2[p]), corrections[1], h[optimizers.ADAM_EPSILON])
            w[p] = fma(lane, cell, -(rate * corrections[0]), state1[p] / root, w[p] * h[optimizers.ADAM_DECAY_FACTOR])
        elif method == RMSPROP:
            change = fma(lane, cell, g[p], g[p], -state1[p])
            v = fma(lane, cell, h[optimizers.RMSPROP_ONE_MINUS_ALPHA], change, state1[p])
            state1[p] = zero if abs(v) < tiny else v
            direction = g[p] / (sqrt(lane, cell, state1[p]) + h[optimizers.RMSPROP_EPSILON])
            if momentum != zero:
                direction = fma(lane, cell, momentum, state2[p], direction)
                state2[p] = zero if abs(direction) < tiny else direction
            w[p] = fma(lane, cell, -rate, direction, w[p])
        else:
            agreement = np.sign(g[p]) * np.sign(state1[p])
            if agreement > zero:
                state2[p] = state2[p] * h[optimizers.RPROP_ETA_PLUS]
            elif agreement < zero:
                state2[p] = state2[p] * h[optimizers.RPROP_ETA_MINUS]
            state2[p] = min(max(state2[p], h[optimizers.RPROP_MIN_STEP]), h[optimizers.RPROP_MAX_STEP])
            state1[p] = zero if agreement < zero else g[p]
            w[p] = fma(lane, cell, -np.sign(state1[p]), state2[p], w[p])


@njit
def train_reference(
    lane,
    cell,
    sizes,
    codes,
    loss,
    bias,
    w,
    X,
    T,
    sample_weight,
    orders,
    masks,
    batch,
    epochs,
    method,
    nesterov,
    h,
    betas,
    loss_scale,
    delta_scale,
    constants,
):
    """Train the net w (P,) in place; returns its final loss and its accuracy, by the samples' weights.

    orders[e] are the samples of epoch e, masks[e, s, l] those of the units of hidden layer l.
    """
    zero, one, half, tiny = constants[0], constants[1], constants[2], constants[3]
    n, n_layers, widest = len(X), len(sizes) - 1, max(sizes)
    units, deltas = np.zeros((n_layers + 1, widest), w.dtype), np.zeros((n_layers + 1, widest), w.dtype)
    sums = np.zeros((n_layers + 1, widest), w.dtype)
    o, g = np.zeros(sizes[-1], w.dtype), np.zeros_like(w)
    state1, state2, corrections = np.zeros_like(w), np.zeros_like(w), np.zeros(2, w.dtype)
    if method not in (SGD, ADAM, RMSPROP):
        state2[:] = h[optimizers.LEARNING_RATE]
    powers, whole = np.ones(2), np.ones_like(masks[0, 0])
    slope, l2 = h[optimizers.LEAKY_SLOPE], h[optimizers.L2]
    for epoch in range(epochs):
        for start in range(0, n, batch):
            chosen = orders[epoch, start : start + batch]
            total, rest = zero, zero
            for s in chosen:
                total, rest = add_compensated(total, rest, sample_weight[s])
            inverse = delta_scale / total if total > zero else zero
            g[:] = zero
            for s in chosen:
                forward(lane, cell, sizes, codes, bias, slope, w, X[s], masks[epoch, s], units, sums, zero)
                outputs(lane, cell, codes[-1], units[n_layers, : sizes[-1]], o, zero, one)
                scale = sample_weight[s] * inverse
                backward(
                    lane,
                    cell,
                    sizes,
                    codes,
                    loss,
                    bias,
                    slope,
                    w,
                    units,
                    sums,
                    o,
                    T[s],
                    scale,
                    deltas,
                    g,
                    masks[epoch, s],
                    h[optimizers.KEPT],
                    zero,
                    one,
                )
            if l2 != zero:
                first = 0
                for layer in range(n_layers):
                    count = sizes[layer] * sizes[layer + 1]
                    for p in range(first, first + count):
                        g[p] = fma(lane, cell, l2, w[p], g[p])
                    first += count + (sizes[layer + 1] if bias else 0)
            powers *= betas
            if method == ADAM:
                corrections[0], corrections[1] = 1.0 / (1.0 - powers[0]), 1.0 / np.sqrt(1.0 - powers[1])
            step(lane, cell, method, nesterov, h, w, g, state1, state2, corrections, zero, one, tiny)
    total_loss, total_weight, right = zero, zero, 0.0
    rest_of_loss, rest_of_weight = zero, zero
    for s in range(n):
        forward(lane, cell, sizes, codes, bias, slope, w, X[s], whole, units, sums, zero)
        z = units[n_layers, : sizes[-1]]
        greatest, log_sum = outputs(lane, cell, codes[-1], z, o, zero, one)
        losses = sample_loss(lane, cell, loss, z, o, T[s], greatest, log_sum, zero, one)
        total_loss, rest_of_loss = add_compensated(total_loss, rest_of_loss, sample_weight[s] * losses)
        total_weight, rest_of_weight = add_compensated(total_weight, rest_of_weight, sample_weight[s])
        right += sample_weight[s] * is_right(codes[-1], z, o, T[s], half)
    return total_loss / total_weight * loss_scale, right / total_weight


def philox(counter, key):
    """Philox4x32-10 on NumPy's integers, written out: counter (…, 4) and key (2,) of 32-bit words in uint64."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = map(int, key)
    low, multipliers = np.uint64(2**32 - 1), (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
    for _ in range(10):
        p0, p1 = c0 * multipliers[0], c2 * multipliers[1]
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def dropout_masks(job, net):
    """What each hidden unit's output is multiplied with, (epochs, S, hidden layers or 1, widest)."""
    sizes, n, dtype = job.architecture.sizes, job.data.n_samples, job.parameters.dtype
    masks = np.ones((max(1, job.epochs), n, max(1, len(sizes) - 2), max(sizes)), dtype)
    p = float(np.broadcast_to(job.settings.dropout, job.n_nets)[net])
    if p == 0:
        return masks
    seed, number = int(job.seed), int(job.begin.net_ids[net])
    for epoch in range(job.epochs):
        a, b, _, _ = philox((epoch % 2**32, 2, epoch >> 32, 0), (seed % 2**32, seed >> 32))
        for layer in range(1, len(sizes) - 1):
            for unit in range(sizes[layer]):
                counter = (np.arange(n), layer * 2**24 + unit // 4, number % 2**32, number >> 32)
                words = philox(counter, (int(a), int(b)))[unit % 4]
                left_out = words < np.uint64(int(p * 2**32))
                masks[epoch, :, layer - 1, unit] = np.where(left_out, dtype.type(0), dtype.type(1 / (1 - p)))
    return masks


def run_reference(job, net):
    """Train net number `net` of a planned job by the reference; returns its parameters, loss and accuracy."""
    dtype = job.parameters.dtype
    architecture, flags, data = job.architecture, job.flags, job.data
    w = job.begin.parameters[net].copy()
    cell = aligned_zeros(16, dtype)
    X = data.inputs.array[: data.n_samples * data.n_columns].reshape(data.n_samples, -1)
    T = data.targets.array.reshape(data.n_samples, -1)
    weights = np.ones(len(X), dtype)
    if job.sample_weights is not None:
        weights = job.sample_weights[net]
    elif data.weighting:
        weights = data.weights.array
    h = np.zeros(optimizers.N_HYPERPARAMETERS, dtype)
    for row, values in job.hyper.items():
        h[row] = values[net] if np.ndim(values) else values
    betas = np.array([beta[net] if np.ndim(beta) else beta for beta in job.settings.optimizer.betas], np.float64)
    orders = np.tile(np.arange(len(X)), (max(1, job.epochs), 1))
    if flags.shuffle:
        orders = orders_of(job, 0, job.epochs).array.reshape(job.epochs, len(X)).astype(np.int64)
    masks = dropout_masks(job, net)
    tiny = np.finfo(dtype).tiny
    loss, right = train_reference(
        VectorSpec(dtype, 1),
        Buffer(cell),
        np.array(architecture.sizes),
        np.array(architecture.activations, np.int64),
        job.net.loss,
        architecture.bias,
        w,
        X,
        T,
        weights,
        orders,
        masks,
        flags.batch_size,
        job.epochs,
        flags.method,
        flags.nesterov,
        h,
        betas,
        dtype.type(flags.loss_scale),
        dtype.type(flags.delta_scale),
        np.array([0, 1, 0.5, tiny], dtype),
    )
    w[np.isnan(w)] = np.nan
    return w, dtype.type(loss), right
