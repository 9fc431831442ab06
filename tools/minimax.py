"""Print the polynomial coefficients in `fastmlp/_simd/elementary.py`: `python tools/minimax.py` (needs mpmath).

Each is the polynomial of least greatest weighted error, found by Remez's exchange algorithm in 50 digits, then
rounded to the precision it is for. Reference: Muller, Elementary Functions, 3rd edition (2016), chapter 3.
"""

import numpy as np
from mpmath import cos, erf, erfc, exp, expm1, log, lu_solve, matrix, mp, mpf, pi, polyval, sin, sqrt, tanh

mp.dps = 50


def minimax(function, weight, low, high, degree, rounds=12):
    """Coefficients c[0…degree] that minimise the maximum of |weight(x) · (c(x) − function(x))| on [low, high]."""
    low, high = mpf(low), mpf(high)
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * cos(pi * k / (degree + 1)) for k in range(degree + 2)]
    grid = [middle - half * cos(pi * k / (40 * (degree + 2))) for k in range(40 * (degree + 2) + 1)]
    for _ in range(rounds):
        system = matrix(degree + 2, degree + 2)
        right = matrix(degree + 2, 1)
        for row, x in enumerate(nodes):
            for power in range(degree + 1):
                system[row, power] = x**power
            system[row, degree + 1] = (-1) ** row / weight(x)
            right[row] = function(x)
        solution = lu_solve(system, right)
        coefficients = [solution[k] for k in range(degree + 1)]
        errors = [weight(x) * (polyval(coefficients[::-1], x) - function(x)) for x in grid]
        nodes = _alternating_extremes(grid, errors, degree + 2)
    return coefficients, max(map(abs, errors))


def _alternating_extremes(grid, errors, count):
    """The points of greatest error, one from each stretch of one sign, `count` neighbours of them."""
    stretches = []
    for x, error in zip(grid, errors, strict=True):
        if stretches and (stretches[-1][1] > 0) == (error > 0):
            if abs(error) > abs(stretches[-1][1]):
                stretches[-1] = (x, error)
        else:
            stretches.append((x, error))
    while len(stretches) > count:
        stretches.pop(0 if abs(stretches[0][1]) < abs(stretches[-1][1]) else -1)
    if len(stretches) < count:
        raise ArithmeticError("the error does not alternate often enough: the degree is too high for the digits")
    return [x for x, _ in stretches]


def removable(function, at_zero):
    """`function`, with its limit at (and very near) the removable singularity 0."""
    return lambda x: at_zero if abs(x) < mpf(10) ** -15 else function(x)


LN2, SQRT2 = log(mpf(2)), sqrt(mpf(2))
EXP = removable(lambda r: (exp(r) - 1 - r) / r**2, mpf(1) / 2)
LOG1P = removable(lambda f: (log(1 + f) - f + f**2 / 2) / f**3, mpf(1) / 3)
TANH = removable(lambda y: (tanh(sqrt(y)) / sqrt(y) - 1) / y, -mpf(1) / 3)
SIN = removable(lambda y: (sin(pi / 2 * sqrt(y)) / sqrt(y) - pi / 2) / y, -((pi / 2) ** 3) / 6)
COS = removable(lambda y: (cos(pi / 2 * sqrt(y)) - 1) / y, -((pi / 2) ** 2) / 2)
ERF = removable(lambda y: erf(sqrt(y)) / sqrt(y) - 1, 2 / sqrt(pi) - 1)
EXPM1 = removable(lambda r: (expm1(r) - r) / r**2, mpf(1) / 2)

# name, function, weight, interval, degree for single and for double precision (None: not needed)
FITS = (
    ("exp(r) = 1 + r + r² c(r)", EXP, lambda r: r**2 + mpf(10) ** -20, -LN2 / 2, LN2 / 2, 4, 9),
    ("log(1+f) = f − f²/2 + f³ c(f)", LOG1P, lambda f: f**2 + mpf(10) ** -20, SQRT2 / 2 - 1, SQRT2 - 1, 8, 19),
    ("tanh(x) = x + x³ c(x²)", TANH, lambda y: y + mpf(10) ** -20, 0, mpf("0.4"), 4, 11),
    ("1/(1+e) on [0, 1]", lambda e: 1 / (1 + e), lambda e: 1 + e, 0, 1, 3, 3),
    ("sin(π r/2) = π r/2 + r³ c(r²)", SIN, lambda y: y + mpf(10) ** -20, 0, mpf(1) / 4, None, 6),
    ("erf(x) = x + x c(x²) for x² <= 1", ERF, lambda _: mpf(1), 0, 1, 6, 12),
    ("erfc(x) = exp(−c(x)) on [1, 4], float32", lambda x: -log(erfc(x)), erfc, 1, 4, 7, None),
    ("erfc(x) = exp(−c(x)) on [1, 6], float64", lambda x: -log(erfc(x)), erfc, 1, 6, None, 18),
    ("expm1(r) = r + r² c(r)", EXPM1, lambda r: abs(r) + mpf(10) ** -20, -LN2 / 2, LN2 / 2, 4, 10),
    ("cos(π r/2) = 1 + r² c(r²)", COS, lambda y: y + mpf(10) ** -20, 0, mpf(1) / 4, None, 7),
)


def main():
    for name, function, weight, low, high, *degrees in FITS:
        for kind, degree in zip((np.float32, np.float64), degrees, strict=True):
            if degree is None:
                continue
            coefficients, error = minimax(function, weight, low, high, degree)
            print(f"{name}  {kind.__name__}, greatest weighted error 2^{float(log(error, 2)):.1f}")
            print("    (" + ", ".join(repr(float(kind(float(c)))) for c in coefficients) + "),")


if __name__ == "__main__":
    main()
