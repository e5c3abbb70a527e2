"""Plain, slow readers of the trace formats, written from their descriptions: the fast readers must agree with them.

Each takes the bytes of a file and gives columns as lists, or raises ValueError where the file is malformed.
"""

from __future__ import annotations

import csv
import re
import struct
from collections.abc import Callable, Iterator

from learnsys.traces.formats.csv import NAMES

Columns = dict[str, list[int]]

_BLANKS = b" \t\r"
_WRITES = {3, 4, 5, 6, 7, 8, 10, 11, 13, 14}
_FLAGS = {b"0": 0, b"r": 0, b"read": 0, b"load": 0, b"get": 0, b"false": 0} | {
    b"1": 1, b"w": 1, b"write": 1, b"store": 1, b"set": 1, b"true": 1
}  # fmt: skip


def _lines(data: bytes) -> Iterator[bytes]:
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if line.strip(_BLANKS):
            yield line.strip(_BLANKS)


def _unquoted(field: bytes) -> bytes:
    field = field.strip(_BLANKS)
    return field[1:-1] if len(field) > 1 and field[:1] == field[-1:] == b'"' else field


def _number(field: bytes, base: int) -> int:
    pattern = {10: rb"[0-9]+", 16: rb"(0[xX])?[0-9a-fA-F]+", 0: rb"0[xX][0-9a-fA-F]+|[0-9]+"}[base]
    if not re.fullmatch(pattern, field):
        raise ValueError(field)
    value = int(field, 16 if base == 16 or field[:2].lower() == b"0x" else 10)
    if value >= 2**64:
        raise ValueError(field)
    return value


def _csv_fields(line: bytes, delimiter: bytes = b",") -> list[bytes]:
    """The fields of a line; a delimiter inside a quotation that opens a field does not end it."""
    fields = []
    pattern = re.compile(rb'[ \t\r]*("(?:[^"]|"")*"(?!")[^%b]*|(?!")[^%b]*)' % (delimiter, delimiter))
    position = 0
    while True:
        match = pattern.match(line, position)
        if not match:
            raise ValueError("quotation")
        fields.append(_unquoted(match[1]))
        if match.end() == len(line):
            return fields
        position = match.end() + 1


def _exactly(fields: list[bytes], count: int) -> list[bytes]:
    if len(fields) != count:
        raise ValueError(fields)
    return [_unquoted(field) for field in fields]


def parrot(data: bytes) -> Columns:
    columns: Columns = {"pc": [], "address": []}
    for line in _lines(data):
        pc, address = _exactly(_csv_fields(line), 2)
        columns["pc"].append(_number(pc, 16))
        columns["address"].append(_number(address, 16))
    return columns


def parrot_txt(data: bytes) -> Columns:
    columns: Columns = {"pc": [], "address": []}
    for line in _lines(data):
        numbers = [_number(field, 10) for field in _exactly(re.split(rb"[ \t\r]+", line), 3)]
        columns["pc"].append(numbers[1])
        columns["address"].append(numbers[2])
    return columns


def named_csv(data: bytes) -> Columns:
    header, _, body = data.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    text = header.decode("utf-8", "replace").strip()
    delimiter = max(",;\t", key=text.count)
    try:
        header_names = [name.strip().lower() for name in next(csv.reader([text], delimiter=delimiter))]
    except (csv.Error, StopIteration):
        raise ValueError(text) from None
    ours = {theirs: name for name, known in NAMES.items() for theirs in known}
    names = [ours.get(name, "") for name in header_names]
    columns: Columns = {name: [] for name in names if name}
    if len(columns) != sum(map(bool, names)) or ("address" in columns) == ("object" in columns):
        raise ValueError(names)
    limits = {"size": 2**32, "time": 2**63}
    for line in _lines(body):
        for name, field in zip(names, _exactly(_csv_fields(line, delimiter.encode()), len(names)), strict=True):
            if name == "store":
                if field.lower() not in _FLAGS:
                    raise ValueError(field)
                columns[name].append(_FLAGS[field.lower()])
            elif name in columns:
                value = _number(field, 0)
                if value >= limits.get(name, 2**64):
                    raise ValueError(field)
                columns[name].append(value)
    return {"address" if name == "object" else name: values for name, values in columns.items()}


def arc(data: bytes, limit: int) -> Columns:
    """With at most `limit` bytes of 8-byte blocks."""
    columns: Columns = {"address": []}
    for line in _lines(data):
        start, count, _, _ = (_number(field, 10) for field in _exactly(re.split(rb"[ \t\r]+", line), 4))
        if start + count > 2**64 - 1 or 8 * (len(columns["address"]) + count) > limit:
            raise ValueError(line)
        columns["address"].extend(range(start, start + count))
    return columns


def lackey(data: bytes) -> Columns:
    """Without a hierarchy."""
    columns: Columns = {"pc": [], "address": [], "store": []}
    pc = None
    for line in _lines(data):
        if line.startswith((b"==", b"--")):
            continue
        kind, address, size = _exactly(re.split(rb"[ \t\r]*,[ \t\r]*|[ \t\r]+", line), 3)
        value = _number(address, 16)
        if _number(size, 10) > 4096:
            raise ValueError(size)
        if kind.lower() == b"i":
            pc = value
            continue
        stores = {b"l": [0], b"s": [1], b"m": [0, 1]}.get(kind.lower())
        if pc is None or stores is None:
            raise ValueError(line)
        for store in stores:
            columns["pc"].append(pc)
            columns["address"].append(value)
            columns["store"].append(store)
    return columns


def champsim(data: bytes) -> Columns:
    """Without a hierarchy."""
    columns: Columns = {"pc": [], "address": [], "store": []}
    for ip, branch, taken, _, *operands in _records("<QBB6s6Q", data):
        if branch > 1 or taken > 1:
            raise ValueError("flag")
        for store, address in [(0, each) for each in operands[2:]] + [(1, each) for each in operands[:2]]:
            if address:
                columns["pc"].append(ip)
                columns["address"].append(address)
                columns["store"].append(store)
    return columns


def oraclegeneral(data: bytes) -> Columns:
    columns: Columns = {"address": [], "size": [], "time": []}
    for time, key, size, following in _records("<IQIq", data):
        if following < -1 or 2**40 < following < 2**63 - 1:
            raise ValueError("next")
        columns["address"].append(key)
        columns["size"].append(size)
        columns["time"].append(time)
    return columns


def lcs(data: bytes) -> Columns:
    """For headers of 8192 bytes, and those of 1024 whose fields are named in the usual order id, size, time, op."""
    magic = 0x123456789ABCDEF0
    if len(data) >= 8192 and struct.unpack_from("<Q", data, 8184)[0] == magic:
        version, _, requests = struct.unpack_from("<Qqq", data, 8)
        layout = {1: "<IQIq", 2: "<IQIBxxxq", 3: "<IQqBxxxIq"}
        layout |= {4 + i: layout[3] + f"{4 * 2**i}x" for i in range(5)}
        start, number = 8192, {"time": 0, "address": 1, "size": 2} | ({"store": 3} if version > 1 else {})
        if version not in layout:
            raise ValueError(version)
        spelled = layout[version]
    elif len(data) >= 1024 and struct.unpack_from("<Q", data, 1016)[0] == magic:
        text = data[8:248].rstrip(b"\0")
        key, size, time, _, _, op = data[248:254]
        requests = struct.unpack_from("<q", data, 488)[0]
        fields, item = struct.unpack_from("<II", data, 1000)
        number = {name: n - 1 for name, n in (("address", key), ("size", size), ("time", time), ("store", op)) if n}
        if not re.fullmatch(rb"<[cbBhHiIqQfd]+", text) or fields != len(text) - 1 or "address" not in number:
            raise ValueError(text)
        if len(set(number.values())) < len(number) or max(number.values()) >= fields:
            raise ValueError(number)
        spelled, start = text.decode().replace("c", "b"), 1024
        if item != struct.calcsize(spelled) or any(spelled[1 + n] in "fd" for n in number.values()):
            raise ValueError(item)
    else:
        raise ValueError("header")
    if struct.unpack_from("<Q", data)[0] != magic or requests < 0:
        raise ValueError("header")
    columns: Columns = {name: [] for name in ("address", "store", "size", "time") if name in number}
    for record in _records(spelled, data[start:]):
        for name, n in number.items():
            value = record[n]
            low, high = {"size": (0, 2**32), "time": (0, 2**63), "store": (0, 256)}.get(name, (-(2**63), 2**64))
            if not low <= value < high:
                raise ValueError(name)
            columns[name].append(int(value in _WRITES) if name == "store" else value % 2**64)
    if requests and requests != len(columns["address"]):
        raise ValueError("count")
    return columns


def vscsi(data: bytes) -> Columns:
    for version, layout, places in ((1, "<IIIHHQQ", (4, 3, 1, 5, 6)), (2, "<HHIIIQQQ", (1, 0, 3, 5, 6))):
        size = struct.calcsize(layout)
        tested = list(struct.iter_unpack(layout, data[: min(100, min(len(data), 2**16) // size) * size]))
        if sum(record[places[0]] >> 8 == version for record in tested) * 2 > len(tested) > 0:
            break
    else:
        raise ValueError("version")
    ver, cmd, length, lbn, ts = places
    columns: Columns = {"address": [], "store": [], "size": [], "time": []}
    for record in _records(layout, data):
        if record[ver] >> 8 != version or record[ts] >= 2**63:
            raise ValueError(record)
        columns["address"].append(record[lbn])
        columns["store"].append(int(record[cmd] in (0x0A, 0x2A, 0x8A, 0xAA)))
        columns["size"].append(record[length])
        columns["time"].append(record[ts])
    return columns


def cache2k(data: bytes) -> Columns:
    return {"address": [key for (key,) in _records(">I", data)]}


def _records(layout: str, data: bytes) -> Iterator[tuple]:
    if len(data) % struct.calcsize(layout):
        raise ValueError("cut off")
    return struct.iter_unpack(layout, data)


REFERENCES: dict[str, Callable[[bytes], Columns]] = {
    "parrot": parrot,
    "parrot-txt": parrot_txt,
    "csv": named_csv,
    "arc": lambda data: arc(data, 2**24),
    "lackey": lackey,
    "champsim": champsim,
    "oraclegeneral": oraclegeneral,
    "lcs": lcs,
    "vscsi": vscsi,
    "cache2k": cache2k,
}
"""format -> its plain reader (for arc with a limit of 2^24 bytes)"""
