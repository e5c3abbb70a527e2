"""What a trace format is to the rest of learnsys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learnsys.errors import InputError
from learnsys.traces.hierarchy import PRIVATE_CACHES, Hierarchy
from learnsys.traces.streams import DEFAULT_LIMIT, Source
from learnsys.traces.trace import Trace


@dataclass(frozen=True)
class ReadOptions:
    """How a file is read."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """our column name -> the name in the file (formats with named columns)"""
    hierarchy: Hierarchy | None = PRIVATE_CACHES
    """the private caches that a stream of all accesses is passed through; None for the raw stream"""
    limit_bytes: int = DEFAULT_LIMIT
    """bytes that the file may grow to"""


class Format(ABC):
    """A file format. `name` is its name in the registry."""

    summary: str = ""
    """what the format is, in a few words"""
    suffixes: tuple[str, ...] = ()
    """endings of file names that only this format has: lower case, without a suffix of compression"""
    common_suffixes: tuple[str, ...] = ()
    """endings that other formats have, too"""
    needs_name: bool = False
    """whether the content is too plain to be recognised without the suffix"""

    writable: bool = False
    """whether `write` works"""
    named_columns: bool = False
    """whether files name their columns, so that `ReadOptions.columns` has a meaning"""
    packed: bool = False
    """whether the format compresses by itself, so that no other compression goes around it"""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @abstractmethod
    def recognises(self, head: bytes) -> bool:
        """Whether a file that starts with `head` (decompressed; all of it, if short) may be of this format."""

    @abstractmethod
    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        """The accesses, in blocks of any bounded length.

        Raises:
            InputError: naming the file, the place in it and a remedy.
        """

    def describe(self, source: Source, options: ReadOptions) -> tuple[int | None, dict[str, str]]:
        """The number of accesses if it is known before reading, and what the file says about itself."""
        return None, {}

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        """Write blocks of equal columns to `path` (a temporary file that is renamed later).

        Raises:
            InputError: the format has no writer, or cannot hold these accesses.
        """
        raise InputError(f"traces cannot be written as {self.name}", remedy="write parquet, parrot or oraclegeneral")
