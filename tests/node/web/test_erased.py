"""The report on a partly erased file: what it says, and that the browser's panel says so too."""

import re
from html import unescape

import pytest
from aiohttp.test_utils import TestClient, TestServer

from node.api.auth import COOKIE, SESSIONS
from tests.ledger.world import DAY, World, handle
from tests.node.web.site import SiteNode, ledger, site


@pytest.fixture(scope="module")
def erased_world() -> World:
    """The worker of the site's ledger has asked for erasure; two platforms have acknowledged."""
    world = ledger(engagements=12)
    made = world.run(world.erasure("good"), time=world.time + DAY)
    [(record_id, _, _)] = made.records
    for platform in (1, 3):
        world.run(world.ack(record_id, platform), lane=platform, time=world.time + DAY)
    world.run(world.open("anew", worker="good"), time=world.time + DAY)
    world.run(world.outcome("anew"), time=world.time + DAY)
    return world


async def report(world: World, name: str, *, certified: object = None, status: int = 200) -> str:
    node = SiteNode(world)
    if certified is not None:
        node.certified = certified  # type: ignore[assignment]
    async with TestClient(TestServer(site(node))) as client:
        secret = client.app[SESSIONS].open(node.config.tokens[0])
        client.session.cookie_jar.update_cookies({COOKIE: secret})
        response = await client.get(f"/subjects/p1:{handle(name).hex()}")
        text = unescape(await response.text())
        assert response.status == status, text
        return text


async def test_the_report_says_partly_erased_by_what_and_who_has_yet_to_acknowledge(
    erased_world: World,
) -> None:
    text = await report(erased_world, "good")
    assert '<h2 id="erased">Partly erased</h2>' in text
    assert "<strong>38 records</strong> are erased" in text
    card = text.partition('<section class="card" aria-labelledby="erased">')[2]
    card = card.partition("</section>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", card)
    assert cells[:2] == ["38", "p1, p3"]
    assert cells[2].startswith("<span>p2, p4<br>")
    assert re.search(r"by \d{4}-\d\d-\d\d \d\d:\d\d UTC", cells[2])
    assert "they cannot be recalled" in card
    assert "nobody can pick what goes" in card
    assert '<caption class="small">1 in all' in text, "only what came later is shown"


async def test_the_other_partys_report_names_nobody(erased_world: World) -> None:
    text = await report(erased_world, "c")
    assert "Partly erased" in text
    assert handle("good").hex() not in text


async def test_whole_files_say_nothing_of_it(erased_world: World) -> None:
    assert "Partly erased" not in await report(erased_world, "thin")


async def test_a_page_on_what_is_being_erased_says_come_again() -> None:
    world = ledger(engagements=2)
    before = SiteNode(world).certified
    world.run(world.erasure("good"), time=world.time + DAY)
    text = await report(world, "good", certified=before, status=410)
    assert "Load the page again in a moment" in text
