"""The overview: whether all is in step, and how each collection stands."""

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.errors import PenstockError
from penstock.observe.logs import mask_credentials
from penstock.operations.status.status import Status, status

LINKS: tuple[Link, ...] = (Link("Overview", "/"),)


def routes(desk: Desk) -> list[Route]:
    """Return the route of the overview."""

    def read(_request: Request) -> Context:
        try:
            found = look(desk)
        except PenstockError as error:
            return {"problem": mask_credentials(str(error)), "collections": []}
        return {"problem": found.source_problem, "collections": found.collections}

    return [desk.page("/", "overview.html", read, every_s=1.0)]


def look(desk: Desk) -> Status:
    """Return how everything stands, read once for all viewers. Raises SettingsError, SinkUnavailable."""
    tables = [each.namespace for each in desk.declared.collections]
    return desk.looks.look("status", lambda: status(desk.settings, tables, desk.intervals))
