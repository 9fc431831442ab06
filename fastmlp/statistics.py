"""Shares of many trials: confidence intervals, tests, and their text form."""

from __future__ import annotations

from math import ceil, comb, log, sqrt
from typing import Any

import numpy as np

FAR_APART = 0.3
MANY_PAIRS = 1000  # from this many trials on, the difference is nearly normal
Z995 = 2.807033768343811  # 99.5 % of a normal distribution lie within this many standard deviations
Z95 = 1.959963984540054  # 95 % of a normal distribution lie within this many standard deviations


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share. Reference: Wilson, Probable inference, the law of succession, 1927."""
    low, high = wilson_intervals(np.array([successes]), np.array([trials]))
    return float(low[0]), float(high[0])


def wilson_intervals(successes: Any, trials: Any) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper ends of `wilson_interval` for arrays of counts."""
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    share = successes / trials
    middle = (share + Z95 * Z95 / (2 * trials)) / (1 + Z95 * Z95 / trials)
    half = Z95 / (1 + Z95 * Z95 / trials) * np.sqrt(share * (1 - share) / trials + Z95 * Z95 / (4 * trials * trials))
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)


def percent(share: float) -> str:
    """A share in % with two decimals, or four if two would round it to 0 or 100 %."""
    near_an_end = 0 < share < 5e-5 or 5e-5 > 1 - share > 0
    return f"{share:.4%}" if near_an_end else f"{share:.2%}"


def spoken_score(score: float | None) -> str:
    """A score with three decimals, or "below -100"."""
    if score is None:
        return ""
    return f"{score:.3f}" if score > -100 else "below -100"


def interval(successes: int, trials: int) -> str:
    """The 95 % interval of a share, as text."""
    low, high = wilson_interval(successes, trials)
    low, high = (
        0.0 if successes == 0 else low,
        1.0 if successes == trials else high,
    )  # the bounds are 0 and 1 up to rounding
    return f"{percent(low)} to {percent(high)}"


def differ(successes: int, trials: int, others: int, other_trials: int) -> bool:
    """Whether two shares differ significantly: by four standard deviations of their difference."""
    pooled = (successes + others) / (trials + other_trials)
    deviation = sqrt(max(pooled * (1 - pooled), 1e-300) * (1 / trials + 1 / other_trials))
    return abs(successes / trials - others / other_trials) > 4 * deviation


def pairs_differ(gained: int, lost: int, n_pairs: int) -> bool:
    """Whether a change matters for nets of the same seeds, of which it solved some and lost others.

    By McNemar's exact test, at 0.5 %, or at 5 % where the shares are 30 % apart.

    Reference: McNemar, Note on the sampling error of the difference between
    correlated proportions or percentages, 1947.
    """
    n, fewer = gained + lost, min(gained, lost)
    if n > MANY_PAIRS:
        return abs(gained - lost) > Z995 * sqrt(n)
    chance = 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    return chance < 0.005 or (chance < 0.05 and abs(gained - lost) >= FAR_APART * n_pairs)


def restarts_needed(share: float, certainty: float = 0.99) -> int | None:
    """Number of restarts for at least one success with this probability; None if the share of successes is 0."""
    if share <= 0:
        return None
    return 1 if share >= certainty else ceil(log(1 - certainty) / log(1 - share))


def listed(title: str, items: list[str], shown: int = 10) -> str:
    """A line with the first of some items, and the number of others."""
    more = f", … and {len(items) - shown:,} more" if len(items) > shown else ""
    return f"{title}: {', '.join(items[:shown])}{more}"
