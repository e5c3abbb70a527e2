"""The private caches in front of the last level."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
from learnsys.errors import InputError


@dataclass(frozen=True)
class Hierarchy:
    """A first-level data cache and a second level, both LRU and write-allocate; None leaves a level out.

    Raises:
        InputError: the two differ in their line size.
    """

    l1: CacheGeometry | None = field(default_factory=lambda: CacheGeometry(32 * 2**10, 8, 64))
    """32 KiB, 8 ways, 64-byte lines"""
    l2: CacheGeometry | None = field(default_factory=lambda: CacheGeometry(256 * 2**10, 8, 64))
    """256 KiB, 8 ways, 64-byte lines"""

    def __post_init__(self) -> None:
        if self.l1 and self.l2 and self.l1.line_size != self.l2.line_size:
            raise InputError("the two private levels differ in their line size", remedy="give both the same")

    @property
    def line_bits(self) -> int:
        """log2 of the bytes in a line; 0 without any level."""
        level = self.l1 or self.l2
        return level.line_bits if level else 0


PRIVATE_CACHES = Hierarchy()
"""The default: what the recorder and the readers of unfiltered streams use."""


def parse_level(text: str, line_size: int = 64) -> CacheGeometry | None:
    """A level written as CAPACITY:WAYS (32KiB:8), or "none".

    Raises:
        InputError: it is neither, or no cache has that shape.
    """
    if text.lower() == "none":
        return None
    capacity, _, ways = text.partition(":")
    if not ways.isdecimal():
        raise InputError(f"{text!r} is no cache", remedy="write it as CAPACITY:WAYS, such as 32KiB:8, or none")
    return CacheGeometry(parse_bytes(capacity), int(ways), line_size)
