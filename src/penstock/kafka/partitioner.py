"""Java's default partitioner: which partition of a topic a key is in, by its murmur2 hash.

librdkafka has it too, but tells the partition only after the record was sent; capture numbers its records before.

Many keys of one length are hashed at once, in one large integer: each has a lane in it, whose lower half is a 32-bit
word, and whose rest takes what a multiplication carries over. So the arithmetic is done by Python's own C code.
"""

from collections.abc import Sequence
from struct import iter_unpack
from typing import Final

_SEED: Final = 0x9747B28C
_FACTOR: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF
_31_BITS: Final = 0x7FFFFFFF
_AT_ONCE: Final = 256
"""The lanes of this number of keys stay in the processor's cache."""


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return for each key the number of the partition that has it, of all `partitions`."""
    by_size: dict[int, list[bytes]] = {}
    for key in keys:
        by_size.setdefault(len(key), []).append(key)
    hashes: dict[bytes, int] = {}
    for size, alike in by_size.items():
        for first in range(0, len(alike), _AT_ONCE):
            some = alike[first : first + _AT_ONCE]
            hashes.update(zip(some, murmur2(some, size), strict=True))
    return [(hashes[key] & _31_BITS) % partitions for key in keys]


def murmur2(keys: Sequence[bytes], size: int) -> list[int]:
    """Return the hash of each key, 32 bits without a sign. All keys have `size` bytes."""
    width = max(8, size)
    fill = bytes(width - size)
    text = int.from_bytes(fill.join(keys) + fill, "little")
    ones = int.from_bytes((b"\1" + bytes(width - 1)) * len(keys), "little")
    words, top = ones * _32_BITS, ones * 0xFF  # masks of each lane
    state = ones * (_SEED ^ size)
    for at in range(0, size - 3, 4):
        mixed = (text >> 8 * at & words) * _FACTOR & words
        mixed = (mixed ^ mixed >> 24 & top) * _FACTOR & words
        state = (state * _FACTOR & words) ^ mixed
    if rest := size & 3:
        state = (state ^ text >> 8 * (size - rest) & ones * ((1 << 8 * rest) - 1)) * _FACTOR & words
    state = (state ^ state >> 13 & ones * (_32_BITS >> 13)) * _FACTOR & words
    state ^= state >> 15 & ones * (_32_BITS >> 15)
    return [word for (word,) in iter_unpack(f"<I{width - 4}x", state.to_bytes(len(keys) * width, "little"))]
