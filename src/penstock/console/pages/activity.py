"""Activity: what runs now, and who did what, when, with which result."""

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.console.acting import person
from penstock.console.desk import Context, Desk, Link
from penstock.console.jobs.job import KINDS, JobName
from penstock.console.security.guard import Refusal

LINKS: tuple[Link, ...] = (Link("Activity", "/activity"),)
PAGES_OF_KINDS = {
    "verify": "/verify",
    "repair": "/verify",
    "replay": "/dead-letters",
    "drop": "/dead-letters",
    "replay-events": "/reactions",
    "drop-events": "/reactions",
    "reindex": "/reindex",
    "load": "/verify",
}
"""Where the forms are that start a job."""


def routes(desk: Desk) -> list[Route]:
    """Return the routes of the page, and of the stop button of all others."""

    def read(_request: Request) -> Context:
        board, activity = desk.jobs.board, desk.jobs.activity
        return {
            "open": desk.looks.look("jobs that are open", board.open),
            "entries": desk.looks.look("activity", activity.entries),
        }

    def stop(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        kind, subject = form.get("kind", ""), form.get("subject", "")
        name = next((JobName(each, subject) for each in KINDS if each == kind), None)
        if name is None or not desk.jobs.stop(name, person(request)):
            return desk.refused(request, Refusal(409, f"{kind} of {subject} is at its end: there is nothing to stop."))
        back = form.get("back", "")
        return back if back.startswith(f"{PAGES_OF_KINDS[name.kind]}") else "/activity"

    return [desk.page("/activity", "activity.html", read, every_s=1.0), desk.action("/jobs/stop", stop)]
