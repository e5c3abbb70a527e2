"""Reading and writing graphs in any format."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from learnsys.errors import InputError
from learnsys.files import write_bytes
from learnsys.graphs.formats import detect, format_by_suffix, make_format
from learnsys.graphs.formats.base import GraphFile
from learnsys.graphs.graph import Graph

LIMIT = 16 * 2**30
"""Bytes that a file may hold, or grow to when it is decompressed."""
_BLOCK = 2**24


def read_graph(path: str | os.PathLike[str], *, format: str | None = None, limit_bytes: int = LIMIT) -> Graph:
    """The graph in a file, plain or compressed with gzip.

    Self-loops are dropped, doubles and directions are forgotten. `graph.labels` holds the file's own numbers.

    Args:
        format: a name in `learnsys.graphs.formats.FORMATS`; None finds it from name and content.
        limit_bytes: bytes that the file may grow to.

    Raises:
        InputError: naming the file, the line and a remedy; also where the file holds several graphs.
    """
    graphs = read_graphs(path, format=format, limit_bytes=limit_bytes)
    if len(graphs) != 1:
        raise InputError(f"holds {len(graphs)} graphs, not one", file=path, remedy="use read_graphs")
    return graphs[0]


def read_graphs(path: str | os.PathLike[str], *, format: str | None = None, limit_bytes: int = LIMIT) -> list[Graph]:
    """All graphs in a file; arguments and errors as for `read_graph`."""
    path = Path(path)
    chosen = None if format is None else make_format(format)
    data = _content(path, limit_bytes)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return (chosen or detect(plain, data)).read(GraphFile(path, data))


def graph_files(folder: str | os.PathLike[str]) -> Iterator[tuple[str, Graph]]:
    """The graphs of a folder's files (or of one file) with their names, in the order of the names.

    Hidden files, `.json`, `.jsonl`, `.md` and TU files other than `DS_A.txt` are passed over.

    Raises:
        InputError: a file is no graph, or there is none.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]
    names = [path for path in paths if not path.name.startswith(".") and path.suffix not in (".json", ".jsonl", ".md")]
    tables = [path.name.removesuffix("A.txt") for path in names if path.name.endswith("_A.txt")]
    paths = [path for path in names if path.name.endswith("_A.txt") or not path.name.startswith(tuple(tables))]
    if not paths:
        raise InputError("holds no graph", file=folder, remedy="learnsys mis generate writes some")
    for path in paths:
        graphs = read_graphs(path)
        for number, graph in enumerate(graphs):
            yield path.name if len(graphs) == 1 else f"{path.name}:{number}", graph


def write_graph(path: str | os.PathLike[str], graph: Graph, *, format: str | None = None) -> None:
    """Write a graph atomically, in the format that the suffix (or `format`) tells; `.gz` at the end compresses.

    Raises:
        InputError: the format is unknown or has no writer.
    """
    path = Path(path)
    packed = path.suffix.lower() == ".gz"
    chosen = format_by_suffix(path.with_suffix("") if packed else path) if format is None else make_format(format)
    data = chosen.write(graph)
    write_bytes(path, gzip.compress(data, compresslevel=6, mtime=0) if packed else data)


def _content(path: Path, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            parts, size = [], 0
            while size <= limit and (part := file.read(_BLOCK)):
                parts.append(part)
                size += len(part)
        data = b"".join(parts)
    except OSError as error:
        remedy = "give the path of a graph"
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy=remedy) from None
    if data[:2] == b"\x1f\x8b":
        decoder = zlib.decompressobj(31)
        parts, size = [], 0
        try:
            while data and size <= limit:
                parts.append(decoder.decompress(data, limit + 1 - size))
                size += len(parts[-1])
                data = decoder.unconsumed_tail
                if decoder.eof:
                    data = decoder.unused_data.lstrip(b"\0")
                    decoder = zlib.decompressobj(31)
                elif not data or not parts[-1]:
                    raise InputError("ends within its compressed data", file=path, remedy="fetch the whole file")
        except zlib.error as error:
            raise InputError(f"is damaged ({error})", file=path, remedy="fetch it again") from None
        data = b"".join(parts)
    if len(data) > limit:
        remedy = "if it is meant to be that large, raise limit_bytes"
        raise InputError(f"is, or grows to, more than {limit} bytes", file=path, remedy=remedy)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise InputError("is empty", file=path, remedy="give a file that holds a graph")
    return data
