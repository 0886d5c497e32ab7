"""The definition of a generation: the settings that shape its documents and its index, and their fingerprints.

It is stored with the generation, which is fed in the same way for as long as it lives, even if the settings change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from penstock.documents.transform import Transform
from penstock.opensearch.index.mapping import index_body, read_mapping
from penstock.settings import CollectionSettings

_OF_NOW = {
    *("namespace", "index", "pattern"),
    *("on_drop", "drop_grace_s", "on_rename", "max_fields", "when_full", "when_dropped", "not_compared"),
}
"""The settings that may change while a generation lives."""

_OF_THE_DOCUMENTS = {"include", "exclude", "rename", "function", "conflicts"}
_OF_THE_INDEX = {"mapping_file", "shards", "replicas", "conflicts"}


@dataclass(frozen=True)
class IndexDefinition:
    """`settings` by name, with the mapping file's content as `mapping_file`; the fingerprints show every change."""

    settings: Mapping[str, Any]
    transform: str
    mapping: str

    @classmethod
    def of(cls, collection: CollectionSettings, transform: Transform) -> "IndexDefinition":
        """Return the definition by the present settings. Raises SettingsError if the mapping file cannot be read."""
        settings = collection.model_dump(mode="json", exclude=_OF_NOW)
        settings["mapping_file"] = read_mapping(collection.mapping_file)
        body = index_body(
            shards=collection.shards,
            replicas=0,
            mapping=settings["mapping_file"],
            meta={},
            conflicts=collection.conflicts,
        )
        return cls(settings, transform.fingerprint, _fingerprint(body))

    def applied_to(self, collection: CollectionSettings) -> CollectionSettings:
        """Return a collection's settings as of this generation; the mapping is `settings["mapping_file"]`."""
        present = collection.model_dump(include=_OF_NOW)
        return type(collection)(**{**present, **self.settings, "mapping_file": None})

    def with_transform_of(self, now: "IndexDefinition") -> "IndexDefinition":
        """Return the same index, with documents made as `now` says."""
        kept = {name: value for name, value in self.settings.items() if name in _OF_THE_INDEX - _OF_THE_DOCUMENTS}
        return IndexDefinition({**now.settings, **kept}, now.transform, self.mapping)

    def moved_on(self, now: "IndexDefinition") -> list[str]:
        """Return what has changed in the settings; without replicas, which can be changed on an index at any time."""
        names = (self.settings.keys() | now.settings.keys()) - {"replicas"}
        changed = sorted(name for name in names if self.settings.get(name) != now.settings.get(name))
        if self.transform != now.transform and not _OF_THE_DOCUMENTS.intersection(changed):
            changed.append("the code of the function" if now.settings["function"] else "penstock's document format")
        if self.mapping != now.mapping and not _OF_THE_INDEX.intersection(changed):
            changed.append("the mapping")
        return changed


def _fingerprint(body: Mapping[str, Any]) -> str:
    return sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
