"""`penstock mapping suggest`: the real index takes the proposal, and then every document of the sample."""

import json
import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from bson import Int64, ObjectId
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pymongo.database import Database

from penstock.documents.encode import encode
from penstock.model import WRITTEN, Namespace, Refusal, Write
from penstock.mongo.connection import connect
from penstock.mongo.lookup import from_both_ends, sample
from penstock.operations.suggest.profile import Profile
from penstock.operations.suggest.proposal import Proposal, propose
from penstock.settings import CollectionSettings, SourceSettings
from testkit.bson_values import DOCUMENTS
from testkit.sink_access import Side
from testkit.workspace import Site

ORDERS = CollectionSettings(namespace="shop.orders")


def proposed(bodies: list[bytes], **settings: Any) -> Proposal:
    profile = Profile()
    for body in bodies:
        profile.add(orjson.loads(body))
    return propose(profile, CollectionSettings(namespace="shop.orders", **settings))


def all_are_taken(way: Side, name: str, bodies: list[bytes], folder: Path, **settings: Any) -> Proposal:
    """Make the index by the proposal and write every body, as they are and in the opposite order."""
    made = proposed(bodies, **settings)
    file = folder / "mapping.json"
    file.write_bytes(orjson.dumps(made.content))
    generation = way.generation(name, mapping_file=file, **settings)
    for version, order in enumerate((bodies, bodies[::-1]), start=1):
        writes = [Write(generation.write_alias, str(place), version, body) for place, body in enumerate(order)]
        assert [each for each in way.sink.write(writes) if each != WRITTEN] == []
    return made


@examples(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(documents=st.lists(DOCUMENTS, min_size=30, max_size=60))
def test_documents_of_any_kind_are_taken(way, index_prefix, tmp_path, documents):
    bodies = [encode(document) for document in documents]
    all_are_taken(way, f"{index_prefix}{secrets.token_hex(4)}", bodies, tmp_path)


def test_what_the_fields_are(way: Side, index_prefix: str, tmp_path: Path) -> None:
    bodies = [
        encode(
            {
                "customer": ObjectId(),
                "state": ["open", "on the way", "paid"][number % 3],
                "title": f"The {number} best seas",
                "note": "a long story " * (200 if number == 7 else 1),
                "pieces": number,
                "price": number + 0.5 if number % 2 else number,
                "paid": number % 2 == 0,
                "at": datetime(2024, 1, 2, 3, number % 60),
                "lines": [{"sku": f"S-{number}", "amount": Int64(2)}],
                "nothing": None,
                "code": number if number % 9 else f"C {number} of several",
                "visits": {f"2024-{number}-{each}": {"seconds": each} for each in range(3)},
                "source": {"name": "web"} if number % 20 else "shop",
                "size": {"x": 1} if number % 20 == 0 else "large",
            }
        )
        for number in range(400)
    ]
    made = all_are_taken(way, f"{index_prefix}a", bodies, tmp_path)
    properties = made.content["mappings"]["properties"]
    lines = properties.pop("lines")["properties"]
    types = {name: each["type"] for name, each in [*properties.items(), *lines.items()]}
    assert types == {
        "customer": "keyword", "state": "keyword", "title": "text", "note": "text", "pieces": "long",
        "price": "double", "paid": "boolean", "at": "date", "sku": "keyword", "amount": "long", "code": "text",
        "visits": "flat_object", "source": "flat_object", "size": "text",
    }  # fmt: skip
    assert ("fields" in properties["title"], "fields" in properties["note"]) == (True, False)
    assert {each.path: each.policy for each in made.remarks} == {
        "code": None,
        "visits": None,
        "source": "flat_object",
        "size": "text",
    }


@pytest.mark.parametrize("names", ["within", "at the top"])
def test_a_collection_with_more_fields_than_the_index_may_have_still_fits(
    way: Side, index_prefix: str, tmp_path: Path, names: str
) -> None:
    fields = {f"field_{number}": {"a": number, "b": "x"} for number in range(120)}
    bodies = [encode({"id": 1, "wide": fields} if names == "within" else {"id": 1, **fields}), encode({"id": 2})]
    made = all_are_taken(way, f"{index_prefix}a", bodies, tmp_path, max_fields=100)
    assert made.fields <= 80
    assert made.content["mappings"]["properties"]["id"] == {"type": "long"}
    assert made.remarks
    assert ("dynamic" in made.content["mappings"]) == (names == "at the top")


def test_texts_too_long_for_a_flat_object_are_kept_unsearchable(way: Side, index_prefix: str, tmp_path: Path) -> None:
    bodies = [encode({"pages": {f"page-{number}": "é" * 20_000}}) for number in range(60)]
    made = all_are_taken(way, f"{index_prefix}a", bodies, tmp_path)
    assert made.content["mappings"]["properties"]["pages"] == {"type": "object", "enabled": False}


def test_memory_does_not_grow_with_ever_new_names() -> None:
    profile = Profile()
    for number in range(3000):
        profile.add({"map": {f"{number}-{each}": {"x": "long" * number} for each in range(5)}})
    assert len(profile.root.inner["map"].inner) == 500
    assert profile.root.longest == 4 * 2999
    assert propose(profile, ORDERS).content["mappings"]["properties"]["map"] == {"type": "object", "enabled": False}


def test_a_sample_is_as_large_as_asked_and_from_all_over(database: Database, source_uri: str) -> None:
    database.orders.insert_many([{"_id": number} for number in range(100)])
    namespace = Namespace(database.name, "orders")
    with connect(SourceSettings(uri=source_uri)) as connection:  # type: ignore[arg-type]
        client = connection.client

        def ids(changes: Any) -> list[Any]:
            return [change.id for some in changes for change in some]

        assert sorted(ids(sample(client, namespace, 100))) == list(range(100))
        chosen = ids(sample(client, namespace, 20))
        assert len(chosen) == 20
        assert set(chosen) <= set(range(100))
        assert ids(from_both_ends(client, namespace, 5)) == [0, 1, 2, 99, 98]
        assert ids(from_both_ends(client, namespace, 1)) == [0]


def test_the_command_writes_a_file_that_the_load_takes_and_says_what_to_set(site: Site, database: Database) -> None:
    """The policies it names are set as it says, and no document of the collection becomes a dead letter."""
    database.orders.insert_many(
        [{"_id": number, "source": {"name": "web"} if number % 3 else "shop", "old": number} for number in range(60)]
    )
    namespace = f"{database.name}.orders"
    site.settings(namespace, exclude=["old"])
    done = site.run("mapping", "suggest", namespace, "--output", "orders.json")
    assert done.returncode == 0, done.stderr
    assert f"{namespace}: 60 documents, 1 field of the 2,000 of max_fields" in done.stderr
    assert '  conflicts = { "source" = "flat_object" }' in done.stderr
    assert json.loads((site.folder / "orders.json").read_text()) == {
        "mappings": {"properties": {"source": {"type": "flat_object"}}}
    }
    assert "already exists" in site.run("mapping", "suggest", namespace, "--output", "orders.json").stderr
    assert site.run("mapping", "suggest", "shop.nothing").returncode == 2
    conflicts = {"source": "flat_object"}
    site.settings(namespace, exclude=["old"], mapping_file="orders.json", conflicts=conflicts)
    assert site.run("load").returncode == 0
    indexed = site.indexed(namespace)
    assert indexed["n:0"] == {"source": {"value": "shop"}}
    assert len(indexed) == 60
    assert site.letters(database) == []
    assert json.loads(site.run("mapping", "suggest", namespace).stdout) == {"mappings": {"properties": {}}}


def test_points_are_proposed_so_that_what_is_out_of_range_is_refused(
    way: Side, index_prefix: str, tmp_path: Path
) -> None:
    def body(latitude: float) -> bytes:
        geojson = {"type": "Point", "coordinates": [11.5, latitude]}
        return encode({"a": {"lat": latitude, "lon": 11}, "b": [geojson, geojson], "c": {"lat": 500, "lon": 1}})

    made = all_are_taken(way, f"{index_prefix}a", [body(48), body(-90)], tmp_path)
    properties = made.content["mappings"]["properties"]
    assert properties["a"] == properties["b"] == {"type": "geo_point", "ignore_malformed": False}
    assert "properties" in properties["c"]
    (outcome,) = way.sink.write([Write(f"{index_prefix}a-g1-write", "x", 1, body(113))])
    assert isinstance(outcome, Refusal)
    assert outcome.reason.startswith("mapper_parsing_exception: failed to parse field [")
