"""The lcs format of libCacheSim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.traces.formats.records import Check, Layout, Records
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

_MAGIC = 0x123456789ABCDEF0
_MAGIC_BYTES = _MAGIC.to_bytes(8, "little")

_SPELLED_HEADER = np.dtype(
    [
        ("start_magic", "<u8"),
        ("format", "S240"),
        ("id", "u1"),
        ("size", "u1"),
        ("time", "u1"),
        ("last", "u1"),
        ("next", "u1"),
        ("op", "u1"),
        ("reserved", "V234"),
        ("requests", "<i8"),
        ("statistics", "V504"),
        ("fields", "<u4"),
        ("item_size", "<u4"),
        ("version", "<u8"),
        ("end_magic", "<u8"),
    ]
)
"""1024 bytes: the layout of a record as a string of `struct` codes, and the numbers, from 1, of its fields."""

_VERSIONED_HEADER = np.dtype(
    [
        ("start_magic", "<u8"),
        ("version", "<u8"),
        ("statistics_version", "<i8"),
        ("requests", "<i8"),
        ("statistics", "V8152"),
        ("end_magic", "<u8"),
    ]
)
"""8192 bytes: the version fixes the layout of a record."""

_V1 = [("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")]
_V2 = [("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("op", "u1"), ("tenant", "V3"), ("next", "<i8")]
_V3 = [*_V2[:2], ("size", "<i8"), *_V2[3:5], ("ttl", "<u4"), ("next", "<i8")]
_VERSIONS = {version: np.dtype(fields) for version, fields in ((1, _V1), (2, _V2), (3, _V3))} | {
    version: np.dtype([*_V3, ("features", f"V{4 * features}")])
    for version, features in ((4, 1), (5, 2), (6, 4), (7, 8), (8, 16))
}
_CODES = dict(
    zip("cbBhHiIqQfd", ("i1", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"), strict=True)
)
"""`struct` code -> NumPy type"""
_OURS = ("id", "size", "time", "op")
_WRITES = (3, 4, 5, 6, 7, 8, 10, 11, 13, 14)
"""Operations set, add, cas, replace, append, prepend, incr, decr, write and update."""


class Lcs(Records):
    """A header and records, in both forms that libCacheSim has had: a header of 1024 bytes that spells the record's
    layout out, and one of 8192 bytes with versions 1 to 8. The number of requests in the header must hold.
    """

    summary = "libCacheSim lcs"
    suffixes = (".lcs",)

    def recognises(self, head: bytes) -> bool:
        return head.startswith(_MAGIC_BYTES)

    def layout(self, source: Source) -> Layout:
        head = source.peek(_VERSIONED_HEADER.itemsize)

        def wrong(reason: str, place: str = "header") -> InputError:
            return InputError(reason, file=source.path, place=place, remedy="fetch or make the file again")

        if not head.startswith(_MAGIC_BYTES):
            raise wrong("does not begin like an lcs trace", "byte 0")
        for header in (_VERSIONED_HEADER, _SPELLED_HEADER):
            if len(head) >= header.itemsize:
                fields = np.frombuffer(head, header, 1)[0]
                if fields["end_magic"] == _MAGIC:
                    break
        else:
            raise wrong("has no whole lcs header, of 8192 or 1024 bytes: it is cut off or damaged")
        requests = int(fields["requests"])
        if requests < 0:
            raise wrong(f"promises {requests} requests")
        if header is _VERSIONED_HEADER:
            if int(fields["version"]) not in _VERSIONS:
                raise wrong(f"is of lcs version {fields['version']}; known are 1 to {max(_VERSIONS)}", "byte 8")
            record = _VERSIONS[int(fields["version"])]
        else:
            record = _spelled(fields, wrong)
        return Layout(record, header.itemsize, requests or None)

    def decode(self, records: NDArray[np.void], first: int, check: Check) -> Trace:
        def column(name: str, kind: type, low: int, high: int) -> Any:
            if name not in (records.dtype.names or ()):
                return None
            check((records[name] < low) | (records[name] > high), f"has a {name} outside {low} to {high}")
            return records[name].astype(kind)

        op = column("op", np.int64, 0, 255)
        return Trace(
            address=records["id"].astype(np.uint64),
            store=None if op is None else np.isin(op, _WRITES),
            size=column("size", np.uint32, 0, 2**32 - 1),
            time=column("time", np.int64, 0, 2**63 - 1),
            objects=True,
        )


def _spelled(header: np.void, wrong: Callable[[str, str], InputError]) -> np.dtype:
    """The layout of a record that the header of 1024 bytes spells out."""
    text = bytes(header["format"])
    codes = text[1:].decode("ascii", "replace")
    if not text.startswith(b"<") or not codes or set(codes) - set(_CODES) or int(header["fields"]) != len(codes):
        raise wrong(f"spells its records as {text[:40]!r} with {header['fields']} fields", "byte 8")
    numbers = {name: int(header[name]) for name in _OURS if header[name]}
    names = {number - 1: name for name, number in numbers.items()}
    if "id" not in numbers or len(names) < len(numbers) or max(names) >= len(codes):
        raise wrong(f"numbers its fields as {numbers}, of {len(codes)}", "byte 248")
    if any(codes[index] in "fd" for index in names):
        raise wrong("has an id, size, time or operation that is no whole number", "byte 248")
    record = np.dtype([(names.get(i, f"field{i}"), _CODES[code]) for i, code in enumerate(codes)])
    if record.itemsize != int(header["item_size"]):
        raise wrong(f"has records of {header['item_size']} bytes whose fields take {record.itemsize}", "byte 1004")
    return record
