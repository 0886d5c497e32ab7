"""The mapping that fits what a sample of documents holds, with what people should know of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from penstock.opensearch.index.field_limit import count_fields
from penstock.opensearch.index.mapping import DATE, TEXT
from penstock.operations.suggest.profile import FieldProfile, Profile, Texts
from penstock.settings import RESERVED_FIELD, CollectionSettings, ConflictPolicy

KEYWORD: Final[dict[str, Any]] = {"type": "keyword", "ignore_above": 1024}
FLAT: Final[dict[str, Any]] = {"type": "flat_object"}
POINT: Final[dict[str, Any]] = {"type": "geo_point", "ignore_malformed": False}
"""With `ignore_malformed`, OpenSearch would move what is out of range, and find the document elsewhere."""

UNSEARCHABLE: Final[dict[str, Any]] = {"type": "object", "enabled": False}

ROOM: Final = 0.8
"""The proposal uses at most this part of `max_fields`: documents outside the sample have other fields."""

_WORD = 256
"""Longer texts are no names, even without a space."""

_CHOICES = 32
"""A field with at most this number of different short texts is a choice among them..."""
_REPEATED = 10
"""...when each comes so often, on average."""

_MANY_NAMES = 50
_OTHERS = 5
"""All documents together have more than this number of times the names of one: the names are data."""

_FLAT_TEXT = 7_000
"""A text in a `flat_object` may have 32,766 bytes together with its path; these many characters always fit."""


class Remark(NamedTuple):
    """Something people should know of a field; `policy` is what to set for it under `conflicts`."""

    path: str
    text: str
    policy: ConflictPolicy | None = None


class Proposal(NamedTuple):
    """A mapping file's content, how many fields it makes, and the remarks."""

    content: dict[str, Any]
    fields: int
    remarks: list[Remark]


def propose(profile: Profile, collection: CollectionSettings) -> Proposal:
    """Make the proposal for a collection from the profile of its documents, made by its transform."""
    making = _Making(collection)
    properties = making.properties(profile.root, "")
    mappings: dict[str, Any] = {"properties": properties}
    room = int(collection.max_fields * ROOM)
    making.flatten(properties, profile.root, room)
    if count_fields(mappings) > room:
        making.keep_commonest(mappings, profile.root, room)
    return Proposal({"mappings": mappings}, count_fields(mappings), sorted(making.remarks))


class _Making:
    def __init__(self, collection: CollectionSettings) -> None:
        self._collection = collection
        self.remarks: list[Remark] = []

    def properties(self, within: FieldProfile, prefix: str) -> dict[str, Any]:
        """The mappings of the fields of a document; without those that penstock maps itself."""
        made = {}
        for name, each in sorted(within.inner.items()):
            path = f"{prefix}{name}"
            if path == RESERVED_FIELD or self._collection.conflicts.get(path) in ("text", "flat_object"):
                continue
            mapping = self._mapping(each, path)
            if mapping is not None:
                made[name] = mapping
        return made

    def _mapping(self, each: FieldProfile, path: str) -> dict[str, Any] | None:
        """None where only null and empty arrays were seen: the first value will tell."""
        kinds = set(each.kinds)
        if "object" in kinds and kinds != {"object"} and self._collection.conflicts.get(path) != "leave-out":
            return self._of_two_shapes(each, path)
        if "object" in kinds:
            return self._of_documents(each, path)
        if len(kinds) > 1 and kinds != {"long", "double"}:
            self.remarks.append(
                Remark(path, f"holds {_kinds_with_counts(each)}: mapped as text, which accepts them all")
            )
            return TEXT
        if "text" in kinds:
            return _text(each.texts, each.kinds["text"])
        return _PLAIN["double" if "double" in kinds else kinds.pop()] if kinds else None

    def _of_documents(self, each: FieldProfile, path: str) -> dict[str, Any]:
        if each.points == each.kinds["object"]:
            what = "holds points: mapped as geo_point, which refuses a latitude or longitude out of range"
            self.remarks.append(Remark(path, what))
            return POINT
        if _names_are_data(each):
            return self._flat(each, path, f"its {len(each.inner):,}{' or more' if each.more else ''} names are data")
        return {"properties": self.properties(each, f"{path}.")} if each.inner else {"type": "object"}

    def _of_two_shapes(self, each: FieldProfile, path: str) -> dict[str, Any]:
        what = f"holds {_kinds_with_counts(each)}, which no index accepts together"
        if each.dotted:
            self.remarks.append(Remark(path, f"{what}, and its names contain dots: not searchable"))
            return UNSEARCHABLE
        is_flat = each.kinds["object"] * 2 >= each.kinds.total() and each.longest <= _FLAT_TEXT
        self.remarks.append(Remark(path, what, "flat_object" if is_flat else "text"))
        return FLAT if is_flat else TEXT

    def _flat(self, each: FieldProfile, path: str, why: str) -> dict[str, Any]:
        """One field for the whole object; not even that, where OpenSearch would refuse it."""
        if each.longest <= _FLAT_TEXT and not each.dotted:
            self.remarks.append(Remark(path, f"{why}: mapped as one flat_object"))
            return FLAT
        reason = "names contain dots" if each.dotted else "texts are too long"
        self.remarks.append(Remark(path, f"{why}, and its {reason} for a flat_object: not searchable"))
        return UNSEARCHABLE

    def flatten(self, properties: dict[str, Any], root: FieldProfile, room: int) -> None:
        """Make flat objects of the widest ones, until there is room; narrow ones stay."""
        while count_fields({"properties": properties}) > room:
            wide = max(
                _objects(properties, root, ""), key=lambda each: len(each[0][each[1]]["properties"]), default=None
            )
            if wide is None:
                return
            within, name, each, path = wide
            within[name] = self._flat(each, path, f"has very many fields, and max_fields is {self._max}")

    def keep_commonest(self, mappings: dict[str, Any], root: FieldProfile, room: int) -> None:
        """Where the document itself has too many fields: keep those that most documents have, learn no others."""
        by_use = sorted(root.inner, key=lambda name: -root.inner[name].kinds.total())
        kept: dict[str, Any] = {}
        for name in by_use:
            if name in mappings["properties"]:
                one = {name: mappings["properties"][name]}
                if count_fields({"properties": {**kept, **one}}) <= room:
                    kept |= one
        left = len(mappings["properties"]) - len(kept)
        mappings["properties"] = dict(sorted(kept.items()))
        mappings["dynamic"] = False
        self.remarks.append(
            Remark("", f"{left:,} of the rarer fields, and new ones, are not searchable (dynamic: false)")
        )

    @property
    def _max(self) -> int:
        return self._collection.max_fields


_NARROW = 20

_PLAIN: Final[Mapping[str, dict[str, Any]]] = {
    "long": {"type": "long"},
    "double": {"type": "double"},
    "boolean": {"type": "boolean"},
    "date": DATE,
}


def _objects(
    properties: dict[str, Any], within: FieldProfile, prefix: str
) -> Iterator[tuple[dict[str, Any], str, FieldProfile, str]]:
    """The objects with many names: what maps them, their name there, their field, their path."""
    for name, mapping in properties.items():
        if "properties" in mapping:
            each = within.inner[name]
            if len(mapping["properties"]) >= _NARROW:
                yield properties, name, each, f"{prefix}{name}"
            yield from _objects(mapping["properties"], each, f"{prefix}{name}.")


def _names_are_data(each: FieldProfile) -> bool:
    """Whether the documents have ever other names: ids, days, words of people."""
    different = len(each.inner)
    return each.more or (different >= _MANY_NAMES and different * each.kinds["object"] > _OTHERS * max(each.names, 1))


def _text(texts: Texts, count: int) -> dict[str, Any]:
    """A keyword for what people pick or compare as a whole, text for what they search by words."""
    is_word = texts.longest <= _WORD and not texts.spaced
    is_choice = len(texts.distinct) <= _CHOICES and count >= _REPEATED * len(texts.distinct)
    if is_word or (is_choice and texts.longest <= _WORD // 4):
        return KEYWORD
    return TEXT if texts.longest <= KEYWORD["ignore_above"] else {"type": "text"}


def _kinds_with_counts(each: FieldProfile) -> str:
    words = {"object": "document"}
    return ", ".join(f"{words.get(kind, kind)} {count:,}" for kind, count in each.kinds.most_common())
