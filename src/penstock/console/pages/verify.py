"""Verify: whether each index holds what its collection says, started, watched and repaired here."""

from typing import Any

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.console.acting import ids_in, jobs_of, person, start
from penstock.console.desk import Context, Desk, Link
from penstock.console.forms import require_typed
from penstock.console.jobs.board import JobRuns
from penstock.console.jobs.job import JobName
from penstock.errors import SettingsError

LINKS: tuple[Link, ...] = (Link("Verify", "/verify"),)


def routes(desk: Desk) -> list[Route]:
    """Return the routes of all collections, of one, and of their forms."""

    def read(_request: Request) -> Context:
        namespaces = [each.namespace for each in desk.settings.collections]
        jobs = jobs_of(desk, [JobName("verify", each) for each in namespaces])
        rows = [(each, jobs.get(JobName("verify", each))) for each in namespaces]
        return {"rows": rows, "verified": sum(job is not None and job.run.state == "done" for _, job in rows)}

    def read_one(request: Request) -> Context:
        namespace = _namespace(desk, request)
        names = [JobName("verify", namespace), JobName("repair", namespace), JobName("load", namespace)]
        jobs = jobs_of(desk, names)
        verify, *others = (jobs.get(each) for each in names)
        latest = verify.run.started_at if verify else None
        shown = [each for each in others if each and (each.is_open or latest is None or each.run.started_at > latest)]
        return {"namespace": namespace, "verify": verify, "repair": others[0], "load": others[1], "others": shown}

    return [
        desk.page("/verify", "verify.html", read, every_s=2.0),
        *_forms(desk),
        desk.page("/verify/{namespace:path}", "verify_one.html", read_one, every_s=1.0),
    ]


def _forms(desk: Desk) -> list[Route]:
    """Return the routes of what can be started."""

    def begin(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        namespace = _namespace(desk, request)
        arguments = _arguments(form)
        if "repair" in arguments:
            require_typed(form, namespace)
        return start(desk, request, JobName("verify", namespace), arguments, f"/verify/{namespace}")

    def begin_all(request: Request, _form: ImmutableMultiDict[str, str]) -> Response | str:
        """Start those that are not under way; they run a few at a time."""
        for each in desk.settings.collections:
            try:
                desk.jobs.start(JobName("verify", each.namespace), {"wait_s": 30.0}, person(request))
            except JobRuns:
                continue
        return "/verify"

    def repair(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        namespace, ids = _namespace(desk, request), ids_in(form)
        if not ids:
            raise SettingsError("Nothing was chosen: tick the documents that are to be repaired.")
        arguments = {"repair": True, "documents": ids, "wait_s": 5.0}
        return start(desk, request, JobName("repair", namespace), arguments, f"/verify/{namespace}")

    def load(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        namespace = _namespace(desk, request)
        require_typed(form, namespace)
        return start(desk, request, JobName("load", namespace), {"again": True}, f"/verify/{namespace}")

    return [
        desk.action("/verify", begin_all),
        desk.action("/verify/{namespace:path}/repair", repair),
        desk.action("/verify/{namespace:path}/load", load),
        desk.action("/verify/{namespace:path}", begin),
    ]


def _namespace(desk: Desk, request: Request) -> str:
    namespace: str = request.path_params["namespace"]
    if namespace not in {each.namespace for each in desk.settings.collections}:
        raise HTTPException(404, f"{namespace} is not a declared collection.")
    return namespace


def _arguments(form: ImmutableMultiDict[str, str]) -> dict[str, Any]:
    """How to verify. Raises SettingsError."""
    given = {
        "wait_s": _number(form, "wait", 30.0),
        "rate": _number(form, "rate", 0.0),
        "repair": bool(form.get("repair")),
    }
    return {name: value for name, value in given.items() if value or name == "wait_s"}


def _number(form: ImmutableMultiDict[str, str], name: str, default: float) -> float:
    """A number of a form. Raises SettingsError."""
    text = form.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = -1
    if not 0 <= number < 1e9:
        raise SettingsError(f"{name}: {text!r} is not a number that can be used here.")
    return number
