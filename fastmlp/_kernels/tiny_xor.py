"""A faster path for jobs like XOR: two inputs, one hidden layer of ReLU units, one sigmoid output, cross-entropy, and
plain full-batch gradient descent on at most one block of samples.

The samples stay in registers, and each epoch has only two loops over the hidden units, forward and backward: nearly
twice as fast as the general kernel on 2-4-1. All operations on a net's numbers are those of the general kernel, in the
same order, so the bits are the same; unusual epochs are left to that kernel. Symbols are those of `epoch_loop`.
"""

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activations import Activation, relu, relu_backward
from fastmlp._kernels.formulas.losses import Loss, without_negligible
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.output_layer import NEAR_OVERFLOW
from fastmlp._kernels.stopping import MARGIN
from fastmlp._simd.arithmetic import absolute, any_lane, broadcast, fma, fold_add, fold_fma, repeat, select
from fastmlp._simd.elementary import sigmoid
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, spread_samples, store
from fastmlp._simd.types import ALL

# A number near overflow times this overflows, even after adding the largest number of the other sign
OVERFLOW_FACTOR = 16 * NEAR_OVERFLOW


def is_small(net: structs.Net, flags: structs.TrainFlags) -> bool:
    """Whether this path can train a tiny job: decided before kernels are compiled, so that others do without it."""
    return bool(
        net.n_layers == 2
        and net.sizes[0] == 2
        and net.sizes[2] == 1
        and net.activations[0] == Activation.RELU
        and net.loss == Loss.BCE
        and net.bias
        and flags.method == Method.SGD
        and not flags.has_l2
        and not flags.has_momentum
        and flags.record_every == 0
        and (flags.bound_will_do or not flags.rules)
    )


@inline
def train_small(
    Blk, F, net, data, flags, tiles, tile, base, learning_rate, scale, active, empty, epochs, scratch, halt
):
    """Run at most `epochs` epochs; returns the number run.

    It stops before an epoch at which a net of the mask `active` may have reached its target or diverged. Steps may
    change `empty` lanes too. `scale` is the factor of each sample's gradient.
    """
    rows, units, count, n_hidden = tiles.rows, scratch.deltas, data.n_samples, net.sizes[1]
    targets_row, scale_row, sides_row = n_hidden, n_hidden + 1, n_hidden + 2
    first_weight, second_weight = base + net.weight_rows[0], base + net.weight_rows[1]
    second_bias = second_weight + n_hidden
    limit = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.TARGET_LOSS) * MARGIN + flags.loss_slack
    zero, everyone = broadcast(F, 0.0), not any_lane(~(active | empty))
    x0 = spread_samples(Blk, F, data.inputs, scratch.samples, 0, data.n_columns, 0)
    x1 = spread_samples(Blk, F, data.inputs, scratch.samples, 0, data.n_columns, 1)
    # values that the loop over hidden units does not need stay in memory
    targets = spread_samples(Blk, F, data.targets, scratch.samples, 0, 1, 0)
    store(units, targets_row, targets * scale)
    store(units, scale_row, scale)
    store(units, sides_row, select(targets < 0.5, broadcast(Blk, 1.0), -1.0))
    for epoch in range(epochs):
        z = repeat(Blk, load(F, rows, second_bias))
        for j in range(n_hidden):
            a = repeat(Blk, load(F, rows, first_weight + 3 * j + 2))
            a = fma(repeat(Blk, load(F, rows, first_weight + 3 * j)), x0, a)
            a = fma(repeat(Blk, load(F, rows, first_weight + 3 * j + 1)), x1, a)
            a = relu(a)
            store(units, j, a)
            z = fma(repeat(Blk, load(F, rows, second_weight + j)), a, z)
        greatest = zero
        if flags.rules:  # infinite or NaN if any weighted sum is near overflow
            greatest = fold_fma(zero, z, broadcast(Blk, OVERFLOW_FACTOR), count)
        o = sigmoid(z)
        delta = fma(o, load(Blk, units, scale_row), -load(Blk, units, targets_row))  # output_delta
        delta = without_negligible(delta)
        # each gradient is at most 1, so their sum is finite if and only if all of them are
        total = fold_add(zero, delta, count)
        attention = active & ~(absolute(total) < np.inf)
        if flags.rules:
            # Σ |o − t| bounds the loss from below (`_outputs.least_losses_of`), and any sum of o − t and t − o that
            least = fold_fma(zero, delta, load(Blk, units, sides_row), count)
            attention = active & ~(fma(greatest, zero, least) > limit)
        if any_lane(attention) or halt[0]:
            return epoch
        if everyone:
            _descend(Blk, F, net, rows, base, units, x0, x1, delta, total, count, ALL, learning_rate)
        else:
            _descend(Blk, F, net, rows, base, units, x0, x1, delta, total, count, active, learning_rate)
    return epochs


@inline
def _descend(Blk, F, net, rows, base, units, x0, x1, delta, total, count, active, learning_rate):
    """Compute all gradients and make the step."""
    zero, n_hidden = broadcast(F, 0.0), net.sizes[1]
    first_weight, second_weight = base + net.weight_rows[0], base + net.weight_rows[1]
    for j in range(n_hidden):
        a, w = load(Blk, units, j), load(F, rows, second_weight + j)
        hidden_delta = relu_backward(a, fma(repeat(Blk, w), delta, 0.0))
        _step(F, rows, second_weight + j, fold_fma(zero, delta, a, count), active, learning_rate)
        _step(F, rows, first_weight + 3 * j, fold_fma(zero, hidden_delta, x0, count), active, learning_rate)
        _step(F, rows, first_weight + 3 * j + 1, fold_fma(zero, hidden_delta, x1, count), active, learning_rate)
        _step(F, rows, first_weight + 3 * j + 2, fold_add(zero, hidden_delta, count), active, learning_rate)
    _step(F, rows, second_weight + n_hidden, total, active, learning_rate)


@inline
def _step(F, rows, row, gradient, active, learning_rate):
    w = load(F, rows, row)
    store(rows, row, select(active, optimizers.sgd(w, gradient, learning_rate), w))
