"""What index templates do to an index that penstock creates; others may have made some that match every name.

OpenSearch merges templates into each new index. What the request says wins, so `mapping.explicit` also says what would
be the default. What no request can refuse is undone afterwards: dynamic templates, which would come before those asked
for, and aliases of an index that nobody may search yet. Other fields and settings that it adds stay, and are reported.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog

from penstock.errors import SinkUnavailable, SystemicFault
from penstock.opensearch.http.client import Client, Response, Unreachable
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.mapping import flat_settings, pipelines_in

log = structlog.get_logger(__name__)

_SERVERS_OWN = re.compile(r"index\.(uuid|creation_date|provided_name|version|replication|history|resize|routing_num)\b")


def is_servers_own(setting: str) -> bool:
    """Whether OpenSearch itself gives this setting, by its full name, to each index."""
    return _SERVERS_OWN.match(setting) is not None


@dataclass(frozen=True)
class MatchingTemplates:
    """The templates that apply to an index of some name, and what they say together; both empty if not known."""

    names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)

    def hint(self, index: str) -> str:
        """Return a sentence for the message that the index could not be created; empty without templates."""
        if not self.names:
            return ""
        return (
            f" The index template {', '.join(self.names)} applies to {index}: if that is the cause, exclude the index"
            " from its index_patterns."
        )

    @property
    def pipelines(self) -> list[str]:
        """The ingest pipelines that they name."""
        return list(pipelines_in(flat_settings(dict(self.settings))).values())


def templates_for(client: Client, index: str) -> MatchingTemplates:
    """Return the templates that apply to an index of this name. What cannot be read is not known."""
    with suppress(Unreachable, SinkUnavailable):
        listed = _asked(client, "GET", "/_index_template").get("index_templates", [])
        composable = {each["name"]: each["index_template"] for each in listed}
        if names := [name for name, each in composable.items() if _matches(each, index)]:
            name = max(names, key=lambda each: composable[each].get("priority", 0))
            path = f"/_index_template/_simulate_index/{quote(index, safe='')}"
            said = _asked(client, "POST", path).get("template", {})
            return MatchingTemplates((name,), said.get("settings", {}), said.get("mappings", {}))
        older = _asked(client, "GET", "/_template")
        return MatchingTemplates(tuple(sorted(name for name, each in older.items() if _matches(each, index))))
    return MatchingTemplates()


def undo_templates(
    client: Client,
    patience: RetryForever,
    index: str,
    *,
    asked: Mapping[str, Any],
    made: Mapping[str, Any],
    is_searched: bool,
) -> None:
    """Compare a new index with the body that asked for it; put right what can be put right, and report the rest.

    Raises SystemicFault if OpenSearch refuses that.
    """
    replaced = names_of_dynamic(made["mappings"]) != names_of_dynamic(asked["mappings"])
    if replaced:
        wanted = {"dynamic_templates": asked["mappings"].get("dynamic_templates", [])}
        _require(ask(client, patience, "PUT", f"/{quote(index, safe='')}/_mapping", wanted), index)
    added = sorted(made["aliases"].keys() - asked["aliases"].keys())
    if added and not is_searched:
        actions = [{"remove": {"index": index, "alias": each}} for each in added]
        _require(ask(client, patience, "POST", "/_aliases", {"actions": actions}), index)
    _report(client, index, asked=asked, made=made, replaced=replaced, aliases=added if is_searched else [])


def _report(
    client: Client,
    index: str,
    *,
    asked: Mapping[str, Any],
    made: Mapping[str, Any],
    replaced: bool,
    aliases: list[str],
) -> None:
    """Log what templates have added to the index, and what they said in vain."""
    fields = extra_fields(made["mappings"], asked["mappings"])
    settings = sorted(flat_settings(made["settings"]).keys() - asked["settings"].keys())
    settings = [name for name in settings if not is_servers_own(name)]
    if not (replaced or fields or settings or aliases):
        return
    found = templates_for(client, index)
    overruled = [*(["dynamic_templates"] if replaced else []), *(f"pipeline {each}" for each in found.pipelines)]
    log.warning(
        "an index template applies to the new index; see docs/templates.md",
        index=index,
        template=list(found.names),
        fields=fields,
        settings=settings,
        aliases=aliases,
        overruled=overruled,
    )


def names_of_dynamic(mappings: Mapping[str, Any]) -> list[str]:
    """Return the names of the dynamic templates, in the order in which they apply."""
    return [name for each in mappings.get("dynamic_templates", []) for name in each]


def extra_fields(made: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return the fields that nobody asked for, by dotted path; of an object only the object.

    `_source` is among them if fields are left out of it that nobody asked to leave out.
    """
    wanted = {prefix for path in _paths(asked, "") for prefix in _prefixes(path)}
    extra = {path for path in _paths(made, "") if path not in wanted}
    named = sorted(path for path in extra if path.rpartition(".")[0] not in extra)
    return ["_source", *named] if _left_out(made) != _left_out(asked) else named


def _left_out(mappings: Mapping[str, Any]) -> list[Any]:
    """Return which fields are not kept in `_source`."""
    return [mappings.get("_source", {}).get(name) or [] for name in ("includes", "excludes")]


def _paths(mappings: Mapping[str, Any], within: str) -> Iterator[str]:
    for name, each in mappings.get("properties", {}).items():
        yield f"{within}{name}"
        yield from _paths(each, f"{within}{name}.")


def _prefixes(path: str) -> Iterator[str]:
    pieces = path.split(".")
    return (".".join(pieces[: count + 1]) for count in range(len(pieces)))


def _matches(template: Mapping[str, Any], index: str) -> bool:
    patterns = (".*".join(map(re.escape, each.split("*"))) for each in template.get("index_patterns", ()))
    return any(re.fullmatch(each, index) for each in patterns)


def _asked(client: Client, method: str, path: str) -> dict[str, Any]:
    answer = client.request(method, path)
    parsed = answer.json()
    return parsed if answer.ok and isinstance(parsed, dict) else {}


def _require(answer: Response, index: str) -> None:
    if not answer.ok:
        kind, reason = error_of(answer)
        raise SystemicFault(
            f"What an index template has added to {index} could not be removed: {kind}: {reason}. Exclude {index} from"
            f" the template's index_patterns, delete {index}, and start again."
        )
