"""Bytes of a trace file, decompressed as they are read, in bounded memory and within a budget."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from learnsys.errors import InputError

DEFAULT_LIMIT = 64 * 2**30
"""Bytes that a file may grow to when it is decompressed or expanded."""

COMPRESSIONS = {"gzip": (b"\x1f\x8b", ".gz"), "xz": (b"\xfd7zXZ\0", ".xz"), "zstd": (b"\x28\xb5\x2f\xfd", ".zst")}
"""name -> (first bytes, suffix)"""

_RAW_BLOCK = 2**18
_XZ_MEMORY = 2**30


def compress(plain: Path, target: Path, compression: str) -> None:
    """Write the bytes of `plain` to `target`, compressed ("gzip", "xz" or "zstd"), with a checksum."""

    def packer(file: BinaryIO) -> Any:
        if compression == "gzip":
            return gzip.GzipFile("", "wb", fileobj=file, mtime=0)
        if compression == "xz":
            return lzma.LZMAFile(file, "wb")
        import zstandard

        return zstandard.ZstdCompressor(level=10, write_checksum=True).stream_writer(file, closefd=False)

    with open(plain, "rb") as source, open(target, "wb") as file, packer(file) as packed:
        shutil.copyfileobj(source, packed, _RAW_BLOCK)


class Budget:
    """Counts the bytes that a file has grown to, and stops a bomb.

    Args:
        limit: bytes allowed.
        file: named in the error.
    """

    def __init__(self, limit: int, file: Path) -> None:
        self.limit, self.file, self.spent = limit, file, 0

    def spend(self, amount: int) -> None:
        """Count `amount` more bytes.

        Raises:
            InputError: the limit is passed.
        """
        self.spent += amount
        if self.spent > self.limit:
            raise InputError(
                f"grows to more than {self.limit} bytes when it is decompressed or expanded",
                file=self.file,
                remedy="if the file is meant to be that large, raise the limit (limit_bytes, --limit-bytes)",
            )


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


class _XzStream:
    """Streams of an .xz file, one after the other; unlike `lzma.LZMAFile` it does not pass over damaged ones."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._decoder = self._fresh()
        self._started = False

    @staticmethod
    def _fresh() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._decoder.eof:
                data = self._decoder.unused_data
                while True:  # padding between streams is zero bytes
                    data = data.lstrip(b"\0") or self._raw.read(_RAW_BLOCK)
                    if not data:
                        return b""
                    if data[0]:
                        break
                self._decoder = self._fresh()
            elif self._decoder.needs_input:
                data = self._raw.read(_RAW_BLOCK)
                if not data:
                    raise EOFError("the xz stream is cut off")
            decoded = self._decoder.decompress(data, size)
            if decoded:
                return decoded

    def close(self) -> None:
        self._raw.close()


class Source:
    """Forward reading of a file's bytes, decompressed.

    Args:
        path: a regular file or a pipe.
        limit: decompressed bytes allowed.

    Attributes:
        compression: "gzip", "xz", "zstd" or None, found from the content.
        size: bytes of the file on disk, None for a pipe.
        offset: decompressed bytes read so far.

    Raises:
        InputError: missing, unreadable, empty, a directory or a device, or named as compressed without being so.
    """

    def __init__(self, path: str | os.PathLike[str], limit: int = DEFAULT_LIMIT) -> None:
        self.path = Path(path)
        self.offset = 0
        self.budget = Budget(limit, self.path)
        self._held = b""
        mode = self._stat().st_mode
        self.size = self._stat().st_size if stat.S_ISREG(mode) else None
        if self.size == 0:
            raise InputError("is empty", file=self.path, remedy="give a file that holds a trace")
        raw: Any = self._open()
        first = raw.peek(6)[:6]
        self.compression = next((name for name, (magic, _) in COMPRESSIONS.items() if first.startswith(magic)), None)
        suffix = self.path.suffix.lower()
        if self.compression is None and suffix in [each for _, each in COMPRESSIONS.values()]:
            raw.close()
            raise InputError(
                f"is named {suffix} but is not compressed in any known way",
                file=self.path,
                remedy="fetch it again, or rename it if it is not compressed",
            )
        self._raw = raw
        self._stream: _Readable = raw
        if self.compression == "xz":
            self._stream = _XzStream(raw)
        elif self.compression is not None:
            import pyarrow as pa

            self._stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), self.compression)
        if not self.peek(1):
            self.close()
            raise InputError("holds no data", file=self.path, remedy="give a file that holds a trace")

    def _stat(self) -> os.stat_result:
        try:
            status = self.path.stat()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"cannot be read: {reason}", file=self.path, remedy="check the name") from None
        if stat.S_ISDIR(status.st_mode):
            raise InputError("is a directory", file=self.path, remedy="name a file inside it")
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
            raise InputError("is neither a file nor a pipe", file=self.path, remedy="name a trace file")
        return status

    def _open(self) -> Any:
        try:
            return open(self.path, "rb", buffering=_RAW_BLOCK)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", file=self.path, remedy="check its rights") from None

    def peek(self, size: int) -> bytes:
        """The next `size` bytes (fewer only at the end), without passing over them."""
        while len(self._held) < size:
            more = self._more(size - len(self._held))
            if not more:
                break
            self._held += more
        return self._held[:size]

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the end of the data.

        Raises:
            InputError: the compressed data is damaged or cut off, or the budget is passed.
        """
        data = self.peek(size)
        self._held = self._held[size:]
        self.offset += len(data)
        return data

    def _more(self, size: int) -> bytes:
        with self._clear_errors():
            data = self._stream.read(size)
        if self.compression is not None:
            self.budget.spend(len(data))
        return data

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, ValueError, lzma.LZMAError, MemoryError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            if self.compression is None:
                raise InputError(
                    f"cannot be read: {reason}", file=self.path, place=self.place(self.offset + len(self._held))
                ) from None
            raise InputError(
                f"the {self.compression} data is cut off or damaged ({reason})",
                file=self.path,
                place=self.place(self.offset + len(self._held)),
                remedy="fetch or make the file again",
            ) from None

    def place(self, offset: int) -> str:
        """A byte offset in words."""
        return f"byte {offset}{' of the decompressed data' if self.compression else ''}"

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._stream.close()
        self._raw.close()
