"""The Verify panel in a real browser, on the page of a node that really serves."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from node.api.app import make_app
from tests.ledger.world import DAY, genesis_of, handle
from tests.node.api.live_node import READ, LiveNode
from tests.node.web.browser import STEP_S, Browser, find_chromium

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

STEPS = 10
SUBJECT = f"p1:{handle('w').hex()}"


def history(count: int = 12) -> LiveNode:
    """A node whose ledger tells of a worker's good and bad results, at a certified checkpoint."""
    node = LiveNode()
    world = node.world
    world.run(world.register("w", key=True), world.register("c", assurance="document"))
    for at in range(count):
        world.run(world.open(f"e{at}"), time=world.time + 5 * DAY)
        late = {"status": "late", "fault": "worker", "lateness_band": 2} if at % 5 == 3 else {}
        world.run(
            world.outcome(f"e{at}", **late),
            world.rating(f"e{at}", value=2 if late else 5),
            time=world.time + DAY,
        )
    node.finalise()
    return node


@pytest.fixture
def node() -> LiveNode:
    return history()


@pytest.fixture
async def home(node: LiveNode) -> AsyncIterator[str]:
    """The address of a running node."""
    async with TestServer(make_app(node)) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def browser(tmp_path: Path, home: str) -> AsyncIterator[Browser]:
    """A browser that is signed in and shows the worker's report."""
    assert CHROMIUM is not None
    async with Browser(CHROMIUM, tmp_path / "profile") as made:
        await made.go(home)
        await made.ask(f"document.getElementById('token').value = '{READ}'")
        await made.act("document.querySelector('form.card button').click()")
        await made.go(f"{home}subjects/{SUBJECT}")
        yield made


async def verify(browser: Browser) -> str:
    """Press the button; how it ended."""
    await browser.ask("document.querySelector('#verify button').click()")
    async with asyncio.timeout(STEP_S):
        while True:
            state = await browser.ask("document.getElementById('verify').dataset.state")
            if state in {"verified", "failed"}:
                return str(state)
            await asyncio.sleep(0.02)


async def shown(browser: Browser) -> str:
    return str(await browser.ask("document.getElementById('verify').innerText"))


async def paste(browser: Browser, policy: str) -> None:
    """Choose a policy from elsewhere, as a reader would."""
    text = policy.replace("\n", "\\n")
    await browser.ask(
        f"{{ const field = document.getElementById('policy-text'); field.value = '{text}';"
        "field.dispatchEvent(new Event('input')) }"
    )


async def test_the_reader_verifies_the_page(browser: Browser, node: LiveNode) -> None:
    assert await browser.ask("window.isSecureContext")
    assert await verify(browser) == "verified", await shown(browser)
    text = await shown(browser)
    assert "Consistent: by this node's own policy" in text
    assert "does not contradict itself" in text, "what its own policy proves, and what it does not"
    assert "Fingerprint" in text
    assert "What would change it, and the base rate, follow from the same proof" in text
    assert await browser.ask("document.querySelectorAll('ol.steps li').length") == STEPS
    assert await browser.ask("document.querySelectorAll('ol.steps .good').length") == STEPS
    assert await verify(browser) == "verified"
    assert "The same policy as this browser used" in await shown(browser)
    for pixels in (1_200, 390):
        await browser.width(pixels)
        assert await browser.ask("document.documentElement.scrollWidth") <= pixels
    assert browser.messages == []


async def test_a_page_without_a_score_is_verified_too(browser: Browser, home: str) -> None:
    await browser.go(f"{home}subjects/p1:{handle('c').hex()}?domain=care")
    assert "Not enough evidence" in await browser.ask("document.querySelector('.score').innerText")
    assert await verify(browser) == "verified", await shown(browser)


async def test_a_partly_erased_file_is_verified_and_said_to_be_one(
    browser: Browser, node: LiveNode, home: str
) -> None:
    node.world.put(2, [node.world.erasure("w")], time=node.world.time + DAY)
    node.finalise()
    await browser.go(f"{home}subjects/{SUBJECT}")
    page = await browser.ask("document.querySelector('main').innerText")
    assert "37 records are erased" in page
    assert await verify(browser) == "verified", await shown(browser)
    text = await shown(browser)
    assert "0 records opened, 36 erased" in text
    assert "Partly erased: 36 records stay closed" in text
    for pixels in (1_200, 390):
        await browser.width(pixels)
        assert await browser.ask("document.documentElement.scrollWidth") <= pixels
    assert browser.messages == []


async def test_a_policy_from_elsewhere_decides(browser: Browser, node: LiveNode) -> None:
    await paste(browser, node.policy_text)
    assert await verify(browser) == "verified", await shown(browser)
    assert "the answer on this page is proven" in await shown(browser)
    assert "does not contradict itself, not" not in await shown(browser)
    strange = LiveNode()
    strange.world.genesis = genesis_of(3)
    await paste(browser, strange.policy_text)
    assert await verify(browser) == "failed"
    text = await shown(browser)
    assert "A quorum of the policy signed the checkpoint" in text
    assert "do not rely on this page" in text
    assert await browser.ask("document.querySelectorAll('ol.steps .bad').length") == 1
    await paste(browser, "log in")
    assert await verify(browser) == "failed"
    assert "The policy cannot be used" in await shown(browser)
    await paste(browser, " ")
    assert await verify(browser) == "failed"
    assert "Choose a policy file" in await shown(browser)


async def test_a_page_that_shows_another_answer_is_told(browser: Browser) -> None:
    await browser.ask("document.getElementById('verify').dataset.points = '849'")
    assert await verify(browser) == "failed"
    assert "proves another answer than this page shows" in await shown(browser)


async def test_a_page_that_promises_more_than_the_model_is_told(browser: Browser) -> None:
    panel = "document.getElementById('verify')"
    first = await browser.ask(f"JSON.parse({panel}.dataset.outlook)[0][0][2]")
    await browser.ask(
        f"{panel}.dataset.outlook = {panel}.dataset.outlook.replace('{first}', '{first + 1}')"
    )
    assert await verify(browser) == "failed"
    assert "says would change it does not follow" in await shown(browser)


async def test_a_browser_without_ed25519_says_so(browser: Browser) -> None:
    await browser.ask(
        "crypto.subtle.importKey = async () => "
        "{ throw new DOMException('unknown', 'NotSupportedError') }"
    )
    assert await verify(browser) == "failed"
    text = await shown(browser)
    assert "Nothing was verified" in text
    assert "standing verify p1-" in text


async def test_the_browsers_signatures_are_judged_as_the_ledger_judges_them(
    browser: Browser, vectors_dir: Path
) -> None:
    """The official cases in Chromium, whose Ed25519 is not Node's."""
    cases, expected = signature_cases(vectors_dir)
    judged = await browser.call(
        "Runtime.evaluate",
        expression=f"""(async () => {{
            const {{ verifySignature }} = await import("/static/proof.js");
            const pairs = (text) => text.match(/../g) ?? [];
            const bytes = (text) => Uint8Array.from(pairs(text), (pair) => parseInt(pair, 16));
            const cases = {json.dumps(cases)};
            return Promise.all(cases.map((each) => verifySignature(...each.map(bytes))));
        }})()""",
        awaitPromise=True,
        returnByValue=True,
    )
    assert judged["result"]["value"] == expected


def signature_cases(vectors_dir: Path) -> tuple[list[list[str]], list[bool]]:
    """(key, message, signature) of Wycheproof, speccheck and zip215, and whether each holds."""
    cases: list[list[str]] = []
    expected: list[bool] = []
    path = vectors_dir / "wycheproof-ed25519/testvectors_v1/ed25519_test.json"
    for group in json.loads(path.read_text())["testGroups"]:
        cases += [[group["publicKey"]["pk"], each["msg"], each["sig"]] for each in group["tests"]]
        expected += [each["result"] == "valid" for each in group["tests"]]
    folder = vectors_dir / "ed25519-speccheck"
    bitmaps = json.loads((folder / "expected_bitmap.json").read_text())
    [bitmap] = [bits for name, bits in bitmaps.items() if name.startswith("libsodium")]
    told = json.loads((folder / "cases.json").read_text())
    cases += [[each["pub_key"], each["message"], each["signature"]] for each in told]
    expected += [bit == "1" for bit in bitmap]
    told = json.loads((vectors_dir / "zip215/zip215_cases.json").read_text())
    cases += [[each["pk"], each["msg"], each["sig"]] for each in told]
    return cases, expected + [False] * len(told)


async def test_the_ledger_may_move_on_meanwhile(browser: Browser, node: LiveNode) -> None:
    node.world.run(node.world.open("later"), time=node.world.time + DAY)
    node.finalise()
    assert await verify(browser) == "verified", await shown(browser)


async def test_without_a_script_the_page_shows_how_to_verify(browser: Browser) -> None:
    await browser.call("Emulation.setScriptExecutionDisabled", value=True)
    await browser.act("location.reload()")
    assert await browser.ask("document.getElementById('verify').hidden")
    assert "standing verify" in await browser.ask("document.getElementById('main').innerText")
