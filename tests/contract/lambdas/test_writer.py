"""The writer stores what was posted, or says why not and how far it came."""

import json

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect
from pymongo.uri_parser import parse_uri

from penstock.lambdas import clients, writer
from penstock.mongo.codec import CODEC
from penstock_tools.servers.source import LocalSourceSettings, local_source
from testkit.lambda_calls import Context, function_settings, parsed, proxy_event
from testkit.tcp_proxy import Proxy

NEW = "66f0000000000000000000aa"


@pytest.fixture
def orders(monkeypatch, source_uri, database):
    with function_settings(monkeypatch, f"{database.name}.orders", source=source_uri):
        yield database.orders


def post(body, *, seconds: float = 30) -> tuple[int, dict]:
    text = body if isinstance(body, str) else json.dumps(body)
    return parsed(writer.handler(proxy_event("POST", text), Context(seconds)))


def test_one_document_gets_an_object_id(orders):
    status, body = post({"total": 5})
    assert status == 201
    (identity,) = body["ids"]
    assert orders.find_one() == {"_id": ObjectId(identity["$oid"]), "total": 5}


def test_several_documents_with_ids_of_every_kind_in_their_order(orders):
    ids = [
        {"$oid": NEW},
        "text",
        7,
        {"$numberDecimal": "1.10"},
        {"k": 1},
        {"$date": "2024-01-02T03:04:05Z"},
        None,
        True,
    ]
    status, body = post([{"_id": each, "place": place} for place, each in enumerate(ids)])
    assert (status, body["ids"]) == (201, ids)
    stored = list(orders.find().sort("place"))
    assert [each["_id"] for each in stored[:5]] == [ObjectId(NEW), "text", 7, Decimal128("1.10"), {"k": 1}]
    assert len(stored) == len(ids)


def test_extended_json_is_stored_as_what_it_stands_for(orders):
    text = """{"_id": 1, "date": {"$date": "2024-01-02T03:04:05.678Z"}, "old": {"$date":
        {"$numberLong": "-62135596800001"}}, "price": {"$numberDecimal": "12.50"}, "many": {"$numberLong": "5"},
        "octets": {"$binary": {"base64": "AP8=",
        "subType": "00"}}, "id": {"$uuid": "00112233-4455-6677-8899-aabbccddeeff"}}"""
    assert post(text)[0] == 201
    as_stored = orders.with_options(codec_options=CODEC)
    stored = as_stored.find_one()
    assert int(stored["old"]) == -62135596800001
    assert stored["date"].isoformat() == "2024-01-02T03:04:05.678000"
    assert stored["price"] == Decimal128("12.50")
    assert isinstance(stored["many"], Int64)
    assert stored["octets"] == b"\x00\xff"
    assert stored["id"].subtype == 4


def test_a_duplicate_says_which_and_how_many_are_stored(orders):
    orders.insert_one({"_id": {"a": 1}})
    status, body = post([{"_id": 1}, {"_id": {"a": 1}, "more": "text"}, {"_id": 2}, {"_id": 3}])
    assert status == 400
    assert body["message"] == (
        'The cluster refuses the document at [1]: its _id {"a": 1} is taken. 1 before it is stored, 2 after it are not.'
    )
    assert [each["_id"] for each in orders.find().sort("_id")] == [1, {"a": 1}]


def test_one_document_that_is_there_already_is_a_duplicate_even_when_it_is_the_same(orders):
    assert post({"_id": "x", "a": 1})[0] == 201
    status, body = post({"_id": "x", "a": 1})
    assert (status, body["message"]) == (400, 'The cluster refuses the document: its _id "x" is taken.')


def test_a_value_that_a_unique_index_holds_already(orders):
    orders.create_index("code", unique=True)
    orders.insert_one({"_id": 1, "code": "a"})
    status, body = post([{"_id": 2, "code": "b"}, {"_id": 3, "code": "a"}])
    assert status == 400
    assert "a unique index already contains its value" in body["message"]
    assert "1 before it is stored" in body["message"]


def test_an_id_that_the_server_refuses(orders):
    status, body = post([{"_id": 1}, {"_id": [1]}])
    assert status == 400
    assert body["message"].startswith("The cluster refuses the document at [1]: ")
    assert orders.count_documents({}) == 1


def test_parameters_are_refused(orders):
    status, body = parsed(writer.handler(proxy_event("POST", "{}", {"dry": "1"}), Context()))
    assert (status, body["message"]) == (400, "This request takes no parameters, but has: dry.")
    assert orders.count_documents({}) == 0


@pytest.fixture
def losing(monkeypatch):
    """Passes some documents of the next insertion on and loses its answer; tells the sizes of all insertions."""
    insert_many, sizes = Collection.insert_many, []

    def lose_after(count: int) -> list[int]:
        def insert(collection, documents, **options):
            sizes.append(len(documents))
            if len(sizes) > 1:
                return insert_many(collection, documents, **options)
            if count:
                insert_many(collection, documents[:count], **options)
            raise AutoReconnect("connection closed")

        monkeypatch.setattr(Collection, "insert_many", insert)
        return sizes

    return lose_after


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_what_was_stored_before_a_lost_answer_is_no_duplicate(orders, losing, stored):
    sizes = losing(stored)
    status, body = post([{"_id": "a", "n": 1}, {"n": 2}, {"n": 3}])
    assert status == 201
    assert sizes[:2] == [3, 3]
    assert [each["_id"] for each in orders.find().sort("n")] == [
        "a", *(ObjectId(each["$oid"]) for each in body["ids"][1:])
    ]  # fmt: skip


def test_a_duplicate_is_one_after_a_lost_answer_too(orders, losing):
    orders.insert_one({"_id": "b", "n": "other"})
    losing(1)
    status, body = post([{"_id": "a"}, {"_id": "b"}, {"_id": "c"}])
    assert status == 400
    assert 'the document at [1]: its _id "b" is taken. 1 before it is stored, 1 after it are not.' in body["message"]


def test_a_cluster_that_is_away_is_a_503_in_time(monkeypatch, source_uri, database):
    host, port = parse_uri(source_uri)["nodelist"][0]
    with Proxy((host, port)) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        with function_settings(monkeypatch, f"{database.name}.orders", source=uri):
            assert post({"_id": 1})[0] == 201
            proxy.accepting = False
            proxy.cut()
            status, body = post({"_id": 2}, seconds=0.6)
            assert status == 503
            assert "Some of the documents may be stored" in body["message"]
            assert str(proxy.port) not in body["message"]
            proxy.accepting = True
            assert post({"_id": 3})[0] == 201
            clients.source().close()


def test_a_documentdb_stores_and_refuses_the_same(monkeypatch, tmp_path, losing):
    with (
        local_source(tmp_path, LocalSourceSettings(mode="documentdb-5.0")) as source,
        function_settings(monkeypatch, "shop.orders", source=source.uri),
    ):
        sizes = losing(1)
        assert post([{"_id": 1, "a": {"$numberDecimal": "1.10"}}, {"_id": 2}])[0] == 201
        assert sizes == [2, 2, 1]
        status, body = post([{"_id": 3}, {"_id": 2}])
        assert status == 400
        assert "the document at [1]: its _id 2 is taken. 1 before it is stored" in body["message"]
