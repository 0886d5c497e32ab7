"""Which requests to the domain a role may make; the stack makes its policies from this, the local domain its checks.

IAM sees the method and the path of a request, not its parameters or its body. So a path must be spelt as it is sent,
and `*` matches slashes too. `POST /_bulk` would reach every index: a request that writes one collection names its
index in the path. `POST /_aliases` moves any alias: IAM alone cannot narrow that, so only operations have it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

STATE: Final = "penstock-*"
"""penstock's own indexes: state, dead letters, and those that `check` creates to try a mapping."""

REACTION_LETTERS: Final = "penstock-reaction-letters*"


class Requests(NamedTuple):
    """One kind of request: methods on some paths. Paths have no leading slash; the root is an empty path."""

    sid: str
    methods: Sequence[str]
    paths: Sequence[str]


def reader_requests(index: str) -> list[Requests]:
    """Return the requests to search the index. Not `<index>/*`, which includes `_bulk`, `_doc` and `_update`."""
    return [Requests("OpenSearchSearch", ["Post"], _under([index], "_search", "_field_caps"))]


def sync_requests(index: str) -> list[Requests]:
    """Return the requests to create, write and read the index's generations and penstock's own indexes."""
    written = [_generations(index), STATE]
    return [
        Requests("OpenSearchLook", ["Get", "Head"], ["", index, *written]),
        Requests("OpenSearchMakeIndex", ["Put"], written),
        Requests("OpenSearchWrite", ["Post"], _under(written, "_bulk")),
        Requests("OpenSearchRead", ["Post"], _under(written, "_mget", "_search", "_count", "_refresh")),
        Requests("OpenSearchScroll", ["Post", "Delete"], ["_search/scroll"]),
    ]


def worker_requests(index: str) -> list[Requests]:
    """Return the requests of sync, plus those that see to aliases, and remove the dead letters of a new load."""
    return [
        *sync_requests(index),
        Requests("OpenSearchTidy", ["Post"], _under([STATE], "_delete_by_query")),
        Requests("OpenSearchMoveAlias", ["Post"], ["_aliases"]),
    ]


def react_requests() -> list[Requests]:
    """Return the requests to create, write and count the dead letters of reactions, which are penstock's own index."""
    return [
        Requests("OpenSearchLook", ["Get", "Head"], ["", REACTION_LETTERS, f"{REACTION_LETTERS}/*"]),
        Requests("OpenSearchMakeIndex", ["Put"], [REACTION_LETTERS]),
        Requests("OpenSearchWrite", ["Post"], _under([REACTION_LETTERS], "_bulk")),
        Requests("OpenSearchRead", ["Post"], _under([REACTION_LETTERS], "_mget", "_search", "_count", "_refresh")),
    ]


def operations_requests(index: str) -> list[Requests]:
    """Return the requests of sync, plus those of `status` and `check`, of `reindex`, and deletes of dead letters."""
    cluster = ["_cluster/health", "_cluster/settings", "_nodes/stats/fs"]
    asked = [f"{index}/*", f"_alias/{index}*", f"_alias/{STATE}", *cluster]
    return [
        *sync_requests(index),
        Requests("OpenSearchStatus", ["Get", "Head"], asked),
        Requests("OpenSearchServed", ["Post"], _under([index], "_search", "_count", "_mget", "_refresh")),
        Requests("OpenSearchTidy", ["Post"], _under([STATE], "_delete_by_query")),
        Requests("OpenSearchTrial", ["Delete"], ["penstock-check-*"]),
        Requests("OpenSearchMoveAlias", ["Post"], ["_aliases"]),
        Requests("OpenSearchDropIndex", ["Delete"], [_generations(index)]),
    ]


def of_all(requests: Callable[[str], list[Requests]], indexes: Iterable[str]) -> list[Requests]:
    """Return the requests for several indexes, each kind once."""
    merged: dict[str, Requests] = {}
    for each in (each for index in indexes for each in requests(index)):
        before = merged.get(each.sid, each._replace(paths=()))
        merged[each.sid] = each._replace(paths=list(dict.fromkeys([*before.paths, *each.paths])))
    return list(merged.values())


def allows(requests: Iterable[Requests], method: str, path: str) -> bool:
    """Whether a role with these permissions may make a request, compared as IAM does: `*` matches anything."""
    asked = path.removeprefix("/")
    return any(
        method.capitalize() in each.methods and any(_matches(pattern, asked) for pattern in each.paths)
        for each in requests
    )


def _matches(pattern: str, path: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), path) is not None


def _generations(index: str) -> str:
    """Return the pattern of an index's generations and their write aliases: orders-g1, orders-g1-write."""
    return f"{index}-g*"


def _under(indexes: Iterable[str], *endpoints: str) -> list[str]:
    return [f"{index}/{endpoint}" for index in indexes for endpoint in endpoints]
