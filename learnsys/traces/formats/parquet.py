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
_TYPES = {"address": COLUMNS["address"], "object": COLUMNS["address"], **COLUMNS}
_DICTIONARIES = ("pc", "size")
_ENCODINGS = {"address": "BYTE_STREAM_SPLIT", "object": "BYTE_STREAM_SPLIT", "time": "DELTA_BINARY_PACKED"}
_ROWS = 2**20
_READ_ROWS = 2**18


class Parquet(Format):
    """Columns `address` or `object` (byte addresses or object ids), and `pc`, `store`, `size`, `time` where known.

    Files written here carry, under the metadata key "learnsys", a JSON object with the version, the number of
    accesses and a CRC-32 of each column, which reading verifies at the end. Other parquet files are read too: any
    integer type serves (int64 is taken as the bits of a uint64).
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
            return file.metadata.num_rows, {} if notes is None else notes["metadata"]

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        path = source.path
        budget = Budget(options.limit_bytes, path)
        with _opened(source) as file:
            notes = _notes(path, file.metadata.metadata)
            chosen = _choose(path, file.schema_arrow.names, options.columns)
            sums = dict.fromkeys(chosen, 0)
            row = 0
            for batch in file.iter_batches(_READ_ROWS, columns=list(chosen.values()), use_threads=False):
                budget.spend(batch.nbytes)
                block: dict[str, Any] = {
                    ours: _column(batch.column(theirs), ours, path, row) for ours, theirs in chosen.items()
                }
                for ours, column in block.items():
                    sums[ours] = zlib.crc32(column.tobytes(), sums[ours])
                row += batch.num_rows
                objects = block.pop("object", None)
                yield Trace(**block) if objects is None else Trace(address=objects, objects=True, **block)
            if row != file.metadata.num_rows:
                raise _damaged(path, f"it holds {row} accesses where it announces {file.metadata.num_rows}")
            if notes is not None and row != notes["accesses"]:
                raise _damaged(path, f"it holds {row} accesses where {notes['accesses']} were written")
            if notes is not None and not options.columns and sums != notes["crc32"]:
                raise _damaged(path, "it holds other columns or values than were written")

    def write(self, path: Path, blocks: Iterator[Trace], metadata: Mapping[str, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        writer = None
        row = 0
        sums: dict[str, int] = {}
        try:
            for block in recut(blocks, _ROWS):
                columns = columns_of(block)
                if block.objects:
                    columns = {"object" if name == "address" else name: each for name, each in columns.items()}
                if writer is None:
                    sums = dict.fromkeys(columns, 0)
                    schema = pa.schema([(name, pa.from_numpy_dtype(_TYPES[name])) for name in columns])
                    writer = pq.ParquetWriter(
                        path,
                        schema,
                        compression="zstd",
                        compression_level=19,
                        use_dictionary=[name for name in _DICTIONARIES if name in columns],
                        column_encoding={name: each for name, each in _ENCODINGS.items() if name in columns},
                        write_page_checksum=True,
                    )
                for name, column in columns.items():
                    sums[name] = zlib.crc32(column.astype(_TYPES[name], copy=False).tobytes(), sums[name])
                row += len(block)
                writer.write_table(pa.table(columns, schema=schema), row_group_size=_ROWS)
            if writer is not None:
                notes = {"version": VERSION, "accesses": row, "crc32": sums, "metadata": dict(metadata)}
                writer.add_key_value_metadata({_KEY: sealed(notes)})
        finally:
            if writer is not None:
                writer.close()


def sealed(notes: dict[str, Any]) -> str:
    """What a file says about itself, as JSON with a checksum."""
    plain = json.dumps(notes, sort_keys=True)
    return json.dumps({**notes, "check": zlib.crc32(plain.encode())}, sort_keys=True)


def _notes(path: Path, metadata: Mapping[bytes, bytes] | None) -> dict[str, Any] | None:
    """What a file says about itself; None in files that learnsys did not write.

    Raises:
        InputError: it is damaged, or of a version that is not known.
    """
    if not metadata or _KEY not in metadata:
        return None
    try:
        notes = json.loads(metadata[_KEY])
        check = notes.pop("check")
        good = check == zlib.crc32(json.dumps(notes, sort_keys=True).encode())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise _damaged(path, "its learnsys metadata are not as written")
    if notes["version"] != VERSION:
        raise InputError(
            f"is a learnsys trace of version {notes['version']}; this learnsys knows {VERSION}",
            file=path,
            remedy="upgrade learnsys",
        )
    return notes


def _choose(path: Path, names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our column name ("address" or "object", and others) -> the file's.

    Raises:
        InputError: a wanted column is missing, or it is open which one is meant.
    """
    remedy = "name its columns, as in columns={'address': 'vaddr'} or --columns address=vaddr"
    wanted = {name: given.get(name, name) for name in _TYPES}
    if "address" in given or "object" in given:
        wanted = {name: each for name, each in wanted.items() if name in given or name not in ("address", "object")}
    for name in given:
        if given[name] not in names:
            raise InputError(f"has no column {given[name]!r}, only {', '.join(names)}", file=path, remedy=remedy)
    chosen = {ours: theirs for ours, theirs in wanted.items() if theirs in names}
    if ("address" in chosen) == ("object" in chosen):
        what = "both an address and an object" if "address" in chosen else "no address or object"
        raise InputError(f"has {what} column: {', '.join(names)}", file=path, remedy=remedy)
    return chosen


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
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise _damaged(source.path, f"it is cut off, altered, or no parquet file ({reason})") from None


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
    wanted = pa.from_numpy_dtype(_TYPES[name])
    if _TYPES[name] is np.uint64 and pa.types.is_signed_integer(values.type):
        return np.array(values.cast(pa.int64()).to_numpy(zero_copy_only=False)).view(np.uint64)
    if not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise InputError(f"is of type {values.type}, not integer", file=path, place=place, remedy="convert it")
    try:
        return np.array(values.cast(wanted).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid as error:
        raise InputError(f"has a value out of range ({error})", file=path, place=place, remedy="convert it") from None


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"is damaged: {reason}", file=path, remedy="fetch or make the file again")
