"""The file formats of traces: one file for each format or small family, one line for each in `FORMATS`."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath

from learnsys.errors import InputError
from learnsys.traces.formats.base import Format
from learnsys.traces.streams import COMPRESSIONS

FORMATS: dict[str, str] = {
    "parquet": "learnsys.traces.formats.parquet:Parquet",
    "parrot": "learnsys.traces.formats.parrot:ParrotCsv",
    "parrot-txt": "learnsys.traces.formats.parrot:ParrotText",
    "csv": "learnsys.traces.formats.csv:NamedCsv",
    "arc": "learnsys.traces.formats.arc:ArcLis",
    "lackey": "learnsys.traces.formats.lackey:Lackey",
    "champsim": "learnsys.traces.formats.champsim:ChampSim",
    "oraclegeneral": "learnsys.traces.formats.oraclegeneral:OracleGeneral",
    "lcs": "learnsys.traces.formats.lcs:Lcs",
    "vscsi": "learnsys.traces.formats.vscsi:Vscsi",
    "cache2k": "learnsys.traces.formats.keys:BigEndianKeys",
}
"""name -> "module:Class". Strings, so that a reader's libraries are imported only when it is used."""

HEAD = 2**16
"""Bytes from the start of a file that detection looks at."""


def make_format(name: str) -> Format:
    """The format of that name.

    Raises:
        InputError: there is none.
    """
    if name not in FORMATS:
        raise InputError(f"no trace format is called {name!r}", remedy=f"choose from {', '.join(FORMATS)}")
    module, attribute = FORMATS[name].split(":")
    return getattr(import_module(module), attribute)(name)


def formats_by_name(path: PurePath) -> list[Format]:
    """The formats whose suffix a file name bears, a suffix of compression aside."""
    name = path.name.lower()
    for _, suffix in COMPRESSIONS.values():
        name = name.removesuffix(suffix)
    return [each for each in map(make_format, FORMATS) if name.endswith(each.suffixes)]


def detect(path: PurePath, head: bytes) -> Format:
    """The format of a file from its first bytes (decompressed), helped by its name.

    Content decides; the name decides between formats that the content leaves open, and names the format whose
    reader says what is wrong with content that fits none.

    Raises:
        InputError: no format fits, or several do.
    """
    named = formats_by_name(path)
    fitting = [each for each in map(make_format, FORMATS) if each.recognises(head)]
    certain = [each for each in fitting if not each.needs_name]
    for choice in (
        [each for each in certain if each in named] or certain,
        [each for each in fitting if each in named],
        named,
    ):
        if len(choice) == 1:
            return choice[0]
        if choice:
            raise InputError(
                f"could be {' or '.join(each.name for each in choice)}", file=path, remedy="say which with --format"
            )
    raise InputError(
        "is in no trace format that learnsys knows from its content",
        file=path,
        remedy=f"if it is one of {', '.join(FORMATS)}, say so with --format",
    )
