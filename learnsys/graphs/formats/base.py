"""What a graph format is, and the text that its readers work on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.graphs.graph import Graph, check_memory

WEIGHTS = "it has weights, and learnsys counts vertices"


@dataclass(frozen=True, eq=False)
class Numbers:
    """The whole numbers of a text by line. Lines that were passed over are left out."""

    values: NDArray[np.int64]
    starts: NDArray[np.int64]
    """(lines + 1,)"""
    lines: NDArray[np.int64]
    """(lines,): numbers of the lines, from 1"""
    special: list[tuple[int, int]] = field(default_factory=list)
    """byte offset and line number of the special lines"""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(lines,): numbers in each."""
        return np.diff(self.starts)

    def after(self, line: int) -> Numbers:
        """What follows the `line`-th line that is kept."""
        begin = self.starts[line + 1]
        return Numbers(self.values[begin:], self.starts[line + 1 :] - begin, self.lines[line + 1 :])

    def row(self, line: int) -> NDArray[np.int64]:
        """The numbers of the `line`-th line that is kept."""
        return self.values[self.starts[line] : self.starts[line + 1]]


@dataclass(frozen=True, eq=False)
class GraphFile:
    """A file's whole content."""

    path: Path
    data: bytes

    def fail(self, message: str, line: int | None = None, remedy: str | None = None) -> NoReturn:
        """Raise the `InputError` that names this file."""
        place = None if line is None else f"line {line}"
        raise InputError(message, file=self.path, place=place, remedy=remedy) from None

    def numbers(
        self, *, comments: bytes = b"", leads: bytes = b"", special: bytes = b"", blanks: bytes = b""
    ) -> Numbers:
        """The numbers of the text.

        Args:
            comments: first bytes of lines that are passed over.
            leads: first bytes that numbers may follow.
            special: first bytes of lines that are reported.
            blanks: what separates numbers beside blanks and tabs.

        Raises:
            InputError: there is something else than whole numbers from 0 to 2^63 - 1, or too many for the memory.
        """
        from learnsys.graphs.formats import parsing_kernel as kernel

        data = np.frombuffer(self.data, np.uint8)
        kinds, blank = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
        for kind, which in ((kernel.COMMENT, comments), (kernel.LEAD, leads), (kernel.SPECIAL, special)):
            kinds[list(which)] = kind
        blank[list(b" \t\r\v\f" + blanks)] = 1
        n_values, n_lines, n_special = kernel.count(data, kinds, blank)
        check_memory(n_lines, n_values, self.path)
        values, starts, lines = (np.empty(k, np.int64) for k in (n_values, n_lines + 1, n_lines))
        found = np.empty((n_special, 2), np.int64)
        n_values, n_lines, n_special, fault, line = kernel.parse(data, kinds, blank, values, starts, lines, found)
        if fault != kernel.FINE:
            self.fail(f"{self.text(line)} {_FAULTS[fault]}", line, "mend the line or name the right --format")
        where = [(int(offset), int(line)) for offset, line in found[:n_special]]
        return Numbers(values[:n_values], starts[: n_lines + 1], lines[:n_lines], where)

    def text(self, line: int) -> str:
        """What stands in a line, in quotes and shortened."""
        content = self.data.split(b"\n", line)[line - 1].strip()
        short = content[:40].decode(errors="replace")
        return repr(short + "..." if len(content) > 40 else short)

    def edges(self, numbers: Numbers, *, first: int, nodes: int | None) -> NDArray[np.int64]:
        """The lines' pairs of vertices, (m, 2), counted from 0; empty lines aside.

        Args:
            first: what the file's vertices are counted from.
            nodes: how many there are, None for any number.

        Raises:
            InputError: a line does not hold two numbers, or one that is no vertex.
        """
        counts = numbers.counts
        wrong = np.flatnonzero((counts != 2) & (counts != 0))
        if wrong.size:
            line, count = int(numbers.lines[wrong[0]]), int(counts[wrong[0]])
            if count == 3:
                self.fail(f"{self.text(line)} holds a third number: {WEIGHTS}", line, "take the weights out")
            self.fail(f"{self.text(line)} does not name two vertices", line, "mend the line or name the right --format")
        pairs = numbers.values.reshape(-1, 2) - first
        outside = (pairs < 0) | (pairs >= (2**62 if nodes is None else nodes))
        if outside.any():
            row, column = np.argwhere(outside)[0]
            line = int(numbers.lines[np.flatnonzero(counts)[row]])
            last = "any" if nodes is None else str(nodes - 1 + first)
            self.fail(f"vertex {pairs[row, column] + first} is outside of {first} to {last}", line, "mend the line")
        return pairs


_FAULTS = (
    "",
    "holds something that is no whole number",
    "holds a number below 0",
    "holds a number beyond 64 bits",
)


class GraphFormat(ABC):
    """A file format. `name` is its name in the registry."""

    summary: str = ""
    """what the format is, in a few words"""
    suffixes: tuple[str, ...] = ()
    """endings of file names, in lower case"""
    writable: bool = False
    """whether `write` works"""
    many: bool = False
    """whether a file holds many graphs"""

    def __init__(self, name: str) -> None:
        self.name = name

    def recognises(self, head: bytes) -> bool:
        """Whether a file that starts with `head` is surely of this format."""
        return False

    @abstractmethod
    def read(self, file: GraphFile) -> list[Graph]:
        """The graphs of a file: one, unless `many`.

        Raises:
            InputError: naming the file, the line and a remedy.
        """

    def write(self, graph: Graph) -> bytes:
        """A file's content.

        Raises:
            InputError: the format has no writer.
        """
        raise InputError(f"graphs cannot be written as {self.name}", remedy="write dimacs, pace, metis or edges")
