"""What a page works with: the settings, looks shared by all viewers, templates, and who asks."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from penstock.console.everything import Everything
from penstock.console.jobs.keeper import JobKeeper
from penstock.console.live import Parts, Rendered, changes, is_stream, session_of
from penstock.console.looks import Looks
from penstock.console.security.guard import Refusal, cookie_name
from penstock.console.security.sessions import Session, Sessions
from penstock.console.static_files import static_url
from penstock.console.words import FILTERS
from penstock.operations.status.report import Status
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings
from penstock.worker.collections.patterns import expanded

Context = Mapping[str, Any]
Read = Callable[[Request], Context]

_PATTERNS_EVERY_S: Final = 10.0
_MOST_STREAMS: Final = 200


class Link:
    """An entry of the navigation."""

    def __init__(self, title: str, path: str) -> None:
        self.title, self.path = title, path

    def is_here(self, path: str) -> bool:
        """Whether a page is this one, or below it."""
        return path == self.path or (self.path != "/" and path.startswith(f"{self.path}/"))


@dataclass
class Desk:
    """One for the whole console; pages get it when their routes are made."""

    declared: Settings
    """The settings as they are written, with patterns."""

    sessions: Sessions
    intervals: Intervals = INTERVALS
    looks: Looks = field(default_factory=Looks)
    stop: threading.Event = field(default_factory=threading.Event)
    navigation: list[Link] = field(default_factory=list)
    kept_jobs: JobKeeper | None = None
    _streams: int = 0

    @property
    def settings(self) -> Settings:
        """The settings with collections in the place of patterns. Raises SettingsError, SinkUnavailable."""
        return self.looks.look("settings", lambda: expanded(self.declared, note=False), every_s=_PATTERNS_EVERY_S)

    @cached_property
    def everything(self) -> Everything:
        """How everything stands; ask it through `status`."""
        tables = [each.namespace for each in self.declared.collections]
        return Everything(lambda: self.settings, tables, self.intervals)

    def status(self) -> Status:
        """Return how everything stands, looked at once for all viewers. Raises SettingsError, SinkUnavailable."""
        return self.looks.look("status", self.everything.look)

    def status_at_hand(self) -> tuple[Status, float]:
        """Return how everything stood when it was looked at last, and how many seconds ago that was; look meanwhile.

        For the answer to a first visitor, who would wait; the stream of the page brings the new look. Raises as
        `status` does.
        """
        return self.looks.latest("status", self.everything.look)

    @property
    def shows_values(self) -> bool:
        """Whether values of documents may be on a page."""
        return self.declared.console.show_values

    @cached_property
    def jobs(self) -> JobKeeper:
        """What people have started, here or in another console. Raises SettingsError, SinkUnavailable."""
        return self.kept_jobs or JobKeeper(self.declared, intervals=self.intervals, runs=False)

    def session(self, request: Request) -> Session | None:
        """Who asks; None where nobody has to log in."""
        return session_of(request)

    def may_act(self, request: Request) -> bool:
        """Whether this viewer may act: pages show their forms only then."""
        session = session_of(request)
        return bool(self.declared.console.actions and session and session.role == "operator")

    # Pages

    def page(self, path: str, template: str, read: Read, *, every_s: float | None = None) -> Route:
        """Return the route of a page: `read` gives the values of its template.

        With `every_s` the page's block `live` is kept up to date, by a look after this number of seconds. Then
        `read` must depend only on the address and on what the viewer may do, because its result is shared.
        """

        async def answer(request: Request) -> Response:
            if every_s is not None and is_stream(request):
                return self._stream(request, template, read, every_s)
            return await run_in_threadpool(
                lambda: self.render(request, template, {**read(request), "is_live": every_s is not None})
            )

        return Route(path, answer, methods=["GET"])

    def action(self, path: str, act: Callable[[Request, ImmutableMultiDict[str, str]], Response | str]) -> Route:
        """Return the route of a form. What `act` returns is the answer, or the address to go on to.

        The guard has made sure that an operator sent it from one of our pages.
        """

        def answer(request: Request) -> Response:
            done = act(request, request.state.form)
            return done if isinstance(done, Response) else go_to(request, done)

        return Route(path, answer, methods=["POST"])

    def render(self, request: Request, template: str, context: Context, status: int = 200) -> HTMLResponse:
        """Return a page."""
        parts = Parts()
        text = self._templates.get_template(template).render(
            {**self._common(request), "is_live": False, **context, "part": parts.part}
        )
        return HTMLResponse(self._personal(request)(Rendered(text, parts.found).whole), status)

    def fragment(self, request: Request, template: str, context: Context) -> HTMLResponse:
        """Return a piece of a page, for htmx: a template that extends nothing."""
        return self.render(request, template, context)

    def refused(self, request: Request, refusal: Refusal) -> Response:
        """Return the page that says why there is none."""
        return self.render(
            request, "refused.html", {"status": refusal.status, "sentence": refusal.sentence}, refusal.status
        )

    # Inside

    def _stream(self, request: Request, template: str, read: Read, every_s: float) -> Response:
        if self._streams >= _MOST_STREAMS:
            return Response("too many streams", 503, {"Retry-After": "10"})
        key = ("live", request.url.path, request.url.query, self.may_act(request))

        def render() -> Rendered:
            return self.looks.look(key, lambda: self._live(request, template, read), every_s=every_s * 0.9)

        def still() -> bool:
            session = self.sessions.read(request.cookies.get(cookie_name(request, self.declared.console)))
            return not self.stop.is_set() and session == session_of(request)

        async def counted() -> Any:
            self._streams += 1
            try:
                async for event in changes(render, every_s=every_s, still=still, personal=self._personal(request)):
                    yield event
            finally:
                self._streams -= 1

        return StreamingResponse(counted(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    def _live(self, request: Request, template: str, read: Read) -> Rendered:
        parts = Parts()
        found = self._templates.get_template(template)
        context = found.new_context({**self._common(request), "is_live": True, **read(request), "part": parts.part})
        return Rendered("".join(found.blocks["live"](context)), parts.found)

    def _common(self, request: Request) -> dict[str, Any]:
        return {
            "navigation": self.navigation,
            "path": request.url.path,
            "session": session_of(request),
            "may_act": self.may_act(request),
            "shows_values": self.shows_values,
            "needs_log_in": self.sessions.tokens.needed,
            "csrf": self._csrf_mark,
        }

    def _personal(self, request: Request) -> Callable[[str], str]:
        """Rendered pages are shared; only here does each get the token of its viewer's session."""
        session = session_of(request)
        return lambda text: text.replace(self._csrf_mark, session.csrf if session else "")

    @cached_property
    def _csrf_mark(self) -> str:
        return f"csrf-{secrets.token_hex(16)}"

    @cached_property
    def _templates(self) -> Environment:
        templates = Environment(
            loader=PackageLoader("penstock.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters.update(FILTERS)
        templates.globals.update(static=static_url, version=version("penstock"), Markup=Markup)
        return templates


def go_to(request: Request, path: str) -> Response:
    """Return the answer that leads to another page, for a form of htmx or a plain one."""
    if "hx-request" in request.headers:
        return Response(status_code=204, headers={"HX-Redirect": path})
    return RedirectResponse(path, status_code=303)
