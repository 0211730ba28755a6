"""The score in exact rational arithmetic: slow, literal, nothing rounded but 2^-x (50 digits) and
what each piece weighs (60 digits)."""

from decimal import Decimal, localcontext
from fractions import Fraction

ONE = 65_536
DAY_MS = 86_400_000
ZERO, WHOLE = Fraction(0), Fraction(1)


def q16(number):
    return Fraction(number, ONE)


def near(x):
    """A fraction to 200 binary digits: sums of such stay short."""
    return Fraction(round(x * 2**200), 2**200)


def half_power(x):
    """2^-x of a fraction, to 50 digits."""
    with localcontext() as context:
        context.prec = 50
        exponent = -(Decimal(x.numerator) / Decimal(x.denominator))
        return Fraction(Decimal(2) ** exponent)


def age_days(at, as_of):
    return Fraction(max(0, as_of - at), DAY_MS)


def ramp(value, low, high):
    return min(WHOLE, max(ZERO, Fraction(value - low, high - low)))


def shares(standing, model):
    """(strong, weak, nobody's) share of a word."""
    strong = ramp(standing, model.strong_from, model.strong_full)
    nobody = min(1 - ramp(standing, model.nobody_until, model.weak_from), 1 - strong)
    return strong, 1 - strong - nobody, nobody


def scope(evidence, model, weights):
    product = WHOLE
    if evidence.retrospective:
        product *= q16(model.retrospective_weight)
    if evidence.elsewhere:
        product *= q16(weights.get(evidence.source, model.elsewhere_weight))
    near = {"on": ONE, "near": model.near_domain_weight, "far": model.far_domain_weight}
    return product * q16(near[evidence.nearness])


def parts(evidence, as_of, model, weights):
    """(attested, strong, weak, nobody, lasting) of one piece of evidence."""
    floor = q16(model.floor_good if evidence.sign > 0 else model.floor_bad)
    fade = half_power(age_days(evidence.at, as_of) / model.half_life_days)
    decay = floor + (1 - floor) * fade
    found = [ZERO, ZERO, ZERO, ZERO, ZERO]

    def word(standing, k, times):
        heard = q16(max(standing, model.standing_floor))
        amount = scope(evidence, model, weights) * heard / k**2 * times
        by = shares(standing, model)
        for place, share in enumerate(by, 1):
            found[place] += amount * share * decay
        found[4] += amount * by[0]

    if evidence.attested:
        amount = scope(evidence, model, weights) * q16(model.attested_weight)
        found[0] += amount * decay
        found[4] += amount
    else:
        word(evidence.standing_q16, evidence.pair_count, 1)
    if evidence.excess_q16:
        word(evidence.excess_standing_q16, evidence.excess_pair_count, q16(evidence.excess_q16))
    return [near(each) for each in found]


def added(pieces, as_of, model, weights):
    columns = zip(*(parts(each, as_of, model, weights) for each in pieces), strict=True)
    return [sum(column, ZERO) for column in columns] or [ZERO] * 5


def last_word(good, bad, as_of, model):
    """The doublings that bad words add which nothing good has followed."""
    newest = max((each.at for each in good), default=-1)
    found = ZERO
    for each in bad:
        if each.at > newest and not each.attested:
            fade = half_power(age_days(each.at, as_of) / model.last_word_days)
            strong = shares(each.standing_q16, model)[0]
            found = max(found, q16(model.last_word) * fade * (1 - strong))
    return found


def probability(pieces, as_of, rate_q16, offset_q16, model, *, weights=None):
    """`weights`: of evidence from elsewhere, by platform (Q16)."""
    weights = weights or {}
    limit = model.adverse_stop_days * DAY_MS
    good = [each for each in pieces if each.sign > 0]
    bad = [each for each in pieces if each.sign < 0 and as_of - each.at < limit]
    attested_good, strong_good, weak_good, nobody_good, lasting_good = added(
        good, as_of, model, weights
    )
    attested_bad, strong_bad, weak_bad, nobody_bad, lasting_bad = added(bad, as_of, model, weights)
    up, down = WHOLE, WHOLE
    if offset_q16 > 0:
        down = half_power(q16(offset_q16))
    else:
        up = half_power(q16(-offset_q16))
    strength = q16(model.prior_strength)
    doubt = q16(model.doubt) * lasting_bad / (lasting_good + lasting_bad + q16(model.doubt_half))
    prior = strength * q16(rate_q16) * (1 - doubt)
    over = max(ZERO, strong_bad - q16(model.distrust_from))
    distrust = 1 + min(q16(model.distrust_max), q16(model.distrust_slope) * min(over, 64))
    base_good = (prior + attested_good + strong_good / distrust) * up
    base_bad = (strength - prior + attested_bad + strong_bad) * down
    weak = min(q16(model.weak_bad_cap), weak_bad)
    nobody = min(q16(model.nobody_bad_cap), nobody_bad, q16(model.weak_bad_cap) - weak)
    against = min(WHOLE, (attested_bad + strong_bad + weak + nobody) / q16(model.weak_lift_from))
    weak, nobody = weak * down, nobody * down
    # good words that are not strong
    lifted = weak_good + min(q16(model.nobody_good_cap), nobody_good)
    plus = base_good + min(q16(model.weak_good_cap), lifted) / distrust * up
    without = base_good / (base_good + base_bad + weak + nobody)
    most = without + q16(model.weak_lift) + 1 - against
    if most < 1:
        plus = min(plus, max(base_good, (base_bad + weak + nobody) * most / (1 - most)))
    # bad words that are not strong

    def dropped(minus, drop):
        least = plus / (plus + minus) - q16(drop)
        return max(minus, plus * (1 - least) / least) if least > 0 else Fraction(2**40)

    told = (base_bad + weak + nobody) / half_power(last_word(good, bad, as_of, model))
    most = dropped(base_bad, model.weak_drop)
    known = min(base_bad + weak, most)
    minus = min(told, most, dropped(known, model.nobody_drop))
    return plus / (plus + minus)
