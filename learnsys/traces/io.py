"""Opening, reading and writing traces in any format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from learnsys.errors import InputError
from learnsys.files import atomic_path
from learnsys.traces.blocks import COLUMNS, check_alike, gather, recut
from learnsys.traces.formats import HEAD, detect, formats_by_name, make_format
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.hierarchy import PRIVATE_CACHES, Hierarchy
from learnsys.traces.samples import PREFIX, sample_path
from learnsys.traces.streams import COMPRESSIONS, DEFAULT_LIMIT, Source, compress
from learnsys.traces.trace import Trace

CHUNK = 2**20
"""Accesses in a chunk unless told otherwise."""


class TraceReader:
    """Reads one trace file in chunks, as often as wanted (a pipe only once).

    Attributes:
        path: the file.
        format: name of its format.
        compression: "gzip", "xz", "zstd" or None.
        accesses: how many it holds, None where only reading tells.
        metadata: what the file says about itself.
    """

    def __init__(self, source: Source, form: Format, options: ReadOptions) -> None:
        self.path = source.path
        self.format = form.name
        self.compression = source.compression
        self._source: Source | None = source
        self._pipe = source.size is None
        self._form = form
        self._options = options
        self.accesses, self.metadata = form.describe(source, options)

    def chunks(self, n: int = CHUNK) -> Iterator[Trace]:
        """The accesses from the start, in traces of `n` accesses; only the last may be shorter.

        Raises:
            InputError: at the first damage, with its place; or at the end, if there was no access.
        """
        if n < 1:
            raise InputError(f"chunks of {n} accesses are not possible")
        source, self._source = self._source, None
        if source is None and self._pipe:
            raise InputError("is a pipe, which can be read only once", file=self.path, remedy="store it as a file")
        if source is None:
            source = Source(self.path, self._options.limit_bytes)
        try:
            empty = True
            for chunk in recut(self._form.blocks(source, self._options), n):
                empty = False
                yield chunk
            if empty:
                raise InputError("holds no memory access", file=self.path, remedy="give a file that holds a trace")
        finally:
            source.close()

    def close(self) -> None:
        """Close the file, if it was opened and not read."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def __enter__(self) -> TraceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_trace(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    filter: Hierarchy | None = PRIVATE_CACHES,
    limit_bytes: int = DEFAULT_LIMIT,
) -> TraceReader:
    """Open a trace file, plain or compressed with gzip, xz or zstd.

    Args:
        path: the file, or `sample:NAME` for a packaged sample.
        format: a name in `learnsys.traces.formats.FORMATS`; None finds it from content and name.
        columns: our column name (address or object, pc, store, size, time) -> its name in the file, for formats
            with named columns.
        filter: the private caches that formats holding every load and store (ChampSim, lackey) are passed
            through; None, or one without any level, gives the raw stream.
        limit_bytes: bytes that the file may grow to when it is decompressed or expanded.

    Raises:
        InputError: the file cannot be opened or its format not be told.
    """
    name = os.fspath(path)
    if isinstance(name, str) and name.startswith(PREFIX):
        path = sample_path(name)
    chosen = None if format is None else make_format(format)
    strange = sorted(set(columns or {}) - {*COLUMNS, "object"})
    if strange:
        raise InputError(f"a trace has no column {strange[0]!r}", remedy=f"choose from {', '.join(COLUMNS)} and object")
    source = Source(path, limit_bytes)
    try:
        form = chosen or detect(source.path, source.peek(HEAD))
        if columns and not form.named_columns:
            raise InputError(
                f"is read as {form.name}, which has no names for its columns",
                file=source.path,
                remedy="leave out the columns, or say the format with --format",
            )
        return TraceReader(
            source,
            form,
            ReadOptions(
                columns=dict(columns or {}),
                hierarchy=filter if filter and (filter.l1 or filter.l2) else None,
                limit_bytes=limit_bytes,
            ),
        )
    except BaseException:
        source.close()
        raise


def read_trace(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    filter: Hierarchy | None = PRIVATE_CACHES,
    limit_bytes: int = DEFAULT_LIMIT,
) -> Trace:
    """The whole trace in memory. Arguments and errors are those of `open_trace` and `TraceReader.chunks`."""
    with open_trace(path, format=format, columns=columns, filter=filter, limit_bytes=limit_bytes) as reader:
        return gather(reader.chunks())


def write_trace(
    path: str | os.PathLike[str],
    trace: Trace | Iterable[Trace],
    format: str | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a trace, whole or in chunks, atomically.

    Args:
        path: the file; a suffix .gz, .xz or .zst compresses it (parquet is compressed in itself).
        trace: one trace, or chunks with the same columns.
        format: a name in `learnsys.traces.formats.FORMATS`; None takes it from the file's name.
        metadata: kept with the trace where the format has room for it (parquet).

    Raises:
        InputError: there are no accesses, the format cannot be told or has no writer, or it cannot hold them.
    """
    target = Path(path)
    if format is None:
        own, common = formats_by_name(target)
        writable = [each for each in own + common if each.writable]
        if not writable:
            raise InputError(
                "has a name that tells no format that learnsys writes",
                file=target,
                remedy="name it .parquet, .csv or .oracleGeneral, or give a format",
            )
        form = writable[0]
    else:
        form = make_format(format)
    if target.is_dir():
        raise InputError("is a directory", file=target, remedy="name a file inside it")
    chunks = _alike([trace] if isinstance(trace, Trace) else trace, target)
    packing = [name for name, (_, suffix) in COMPRESSIONS.items() if target.suffix.lower() == suffix]
    if packing and form.packed:
        raise InputError(f"{form.name} is compressed in itself", file=target, remedy=f"leave {target.suffix} off")
    with atomic_path(target) as temporary:
        form.write(temporary, chunks, dict(metadata or {}))
        if packing:
            with atomic_path(temporary) as packed:
                compress(temporary, packed, packing[0])


def _alike(chunks: Iterable[Trace], target: Path) -> Iterator[Trace]:
    first: Trace | None = None
    for chunk in chunks:
        if len(chunk):
            first = first or chunk
            check_alike(first, chunk)
            yield chunk
    if first is None:
        raise InputError("there are no accesses to write", file=target)
