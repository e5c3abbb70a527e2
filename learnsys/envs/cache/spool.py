"""Traces too large for memory, made ready for simulation in one pass over their chunks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import NEVER, Accesses, DenseIds, _next_use
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.traces.trace import Trace

_BLOCK = 2**22


class Spool:
    """Dense ids and next uses of a trace, in unnamed temporary files that vanish with this object.

    Memory holds the distinct lines only; the files take 16 bytes for each access (24 with object sizes).

    Args:
        chunks: the trace in consecutive parts.
        line_size: bytes in a line, a power of two; 1 for ids of objects.
        folder: where the files are made; None is the system's temporary folder.

    Attributes:
        accesses: how many there are.
        line: dense line (or object) ids, int32 (accesses,), memory-mapped like all arrays here.
        pc: dense program-counter ids, int32 (accesses,); all 0 where the trace has none.
        next_use: index of the next access to the same line or NEVER, int32 (accesses,).
        size: bytes of the object in each access, int64 (accesses,), or None.
        line_number, pc_value: what each dense id stands for, uint64.

    Raises:
        InputError: no accesses, too many (2^31 - 1), or chunks with and without sizes.
    """

    def __init__(
        self, chunks: Iterable[Trace], line_size: int = 64, folder: str | os.PathLike[str] | None = None
    ) -> None:
        self._folder = folder
        shift = np.uint64(line_size.bit_length() - 1)
        lines, pcs = DenseIds(), DenseIds()
        line_file, pc_file, size_file = self._file(), self._file(), self._file()
        self.accesses = sized = 0
        for chunk in chunks:
            line_file.write(lines.map(chunk.address >> shift).data)
            pc_file.write(pcs.map(np.zeros(len(chunk), np.uint64) if chunk.pc is None else chunk.pc).data)
            if chunk.size is not None:
                size_file.write(chunk.size.astype(np.int64).data)
                sized += len(chunk)
            self.accesses += len(chunk)
        if self.accesses == 0:
            raise InputError("the trace holds no accesses")
        if self.accesses >= NEVER:
            raise InputError(
                f"a trace of {self.accesses} accesses is too long", remedy="split it below 2^31 - 1 accesses"
            )
        if sized not in (0, self.accesses):
            raise InputError("only some chunks of the trace have object sizes")
        self.line_number, self.pc_value = lines.values.copy(), pcs.values.copy()
        self.line = self._map(line_file, np.int32)
        self.pc = self._map(pc_file, np.int32)
        self.size = self._map(size_file, np.int64) if sized else None
        self.next_use = self._map(self._file(), np.int32)
        upcoming = np.full(self.line_number.size, NEVER, np.int32)
        for start in reversed(range(0, self.accesses, _BLOCK)):
            part = slice(start, start + _BLOCK)
            _next_use(self.line[part], self.next_use[part], upcoming, start)

    def at(self, geometry: CacheGeometry) -> Accesses:
        """The accesses as a cache of that geometry sees them; its lines must be of the size spooled."""
        row = self._map(self._file(), np.int32)
        set_of = (self.line_number & np.uint64(geometry.sets - 1)).astype(np.int32)
        for start in range(0, self.accesses, _BLOCK):
            part = slice(start, start + _BLOCK)
            row[part] = set_of[self.line[part]]
        return Accesses(self.line, self.pc, row, self.next_use, self.line_number, self.pc_value)

    def footprint(self) -> int:
        """Bytes of all distinct objects, each with the size of its last access."""
        bytes_of = np.zeros(self.line_number.size, np.int64)
        if self.size is not None:
            for start in range(0, self.accesses, _BLOCK):
                part = slice(start, start + _BLOCK)
                bytes_of[self.line[part]] = self.size[part]
        return int(bytes_of.sum())

    def _file(self) -> IO[bytes]:
        return tempfile.TemporaryFile(prefix="learnsys-", dir=self._folder)

    def _map(self, file: IO[bytes], dtype: type[np.generic]) -> NDArray:
        """All of `file` as one array, lengthened to one place for each access."""
        file.flush()
        size = self.accesses * np.dtype(dtype).itemsize
        if hasattr(os, "posix_fallocate"):  # a full disk is an error here; in a mapped hole it would kill the process
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=(self.accesses,)).view(np.ndarray)
