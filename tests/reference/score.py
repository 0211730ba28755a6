"""The score in exact rational arithmetic: slow, literal, nothing rounded but 2^-x (50 digits)."""

from decimal import Decimal, localcontext
from fractions import Fraction

ONE = 65_536
DAY_MS = 86_400_000


def half_power(x):
    """2^-x of a fraction, to 50 digits."""
    with localcontext() as context:
        context.prec = 50
        exponent = -(Decimal(x.numerator) / Decimal(x.denominator))
        return Fraction(Decimal(2) ** exponent)


def weight(evidence, as_of, model):
    """(part on strong words, part on weak words) of one piece of evidence."""
    age = Fraction(max(0, as_of - evidence.at), DAY_MS)
    floor = Fraction(model.floor_good if evidence.sign > 0 else model.floor_bad, ONE)
    decay = floor + (1 - floor) * half_power(age / model.half_life_days)
    scope = Fraction(1)
    if evidence.retrospective:
        scope *= Fraction(model.retrospective_weight, ONE)
    if evidence.elsewhere:
        scope *= Fraction(model.elsewhere_weight, ONE)
    nearness = {"on": ONE, "near": model.near_domain_weight, "far": model.far_domain_weight}
    scope *= Fraction(nearness[evidence.nearness], ONE)
    word = Fraction(max(evidence.standing_q16, model.standing_floor), ONE) / evidence.pair_count
    base = scope * decay * (1 if evidence.attested else word)
    graded = max(evidence.excess_standing_q16, model.standing_floor)
    excess = scope * decay * Fraction(graded, ONE) / evidence.excess_pair_count
    excess *= Fraction(evidence.excess_q16, ONE)
    strong = weak = Fraction(0)
    if evidence.attested or evidence.standing_q16 >= model.strong_from:
        strong += base
    else:
        weak += base
    if evidence.excess_standing_q16 >= model.strong_from:
        strong += excess
    else:
        weak += excess
    return strong, weak


def mass(pieces, as_of, model):
    parts = [weight(each, as_of, model) for each in pieces]
    weak = min(Fraction(model.weak_cap, ONE), sum((w for _, w in parts), Fraction(0)))
    return sum((s for s, _ in parts), Fraction(0)) + weak


def probability(pieces, as_of, rate_q16, model):
    limit = model.adverse_stop_days * DAY_MS
    good = [each for each in pieces if each.sign > 0]
    bad = [each for each in pieces if each.sign < 0 and as_of - each.at < limit]
    strength, rate = Fraction(model.prior_strength, ONE), Fraction(rate_q16, ONE)
    plus, minus = mass(good, as_of, model), mass(bad, as_of, model)
    return (plus + strength * rate) / (plus + minus + strength)
