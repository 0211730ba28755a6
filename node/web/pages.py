"""The pages and their addresses.

| address | page |
|---|---|
| `/` | sign-in, or look-up for who is signed in |
| `/sign-in`, `/sign-out` | a session by a token, and its end |
| `/enter/{code}` | a session by a one-time link |
| `/lookup` | a worker by handle, or by the own platform's reference |
| `/subjects/{platform}:{handle}` | the report; `?domain=`, `?page=` |
| `/subjects/{platform}:{handle}/history.svg` | its history plot; `?domain=`, `?theme=`, `?size=` |
| `/network` | this node and the network |
| `/static/{name}` | the style sheet, and the modules of the browser's verifier |
"""

import asyncio
import re
from collections import OrderedDict
from importlib.resources import files
from typing import Any, Final

from aiohttp import web

from ledger.bureau.reading import ask
from ledger.errors import InvalidInput
from ledger.files import read_subject
from node.api.auth import COOKIE, SESSIONS, find_token
from node.api.session import SESSION_SECONDS
from node.web.dossier import Dossier, Ground, compile_dossier, report_of
from node.web.gather import gather
from node.web.guard import (
    Handler,
    PageProblem,
    form_of,
    holder_of,
    need_holder,
    need_ready,
    own_path,
    page,
)
from node.web.network import network_view
from node.web.plot import Plots, Size, Theme
from node.web.render import Context, asset, environment, go_to, html, svg

PAGE_MAX: Final = 10_000
DOSSIERS_KEPT: Final = 16
MODULES: Final = (
    "panel",
    "verify",
    "weigh",
    "whatif",
    "codec",
    "governance",
    "model",
    "note",
    "proof",
    "score",
    "tally",
    "transfer",
)
STATIC: Final = ("style.css", *(f"{name}.js" for name in MODULES))
TOKEN_CHARS_MAX: Final = 512
REFERENCE_CHARS_MAX: Final = 512
_HANDLE: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_DECIMAL: Final = re.compile(r"[1-9][0-9]{0,9}\Z", re.ASCII)
_THEMES: Final[dict[str, Theme]] = {"light": "light", "dark": "dark"}
_SIZES: Final[dict[str, Size]] = {"wide": "wide", "narrow": "narrow"}


def add_pages(app: web.Application, node: Any) -> None:
    """Add the pages of a node to its HTTP application."""
    pages = Pages(node)
    get: tuple[tuple[str, Handler], ...] = (
        ("/", pages.home),
        ("/enter/{code}", pages.enter_ask),
        ("/lookup", pages.look_up),
        ("/subjects/{subject}", pages.report),
        ("/subjects/{subject}/history.svg", pages.history),
        ("/network", pages.network),
        *((f"/static/{name}", pages.static) for name in STATIC),
    )
    post: tuple[tuple[str, Handler], ...] = (
        ("/sign-in", pages.sign_in),
        ("/sign-out", pages.sign_out),
        ("/enter/{code}", pages.enter),
        ("/lookup", pages.look_up_form),
    )
    for path, handler in get:
        app.router.add_get(path, page(handler, pages.render))
    for path, handler in post:
        app.router.add_post(path, page(handler, pages.render))
    app.on_cleanup.append(pages.close)


class Pages:
    """The handlers of one node's pages."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._templates = environment()
        self._plots = Plots()
        self._dossiers: OrderedDict[tuple[int, bytes, str, int], Dossier] = OrderedDict()
        folder = files("node.web").joinpath("static")
        self._static = {name: folder.joinpath(name).read_bytes() for name in STATIC}

    async def close(self, app: web.Application) -> None:
        """End what the pages hold, with the application."""
        del app
        self._plots.close()

    def render(self, request: web.Request, template: str, context: Context) -> str:
        """A template with what every page has."""
        common: Context = {
            "holder": holder_of(request),
            "platform_code": self._code,
            "own_code": self._code,
            "platforms": self._node.validators,
        }
        return self._templates.get_template(template).render({**common, **context})

    # --- sessions ---

    async def home(self, request: web.Request) -> web.Response:
        """The first page."""
        return self._home(request)

    def _home(self, request: web.Request, *, status: int = 200, **context: Any) -> web.Response:
        defaults: Context = {"message": "", "query": "", "asked_code": "", "next_path": "/"}
        return html(self.render(request, "home.html", {**defaults, **context}), status=status)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Open a session for a pasted token."""
        fields = await form_of(request)
        next_path = own_path(fields.get("next", "/"))
        token = find_token(self._node.config.tokens, fields.get("token", "").strip())
        if token is None or "read" not in token.may:
            message = "This node does not know the token, or it may not read."
            return self._home(request, status=403, message=message, next_path=next_path)
        return self._signed_in(request, request.app[SESSIONS].open(token), next_path)

    async def enter_ask(self, request: web.Request) -> web.Response:
        """Show whose session a one-time link opens; looking uses nothing up."""
        code = request.match_info["code"]
        holder = request.app[SESSIONS].peek_code(code)
        if holder is None:
            raise _used_link()
        return html(self.render(request, "enter.html", {"code": code, "name": holder.name}))

    async def enter(self, request: web.Request) -> web.Response:
        """Open the session of a one-time link."""
        await form_of(request)
        secret = request.app[SESSIONS].take_code(request.match_info["code"])
        if secret is None:
            raise _used_link()
        return self._signed_in(request, secret, "/")

    def _signed_in(self, request: web.Request, secret: str, path: str) -> web.Response:
        request.app[SESSIONS].close(request.cookies.get(COOKIE, ""))
        response = go_to(path)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=SESSION_SECONDS,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=request.secure,
        )
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        await form_of(request)
        request.app[SESSIONS].close(request.cookies.get(COOKIE, ""))
        response = go_to("/")
        response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
        return response

    # --- look-up ---

    async def look_up(self, request: web.Request) -> web.Response:
        """The look-up form."""
        need_holder(request)
        return self._home(request)

    async def look_up_form(self, request: web.Request) -> web.Response:
        """Go to the report of a handle, or of the own platform's reference."""
        fields = await form_of(request)
        need_holder(request)
        asked, code = fields.get("subject", "").strip(), fields.get("platform", "")
        if ":" in asked and _HANDLE.match(asked.rpartition(":")[2]):
            return go_to(f"/subjects/{self._subject(asked)[1]}")
        if _HANDLE.match(asked):
            return go_to(f"/subjects/{self._subject(f'{code}:{asked}')[1]}")
        handle = self._handle_of(asked) if code == self._code else None
        if handle is None:
            message = f"Platform {self._code} knows no worker by the reference “{asked}”."
            if code != self._code:
                message = "On another platform a worker is looked up by its handle of 64 digits."
            context = {"message": message, "query": asked, "asked_code": code}
            return self._home(request, status=404, **context)
        return go_to(f"/subjects/{self._code}:{handle.hex()}")

    def _handle_of(self, reference: str) -> bytes | None:
        if not 0 < len(reference) <= REFERENCE_CHARS_MAX:
            return None
        try:
            found: bytes | None = self._node.handle_of(reference)
        except InvalidInput:
            return None
        return found

    # --- report ---

    async def report(self, request: web.Request) -> web.Response:
        """The report on a worker."""
        need_holder(request)
        number = request.query.get("page", "1")
        if not _DECIMAL.match(number) or int(number) > PAGE_MAX:
            raise PageProblem(400, "This cannot be read", f"page is a number from 1 to {PAGE_MAX}.")
        report = report_of(await self._dossier(request), int(number))
        return html(self.render(request, "report.html", {"report": report}), scripted=True)

    async def history(self, request: web.Request) -> web.Response:
        """The history plot of a worker."""
        need_holder(request)
        theme = _THEMES.get(request.query.get("theme", "light"))
        size = _SIZES.get(request.query.get("size", "wide"))
        if theme is None or size is None:
            message = "theme is light or dark, size is wide or narrow."
            raise PageProblem(400, "This cannot be read", message)
        dossier = await self._dossier(request)
        return svg(await self._plots.svg(dossier.history, theme, size))

    async def _dossier(self, request: web.Request) -> Dossier:
        need_ready(request)
        (platform, handle), name = self._subject(request.match_info["subject"])
        certified = self._node.certified
        row = read_subject(self._node.reader, platform, handle)
        if row is None or row.registered >= certified.size:
            raise PageProblem(404, "No such worker", f"Nobody has registered the handle {name}.")
        domain = request.query.get("domain", "")
        key = (platform, handle, domain, certified.height)
        found = self._dossiers.get(key)
        if found is None:
            question = ask(self._node.reader, certified, platform, handle, domain=domain)
            codes = dict(self._node.codes)
            material = await asyncio.to_thread(
                gather, self._node.reader, certified, self._ground(), codes, question
            )
            found = await asyncio.to_thread(compile_dossier, material)
            self._dossiers[key] = found
            while len(self._dossiers) > DOSSIERS_KEPT:
                self._dossiers.popitem(last=False)
        return found

    def _ground(self) -> Ground:
        certified = self._node.certified
        return Ground(certified.height, certified.size, certified.root.hex(), certified.time)

    def _subject(self, text: str) -> tuple[tuple[int, bytes], str]:
        """Platform and handle of `platform:handle`, and their name with the platform's code.

        Raises:
            PageProblem: malformed, or no such platform.
        """
        platform, _, handle = text.partition(":")
        if not _HANDLE.match(handle):
            message = "A worker is named platform:handle; the handle has 64 lowercase hex digits."
            raise PageProblem(400, "This cannot be read", message)
        for number, code in self._node.codes.items():
            if platform in {code, str(number)}:
                return (number, bytes.fromhex(handle)), f"{code}:{handle}"
        raise PageProblem(404, "No such platform", f"No platform of this network is “{platform}”.")

    # --- network ---

    async def network(self, request: web.Request) -> web.Response:
        """This node and the network."""
        need_holder(request)
        ground = self._ground() if self._node.certified is not None else None
        view = network_view(self._node, ground)
        return html(self.render(request, "network.html", {"network": view}))

    async def static(self, request: web.Request) -> web.Response:
        """The style sheet, or a module of the browser's verifier."""
        name = request.path.rpartition("/")[2]
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return asset(request, self._static[name], kind)

    @property
    def _code(self) -> str:
        return str(self._node.code)


def _used_link() -> PageProblem:
    message = "It was used already, or it is too old. Ask the node for a new one, or sign in."
    return PageProblem(403, "This link opens nothing any more", message)
