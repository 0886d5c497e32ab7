"""Explain: why one document is in the index, is missing from it, or differs."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.console.verdict import Kind, Sentence
from penstock.errors import PenstockError
from penstock.observe.logs import mask_credentials
from penstock.operations.explain.explain import explain
from penstock.operations.explain.look import Explanation

LINKS: tuple[Link, ...] = (Link("Explain", "/explain"),)

_WAIT_S = 3.0
"""How long a look waits for a running worker to pass the document."""


def routes(desk: Desk) -> list[Route]:
    """Return the route of explain."""

    def read(request: Request) -> Context:
        names = sorted(each.namespace for each in desk.settings.collections)
        collection, typed = _asked(request.query_params.get("q", ""), names)
        collection = request.query_params.get("collection") or collection
        typed = request.query_params.get("id", typed).strip()
        context: dict[str, Any] = {"names": names, "collection": collection, "id": typed, "problem": "", "found": None}
        if not typed:
            return context
        if not collection:
            return {**context, "problem": "Choose the collection of this document."}
        try:
            found = explain(desk.settings, collection, typed, wait_s=_WAIT_S, intervals=desk.intervals)
        except PenstockError as error:
            return {**context, "problem": mask_credentials(str(error))}
        return {**context, "found": found, "sentence": _sentence(found), "odd": _odd(found), "as_json": _as_json}

    return [desk.page("/explain", "explain.html", read)]


def _asked(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Return collection and id of what was typed into one box; the collection may be left out if there is one only."""
    first, _, rest = text.strip().partition(" ")
    if first in names:
        return first, rest.strip()
    return (names[0] if len(names) == 1 else ""), text.strip()


def _sentence(found: Explanation) -> Sentence:
    kinds: dict[str, Kind] = {"behind": "busy", "not loaded": "busy", "settings changed": "warn", "ignored": "warn"}
    conclusion = found.conclusion
    kind = "good" if conclusion.is_expected else kinds.get(conclusion.verdict, "bad")
    return Sentence(kind, conclusion.sentence)


def _odd(found: Explanation) -> list[tuple[str, str, Any, Any]]:
    fields = found.seen.fields.items()
    return [(path, each.state, each.wanted, each.indexed) for path, each in fields if each.state != "equal"]


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
