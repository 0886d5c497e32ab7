"""Records are where Java's producers, and those of librdkafka, would put them."""

import random

import pytest

from penstock.kafka.partitioner import murmur2, partitions_of


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
    assert murmur2([key], len(key)) == [hashed % 2**32]


@pytest.mark.parametrize("size", range(20))
def test_each_of_many_keys_hashes_as_it_does_alone(size):
    chance = random.Random(size)
    keys = [chance.randbytes(size) for _ in range(300)] + [bytes(size), b"\xff" * size]
    assert murmur2(keys, size) == [murmur2([key], size)[0] for key in keys]


def test_keys_of_all_sizes_get_their_partitions_in_order():
    chance = random.Random(0)
    keys = [chance.randbytes(chance.randrange(40)) for _ in range(2000)]
    found = partitions_of(keys, 12)
    assert found == [partitions_of([key], 12)[0] for key in keys]
    assert set(found) == set(range(12))
