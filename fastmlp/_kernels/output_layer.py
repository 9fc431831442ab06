"""Outputs of a net for one block of samples, their losses, and gradients of the loss by the weighted sums.

Blk is the vector of B · W numbers: B samples of one unit. `row` is the row of the first output unit of the block's
first sample, `unit_step` the distance to the next unit, `step` that to the next sample; other symbols are those of
`structs`.
"""

import numpy as np

from fastmlp._kernels.formulas.activations import Activation, activate_output, output_backward
from fastmlp._kernels.formulas.losses import (
    Loss,
    bce,
    bounded_below,
    by_output,
    loss_of_output,
    output_delta,
    without_negligible,
)
from fastmlp._simd.arithmetic import absolute, broadcast, fma, fold_fma, ratio, select
from fastmlp._simd.elementary import exp_of_negative, log, sigmoid_from
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load_grid, spread_samples, store_grid

# A number is near overflow if its product with NEAR_OVERFLOW overflows. Losses of numbers that are not cannot add up to
# infinity if the samples' weights times the number of outputs add up to at most MOST_WEIGHT.
NEAR_OVERFLOW = 2.0**28
MOST_WEIGHT = 2.0**26


@inline
def targets_of(Blk, F, data, samples, s, n_out, k):
    """The targets of output k for a block of samples."""
    if data.by_net:
        return load_grid(Blk, Blk, F, data.chunk.targets, s * n_out + k, 0, n_out)
    return spread_samples(Blk, F, data.targets, samples, s, n_out, k)


@inline
def outputs_of(Blk, F, net, units, outputs, row, unit_step, step):
    """Apply the output activation to the weighted sums; returns the greatest sum z and log Σ exp(z_k − z)."""
    n_out = net.sizes[net.n_layers]
    code = net.activations[net.n_layers - 1]
    greatest = load_grid(Blk, Blk, F, units, row, 0, step)
    log_sum = broadcast(Blk, 0.0)
    if code == Activation.SOFTMAX:
        for k in range(1, n_out):
            z = load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step)
            greatest = select(greatest < z, z, greatest)
        total = broadcast(Blk, 0.0)
        for k in range(n_out):
            e = exp_of_negative(load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step) - greatest)
            total = total + e
            store_grid(Blk, F, outputs, row + k * unit_step, 0, step, e, ratio(Blk, F))
        log_sum = log(total)
        share = 1.0 / total
        for k in range(n_out):
            o = load_grid(Blk, Blk, F, outputs, row + k * unit_step, 0, step) * share
            store_grid(Blk, F, outputs, row + k * unit_step, 0, step, o, ratio(Blk, F))
    else:
        for k in range(n_out):
            z = load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step)
            store_grid(Blk, F, outputs, row + k * unit_step, 0, step, activate_output(code, z), ratio(Blk, F))
    return greatest, log_sum


@inline
def outputs_and_losses(Blk, F, net, data, samples, s, units, outputs, row, unit_step, step, measuring, counting):
    """Apply the output activation, and if `measuring` compute the losses.

    Returns each sample's loss, summed over the outputs, and, if `counting`, 1 for a sample on the right side and 0 for
    others.
    """
    losses, right = broadcast(Blk, 0.0), broadcast(Blk, 1.0)
    if measuring and net.loss == Loss.BCE:  # common terms of the output and the loss are computed once
        for k in range(net.sizes[net.n_layers]):
            z = load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step)
            e = exp_of_negative(-absolute(z))
            o = sigmoid_from(z, e)
            store_grid(Blk, F, outputs, row + k * unit_step, 0, step, o, ratio(Blk, F))
            t = targets_of(Blk, F, data, samples, s, net.sizes[net.n_layers], k)
            losses = losses + bce(z, e, t)
            if counting:
                right = _still_right(o, t, right)
    else:
        greatest, log_sum = outputs_of(Blk, F, net, units, outputs, row, unit_step, step)
        if measuring:
            losses, right = _losses_of(
                Blk, F, net, data, samples, s, units, outputs, row, unit_step, step, greatest, log_sum
            )
    return losses, right


@inline
def _still_right(o, t, right):
    """`right`, or 0 where the output is not on the target's side of 1/2."""
    return select((o - 0.5) * (t - 0.5) > 0.0, right, 0.0)


@inline
def _losses_of(Blk, F, net, data, samples, s, units, outputs, row, unit_step, step, greatest, log_sum):
    """The losses of `outputs_and_losses`, for other losses than cross-entropies."""
    n_out = net.sizes[net.n_layers]
    losses, right = broadcast(Blk, 0.0), broadcast(Blk, 1.0)
    best, target_of_best = broadcast(Blk, -np.inf), broadcast(Blk, 0.0)
    for k in range(n_out):
        z = load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step)
        o = load_grid(Blk, Blk, F, outputs, row + k * unit_step, 0, step)
        t = targets_of(Blk, F, data, samples, s, n_out, k)
        losses = losses + loss_of_output(net.loss, z, o, t, greatest, log_sum)
        right = _still_right(o, t, right)
        better = best < z
        best = select(better, z, best)
        target_of_best = select(better, t, target_of_best)
    if net.activations[net.n_layers - 1] == Activation.SOFTMAX:
        right = target_of_best
    return losses, right


@inline
def knows_bound(net, flags):
    """Whether the only rule is a target of a loss with a cheap lower bound."""
    return flags.rules and flags.bound_will_do and bounded_below(net.loss)


@inline
def least_losses_of(Blk, F, net, data, samples, s, units, outputs, row, unit_step, step):
    """A lower bound of each sample's cross-entropy without logarithms; NaN where a weighted sum is near overflow.

    −log x >= 1 − x, so −t log o − (1 − t) log(1 − o) >= |o − t|; and over a softmax layer −log o_class is at least
    1 − o_class, half of Σ |o_k − t_k|.
    """
    bounds = broadcast(Blk, 0.0)
    for k in range(net.sizes[net.n_layers]):
        z = load_grid(Blk, Blk, F, units, row + k * unit_step, 0, step)
        o = load_grid(Blk, Blk, F, outputs, row + k * unit_step, 0, step)
        t = targets_of(Blk, F, data, samples, s, net.sizes[net.n_layers], k)
        bounds = fma(z * NEAR_OVERFLOW, broadcast(Blk, 0.0), bounds + absolute(o - t))
    return 0.5 * bounds if net.loss == Loss.CROSS_ENTROPY else bounds


@inline
def output_deltas(Blk, F, net, data, samples, s, scale, deltas, row, unit_step, step, probe, within):
    """Replace the outputs in `deltas` by the gradients of the loss by the weighted sums.

    Returns `probe`, a sum of zeros, which becomes NaN if a gradient of the first `within` samples is not finite; the
    samples that pad the block are not always computed completely.
    """
    n_out = net.sizes[net.n_layers]
    code = net.activations[net.n_layers - 1]
    dot = broadcast(Blk, 0.0)
    if by_output(net.loss) and code == Activation.SOFTMAX:
        for k in range(n_out):
            o = load_grid(Blk, Blk, F, deltas, row + k * unit_step, 0, step)
            t = targets_of(Blk, F, data, samples, s, n_out, k)
            dot = fma(output_delta(o, t, scale), o, dot)
    for k in range(n_out):
        o = load_grid(Blk, Blk, F, deltas, row + k * unit_step, 0, step)
        t = targets_of(Blk, F, data, samples, s, n_out, k)
        delta = output_delta(o, t, scale)
        if by_output(net.loss):
            delta = o * (delta - dot) if code == Activation.SOFTMAX else output_backward(code, o, delta)
        delta = without_negligible(delta)
        probe = fold_fma(probe, delta, broadcast(Blk, 0.0), within)
        store_grid(Blk, F, deltas, row + k * unit_step, 0, step, delta, ratio(Blk, F))
    return probe
