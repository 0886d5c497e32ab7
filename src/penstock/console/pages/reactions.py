"""Reactions: how each stands, and the events that its target refused."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.console.acting import jobs_of, letters_in, start
from penstock.console.desk import Context, Desk, Link
from penstock.console.forms import require_typed
from penstock.console.jobs.job import JobName
from penstock.model import Namespace
from penstock.opensearch.dead_letters.search import LetterFilter
from penstock.operations.dead_letters import reactions as letters
from penstock.operations.status.reactions import ReactionStatus
from penstock.settings import ReactionSettings

LINKS: tuple[Link, ...] = (Link("Reactions", "/reactions"),)

_SHOWN: Final = 50
_EVERY_S: Final = 2.0
_MAX_EVENT: Final = 20_000


def routes(desk: Desk) -> list[Route]:
    """Return the routes of all reactions, of one with its events, of one event, and of their forms."""

    def read(_request: Request) -> Context:
        return {"reactions": _look(desk), "declared": bool(desk.declared.reactions)}

    def read_one(request: Request) -> Context:
        name = _declared(desk, request).name
        reason = request.query_params.get("reason", "").strip()
        which = letters.of_reaction(desk.settings, name, LetterFilter(reason=reason))
        found, tally = letters.newest(desk.settings, which, limit=_SHOWN)
        jobs = jobs_of(desk, [JobName("replay-events", name), JobName("drop-events", name)])
        status = next((each for each in _look(desk) if each.name == name), None)
        return {
            "name": name,
            "status": status,
            "by_topics": _by_topics(desk, status) if status and status.state in ("waiting", "stopped") else [],
            "reason": reason,
            "letters": found,
            "tally": tally,
            "groups": letters.groups(desk.settings, which),
            "jobs": list(jobs.values()),
            "event_path": lambda letter: f"/reactions/{name}/event?{_query(letter.namespace, letter.id)}",
        }

    def read_event(request: Request) -> Context:
        name = _declared(desk, request).name
        collection, event_id = request.query_params.get("collection", ""), request.query_params.get("id", "")
        if "." not in collection:
            raise HTTPException(404, "There is no such event.")
        letter = letters.find_event(desk.settings, name, Namespace.named(collection), event_id)
        jobs = jobs_of(desk, [JobName("replay-events", name), JobName("drop-events", name)])
        its = [each for each in jobs.values() if event_id in each.run.arguments.get("ids", ())]
        body = (letter.body or "")[:_MAX_EVENT] if letter and desk.shows_values else ""
        return {"name": name, "collection": collection, "id": event_id, "letter": letter, "jobs": its, "body": body}

    def replay(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        name = _declared(desk, request).name
        return start(desk, request, JobName("replay-events", name), letters_in(form), f"/reactions/{name}")

    def drop(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        name = _declared(desk, request).name
        require_typed(form, name)
        arguments = {**letters_in(form), "before": datetime.now(UTC).isoformat()}
        return start(desk, request, JobName("drop-events", name), arguments, f"/reactions/{name}")

    return [
        desk.page("/reactions", "reactions.html", read, every_s=_EVERY_S),
        desk.page("/reactions/{name}", "reaction.html", read_one, every_s=_EVERY_S),
        desk.page("/reactions/{name}/event", "event.html", read_event, every_s=_EVERY_S),
        desk.action("/reactions/{name}/replay", replay),
        desk.action("/reactions/{name}/drop", drop),
    ]


def _look(desk: Desk) -> list[ReactionStatus]:
    """How the reactions stand, read once for all viewers. Raises SettingsError, SinkUnavailable."""
    return desk.status().reactions if desk.declared.reactions else []


def _by_topics(desk: Desk, status: ReactionStatus) -> list[str]:
    """The collections whose index is fed by topics, which bring nothing to a reaction."""
    return [each for each in status.collections if desk.settings.brought_by(each) == "topics"]


def _declared(desk: Desk, request: Request) -> ReactionSettings:
    name = request.path_params["name"]
    found = next((each for each in desk.declared.reactions if each.name == name), None)
    if found is None:
        raise HTTPException(404, f"{name} is not a declared reaction.")
    return found


def _query(namespace: Namespace, event_id: str) -> str:
    return urlencode({"collection": str(namespace), "id": event_id})
