"""Generations: an index behind a read alias, for searches, and a write alias, which only penstock uses.

cities-g1          the index of the first generation
cities             the read alias; it is moved to a later generation in one step
cities-g1-write    the write alias; every write requires it, so that no write creates a missing index
"""

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from penstock.errors import IndexTakenAway, SettingsError, SinkUnavailable, SystemicFault
from penstock.opensearch.http.client import Client, Response
from penstock.opensearch.http.requests import ask, error_of
from penstock.opensearch.http.waiting import RetryForever
from penstock.opensearch.index.belongings import ChangedSetting, moves
from penstock.opensearch.index.field_limit import raise_limit
from penstock.opensearch.index.mapping import body_for, read_mapping
from penstock.opensearch.index.templates import templates_for, undo_templates
from penstock.settings import CollectionSettings

_META_SCHEMA = 1
_WRITE = "-write"

_ENGINE_FIELDS = "filter_path=*.shards.id,*.shards.primary,*.shards.start_time_in_millis,*.shards.target.id"


@dataclass(frozen=True, slots=True)
class Generation:
    """An index of a collection. `uuid` (see `uuid_of`) sets it apart from others of its name; `created`: just now."""

    index: str
    read_alias: str
    write_alias: str
    uuid: str
    created: bool

    def was_replaced(self, known: Mapping[str, str]) -> bool:
        """Whether its name belonged to another index when the UUIDs were noted."""
        return known.get(self.index) not in (None, self.uuid)


class IndexRefused(SettingsError):
    """A collection cannot have its index: another one has its name, or OpenSearch does not take its settings."""

    def __init__(self, namespace: str, cause: str, todo: str) -> None:
        self.cause = cause
        self.todo = todo
        super().__init__(f"[[collections]] {namespace}: {cause}. {todo}")


class AliasLost(IndexTakenAway):
    """The index of a generation exists, but has lost its write alias."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        super().__init__(
            f"The index {generation.index} has lost its write alias {generation.write_alias}; another tool removed it."
            " If the index is unchanged, add the alias again; or delete the index to load the collection again."
        )


def uuid_of(settings: Mapping[str, Any]) -> str:
    """Return what distinguishes an index from another one of its name, taken from its settings.

    Restoring a snapshot into a closed index keeps its UUID, but changes its history.
    """
    history = settings["index"].get("history", {}).get("uuid")
    return f"{settings['index']['uuid']}/{history}" if history else str(settings["index"]["uuid"])


def index_of(alias: str, number: int) -> str:
    """Return the name of a generation's index."""
    return f"{alias}-g{number}"


def write_alias_of(index: str) -> str:
    """Return the name of an index's write alias."""
    return f"{index}{_WRITE}"


def read_alias_of(write_alias: str) -> str:
    """Return the alias by which people search, given the write alias of a generation."""
    return re.sub(r"-g\d+-write$", "", write_alias)


class Indexes:
    """Creates, finds and drops the indexes of one cluster."""

    def __init__(self, client: Client, patience: RetryForever) -> None:
        self._client = client
        self._patience = patience

    def ensure_generation(
        self,
        collection: CollectionSettings,
        *,
        number: int = 1,
        mapping: Mapping[str, Any] | None = None,
        serving: bool = True,
    ) -> Generation:
        """Find or create the index of a collection, with its aliases in one step.

        It is created with the `mapping`, by default the one in the collection's file. Only a `serving` one gets the
        read alias, if no index has it; any other is created without it, and searches do not see it.

        Raises SettingsError if the name is taken or the mapping is refused, AliasLost, SinkUnavailable, Stopped,
        SystemicFault.
        """
        name = collection.alias
        index = index_of(name, number)
        mapping = read_mapping(collection.mapping_file) if mapping is None else mapping
        found = self._found(index, name, collection.namespace)
        if found is not None:
            raise_limit(self._client, self._patience, found.index, collection, mapping)
            return found
        in_use = self._is_alias_in_use(name, collection.namespace)
        meta = {"schema": _META_SCHEMA, "collection": collection.namespace, "generation": number}
        body = body_for(collection, mapping=mapping, meta=meta)
        searched: dict[str, Any] = {name: {}} if serving and not in_use else {}
        body["aliases"] = {write_alias_of(index): {"is_write_index": True}, **searched}
        answer = ask(self._client, self._patience, "PUT", f"/{quote(index, safe='')}", body)
        if not answer.ok:
            self._explain(answer, collection, name, index)
        made = self._found(index, name, collection.namespace)
        if made is None:
            raise SystemicFault(f"index {index} disappeared right after it was created.")
        if answer.ok and (described := self._describe(index).get(index)):
            undo_templates(self._client, self._patience, index, asked=body, made=described, is_searched=bool(searched))
        return Generation(made.index, made.read_alias, made.write_alias, made.uuid, created=answer.ok)

    def require_names(self, collection: CollectionSettings) -> bool:
        """Return whether the collection's first index exists. Creates nothing.

        Raises IndexRefused where something else has one of its names, AliasLost, SinkUnavailable.
        """
        name = collection.alias
        if self._found(index_of(name, 1), name, collection.namespace):
            return True
        return self._is_alias_in_use(name, collection.namespace)

    def behind(self, alias: str) -> str | None:
        """Return the index that a read alias points to, None if there is none."""
        return next(iter(self._describe(alias)), None)

    def swap(self, alias: str, index: str, *, ours: Set[str]) -> list[str]:
        """Point the read alias to this index and no other, in one step: no search sees none, or two.

        All aliases that people put on the index that served are moved with it; return their names. `ours` are the
        indexes that may lose the alias. The index is refreshed first, so that no search sees less than before.

        Raises SystemicFault if that fails, SinkUnavailable, Stopped.
        """
        ask(self._client, self._patience, "POST", f"/{quote(index, safe='')}/_refresh")
        moved: set[str] = set()
        while (served := self._describe(alias)).keys() != {index}:
            if others := sorted(served.keys() - ours):
                raise SystemicFault(
                    f"The alias {alias} points to {', '.join(others)}, which is not penstock's, so it was not moved to"
                    f" {index}. Remove the alias from {', '.join(others)}, and run the command again."
                )
            target = self._describe(index).get(index, {"aliases": {}})
            actions = list(moves(served, to=index, target=target, keep=_WRITE))
            actions = actions or [{"add": {"index": index, "alias": alias}}]
            answer = ask(self._client, self._patience, "POST", "/_aliases", {"actions": actions})
            kind, reason = error_of(answer)
            if answer.ok:
                moved = {each["remove"]["alias"] for each in actions if "remove" in each} - {alias}
            elif kind != "aliases_not_found_exception":  # moved by someone else: look again
                raise SystemicFault(f"The alias {alias} could not be moved to {index}: {kind}: {reason}.")
        return sorted(moved)

    def aliases_of_people(self, index: str, alias: str) -> list[str]:
        """Return the aliases on an index other than its write alias and this read alias."""
        found = self._describe(index).get(index, {"aliases": {}})["aliases"]
        return sorted(found.keys() - {alias, write_alias_of(index)})

    def described(self, index: str) -> dict[str, Any] | None:
        """Return settings, mappings and aliases of an index, None if it does not exist."""
        return self._describe(index).get(index)

    def give_setting(self, index: str, setting: ChangedSetting) -> str:
        """Give a setting to an index; return why it was refused, empty if it was not."""
        body = {setting.name: setting.value}
        answer = ask(self._client, self._patience, "PUT", f"/{quote(index, safe='')}/_settings", body)
        return "" if answer.ok else ": ".join(error_of(answer))

    def delete(self, index: str) -> None:
        """Delete an index with its aliases; a missing one counts as deleted."""
        answer = ask(self._client, self._patience, "DELETE", f"/{quote(index, safe='')}")
        if not answer.ok and answer.status != 404:
            kind, reason = error_of(answer)
            raise SystemicFault(f"The index {index} could not be deleted: {kind}: {reason}.")

    def serving(self, collection: CollectionSettings) -> Generation | None:
        """Return the generation behind the read alias, None if there is none. Raises SettingsError, SystemicFault."""
        name = collection.alias
        indexes = sorted(index for index in self._describe(name) if index != name)
        return self._found(indexes[-1], name, collection.namespace) if indexes else None

    def uuids(self, names: Iterable[str]) -> dict[str, str]:
        """Return the UUID behind each index or alias; missing ones are left out."""
        found: dict[str, str] = {}
        for name in names:
            described = self._describe(name)
            if len(described) == 1:
                found[name] = uuid_of(next(iter(described.values()))["settings"])
        return found

    def engines(self, index: str) -> list[str]:
        """Return a text for each primary shard that changes with its engine: a restart, a relocation, close and open.

        With the engine goes what it remembers of deleted documents. Empty where that cannot be read.
        """
        if self._client.is_serverless:
            return ["serverless"]  # there is no way to ask
        try:
            answer = ask(self._client, self._patience, "GET", f"/{quote(index, safe='')}/_recovery?{_ENGINE_FIELDS}")
            shards = next(iter(answer.json().values()))["shards"]
        except (SinkUnavailable, StopIteration, AttributeError, KeyError, TypeError):
            return []
        primaries = [each for each in shards if each.get("primary")]
        return sorted(f"{each['id']}/{each['start_time_in_millis']}/{each['target']['id']}" for each in primaries)

    def _describe(self, name: str) -> dict[str, Any]:
        """Return settings, mappings and aliases of an index or alias, by index; empty if it does not exist."""
        answer = ask(self._client, self._patience, "GET", f"/{quote(name, safe='')}")
        parsed = answer.json()
        return parsed if answer.ok and isinstance(parsed, dict) else {}

    def _found(self, index: str, name: str, namespace: str) -> Generation | None:
        described = self._describe(index).get(index)
        if described is None:
            return None
        meta = described["mappings"].get("_meta", {}).get("penstock")
        if not isinstance(meta, dict) or meta.get("schema") != _META_SCHEMA:
            raise IndexRefused(
                namespace,
                f"the index {index} exists, and this penstock version did not create it",
                "Delete it, or give the collection another `index`.",
            )
        if meta.get("collection") != namespace:
            raise IndexRefused(
                namespace,
                f"the index {index} belongs to the collection {meta.get('collection')}",
                "Give one of them another `index`.",
            )
        generation = Generation(index, name, write_alias_of(index), uuid_of(described["settings"]), created=False)
        if generation.write_alias not in described["aliases"]:
            raise AliasLost(generation)
        return generation

    def _is_alias_in_use(self, name: str, namespace: str) -> bool:
        """Whether an earlier generation has the read alias. Raises SettingsError if something else has the name."""
        found = self._describe(name)
        for index, described in found.items():
            if index == name:
                raise _name_taken(name, namespace)
            meta = described["mappings"].get("_meta", {}).get("penstock", {})
            if meta.get("collection") != namespace:
                raise IndexRefused(
                    namespace,
                    f"the alias {name} already points to the index {index}, which is not penstock's",
                    "Remove the alias, or give the collection another `index`.",
                )
        return bool(found)

    def _explain(self, answer: Response, collection: CollectionSettings, name: str, index: str) -> None:
        """Raise the error for a refused creation; return if another worker has created the index in the meantime."""
        kind, reason = error_of(answer)
        if kind == "resource_already_exists_exception":
            return
        if kind == "invalid_alias_name_exception":
            raise _name_taken(name, collection.namespace)
        source = f"mapping_file {collection.mapping_file}" if collection.mapping_file else "the settings"
        raise IndexRefused(
            collection.namespace,
            f"OpenSearch refused to create the index of {name} from {source}: {kind}: {reason}",
            f"Correct {source}.{templates_for(self._client, index).hint(index)}",
        )


def _name_taken(name: str, namespace: str) -> IndexRefused:
    return IndexRefused(
        namespace,
        f"an index named {name} already exists, so the read alias cannot have that name",
        "Delete the index if it is no longer needed, or give the collection another `index`.",
    )
