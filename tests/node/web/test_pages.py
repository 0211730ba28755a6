"""Pages: what they show and to whom, their headers, and what they answer to what is wrong."""

import re
from html import unescape

import pytest
from aiohttp.test_utils import TestClient

from ledger.bureau.model import FIRST_MODEL
from node.api.auth import COOKIE, SESSIONS
from node.web.guard import own_path
from node.web.pages import MODULES
from tests.ledger.world import handle
from tests.node.web.site import (
    FRESH,
    GOOD,
    HOSTILE,
    READ_TOKEN,
    THIN,
    WRITE_TOKEN,
    SiteNode,
)

REPORT = f"/subjects/p1:{GOOD.hex()}"
POLICY = {
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' data:",
    "form-action 'self'",
    "frame-ancestors 'none'",
}


async def page(client: TestClient, path: str, status: int = 200) -> str:
    """A page's text, after checking status and headers."""
    response = await client.get(path, allow_redirects=False)
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "text/html"
    assert set(response.headers["Content-Security-Policy"].split("; ")) >= POLICY
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    scripts = re.findall(r"<script[^>]*>[^<]*", text)
    policy = response.headers["Content-Security-Policy"]
    if re.match(r"/subjects/[^/]*\Z", path.partition("?")[0]) and status == 200:
        assert scripts == ['<script type="module" src="/static/panel.js">']
        assert policy.endswith("; script-src 'self'; connect-src 'self'")
    else:
        assert scripts == []
        assert "script-src" not in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son[a-z]+=", text)
    assert " style=" not in text
    assert 'lang="en"' in text
    return text


def numbers(cells: list[str]) -> list[int]:
    """Points as they are shown: a true minus, a plus, plus-minus zero."""
    return [int(cell.replace("−", "-").replace("±", "")) for cell in cells]


# --- the report ---


async def test_report_shows_the_answer_and_its_sum(reader: TestClient) -> None:
    text = await page(reader, REPORT)
    cells = re.findall(r'<td class="number[^"]*">([^<]+)</td>', text.split("<tfoot>")[0])
    total = re.search(r"<tfoot>.*?(\d+)</td>", text)
    assert total
    points = int(total[1])
    assert len(cells) >= 2
    assert sum(numbers(cells)) == points
    assert f"{points} points" in text
    assert "of 300–850" in text
    assert re.search(r"\d+\N{NARROW NO-BREAK SPACE}%", text)
    assert "standing verify" in text
    assert FIRST_MODEL.id in text


async def test_report_joins_linked_files(reader: TestClient) -> None:
    other = handle("good2").hex()
    text = await page(reader, REPORT)
    assert f"/subjects/p2:{other}" in text
    assert GOOD.hex()[:8] in await page(reader, f"/subjects/2:{other}")


async def test_engagements_are_paged_newest_first(reader: TestClient) -> None:
    seen: list[str] = []
    for number in (1, 2):
        text = await page(reader, f"{REPORT}?page={number}")
        found = re.findall(r'data-name="Opened">([0-9-]+)<', text)
        assert found == sorted(found, reverse=True)
        seen += found
    assert "41 in all" in text
    assert len(seen) == 41
    assert seen == sorted(seen, reverse=True)
    assert 'rel="prev"' in text
    assert 'rel="next"' not in text


async def test_a_thin_file_gets_no_points(reader: TestClient) -> None:
    for subject in (THIN, FRESH):
        text = await page(reader, f"/subjects/p1:{subject.hex()}")
        assert "Not enough evidence yet" in text
        assert " points" not in text
        assert "<tfoot>" not in text


async def test_the_report_tells_what_would_change_it(reader: TestClient) -> None:
    text = await page(reader, f"{REPORT}?domain=software")
    assert "What more engagements in this domain, each completed" in text
    found = re.findall(r"(\d+) more</th><td[^>]*>(\d+)–(\d+)</td>", text)
    steps = [tuple(map(int, each)) for each in found]
    assert [each[0] for each in steps] == [1, 3, 10]
    total = re.search(r"<tfoot>.*?(\d+)</td>", text)
    assert total
    assert int(total[1]) <= steps[0][1] < steps[0][2] < steps[2][2]
    assert "Most would be learnt from an engagement on the" in text
    assert "Base rate, for comparison" in text
    thin = await page(reader, f"/subjects/p1:{FRESH.hex()}")
    assert "still too little" in thin


async def test_a_domain_may_be_asked(reader: TestClient) -> None:
    text = await page(reader, f"{REPORT}?domain=software")
    assert "In the domain software" in text
    assert "/score?domain=software" in text
    assert "domain: there is no" in await page(reader, f"{REPORT}?domain=no-such", 400)


async def test_the_plot_is_an_image_of_the_history(reader: TestClient) -> None:
    text = await page(reader, REPORT)
    paths = {unescape(each) for each in re.findall(r'(?:src|srcset)="([^"]+svg[^"]+)"', text)}
    assert len(paths) == 4
    for path in paths:
        response = await reader.get(path)
        assert response.status == 200
        assert response.content_type == "image/svg+xml"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert (await response.read()).startswith(b"<?xml")
    assert (await reader.get(f"{REPORT}/history.svg?theme=pink")).status == 400


# --- what is wrong ---


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/subjects/p1:{'0' * 64}", 404),
        (f"/subjects/nobody:{'0' * 64}", 404),
        ("/subjects/p1:12", 400),
        (f"/subjects/p1:{GOOD.hex().upper()}", 400),
        ("/subjects/x", 400),
        (f"{REPORT}?page=0", 400),
        (f"{REPORT}?page=99999999999", 400),
        (f"{REPORT}?domain=%3Cscript%3E", 400),
        (f"/subjects/%3Cscript%3E:{GOOD.hex()}", 404),
        ("/enter/no-such-code", 403),
    ],
)
async def test_clear_pages_for_what_is_wrong(reader: TestClient, path: str, status: int) -> None:
    text = await page(reader, path, status)
    assert 'role="alert"' in text


@pytest.mark.parametrize("path", [REPORT, f"{REPORT}/history.svg", "/network", "/lookup"])
async def test_strangers_are_asked_to_sign_in(stranger: TestClient, path: str) -> None:
    text = await page(stranger, path, 401)
    assert 'action="/sign-in"' in text
    assert f'name="next" value="{path}"' in text
    assert GOOD.hex() not in text.replace(path, "")


async def test_a_node_that_is_not_ready_says_so(reader: TestClient, node: SiteNode) -> None:
    node.ready = False
    assert "not ready" in await page(reader, REPORT, 503)
    assert "not ready" in await page(reader, "/network")
    node.ready, node.certified = True, None
    response = await reader.get(REPORT)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "no checkpoint yet" in await page(reader, "/network")


# --- sessions ---


async def test_signing_in_sets_a_strict_cookie(stranger: TestClient) -> None:
    form = {"token": f" {READ_TOKEN}\n", "next": REPORT}
    response = await stranger.post("/sign-in", data=form, allow_redirects=False)
    assert response.status == 303
    assert response.headers["Location"] == REPORT
    cookie = response.cookies[COOKIE]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert int(cookie["max-age"]) > 0
    assert READ_TOKEN not in str(cookie)
    await page(stranger, REPORT)
    empty = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    response = await stranger.post("/sign-out", data=b"", headers=empty, allow_redirects=False)
    assert response.status == 303
    stranger.session.cookie_jar.update_cookies({COOKIE: cookie.value})
    await page(stranger, REPORT, 401)


@pytest.mark.parametrize("token", ["", "wrong", WRITE_TOKEN, "x" * 5_000])
async def test_a_token_that_may_not_read_opens_nothing(stranger: TestClient, token: str) -> None:
    response = await stranger.post("/sign-in", data={"token": token})
    assert response.status == 403
    assert COOKIE not in response.cookies
    assert "does not know the token" in await response.text()


async def test_a_link_works_once_and_not_by_looking(stranger: TestClient, node: SiteNode) -> None:
    code = stranger.app[SESSIONS].offer_code(node.config.tokens[0])
    for _ in range(2):
        assert "reader" in await page(stranger, f"/enter/{code}")
    response = await stranger.post(f"/enter/{code}", data={"a": "b"}, allow_redirects=False)
    assert response.status == 303
    assert response.cookies[COOKIE]["httponly"] is True
    await page(stranger, REPORT)
    await page(stranger, f"/enter/{code}", 403)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil"}],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/lookup", "/enter/x"])
async def test_forms_of_other_sites_are_refused(
    reader: TestClient, path: str, headers: dict[str, str]
) -> None:
    form = {"token": READ_TOKEN, "subject": GOOD.hex(), "platform": "p1"}
    response = await reader.post(path, data=form, headers=headers, allow_redirects=False)
    assert response.status == 403
    assert not response.cookies
    await page(reader, REPORT)


async def test_forms_are_bounded(reader: TestClient) -> None:
    response = await reader.post("/lookup", data={"subject": "x" * 100_000})
    assert response.status == 413
    response = await reader.post("/lookup", json={"subject": "x"})
    assert response.status == 415


@pytest.mark.parametrize(
    ("given", "goes_to"),
    [
        ("/network", "/network"),
        (f"{REPORT}?domain=software&page=2", f"{REPORT}?domain=software&page=2"),
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/subjects/../sign-out\nX: y", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_one_goes_on_to_own_pages_only(given: str, goes_to: str) -> None:
    assert own_path(given) == goes_to


# --- look-up ---


async def test_look_up_by_handle_and_by_own_reference(reader: TestClient, node: SiteNode) -> None:
    node.references["worker 7"] = GOOD
    for subject in (GOOD.hex(), f"p1:{GOOD.hex()}", "1:" + GOOD.hex(), "worker 7"):
        form = {"subject": subject, "platform": "p1"}
        response = await reader.post("/lookup", data=form, allow_redirects=False)
        assert response.status == 303
        assert response.headers["Location"] == REPORT


async def test_a_hostile_reference_is_shown_as_text(reader: TestClient) -> None:
    response = await reader.post("/lookup", data={"subject": HOSTILE, "platform": "p1"})
    text = await response.text()
    assert response.status == 404
    assert "<script" not in text
    assert "onload=&#34;" in text or 'onload="' not in text
    assert HOSTILE in unescape(text)


async def test_references_are_of_the_own_platform_only(reader: TestClient, node: SiteNode) -> None:
    node.references["worker 7"] = GOOD
    response = await reader.post("/lookup", data={"subject": "worker 7", "platform": "p2"})
    assert response.status == 404
    assert "by its handle" in await response.text()


# --- the rest ---


async def test_first_pages(stranger: TestClient, node: SiteNode) -> None:
    assert 'action="/sign-in"' in await page(stranger, "/")
    secret = stranger.app[SESSIONS].open(node.config.tokens[0])
    stranger.session.cookie_jar.update_cookies({COOKIE: secret})
    assert 'action="/lookup"' in await page(stranger, "/")


async def test_network_page(reader: TestClient, node: SiteNode) -> None:
    text = await page(reader, "/network")
    assert node.chain.hex() in text
    assert "3 of 4 must agree; 1 may fail." in text
    assert text.count("(this node)") == 1


async def test_modules_of_the_verifier(stranger: TestClient) -> None:
    """They are JavaScript to the browser, load each other only, and are sent again when changed."""
    for name in MODULES:
        response = await stranger.get(f"/static/{name}.js")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-cache"
        text = await response.text()
        assert len(text.splitlines()) <= 400
        imported = re.findall(r'from "([^"]+)"', text)
        assert {f"./{each}.js" for each in MODULES} >= set(imported)
        assert not re.search(r"https?://|eval\(|innerHTML|new Function|import\(", text)
        again = {"If-None-Match": response.headers["ETag"]}
        kept = await stranger.get(f"/static/{name}.js", headers=again)
        assert (kept.status, await kept.read()) == (304, b"")
        other = {"If-None-Match": '"other"'}
        assert (await stranger.get(f"/static/{name}.js", headers=other)).status == 200
    for path in ("package.json", "panel.mjs", "../pages.py", "panel.js/"):
        assert (await stranger.get(f"/static/{path}")).status == 404


async def test_the_panel_names_the_shown_answer(reader: TestClient, node: SiteNode) -> None:
    text = await page(reader, f"{REPORT}?domain=software")
    told = dict(re.findall(r'data-([a-z-]+)="([^"]*)"', text))
    assert told["handle"] == GOOD.hex()
    assert (told["platform"], told["domain"]) == ("1", "software")
    assert f"as_of={told['as-of']}" in told["bundle"]
    assert "domain=software" in told["bundle"]
    assert int(told["low"]) <= int(told["probability"]) <= int(told["high"])
    assert f"{told['points']} points" in text
    thin = dict(
        re.findall(r'data-([a-z-]+)="([^"]*)"', await page(reader, f"/subjects/p1:{THIN.hex()}"))
    )
    assert (thin["probability"], thin["points"]) == ("", "")


async def test_style_sheet(stranger: TestClient) -> None:
    response = await stranger.get("/static/style.css")
    assert response.status == 200
    assert response.content_type == "text/css"
    text = await response.text()
    assert "url(" not in text
    assert "@import" not in text
    assert (await stranger.get("/static/../pages.py")).status == 404
