"""Search in the index of a collection: hits as people see them."""

import json
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.operations.search import HITS, search

LINKS: tuple[Link, ...] = ()

_LONGEST_VALUE = 200


def routes(desk: Desk) -> list[Route]:
    """Return the route of the search."""

    def read(request: Request) -> Context:
        namespace, query = request.path_params["namespace"], request.query_params.get("q", "")
        asked = desk.shows_values and "q" in request.query_params
        found = search(desk.settings, namespace, query) if asked else None
        return {"namespace": namespace, "query": query, "found": found, "shown": shown, "most": HITS}

    return [desk.page("/collections/{namespace:path}/search", "search.html", read)]


def shown(value: Any) -> str:
    """Return a value of a field as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
