"""Reindex: a new index next to the one that is searched, step by step, and the way back."""

import json
from typing import Any, Final, get_args

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.console.acting import jobs_of, start
from penstock.console.desk import Context, Desk, Link
from penstock.console.forms import require_typed
from penstock.console.jobs.job import JobName
from penstock.errors import SettingsError
from penstock.operations.reindex.view import ReindexStep, ReindexView, moved_on, reindex_view

LINKS: tuple[Link, ...] = (Link("Reindex", "/reindex"),)

_TYPED: Final[frozenset[str]] = frozenset({"finish", "abandon"})
"""The steps that delete an index."""

_MAX_VALUE: Final = 2000


def routes(desk: Desk) -> list[Route]:
    """Return the routes of all collections, of one, and of its steps."""

    def read(_request: Request) -> Context:
        settings = desk.settings
        found = desk.looks.look("moved on", lambda: moved_on(settings), every_s=5.0)
        jobs = jobs_of(desk, [JobName("reindex", each) for each in found])
        rows = [(each, *found[each], jobs.get(JobName("reindex", each))) for each in found]
        return {"rows": rows, "changed": [each for each, (names, _) in found.items() if names]}

    def read_one(request: Request) -> Context:
        namespace = _namespace(desk, request)
        settings = desk.settings
        view = desk.looks.look(("reindex", namespace), lambda: reindex_view(settings, namespace), every_s=1.0)
        job = jobs_of(desk, [JobName("reindex", namespace)]).get(JobName("reindex", namespace))
        changed = [(each.name, _text(each.before), _text(each.now)) for each in view.changed]
        return {"view": view, "job": job, "changed": changed, "at": _at(view), "typed": _TYPED}

    def step(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        namespace, chosen = _namespace(desk, request), form.get("step", "")
        if chosen not in get_args(ReindexStep):
            raise SettingsError(f"{chosen!r} is no step of a reindex.")
        if chosen in _TYPED:
            require_typed(form, namespace)
        index = form.get("index", "")
        if not index:
            raise SettingsError("The form does not say which index it is about: load the page again.")
        arguments: dict[str, Any] = {"step": chosen, "index": index}
        arguments |= {name: True for name in ("force", "accept_dead_letters") if form.get(name)}
        answer = start(desk, request, JobName("reindex", namespace), arguments, f"/reindex/{namespace}")
        desk.looks.forget(("reindex", namespace))
        return answer

    return [
        desk.page("/reindex", "reindex.html", read, every_s=2.0),
        desk.page("/reindex/{namespace:path}", "reindex_one.html", read_one, every_s=1.0),
        desk.action("/reindex/{namespace:path}", step),
    ]


def _namespace(desk: Desk, request: Request) -> str:
    namespace: str = request.path_params["namespace"]
    if namespace not in {each.namespace for each in desk.settings.collections}:
        raise HTTPException(404, f"{namespace} is not a declared collection.")
    return namespace


def _at(view: ReindexView) -> int:
    """The step that the collection is at, from 1: settings, load, verify, switch, end."""
    building = view.in_role("building")
    if building:
        return 3 if building.load == "live" else 2
    return 5 if view.in_role("kept", "dropping") else 1


def _text(value: Any) -> str:
    """A value of the settings as people read it."""
    if value is None or value in ({}, []):
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."
