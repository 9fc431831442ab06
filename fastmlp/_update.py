"""One optimizer step on parameters of a tile, from the gradient rows: the loops around `_formulas`.

It knows nothing of samples. Rows and hyperparameters are those of `_layout` and `_formulas`; F is the vector of W
numbers. Nets outside the mask `active` keep their parameters.
"""

import numpy as np

from fastmlp import _formulas as formulas
from fastmlp._formulas import Method
from fastmlp._jit import inline
from fastmlp._simd import broadcast, load, select, store


@inline
def update(F, net, plan, tiles, tile, first, stop, active, corrections):
    """Take the step of the plan's method on the rows from `first` up to `stop`."""
    h = tile * formulas.N_HYPERPARAMETERS
    if plan.method == Method.SGD:
        _sgd(F, net, plan, tiles, first, stop, h, active)
    elif plan.method == Method.ADAM:
        settings = adam_settings(F, tiles, tile, corrections)
        for r in range(first, stop):
            adam_step(F, net, plan, tiles.rows, r, load(F, tiles.rows, r + net.state_step), active, settings)
    elif plan.method == Method.RMSPROP:
        _rmsprop(F, net, plan, tiles, first, stop, h, active)
    elif plan.method == Method.RPROP:
        _rprop(F, net, tiles, first, stop, h, active)


@inline
def add_l2(F, net, tiles, tile, first, n_units, n_columns, n_in):
    """Add L2's part to the gradients of the weights of some units, whose rows begin at `first`."""
    rows, l2 = tiles.rows, load(F, tiles.hyper, tile * formulas.N_HYPERPARAMETERS + formulas.L2)
    for unit in range(first, first + n_units * n_columns, n_columns):
        for w in range(unit, unit + n_in):
            g = formulas.add_l2(load(F, rows, w + net.state_step), load(F, rows, w), l2)
            store(rows, w + net.state_step, g)


@inline
def _sgd(F, net, plan, tiles, first, stop, h, active):
    rows, gradients = tiles.rows, net.state_step
    velocities = gradients + net.state_step
    learning_rate = load(F, tiles.hyper, h + formulas.LEARNING_RATE)
    momentum = load(F, tiles.hyper, h + formulas.MOMENTUM)
    for r in range(first, stop):
        w, g = load(F, rows, r), load(F, rows, gradients + r)
        if plan.has_momentum:
            velocity = load(F, rows, velocities + r)
            new, velocity = formulas.sgd_momentum(w, g, velocity, learning_rate, momentum, plan.nesterov)
            store(rows, velocities + r, velocity)
        else:
            new = formulas.sgd(w, g, learning_rate)
        store(rows, r, select(active, new, w))


@inline
def adam_settings(F, tiles, tile, corrections):
    """What Adam's step needs beside a parameter and its gradient."""
    h = tile * formulas.N_HYPERPARAMETERS
    return (
        load(F, tiles.hyper, h + formulas.ONE_MINUS_BETA1),
        load(F, tiles.hyper, h + formulas.ONE_MINUS_BETA2),
        load(F, tiles.hyper, h + formulas.EPSILON),
        load(F, tiles.hyper, h + formulas.DECAY_FACTOR),
        load(F, tiles.hyper, h + formulas.LEARNING_RATE) * load(F, corrections, 0),
        load(F, corrections, 1),
    )


@inline
def adam_step(F, net, plan, rows, r, g, active, settings):
    """Adam's step on the parameter in row r."""
    one_minus_beta1, one_minus_beta2, epsilon, decay_factor, step, square_correction = settings
    means, squares = r + 2 * net.state_step, r + 3 * net.state_step
    w = load(F, rows, r)
    mean = formulas.decaying_mean(load(F, rows, means), one_minus_beta1, g)
    square = formulas.decaying_square(load(F, rows, squares), one_minus_beta2, g)
    decayed = w * decay_factor if plan.has_decay else w
    new = formulas.adam(decayed, mean, square, step, square_correction, epsilon)
    store(rows, means, mean)
    store(rows, squares, square)
    store(rows, r, select(active, new, w))


@inline
def _rmsprop(F, net, plan, tiles, first, stop, h, active):
    rows, gradients = tiles.rows, net.state_step
    squares, velocities = gradients + net.state_step, gradients + 2 * net.state_step
    learning_rate = load(F, tiles.hyper, h + formulas.LEARNING_RATE)
    momentum = load(F, tiles.hyper, h + formulas.MOMENTUM)
    one_minus_alpha = load(F, tiles.hyper, h + formulas.ONE_MINUS_BETA2)
    epsilon = load(F, tiles.hyper, h + formulas.EPSILON)
    for r in range(first, stop):
        w, g = load(F, rows, r), load(F, rows, gradients + r)
        square = formulas.decaying_square(load(F, rows, squares + r), one_minus_alpha, g)
        direction = formulas.rmsprop_direction(g, square, epsilon)
        store(rows, squares + r, square)
        if plan.has_momentum:
            velocity = load(F, rows, velocities + r)
            new, velocity = formulas.sgd_momentum(w, direction, velocity, learning_rate, momentum, False)
            store(rows, velocities + r, velocity)
        else:
            new = formulas.sgd(w, direction, learning_rate)
        store(rows, r, select(active, new, w))


@inline
def _rprop(F, net, tiles, first, stop, h, active):
    rows, gradients = tiles.rows, net.state_step
    previous_gradients, steps = gradients + net.state_step, gradients + 2 * net.state_step
    eta_minus, eta_plus = load(F, tiles.hyper, h + formulas.ETA_MINUS), load(F, tiles.hyper, h + formulas.ETA_PLUS)
    min_step, max_step = load(F, tiles.hyper, h + formulas.MIN_STEP), load(F, tiles.hyper, h + formulas.MAX_STEP)
    for r in range(first, stop):
        w, g = load(F, rows, r), load(F, rows, gradients + r)
        previous, step = load(F, rows, previous_gradients + r), load(F, rows, steps + r)
        new, previous, step = formulas.rprop(w, g, previous, step, eta_minus, eta_plus, min_step, max_step)
        store(rows, previous_gradients + r, previous)
        store(rows, steps + r, step)
        store(rows, r, select(active, new, w))


@inline
def advance_powers(F, plan, tiles, tile, corrections):
    """Adam's 1 / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) of the next step, by repeated multiplication in float64."""
    powers, width = tiles.powers, tiles.width
    first = tile * 4 * width
    for lane in range(1 if plan.same_betas else width):
        power1, power2 = first + 2 * width + lane, first + 3 * width + lane
        powers[power1] = _normal_or_zero(powers[power1] * powers[first + lane])
        powers[power2] = _normal_or_zero(powers[power2] * powers[first + width + lane])
        corrections[lane] = 1.0 / (1.0 - powers[power1])
        corrections[width + lane] = 1.0 / np.sqrt(1.0 - powers[power2])
    if plan.same_betas:
        store(corrections, 0, broadcast(F, corrections[0]))
        store(corrections, 1, broadcast(F, corrections[width]))
        # in every lane, for a net may move to any
        for lane in range(1, width):
            powers[first + 2 * width + lane] = powers[first + 2 * width]
            powers[first + 3 * width + lane] = powers[first + 3 * width]


@inline
def _normal_or_zero(power):
    """A power so small that it no longer counts is 0: as a subnormal number it would slow every step down."""
    return power if power > 2.0**-1000 else 0.0
