"""What capture writes into the log, and how it is read back."""

import pytest

from penstock.kafka.log import End, Mark, NoHeaders, Numbered, headers_of, marks_topic_of, numbered, topic_of
from penstock.kafka.positions import Partition
from penstock.model import Change, Namespace, Position, version_of

ORDERS = Namespace("shop", "orders.new")
VERSION = version_of(1_700_000_000, 7)


def test_topics_bear_the_names_of_collections():
    assert topic_of("penstock", ORDERS) == "penstock.shop.orders.new"
    assert marks_topic_of("penstock", "shop") == "penstock.shop"


@pytest.mark.parametrize("kind", ["upsert", "delete", "unresolved"])
def test_headers_are_read_back(kind):
    assert numbered(headers_of(Numbered(kind, VERSION, 2**40))) == Numbered(kind, VERSION, 2**40)


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("v", b"\0" * 8), ("k", b"upsert")],
        [("v", b"\0" * 7), ("k", b"upsert"), ("n", b"\0" * 8)],
        [("v", b"\0" * 8), ("k", b"rename"), ("n", b"\0" * 8)],
        [("v", b"\0" * 8), ("k", None), ("n", b"\0" * 8)],
    ],
)
def test_a_record_of_another_producer_is_none_of_these(headers):
    with pytest.raises(NoHeaders):
        numbered(headers)


@pytest.mark.parametrize(
    "control",
    [
        None,
        Change(ORDERS, "drop", VERSION),
        Change(ORDERS, "rename", VERSION, to=Namespace("shop", "old")),
        Change(Namespace("shop", ""), "drop_database", VERSION),
    ],
)
def test_a_mark_is_read_back(control):
    ends = {Partition("penstock.shop.orders", 0): End(5, 9), Partition("penstock.shop.orders", 11): End(0, 0)}
    mark = Mark(Position("token", VERSION), ends, {"penstock.shop.orders": "abc"}, control)
    assert Mark.decoded(mark.encoded()) == mark
