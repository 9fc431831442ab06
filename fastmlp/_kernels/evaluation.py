"""Outputs, losses and accuracies of nets without training, by either kernel's forward pass.

Symbols are those of `structs`, the kinds of vectors those of `lanes`.
"""

import numpy as np

from fastmlp._kernels.dispatch import forward
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.losses import Loss, squared_error
from fastmlp._kernels.output_layer import outputs_and_losses, outputs_of, targets_of
from fastmlp._kernels.own_samples import begin_pass, fold_samples, most_samples
from fastmlp._kernels.samples import block_weights, choose_chunk, choose_samples, weight_sum_of
from fastmlp._kernels.tiles import copy_to_lanes
from fastmlp._simd.arithmetic import broadcast, ratio
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, load_grid, store

N_MEASURES = 2  # measures other than those of each output


@inline
def forward_chunk(kinds, F, net, rows, base, data, first, slope, scratch):
    """Compute outputs of every unit for a chunk of samples, from `first` on; returns the number of samples."""
    filled, samples = ratio(kinds.Units, F), scratch.samples
    count = min(scratch.capacity, data.n_samples - first)
    choose_samples(samples, -1, first, count, (count + filled - 1) & -filled, samples)
    forward(kinds, F, net, rows, base, data, samples, count, slope, scratch, False)
    return count


@kernel
def measure_tiles(kinds, F, net, data, tiles, loss_scale, counts_accuracy, measures, scratch):
    """Write each net's mean loss, its accuracy, and each output's weighted sum of squared errors to `measures`.

    `measures` is (T, N_MEASURES + 2 n_out, W): the compensations of the errors' sums follow the sums.
    """
    Blk, filled = kinds.Blk, ratio(kinds.Units, F)
    B, n_out = ratio(Blk, F), net.sizes[net.n_layers]
    samples, units, outputs = scratch.samples, scratch.units, scratch.outputs
    step, here = net.n_unit_rows, net.unit_rows[net.n_layers]
    zero, nothing = broadcast(F, 0.0), broadcast(F, np.nan)
    for tile in range(tiles.n_tiles):
        slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
        base, n = tile * tiles.n_rows, most_samples(data, tiles, tile)
        if data.by_net:
            begin_pass(data, tiles, tile, 0, n)
        loss_sum, loss_rest, right_sum, right_rest = zero, zero, zero, zero
        target = tile * (N_MEASURES + 2 * n_out)
        for k in range(2 * n_out):
            store(measures, target + N_MEASURES + k, zero)
        for first in range(0, n, scratch.capacity):
            count = min(scratch.capacity, n - first)
            n_filled = (count + filled - 1) & -filled
            choose_chunk(F, net, data, tiles, tile, samples, -1, n, first, count, n_filled, samples)
            forward(kinds, F, net, tiles.rows, base, data, samples, count, slope, scratch, False)
            for s in range(0, count, B):
                row, within = s * step + here, min(B, count - s)
                losses, right = outputs_and_losses(
                    Blk, F, net, data, samples, s, units, outputs, row, 1, step, True, counts_accuracy
                )
                weights = block_weights(Blk, F, data, tiles, tile, samples, s, scratch)
                loss_sum, loss_rest = fold_samples(F, data, loss_sum, loss_rest, weights * losses, s, within)
                right_sum, right_rest = fold_samples(F, data, right_sum, right_rest, weights * right, s, within)
                if net.loss >= Loss.MSE:
                    for k in range(n_out):
                        o = load_grid(Blk, Blk, F, outputs, row + k, 0, step)
                        error = squared_error(o, targets_of(Blk, F, data, samples, s, n_out, k))
                        errors = target + N_MEASURES + k
                        before, before_rest = load(F, measures, errors), load(F, measures, errors + n_out)
                        total, rest = fold_samples(F, data, before, before_rest, weights * error, s, within)
                        store(measures, errors, total)
                        store(measures, errors + n_out, rest)
        weight_sum = weight_sum_of(F, data, tiles, tile, samples, -1, 0, n, scratch.lanes)
        accuracy = right_sum / weight_sum
        store(measures, target, loss_sum / weight_sum * loss_scale)
        store(measures, target + 1, accuracy if counts_accuracy else nothing)


@kernel
def predict_nets(kinds, F, net, data, tiles, row_of, parameters, predictions, scratch):
    """Copy the nets `parameters` (n, P) to the tiles; write their outputs for every sample to `predictions`.

    `predictions` is (n, S, n_out); `row_of` is as for `copy_in`.
    """
    copy_to_lanes(tiles, parameters, row_of, net.n_parameters, 0)
    Blk = kinds.Blk
    n, B, width = data.n_samples, ratio(Blk, F), tiles.width
    n_out, here = net.sizes[net.n_layers], net.unit_rows[net.n_layers]
    for tile in range(tiles.n_tiles):
        base = tile * tiles.n_rows
        slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
        for first in range(0, n, scratch.capacity):
            count = forward_chunk(kinds, F, net, tiles.rows, base, data, first, slope, scratch)
            for s in range(0, count, B):
                row = s * net.n_unit_rows + here
                outputs_of(Blk, F, net, scratch.units, scratch.outputs, row, 1, net.n_unit_rows)
            for lane in range(width):
                slot = tiles.result_index[tile * width + lane]
                if slot >= 0:
                    for s in range(count):
                        for k in range(n_out):
                            output = scratch.outputs[(s * net.n_unit_rows + here + k) * width + lane]
                            predictions[(slot * n + first + s) * n_out + k] = output
