"""Compiled training with mistakes of the catalogue: the program of `audit/backpropagation`, one net in each lane.

It should be read next to that program, and is as fast as a plain loop over vectors. Without mistakes it has the bits of
`epoch_loop`. A minibatch is processed as a whole, because some mistakes mix its samples. Symbols are those of
`structs`; Quad is the vector of four units' numbers for each net of a tile.
"""

from typing import NamedTuple

import numpy as np

from fastmlp._kernels import structs
from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.activation_choice import activate, activation_backward, needs_sum
from fastmlp._kernels.formulas.activations import Activation, output_backward
from fastmlp._kernels.formulas.losses import Loss, output_delta, without_negligible
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._kernels.mistake_codes import BiasSum, Derivative, Down, Forward, Output, Product
from fastmlp._kernels.optimizer_step import add_l2, advance_powers, set_rate, update
from fastmlp._kernels.samples import choose_samples
from fastmlp._kernels.stopping import retire
from fastmlp._simd.arithmetic import any_lane, broadcast, fma, ratio, repeat, select
from fastmlp._simd.elementary import exp, exp_of_negative, sigmoid
from fastmlp._simd.jit import inline, kernel
from fastmlp._simd.memory import load, load_grid, store, store_grid
from fastmlp._simd.types import Buffer

NONE_LOST, ALL_BUT_LAST, FIRST_HALF = range(3)


class Switches(NamedTuple):
    """The mistakes: a code for each layer, or for the net."""

    forward: Buffer  # (L,) Forward
    applied: Buffer  # (L,) Activation of the forward pass
    derivative: Buffer  # (L,) Derivative, of hidden layers
    product: Buffer  # (L,) Product
    bias: Buffer  # (L,) BiasSum
    down: Buffer  # (L,) Down
    down_weights: Buffer  # (L,) the layer whose weights pass δ down
    weight_factor: Buffer  # (L,) additional factor of the weights' gradient
    weight_power: Buffer  # (L,) exponent of the minibatch's size in that factor; then both for the biases
    bias_factor: Buffer  # (L,)
    bias_power: Buffer  # (L,)
    weights_lost: Buffer  # (L,) missing terms: NONE_LOST, ALL_BUT_LAST or FIRST_HALF; then for the biases
    biases_lost: Buffer  # (L,)
    output: int  # Output


class Memory(NamedTuple):
    """One thread's working memory: rows for every layer's units, the inputs' too, of C samples."""

    a: Buffer  # (C, n_rows, W) outputs
    z: Buffer  # (C, n_rows, W) weighted sums
    slope: Buffer  # (C, n_rows, W) derivatives of hidden layers, for the mistakes that use them
    delta: Buffer  # (C, n_rows, W) gradients of the loss by z
    first: Buffer  # (L + 1,) a layer's first row
    samples: Buffer  # (C,) the samples' numbers
    lanes: Buffer  # (3, W) values read lane by lane
    corrections: Buffer  # (2, W) Adam's factors of this step
    n_rows: int  # rows of a sample
    thread_number: int  # always 0: one thread trains a net


@kernel
def train_mistaken_tiles(Quad, F, net, data, flags, tiles, results, epochs, memory, halt, made):
    """Train every tile for a slice of epochs with the mistakes `made`; returns `epochs.stop`.

    Writes each net's status and epochs to the results. The caller computes losses with the same mistakes in its forward
    pass. No rule stops a net; nets that diverge are retired.
    """
    n, nothing = data.n_samples, broadcast(F, np.nan)
    for tile in range(tiles.n_tiles):
        active = load(F, tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE) != 0.0
        cut_short = False
        for epoch in range(epochs.first, epochs.stop):
            if halt[0] or not any_lane(active):
                cut_short = halt[0] != 0
                break
            set_rate(F, flags, tiles, tile, epochs.rate_factors[epoch - epochs.first])
            for start in range(0, n, flags.batch_size):
                count = min(flags.batch_size, n - start)
                order = (epoch - epochs.first) * n if flags.shuffle else -1
                choose_samples(epochs.orders, order, start, count, count, memory.samples)
                if flags.method == Method.ADAM:
                    advance_powers(F, flags, tiles, tile, active, memory)
                _forward(Quad, F, net, data, tiles, tile, count, memory, made)
                probe = _output_deltas(F, net, data, flags, count, memory, made)
                broken = active & ~(probe == 0.0)
                retire(F, tiles, tile, results, broken, structs.DIVERGED, epoch, nothing, nothing, memory.lanes)
                active = active & ~broken
                _backward(Quad, F, net, flags, tiles, tile, count, memory, made, active)
        if epochs.stop == epochs.last and not cut_short:
            retire(F, tiles, tile, results, active, structs.RAN_ALL_EPOCHS, epochs.stop, nothing, nothing, memory.lanes)
            active = active & ~active
        else:
            retire(F, tiles, tile, results, active, structs.INTERRUPTED, epochs.stop, nothing, nothing, memory.lanes)
        store(tiles.stop_state, tile * structs.N_STOP_STATE + structs.ACTIVE, select(active, broadcast(F, 1.0), 0.0))
    return epochs.stop


# -------------------------------------------------------------------------------------------------- forward


@inline
def _forward(Quad, F, net, data, tiles, tile, count, memory, made):
    """Compute z and a of every layer for the minibatch's samples."""
    base = tile * tiles.n_rows
    slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
    for s in range(count):
        for i in range(net.sizes[0]):
            x = data.inputs[memory.samples[s] * data.n_columns + i]
            store(memory.a, s * memory.n_rows + i, broadcast(F, x))
    for layer in range(net.n_layers):
        n_out = net.sizes[layer + 1]
        several = n_out & -4
        for s in range(count):
            _linear_forward(Quad, F, net, tiles.rows, base, layer, s, memory, made, 0, several)
            _linear_forward(F, F, net, tiles.rows, base, layer, s, memory, made, several, n_out)
            here = s * memory.n_rows + memory.first[layer + 1]
            for j in range(n_out):
                z = load(F, memory.z, here + j)
                if made.forward[layer] == Forward.SIGMOID_TWICE:
                    a = 1.0 / (1.0 + sigmoid(-z))
                elif made.forward[layer] == Forward.SOFTMAX_UNNORMALISED or made.applied[layer] == Activation.EXP:
                    a = exp(z)
                else:
                    a = activate(net.formulas, made.applied[layer], z, slope)
                store(memory.a, here + j, a)
        if made.applied[layer] == Activation.SOFTMAX:
            first, n_rows = memory.first[layer + 1], memory.n_rows
            if made.forward[layer] == Forward.SOFTMAX_OVER_SAMPLES:
                for j in range(n_out):
                    _softmax(F, memory, first + j, count, n_rows, 1, 0)
            elif made.forward[layer] == Forward.SOFTMAX_OVER_EVERYTHING:
                _softmax(F, memory, first, count, n_rows, n_out, 1)
            elif made.forward[layer] != Forward.SOFTMAX_UNNORMALISED:
                for s in range(count):
                    _softmax(F, memory, s * n_rows + first, 1, 0, n_out, 1)
        if made.forward[layer] == Forward.BIAS_AFTER and net.bias:
            for s in range(count):
                here, n_columns = s * memory.n_rows + memory.first[layer + 1], net.sizes[layer] + 1
                for j in range(n_out):
                    bias = load(F, tiles.rows, base + net.weight_rows[layer] + j * n_columns + n_columns - 1)
                    store(memory.a, here + j, load(F, memory.a, here + j) + bias)


@inline
def _linear_forward(V, F, net, rows, base, layer, s, memory, made, first_unit, stop_unit):
    """Compute z of the units of one vector V."""
    n_in, n_columns = net.sizes[layer], net.sizes[layer] + net.bias
    below, here = s * memory.n_rows + memory.first[layer], s * memory.n_rows + memory.first[layer + 1]
    biased = net.bias and made.forward[layer] != Forward.NO_BIAS and made.forward[layer] != Forward.BIAS_AFTER
    for j in range(first_unit, stop_unit, ratio(V, F)):
        weight = base + net.weight_rows[layer] + j * n_columns
        z = load_grid(V, F, F, rows, weight + n_in, n_columns, 0) if biased else broadcast(V, 0.0)
        for i in range(n_in):
            a = repeat(V, load(F, memory.a, below + i))
            z = fma(load_grid(V, F, F, rows, weight + i, n_columns, 0), a, z)
        store_grid(F, F, memory.z, here + j, 1, 0, z, 1)


@inline
def _softmax(F, memory, first, n_outer, outer_step, n_inner, inner_step):
    """Compute the softmax over some of the numbers, from z to a."""
    greatest, total = load(F, memory.z, first), broadcast(F, 0.0)
    for p in range(n_outer):
        for q in range(n_inner):
            z = load(F, memory.z, first + p * outer_step + q * inner_step)
            greatest = select(greatest < z, z, greatest)
    for p in range(n_outer):
        for q in range(n_inner):
            row = first + p * outer_step + q * inner_step
            e = exp_of_negative(load(F, memory.z, row) - greatest)
            total = total + e
            store(memory.a, row, e)
    share = 1.0 / total
    for p in range(n_outer):
        for q in range(n_inner):
            row = first + p * outer_step + q * inner_step
            store(memory.a, row, load(F, memory.a, row) * share)


# ------------------------------------------------------------------------------------------------- backward


@inline
def _output_deltas(F, net, data, flags, count, memory, made):
    """δ of the output layer; returns a sum of zeros, NaN where one of them is not finite."""
    last = net.n_layers
    n_out, code = net.sizes[last], net.activations[last - 1]
    squared = net.loss == Loss.MSE
    # the scale of a cross-entropy does not have the squared error's factor 2
    scale = flags.delta_scale / broadcast(F, count)
    if made.output == Output.SQUARED_ERROR:
        scale = 2.0 * scale
    probe, one = broadcast(F, 0.0), broadcast(F, 1.0)
    for s in range(count):
        row = s * memory.n_rows + memory.first[last]
        dot = broadcast(F, 0.0)
        if code == Activation.SOFTMAX and (squared or made.output == Output.SQUARED_ERROR):
            for k in range(n_out):
                o = load(F, memory.a, row + k)
                t = broadcast(F, data.targets[memory.samples[s] * n_out + k])
                dot = fma(output_delta(o, t, scale), o, dot)
        for k in range(n_out):
            o = load(F, memory.a, row + k)
            t = broadcast(F, data.targets[memory.samples[s] * n_out + k])
            error = output_delta(o, t, scale)
            slope = one
            if code == Activation.SIGMOID or code == Activation.SOFTMAX:
                slope = o * (1.0 - o)
            elif code == Activation.RELU:
                slope = select(load(F, memory.z, row + k) > 0.0, one, 0.0)
            elif code == Activation.EXP:
                slope = o
            if made.output == Output.FIRST_TERM:
                delta = -(t * scale) * (1.0 - o)
            elif made.output == Output.TARGET_OVER_OUTPUT:
                delta = -(t * scale) / o
            elif made.output == Output.TIMES_OUTPUT:
                delta = error * o
            elif made.output == Output.DERIVATIVE_OF_OUTPUT:
                twice = sigmoid(o)
                by_output = error if squared else scale * _cross_entropy_by_output(o, t)
                delta = by_output * (twice * (1.0 - twice))
            elif made.output == Output.NO_DERIVATIVE:
                delta = error if squared else scale * _cross_entropy_by_output(o, t)
            elif squared or made.output == Output.SQUARED_ERROR:
                if code == Activation.SOFTMAX:
                    delta = o * (error - dot)
                elif code == Activation.RELU:
                    delta = select(load(F, memory.z, row + k) > 0.0, error, 0.0)
                else:
                    delta = output_backward(code, o, error)
                if made.output == Output.DERIVATIVE_TWICE:
                    delta = delta * slope
            else:
                delta = error * slope if made.output == Output.DERIVATIVE_TWICE else error
            delta = without_negligible(delta)
            probe = fma(delta, broadcast(F, 0.0), probe)
            store(memory.delta, row + k, delta)
    return probe


@inline
def _cross_entropy_by_output(o, t):
    """dL/do = (1 − t) / (1 − o) − t / o; a term with factor 0 is left out."""
    return select(t < 1.0, (1.0 - t) / (1.0 - o), 0.0) - select(t > 0.0, t / o, 0.0)


@inline
def _backward(Quad, F, net, flags, tiles, tile, count, memory, made, active):
    """Compute the gradients of all layers, from the top down, and make the optimizer's step."""
    for layer in range(net.n_layers - 1, -1, -1):
        _gradients(Quad, F, net, tiles, tile, layer, count, memory, made)
        if made.down[layer] == Down.UPDATED:
            _step(F, net, flags, tiles, tile, layer, memory, active)
        if layer > 0:
            n_below = net.sizes[layer]
            several = n_below & -4
            if made.down[layer] == Down.UNTRANSPOSED:
                several = 0
            for s in range(count):
                _input_gradients(Quad, F, net, tiles, tile, layer, s, memory, made, 0, several)
                _input_gradients(F, F, net, tiles, tile, layer, s, memory, made, several, n_below)
            _activation_gradients(F, net, tiles, tile, layer, count, memory, made)
    for layer in range(net.n_layers):
        if made.down[layer] != Down.UPDATED:
            _step(F, net, flags, tiles, tile, layer, memory, active)


@inline
def _step(F, net, flags, tiles, tile, layer, memory, active):
    """Make the optimizer's step on a layer's weights and biases."""
    n_in, n_columns = net.sizes[layer], net.sizes[layer] + net.bias
    first, length = tile * tiles.n_rows + net.weight_rows[layer], n_columns * net.sizes[layer + 1]
    if flags.has_l2:
        for unit in range(first, first + length, n_columns):
            add_l2(F, F, net, tiles, tile, unit, unit + n_in)
    update(F, F, net, flags, tiles, tile, first, length, 1, 1, active, memory.corrections)


@inline
def _input_gradients(V, F, net, tiles, tile, layer, s, memory, made, first_unit, stop_unit):
    """Write δ Wᵀ, or the mistake's version of it, for some units below a layer to their rows of δ."""
    source = made.down_weights[layer]
    base, n_columns = tile * tiles.n_rows + net.weight_rows[source], net.sizes[source] + net.bias
    above, here = s * memory.n_rows + memory.first[layer + 1], s * memory.n_rows + memory.first[layer]
    for i in range(first_unit, stop_unit, ratio(V, F)):
        down = broadcast(V, 0.0)
        for j in range(net.sizes[layer + 1]):
            delta = repeat(V, load(F, memory.delta, above + j))
            if made.down[layer] == Down.UNTRANSPOSED:
                w = load_grid(V, F, F, tiles.rows, base + j + i * n_columns, 1, 0)
            else:
                w = load_grid(V, F, F, tiles.rows, base + i + j * n_columns, 1, 0)
            down = fma(w, delta, down)
        store_grid(F, F, memory.delta, here + i, 1, 0, down, 1)


@inline
def _activation_gradients(F, net, tiles, tile, layer, count, memory, made):
    """Multiply the gradients by the outputs below a layer by their derivatives, or the mistake's version of these."""
    code, n_below, how = net.activations[layer - 1], net.sizes[layer], made.derivative[layer - 1]
    slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
    for s in range(count):
        row = s * memory.n_rows + memory.first[layer]
        below, above = s * memory.n_rows + memory.first[layer - 1], s * memory.n_rows + memory.first[layer + 1]
        for i in range(n_below):
            gradient, a, z = (load(F, memory.delta, row + i), load(F, memory.a, row + i), load(F, memory.z, row + i))
            f = a
            if how == Derivative.OF_LAYER_BELOW:
                f = z = load(F, memory.a, below + i)
            elif how == Derivative.OF_LAYER_ABOVE:
                f = z = load(F, memory.a, above + (0 if net.sizes[layer + 1] == 1 else i))
            elif how == Derivative.OF_OUTPUT:
                f, z = activate(net.formulas, code, a, slope), a
            if how == Derivative.LEFT_OUT:
                delta = gradient
            elif how == Derivative.ONE_MINUS_OUTPUT:
                delta = gradient * (1.0 - a)
            elif how == Derivative.OF_SIGMOID:
                delta = gradient * (a * (1.0 - a))
            elif how == Derivative.STEP:
                delta = select(z > 0.0, gradient, 0.0)
            else:
                if (
                    code == Activation.RELU
                    or code == Activation.LEAKY_RELU
                    or needs_sum(net.formulas, net.needs_sum, layer)
                ):
                    f = z
                delta = activation_backward(net.formulas, code, f, gradient, slope)
                if how == Derivative.TWICE:
                    delta = activation_backward(net.formulas, code, f, delta, slope)
            store(memory.delta, row + i, delta)


@inline
def _gradients(Quad, F, net, tiles, tile, layer, count, memory, made):
    """Write Σ aᵀ δ and Σ δ over the minibatch's samples, or the mistake's version, to a layer's gradient rows."""
    n_in, n_out, n_columns = net.sizes[layer], net.sizes[layer + 1], net.sizes[layer] + net.bias
    first = tile * tiles.n_rows + net.weight_rows[layer] + net.state_step
    start, bias_start = _first_kept(made.weights_lost[layer], count), _first_kept(made.biases_lost[layer], count)
    factor = broadcast(F, _scaled(made.weight_factor[layer], made.weight_power[layer], count))
    bias_factor = broadcast(F, _scaled(made.bias_factor[layer], made.bias_power[layer], count))
    if made.product[layer] == Product.DERIVATIVES:
        _store_derivatives(F, net, tiles, tile, layer, count, memory)
    several = 0 if made.product[layer] == Product.TRANSPOSED else n_in & -4
    for j in range(n_out):
        _unit_gradients(Quad, F, net, tiles, layer, j, start, count, memory, made, factor, first, 0, several)
        _unit_gradients(F, F, net, tiles, layer, j, start, count, memory, made, factor, first, several, n_in)
        if net.bias:
            total = broadcast(F, 0.0)
            for s in range(bias_start, count):
                total = total + load(F, memory.delta, s * memory.n_rows + memory.first[layer + 1] + j)
            store(tiles.rows, first + j * n_columns + n_in, total * bias_factor)
    if net.bias and made.bias[layer] != BiasSum.RIGHT:
        total = broadcast(F, 0.0)
        if made.bias[layer] == BiasSum.OVER_UNITS:
            for j in range(n_out):
                total = total + load(F, tiles.rows, first + j * n_columns + n_in)
        for j in range(n_out):
            store(tiles.rows, first + j * n_columns + n_in, total)


@inline
def _first_kept(lost, count):
    """The first of the minibatch's samples in a gradient."""
    if lost == ALL_BUT_LAST:
        return count - 1
    return count // 2 if lost == FIRST_HALF else 0


@inline
def _scaled(factor, power, count):
    """The factor times a small power of the minibatch's size."""
    for _ in range(power):
        factor *= count
    for _ in range(-power):
        factor /= count
    return factor


@inline
def _store_derivatives(F, net, tiles, tile, layer, count, memory):
    """f'(z) of the layer below a layer."""
    code = net.activations[layer - 1]
    slope = load(F, tiles.hyper, tile * optimizers.N_HYPERPARAMETERS + optimizers.LEAKY_SLOPE)
    for s in range(count):
        row = s * memory.n_rows + memory.first[layer]
        for i in range(net.sizes[layer]):
            x = load(F, memory.a, row + i)
            if (
                code == Activation.RELU
                or code == Activation.LEAKY_RELU
                or needs_sum(net.formulas, net.needs_sum, layer)
            ):
                x = load(F, memory.z, row + i)
            store(memory.slope, row + i, activation_backward(net.formulas, code, x, broadcast(F, 1.0), slope))


@inline
def _unit_gradients(V, F, net, tiles, layer, j, start, count, memory, made, factor, first, first_input, stop_input):
    """Compute the gradients of some of a unit's weights."""
    n_in, n_columns, n_rows = net.sizes[layer], net.sizes[layer] + net.bias, memory.n_rows
    what, product = memory.a, made.product[layer]
    below, here = memory.first[layer], memory.first[layer + 1]
    if product == Product.OWN_OUTPUTS:
        below = here
    elif product == Product.WEIGHTED_SUMS:
        what = memory.z
    elif product == Product.DERIVATIVES:
        what = memory.slope
    for i in range(first_input, stop_input, ratio(V, F)):
        input_unit, output_unit = i, j
        if product == Product.TRANSPOSED:  # entry (i, j) of the reshaped array is that at the same position of δᵀ a
            place = i * net.sizes[layer + 1] + j
            input_unit, output_unit = place % n_in, place // n_in
        total = broadcast(V, 0.0)
        for s in range(start, count):
            delta = repeat(V, load(F, memory.delta, s * n_rows + here + output_unit))
            total = fma(delta, load_grid(V, F, F, what, s * n_rows + below + input_unit, 1, 0), total)
        store_grid(F, F, tiles.rows, first + j * n_columns + i, 1, 0, total * repeat(V, factor), 1)
