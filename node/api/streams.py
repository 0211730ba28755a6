"""Records in bulk: NDJSON and MessagePack bodies, read and answered piece by piece.

Nothing is kept but the piece at hand, so a body may have any length; while the node is busy the
body is not read further, which holds its sender back. The answer begins with the first piece:
a client reads while it writes.

NDJSON: one record per line, one answer line per record line, in order; empty lines are passed over.
MessagePack: one or more arrays of `[record bin, signatures bin]`; one answer line per array: a JSON
array of answers, in order. A body that loses its framing gets one last line with the problem.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgpack
import msgspec
from aiohttp import web
from msgspec.structs import replace

from ledger.errors import InvalidInput, Malformed
from node.api.auth import Admission
from node.api.json_records import JSON_RECORD_BYTES_MAX, record_from_json
from node.api.json_text import Oversize
from node.api.offers import RecordAnswer, offer_of, submit, wait_final
from node.api.port import NODE, Node
from node.api.problems import Forbidden, Problem, TryLater, problem_of
from node.api.routes import NDJSON
from node.intake import Offer

PIECE_RECORDS_MAX: Final = 1_024
ARRAY_RECORDS_MAX: Final = 8_192
ARRAY_BYTES_MAX: Final = 16 * 1_024 * 1_024
BIN_BYTES_MAX: Final = 64 * 1_024
PATIENCE_S: Final = 30.0
# After so many records a reader lets other work of the node go first.
YIELD_RECORDS: Final = 128

_encoder: Final = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines


class Body(Protocol):
    """A request's body as it comes in; an aiohttp `StreamReader` is one."""

    total_bytes: int

    def iter_any(self) -> AsyncIterator[bytes]:
        """The pieces, as they come."""
        ...


async def answer_ndjson(request: web.Request, wait_s: float) -> web.StreamResponse:
    """Read records line by line; answer line by line."""
    node, admission = request.app[NODE], Admission.of(request)
    response: web.StreamResponse | None = None
    async for answers in taken_lines(node, request.content, admission, wait_s):
        response = response or await _begin(request)
        await response.write(answers)
    return await _end(response)


async def taken_lines(
    node: Node, content: Body, admission: Admission, wait_s: float = 0.0
) -> AsyncIterator[bytes]:
    """Hand in the records of a body of lines, piece by piece; the answers to each piece."""
    async for piece in numbered_lines(content):
        items = await _read_all([line for _, line in piece], _offer_of_line, admission)
        answers = await _handed_in(node, items, admission.name, wait_s, PATIENCE_S)
        yield _encode_lines(
            [
                replace(answer, line=number)
                for (number, _), answer in zip(piece, answers, strict=True)
            ]
        )


async def answer_msgpack(request: web.Request, wait_s: float) -> web.StreamResponse:
    """Read arrays of records; answer a line per array."""
    node, admission = request.app[NODE], Admission.of(request)
    response: web.StreamResponse | None = None
    try:
        async for answers in taken_arrays(node, request.content, admission, wait_s):
            response = response or await _begin(request)
            await response.write(answers)
    except InvalidInput as error:
        if response is None:
            raise
        await response.write(_encode([RecordAnswer(problem=problem_of(error))]) + b"\n")
    return await _end(response)


async def taken_arrays(
    node: Node, content: Body, admission: Admission, wait_s: float = 0.0
) -> AsyncIterator[bytes]:
    """Hand in the records of a body of arrays, array by array; the answers to each.

    Raises:
        InvalidInput: the body has lost its framing.
        TryLater: all of the first array is pushed back.
    """
    is_first = True
    async for array in arrays(content):
        items = await _read_all(array, _offer_of_pair, admission)
        patience_s = 0.0 if is_first else PATIENCE_S
        answers = await _handed_in(node, items, admission.name, wait_s, patience_s)
        if is_first:
            push_back_if_all_busy(answers)
        is_first = False
        yield _encode(answers) + b"\n"


async def _handed_in(
    node: Node, items: Sequence[Offer | Problem], who: str, wait_s: float, patience_s: float
) -> list[RecordAnswer]:
    answers = await submit(node, items, who, patience_s=patience_s)
    return await wait_final(node, answers, wait_s) if wait_s else answers


async def _read_all(
    items: Sequence[Any], read: Callable[[Any], Offer], admission: Admission
) -> list[Offer | Problem]:
    """Each item's offer, or its problem; other work of the node goes on in between."""
    made: list[Offer | Problem] = []
    for at, item in enumerate(items, 1):
        try:
            made.append(admission.admit(read(item)))
        except (InvalidInput, Forbidden) as error:
            made.append(problem_of(error))
        if at % YIELD_RECORDS == 0:
            await asyncio.sleep(0)
    return made


def _offer_of_line(line: bytes | None) -> Offer:
    if line is None:
        raise Oversize(f"the line is longer than {JSON_RECORD_BYTES_MAX} bytes")
    return offer_of(*record_from_json(line))


def _pair_or_list(items: list[Any]) -> Any:
    """What an array becomes as soon as it is read, so that nesting cannot grow in memory.

    `[bin, bin]` is a pair. Of any other array that holds no array nothing is kept but that it is
    wrong. An array of arrays is the body's own; three deep there are none.

    Raises:
        Malformed: nested deeper.
    """
    if not any(isinstance(each, tuple | list) for each in items):
        whole = len(items) == 2 and all(isinstance(each, bytes) for each in items)
        return tuple(items) if whole else _NO_PAIR
    if any(isinstance(each, list) for each in items):
        raise Malformed("the body is nested deeper than an array of [record, signatures]")
    return items


_NO_PAIR: Final[tuple[()]] = ()


def _offer_of_pair(pair: Any) -> Offer:
    match pair:
        case [bytes() as record, bytes() as signatures]:
            return offer_of(record, signatures)
    raise Malformed("is not an array of two bin: record, signatures")


def push_back_if_all_busy(answers: Sequence[RecordAnswer]) -> None:
    """If nothing of the body was taken, the whole request comes again later.

    Raises:
        TryLater: so it is.
    """
    delays = [answer.problem.retry_after_s for answer in answers if answer.problem]
    if delays and len(delays) == len(answers) and all(delays):
        raise TryLater("too many records are not final yet; send this again later", max(delays))


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=202)
    response.content_type = NDJSON
    await response.prepare(request)
    return response


async def _end(response: web.StreamResponse | None) -> web.StreamResponse:
    if response is None:
        raise Malformed("the body holds no record")
    await response.write_eof()
    return response


# --- framing ---


async def numbered_lines(content: Body) -> AsyncIterator[list[tuple[int, bytes | None]]]:
    """Runs of lines, numbered from 1, without empty ones; None for one that is too long."""
    number, rest, skipping = 0, b"", False
    async for data in content.iter_any():
        *whole, rest = (rest + data).split(b"\n")
        found: list[tuple[int, bytes | None]] = []
        for line in whole:
            number += 1
            found += _kept(number, line, skipping=skipping)
            skipping = False
        if len(rest) > JSON_RECORD_BYTES_MAX:
            rest, skipping = b"", True
        for piece in _pieces(found):
            yield piece
    last = _kept(number + 1, rest, skipping=skipping)
    if last:
        yield last


def _kept(number: int, line: bytes, *, skipping: bool) -> list[tuple[int, bytes | None]]:
    if skipping or len(line) > JSON_RECORD_BYTES_MAX:
        return [(number, None)]
    line = line.strip()
    return [(number, line)] if line else []


def _pieces(
    found: list[tuple[int, bytes | None]],
) -> Iterator[list[tuple[int, bytes | None]]]:
    for start in range(0, len(found), PIECE_RECORDS_MAX):
        yield found[start : start + PIECE_RECORDS_MAX]


async def arrays(content: Body) -> AsyncIterator[list[Any]]:
    """The arrays of a MessagePack stream.

    Raises:
        Malformed: something that is no array, or broken framing.
        Oversize: more records, or more bytes, than an array may have.
    """
    unpacker = msgpack.Unpacker(
        use_list=True,
        list_hook=_pair_or_list,
        raw=True,
        max_buffer_size=ARRAY_BYTES_MAX,
        max_array_len=ARRAY_RECORDS_MAX,
        max_bin_len=BIN_BYTES_MAX,
        max_str_len=0,
        max_map_len=0,
        max_ext_len=0,
    )
    whole_bytes = 0  # `tell` counts what it has seen of an array that has not ended, too
    async for data in content.iter_any():
        try:
            unpacker.feed(data)
            for value in unpacker:
                if not isinstance(value, list):
                    raise Malformed("the body is not an array of [record, signatures]")
                whole_bytes = unpacker.tell()
                yield value
        except msgpack.BufferFull as error:
            raise Oversize(f"an array has more than {ARRAY_BYTES_MAX} bytes") from error
        except (msgpack.UnpackException, ValueError) as error:
            what = str(error) or type(error).__name__
            raise Malformed(f"the body is not MessagePack of this form: {what}") from error
    if whole_bytes != content.total_bytes:
        raise Malformed("the body ends within an array")
