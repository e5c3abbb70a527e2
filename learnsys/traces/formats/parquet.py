"""The on-disk form of learnsys: parquet, compressed with zstd, with a checksum of its own."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from learnsys.errors import InputError
from learnsys.traces.blocks import COLUMNS, columns_of, recut
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.streams import Budget, Source
from learnsys.traces.trace import Trace

MAGIC = b"PAR1"
VERSION = 1
_KEY = b"learnsys"
_ROWS = 2**20
_READ_ROWS = 2**18


class Parquet(Format):
    """Columns `address` (required), `pc`, `store`, `size`, `time`.

    Files written here carry, under the metadata key "learnsys", a JSON object with the version, whether addresses
    are object ids, the number of accesses and a CRC-32 of each column, which reading verifies at the end. Other
    parquet files are read too: any integer type serves (int64 is taken as the bits of a uint64).
    """

    summary = "learnsys parquet"
    suffixes = (".parquet",)
    packed = True
    named_columns = True
    writable = True

    def recognises(self, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def describe(self, source: Source, options: ReadOptions) -> tuple[int | None, dict[str, str]]:
        with _opened(source) as file:
            notes = _notes(source.path, file.metadata.metadata)
            return file.metadata.num_rows, {str(k): str(v) for k, v in notes.get("metadata", {}).items()}

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        path = source.path
        budget = Budget(options.limit_bytes, path)
        with _opened(source) as file:
            notes = _notes(path, file.metadata.metadata)
            found = {name: options.columns.get(name, name) for name in COLUMNS}
            objects = bool(notes.get("objects", False))
            if "object" in options.columns:
                found["address"], objects = options.columns["object"], True
            missing = [
                name
                for ours, name in found.items()
                if name not in file.schema_arrow.names and (ours == "address" or ours in options.columns)
            ]
            if missing:
                raise InputError(
                    f"has no column {missing[0]!r}, only {', '.join(file.schema_arrow.names)}",
                    file=path,
                    remedy="name its columns, as in columns={'address': 'vaddr'} or --columns address=vaddr",
                )
            found = {ours: name for ours, name in found.items() if name in file.schema_arrow.names}
            sums = dict.fromkeys(found, 0)
            row = 0
            for batch in file.iter_batches(_READ_ROWS, columns=list(found.values()), use_threads=False):
                budget.spend(batch.nbytes)
                block = {ours: _column(batch.column(name), ours, path, row) for ours, name in found.items()}
                for ours, column in block.items():
                    sums[ours] = zlib.crc32(column.tobytes(), sums[ours])
                row += batch.num_rows
                yield Trace(objects=objects, **block)
            _verify(path, notes, row, file.metadata.num_rows, sums if not options.columns else {})

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        writer = None
        objects, row, sums = False, 0, {}
        try:
            for block in recut(blocks, _ROWS):
                columns = columns_of(block)
                if writer is None:
                    objects, sums = block.objects, dict.fromkeys(columns, 0)
                    schema = pa.schema([(name, pa.from_numpy_dtype(COLUMNS[name])) for name in columns])
                    plain = {"address": "BYTE_STREAM_SPLIT", "time": "DELTA_BINARY_PACKED"}
                    writer = pq.ParquetWriter(
                        path,
                        schema,
                        compression="zstd",
                        compression_level=19,
                        use_dictionary=[name for name in ("pc", "size") if name in columns],
                        column_encoding={name: plain[name] for name in plain if name in columns},
                        write_page_checksum=True,
                    )
                for name, column in columns.items():
                    sums[name] = zlib.crc32(column.astype(COLUMNS[name], copy=False).tobytes(), sums[name])
                row += len(block)
                writer.write_table(pa.table(columns, schema=schema), row_group_size=_ROWS)
            if writer is not None:
                notes = {
                    "version": VERSION,
                    "objects": objects,
                    "accesses": row,
                    "crc32": sums,
                    "metadata": dict(metadata),
                }
                writer.add_key_value_metadata({_KEY: json.dumps(notes, sort_keys=True)})
        finally:
            if writer is not None:
                writer.close()


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`, with Arrow's errors made clear."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if source.compression is not None or source.size is None:
        raise InputError(
            "is a parquet file inside another compression, or in a pipe",
            file=source.path,
            remedy="store it as a plain file; parquet is compressed in itself",
        )
    try:
        with pq.ParquetFile(source.path, page_checksum_verification=True) as file:
            yield file
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"is damaged or cut off, or no parquet file ({reason})",
            file=source.path,
            remedy="fetch or make the file again",
        ) from None


def _notes(path: Path, metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    if not metadata or _KEY not in metadata:
        return {}
    try:
        notes = json.loads(metadata[_KEY])
        version = notes["version"]
        if not isinstance(notes.get("metadata", {}), dict) or not isinstance(notes.get("crc32", {}), dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError("has damaged learnsys metadata", file=path, remedy="fetch or make the file again") from None
    if version != VERSION:
        raise InputError(
            f"is a learnsys trace of version {version!r}, this learnsys knows {VERSION}",
            file=path,
            remedy="upgrade learnsys",
        )
    return notes


def _column(values: Any, name: str, path: Path, row: int) -> np.ndarray:
    """One column of a batch, in our type, writable (Numba's compiled signatures want that).

    Raises:
        InputError: nulls, no integers, or numbers out of range.
    """
    import pyarrow as pa

    place = f"rows {row} to {row + len(values) - 1}: column {name!r}"
    if values.null_count:
        raise InputError("has empty values", file=path, place=place, remedy="fill them or drop the rows")
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    wanted = pa.from_numpy_dtype(COLUMNS[name])
    if name in ("address", "pc") and pa.types.is_signed_integer(values.type):
        return np.array(values.cast(pa.int64()).to_numpy(zero_copy_only=False)).view(np.uint64)
    if not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise InputError(f"is of type {values.type}, not integer", file=path, place=place, remedy="convert it")
    try:
        return np.array(values.cast(wanted).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid as error:
        raise InputError(f"has a value out of range ({error})", file=path, place=place, remedy="convert it") from None


def _verify(path: Path, notes: dict[str, Any], row: int, rows: int, sums: dict[str, int]) -> None:
    wrong = None
    if row != rows or row != notes.get("accesses", row):
        wrong = f"holds {row} accesses where {notes.get('accesses', rows)} were written"
    for name, checksum in sums.items():
        if notes and notes.get("crc32", {}).get(name) != checksum:
            wrong = f"has other values in column {name!r} than were written"
    if wrong:
        raise InputError(f"is damaged: it {wrong}", file=path, remedy="fetch or make the file again")
