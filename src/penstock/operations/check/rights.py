"""The part of `check` about rights: each kind of request that a command sends is tried, on names that cannot exist.

OpenSearch refuses index names with capital letters, so nothing is created, written or deleted: only an answer that
denies the right counts. Rights by patterns of names (IAM, the security plugin) cover these names like any other.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from penstock.opensearch.http.bulk_response import bulk_items
from penstock.opensearch.http.client import Client, Response
from penstock.opensearch.http.error_table import BLOCKED
from penstock.opensearch.http.requests import error_of
from penstock.operations.check.finding import CheckFinding, failure, ok, warning
from penstock.settings import CollectionSettings

_NEVER: Final = "CHECK"
_UPDATE: Final = b'{"update":{"_id":"penstock-check","require_alias":true}}\n{"doc":{}}\n'
_NOTHING: Final[dict[str, Any]] = {"query": {"match_none": {}}}


class _Request(NamedTuple):
    """A request that is tried for the commands of `whom`; `run` and `load` cannot do without theirs."""

    whom: str
    method: str
    path: str
    body: bytes | dict[str, Any] | None = None


_WORKER: Final = "run, load"
_CLUSTER: Final = (
    _Request("reindex", "POST", "/_aliases", {"actions": []}),
    _Request("load --again, verify", "POST", "/_search/scroll", {"scroll_id": _NEVER}),
    _Request("load --again, verify", "DELETE", "/_search/scroll", {"scroll_id": [_NEVER]}),
)
_STATE: Final = (
    _Request(_WORKER, "PUT", f"/penstock-{_NEVER}", {}),
    _Request(_WORKER, "POST", "/penstock-state/_mget", {"ids": ["penstock-check"]}),
    _Request(_WORKER, "POST", "/penstock-state/_bulk", _UPDATE),
    _Request(_WORKER, "POST", "/penstock-dead-letters/_bulk", _UPDATE),
    _Request("dead-letters", "POST", "/penstock-dead-letters/_search", _NOTHING),
    _Request("dead-letters", "POST", "/penstock-dead-letters/_refresh"),
    _Request("dead-letters drop, load, reindex", "POST", "/penstock-dead-letters/_delete_by_query", _NOTHING),
)

_REACTIONS: Final = (
    _Request(_WORKER, "POST", "/penstock-reaction-letters/_bulk", _UPDATE),
    _Request("dead-letters --reaction", "POST", "/penstock-reaction-letters/_search", _NOTHING),
    _Request("dead-letters --reaction", "POST", "/penstock-reaction-letters/_refresh"),
)


def rights_findings(
    client: Client, collections: Iterable[CollectionSettings], *, reactions: bool = False
) -> Iterator[CheckFinding]:
    """Yield one finding for the whole cluster and penstock's own indexes, and one for each collection's indexes."""
    yield _finding("rights", client, [*_STATE, *_CLUSTER, *(_REACTIONS if reactions else ())])
    for each in collections:
        yield _finding(f"{each.alias}: rights", client, _of_index(quote(each.alias, safe="")))


def _of_index(alias: str) -> list[_Request]:
    index = f"/{alias}-g{_NEVER}"
    return [
        _Request(_WORKER, "GET", f"/{alias}"),
        _Request(_WORKER, "PUT", index, {}),
        _Request(_WORKER, "PUT", f"{index}/_mapping", {}),
        _Request(_WORKER, "POST", f"{index}-write/_bulk", _UPDATE),
        _Request(_WORKER, "POST", f"{index}/_mget", {"ids": ["1"]}),
        _Request("a load without a look for deleted documents at its end", "GET", f"{index}/_recovery"),
        _Request("status", "GET", f"/_alias/{alias}"),
        _Request("status", "GET", f"{index}/_stats/indexing"),
        _Request("load --again, verify", "POST", f"{index}/_refresh"),
        _Request("load --again, verify", "POST", f"{index}/_search", _NOTHING),
        _Request("reindex", "POST", f"{index}/_count", _NOTHING),
        _Request("reindex --finish, --abandon", "DELETE", index),
    ]


def _finding(subject: str, client: Client, requests: Iterable[_Request]) -> CheckFinding:
    denied = [each for each in requests if _denies(client.request(each.method, each.path, each.body))]
    if not denied:
        return ok("sink", subject, "every kind of request that the commands send is allowed")
    shown = ", ".join(f"{each.method} {each.path.replace(_NEVER, '*')} (for {each.whom})" for each in denied)
    verdict = failure if any(each.whom == _WORKER for each in denied) else warning
    return verdict("sink", subject, f"not allowed: {shown}", "allow these requests to the user or role of penstock")


def _denies(answer: Response) -> bool:
    """Whether the right is denied, of the whole request or of the one item of a bulk request; a block is not that."""
    items = bulk_items(answer) or [] if answer.ok else []
    answered = [
        (answer.status, error_of(answer)[0]),
        *((each.status, (each.error or {}).get("type")) for each in items),
    ]
    return any(status in (401, 403) and kind not in BLOCKED for status, kind in answered)
