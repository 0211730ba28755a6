"""`standing erase SUBJECT`: the subject asks that its records be destroyed at every node."""

import asyncio
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer

from ledger.errors import StandingError
from ledger.records import encode_record
from ledger.records.erasure import Erasure
from ledger.signing import SigningKey, signed_message
from node.api.json_records import record_to_json
from node.cli.output import fail, print_json, stderr
from node.cli.taking import Taking, what_it_takes
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, ask
from node.client import Client, ProblemAnswered
from node.keystore import read_seed

LOOK_AGAIN_S: Final = 5.0
OF_THE_RECORD: Final = (400, 409, 413, 422)

app = typer.Typer(add_completion=False)


@app.command()
def erase(
    subject: Annotated[str, typer.Argument(help="platform:handle; number or code, 64 hex digits.")],
    *,
    key: Annotated[Path, typer.Option(help="The subject's key: a seed of 64 hex digits, 0600.")],
    scope: Annotated[
        str,
        typer.Option(
            help="`platform`: this file, with its links; `whole`: all that is linked to it, too. "
            "After the first, the second reaches no further."
        ),
    ] = "platform",
    timeout_s: Annotated[
        float, typer.Option(min=0, help="How long to wait for the platforms; 0: not at all.")
    ] = 60.0,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask; needed with --json and without a terminal.")
    ] = False,
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a subject's records destroyed; tell which platforms have done so, as they say it.

    It takes all that stands in the file, and cannot be undone. What comes later stays, unless it is
    asked for again. First it counts what there is to take, and asks; where there is nothing, it
    posts nothing. Exit 0: all have, or nothing is there; 1: you or the ledger refused, or some have
    not said so yet; 2: wrong usage.
    """
    if scope not in ("platform", "whole"):
        fail("--scope takes one word: platform or whole")
    signer = SigningKey.from_seed(read_seed(key))
    taking = ask(node, token_file, lambda client: _looked(client, subject, scope))
    if taking.records == 0 and taking.is_all:
        _end_with_nothing(taking, as_json=as_json)
    _confirm(taking, yes=yes, as_json=as_json)
    asking = _Asking(subject, scope, signer, timeout_s, quiet=as_json)
    found = ask(node, token_file, asking.whole)
    if as_json:
        print_json(found)
    raise typer.Exit(0 if _is_over(found) else 1)


async def _looked(client: Client, subject: str, scope: str) -> Taking:
    number, handle = await _named(client, subject)
    return await what_it_takes(client, f"{number}:{handle.hex()}", scope)


def _end_with_nothing(taking: Taking, *, as_json: bool) -> NoReturn:
    if as_json:
        print_json({"erased": 0, "files": list(taking.files)})
    else:
        typer.echo(f"nothing to erase in {', '.join(taking.files)}: nothing is posted")
    raise typer.Exit(0)


def is_terminal() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty()


def _confirm(taking: Taking, *, yes: bool, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"to be erased: {taking}")
    if yes:
        return
    if as_json or not is_terminal():
        fail(f"{taking} would be erased for ever: say --yes; nothing is posted")
    if not typer.confirm("Destroy their content at every platform? This cannot be undone."):
        fail("nothing is posted", code=1)


async def _named(client: Client, subject: str) -> tuple[int, bytes]:
    """A subject's platform and handle, from what a person has written.

    Raises:
        StandingError: it is not in the form, or there is no such platform.
    """
    network = await client.network()
    code, _, handle = subject.partition(":")
    members = {each["code"]: each["number"] for each in network["members"]}
    number = members.get(code, int(code) if code.isdecimal() else None)
    try:
        name = bytes.fromhex(handle)
    except ValueError:
        name = b""
    if number is None or len(name) != 32:
        raise StandingError(f"{subject} is no subject: platform:handle, 64 hex digits")
    return number, name


class _Asking:
    def __init__(
        self, subject: str, scope: str, signer: SigningKey, timeout_s: float, *, quiet: bool
    ) -> None:
        self._subject, self._scope, self._signer = subject, scope, signer
        self._timeout_s, self._quiet = timeout_s, quiet
        self._told: set[str] = set()

    async def whole(self, client: Client) -> dict[str, Any]:
        """Sign, hand in, wait. What is returned is the record's state, or the problem."""
        text = await self._signed(client)
        try:
            answer = await client.submit_json(text, wait_final=True)
        except ProblemAnswered as error:
            if error.status not in OF_THE_RECORD:
                raise
            return self._refused(dict(error.problem))
        assert isinstance(answer, dict)
        if "problem" in answer:
            return self._refused(answer["problem"])
        self._say(f"erasure {answer['id']} is {answer['state']}")
        found = await client.record(answer["id"])
        deadline = time.monotonic() + self._timeout_s
        news = _News(client)
        try:
            while not self._tell(found) and (left_s := deadline - time.monotonic()) > 0:
                await news.wait(min(LOOK_AGAIN_S, left_s))
                found = await client.record(answer["id"])
        finally:
            await news.close()
        if not _is_over(found):
            self._say_what_is_left(found)
        return found

    async def _signed(self, client: Client) -> bytes:
        number, name = await _named(client, self._subject)
        network = await client.network()
        at = time.time_ns() // 1_000_000
        record = Erasure(number, at, name, self._signer.public, self._scope)  # type: ignore[arg-type]
        data = encode_record(record)
        chain = bytes.fromhex(network["chain"])
        signature = self._signer.sign(signed_message("record", chain, sha256(data).digest()))
        return msgspec.json.encode(record_to_json(record, signature))

    def _refused(self, problem: dict[str, Any]) -> dict[str, Any]:
        rule = f" [{problem['rule']}]" if problem.get("rule") else ""
        if not self._quiet:
            stderr.print(f"refused: {problem['detail']}{rule}", style="red", markup=False)
        return {"problem": problem}

    def _tell(self, found: dict[str, Any]) -> bool:
        """Tell what is new; whether there is nothing more to come."""
        progress = found["erasure"]
        if progress is None:
            return bool(found["state"] == "refused")
        if "files" not in self._told:
            self._told.add("files")
            self._say(f"it takes what stands in {', '.join(progress['files'])}")
        if progress["done"] is not None and "" not in self._told:
            self._told.add("")
            self._say("every record is marked; each platform destroys and acknowledges")
        for code in progress["acknowledged"]:
            if code not in self._told:
                self._told.add(code)
                self._say(f"{code} has destroyed everything")
        return _is_over(found)

    def _say_what_is_left(self, found: dict[str, Any]) -> None:
        progress = found["erasure"]
        if found["state"] == "refused":
            self._say(f"refused [{found['rule']}]: nothing is erased")
        elif progress is None or progress["done"] is None:
            self._say("it goes on without this command: do not ask again")
        else:
            until = datetime.fromtimestamp(progress["due"] / 1_000, UTC).strftime("%Y-%m-%d")
            self._say(
                f"still to come: {', '.join(progress['awaited'])}, by {until}; do not ask again: "
                "`standing file` of this subject tells who has"
            )

    def _say(self, line: str) -> None:
        if not self._quiet:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def _is_over(found: dict[str, Any]) -> bool:
    progress = found.get("erasure")
    return progress is not None and progress["done"] is not None and not progress["awaited"]


class _News:
    """A node's blocks, as something to wait for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._task = asyncio.ensure_future(self._first())

    async def _first(self) -> None:
        async for _ in self._client.events():
            return

    async def wait(self, timeout_s: float) -> None:
        """Wait for the next block, or for as long as the time."""
        await asyncio.wait([self._task], timeout=timeout_s)
        if self._task.done():
            self._task.result()
            self._task = asyncio.ensure_future(self._first())

    async def close(self) -> None:
        """Wait for nothing more."""
        self._task.cancel()
        await asyncio.wait([self._task])
