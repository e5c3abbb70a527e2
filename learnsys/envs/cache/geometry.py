"""The shape of a set-associative cache."""

from __future__ import annotations

import re
from dataclasses import dataclass

from learnsys.errors import InputError

_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_bytes(text: str | int) -> int:
    """Bytes of a size such as `2MiB`, `512k` or `4096` (units are powers of 1024).

    Raises:
        InputError: `text` is no positive size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(text).strip().lower())
    size = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if size < 1 or size != int(size):
        raise InputError(f"{text!r} is not a size in bytes", remedy="write it like 2MiB, 512KiB or 4096")
    return int(size)


@dataclass(frozen=True)
class CacheGeometry:
    """A cache of `capacity` bytes in `ways`-way sets of `line_size`-byte lines.

    Raises:
        InputError: capacity, line size or the number of sets is not a power of two.
    """

    capacity: int = 2 * 2**20
    """bytes held in all"""
    ways: int = 16
    """lines in a set (any number, as long as the number of sets is a power of two)"""
    line_size: int = 64
    """bytes in a line"""

    def __post_init__(self) -> None:
        if self.ways < 1 or self.line_size < 1 or self.capacity < 1:
            raise InputError("capacity, ways and line size must be at least 1")
        if self.line_size & (self.line_size - 1):
            raise InputError(f"a line of {self.line_size} bytes is no power of two", remedy="use 32, 64 or 128")
        sets, rest = divmod(self.capacity, self.ways * self.line_size)
        if rest or sets < 1 or sets & (sets - 1):
            raise InputError(
                f"{self.capacity} bytes in {self.ways} ways of {self.line_size}-byte lines make "
                f"{self.capacity / (self.ways * self.line_size):g} sets, which is no power of two",
                remedy="choose capacity = sets x ways x line size with a power of two of sets",
            )

    @property
    def sets(self) -> int:
        return self.capacity // (self.ways * self.line_size)

    @property
    def line_bits(self) -> int:
        return self.line_size.bit_length() - 1
