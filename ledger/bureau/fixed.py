"""Integer arithmetic of the score: 2^-x, log2, and quantiles of the Beta distribution.

Nothing here is a float, and every result is the same on every machine. Tables are derived from
their definitions when the module is loaded, with exact integer roots and squarings, so that another
language can derive the same ones. All divisions and right shifts are of non-negative numbers and
round down. Outside of the tables' derivation every intermediate stays below 2^53; the bound stands
beside each product.

Fixed point: Qn is an integer in units of 2^-n.
"""

from itertools import pairwise
from math import isqrt
from typing import Final

Q16_ONE: Final = 1 << 16
Q22_ONE: Final = 1 << 22
Q30_ONE: Final = 1 << 30

_STEPS: Final = 256  # of the table of 2^-x over one halving
_LOG_STEPS: Final = 1_024  # of the table of log2 over one doubling


def _exp2_table() -> tuple[int, ...]:
    """⌊2^(30 − i/256)⌋ for i = 0…256: the 256th root of 2^(30·256 − i), by eight square roots."""
    table = []
    for i in range(_STEPS + 1):
        value = 1 << (30 * _STEPS - i)
        for _ in range(8):
            value = isqrt(value)
        table.append(value)
    return tuple(table)


def _log2_of(value: int) -> int:
    """log2 of value / 2^64 in Q22, for 2^64 ≤ value < 2^65: 22 squarings, each rounded down."""
    result = 0
    for _ in range(22):
        value = value * value >> 64
        result <<= 1
        if value >> 65:
            value >>= 1
            result += 1
    return result


def _log2_table() -> tuple[int, ...]:
    """⌊log2(1 + i/1024) · 2^22⌋ for i = 0…1024, as `_log2_of` finds it."""
    inner = [_log2_of(((_LOG_STEPS + i) << 64) // _LOG_STEPS) for i in range(_LOG_STEPS)]
    return (*inner, Q22_ONE)


_EXP2: Final = _exp2_table()
_LOG2: Final = _log2_table()


def exp2_minus(x_q16: int) -> int:
    """2^-x in Q30 for x ≥ 0 in Q16: the table, linear between its steps. 0 from x = 31 on."""
    whole, part = x_q16 >> 16, x_q16 & 0xFFFF
    if whole > 30:
        return 0
    step, rest = part >> 8, part & 0xFF
    high, low = _EXP2[step], _EXP2[step + 1]
    return (high - ((high - low) * rest >> 8)) >> whole  # < 2^30 · 2^8


def log2_q22(value: int) -> int:
    """log2 of a whole number 1 ≤ value < 2^53, in Q22: the table, linear between its steps."""
    exponent = value.bit_length() - 1
    mantissa = value << (52 - exponent)  # 2^52 ≤ mantissa < 2^53
    step, rest = (mantissa >> 42) - _LOG_STEPS, (mantissa >> 26) & 0xFFFF
    low, high = _LOG2[step], _LOG2[step + 1]
    return exponent * Q22_ONE + low + ((high - low) * rest >> 16)  # < 2^13 · 2^16


def ratio_q16(part: int, rest: int) -> int:
    """⌊part · 2^16 / (part + rest)⌋, held between 1 and 65,535; both ≥ 0, the sum 1…2^52 − 1.

    Large ones are divided bit by bit, so that it is exact (and never falls when `part` rises)
    below 2^53.
    """
    total, found = part + rest, 0
    if not rest:
        return Q16_ONE - 1
    if not total >> 37:
        return max(1, (part << 16) // total)
    for _ in range(16):
        part <<= 1
        found <<= 1
        if part >= total:
            part -= total
            found += 1
    return max(1, found)


def logit_points(p_q16: int, odds: int, per_doubling: int) -> int:
    """per_doubling · log2(p / (1 − p) / odds), rounded to the nearest, halves away from 0.

    0 < p_q16 < 65,536; odds ≤ 1,024; per_doubling ≤ 10,000.
    """
    doublings = log2_q22(p_q16) - log2_q22(Q16_ONE - p_q16) - log2_q22(odds)
    size = (per_doubling * abs(doublings) + (Q22_ONE >> 1)) >> 22  # < 2^14 · 2^27
    return size if doublings >= 0 else -size


# --- Beta quantiles ---
#
# In u = log2(odds) the density of Beta(a, b) is proportional to 2^L(u) with
#     L(u) = −a · log2(1 + 2^-u) − b · log2(1 + 2^u),
# smooth, with one top at u0 = log2(a/b) and a spread of about sqrt(1/a + 1/b) / ln 2. It is summed
# by the trapezoid rule in eighths of the spread, outward from the top, to u = ±16 (beyond which Q16
# cannot tell a probability from 0 or 1) or to where it has fallen by 2^-20. What lies beyond ±16
# falls as 2^(a·u) and 2^(−b·u), so that its mass is density / (a · ln 2) and density / (b · ln 2).

EVIDENCE_MAX_Q16: Final = 1_024 * Q16_ONE
EVIDENCE_MIN_Q16: Final = 656
_EDGE_Q16: Final = 16 * Q16_ONE
_LN2_Q16: Final = 45_426
_PER_SPREAD: Final = 8
_TAIL_PERCENT: Final = 5


def beta_interval(a_q16: int, b_q16: int) -> tuple[int, int]:
    """The 5 % and 95 % quantiles of Beta(a, b), all in Q16; 0 ≤ a, b ≤ 2^37.

    a + b is scaled down to at most 1,024, and both are taken as at least 0.01.
    """
    a, b = _clip(a_q16, b_q16)
    step = max(1, (isqrt(((1 << 36) // a + (1 << 36) // b) << 12) << 16) // _LN2_Q16 // _PER_SPREAD)
    tilt = log2_q22(a) - log2_q22(b)
    top = min(_EDGE_Q16, abs(tilt) >> 6) * (1 if tilt >= 0 else -1)
    least = _fall(a, b, top)
    left, left_heights = _walk(a, b, top, -step, least)
    right, right_heights = _walk(a, b, top, step, least)
    places = [*reversed(left), top, *right]
    heights = [*reversed(left_heights), 1 << 20, *right_heights]
    below = _tail(heights[0], a, step) if places[0] <= -_EDGE_Q16 + step else 0
    above = _tail(heights[-1], b, step) if places[-1] >= _EDGE_Q16 - step else 0
    masses = [low + high for low, high in pairwise(heights)]
    share = (below + sum(masses) + above) * _TAIL_PERCENT // 100  # < 2^46 · 2^3
    low = _place(places, masses, share - below)
    high = -_place([-u for u in reversed(places)], masses[::-1], share - above)
    return _odds_to_q16(low), _odds_to_q16(high)


def _clip(a: int, b: int) -> tuple[int, int]:
    """Q16: scaled so that their sum is at most `EVIDENCE_MAX_Q16`, both at least 0.01."""
    total = a + b  # ≤ 2^38
    if total > EVIDENCE_MAX_Q16:
        shift = max(0, total.bit_length() - 27)
        a = (a >> shift) * EVIDENCE_MAX_Q16 // (total >> shift)  # < 2^27 · 2^26
        b = EVIDENCE_MAX_Q16 - a
    return max(EVIDENCE_MIN_Q16, a), max(EVIDENCE_MIN_Q16, b)


def _fall(a: int, b: int, u: int) -> int:
    """−L(u) in Q22 for a, b, u in Q16."""
    near = log2_q22(Q30_ONE + exp2_minus(abs(u))) - 30 * Q22_ONE
    far = near + (abs(u) << 6)  # log2(1 + 2^u) = log2(1 + 2^-u) + u
    left, right = (near, far) if u >= 0 else (far, near)
    return (a * left + b * right) >> 16  # a + b ≤ 2^26 + 656; left, right ≤ 17 · 2^22


def _walk(a: int, b: int, top: int, step: int, least: int) -> tuple[list[int], list[int]]:
    """The places outward from the top, as long as there is any density, and their densities (Q20 of
    the top's): 2^-(_fall(u) − least), with `_fall`, `exp2_minus` and `log2_q22` written out, for
    this is where most of an answer's time goes."""
    exp2, log2 = _EXP2, _LOG2
    places: list[int] = []
    densities: list[int] = []
    u = top + step
    while -_EDGE_Q16 <= u <= _EDGE_Q16:
        size = u if u >= 0 else -u
        # near = log2(1 + 2^-|u|): of a number from 2^30 to 2^31, in Q22
        high = exp2[cell := size >> 8 & 0xFF]
        number = Q30_ONE + (high - ((high - exp2[cell + 1]) * (size & 0xFF) >> 8) >> (size >> 16))
        if number >> 31:
            near = Q22_ONE
        else:
            low = log2[cell := (number >> 20) - _LOG_STEPS]
            near = low + ((log2[cell + 1] - low) * (number >> 4 & 0xFFFF) >> 16)
        far = near + (size << 6)
        fall = (a * near + b * far >> 16) if u >= 0 else (a * far + b * near >> 16)
        x = fall - least >> 6 if fall > least else 0
        if x >> 16 > 30:
            break
        high = exp2[cell := x >> 8 & 0xFF]
        density = high - ((high - exp2[cell + 1]) * (x & 0xFF) >> 8) >> (x >> 16) + 10
        if not density:
            break
        places.append(u)
        densities.append(density)
        u += step
    return places, densities


def _tail(density: int, weight: int, step: int) -> int:
    """2 · density / (weight · ln 2): twice the mass beyond the edge, in steps of Q20 density."""
    mass = (density << 16) // weight  # ≤ 2^36 / 656
    return 2 * (((mass << 16) // _LN2_Q16 << 16) // step)  # < 2^44


def _place(places: list[int], masses: list[int], share: int) -> int:
    """The u under which `share` of the masses between the places lies, linear inside each."""
    for at, mass in enumerate(masses):
        if share <= mass:
            width = places[at + 1] - places[at]
            return places[at] + width * max(0, share) // max(1, mass)  # < 2^21 · 2^21
        share -= mass
    return places[-1]


def _odds_to_q16(u: int) -> int:
    """The probability at log2(odds) u."""
    less = exp2_minus(abs(u))
    return ratio_q16(Q30_ONE, less) if u >= 0 else ratio_q16(less, Q30_ONE)
