"""A collection: how it stands, what happened in the last minutes, hours and days, and its generations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.console.desk import Context, Desk, Link
from penstock.console.plots import HEIGHT, WIDTH, Chart, chart
from penstock.console.verdict import SHORT_OF_TIME_S, judge
from penstock.errors import SettingsError
from penstock.model import seconds_of
from penstock.opensearch.index.field_limit import count_fields
from penstock.opensearch.state.generations import CollectionRecord
from penstock.operations.status.history import History, Span
from penstock.operations.status.report import CollectionStatus
from penstock.planner import pipeline_of
from penstock.settings import CollectionSettings

LINKS: tuple[Link, ...] = ()

SPANS: tuple[Span, ...] = ("15m", "6h", "7d")

_SPOKEN: dict[Span, str] = {"15m": "15 minutes", "6h": "6 hours", "7d": "7 days"}

_OUTCOMES = {
    "written": "written",
    "superseded": "superseded (the index has a newer state)",
    "folded": "folded (a later change of the same document won)",
    "filtered": "filtered",
    "dead_lettered": "dead letters",
}
_CHARTS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("lag", "Lag", "s", {"lag_s": "lag"}),
    ("rates", "Changes by outcome", "per second", _OUTCOMES),
    ("latency", "From reading a batch until the index has it", "ms", {"write_p50_ms": "p50", "write_p99_ms": "p99"}),
    ("documents", "Documents", "", {"documents_source": "in the source", "documents_index": "in the index"}),
)
_HISTORY_EVERY_S, _MAPPING_EVERY_S = 5.0, 30.0
_AWAY_S = 60.0
"""A time without samples that is longer than this is one without a worker."""

_ROW = 64


@dataclass(frozen=True)
class Event:
    """Something that happened to a collection; `at` is in seconds since 1970, None where nobody noted it."""

    at: float | None
    what: str


def routes(desk: Desk) -> list[Route]:
    """Return the routes of the page and of the numbers of its plots."""

    def read(request: Request) -> Context:
        namespace, span = request.path_params["namespace"], _span(request)
        line = _line(desk, namespace)
        declared = _declared(desk, namespace)
        if line is None:
            raise SettingsError(f"{namespace} is not a declared collection: add a [[collections]] table for it.")
        record = desk.everything.watch.records.get(line.index)
        feeding = _feeding(request, line, record)
        history = _history(desk, feeding, span)
        pipeline = next((each for each in desk.status().pipelines if each.name == line.pipeline), None)
        return {
            "namespace": namespace,
            "line": line,
            "judged": judge(line, in_step_s=desk.intervals.in_step_s),
            "short_of_time": SHORT_OF_TIME_S,
            "span": span,
            "spans": SPANS,
            "spoken": _SPOKEN[span],
            "charts": _charts(history),
            "brought_by": desk.settings.brought_by(namespace),
            "pipeline": pipeline,
            "shares": [each for each in pipeline.collections if each != namespace] if pipeline else [],
            "feeding": feeding,
            "generation": request.query_params.get("generation", ""),
            "generations": _generations(line, record),
            "fields": _fields(desk, declared) if declared else None,
            "max_fields": declared.max_fields if declared else None,
            "events": sorted(_events(line, record, history), key=lambda each: -(each.at or 0)),
            "width": WIDTH,
            "height": HEIGHT,
            "row": _ROW,
        }

    def numbers(request: Request) -> Response:
        line, span = _line(desk, request.path_params["namespace"]), _span(request)
        if line is None:
            return JSONResponse({"error": "no such collection"}, 404)
        feeding = _feeding(request, line, desk.everything.watch.records.get(line.index))
        history = _history(desk, feeding, span)
        columns = {name: history.columns[name] for _, _, _, its in _CHARTS for name in its}
        return JSONResponse({"since": history.since, "until": history.until, "at": history.times, "columns": columns})

    return [
        Route("/collections/{namespace:path}/history.json", numbers, methods=["GET"]),
        desk.page("/collections/{namespace:path}", "collection.html", read, every_s=1.0),
    ]


def _span(request: Request) -> Span:
    asked = request.query_params.get("span", SPANS[0])
    return next((span for span in SPANS if span == asked), SPANS[0])


def _line(desk: Desk, namespace: str) -> CollectionStatus | None:
    return next((each for each in desk.status().collections if each.namespace == namespace), None)


def _declared(desk: Desk, namespace: str) -> CollectionSettings | None:
    return next((each for each in desk.settings.collections if each.namespace == namespace), None)


def _feeding(request: Request, line: CollectionStatus, record: CollectionRecord | None) -> str:
    """The pipeline whose history is asked for: that of the index that serves, or of another generation."""
    asked = request.query_params.get("generation", "")
    found = next((each for each in record.generations if str(each.number) == asked), None) if record else None
    if found is None or record is None:
        return line.pipeline
    return pipeline_of(found.index) if found.number > 1 else record.pipeline or line.pipeline


def _history(desk: Desk, pipeline: str, span: Span) -> History:
    key = "history", pipeline, span
    return desk.looks.look(key, lambda: desk.everything.history(pipeline, span), every_s=_HISTORY_EVERY_S)


def _charts(history: History) -> list[Chart]:
    return [chart(history, name, title, unit, columns) for name, title, unit, columns in _CHARTS]


def _fields(desk: Desk, declared: CollectionSettings) -> int | None:
    """How many fields the index has; None where there is no index."""

    def count() -> int | None:
        mappings = desk.everything.watch.view.mappings(declared.alias)
        return count_fields(mappings) if mappings else None

    return desk.looks.look(("fields", declared.alias), count, every_s=_MAPPING_EVERY_S)


def _generations(line: CollectionStatus, record: CollectionRecord | None) -> Sequence[dict[str, Any]]:
    """The generations with what is known of each; one that stands alone has the numbers of its collection."""
    if record is None:
        return []
    known = {each.index: each for each in line.generations}
    return [
        {
            "index": each.index,
            "number": each.number,
            "role": each.role,
            "state": known[each.index].state if each.index in known else line.state,
            "documents": known.get(each.index, line).documents_index,
            "letters": known.get(each.index, line).dead_letters,
            "failed": each.failed,
            "write_alias": each.write_alias,
            "y": number * _ROW,
        }
        for number, each in enumerate(record.generations)
    ]


def _events(line: CollectionStatus, record: CollectionRecord | None, history: History) -> Iterator[Event]:
    """What the state and the samples tell of the past."""
    for before, after in pairwise(history.times):
        if after - before > max(_AWAY_S, 3 * _usual_gap(history)):
            yield Event(before, f"no worker kept samples for {after - before:,.0f} s, until it went on")
    if line.lost:
        yield Event(None, f"the position was lost ({line.lost}); the collection is loaded again")
    if line.state == "dropped":
        yield Event(None, "the collection was dropped at the source; its documents are kept")
    for name, since in record.names if record else ():
        yield Event(seconds_of(since), f"the source renamed it to {name}; its index is fed from there")


def _usual_gap(history: History) -> float:
    gaps = sorted(after - before for before, after in pairwise(history.times))
    return gaps[len(gaps) // 2] if gaps else 0.0
