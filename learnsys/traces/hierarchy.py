"""The private caches in front of the last level."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnsys.envs.cache.geometry import CacheGeometry


@dataclass(frozen=True)
class Hierarchy:
    """A first-level data cache and a second level, both LRU and write-allocate."""

    l1: CacheGeometry = field(default_factory=lambda: CacheGeometry(32 * 2**10, 8, 64))
    """32 KiB, 8 ways, 64-byte lines"""
    l2: CacheGeometry = field(default_factory=lambda: CacheGeometry(256 * 2**10, 8, 64))
    """256 KiB, 8 ways, 64-byte lines"""


PRIVATE_CACHES = Hierarchy()
"""The default: what the recorder and the readers of unfiltered streams use."""
