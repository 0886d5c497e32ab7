"""The record of a collection's generations: one state document, written by compare-and-set.

    building   created and loaded next to the serving one; searches do not see it
    serving    the read alias points to it
    kept       served before; still fed, until it is dropped
    dropping   must no longer be written; it is about to be deleted

The first generation serves from the start.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from penstock.opensearch.index.definition import IndexDefinition
from penstock.opensearch.index.indexes import index_of, write_alias_of
from penstock.opensearch.state.ids import generations_id
from penstock.opensearch.state.store import StateDocument, StateStore

Role = Literal["building", "serving", "kept", "dropping"]


@dataclass(frozen=True)
class GenerationRecord:
    """One generation. `failed` says why it is no longer fed, until a user fixes the cause and starts again."""

    number: int
    index: str
    role: Role
    recipe: IndexDefinition
    failed: str = ""

    @property
    def write_alias(self) -> str:
        """The alias through which it is written, and by which its dead letters are identified."""
        return write_alias_of(self.index)


@dataclass(frozen=True)
class CollectionRecord:
    """The generations of one collection behind one read alias; `last` is the highest number ever used.

    `names` are those that the collection got by renames that were followed: see `penstock.model.Names`. `source` is
    what was seen of the source whose documents the generations hold: see `penstock.mongo.identity`. `pipeline` is the
    one that feeds the first generation.
    """

    collection: str
    alias: str
    last: int = 0
    generations: tuple[GenerationRecord, ...] = field(default=())
    names: tuple[tuple[str, int], ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    pipeline: str = ""

    @property
    def fed(self) -> tuple[GenerationRecord, ...]:
        """All generations except those that are about to be deleted."""
        return tuple(each for each in self.generations if each.role != "dropping")

    def in_role(self, role: Role) -> GenerationRecord | None:
        """Return the (only) generation in this role, if there is one."""
        return next((each for each in self.generations if each.role == role), None)

    def numbered(self, number: int) -> GenerationRecord | None:
        """Return the generation with this number, None if it is not, or no longer, fed."""
        return next((each for each in self.fed if each.number == number), None)

    def moved_on(self, now: IndexDefinition) -> list[str]:
        """Return which settings have changed since the serving generation was made, unless another one has them."""
        serving = self.in_role("serving")
        if serving is None or any(not each.recipe.moved_on(now) for each in self.fed):
            return []
        return serving.recipe.moved_on(now)

    def added(self, recipe: IndexDefinition, role: Role) -> "CollectionRecord":
        """Return the record with one more generation."""
        number = self.last + 1
        made = GenerationRecord(number, index_of(self.alias, number), role, recipe)
        return replace(self, last=number, generations=(*self.generations, made))

    def changed(self, number: int, **changes: Any) -> "CollectionRecord":
        """Return the record with one generation changed."""
        those = (replace(each, **changes) if each.number == number else each for each in self.generations)
        return replace(self, generations=tuple(those))

    def served_by(self, number: int) -> "CollectionRecord":
        """Return the record with this generation serving; the one that served is kept."""
        before = self.in_role("serving")
        record = self if before is None or before.number == number else self.changed(before.number, role="kept")
        return record.changed(number, role="serving", failed="")

    def renamed(self, coll: str, since: int) -> "CollectionRecord":
        """Return the record with a new name of the collection; unchanged if a slow pipeline reports a known one."""
        known = self.names[-1][1] if self.names else 0
        return replace(self, names=(*self.names, (coll, since))) if since > known else self

    def found(self, number: int) -> GenerationRecord:
        """Return the generation with this number, even one that is about to be deleted."""
        return next(each for each in self.generations if each.number == number)

    def without(self, number: int) -> "CollectionRecord":
        """Return the record without a generation."""
        return replace(self, generations=tuple(each for each in self.generations if each.number != number))


class GenerationRegistry:
    """Reads and changes the records; several threads and processes may do so at once."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def read(self, aliases: Iterable[str]) -> dict[str, CollectionRecord]:
        """Return the existing records, by alias. Raises SettingsError for a newer format, Stopped."""
        found = self._store.get(map(generations_id, aliases))
        return {record.alias: record for record in (record_of(each.document) for each in found.values())}

    def fail(self, alias: str, number: int, reason: str) -> None:
        """Record why a generation is no longer fed. Not for the serving one, whose failure ends the worker."""

        def change(record: CollectionRecord) -> CollectionRecord:
            known = record.numbered(number)
            return record.changed(number, failed=reason) if known and known.role != "serving" else record

        self.change(alias, change)

    def create(self, record: CollectionRecord) -> CollectionRecord:
        """Store the first record of an alias and return it. Raises Conflict if there is one."""
        self._store.put(generations_id(record.alias), _document(record), None)
        return record

    def change(self, alias: str, change: Callable[[CollectionRecord], CollectionRecord]) -> CollectionRecord:
        """Change the present record and return it; try again if others have changed it in the meantime.

        Raises what `change` raises.
        """
        state_id = generations_id(alias)

        def changed(stored: StateDocument | None) -> StateDocument | None:
            if stored is None:
                raise KeyError(state_id)
            before = record_of(stored)
            after = change(before)
            return None if after == before else _document(after)

        document, _ = self._store.change(state_id, changed)
        return record_of(document)


def record_of(document: Mapping[str, Any]) -> CollectionRecord:
    """Return the record in a state document."""
    generations = (
        GenerationRecord(**{**each, "recipe": IndexDefinition(**each["recipe"])}) for each in document["generations"]
    )
    names = tuple((each["collection"], each["since"]) for each in document.get("names", ()))
    name, alias, last, source = document["name"], document["alias"], document["last"], document.get("source", {})
    return CollectionRecord(name, alias, last, tuple(generations), names, source, document.get("pipeline", ""))


def _document(record: CollectionRecord) -> dict[str, Any]:
    return {
        "kind": "generations",
        "name": record.collection,
        "alias": record.alias,
        "last": record.last,
        "generations": [asdict(each) for each in record.generations],
        "names": [{"collection": coll, "since": since} for coll, since in record.names],
        "source": record.source,
        "pipeline": record.pipeline,
        "written": secrets.token_hex(4),
    }
