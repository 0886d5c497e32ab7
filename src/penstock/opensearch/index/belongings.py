"""What people put on an index that penstock created: aliases and settings. A move to another index takes them along."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from penstock.opensearch.index.mapping import NOT_YOURS, flat_settings, pipelines_in
from penstock.opensearch.index.templates import is_servers_own

_STAYS = ("index.blocks.", "index.number_of_shards")


class ChangedSetting(NamedTuple):
    """A setting of an index that is not what its creation asked for."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name.removeprefix('index.')} = {self.value}"


def moves(served: Mapping[str, Any], *, to: str, target: Mapping[str, Any], keep: str) -> Iterator[dict[str, Any]]:
    """Yield the actions that move every alias from the indexes that served to another one, with all its properties.

    An alias that the target has already stays there as it is. `keep` is how the aliases end that stay with an index.
    """
    there = set(target["aliases"])
    for index, described in served.items():
        for alias, properties in described["aliases"].items():
            if alias == f"{index}{keep}" or index == to:
                continue
            yield {"remove": {"index": index, "alias": alias}}
            if alias not in there:
                there.add(alias)
                yield {"add": {"index": to, "alias": alias, **properties}}


def changed_settings(described: Mapping[str, Any], asked: Mapping[str, Any]) -> list[ChangedSetting]:
    """Return the settings that people, or an index template, gave to an index, in the order of their names.

    `asked` is the body that asked for it. Without what penstock itself sets.
    """
    now = flat_settings(described["settings"])
    return [
        ChangedSetting(name, value)
        for name, value in sorted(now.items())
        if value != _as_text(asked["settings"].get(name))
        and not (is_servers_own(name) or name in NOT_YOURS or name.startswith(_STAYS))
    ]


def pipelines_of(changed: list[ChangedSetting]) -> list[ChangedSetting]:
    """Return those that are ingest pipelines: a move cannot take them along, for they must see every document."""
    pipelines = pipelines_in(dict(changed))
    return [each for each in changed if each.name in pipelines]


def _as_text(value: Any) -> Any:
    """Return a setting in the form in which OpenSearch shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    return list(map(_as_text, value)) if isinstance(value, list) else None if value is None else str(value)
