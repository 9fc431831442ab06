"""Statistics of nets: silent, saturated and equal units, gradients, outputs.

Symbols are those of `structs`, the kinds of vectors those of `lanes`. It knows nothing of causes; `diagnosis/causes`
does.
"""

import numpy as np

from fastmlp._kernels.evaluation import forward_chunk
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activation_choice import activation_backward, needs_sum
from fastmlp._kernels.formulas.activations import Activation
from fastmlp._kernels.output_layer import output_deltas, outputs_and_losses
from fastmlp._simd.arithmetic import absolute, broadcast, fma, fold_add, fold_compensated, ratio, select
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, load_grid, spread_samples, store

# Rows of a net's statistics: two for the net, then several for each layer of weights, then two for each output
LOSS, RIGHT = range(2)
SILENT, SATURATED, GRADIENT = range(3)
N_OF_NET, N_OF_LAYER, N_OF_OUTPUT = 2, 3, 2

# A unit is saturated where its derivative is below a hundredth of its maximum (sigmoid: |z| > 6; tanh: |z| > 3):
# layers below then learn a hundred times as slowly.
SATURATED_BELOW = 0.01
COPY_TOLERANCE = 1e-6  # relative; copies stay equal to the last bit, but imported weights may be rounded


@kernel
def inspect_tiles(kinds, F, net, data, tiles, facts, peaks, scratch, dies, inverse_slopes):
    """Write statistics of each net to `facts` (T, N_OF_NET + L · N_OF_LAYER + n_out · N_OF_OUTPUT, W).

    For the net: the mean loss, summed over the outputs, with sample weights of 1, and the share of samples on the right
    side. For each layer: the number of silent units (on the flat or leaky side of their activation for every sample),
    the number of units saturated for every sample (for the output layer: the number of wrong, saturated outputs over
    all samples), and the mean square gradient of a sample's loss by the layer's weighted sums. For each output: its
    least and greatest value. `peaks` is scratch for (n_unit_rows, W). For each layer of units, the inputs first, `dies`
    says whether they can die, and `inverse_slopes` has 1 over the activation's largest derivative.
    """
    Blk = kinds.Blk
    n, B, last = data.n_samples, ratio(Blk, F), net.n_layers
    n_out, step, here = net.sizes[last], net.n_unit_rows, net.unit_rows[last]
    samples, units, outputs = scratch.samples, scratch.units, scratch.outputs
    n_facts = N_OF_NET + last * N_OF_LAYER + n_out * N_OF_OUTPUT
    ends = N_OF_NET + last * N_OF_LAYER
    code, zero = net.activations[last - 1], broadcast(F, 0.0)
    squashing = code in (Activation.SIGMOID, Activation.SOFTMAX)
    for tile in range(tiles.n_tiles):
        slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
        base, fact = tile * tiles.n_rows, tile * n_facts
        loss_sum, loss_rest, right_sum, stuck, probe = zero, zero, zero, zero, zero
        for row in range(step):
            store(peaks, row, zero)
        for row in range(fact, fact + ends):
            store(facts, row, zero)
        for k in range(n_out):
            store(facts, fact + ends + 2 * k, broadcast(F, np.inf))
            store(facts, fact + ends + 2 * k + 1, broadcast(F, -np.inf))
        for first in range(0, n, scratch.capacity):
            count = forward_chunk(kinds, F, net, tiles.rows, base, data, first, slope, scratch)
            for s in range(0, count, B):
                row, within = s * step + here, min(B, count - s)
                losses, right = outputs_and_losses(
                    Blk, F, net, data, samples, s, units, outputs, row, 1, step, True, True
                )
                loss_sum, loss_rest = fold_compensated(loss_sum, loss_rest, losses, within)
                right_sum = fold_add(right_sum, right, within)
                for k in range(n_out):
                    o = load_grid(Blk, Blk, F, outputs, row + k, 0, step)
                    wrong = absolute(o - spread_samples(Blk, F, data.targets, samples, s, n_out, k))
                    flat = select(4.0 * (o * (1.0 - o)) < SATURATED_BELOW, broadcast(Blk, 1.0), 0.0)
                    if squashing:
                        stuck = fold_add(stuck, select(wrong > 0.5, flat, 0.0), within)
                    end = fact + ends + 2 * k
                    for b in range(within):
                        o_b = load(F, outputs, row + b * step + k)
                        low, high = load(F, facts, end), load(F, facts, end + 1)
                        store(facts, end, select(o_b < low, o_b, low))
                        store(facts, end + 1, select(o_b > high, o_b, high))
                output_deltas(
                    Blk, F, net, data, samples, s, broadcast(Blk, 1.0), scratch.deltas, row, 1, step, probe, within
                )
            _backward(F, net, tiles, tile, scratch, count, slope, facts, fact, peaks, dies, inverse_slopes)
        store(facts, fact + LOSS, loss_sum / broadcast(F, n))
        store(facts, fact + RIGHT, right_sum / broadcast(F, n))
        for layer in range(1, last):
            silent, saturated = zero, zero
            for i in range(net.sizes[layer]):
                peak = load(F, peaks, net.unit_rows[layer] + i)
                silent = silent + select(peak <= 0.0, broadcast(F, 1.0), 0.0)
                saturated = saturated + select(peak < SATURATED_BELOW, broadcast(F, 1.0), 0.0)
            row = fact + N_OF_NET + (layer - 1) * N_OF_LAYER
            store(facts, row + SILENT, silent if dies[layer] else zero)
            store(facts, row + SATURATED, zero if dies[layer] else saturated)
        row, silent = fact + N_OF_NET + (last - 1) * N_OF_LAYER, zero
        for k in range(n_out):
            high = load(F, facts, fact + ends + 2 * k + 1)
            silent = silent + select(high <= 0.0, broadcast(F, 1.0), 0.0)
        store(facts, row + SILENT, silent if code == Activation.RELU else zero)
        store(facts, row + SATURATED, stuck)
        for layer in range(1, last + 1):
            row = fact + N_OF_NET + (layer - 1) * N_OF_LAYER + GRADIENT
            store(facts, row, load(F, facts, row) / broadcast(F, n * net.sizes[layer]))


@inline
def _backward(F, net, tiles, tile, scratch, count, slope, facts, fact, peaks, dies, inverse_slopes):
    """Backpropagate the gradients of a chunk from `deltas`; add up their squares, and update each unit's peak.

    The peak of a unit that can die is its greatest output; for others, its greatest derivative over the largest
    possible.
    """
    units, deltas, step, last = scratch.units, scratch.deltas, net.n_unit_rows, net.n_layers
    for layer in range(last, 0, -1):
        here, total = net.unit_rows[layer], fact + N_OF_NET + (layer - 1) * N_OF_LAYER + GRADIENT
        n_columns = 0 if layer == last else net.sizes[layer] + net.bias
        for i in range(net.sizes[layer]):
            squares = load(F, facts, total)
            peak = load(F, peaks, here + i)
            for s in range(count):
                row = s * step + here + i
                if layer < last:
                    code, a, down = net.activations[layer - 1], load(F, units, row), broadcast(F, 0.0)
                    above = s * step + net.unit_rows[layer + 1]
                    weight = tile * tiles.n_rows + net.weight_rows[layer] + i
                    for j in range(net.sizes[layer + 1]):
                        down = fma(load(F, tiles.rows, weight + j * n_columns), load(F, deltas, above + j), down)
                    x = a
                    if needs_sum(net.formulas, net.needs_sum, layer):
                        x = load(F, scratch.sums, row)
                    store(deltas, row, activation_backward(net.formulas, code, x, down, slope))
                    liveliness = a
                    if not dies[layer]:
                        slope_here = activation_backward(net.formulas, code, x, broadcast(F, 1.0), slope)
                        liveliness = absolute(slope_here) * broadcast(F, inverse_slopes[layer])
                    peak = select(peak < liveliness, liveliness, peak)
                delta = load(F, deltas, row)
                squares = fma(delta, delta, squares)
            store(facts, total, squares)
            store(peaks, here + i, peak)


@kernel
def count_distinct(F, parameters, sizes, bias, n_layers, n_nets, n_parameters, distinct):
    """Write the number of different units of each hidden layer to `distinct` (n, L − 1).

    Units are equal if they have the same weights, bias and weights to the layer above: then they have the same
    gradients too, and stay equal. `parameters` (n, P) is in the user's order; the type of F identifies the sources in
    the cache.
    """
    for net in range(n_nets):
        first = net * n_parameters
        for layer in range(n_layers - 1):
            n_in, n_units, n_above = sizes[layer], sizes[layer + 1], sizes[layer + 2]
            above = first + (n_in + bias) * n_units
            found = 0
            for j in range(n_units):
                copied = False
                for k in range(j):
                    same = True
                    for i in range(n_in + bias):
                        if not _same(parameters[first + i * n_units + j], parameters[first + i * n_units + k]):
                            same = False
                            break
                    if same:
                        for i in range(n_above):
                            if not _same(parameters[above + j * n_above + i], parameters[above + k * n_above + i]):
                                same = False
                                break
                    if same:
                        copied = True
                        break
                if not copied:
                    found += 1
            distinct[net * (n_layers - 1) + layer] = found
            first = above


@inline
def _same(a, b):
    return abs(a - b) <= COPY_TOLERANCE * max(abs(a), abs(b))
