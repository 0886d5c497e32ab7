"""How far a member is behind, by what the client says of its partitions."""

from typing import Any

from penstock.kafka.behind import Behind
from penstock.kafka.positions import Partition
from penstock.kafka.records import Record

ONE = Partition("cdc.shop.orders", 1)


def said(**fields: int) -> dict[str, Any]:
    known = {"ls_offset": 100, "lo_offset": 10, "next_offset": 100, "fetchq_cnt": 0} | fields
    return {"topics": {ONE.topic: {"partitions": {str(ONE.number): known}}}}


def behind(committed: int, *, delivered: int = 0, **fields: int) -> int | None:
    looked = Behind()
    looked.begins({ONE: committed})
    if delivered:
        looked.delivers([Record(ONE.topic, ONE.number, delivered - 1, b"key", None, 0)])
    return looked.of(said(**fields), [ONE])[ONE]


def test_what_is_not_committed_is_still_to_go() -> None:
    assert behind(40, delivered=60, next_offset=70) == 60
    assert behind(40, delivered=100) == 60
    assert behind(40, fetchq_cnt=3) == 60


def test_a_group_that_has_committed_nothing_has_all_to_go_that_the_topic_still_holds() -> None:
    assert behind(-2, next_offset=10) == 90


def test_the_end_of_a_transaction_is_no_record() -> None:
    assert behind(98, delivered=98) == 0
    assert behind(100, delivered=100) == 0
    assert behind(97, delivered=98) == 3


def test_a_commit_counts_from_then_on() -> None:
    looked = Behind()
    looked.begins({ONE: 40})
    looked.delivers([Record(ONE.topic, ONE.number, 99, b"key", None, 0)])
    looked.commits({ONE: 90})
    assert looked.of(said(), [ONE]) == {ONE: 10}


def test_nothing_is_known_before_the_first_fetch() -> None:
    assert behind(40, ls_offset=-1001) is None
    assert Behind().of({}, [ONE]) == {ONE: None}
