"""Reads documents by id in real time: `_mget` sees every acknowledged write, refreshed or not."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from penstock.errors import SinkUnavailable
from penstock.opensearch.http.client import Client, Response
from penstock.opensearch.http.error_table import MISSING, judge_read, lost
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever, Wait


class IndexedDocument(NamedTuple):
    """A document with its version, and what a later write must name to replace exactly this state of it.

    `ignored` are the fields whose values the mapping did not accept, so that they cannot be searched.
    """

    source: dict[str, Any]
    version: int
    seq_no: int
    primary_term: int
    ignored: tuple[str, ...] = ()


def read_by_ids(
    client: Client, patience: RetryForever, index: str, ids: Iterable[str], *, with_source: bool = True
) -> dict[str, IndexedDocument]:
    """Read documents; missing ones are left out, and all of them if there is no index.

    Raises Stopped, IndexUnreadable, SinkUnavailable.
    """
    path = f"/{quote(index, safe='')}/_mget" + ("" if with_source else "?_source=false")
    asked = list(dict.fromkeys(ids))
    if not asked:
        return {}
    with patience.attempts() as attempts:
        while True:
            found = _read(ask(client, patience, "POST", path, {"ids": asked}), index, frozenset(asked))
            if not isinstance(found, Wait):
                return found
            attempts.wait(found)


def _read(answer: Response, index: str, asked: frozenset[str]) -> dict[str, IndexedDocument] | Wait:
    """Judge each answer by its own error, and by the document that it names.

    One index answers for all of them: no alias of several can be read by ids.
    """
    parsed = answer.json()
    if not isinstance(parsed, dict):
        return lost("not a valid response to a read by ids", unclear=False)
    if not answer.ok and error_of(answer)[0] in MISSING:
        return {}
    if not answer.ok:
        raise SinkUnavailable(f"{index} cannot be read ({answer.status}: {error_of(answer)}).")
    documents = parsed.get("docs", ())
    answered = [each.get("_id") for each in documents]
    if (
        len(answered) != len(asked)
        or asked != set(answered)
        or len({each["_index"] for each in documents if "error" not in each}) > 1
    ):
        return lost(f"the answers of {index} name other documents than were asked for", unclear=False)
    for error in _errors(documents):
        if error["type"] not in MISSING and (wait := judge_read(index, error)):
            return wait
    return {
        each["_id"]: IndexedDocument(
            each.get("_source", {}),
            each["_version"],
            each["_seq_no"],
            each["_primary_term"],
            tuple(sorted(each.get("_ignored", ()))),
        )
        for each in documents
        if each.get("found")
    }


def _errors(documents: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The errors, each type once."""
    return iter({each["error"].get("type"): each["error"] for each in documents if "error" in each}.values())
