"""`standing submit FILE|-`: hand in records in JSON, one, an array, or one per line."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from ledger.errors import Malformed
from node.api.json_text import Duplicate, parse_json
from node.cli.output import fail, print_json, stderr
from node.cli.target import NODE_URL, JsonOption, NodeOption, TokenFileOption, ask
from node.client import Client, ProblemAnswered

JSON_FILE_BYTES_MAX: Final = 4 * 1_024 * 1_024
LINE_BYTES_MAX: Final = 64 * 1_024
PIECE_BYTES: Final = 256 * 1_024
# Problems of the record; all others are of the request, and end the command.
OF_THE_RECORD: Final = (400, 409, 413, 422)

app = typer.Typer(add_completion=False)


@app.command()
def submit(
    file: Annotated[str, typer.Argument(help="A file of JSON or JSON lines; - for stdin.")],
    wait: Annotated[
        str, typer.Option(help="`final`: wait until each record is final or refused.")
    ] = "",
    node: NodeOption = NODE_URL,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand in records; print each one's id and state. Exit 1 if any was refused."""
    if wait not in ("", "final"):
        fail("--wait takes one word: final")
    wait_final = wait == "final"
    with _opened(file) as stream:
        answers = ask(node, token_file, lambda c: _submitted(c, stream, wait_final, quiet=as_json))
    refused = sum("problem" in answer for answer in answers)
    if as_json:
        print_json({"records": len(answers), "refused": refused, "answers": answers})
    raise typer.Exit(1 if refused else 0)


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as stream:
            yield stream
    except OSError as error:
        fail(f"{file} cannot be read: {error}")


async def _submitted(
    client: Client, stream: BinaryIO, wait_final: bool, *, quiet: bool
) -> list[dict[str, Any]]:
    """Lines go as a stream; a JSON text of one record or an array goes whole."""
    first = stream.readline(LINE_BYTES_MAX)
    if not _is_record(first):
        answers = await _submitted_whole(
            client, first + stream.read(JSON_FILE_BYTES_MAX), wait_final
        )
        for answer in answers if not quiet else ():
            _print(answer)
        return answers
    answers = []
    async for answer in client.submit_ndjson(_lines(first, stream), wait_final=wait_final):
        answers.append(answer)
        if not quiet:
            _print(answer)
    return answers


def _is_record(line: bytes) -> bool:
    """Whether a line is a JSON object by itself."""
    try:
        return isinstance(parse_json(line, bytes_max=LINE_BYTES_MAX), dict | Duplicate)
    except Malformed:
        return False


async def _submitted_whole(client: Client, text: bytes, wait_final: bool) -> list[dict[str, Any]]:
    try:
        made = await client.submit_json(text, wait_final=wait_final)
    except ProblemAnswered as error:
        if error.status not in OF_THE_RECORD:
            raise
        return [{"problem": dict(error.problem)}]
    return made if isinstance(made, list) else [made]


async def _lines(first: bytes, stream: BinaryIO) -> AsyncIterator[bytes]:
    """The whole stream in pieces, each as soon as it is there; the node finds the lines."""
    piece = first
    while piece:
        yield piece
        piece = await asyncio.to_thread(stream.read1, PIECE_BYTES)  # type: ignore[attr-defined]
    yield b"\n"


def _print(answer: dict[str, Any]) -> None:
    problem = answer.get("problem")
    if problem is None:
        again = " (stood there before)" if answer.get("duplicate") else ""
        sys.stdout.write(f"{answer['id']} {answer['state']}{again}\n")
        return
    rule = f" [{problem['rule']}]" if problem.get("rule") else ""
    line = f"line {answer['line']}: " if "line" in answer else ""
    stderr.print(f"{line}refused: {problem['detail']}{rule}", style="red", markup=False)
