"""What the pages that act share: who acts, starting a job, and the jobs that a page shows."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response

from penstock.console.desk import Desk
from penstock.console.jobs.board import JobRuns
from penstock.console.jobs.job import Job, JobName, Person
from penstock.console.live import session_of
from penstock.console.security.guard import Refusal


def person(request: Request) -> Person:
    """Who asks: the name given at log-in, or the role."""
    session = session_of(request)
    return Person(session.name or session.role, session.role) if session else Person("somebody", "viewer")


def start(desk: Desk, request: Request, name: JobName, arguments: Mapping[str, Any], back: str) -> Response | str:
    """Start a job and return where to go on; or say who has started the same one, and when.

    Raises SettingsError, SinkUnavailable.
    """
    try:
        desk.jobs.start(name, arguments, person(request))
    except JobRuns as error:
        return desk.refused(request, Refusal(409, str(error)))
    return back


def jobs_of(desk: Desk, names: Iterable[JobName]) -> dict[JobName, Job]:
    """The last runs of these jobs, read once for all viewers. Raises SinkUnavailable."""
    wanted = tuple(names)
    return desk.looks.look(("jobs", wanted), lambda: desk.jobs.board.jobs(wanted), every_s=0.5)


def letters_in(form: ImmutableMultiDict[str, str]) -> dict[str, Any]:
    """Which letters a form is about, as arguments of a job."""
    given: dict[str, Any] = {"reason": unquote(form.get("reason", "")), "ids": ids_in(form)}
    return {name: value for name, value in given.items() if value}


def ids_in(form: ImmutableMultiDict[str, str]) -> list[str]:
    """The documents, or events, that a form names. Forms hold them quoted, since they may have any characters."""
    return [unquote(each) for each in form.getlist("id") if each]
