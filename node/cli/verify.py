"""`standing verify BUNDLE --policy FILE`: is this answer proven? Offline, from the two files."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ledger.bundle import Step, Verified, verify_bundle
from ledger.bundle_form import BUNDLE_BYTES_MAX
from ledger.bundle_verify import MAX_AGE_DAYS, show_time
from ledger.bureau.answer import Answer
from ledger.bureau.model import Q16_ONE
from ledger.errors import InvalidInput
from ledger.policy import POLICY_BYTES_MAX, Policy
from node.cli.output import fail, print_json, stdout

app = typer.Typer(add_completion=False)

PolicyOption = Annotated[
    Path, typer.Option("--policy", help="The log's policy, as a node serves it at /log/policy.")
]


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle, as `standing bundle` writes it.")],
    *,
    policy: PolicyOption,
    subject: Annotated[
        str,
        typer.Option(
            help="Demand that it is about this one: platform number, colon, 64 hex digits."
        ),
    ] = "",
    max_age_days: Annotated[
        int, typer.Option("--max-age-days", min=0, help="Call an older answer stale.")
    ] = MAX_AGE_DAYS,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Verify a bundle, recompute its score, and show both. Exit 0 if it is valid, else 1.

    A bundle proves the answer to the question that stands in it, whatever was asked: compare its
    subject and its date with what you wanted to know, or name the subject with --subject.

    Nothing is asked over the network: the policy names the keys that are trusted.
    """
    trusted = read_policy(policy)
    data = read_bytes(bundle, BUNDLE_BYTES_MAX, what="bundle")
    now_ms = time.time_ns() // 1_000_000
    found = verify_bundle(data, trusted, now_ms=now_ms, max_age_days=max_age_days)
    if subject and found.answer is not None and subject != subject_of(found.answer):
        found = refused(found, f"it is about {subject_of(found.answer)}, not about {subject}")
    if as_json:
        print_json(figures(found))
    else:
        show(found, now_ms)
    raise typer.Exit(0 if found.valid else 1)


def subject_of(answer: Answer) -> str:
    """Whom an answer is about, as `--subject` names it."""
    return f"{answer.question.platform}:{answer.question.handle.hex()}"


def refused(found: Verified, why: str) -> Verified:
    """The verification with one more step, which does not hold: the answer is to be ignored."""
    steps = (*found.steps, Step("subject", False, why))
    return Verified(False, steps, None, None, None, None, None, False)


def read_policy(path: Path) -> Policy:
    """The policy in a file; on an error say what to do, and exit with 2."""
    data = read_bytes(path, POLICY_BYTES_MAX, what="policy")
    try:
        return Policy.parse(data.decode("utf-8"))
    except (InvalidInput, UnicodeDecodeError) as error:
        fail(f"{path} is not a policy (a node serves its own at /log/policy): {error}")


def read_bytes(path: Path, bytes_max: int, *, what: str) -> bytes:
    """A file of at most `bytes_max` bytes; on an error say so, and exit with 2."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        fail(f"the {what} {path} cannot be read: {error.strerror}")
    if len(data) > bytes_max:
        fail(f"the {what} {path} has more than {bytes_max} bytes")
    return data


def figures(found: Verified) -> dict[str, Any]:
    """What `--json` prints."""
    shown: dict[str, Any] = {
        "valid": found.valid,
        "stale": found.stale,
        "steps": [
            {"name": step.name, "ok": step.ok, "detail": step.detail} for step in found.steps
        ],
        "seal_time": found.seal_time,
        "checkpoint_size": found.size,
        "epoch": found.epoch,
        "chain": None if found.chain is None else found.chain.hex(),
        "probability": None,
        "points": None,
    }
    answer = found.answer
    if answer is None:
        return shown
    question, probability = answer.question, answer.probability_q16
    return {
        **shown,
        "subject": subject_of(answer),
        "role": question.role,
        "domain": question.domain,
        "as_of": question.as_of,
        "model": answer.model,
        "probability": None if probability is None else round(probability / Q16_ONE, 6),
        "points": answer.points,
        "interval": [round(each / Q16_ONE, 6) for each in (answer.low_q16, answer.high_q16)],
        "thin_file": answer.thin_file,
        "base_points": answer.base_points,
        "reasons": [{"code": each.code, "points": each.points} for each in answer.reasons],
        "evidence": answer.evidence.good + answer.evidence.bad,
        "erased": answer.evidence.erased,
    }


def show(found: Verified, now_ms: int) -> None:
    """Print the steps and the answer for people."""
    for step in found.steps:
        stdout.print(
            f"{'ok  ' if step.ok else 'FAIL'}  {step.name:<11} {step.detail}",
            markup=False,
            soft_wrap=True,
        )
    if found.answer is None or found.seal_time is None:
        stdout.print("NOT VALID: this bundle proves nothing", style="red")
        return
    age_days = max(0, now_ms - found.seal_time) // 86_400_000
    stdout.print(
        f"sealed {show_time(found.seal_time)}, {age_days} day(s) ago", markup=False, soft_wrap=True
    )
    as_of = found.answer.question.as_of
    if as_of != found.seal_time:
        stdout.print(
            f"NOT THE NEWEST: the answer is as of {show_time(as_of)}; "
            "what the ledger learned after that is left out",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    if found.stale:
        stdout.print("STALE: newer records may exist; ask for a new bundle", style="yellow")
    show_answer(found.answer)


def show_answer(answer: Answer) -> None:
    """Print an answer for people."""
    question, counts = answer.question, answer.evidence
    where = f" in {question.domain}" if question.domain else ""
    stdout.print(
        f"{question.role} {question.platform}:{question.handle.hex()}{where}",
        markup=False,
        soft_wrap=True,
    )
    low, high = (100 * each / Q16_ONE for each in (answer.low_q16, answer.high_q16))
    if answer.probability_q16 is None:
        stdout.print(
            f"not enough evidence yet; 90 % interval {low:.0f}–{high:.0f} %",
            markup=False,
            soft_wrap=True,
        )
    else:
        percent = 100 * answer.probability_q16 / Q16_ONE
        stdout.print(
            f"{answer.points} points, {percent:.1f} % (90 % interval {low:.0f}–{high:.0f} %)",
            markup=False,
            soft_wrap=True,
        )
        stdout.print(f"  {answer.base_points:>5} a newcomer's points", markup=False, soft_wrap=True)
        for reason in answer.reasons:
            stdout.print(f"  {reason.points:>+5} {reason.code}", markup=False, soft_wrap=True)
    stdout.print(
        f"from {counts.good} good and {counts.bad} bad results of {counts.engagements} "
        f"engagements, {counts.overdue} overdue, in {counts.files} file(s); model {answer.model}",
        markup=False,
        soft_wrap=True,
    )
    if counts.erased:
        stdout.print(
            f"PARTLY ERASED: {counts.erased} record(s), at the wish of someone they are "
            "about; what is erased counts for nothing",
            style="yellow",
            soft_wrap=True,
        )
