"""Generations: one index behind a read alias, which people search, and a write alias, which only penstock uses.

cities-g1          the index of the first generation
cities             the read alias
cities-g1-write    the write alias; every write requires it, so a missing index is never created by a write
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from penstock.errors import SettingsError, SystemicFault
from penstock.opensearch.client import Answer, Client
from penstock.opensearch.field_budget import raise_limit
from penstock.opensearch.mapping import body_for
from penstock.opensearch.requests import ask, error_of
from penstock.opensearch.waiting import Patience
from penstock.settings import CollectionSettings

_META_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Generation:
    """One index of a collection. `uuid` tells it from another index of the same name; `created`: only just now."""

    index: str
    read_alias: str
    write_alias: str
    uuid: str
    created: bool

    def was_replaced(self, known: Mapping[str, str]) -> bool:
        """Whether its name stood for another index when the UUIDs were noted."""
        return known.get(self.index) not in (None, self.uuid)


class Indexes:
    """Creates and finds the indexes of one cluster."""

    def __init__(self, client: Client, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def ensure_generation(self, collection: CollectionSettings, *, number: int = 1) -> Generation:
        """Find or create the index of a collection, with its aliases in one step.

        The read alias comes with the first generation; a later one is made beside it, unseen by those who search.

        Raises SettingsError when the name is taken or the mapping refused, SinkUnavailable, Stopped, SystemicFault.
        """
        name = collection.alias
        index = f"{name}-g{number}"
        found = self._found(index, name, collection.namespace)
        if found is not None:
            raise_limit(self._client, self._patience, found.index, collection)
            return found
        in_use = self._is_alias_in_use(name, collection.namespace)
        meta = {"schema": _META_SCHEMA, "collection": collection.namespace, "generation": number}
        body = body_for(collection, meta=meta)
        body["aliases"] = {f"{index}-write": {"is_write_index": True}, **({} if in_use else {name: {}})}
        answer = ask(self._client, self._patience, "PUT", f"/{quote(index, safe='')}", body)
        if not answer.ok:
            self._explain(answer, collection, name)
        made = self._found(index, name, collection.namespace)
        if made is None:
            raise SystemicFault(f"index {index} disappeared right after it was created.")
        return Generation(made.index, made.read_alias, made.write_alias, made.uuid, created=answer.ok)

    def serving(self, collection: CollectionSettings) -> Generation | None:
        """The generation that people search, None when there is none yet. Raises SettingsError, SystemicFault."""
        name = collection.alias
        indexes = sorted(index for index in self._describe(name) if index != name)
        return self._found(indexes[-1], name, collection.namespace) if indexes else None

    def uuids(self, names: Iterable[str]) -> dict[str, str]:
        """The UUID behind each index or alias; what does not exist is left out."""
        found: dict[str, str] = {}
        for name in names:
            described = self._describe(name)
            if len(described) == 1:
                found[name] = str(next(iter(described.values()))["settings"]["index"]["uuid"])
        return found

    def _describe(self, name: str) -> dict[str, Any]:
        """Settings, mappings and aliases of what a name stands for, by index; empty when it does not exist."""
        answer = ask(self._client, self._patience, "GET", f"/{quote(name, safe='')}")
        parsed = answer.json()
        return parsed if answer.ok and isinstance(parsed, dict) else {}

    def _found(self, index: str, name: str, namespace: str) -> Generation | None:
        described = self._describe(index).get(index)
        if described is None:
            return None
        meta = described["mappings"].get("_meta", {}).get("penstock")
        if not isinstance(meta, dict) or meta.get("schema") != _META_SCHEMA:
            raise SettingsError(
                f"[[collections]] {namespace}: the index {index} exists and was not made by this version of penstock."
                " Delete it, or give the collection another `index`."
            )
        if meta.get("collection") != namespace:
            raise SettingsError(
                f"[[collections]] {namespace}: the index {index} belongs to the collection {meta.get('collection')}."
                " Give one of them another `index`."
            )
        write_alias = f"{index}-write"
        if write_alias not in described["aliases"]:
            raise SystemicFault(
                f"The index {index} has lost its write alias {write_alias}; another tool has changed it. Add the"
                " alias again when the index is unchanged, or delete the index to load the collection anew."
            )
        return Generation(index, name, write_alias, str(described["settings"]["index"]["uuid"]), created=False)

    def _is_alias_in_use(self, name: str, namespace: str) -> bool:
        """Whether an earlier generation has the read alias; raises SettingsError when something else has the name."""
        found = self._describe(name)
        for index, described in found.items():
            if index == name:
                raise _name_taken(name, namespace)
            meta = described["mappings"].get("_meta", {}).get("penstock", {})
            if meta.get("collection") != namespace:
                raise SettingsError(
                    f"[[collections]] {namespace}: the alias {name} already stands for the index {index}, which is"
                    " not penstock's. Remove the alias, or give the collection another `index`."
                )
        return bool(found)

    def _explain(self, answer: Answer, collection: CollectionSettings, name: str) -> None:
        """Raise what a refused creation means; returns when another worker created the index meanwhile."""
        kind, reason = error_of(answer)
        if kind == "resource_already_exists_exception":
            return
        if kind == "invalid_alias_name_exception":
            raise _name_taken(name, collection.namespace)
        source = f"mapping_file {collection.mapping_file}" if collection.mapping_file else "the settings"
        raise SettingsError(
            f"[[collections]] {collection.namespace}: OpenSearch refused to create the index of {name} from {source}:"
            f" {kind}: {reason}."
        )


def _name_taken(name: str, namespace: str) -> SettingsError:
    return SettingsError(
        f"[[collections]] {namespace}: an index named {name} exists already, so the alias that people search cannot"
        f" have that name. Delete that index if it is no longer needed, or give the collection another `index`."
    )
