"""One tiny file for each trace format and variant, with what it holds, worked out by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnsys.traces.blocks import COLUMNS
from learnsys.traces.trace import Trace


@dataclass(frozen=True)
class Example:
    """A file and the trace in it."""

    format: str
    name: str
    """a file name from which, with the content, the format is found"""
    data: bytes
    columns: Mapping[str, list[int]]
    objects: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """for `learnsys.traces.open_trace`"""

    @property
    def trace(self) -> Trace:
        """What reading must give."""
        return Trace(
            objects=self.objects, **{name: np.array(values, COLUMNS[name]) for name, values in self.columns.items()}
        )


def _instruction(ip: int, loads: list[int], stores: list[int], branch: int = 0) -> bytes:
    operands = stores + [0] * (2 - len(stores)) + loads + [0] * (4 - len(loads))
    return struct.pack("<QBB2B4B6Q", ip, branch, branch, 1, 2, 3, 4, 5, 6, *operands)


_CHAMPSIM = (
    _instruction(0x400100, [0x7FFF00000010], [])
    + _instruction(0x400104, [], [], branch=1)
    + _instruction(0x400108, [0x7FFF00000018, 0x1000], [0x2000])
    + _instruction(0x40010C, [], [0x3000, 0x1008])
)

_LACKEY = b"""==12== Lackey, an example Valgrind tool
I  04000000,3
 S 1fff000688,8
I  04000003,4
 L 0fffe03e,4
 M 0fffe040,8
I  04000007,2

==12== Exit code: 0
"""


def _versioned(version: int, records: list[bytes], count: int | None = None) -> bytes:
    magic = 0x123456789ABCDEF0
    head = struct.pack("<QQqq", magic, version, 1, len(records) if count is None else count)
    return head + bytes(8184 - len(head)) + struct.pack("<Q", magic) + b"".join(records)


def _spelled(layout: bytes, numbers: list[int], records: list[bytes]) -> bytes:
    magic = 0x123456789ABCDEF0
    head = struct.pack("<Q240s", magic, layout) + bytes(numbers) + bytes(240 - len(numbers))
    head += struct.pack("<q", len(records)) + bytes(504)
    return head + struct.pack("<IIQQ", len(layout) - 1, struct.calcsize(layout.decode()), 1, magic) + b"".join(records)


_WIDE = 2**63 + 5
_REQUESTS = {"address": [7, _WIDE, 7], "size": [100, 2**32 - 1, 0], "time": [0, 5, 5]}

EXAMPLES: tuple[Example, ...] = (
    Example(
        "parrot",
        "a.csv",
        b"0x4005,0x7f00\n4006,DEADbeef\r\n\n  0xffffffffffffffff , 0\n",
        {"pc": [0x4005, 0x4006, 2**64 - 1], "address": [0x7F00, 0xDEADBEEF, 0]},
    ),
    Example(
        "parrot-txt",
        "a.txt",
        b"0 4005 64\n1\t4006   18446744073709551615\n0 4005 65",
        {"pc": [4005, 4006, 4005], "address": [64, 2**64 - 1, 65]},
    ),
    Example(
        "csv",
        "addresses.csv",
        b'time,"pc",host,address,store\n1,0x10,"a, ""b""",4096,r\n2,17,,0x1040,W\n',
        {"pc": [16, 17], "address": [4096, 4160], "store": [0, 1], "time": [1, 2]},
    ),
    Example(
        "csv",
        "objects.tsv",
        b"\xef\xbb\xbfsize\tobject\n10\t5\n4294967295\t18446744073709551615\n",
        {"address": [5, 2**64 - 1], "size": [10, 2**32 - 1]},
        objects=True,
    ),
    Example(
        "arc",
        "a.lis",
        b"10 3 0 0\n5 1 0 1\n18446744073709551614 1 0 2\n",
        {"address": [10, 11, 12, 5, 2**64 - 2]},
        objects=True,
    ),
    Example(
        "lackey",
        "a.lackey",
        _LACKEY,
        {
            "pc": [0x4000000, 0x4000003, 0x4000003, 0x4000003],
            "address": [0x1FFF000688, 0x0FFFE03E, 0x0FFFE040, 0x0FFFE040],
            "store": [1, 0, 0, 1],
        },
        arguments={"filter": None},
    ),
    # The load of 4 bytes at ...03e spans two lines, and the modify then hits the second of them.
    Example(
        "lackey",
        "filtered.lackey",
        _LACKEY,
        {
            "pc": [0x4000000, 0x4000003, 0x4000003],
            "address": [0x1FFF000688, 0x0FFFE03E, 0x0FFFE040],
            "store": [1, 0, 0],
        },
    ),
    Example(
        "champsim",
        "a.champsimtrace",
        _CHAMPSIM,
        {
            "pc": [0x400100, 0x400108, 0x400108, 0x400108, 0x40010C, 0x40010C],
            "address": [0x7FFF00000010, 0x7FFF00000018, 0x1000, 0x2000, 0x3000, 0x1008],
            "store": [0, 0, 0, 1, 1, 1],
        },
        arguments={"filter": None},
    ),
    Example(
        "champsim",
        "filtered.trace",
        _CHAMPSIM,
        {
            "pc": [0x400100, 0x400108, 0x400108, 0x40010C],
            "address": [0x7FFF00000010, 0x1000, 0x2000, 0x3000],
            "store": [0, 0, 1, 1],
        },
    ),
    Example(
        "oraclegeneral",
        "a.oracleGeneral.bin",
        b"".join(
            struct.pack("<IQIq", time, key, size, following)
            for time, key, size, following in zip(
                _REQUESTS["time"], _REQUESTS["address"], _REQUESTS["size"], [3, -1, 2**63 - 1], strict=True
            )
        ),
        _REQUESTS,
        objects=True,
    ),
    Example(
        "lcs",
        "one.lcs",
        _versioned(1, [struct.pack("<IQIq", 9, 7, 3, 2), struct.pack("<IQIq", 10, 7, 3, -1)]),
        {"address": [7, 7], "size": [3, 3], "time": [9, 10]},
        objects=True,
    ),
    Example(
        "lcs",
        "two.lcs",
        _versioned(2, [struct.pack("<IQIBxxxq", 9, 7, 3, 1, 2), struct.pack("<IQIBxxxq", 10, 7, 3, 13, -1)]),
        {"address": [7, 7], "store": [0, 1], "size": [3, 3], "time": [9, 10]},
        objects=True,
    ),
    Example(
        "lcs",
        "five.lcs",
        _versioned(5, [struct.pack("<IQqBxxxIqII", 9, 7, 3, 3, 0, -1, 1, 2)]),
        {"address": [7], "store": [1], "size": [3], "time": [9]},
        objects=True,
    ),
    Example(
        "lcs",
        "spelled.lcs",
        _spelled(b"<QIHBq", [1, 2, 3, 0, 5, 4], [struct.pack("<QIHBq", 7, 3, 9, 1, 2)] * 3),
        {"address": [7, 7, 7], "store": [0, 0, 0], "size": [3, 3, 3], "time": [9, 9, 9]},
        objects=True,
    ),
    Example(
        "vscsi",
        "one.vscsi",
        struct.pack("<IIIHHQQ", 1, 4096, 1, 0x28, 0x0100, 800, 5)
        + struct.pack("<IIIHHQQ", 2, 512, 1, 0x2A, 0x0101, 9, 6),
        {"address": [800, 9], "store": [0, 1], "size": [4096, 512], "time": [5, 6]},
        objects=True,
    ),
    Example(
        "vscsi",
        "two.vscsi",
        struct.pack("<HHIIIQQQ", 0x8A, 0x0200, 1, 4096, 1, 800, 5, 1)
        + struct.pack("<HHIIIQQQ", 0x88, 0x0200, 2, 512, 1, 9, 6, 1),
        {"address": [800, 9], "store": [1, 0], "size": [4096, 512], "time": [5, 6]},
        objects=True,
    ),
    Example(
        "cache2k",
        "a.trace",
        struct.pack(">4I", 1, 2**32 - 1, 0, 1),
        {"address": [1, 2**32 - 1, 0, 1]},
        objects=True,
    ),
)
