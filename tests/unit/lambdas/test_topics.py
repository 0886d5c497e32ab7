"""The envelope of a Kafka mapping, in the form that AWS documents."""

import base64
from typing import Any

import pytest

from penstock.kafka.records import Record
from penstock.lambdas.events import NotAnEnvelope
from penstock.lambdas.topics import is_of_topics, records_of


def documented(**record: Any) -> dict[str, Any]:
    """The example of https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html, with other values in its record."""
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/demo/751d2973-a626-431c-9d4e-d7975eb44dd7-2",
        "bootstrapServers": "b-2.demo.kafka.us-east-1.amazonaws.com:9092,b-1.demo.kafka.us-east-1.amazonaws.com:9092",
        "records": {
            "mytopic-0": [
                {
                    "topic": "mytopic",
                    "partition": 0,
                    "offset": 15,
                    "timestamp": 1545084650987,
                    "timestampType": "CREATE_TIME",
                    "key": "abcDEFghiJKLmnoPQRstuVWXyz1234==",
                    "value": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "headers": [{"headerKey": [104, 101, 97, 100, 101, 114, 86, 97, 108, 117, 101]}],
                    **record,
                }
            ]
        },
    }  # fmt: skip


def test_the_documented_envelope_is_a_record():
    (record,) = records_of(documented())
    assert record == Record(
        "mytopic",
        0,
        15,
        base64.b64decode("abcDEFghiJKLmnoPQRstuVWXyz1234=="),
        b"Hello, this is a test.",
        1545084650987,
        [("headerKey", b"headerValue")],
    )
    assert record.place == "topic mytopic, partition 0, offset 15"


def test_a_cluster_of_ones_own_has_no_arn():
    envelope = documented() | {"eventSource": "SelfManagedKafka"}
    del envelope["eventSourceArn"]
    assert is_of_topics(envelope)
    assert records_of(envelope) == records_of(documented())


def test_a_partition_may_be_a_text_and_bytes_of_headers_may_be_signed():
    (record,) = records_of(documented(partition="3", headers=[{"a": [-61, -87]}, {"b": []}]))
    assert (record.partition, list(record.headers)) == (3, [("a", "é".encode()), ("b", b"")])


@pytest.mark.parametrize("part", ["key", "value"])
def test_a_key_or_a_value_may_be_null_or_left_out(part):
    without = documented()
    del without["records"]["mytopic-0"][0][part]
    for envelope in (documented(**{part: None}), without):
        (record,) = records_of(envelope)
        assert record[3 if part == "key" else 4] is None
    (empty,) = records_of(documented(**{part: ""}))
    assert empty[3 if part == "key" else 4] == b""


def test_records_of_several_partitions_keep_their_order():
    envelope = documented()
    first = envelope["records"]["mytopic-0"][0]
    envelope["records"] = {
        "mytopic-0": [first, first | {"offset": 16}],
        "other-1": [first | {"topic": "other", "partition": 1, "offset": 2}],
    }
    assert [each[:3] for each in records_of(envelope)] == [("mytopic", 0, 15), ("mytopic", 0, 16), ("other", 1, 2)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"records": []},
        {"records": {"t-0": [{"topic": "t"}]}},
        {"records": {"t-0": None}},
        documented(value="no base64"),
    ],
)
def test_what_only_looks_like_it_is_refused(wrong):
    with pytest.raises(NotAnEnvelope, match="its records cannot be read"):
        records_of(wrong)


@pytest.mark.parametrize("other", [None, [], {}, {"events": []}])
def test_the_envelope_of_documentdb_is_another_one(other):
    assert not is_of_topics(other)
