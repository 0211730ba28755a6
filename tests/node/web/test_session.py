"""Sessions: bounded, with an end, codes good for once."""

from node.api import session
from node.api.session import CODE_SECONDS, SESSION_SECONDS, Sessions
from tests.node.web.site import Config

READER, WRITER = Config().tokens


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_stands_for_its_token_until_its_end() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    secret = sessions.open(READER)
    assert sessions.holder(secret) == READER
    assert sessions.holder(secret + "x") is None
    clock.now = SESSION_SECONDS - 1
    assert sessions.holder(secret) == READER
    clock.now = SESSION_SECONDS
    assert sessions.holder(secret) is None


def test_a_closed_session_is_gone() -> None:
    sessions = Sessions(Clock())
    secret, other = sessions.open(READER), sessions.open(WRITER)
    sessions.close(secret)
    assert sessions.holder(secret) is None
    assert sessions.holder(other) == WRITER


def test_a_code_opens_one_session_once() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    code = sessions.offer_code(READER)
    assert sessions.holder(code) is None, "a code is no session"
    assert sessions.peek_code(code) == READER
    secret = sessions.take_code(code)
    assert secret is not None
    assert sessions.holder(secret) == READER
    assert sessions.take_code(code) is None
    late = sessions.offer_code(READER)
    clock.now = CODE_SECONDS
    assert sessions.take_code(late) is None


def test_the_oldest_session_gives_way(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(session, "SESSIONS_MAX", 3)
    sessions = Sessions(Clock())
    secrets = [sessions.open(READER) for _ in range(5)]
    held = [sessions.holder(each) is not None for each in secrets]
    assert held == [False, False, True, True, True]
