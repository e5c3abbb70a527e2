"""The file formats of traces: one file for each format or small family, one line for each in `FORMATS`."""

from __future__ import annotations

from pathlib import PurePath

from learnsys.errors import InputError
from learnsys.lookup import imported, look_up
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
    return imported(look_up(FORMATS, name, "trace format"))(name)


def formats_by_name(path: PurePath) -> tuple[list[Format], list[Format]]:
    """The formats to which a file's suffix belongs alone, and those that have it among others; a suffix of
    compression aside.
    """
    name = path.name.lower()
    for _, suffix in COMPRESSIONS.values():
        name = name.removesuffix(suffix)
    formats = [make_format(each) for each in FORMATS]
    return (
        [each for each in formats if name.endswith(each.suffixes)],
        [each for each in formats if name.endswith(each.common_suffixes)],
    )


def detect(path: PurePath, head: bytes) -> Format:
    """The format of a file from its first bytes (decompressed) and its name.

    The content decides. Where it fits several formats, or none, the name helps; a name that belongs to one format
    alone must not contradict it.

    Raises:
        InputError: no format fits, or several do.
    """
    own, common = formats_by_name(path)
    fitting = [each for each in map(make_format, FORMATS) if each.recognises(head)]
    certain = [each for each in fitting if not each.needs_name]
    if own and (own[0] in fitting or not certain):
        return own[0]
    named = [each for each in certain if each in common]
    candidates = own + certain if own else named or certain or [each for each in fitting if each in common] or common
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"could be {' or '.join(each.name for each in candidates)}, from its name and content",
            file=path,
            remedy="say which with --format",
        )
    raise InputError(
        "is in no trace format that learnsys knows from its content",
        file=path,
        remedy=f"if it is one of {', '.join(FORMATS)}, say so with --format",
    )
