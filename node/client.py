"""A client of a node's HTTP API: what the command line, the import, the demo and the bench use.

    async with Client("http://127.0.0.1:8440", token) as client:
        answers = await client.submit_msgpack([(record, b""), …])

What may be sent again is sent again: on a lost connection, and on 503 after the time that the node
names, RETRIES times at most. Handing in a record twice is harmless: the node answers with the first
id. Errors say what to do next.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec

from ledger.errors import StandingError

RETRIES: Final = 8
RETRY_FIRST_S: Final = 0.1
RETRY_LONGEST_S: Final = 5.0
CONNECT_S: Final = 5.0
REQUEST_S: Final = 120.0
WAIT_S: Final = 60.0
POLL_S: Final = 0.1
SETTLED: Final = ("final", "refused")
ARRAY_RECORDS: Final = 2_048
STATES_IDS: Final = 8_192
ANSWER_BYTES_MAX: Final = 256 * 1_024 * 1_024
LINE_BYTES_MAX: Final = 1 * 1_024 * 1_024

_JSON: Final = {"Content-Type": "application/json"}
_NDJSON: Final = {"Content-Type": "application/x-ndjson"}
_MSGPACK: Final = {"Content-Type": "application/msgpack"}
_HINTS: Final = {
    401: "give the node's token with --token-file, or in STANDING_TOKEN",
    403: "use a token that may do this; the node's configuration lists what each may",
    503: "the node is busy or catching up: try again later",
}

Problem = Mapping[str, Any]
T = TypeVar("T")
Decoder = msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_BLOCKS: Final = msgspec.msgpack.Decoder(list[tuple[int, bytes, bytes | None]])
_BATCHES: Final = msgspec.msgpack.Decoder(list[bytes])


class Unreachable(StandingError):
    """The node does not answer."""


class StrangeAnswer(StandingError):
    """What answers is no Standing node, or one that does not keep to its own API."""


class ProblemAnswered(StandingError):
    """The node answered with a problem document."""

    def __init__(self, status: int, problem: Problem) -> None:
        words = [str(problem.get("detail") or problem.get("title") or f"HTTP {status}")]
        if problem.get("rule"):
            words.append(f"(rule {problem['rule']})")
        if status in _HINTS:
            words.append(f"— {_HINTS[status]}")
        super().__init__(" ".join(words))
        self.status = status
        self.problem = problem
        self.rule = str(problem.get("rule", ""))
        self.field = str(problem.get("field", ""))


class Client:
    """One node's API. Use it as an async context; all methods raise StandingError."""

    def __init__(self, url: str, token: str = "") -> None:
        if "://" not in url:
            url = f"http://{url}"
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=REQUEST_S)
        self._session = aiohttp.ClientSession(
            timeout=timeout, headers=self._headers, read_bufsize=2**18
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    # --- records ---

    async def submit_json(
        self,
        record: bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        wait_final: bool = False,
    ) -> Any:
        """Hand in one record, or several, in JSON: its answer, or the answers in order.

        Bytes are taken as a JSON text. One record's refusal is raised as ProblemAnswered.
        """
        body = record if isinstance(record, bytes) else msgspec.json.encode(record)
        query = {"wait": "final"} if wait_final else {}
        return msgspec.json.decode(await self._post("/v1/records", body, _JSON, query))

    async def submit_msgpack(
        self, records: Sequence[tuple[bytes, bytes]], *, wait_final: bool = False
    ) -> list[dict[str, Any]]:
        """Hand in (record, signatures) pairs; an answer each, in order: `id`, `state` or `problem`.

        Those which the node pushes back are handed in again, in order, RETRIES times at most.
        """
        answers: list[dict[str, Any]] = []
        for start in range(0, len(records), ARRAY_RECORDS):
            part = records[start : start + ARRAY_RECORDS]
            answers += await self._submit_array(part, wait_final=wait_final)
        return answers

    async def _submit_array(
        self, records: Sequence[tuple[bytes, bytes]], *, wait_final: bool
    ) -> list[dict[str, Any]]:
        query = {"wait": "final"} if wait_final else {}
        answers: list[dict[str, Any]] = [{} for _ in records]
        waiting = list(range(len(records)))
        for _ in range(RETRIES):
            body = msgspec.msgpack.encode([records[at] for at in waiting])
            made = msgspec.json.decode(await self._post("/v1/records", body, _MSGPACK, query))
            if len(made) != len(waiting):
                raise Unreachable(f"{self.url} answered {len(made)} of {len(waiting)} records")
            for at, answer in zip(waiting, made, strict=True):
                answers[at] = answer
            busy = [at for at in waiting if _retry_after_s(answers[at])]
            if not busy:
                break
            await asyncio.sleep(max(_retry_after_s(answers[at]) for at in busy))
            waiting = busy
        return answers

    async def submit_ndjson(
        self, lines: AsyncIterable[bytes], *, wait_final: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Hand in records as JSON lines while reading the answers, in order.

        The lines are asked for only as fast as the node takes them. A lost connection is not
        mended: what was answered is in, the rest may be handed in again.
        """
        query = {"wait": "final"} if wait_final else {}
        headers = {**self._headers, **_NDJSON}
        url = f"{self.url}/v1/records"
        try:
            async with self._session.post(
                url, params=query, data=lines, headers=headers
            ) as response:
                if response.status >= 400:
                    raise ProblemAnswered(response.status, _problem(await response.read()))
                async for line in _lines_of(response.content):
                    yield msgspec.json.decode(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(self._unreachable(error)) from error

    async def record(self, record_id: str) -> dict[str, Any]:
        """What became of a record."""
        return await self._get_json(f"/v1/records/{record_id}")

    async def wait_final(
        self, record_ids: Sequence[str], *, timeout_s: float = 60.0
    ) -> list[tuple[str, str]]:
        """(state, broken rule) of each record once all are final or refused, or the time is up."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + timeout_s
        found = await self.states(record_ids, wait_final=timeout_s >= WAIT_S)
        while any(state not in SETTLED for state, _ in found) and clock() < until_s:
            await asyncio.sleep(POLL_S)
            found = await self.states(record_ids, wait_final=until_s - clock() >= WAIT_S)
        return found

    async def states(
        self, record_ids: Sequence[str], *, wait_final: bool = False
    ) -> list[tuple[str, str]]:
        """(state, broken rule) of many records, in order; waits up to a minute if asked to."""
        found: list[tuple[str, str]] = []
        for start in range(0, len(record_ids), STATES_IDS):
            body = msgspec.json.encode({"ids": record_ids[start : start + STATES_IDS]})
            query = {"wait": "final"} if wait_final else {}
            made = msgspec.json.decode(await self._post("/v1/records/states", body, _JSON, query))
            found += [(each["state"], each["rule"]) for each in made["states"]]
        return found

    async def receipt(self, record_id: str) -> bytes:
        """The receipt of a final record."""
        return await self._get(f"/v1/records/{record_id}/receipt")

    async def handles(self, kind: str, references: Sequence[str]) -> list[bytes]:
        """The node's handles for the platform's own references (`subject` or `engagement`)."""
        body = msgspec.json.encode({"kind": kind, "references": references})
        made = msgspec.json.decode(await self._post("/v1/handles", body, _JSON, {}))
        return [bytes.fromhex(each) for each in made["handles"]]

    # --- subjects ---

    async def score(self, subject: str, **query: str) -> dict[str, Any]:
        """The score of `platform:handle`; query: domain, role, as_of, size (a checkpoint's)."""
        return await self._get_json(f"/v1/subjects/{subject}/score", query)

    async def outlook(self, subject: str, **query: str) -> dict[str, Any]:
        """The score, what would be, what tells most, and peers; query as for `score`."""
        return await self._get_json(f"/v1/subjects/{subject}/outlook", query)

    async def compare(self, subjects: Sequence[str], **query: str) -> dict[str, Any]:
        """Several subjects at one checkpoint, and who can be told apart; query as for `score`."""
        body = msgspec.json.encode({"subjects": list(subjects)})
        return self._read(await self._post("/v1/comparisons", body, _JSON, query), _OBJECT)

    async def file(self, subject: str, **query: str) -> dict[str, Any]:
        """A page of a subject's file; query: from, limit, size (a checkpoint's)."""
        return await self._get_json(f"/v1/subjects/{subject}/file", query)

    async def bundle(self, subject: str, **query: str) -> bytes:
        """A bundle that proves the whole answer; query as for `score`."""
        return await self._get(f"/v1/subjects/{subject}/bundle", query)

    # --- the network and its ledger ---

    async def network(self) -> dict[str, Any]:
        """Members, heights, and the newest certified checkpoint."""
        return await self._get_json("/v1/network")

    async def genesis(self) -> dict[str, Any]:
        """Genesis in its JSON form."""
        return await self._get_json("/v1/network/genesis")

    async def governance(self, first: int = 0, state: str = "all") -> dict[str, Any]:
        """A page of the changes of the membership (`all` or `open`), from a log index up; and
        evidence."""
        return await self._get_json("/v1/governance", {"from": str(first), "state": state})

    async def checkpoint(self) -> bytes:
        """The newest certified checkpoint's signed note."""
        return await self._get("/log/checkpoint")

    async def policy(self) -> str:
        """The log's policy."""
        return (await self._get("/log/policy")).decode()

    async def tile(self, path: str) -> bytes:
        """A tile or a bundle of entries: `tile/…`."""
        return await self._get(f"/log/{path}")

    async def log_file(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Any file of the public log: `checkpoint`, `epochs`, `block/…`, `lane/…`, `tile/…`."""
        return await self._get(f"/log/{path}", query)

    async def blocks(self, start: int, limit: int = 256) -> list[tuple[int, bytes, bytes | None]]:
        """(height, block row, certified checkpoint row or None) from a height up."""
        query = {"from": str(start), "limit": str(limit)}
        body = await self._get("/v1/ledger/blocks", query)
        return self._read(body, _BLOCKS)

    async def batches(self, lane: int, start: int, limit: int = 256) -> list[bytes]:
        """The bytes of a lane's final batches from a height up."""
        query = {"lane": str(lane), "from": str(start), "limit": str(limit)}
        body = await self._get("/v1/ledger/batches", query)
        return self._read(body, _BATCHES)

    async def events(self, last_id: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Blocks as they are certified, from the one after `last_id` (or the next one) on."""
        headers = dict(self._headers)
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        try:
            async with self._session.get(f"{self.url}/v1/events", headers=headers) as response:
                if response.status >= 400:
                    raise ProblemAnswered(response.status, _problem(await response.read()))
                async for line in _lines_of(response.content):
                    if line.startswith(b"data: "):
                        yield msgspec.json.decode(line[6:])
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(self._unreachable(error)) from error

    async def metrics(self) -> str:
        """The node's counters, in Prometheus's text form."""
        return (await self._get("/metrics")).decode()

    async def sign_in_link(self) -> str:
        """A whole address that signs its reader into the pages, once."""
        made = msgspec.json.decode(await self._post("/v1/session-links", b"", {}, {}))
        return f"{self.url}{made['path']}"

    # --- requests ---

    def _read(self, body: bytes, decoder: Decoder[T]) -> T:
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StrangeAnswer(
                f"{self.url} does not answer as a node does ({error}): is it the address of one?"
            ) from error

    async def _get_json(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._read(await self._get(path, query), _OBJECT)

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        return await self._request("GET", path, None, {}, query or {})

    async def _post(
        self, path: str, body: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> bytes:
        return await self._request("POST", path, body, headers, query)

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        query: Mapping[str, str],
    ) -> bytes:
        pause_s = RETRY_FIRST_S
        for left in reversed(range(RETRIES)):
            try:
                async with self._session.request(
                    method, self.url + path, params=query, data=body, headers=headers
                ) as response:
                    answer = await _bounded(response)
                    if response.status < 400:
                        return answer
                    problem = _problem(answer)
                    if response.status != 503 or not left:
                        raise ProblemAnswered(response.status, problem)
                    pause_s = max(pause_s, float(problem.get("retry_after_s", 0)))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if not left:
                    raise Unreachable(self._unreachable(error)) from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_LONGEST_S)
        raise AssertionError("the last round returns or raises")

    def _unreachable(self, error: BaseException) -> str:
        return (
            f"the node at {self.url} does not answer ({error or type(error).__name__}); "
            "start it with `standing node run CONFIG`, or name another with --node or STANDING_NODE"
        )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The whole body, up to a bound."""
    parts, size_bytes = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size_bytes += len(part)
        if size_bytes > ANSWER_BYTES_MAX:
            raise Unreachable(f"the node's answer has more than {ANSWER_BYTES_MAX} bytes")
    return b"".join(parts)


def _retry_after_s(answer: Mapping[str, Any]) -> float:
    return float(answer.get("problem", {}).get("retry_after_s", 0))


def _problem(body: bytes) -> Problem:
    with contextlib.suppress(msgspec.MsgspecError):
        made = msgspec.json.decode(body)
        if isinstance(made, dict):
            return made
    return {"detail": body[:200].decode("utf-8", "replace")}


async def _lines_of(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length up to a bound, without their ends, none of them empty."""
    rest = b""
    async for data in content.iter_any():
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            if line:
                yield line
        if len(rest) > LINE_BYTES_MAX:
            raise Unreachable("the node's answer has a line beyond all bounds")
    if rest:
        yield rest
