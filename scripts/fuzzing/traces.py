"""Every trace reader, and one of them inside each compression.

Each input is one of the tiny example files, or a longer one of the same format, with one to four random edits. A trace
must equal what a plain, slow reader makes of the same bytes. Of the inputs, 30 % are read without saying their format;
where the edits have made one a good file of another format, it is counted apart.
"""

from __future__ import annotations

import gzip
import lzma
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from fuzzing import Found, Target
from learnsys.errors import InputError
from learnsys.testing.trace_examples import EXAMPLES
from learnsys.testing.trace_reference import REFERENCES
from learnsys.testing.traces import equal, mutated, read_or_refuse
from learnsys.traces import Trace, open_trace, read_trace, write_trace
from learnsys.traces.blocks import COLUMNS, columns_of

LIMIT = 2**24


@dataclass(frozen=True)
class Reader:
    """A reader, good files for it, and what must come of a file's bytes."""

    name: str
    files: tuple[tuple[str, bytes, dict[str, Any]], ...]
    expected: Callable[[bytes], Trace]
    strict: bool = True
    """whether a file that `expected` accepts must be accepted"""


def targets() -> Iterator[Target]:
    for reader in readers():
        for file, data, arguments in reader.files:  # the good files are good
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / file).write_bytes(data)
                read_trace(Path(folder) / file, **arguments)
        yield Target(reader.name, lambda rng, folder, reader=reader: attempt(reader, rng, folder))


def readers() -> Iterator[Reader]:
    for name, reference in REFERENCES.items():
        files = [
            (each.name, each.data, {**each.arguments, "format": name})
            for each in EXAMPLES
            if each.format == name and "filtered" not in each.name
        ]
        whole = [(file, longer(name, data), arguments) for file, data, arguments in files]
        yield Reader(name, (*files, *whole), lambda data, reference=reference: as_trace(reference(data)))
    text = longer("parrot", EXAMPLES[0].data)
    for name, (pack, unpack) in {
        "gzip": (gzip.compress, gzip.decompress),
        "xz": (lzma.compress, lzma.decompress),
        "zstd": (zstandard.ZstdCompressor(write_checksum=True).compress, unpack_zstd),
    }.items():
        files = ((f"a.csv.{name}", pack(text), {}), (f"b.csv.{name}", pack(EXAMPLES[0].data) * 2, {}))
        yield Reader(name, files, lambda data, u=unpack: as_trace(REFERENCES["parrot"](u(data))), strict=False)
    rng = np.random.default_rng(0)
    trace = Trace(
        address=rng.integers(2**40, size=500, dtype=np.uint64),
        pc=rng.integers(9, size=500, dtype=np.uint64),
        store=rng.random(500) < 0.5,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        write_trace(path, trace)
        yield Reader("parquet", (("a.parquet", path.read_bytes(), {}),), lambda data: trace, strict=False)


def unpack_zstd(data: bytes) -> bytes:
    parts, decoder = [], zstandard.ZstdDecompressor().decompressobj()
    while data:
        parts.append(decoder.decompress(data))
        if not decoder.eof:
            raise ValueError("cut off")
        data, decoder = decoder.unused_data, zstandard.ZstdDecompressor().decompressobj()
    return b"".join(parts)


def longer(name: str, data: bytes) -> bytes:
    """A file of some hundred accesses from a short one."""
    header = {"csv": data.find(b"\n") + 1, "lcs": 8192 if len(data) > 8192 else 1024}.get(name, 0)
    body = data[header:]
    if name in ("parrot-txt",):
        body += b"\n"
    times = 40
    data = data[:header] + body * times
    if name == "lcs":
        place = 24 if header == 8192 else 488
        count = int.from_bytes(data[place : place + 8], "little") * times
        data = data[:place] + count.to_bytes(8, "little") + data[place + 8 :]
    return data


def as_trace(columns: dict[str, list[int]]) -> Trace:
    if not columns["address"]:
        raise ValueError("no accesses")
    return Trace(**{name: np.array(values, COLUMNS[name]) for name, values in columns.items()})


def attempt(target: Reader, rng: np.random.Generator, folder: Path) -> Found:
    name, good, options = target.files[int(rng.integers(len(target.files)))]
    arguments = {**options, "filter": None, "limit_bytes": LIMIT}
    data = mutated(good, rng)
    if rng.random() < 0.3:  # the format is to be found, too
        arguments.pop("format", None)
    path = folder / name
    path.write_bytes(data)
    try:
        result = read_or_refuse(path, **arguments)
    except Exception as error:
        return "crashes", data, repr(error)
    read_as = target.name
    if isinstance(result, Trace) and "format" not in arguments and target.name in REFERENCES:
        with open_trace(path) as reader:
            read_as = reader.format
    try:
        expected = target.expected(data) if read_as == target.name else as_trace(REFERENCES[read_as](data))
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        if isinstance(result, InputError):
            return "refused", data, ""
        return "wrong", data, f"read {len(result)} accesses of a malformed file as {read_as}: {error!r}"
    if isinstance(result, InputError):
        return ("too strict" if target.strict and "format" in arguments else "refused"), data, str(result)
    if not equal(Trace(**columns_of(result)), expected):
        return "wrong", data, f"read other values as {read_as}"
    return ("read" if read_as == target.name else "another"), data, f"read as {read_as}"
