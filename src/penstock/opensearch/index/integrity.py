"""Checks whether the indexes are still those that the position belongs to, and still have their aliases."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote

from penstock.errors import SinkUnavailable, SystemicFault
from penstock.opensearch.http.client import Client
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.indexes import Generation, uuid_of

IntegrityProblem = Literal[
    "index_deleted", "index_replaced", "alias_moved", "alias_removed", "not_searched", "searched_elsewhere"
]
"""What another tool did to an index. Replaced: by another index of the name, or by an older state of itself. Moved: the
write alias points elsewhere, and writes went there. Removed: there is no write alias, so that writes are refused. Not
searched: the read alias points to no index. Elsewhere: it only points to other indexes, such as the serving generation
or one that is not penstock's."""

_PATH_BYTES = 2000
"""OpenSearch refuses the first line of a request above 4096 bytes."""

_FIELDS = "*.aliases,*.settings.index.uuid,*.settings.index.history"


def problems(
    client: Client, patience: RetryForever, generations: Iterable[Generation], known: Mapping[str, str]
) -> dict[str, IntegrityProblem]:
    """Return the damage to each generation, by index, without intact ones. `known`: the earlier UUIDs, by index.

    Raises Stopped, SinkUnavailable.
    """
    found: dict[str, IntegrityProblem] = {}
    for some in _portions(generations):
        names = [name for each in some for name in (each.index, each.write_alias)]
        seen = _seen(client, patience, names)
        for each in some:
            damage = _damage(each, known.get(each.index), seen)
            if damage is None and each.read_alias not in seen[each.index].get("aliases", {}):
                damage = "searched_elsewhere" if searched_in(client, patience, each) else "not_searched"
            if damage:
                found[each.index] = damage
    return found


def searched_in(client: Client, patience: RetryForever, generation: Generation) -> frozenset[str]:
    """Return the indexes that a generation's read alias points to. Raises Stopped, SinkUnavailable."""
    return frozenset(_seen(client, patience, [generation.read_alias]))


def give_back(client: Client, patience: RetryForever, generation: Generation, *, serving: bool) -> None:
    """Point the write alias to only the generation's index; if it serves, also the read alias if no index has it.

    Raises SystemicFault if that is refused.
    """
    index, write, read = generation.index, generation.write_alias, generation.read_alias
    holders = _seen(client, patience, [write]).keys() - {index}
    actions: list[dict[str, Any]] = [{"remove": {"index": each, "alias": write}} for each in sorted(holders)]
    actions.append({"add": {"index": index, "alias": write, "is_write_index": True}})
    if serving and not _seen(client, patience, [read]):
        actions.append({"add": {"index": index, "alias": read}})
    answer = ask(client, patience, "POST", "/_aliases", {"actions": actions})
    if not answer.ok:
        kind, reason = error_of(answer)
        raise SystemicFault(
            f"The index {index} has lost its write alias {write}, and OpenSearch refuses to restore it: {kind}:"
            f" {reason}. Remove the cause, or delete {index} to load the collection again."
        )


def _damage(generation: Generation, known: str | None, seen: Mapping[str, Any]) -> IntegrityProblem | None:
    described, write = seen.get(generation.index), generation.write_alias
    if described is None:
        return "index_deleted"
    if known not in (None, uuid_of(described["settings"])):
        return "index_replaced"
    if any(write in each.get("aliases", {}) for name, each in seen.items() if name != generation.index):
        return "alias_moved"
    alias = described.get("aliases", {}).get(write)
    return "alias_removed" if alias is None or alias.get("is_write_index") is False else None


def _seen(client: Client, patience: RetryForever, names: Iterable[str]) -> dict[str, Any]:
    """Return aliases and UUIDs behind the names, by index; missing ones are left out."""
    path = ",".join(quote(name, safe="") for name in names)
    answer = ask(client, patience, "GET", f"/{path}?ignore_unavailable=true&filter_path={_FIELDS}")
    parsed = answer.json()
    if answer.ok and isinstance(parsed, dict):
        return parsed
    if answer.status == 404:
        return {}
    raise SinkUnavailable(f"The state of the indexes cannot be read ({answer.status} {error_of(answer)}).")


def _portions(generations: Iterable[Generation]) -> Iterator[list[Generation]]:
    """Yield the generations in groups that fit into the path of a request."""
    some: list[Generation] = []
    size = 0
    for each in generations:
        longer = len(quote(each.index, safe="")) + len(quote(each.write_alias, safe="")) + 2
        if some and size + longer > _PATH_BYTES:
            yield some
            some, size = [], 0
        some.append(each)
        size += longer
    if some:
        yield some
