"""Java's default partitioner: which partition of a topic a key is in, by its murmur2 hash.

librdkafka has it too, but tells the partition only after the record was sent; capture numbers its records before.
"""

from functools import cache
from struct import Struct
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF
_31_BITS: Final = 0x7FFFFFFF


@cache
def _words(count: int) -> Struct:
    return Struct(f"<{count}I")


def murmur2(key: bytes) -> int:
    """Return the hash of a key, 32 bits without a sign."""
    size = len(key)
    state = _SEED ^ size
    for word in _words(size >> 2).unpack_from(key):
        mixed = word * _FACTOR & _32_BITS
        state = (state * _FACTOR & _32_BITS) ^ ((mixed ^ mixed >> 24) * _FACTOR & _32_BITS)
    if rest := size & 3:
        state = (state ^ int.from_bytes(key[-rest:], "little")) * _FACTOR & _32_BITS
    state = (state ^ state >> 13) * _FACTOR & _32_BITS
    return state ^ state >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the number of the partition that has the key, of all `partitions`."""
    return (murmur2(key) & _31_BITS) % partitions
