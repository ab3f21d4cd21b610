"""Which partition a key belongs to."""

from __future__ import annotations

from functools import lru_cache

_SEED = 0x9747B28C
_FACTOR = 0x5BD1E995
_WORD = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash of Kafka's default partitioner (org.apache.kafka.common.utils.Utils.murmur2), as 32 bits unsigned."""
    size = len(data)
    found = _SEED ^ size
    whole = size & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _FACTOR & _WORD
        word = (word ^ (word >> 24)) * _FACTOR & _WORD
        found = (found * _FACTOR & _WORD) ^ word
    if size > whole:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _WORD
    found = (found ^ (found >> 13)) * _FACTOR & _WORD
    return found ^ (found >> 15)


@lru_cache(maxsize=1 << 16)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition into which Kafka's default partitioner puts the key, so that a topic can move there."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
