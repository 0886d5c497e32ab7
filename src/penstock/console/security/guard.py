"""Stands in front of all pages: whatever reaches one was meant for us, comes from us, and is of somebody who may.

A request that may change something passes in this order: the name it was meant for, the page it comes from, the
session, the role, whether actions are on, and the token of its form. The path is the one that the router goes by,
never that of an address which is put together from headers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.console.security.headers import with_headers
from penstock.console.security.origin import expected_hosts, is_embedded_elsewhere, is_expected, is_from_here
from penstock.console.security.sessions import Session, Sessions, is_csrf_of
from penstock.settings import ConsoleSettings

LARGEST_FORM: Final = 256 * 1024
MOST_FIELDS: Final = 2000
HEALTH: Final = "/healthz"
LOG_IN: Final = "/login"
LOG_OUT: Final = "/logout"
STATIC: Final = "/static/"


class Refusal(NamedTuple):
    """Why a request is not answered, as status and sentence."""

    status: int
    sentence: str


@dataclass(frozen=True)
class Guard:
    """The middleware. It leaves `session` and, of a form, `form` in the request's state."""

    app: ASGIApp
    settings: ConsoleSettings
    listen: str
    sessions: Sessions
    refused: Callable[[Request, Refusal], Response]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        send = with_headers(send, encrypted=is_encrypted(self.settings))
        request.state.session = None
        answer: ASGIApp = self.app
        if scope["path"] != HEALTH:
            answer = self._stopped(request) or await self._stopped_form(request) or self.app
        await answer(scope, receive, send)

    def _stopped(self, request: Request) -> Response | None:
        """What is answered instead, by what the headers say."""
        headers = request.headers
        if not is_expected(headers.get("host"), expected_hosts(self.settings, self.listen)):
            return self.refused(
                request,
                Refusal(421, "This console does not go by that name. Add it to [console] allowed_hosts if it should."),
            )
        if request.method not in ("GET", "HEAD") and not is_from_here(headers):
            return self.refused(request, Refusal(403, "This request does not come from a page of this console."))
        if is_embedded_elsewhere(headers):
            return self.refused(request, Refusal(403, "Another site's page asked for this."))
        if request.scope["path"].startswith(STATIC):
            return None
        request.state.session = self.sessions.read(request.cookies.get(cookie_name(request, self.settings)))
        if request.scope["path"] == LOG_IN or request.state.session or not self.sessions.tokens.needed:
            return None
        return self._to_log_in(request)

    def _to_log_in(self, request: Request) -> Response:
        is_page = "hx-request" not in request.headers and "text/event-stream" not in request.headers.get("accept", "")
        if request.method != "GET" or not is_page:
            ended = self.refused(request, Refusal(401, "Log in first: the session has ended."))
            ended.headers["HX-Redirect"] = LOG_IN
            return ended
        if request.headers.get("sec-fetch-site") == "cross-site":
            # Somebody followed a link of another site, where a SameSite=Strict cookie is not sent: ask once more.
            again = Response(_AGAIN, media_type="text/html")
            again.headers["Refresh"] = "0"
            return again
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"{LOG_IN}?next={quote(target, safe='')}", status_code=303)

    async def _stopped_form(self, request: Request) -> Response | None:
        """What is answered to a form instead, by what it holds and who sends it."""
        if request.method != "POST":
            return None
        form = await _form_of(request)
        if isinstance(form, Refusal):
            return self.refused(request, form)
        request.state.form = form
        if request.scope["path"] == LOG_IN:
            return None
        session: Session | None = request.state.session
        if refusal := self._may_not(request, session):
            return self.refused(request, refusal)
        assert session is not None
        given = request.headers.get("x-csrf-token") or str(form.get("csrf", ""))
        if not is_csrf_of(session, given):
            return self.refused(
                request, Refusal(403, "This form was not made for your session: load the page again and repeat it.")
            )
        return None

    def _may_not(self, request: Request, session: Session | None) -> Refusal | None:
        if request.scope["path"] == LOG_OUT and session:
            return None
        if not self.settings.actions or session is None:
            return Refusal(403, "This console only shows. To act in it, set [console] actions = true and a token_file.")
        if session.role != "operator":
            return Refusal(403, "You are logged in as a viewer. Log in with the operators' token to act.")
        return None


def is_encrypted(settings: ConsoleSettings) -> bool:
    """Whether browsers reach the console by HTTPS."""
    return bool(settings.tls_certificate or settings.behind_proxy)


def cookie_name(request: Request, settings: ConsoleSettings) -> str:
    """Return the name of the session's cookie; two consoles on one host, on different ports, keep theirs apart."""
    prefix = "__Host-" if is_encrypted(settings) else ""
    return f"{prefix}penstock-{request.url.port or 'session'}"


async def _form_of(request: Request) -> ImmutableMultiDict[str, str] | Refusal:
    """Read the fields of a form."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return Refusal(415, "Only forms are taken here.")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM:
            return Refusal(413, "This form is too large.")
    try:
        return ImmutableMultiDict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        return Refusal(400, "This form cannot be read.")


_AGAIN = '<!doctype html><html lang="en"><title>penstock</title><p><a href="">Continue</a>'
