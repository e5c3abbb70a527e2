"""CSV with a header line that names the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping

from learnsys.errors import InputError
from learnsys.traces.blocks import COLUMNS
from learnsys.traces.formats.base import Format, ReadOptions
from learnsys.traces.formats.text import first_lines
from learnsys.traces.streams import Source
from learnsys.traces.trace import Trace

NAMES = {
    "address": ("address", "addr", "vaddr", "virtual_address"),
    "object": ("object", "object_id", "obj", "obj_id", "id", "key", "block", "lbn"),
    "pc": ("pc", "ip", "program_counter", "instruction_pointer"),
    "store": ("store", "is_store", "write", "is_write", "rw", "op"),
    "size": ("size", "obj_size", "object_size", "bytes"),
    "time": ("time", "timestamp", "clock_time", "ts"),
}
"""Our columns and the names, in any case, by which a header is understood."""
_KNOWN = {name for names in NAMES.values() for name in names}
_LIMITS = {"size": 2**32 - 1, "time": 2**63 - 1, "store": 1}
_MAX_HEADER = 2**16


class NamedCsv(Format):
    """A header and lines of decimal numbers, or hexadecimal ones after 0x, between commas, semicolons or tabs.

    Needs a column of byte addresses or of object ids; takes pc, store (0/1, r/w, read/write, load/store, get/set),
    size and time where it finds them, and drops other columns. `columns` tells it other names.
    """

    summary = "CSV with a header line that names the columns"
    named_columns = True
    common_suffixes = (".csv", ".tsv")

    def recognises(self, head: bytes) -> bool:
        names = _split(first_lines(head)[0])[0]
        return any(name.lower() in _KNOWN for name in names) and all(re.match(r"[A-Za-z_]", name) for name in names)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Trace]:
        from learnsys.traces.parsing import Field, Kind, rows

        header, delimiter = self._header(source)
        place = {name: header.index(theirs) for name, theirs in _choose(source, header, options.columns).items()}
        order = list(place)
        fields = [Field(Kind.SKIP)] * len(header)
        for target, (name, index) in enumerate(place.items()):
            kind = Kind.WORD if name == "store" else Kind.NUMBER
            fields[index] = Field(kind, target, _LIMITS.get(name, 2**64 - 1))
        objects = "object" in order
        order = ["address" if name == "object" else name for name in order]
        for part in rows(source, fields, delimiter=delimiter, before=1):
            columns = {name: part[i].astype(COLUMNS[name]) for i, name in enumerate(order)}
            yield Trace(objects=objects, **columns)

    @staticmethod
    def _header(source: Source) -> tuple[list[str], str]:
        head = source.peek(_MAX_HEADER)
        end = head.find(b"\n") + 1 or len(head)
        if end == _MAX_HEADER:
            raise InputError("has no header line", file=source.path, place="line 1", remedy="name its columns there")
        return _split(source.read(end))


def _split(line: bytes) -> tuple[list[str], str]:
    """The names in a header line, and the delimiter between them."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    delimiter = max(",;\t", key=text.count)
    try:
        return [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])], delimiter
    except csv.Error:
        return [text], delimiter


def _choose(source: Source, header: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Our column name -> the header's name for it.

    Raises:
        InputError: a column is not there, there twice, or the header leaves open which column is meant.
    """
    remedy = "say which, as in columns={'address': 'vaddr'} or --columns address=vaddr"
    chosen: dict[str, str] = {}
    for ours, names in NAMES.items():
        if ours in given:
            found = [name for name in header if name == given[ours]]
            if not found:
                raise InputError(
                    f"has no column {given[ours]!r}, only {', '.join(header)}", file=source.path, remedy=remedy
                )
        else:
            found = [name for name in header if name.lower() in names and name not in given.values()]
        if (
            ours in ("address", "object")
            and found
            and not {"address", "object"}.isdisjoint(given)
            and ours not in given
        ):
            continue
        if len(found) > 1:
            raise InputError(
                f"has several columns for {ours}: {', '.join(found)}", file=source.path, place="line 1", remedy=remedy
            )
        if found:
            chosen[ours] = found[0]
    if ("address" in chosen) == ("object" in chosen):
        what = "both an address and an object" if "address" in chosen else "no address or object"
        raise InputError(
            f"has {what} column: {', '.join(header)[:200]}", file=source.path, place="line 1", remedy=remedy
        )
    return chosen
