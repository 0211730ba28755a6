"""From what evidence weighs to a probability: what is good and what is bad about somebody.

All masses are Q16. The order of evaluation:

1. *Prior*: c = prior_strength results at the newcomers' rate μ, of which strong words against
   somebody leave `μ · (1 − doubt · B / (B + G + doubt_half))`; G, B: lasting sums.
2. *Distrust*: strong bad words above `distrust_from` divide all good words.
3. *Caps*: nobodies' words of one sign add up to a cap, all that are not strong to another.
4. *Offset*: all that is bad is divided by 2^offset, or all that is good by 2^−offset.
5. *Lift*: good words that are not strong raise the probability by at most `weak_lift` above what it
   would be without them; the bound loosens, the less there is against somebody.
6. *Drop*: bad words that are not strong, and what the last of them add, lower it by at most
   `weak_drop` below what it would be without them; nobodies' and the last ones by `nobody_drop`.

So, whatever the number of accounts behind them, words that nobody vouches for move a probability by
bounded steps only.
"""

from dataclasses import dataclass
from typing import Final

from ledger.bureau.fixed import exp2_minus, ratio_q16
from ledger.bureau.model import Q16_ONE, Model
from ledger.bureau.weights import Mass

_OVER_MAX_Q16: Final = 64 * Q16_ONE
_UNBOUND: Final = 2**36


@dataclass(frozen=True, slots=True)
class Basis:
    """All that a probability is made of: masses, what lasts of them, the last word (doublings),
    the newcomers' rate (Q16), and the platform's offset in doublings of the odds (signed Q16)."""

    good: Mass
    bad: Mass
    lasting_good: int
    lasting_bad: int
    last_word: int
    rate: int
    offset: int


@dataclass(frozen=True, slots=True)
class Belief:
    """What is for and against somebody (Q16), the offset applied; and how much of it is on the
    platform's own word (before the offset)."""

    plus: int
    minus: int
    attested: int

    @property
    def probability_q16(self) -> int:
        """The probability that the next result is good, 1…65,535."""
        return ratio_q16(self.plus, self.minus)


def believe(basis: Basis, model: Model) -> Belief:
    """Weigh good against bad. No intermediate reaches 2^53."""
    good, bad = basis.good, basis.bad
    factor = exp2_minus(abs(basis.offset)) >> 14
    for_plus = factor if basis.offset < 0 else Q16_ONE
    for_minus = factor if basis.offset > 0 else Q16_ONE
    prior_good = model.prior_strength * _doubted(basis, model) >> 16
    trusted = _trusted(good.strong, bad.strong, model)
    base_good = (prior_good + good.attested + trusted) * for_plus >> 16  # ≤ 2^36 · 2^16
    base_bad = model.prior_strength - prior_good + bad.attested + bad.strong
    base_bad = base_bad * for_minus >> 16
    nobody = min(model.nobody_bad_cap, bad.nobody)
    weak = min(model.weak_bad_cap, bad.weak)
    nobody = min(nobody, model.weak_bad_cap - weak)
    loose = _looseness(bad.attested + bad.strong + weak + nobody, model)
    weak, nobody = weak * for_minus >> 16, nobody * for_minus >> 16
    lifted = min(model.weak_good_cap, good.weak + min(model.nobody_good_cap, good.nobody))
    lifted = _trusted(lifted, bad.strong, model) * for_plus >> 16
    bound = model.weak_lift + loose
    plus = base_good + min(lifted, _lift(base_good, base_bad + weak + nobody, bound))
    minus = _against(plus, base_bad, _Words(weak, nobody, basis.last_word), model)
    return Belief(plus, minus, good.attested + bad.attested)


def _doubted(basis: Basis, model: Model) -> int:
    """The newcomers' rate, less what strong words against somebody take from it (Q16)."""
    lasting = basis.lasting_good + basis.lasting_bad + model.doubt_half
    share = model.doubt * basis.lasting_bad // lasting  # ≤ 2^16 · 2^34
    return basis.rate - (basis.rate * share >> 16)


def _trusted(amount: int, strong_bad: int, model: Model) -> int:
    """What is left of good words against so much in strong bad ones."""
    over = min(_OVER_MAX_Q16, max(0, strong_bad - model.distrust_from))
    factor = Q16_ONE + min(model.distrust_max, model.distrust_slope * over >> 16)
    return amount * Q16_ONE // factor  # ≤ 2^34 · 2^16


def _looseness(against: int, model: Model) -> int:
    """How much the bound on the lift is loosened: by 1 if nothing is against somebody (Q16)."""
    return Q16_ONE - min(model.weak_lift_from, against) * Q16_ONE // model.weak_lift_from


def _lift(plus: int, minus: int, lift: int) -> int:
    """How much may be added to what is good until the probability has risen by so much."""
    target = ratio_q16(plus, minus) + lift
    if target >= Q16_ONE:
        return _UNBOUND
    return max(0, minus * target // (Q16_ONE - target) - plus)  # ≤ 2^36 · 2^16


def _drop(plus: int, minus: int, drop: int) -> int:
    """How much may be added to what is bad until the probability has dropped by so much."""
    target = ratio_q16(plus, minus) - drop
    if target <= 0:
        return _UNBOUND
    return max(0, plus * (Q16_ONE - target) // target - minus)  # ≤ 2^36 · 2^16


@dataclass(frozen=True, slots=True)
class _Words:
    """Bad words that are not strong (Q16), and what the last of them add (doublings)."""

    weak: int
    nobody: int
    last: int


def _against(plus: int, base_bad: int, words: _Words, model: Model) -> int:
    """All that is bad, what is not strong as far as it may drop the probability."""
    told = base_bad + words.weak + words.nobody
    if words.last:
        told = told * Q16_ONE // (exp2_minus(words.last) >> 14)  # ≤ 2^36 · 2^16
    most = base_bad + _drop(plus, base_bad, model.weak_drop)
    known = min(base_bad + words.weak, most)
    return min(told, most, known + _drop(plus, known, model.nobody_drop))
