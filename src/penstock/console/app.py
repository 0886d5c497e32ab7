"""The application: every page, with the guard in front."""

import threading
from typing import Final, Protocol

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from penstock.console.desk import Desk, Link
from penstock.console.jobs.keeper import JobKeeper
from penstock.console.pages import (
    activity,
    collection,
    dead_letters,
    explain,
    login,
    overview,
    reactions,
    reindex,
    search,
    settings,
    verify,
    workers,
)
from penstock.console.security.guard import HEALTH, Guard, Refusal
from penstock.console.security.sessions import Sessions
from penstock.console.security.tokens import Tokens
from penstock.console.static_files import KeptFiles
from penstock.errors import PenstockError, SettingsError
from penstock.observe.logs import mask_credentials
from penstock.runtime.intervals import INTERVALS, Intervals
from penstock.settings import Settings

log = structlog.get_logger(__name__)


class Page(Protocol):
    """A module of `pages`. Its links are shown in the navigation, in the order of PAGES."""

    LINKS: tuple[Link, ...]

    def routes(self, desk: Desk) -> list[Route]:
        """Return its routes."""
        ...


PAGES: Final[tuple[Page, ...]] = (
    overview,
    search,  # before `collection`, whose paths may have any end
    collection,
    dead_letters,
    explain,
    verify,
    reindex,
    reactions,
    workers,
    settings,
    activity,
    login,
)


def console_app(
    settings: Settings,
    *,
    listen: str | None = None,
    intervals: Intervals = INTERVALS,
    stop: threading.Event | None = None,
    jobs: JobKeeper | None = None,
) -> ASGIApp:
    """Return the application. Streams end when `stop` is set. Raises SettingsError for a token that cannot be used.

    `jobs` runs what people start, and its maker closes it; without it they are only shown.
    """
    tokens = Tokens(settings.console)
    tokens.require_usable()
    desk = Desk(settings, Sessions(tokens), intervals, stop=stop or threading.Event(), kept_jobs=jobs)
    desk.navigation.extend(link for page in PAGES for link in page.LINKS)

    def not_found(request: Request, _error: Exception) -> Response:
        return desk.refused(request, Refusal(404, "There is no such page."))

    def not_allowed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return desk.refused(request, Refusal(error.status_code, error.detail))

    def failed(request: Request, error: Exception) -> Response:
        """Show an error that penstock raises on purpose; its message holds no secret."""
        status = 400 if isinstance(error, SettingsError) else 503
        return desk.refused(request, Refusal(status, mask_credentials(str(error))))

    def broken(request: Request, error: Exception) -> Response:
        log.error("a page of the console failed", path=request.url.path, exc_info=error)
        return desk.refused(request, Refusal(500, "This page has a defect. The console's log says which."))

    pages = Starlette(
        routes=[
            Route(HEALTH, lambda _request: PlainTextResponse("ok\n")),
            Mount("/static", KeptFiles()),
            *(route for page in PAGES for route in page.routes(desk)),
        ],
        exception_handlers={404: not_found, HTTPException: not_allowed, PenstockError: failed, 500: broken},
    )
    return Guard(
        pages,
        settings=settings.console,
        listen=listen or settings.console.address,
        sessions=desk.sessions,
        refused=desk.refused,
    )
