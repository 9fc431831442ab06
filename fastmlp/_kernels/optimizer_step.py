"""Optimizer steps on a tile's parameters, from its gradient rows: the loops around `formulas`.

It knows nothing of samples. Hyperparameters are those of `formulas`. F is the vector of W numbers, one for each net; V
is that of a row of parameters: F if lanes are nets, several parameters of the only net if lanes are units. Rows of
parameters are counted in V. Nets outside the mask `active`, which can be ALL, keep their parameters.
"""

import numpy as np

from fastmlp._kernels.formulas import optimizers
from fastmlp._kernels.formulas.optimizers import Method
from fastmlp._simd.arithmetic import broadcast, fma, ratio, repeat, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, store
from fastmlp._simd.sqrt import sqrt


@inline
def set_rate(F, flags, tiles, tile, factor):
    """Set the learning rate of this epoch, if a schedule or a rule changes it."""
    if flags.scheduled:
        hyper, h = tiles.hyper, tile * optimizers.N_HYPERPARAMETERS
        rate = load(F, hyper, h + optimizers.GIVEN_RATE) * factor
        store(hyper, h + optimizers.LEARNING_RATE, rate)
        if flags.method == Method.ADAM:
            decay = fma(-rate, load(F, hyper, h + optimizers.ADAM_WEIGHT_DECAY), broadcast(F, 1.0))
            store(hyper, h + optimizers.ADAM_DECAY_FACTOR, decay)


@inline
def set_l2(F, flags, tiles, tile, weight_sum):
    """Set L2 for this minibatch: by scikit-learn's conventions it is divided by the sum of the samples' weights."""
    if flags.sklearn:
        hyper, h = tiles.hyper, tile * optimizers.N_HYPERPARAMETERS
        l2 = load(F, hyper, h + optimizers.GIVEN_L2) / weight_sum
        store(hyper, h + optimizers.L2, select(weight_sum > 0.0, l2, 0.0))


@inline
def update(V, F, net, flags, tiles, tile, first, length, n_runs, step, active, corrections):
    """Make the optimizer's step on `n_runs` ranges of `length` rows, the first at `first`, `step` rows apart."""
    h, end = tile * optimizers.N_HYPERPARAMETERS, first + n_runs * step
    if flags.method == Method.SGD:
        for run in range(first, end, step):
            _sgd(V, F, net, flags, tiles, run, run + length, h, active)
    elif flags.method == Method.ADAM:
        settings = adam_settings(V, F, tiles, tile, corrections)
        for run in range(first, end, step):
            adam(V, F, net, flags, tiles.rows, run, run + length, active, settings)
    elif flags.method == Method.RMSPROP:
        for run in range(first, end, step):
            _rmsprop(V, F, net, flags, tiles, run, run + length, h, active)
    elif flags.method == Method.RPROP:
        for run in range(first, end, step):
            _rprop(V, F, net, tiles, run, run + length, h, active)


@inline
def _setting(V, F, tiles, h, number):
    return repeat(V, load(F, tiles.hyper, h + number))


@inline
def add_l2(V, F, net, tiles, tile, first, stop):
    """Add the L2 term to the gradients of such ranges of rows, which must be weights."""
    rows, step = tiles.rows, net.state_step // ratio(V, F)
    l2 = _setting(V, F, tiles, tile * optimizers.N_HYPERPARAMETERS, optimizers.L2)
    for r in range(first, stop):
        store(rows, r + step, optimizers.add_l2(load(V, rows, r + step), load(V, rows, r), l2))


@inline
def _sgd(V, F, net, flags, tiles, first, stop, h, active):
    rows, step = tiles.rows, net.state_step // ratio(V, F)
    learning_rate = _setting(V, F, tiles, h, optimizers.LEARNING_RATE)
    momentum, changing = _setting(V, F, tiles, h, optimizers.SGD_MOMENTUM), repeat(V, active)
    for r in range(first, stop):
        w, g = load(V, rows, r), load(V, rows, r + step)
        if flags.has_momentum:
            before = load(V, rows, r + 2 * step)
            if flags.sklearn:
                new, velocity = optimizers.sgd_rate_in_velocity(w, g, before, learning_rate, momentum, flags.nesterov)
            else:
                new, velocity = optimizers.sgd_momentum(w, g, before, learning_rate, momentum, flags.nesterov)
            store(rows, r + 2 * step, select(changing, velocity, before))
        else:
            new = optimizers.sgd(w, g, learning_rate)
        store(rows, r, select(changing, new, w))


@inline
def adam_settings(V, F, tiles, tile, corrections):
    """Constants of Adam's step."""
    h = tile * optimizers.N_HYPERPARAMETERS
    rate = load(F, tiles.hyper, h + optimizers.LEARNING_RATE) * load(F, corrections, 0)
    return (
        _setting(V, F, tiles, h, optimizers.ADAM_ONE_MINUS_BETA1),
        _setting(V, F, tiles, h, optimizers.ADAM_ONE_MINUS_BETA2),
        _setting(V, F, tiles, h, optimizers.ADAM_EPSILON),
        _setting(V, F, tiles, h, optimizers.ADAM_DECAY_FACTOR),
        repeat(V, rate),
        repeat(V, load(F, corrections, 1)),
    )


@inline
def adam(V, F, net, flags, rows, first, stop, active, settings):
    """Adam's step on the rows `first` to `stop` − 1."""
    step, changing = net.state_step // ratio(V, F), repeat(V, active)
    for r in range(first, stop):
        adam_step(V, flags, rows, r, step, load(V, rows, r + step), changing, settings)


@inline
def adam_step(V, flags, rows, r, state_step, g, changing, settings):
    """Adam's step on row r; its moments are 2 and 3 times `state_step` rows further."""
    mean, root = begin_adam(V, rows, r, state_step, g, changing, settings)
    finish_adam(V, flags, rows, r, mean, root, changing, settings)


@inline
def begin_adam(V, rows, r, state_step, g, changing, settings):
    """The first half of Adam's step: the moments of row r; returns the mean and the root of the square."""
    one_minus_beta1, one_minus_beta2, _, _, _, _ = settings
    means, squares = r + 2 * state_step, r + 3 * state_step
    old_mean, old_square = load(V, rows, means), load(V, rows, squares)
    mean = optimizers.decaying_mean(old_mean, one_minus_beta1, g)
    square = optimizers.decaying_square(old_square, one_minus_beta2, g)
    store(rows, means, select(changing, mean, old_mean))
    store(rows, squares, select(changing, square, old_square))
    return mean, sqrt(square)


@inline
def finish_adam(V, flags, rows, r, mean, root, changing, settings):
    """The second half: the parameters of row r."""
    _, _, epsilon, decay_factor, rate, square_correction = settings
    w = load(V, rows, r)
    decayed = w * decay_factor if flags.has_decay else w
    new = optimizers.adam(decayed, mean, root, rate, square_correction, epsilon)
    store(rows, r, select(changing, new, w))


@inline
def _rmsprop(V, F, net, flags, tiles, first, stop, h, active):
    rows, step = tiles.rows, net.state_step // ratio(V, F)
    learning_rate = _setting(V, F, tiles, h, optimizers.LEARNING_RATE)
    momentum, changing = _setting(V, F, tiles, h, optimizers.RMSPROP_MOMENTUM), repeat(V, active)
    one_minus_alpha = _setting(V, F, tiles, h, optimizers.RMSPROP_ONE_MINUS_ALPHA)
    epsilon = _setting(V, F, tiles, h, optimizers.RMSPROP_EPSILON)
    for r in range(first, stop):
        w, g = load(V, rows, r), load(V, rows, r + step)
        old_square = load(V, rows, r + 2 * step)
        square = optimizers.decaying_square(old_square, one_minus_alpha, g)
        direction = optimizers.rmsprop_direction(g, square, epsilon)
        store(rows, r + 2 * step, select(changing, square, old_square))
        if flags.has_momentum:
            before = load(V, rows, r + 3 * step)
            new, velocity = optimizers.sgd_momentum(w, direction, before, learning_rate, momentum, False)
            store(rows, r + 3 * step, select(changing, velocity, before))
        else:
            new = optimizers.sgd(w, direction, learning_rate)
        store(rows, r, select(changing, new, w))


@inline
def _rprop(V, F, net, tiles, first, stop, h, active):
    rows, state_step = tiles.rows, net.state_step // ratio(V, F)
    eta_minus, eta_plus = (
        _setting(V, F, tiles, h, optimizers.RPROP_ETA_MINUS),
        _setting(V, F, tiles, h, optimizers.RPROP_ETA_PLUS),
    )
    min_step, max_step = (
        _setting(V, F, tiles, h, optimizers.RPROP_MIN_STEP),
        _setting(V, F, tiles, h, optimizers.RPROP_MAX_STEP),
    )
    changing = repeat(V, active)
    for r in range(first, stop):
        w, g = load(V, rows, r), load(V, rows, r + state_step)
        before, old_step = load(V, rows, r + 2 * state_step), load(V, rows, r + 3 * state_step)
        new, previous, step = optimizers.rprop(w, g, before, old_step, eta_minus, eta_plus, min_step, max_step)
        store(rows, r + 2 * state_step, select(changing, previous, before))
        store(rows, r + 3 * state_step, select(changing, step, old_step))
        store(rows, r, select(changing, new, w))


@inline
def advance_powers(F, flags, tiles, tile, active, scratch):
    """Compute Adam's 1 / (1 − β₁ᵗ) and 1 / √(1 − β₂ᵗ) of the next step, with powers by repeated products in float64."""
    powers, width, corrections, lanes = tiles.powers, tiles.width, scratch.corrections, scratch.lanes
    first = tile * 4 * width
    store(lanes, 0, select(active, broadcast(F, 1.0), 0.0))
    for lane in range(1 if flags.same_powers else width):
        power1, power2 = first + 2 * width + lane, first + 3 * width + lane
        if flags.same_powers or lanes[lane] != 0.0:
            powers[power1] = _normal_or_zero(powers[power1] * powers[first + lane])
            powers[power2] = _normal_or_zero(powers[power2] * powers[first + width + lane])
        corrections[lane] = 1.0 / (1.0 - powers[power1])
        corrections[width + lane] = 1.0 / np.sqrt(1.0 - powers[power2])
        if flags.sklearn:  # both corrections go into the step, so that ε is added to the uncorrected root
            corrections[lane] = np.sqrt(1.0 - powers[power2]) / (1.0 - powers[power1])
            corrections[width + lane] = 1.0
    if flags.same_powers:
        store(corrections, 0, broadcast(F, corrections[0]))
        store(corrections, 1, broadcast(F, corrections[width]))
        # in every lane, because compaction may move a net to any
        for lane in range(1, width):
            powers[first + 2 * width + lane] = powers[first + 2 * width]
            powers[first + 3 * width + lane] = powers[first + 3 * width]


@inline
def _normal_or_zero(power):
    """Round a power that no longer affects the step to 0: as a subnormal number it would slow every step."""
    return power if power > 2.0**-1000 else 0.0
