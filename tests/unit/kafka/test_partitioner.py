"""Records are where Java's producers, and those of librdkafka, would put them."""

import pytest

from penstock.kafka.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),  # of Kafka's own test, org.apache.kafka.common.utils.UtilsTest
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_hash_as_in_java(key, hashed):
    assert murmur2(key) == hashed % 2**32


def test_a_partition_is_one_of_those_that_there_are():
    assert {partition_of(bytes([number]), 12) for number in range(200)} == set(range(12))
