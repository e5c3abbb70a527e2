"""The file formats of graphs: one line for each in `FORMATS`."""

from __future__ import annotations

from pathlib import PurePath

from learnsys.errors import InputError
from learnsys.graphs.formats.base import GraphFormat
from learnsys.lookup import imported, look_up

FORMATS: dict[str, str] = {
    "matrix-market": "learnsys.graphs.formats.matrix_market:MatrixMarket",
    "graph6": "learnsys.graphs.formats.collections:Graph6",
    "pace": "learnsys.graphs.formats.dimacs:Pace",
    "dimacs": "learnsys.graphs.formats.dimacs:Dimacs",
    "metis": "learnsys.graphs.formats.metis:Metis",
    "dgcnn": "learnsys.graphs.formats.collections:Dgcnn",
    "tu": "learnsys.graphs.formats.collections:Tu",
    "edges": "learnsys.graphs.formats.edge_list:EdgeList",
}
"""name -> "module:Class". The first that recognises a content gets it."""

HEAD = 2**14
"""Bytes from the start of a file that detection looks at."""


def make_format(name: str) -> GraphFormat:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    return imported(look_up(FORMATS, name, "graph format"))(name)


def detect(path: PurePath, data: bytes) -> GraphFormat:
    """The format of a file: that of its suffix, unless the content surely belongs to another.

    Raises:
        InputError: neither tells.
    """
    head = data[:HEAD]
    if len(data) > HEAD:
        head = head.rpartition(b"\n")[0]
    formats = [make_format(name) for name in FORMATS]
    named = next((each for each in formats if path.name.lower().endswith(each.suffixes)), None)
    fitting = [each for each in formats if each.recognises(head)]
    if named is not None and (named in fitting or not fitting or fitting[0].name == "edges"):
        return named  # a list of bare edges is also how DIMACS and PACE files without a header look
    if fitting:
        return fitting[0]
    raise InputError(
        "is in no graph format that learnsys knows from its content or name",
        file=path,
        remedy=f"say which with --format ({', '.join(FORMATS)})",
    )


def format_by_suffix(path: PurePath) -> GraphFormat:
    """The format to write a file in.

    Raises:
        InputError: no format that can be written has this suffix.
    """
    formats = [each for each in map(make_format, FORMATS) if each.writable]
    for each in formats:
        if path.name.lower().endswith(each.suffixes):
            return each
    known = ", ".join(suffix for each in formats for suffix in each.suffixes)
    raise InputError(f"no graph format is called {path.suffix!r}", file=path, remedy=f"choose from {known}")
