"""The parameters in force: what, besides the records, decides how records are judged and scored.

Their bytes travel in every bundle, their hash stands in every seal. Genesis carries the first ones;
later ones become active by record at an epoch's end.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ledger.bureau.model import Model, check_model
from ledger.encoding import Code, Small, Uint, Value, check_nfc, encode
from ledger.errors import Malformed
from ledger.hashing import sha256

SCALES_MAX: Final = 256
DOMAINS_MAX: Final = 4_096
PARAMETERS_BYTES_MAX: Final = 512 * 1_024


class Scale(Value):
    """A registered rating scale: `low`…`high`; below `middle` is bad, from `good_from` up good.

    A rating's signed grade is (value − middle) / (middle − low) below the middle, and
    (value − middle) / (high − middle) from it upward.
    """

    code: Code
    low: Small
    high: Small
    middle: Small
    good_from: Small


class Domain(Value):
    """A node of the domain tree; `parent` is empty at the top."""

    code: Code
    parent: Annotated[str, msgspec.Meta(max_length=48)]


class Parameters(Value):
    """Rules version, model, scales (ascending by code) and domains (parents before children)."""

    rules_version: Uint
    model: Model
    scales: Annotated[tuple[Scale, ...], msgspec.Meta(max_length=SCALES_MAX)]
    domains: Annotated[tuple[Domain, ...], msgspec.Meta(max_length=DOMAINS_MAX)]


def parameters_hash(parameters: Parameters) -> bytes:
    """What a seal holds of the parameters in force."""
    return sha256(encode(parameters))


def check_parameters(parameters: Parameters) -> None:
    """Refuse parameters that contradict themselves.

    Raises:
        Malformed: a scale or domain stands twice, is out of order, or has no parent; or the
            model's numbers contradict each other.
    """
    check_model(parameters.model)
    _check_scales(parameters.scales)
    seen: set[str] = set()
    for domain in parameters.domains:
        check_nfc(domain.parent, field="domains")
        if domain.code in seen:
            raise Malformed(f"domain {domain.code} stands there twice", field="domains")
        if domain.parent and domain.parent not in seen:
            raise Malformed(f"domain {domain.code} stands before its parent", field="domains")
        seen.add(domain.code)


def _check_scales(scales: Sequence[Scale]) -> None:
    codes = [scale.code for scale in scales]
    if codes != sorted(set(codes)):
        raise Malformed("are not in ascending order of code, each once", field="scales")
    for scale in scales:
        if not scale.low < scale.middle <= scale.good_from <= scale.high:
            raise Malformed(f"scale {scale.code} is not low < middle ≤ good ≤ high", field="scales")


FIRST_SCALES: Final = (
    Scale("percent", 0, 100, 50, 60),
    Scale("stars-5", 1, 5, 3, 4),
    Scale("thumbs", 0, 2, 1, 2),
    Scale("trust-21", 0, 20, 10, 11),
)
FIRST_DOMAINS: Final = (
    Domain("work", ""),
    Domain("writing", "work"),
    Domain("writing.translation", "writing"),
    Domain("writing.copy", "writing"),
    Domain("software", "work"),
    Domain("software.web", "software"),
    Domain("software.data", "software"),
    Domain("design", "work"),
    Domain("design.graphics", "design"),
    Domain("care", "work"),
    Domain("delivery", "work"),
    Domain("crowd", "work"),
    Domain("crowd.labelling", "crowd"),
    Domain("trade", "work"),
)
