"""Dead letters: by reason, one by one, and one beside what the source and the index hold now."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

import orjson
from starlette.datastructures import ImmutableMultiDict, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.console.acting import ids_in, jobs_of, letters_in, start
from penstock.console.desk import Context, Desk, Link
from penstock.console.forms import require_typed
from penstock.console.jobs.job import JobName
from penstock.errors import PenstockError, SettingsError
from penstock.model import Namespace
from penstock.observe.logs import mask_credentials
from penstock.opensearch.dead_letters.letter import StoredLetter
from penstock.opensearch.dead_letters.search import LetterFilter
from penstock.operations.dead_letters import listing
from penstock.operations.explain.explain import explain
from penstock.operations.explain.look import Explanation
from penstock.operations.inspect.differences import FieldComparison, field_by_field

LINKS: tuple[Link, ...] = (Link("Dead letters", "/dead-letters"),)

_SHOWN: Final = 50
_EVERY_S: Final = 2.0
_MAX_VALUE: Final = 400


@dataclass(frozen=True)
class LetterField:
    """One field as it was refused, as it should be now, and as the index holds it: texts, empty where it is not there.

    `now_differs`: from what was refused. `index_differs`: from what should be there.
    """

    path: str
    refused: str
    now: str
    indexed: str
    now_differs: bool
    index_differs: bool


def routes(desk: Desk) -> list[Route]:
    """Return the routes of the list, of one letter, and of their forms."""

    def read(request: Request) -> Context:
        asked = _asked(request.query_params)
        which = _filter(desk, asked)
        found = listing.list_letters(desk.settings, which, limit=_SHOWN)
        subjects = {asked["collection"]} if asked["collection"] else {*found.tally.collections}
        names = [JobName(kind, each) for each in sorted(subjects) for kind in ("replay", "drop")]
        running = {name: job for name, job in jobs_of(desk, names).items() if job.is_open or asked["collection"]}
        return {
            "asked": asked,
            "is_filtered": any(asked.values()),
            "query": urlencode({name: value for name, value in asked.items() if value}),
            "collections": [each.namespace for each in desk.settings.collections],
            "listing": found,
            "groups": listing.groups(desk.settings, which),
            "jobs": list(running.values()),
            "command": _command("replay", asked),
            "letter_path": _letter_path,
        }

    def read_one(request: Request) -> Context:
        collection, text_id = request.query_params.get("collection", ""), request.query_params.get("id", "")
        if "." not in collection:
            raise HTTPException(404, "There is no such dead letter.")
        judged = listing.find_letter(desk.settings, Namespace.named(collection), text_id)
        names = [JobName(kind, collection) for kind in ("replay", "drop")]
        jobs = [each for each in jobs_of(desk, names).values() if text_id in each.run.arguments.get("ids", ())]
        context = {"collection": collection, "id": text_id, "judged": judged, "jobs": jobs}
        return {**context, **(_now(desk, judged.letter) if judged else {"now": None, "problem": "", "fields": ()})}

    def replay(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        name, arguments = JobName("replay", _collection(desk, form)), letters_in(form)
        return start(desk, request, name, arguments, _back(form))

    def drop(request: Request, form: ImmutableMultiDict[str, str]) -> Response | str:
        collection = _collection(desk, form)
        require_typed(form, collection)
        arguments = {**letters_in(form), "before": datetime.now(UTC).isoformat()}
        return start(desk, request, JobName("drop", collection), arguments, _back(form))

    return [
        desk.page("/dead-letters", "dead_letters.html", read, every_s=_EVERY_S),
        desk.page("/dead-letters/letter", "letter.html", read_one, every_s=_EVERY_S),
        desk.action("/dead-letters/replay", replay),
        desk.action("/dead-letters/drop", drop),
    ]


def _asked(query: QueryParams) -> dict[str, str]:
    return {name: query.get(name, "").strip() for name in ("collection", "reason")}


def _filter(desk: Desk, asked: Mapping[str, str]) -> LetterFilter:
    if asked["collection"] and "." not in asked["collection"]:
        raise SettingsError(f"{asked['collection']} is not a collection: give it as database.collection.")
    named = (Namespace.named(asked["collection"]),) if asked["collection"] else listing.declared(desk.settings)
    return LetterFilter(named, asked["reason"])


def _collection(desk: Desk, form: ImmutableMultiDict[str, str]) -> str:
    """The collection that a form names. Raises SettingsError."""
    collection = form.get("collection", "")
    if collection not in {each.namespace for each in desk.settings.collections}:
        raise SettingsError(f"{collection or 'This'} is not a declared collection, so its index is not known here.")
    return collection


def _back(form: ImmutableMultiDict[str, str]) -> str:
    """Back to the letter, if the form was about one; else to the collection's letters."""
    collection, ids = form.get("collection", ""), ids_in(form)
    return _letter_path(collection, ids[0]) if ids else f"/dead-letters?{urlencode({'collection': collection})}"


def _letter_path(collection: str, text_id: str) -> str:
    return f"/dead-letters/letter?{urlencode({'collection': collection, 'id': text_id})}"


def _command(what: str, asked: Mapping[str, str]) -> str:
    reason = f" --reason '{asked['reason']}'" if asked["reason"] else ""
    return " ".join(filter(None, ["penstock dead-letters", what, asked["collection"]])) + reason


def _now(desk: Desk, letter: StoredLetter) -> Context:
    """What source and index hold of a letter's document now; why not, where they cannot be asked."""
    try:
        found, problem = explain(desk.settings, str(letter.namespace), letter.id, intervals=desk.intervals), ""
    except PenstockError as error:
        found, problem = None, mask_credentials(str(error))
    return {"now": found, "problem": problem, "fields": list(_fields(letter, found, shows_values=desk.shows_values))}


def _fields(letter: StoredLetter, now: Explanation | None, *, shows_values: bool) -> Iterable[LetterField]:
    """Each field of the three forms of a document; of values only whether they are the same, unless they are shown."""
    refused = _body(letter)
    compared: Mapping[str, FieldComparison] = now.seen.fields if now else {}
    should_be = {path: each.wanted for path, each in compared.items() if each.state != "extra"}
    indexed = {path: each.indexed for path, each in compared.items() if each.state != "missing"}
    before = {path: each.wanted for path, each in field_by_field(refused, {}).items()}
    is_kept = bool(before)
    for path in sorted(before.keys() | should_be.keys() | indexed.keys()):
        now_differs = bool(now) and is_kept and _differ(path, before, should_be)
        index_differs = bool(now) and _differ(path, should_be, indexed)
        word_now = "held" if not is_kept else "new since" if path not in before else "the same"
        word_now = "changed since" if now_differs and path in before else word_now
        yield LetterField(
            path,
            _text(path, before, "held", shows_values=shows_values),
            _text(path, should_be, word_now, shows_values=shows_values),
            _text(path, indexed, "differs" if index_differs else "equal", shows_values=shows_values),
            now_differs,
            index_differs,
        )


def _body(letter: StoredLetter) -> dict[str, Any]:
    """What was refused, where it was kept as a whole."""
    try:
        body = orjson.loads(letter.body or "")
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _differ(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    if path in ours and path in theirs:
        return orjson.dumps(ours[path], option=_SORTED) != orjson.dumps(theirs[path], option=_SORTED)
    return path in ours or path in theirs


_SORTED: Final = orjson.OPT_SORT_KEYS


def _text(path: str, those: Mapping[str, Any], word: str, *, shows_values: bool) -> str:
    """Return the value at a path, the word in its place where values are hidden, or nothing where there is none."""
    if path not in those:
        return ""
    if not shows_values:
        return word
    text = orjson.dumps(those[path]).decode()
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."
