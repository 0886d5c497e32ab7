"""A change as a CloudEvent."""

import json

import pytest
from bson import ObjectId, Timestamp

from penstock.model import Namespace, version_of
from penstock.mongo.cursor import Undecodable
from penstock.reactions.event import Event, EventMaker
from penstock.reactions.where import condition_of

ORDERS = Namespace("shop", "orders")
KINDS = ("insert", "update", "replace", "delete")


def change(kind="insert", key=1, time=(100, 1), token="a", **more):
    return {
        "_id": {"_data": token},
        "operationType": kind,
        "clusterTime": Timestamp(*time),
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": key},
        **({} if kind == "delete" else {"fullDocument": {"_id": key, "total": 5}}),
        **more,
    }


def maker(kinds=KINDS, where=None, **more):
    return EventMaker("penstock", [ORDERS], kinds, condition_of(where), **more)


def made(events, **how):
    return [each and json.loads(each) for each in maker(**how)(ORDERS, events)]


def test_a_change_is_a_cloud_event():
    (event,) = made([change(key=ObjectId("507f1f77bcf86cd799439011"))])
    assert event == {
        "specversion": "1.0",
        "id": f"shop.orders/507f1f77bcf86cd799439011/{version_of(100, 1)}",
        "source": "penstock",
        "type": "penstock.document.insert",
        "subject": "shop.orders/507f1f77bcf86cd799439011",
        "time": "1970-01-01T00:01:40Z",
        "datacontenttype": "application/json",
        "data": {
            "collection": "shop.orders",
            "kind": "insert",
            "key": {"_id": "507f1f77bcf86cd799439011"},
            "document": {"_id": "507f1f77bcf86cd799439011", "total": 5},
        },
    }


def test_what_was_written_can_be_read():
    (body,) = maker()(ORDERS, [change()])
    event = Event.read(body)
    assert (event.subject, event.collection, event.body) == ("shop.orders/n:1", "shop.orders", body)


def test_changes_of_one_transaction_have_ids_of_their_own_wherever_it_is_read_again():
    transaction = [
        change(token="a"),
        change(key=2, token="b"),
        change("update", token="c"),
        change("update", token="d"),
    ]
    version = version_of(100, 1)
    ids = [f"shop.orders/n:1/{version}", f"shop.orders/n:2/{version}"]
    ids += [f"shop.orders/n:1/{version}/1", f"shop.orders/n:1/{version}/2"]
    assert [each["id"] for each in made(transaction)] == ids
    one = maker()
    for piece in (transaction[:1], transaction[1:3], transaction[2:], transaction):  # in pieces, and read again
        assert {json.loads(each)["id"] for each in one(ORDERS, piece)} <= set(ids)
    (after,) = one(ORDERS, [change(time=(101, 1), token="e")])
    assert json.loads(after)["id"] == f"shop.orders/n:1/{version_of(101, 1)}"


def test_the_place_in_a_transaction_does_not_depend_on_what_is_wanted():
    transaction = [change(token="a"), change("update", token="b")]
    (_, wanted) = made(transaction, kinds=("update",))
    assert wanted["id"].endswith("/1")


def test_only_wanted_kinds_and_collections_become_events():
    assert [bool(each) for each in made([change(kind) for kind in KINDS], kinds=("update", "delete"))] == [0, 1, 0, 1]
    assert maker()(Namespace("shop", "beats"), [change()]) == [None]


@pytest.mark.parametrize("paid", [True, False])
def test_a_condition_is_judged_by_the_document_and_for_a_delete_by_that_of_before(paid):
    changes = [
        change(fullDocument={"_id": 1, "paid": paid}, fullDocumentBeforeChange={"_id": 1, "paid": not paid}),
        change("delete", fullDocumentBeforeChange={"_id": 1, "paid": paid}),
    ]
    assert [each is not None for each in made(changes, where={"paid": True}, before=True)] == [paid, paid]


def test_what_cannot_be_judged_is_given():
    changes = [change("delete"), change("update", fullDocument=None), change("update")]
    changes[2].pop("fullDocument")
    assert [each["data"]["document"] for each in made(changes, where={"paid": True})] == [None, None, None]


def test_documents_are_left_out_and_those_of_before_are_given_as_asked():
    whole = change("update", fullDocumentBeforeChange={"_id": 1, "total": 4})
    assert made([whole], document=False)[0]["data"] == {
        "collection": "shop.orders",
        "kind": "update",
        "key": {"_id": 1},
    }
    assert made([whole], before=True)[0]["data"]["before"] == {"_id": 1, "total": 4}
    assert "before" not in made([whole])[0]["data"]


def test_a_document_that_has_no_json_form_is_an_event_that_says_so():
    deep = []
    for _ in range(2000):
        deep = [deep]
    events = [
        change(fullDocument={"_id": 1, "paid": True, "deep": deep}),
        change(fullDocument=Undecodable("broken"), token="b"),
    ]
    too_deep, broken = (each["data"] for each in made(events, where={"paid": True}))
    assert (too_deep["document"], too_deep["key"]) == (None, {"_id": "n:1"})
    assert "nested too deeply" in too_deep["problem"]
    assert (broken["document"], broken["key"]) == (None, {"_id": 1})
    assert broken["problem"] == "the document cannot be decoded"
