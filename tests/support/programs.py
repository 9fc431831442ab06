"""The published programs in plain NumPy, one net at a time, as their authors wrote them, and with each change.

They share nothing with the library. Where there are many epochs Numba compiles them, which changes no formula.
Each returns the outputs for 00, 01, 10, 11.
"""

import functools

import numba
import numpy as np
from numba.extending import register_jitable

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([0.0, 1.0, 1.0, 0.0])


@register_jitable
def s(z):
    return 1.0 / (1.0 + np.exp(-z))


def no_biases(W1, b1, W2, b2, rate, epochs, right_gradient, leaky, biases):
    W1, b1, W2, b2 = W1.copy(), b1.copy(), W2.copy(), b2.copy()
    o = np.zeros(4)
    for epoch in range(epochs + 1):
        z = X @ W1 + b1
        a = np.maximum(1e-5 * z, z) if leaky else np.maximum(0.0, z)
        o = s((a @ W2)[:, 0] + b2[0])
        if epoch == epochs:
            break
        loss_by_o = np.where(Y == 1.0, -1.0 / o, 1.0 / (1.0 - o))
        d = loss_by_o * (o * (1.0 - o)) if right_gradient else loss_by_o * (s(o) * (1.0 - s(o)))
        d2 = d.copy().reshape(4, 1)
        d1 = (d2 @ W2.T) * np.where(a > 0.0, 1.0, 0.0)
        W2 -= rate * (a.T @ d2)
        W1 -= rate * (X.T @ d1)
        if biases:
            b2 -= rate * d2.sum(axis=0)
            b1 -= rate * d1.sum(axis=0)
    return o


def relu_output(W1, b1, W2, b2, W3, b3, W4, b4, rate, epochs, right_bias, output):
    """`output` is 0 for ReLU, 1 for sigmoid with the squared error, 2 for sigmoid with its cross-entropy."""
    W1, b1, W2, b2, W3, b3, W4, b4 = (
        W1.copy(),
        b1.copy(),
        W2.copy(),
        b2.copy(),
        W3.copy(),
        b3.copy(),
        W4.copy(),
        b4.copy(),
    )
    o = np.zeros(4)
    for epoch in range(epochs + 1):
        for k in (0, 3, 2, 1):
            x, t = X[k], Y[k]
            h1 = np.maximum(0.0, x @ W1 + b1)
            h2 = np.maximum(0.0, h1 @ W2 + b2)
            h3 = np.maximum(0.0, h2 @ W3 + b3)
            z = (h3 @ W4)[0] + b4[0]
            o[k] = max(0.0, z) if output == 0 else s(z)
            if epoch == epochs:
                continue
            if output == 0:
                slope = 1.0 if o[k] > 0.0 else 0.0
                d4 = np.full(1, 2.0 * (o[k] - t) * slope)
            elif output == 1:
                d4 = np.full(1, 2.0 * (o[k] - t) * o[k] * (1.0 - o[k]))
            else:
                d4 = np.full(1, o[k] - t)
            d3 = (W4 @ d4) * (h3 > 0.0)
            d2 = (W3 @ d3) * (h2 > 0.0)
            d1 = (W2 @ d2) * (h1 > 0.0)
            W4 -= rate * np.outer(h3, d4)
            W3 -= rate * np.outer(h2, d3)
            W2 -= rate * np.outer(h1, d2)
            W1 -= rate * np.outer(x, d1)
            if right_bias:
                b4 -= rate * d4
                b3 -= rate * d3
                b2 -= rate * d2
                b1 -= rate * d1
            else:  # one number, the sum over all the layer's units
                b4 -= rate * d4.sum()
                b3 -= rate * d3.sum()
                b2 -= rate * d2.sum()
                b1 -= rate * d1.sum()
    return o


def tiny_weights(W1, b1, W2, b2, W3, b3, rate, epochs, right_derivative):
    W1, b1, W2, b2, W3, b3 = W1.copy(), b1.copy(), W2.copy(), b2.copy(), W3.copy(), b3.copy()
    o = np.zeros(4)
    for epoch in range(epochs + 1):
        a1 = np.maximum(0.0, X @ W1 + b1)
        a2 = np.maximum(0.0, a1 @ W2 + b2)
        o = s((a2 @ W3)[:, 0] + b3[0])
        if epoch == epochs:
            break
        d3 = ((o - Y) / 4.0).copy().reshape(4, 1)
        d2, d1 = d3 @ W3.T, np.zeros_like(a1)
        d2 = d2 * ((a2 > 0.0) if right_derivative else (a2 >= 0.0))
        d1 = d2 @ W2.T
        d1 = d1 * ((a1 > 0.0) if right_derivative else (a1 >= 0.0))
        W3 -= rate * (a2.T @ d3)
        b3 -= rate * d3.sum(axis=0)
        W2 -= rate * (a1.T @ d2)
        b2 -= rate * d2.sum(axis=0)
        W1 -= rate * (X.T @ d1)
        b1 -= rate * d1.sum(axis=0)
    return o


def one_hot(W1, b1, W2, b2, W3, b3, rate, epochs, right_sigmoid):
    W1, b1, W2, b2, W3, b3 = W1.copy(), b1.copy(), W2.copy(), b2.copy(), W3.copy(), b3.copy()
    o = np.zeros((4, 2))
    for epoch in range(epochs + 1):
        for k in range(4):
            x, t = X[k], np.array([1.0 - Y[k], Y[k]])
            z1 = x @ W1 + b1
            f1 = s(z1) if right_sigmoid else 1.0 / (1.0 + s(-z1))
            z2 = f1 @ W2 + b2
            f2 = s(z2) if right_sigmoid else 1.0 / (1.0 + s(-z2))
            z3 = f2 @ W3 + b3
            o[k] = s(z3) if right_sigmoid else 1.0 / (1.0 + s(-z3))
            if epoch == epochs:
                continue
            d3 = o[k] - t
            d2 = (W3 @ d3) * f2 * (1.0 - f2)
            d1 = (W2 @ d2) * f1 * (1.0 - f1)
            W3 -= rate * np.outer(f2, d3)
            b3 -= rate * d3
            W2 -= rate * np.outer(f1, d2)
            b2 -= rate * d2
            W1 -= rate * np.outer(x, d1)
            b1 -= rate * d1
    return o


def all_sigmoid(W1, b1, W2, b2, W3, b3, rate, epochs, divisor, tanh):
    W1, b1, W2, b2, W3, b3 = W1.copy(), b1.copy(), W2.copy(), b2.copy(), W3.copy(), b3.copy()
    o = np.zeros(4)
    for epoch in range(epochs + 1):
        z1 = X @ W1 + b1
        a1 = np.tanh(z1) if tanh else s(z1)
        z2 = a1 @ W2 + b2
        a2 = np.tanh(z2) if tanh else s(z2)
        o = s((a2 @ W3)[:, 0] + b3[0])
        if epoch == epochs:
            break
        d3 = (o - Y).copy().reshape(4, 1)
        d2 = (d3 @ W3.T) * ((1.0 - a2 * a2) if tanh else a2 * (1.0 - a2))
        d1 = (d2 @ W2.T) * ((1.0 - a1 * a1) if tanh else a1 * (1.0 - a1))
        W3 -= rate * (a2.T @ d3) / divisor
        b3 -= rate * d3.sum(axis=0) / divisor
        W2 -= rate * (a1.T @ d2) / divisor
        b2 -= rate * d2.sum(axis=0) / divisor
        W1 -= rate * (X.T @ d1) / divisor
        b1 -= rate * d1.sum(axis=0) / divisor
    return o


def keras(W1, b1, W2, b2, W3, b3, rate, epochs, softmax):
    """Adam by its paper, epsilon 1e-7, on the three layers' parameters."""
    P = [W1.copy(), b1.reshape(1, -1).copy(), W2.copy(), b2.reshape(1, -1).copy(), W3.copy(), b3.reshape(1, -1).copy()]
    M, V = [np.zeros_like(p) for p in P], [np.zeros_like(p) for p in P]
    n_out = W3.shape[1]
    o = np.zeros((4, n_out))
    T = np.zeros((4, n_out))
    for k in range(4):
        T[k, n_out - 1] = Y[k]
        if softmax:
            T[k, 0] = 1.0 - Y[k]
    for epoch in range(epochs + 1):
        a1 = np.maximum(0.0, X @ P[0] + P[1])
        a2 = np.maximum(0.0, a1 @ P[2] + P[3])
        z = a2 @ P[4] + P[5]
        if softmax:
            e = np.exp(z - np.maximum(z[:, 0], z[:, 1]).copy().reshape(4, 1))
            o = e / e.sum(axis=1).copy().reshape(4, 1)
        else:
            o = s(z)
        if epoch == epochs:
            break
        d3 = (o - T) / 4.0
        d2 = (d3 @ P[4].T) * (a2 > 0.0)
        d1 = (d2 @ P[2].T) * (a1 > 0.0)
        G = [
            X.T @ d1,
            d1.sum(axis=0).reshape(1, -1),
            a1.T @ d2,
            d2.sum(axis=0).reshape(1, -1),
            a2.T @ d3,
            d3.sum(axis=0).reshape(1, -1),
        ]
        step = epoch + 1
        for k in range(6):
            M[k] = 0.9 * M[k] + 0.1 * G[k]
            V[k] = 0.999 * V[k] + 0.001 * G[k] * G[k]
            P[k] -= rate * (M[k] / (1.0 - 0.9**step)) / (np.sqrt(V[k] / (1.0 - 0.999**step)) + 1e-7)
    return o


compiled = functools.cache(numba.njit(error_model="numpy"))
MANY_EPOCHS = 500


def of(program, parameters, rate, epochs, **flags):
    """The outputs of one net, (4, n_out)."""
    run = compiled(program) if epochs > MANY_EPOCHS else program
    with np.errstate(all="ignore"):
        return np.asarray(run(*parameters, rate, epochs, *flags.values())).reshape(4, -1)


NO = {"right_gradient": False, "leaky": False, "biases": False}
RO = {"right_bias": False, "output": 0}
SEVEN = {
    "no-biases": (
        no_biases,
        [
            (0.1, NO),
            (0.1, {**NO, "right_gradient": True}),
            (0.001, NO),
            (0.1, {**NO, "leaky": True}),
            (0.001, {**NO, "leaky": True}),
            (0.1, {**NO, "biases": True}),
            (0.1, NO),
            (0.1, {"right_gradient": True, "leaky": False, "biases": True}),
        ],
    ),
    "relu-output": (
        relu_output,
        [
            (0.01, RO),
            (0.01, {"right_bias": True, "output": 0}),
            (0.01, {"right_bias": False, "output": 1}),
            (0.01, {"right_bias": True, "output": 1}),
            (0.01, RO),
            (0.01, {"right_bias": True, "output": 2}),
        ],
    ),
    "tiny-weights": (
        tiny_weights,
        [
            (0.01, {"right_derivative": False}),
            (0.01, {"right_derivative": True}),
            (0.01, {"right_derivative": False}),
            (0.5, {"right_derivative": False}),
            (0.01, {"right_derivative": False}),
            (0.5, {"right_derivative": True}),
        ],
    ),
    "one-hot": (
        one_hot,
        [
            (0.5, {"right_sigmoid": False}),
            (0.5, {"right_sigmoid": True}),
            (0.5, {"right_sigmoid": False}),
            (0.5, {"right_sigmoid": True}),
        ],
    ),
    "2-2-2-1": (
        all_sigmoid,
        [
            (0.15, {"divisor": 2.0, "tanh": False}),
            (0.15, {"divisor": 4.0, "tanh": False}),
            (0.5, {"divisor": 2.0, "tanh": False}),
            (0.15, {"divisor": 2.0, "tanh": False}),
            (0.15, {"divisor": 2.0, "tanh": True}),
            (0.5, {"divisor": 2.0, "tanh": True}),
        ],
    ),
    "keras-sigmoid": (keras, [(rate, {"softmax": False}) for rate in (0.001, 0.01, 0.001, 0.01)]),
    "keras-softmax": (keras, [(rate, {"softmax": True}) for rate in (0.001, 0.01, 0.001, 0.01)]),
}
"""For each published program its twin, and for each row of the gallery the learning rate and what is changed."""
