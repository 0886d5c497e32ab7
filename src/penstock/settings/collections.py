"""A collection and its index, and one that a pattern found."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from penstock.settings import checks
from penstock.settings.section import ExistingFile, Section

FieldPath = Annotated[str, AfterValidator(checks.check_field_path)]

ConflictPolicy = Literal["dead-letter", "text", "flat_object", "leave-out"]
"""What to do with a field that is an object in some documents and a plain value in others: no index accepts both."""


class CollectionSettings(Section):
    """One collection and its index."""

    namespace: Annotated[str, AfterValidator(checks.check_namespace)] = Field(
        ...,
        description="The collection, as database.collection. With `*`, every collection whose name matches: shop.*,"
        " shop.orders_*.",
    )
    index: str | None = Field(
        None,
        description="Alias to search. Default: `database.collection` in lower case. For a pattern it must contain"
        " `{collection}`, which is replaced by the name of each collection in lower case.",
    )
    include: tuple[FieldPath, ...] = Field((), description="Fields to index, as dotted paths. Default: all.")
    exclude: tuple[FieldPath, ...] = Field((), description="Fields to leave out, as dotted paths.")
    rename: dict[FieldPath, FieldPath] = Field(
        {}, description="Fields to index under another name: from the old dotted path to the new one."
    )
    function: Annotated[str | None, AfterValidator(checks.check_function)] = Field(
        None,
        description="Python function, as `module:function`. It returns the document, a changed one, or None to leave it"
        " out.",
    )
    mapping_file: ExistingFile | None = Field(
        None, description="JSON file with the index's `mappings` (and `settings`). Default: a mapping by penstock."
    )
    max_fields: int = Field(
        2000,
        ge=50,
        le=100_000,
        description="Maximum number of fields in the index (`index.mapping.total_fields.limit`).",
    )
    when_full: Literal["unsearchable", "dead-letter"] = Field(
        "unsearchable",
        description="What to do when a document would take the index above `max_fields`: store the new fields without"
        " making them searchable, or make the document a dead letter.",
    )
    when_dropped: Literal["dead-letter", "delete"] = Field(
        "dead-letter",
        description="What to do with a document that an ingest pipeline of the index drops: make it a dead letter, or"
        " delete from the index what an earlier state of it left there.",
    )
    conflicts: dict[FieldPath, ConflictPolicy] = Field(
        {},
        description="What to do with a field that is an object in some documents and a plain value in others, by its"
        " dotted path in the index, or `*` for all other fields: `dead-letter` (the default), `text`, `flat_object` or"
        " `leave-out`.",
    )
    not_compared: tuple[FieldPath, ...] = Field(
        (),
        description="Fields that are not compared by `verify`, `reindex` and `explain`, as dotted paths in the index,"
        " with `*` for any characters: what an ingest pipeline sets.",
    )
    shards: int = Field(1, ge=1, le=1024, description="Primary shards of the indexes that penstock creates.")
    replicas: int = Field(1, ge=0, le=20, description="Replicas of the indexes that penstock creates.")
    on_drop: Literal["keep", "empty"] = Field(
        "keep",
        description="What to do when the collection is dropped: keep the documents in the index until the collection is"
        " created again and reconciled, or empty the index.",
    )
    drop_grace_s: int = Field(
        0,
        ge=0,
        description='For `on_drop = "empty"`: how long to wait before the index is emptied. A collection that is'
        " created again within this time is reconciled instead.",
    )
    on_rename: Literal["drop", "follow"] = Field(
        "drop",
        description="What to do when the collection is renamed: treat it as dropped (see `on_drop`), or follow it: the"
        " index stays and is fed from the new name, unless another table declares that name.",
    )

    @property
    def alias(self) -> str:
        """The alias to search: `index`, or the namespace in lower case."""
        return self.index or self.namespace.lower()

    @property
    def outlives_a_drop(self) -> bool:
        """Whether the index keeps its documents, at least for a while, after the collection was dropped."""
        return self.on_drop == "keep" or self.drop_grace_s > 0

    @property
    def is_awaited(self) -> bool:
        """Whether an absent collection must keep its documents: it may return, or was renamed."""
        return self.outlives_a_drop or self.follows

    @property
    def follows(self) -> bool:
        """Whether a renamed collection is still the same collection."""
        return self.on_rename == "follow"

    @property
    def is_pattern(self) -> bool:
        """Whether this names all collections of a database that match, present and future."""
        return checks.PATTERN_SIGN in self.namespace

    @field_validator("index")
    @classmethod
    def _index_can_be_made(cls, index: str | None, others: ValidationInfo) -> str | None:
        return checks.check_index_of(others.data.get("namespace", ""), index)

    @field_validator("drop_grace_s")
    @classmethod
    def _grace_before_emptying(cls, grace_s: int, others: ValidationInfo) -> int:
        if grace_s and others.data.get("on_drop") == "keep":
            raise ValueError('has no effect while on_drop is "keep"; set on_drop to "empty"')
        return grace_s

    @field_validator("on_rename")
    @classmethod
    def _follows_one(cls, on_rename: str, others: ValidationInfo) -> str:
        if on_rename == "follow" and checks.PATTERN_SIGN in others.data.get("namespace", ""):
            raise ValueError(
                'must not be "follow" for a pattern, for which a new name is another collection; give the collection to'
                " follow a table of its own"
            )
        return on_rename

    @field_validator("exclude")
    @classmethod
    def _not_also_included(cls, exclude: tuple[str, ...], others: ValidationInfo) -> tuple[str, ...]:
        if both := sorted(set(exclude) & set(others.data.get("include", ()))):
            raise ValueError(f"names fields that include names too: {', '.join(both)}")
        return exclude

    @field_validator("rename")
    @classmethod
    def _no_two_to_one_name(cls, rename: dict[str, str]) -> dict[str, str]:
        new = list(rename.values())
        if twice := sorted({name for name in new if new.count(name) > 1}):
            raise ValueError(f"gives two fields the same name: {', '.join(twice)}")
        return rename

    @field_validator("conflicts")
    @classmethod
    def _conflicts_stay_apart(cls, conflicts: dict[str, ConflictPolicy]) -> dict[str, ConflictPolicy]:
        checks.check_conflicts(conflicts)
        return conflicts


class FoundCollection(CollectionSettings):
    """A collection that a pattern found; it may disappear at any time."""

    pattern: str

    @classmethod
    def by(cls, pattern: CollectionSettings, coll: str) -> "FoundCollection":
        """Return the matching collection of this name. Raises ValueError if no index can have its name."""
        db = pattern.namespace.partition(".")[0]
        index = pattern.index and checks.index_by(pattern.index, coll)
        checks.check_index_name(index or f"{db}.{coll}".lower())
        same = {**pattern.model_dump(), "mapping_file": None, "namespace": f"{db}.{coll}", "index": index}
        return cls(**same, pattern=pattern.namespace).model_copy(update={"mapping_file": pattern.mapping_file})
