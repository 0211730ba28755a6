"""A person's way through the pages in a real browser: sign in, look up, read, sign out."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from tests.node.web.browser import Browser, find_chromium
from tests.node.web.site import GOOD, READ_TOKEN, SiteNode, site

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SUBMIT = "document.querySelector('form.card button').click()"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """A fresh browser."""
    assert CHROMIUM is not None
    async with Browser(CHROMIUM, tmp_path / "profile") as made:
        yield made


async def test_a_persons_way(browser: Browser, node: SiteNode) -> None:
    node.references["worker 7"] = GOOD
    async with TestServer(site(node)) as server:
        home = str(server.make_url("/"))
        await browser.go(home)
        await browser.ask(f"document.getElementById('token').value = '{READ_TOKEN}'")
        await browser.act(SUBMIT)
        assert await browser.ask("location.pathname") == "/"
        assert await browser.ask("document.cookie") == "", "the cookie is not for scripts"
        await browser.ask("document.getElementById('subject').value = 'worker 7'")
        await browser.act(SUBMIT)
        assert await browser.ask("location.pathname") == f"/subjects/p1:{GOOD.hex()}"
        assert "points" in await browser.ask("document.querySelector('.score').innerText")
        await _check_looks(browser)
        await browser.act("document.querySelector('header form button').click()")
        assert await browser.ask("document.getElementById('token') !== null")
        await browser.go(f"{home}network")
        assert "Sign in first" in await browser.ask("document.title")
    refused = [each for each in browser.messages if "401" not in each]
    assert not refused, "the policy for content blocks nothing that the pages use"


async def _check_looks(browser: Browser) -> None:
    """In every width and scheme the plot is drawn, and nothing runs over the edge."""
    for pixels in (1_200, 390):
        for dark in (False, True):
            await browser.width(pixels, dark=dark)
            await browser.act("location.reload()")
            assert await browser.ask("document.querySelector('.plot').complete")
            assert await browser.ask("document.querySelector('.plot').naturalWidth") > 0
            shown = await browser.ask("document.querySelector('.plot').currentSrc")
            assert ("theme=dark" in shown) == dark
            assert ("size=narrow" in shown) == (pixels == 390)
            assert await browser.ask("document.documentElement.scrollWidth") <= pixels
            ground = await browser.ask("getComputedStyle(document.body).backgroundColor")
            assert (ground == "rgb(18, 22, 27)") == dark
