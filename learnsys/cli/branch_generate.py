"""`learnsys branch generate`: instances of a family, as files with a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from learnsys.cli.console import print_json, progress_bar
from learnsys.cli.subcommands import Shared, one_of, summary_of
from learnsys.envs.branching.instances.family import Family
from learnsys.envs.branching.instances.registry import FAMILIES, family_class, split_family
from learnsys.envs.branching.instances.sets import MANIFEST, write_set


def _families() -> Iterator[tuple[str, Family, str]]:
    """All families and their presets: name, the family itself, a line about it."""
    for name in FAMILIES:
        found = family_class(name)
        for preset, parameters in {"": {}, **found.PRESETS}.items():
            changed = ", ".join(f"{key}={value}" for key, value in parameters.items()) or "the defaults"
            title, about = (f"{name}:{preset}", f"{name} with {changed}") if preset else (name, summary_of(found))
            yield title, found(**parameters), about


if TYPE_CHECKING:
    AnyFamily = Family
else:
    AnyFamily = one_of(_families())


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """A family as other commands take it, "setcover:hard,density=0.1", as subcommand and options."""
    found: list[str] = []
    for argument in arguments:
        name, preset, changes = split_family(argument)
        if name not in FAMILIES or not changes:
            found.append(argument)
            continue
        found.append(f"{name}:{preset}" if preset else name)
        for change in changes:
            key, _, value = change.partition("=")
            flag = {"true": [f"--{key}"], "false": [f"--no-{key}"]}.get(value.lower())
            found += flag or [f"--{key}", *value.split(",")]
    return found


def generate(
    family: AnyFamily,
    *,
    out: Shared[Path],
    count: Shared[int] = 1,
    seed: Shared[int] = 0,
    format: Shared[str] = "mps.gz",
    workers: Shared[int] = 1,
    json: Shared[bool] = False,
) -> int:
    """Write random instances of a family into a folder.

    The folder's manifest.jsonl has a line for each file: family, parameters, seed, index, size, sha256. The parameters
    of a family, and where they are explained: learnsys branch generate FAMILY --help. They may also be part of its
    name, as in other commands: setcover:rows=100,cols=200.

    Args:
        out: the folder; a run that was killed continues there, and a larger count adds instances.
        count: how many; instance 0 to count - 1 of the seed.
        seed: of the set; the instances of different seeds have nothing in common.
        format: mps, mps.gz, lp, lp.gz, cip or cip.gz; numbers are exact in MPS and have 15 digits in the others.
        workers: processes; -1 is one for each core.
        json: print JSON instead of a table.
    """
    name = next(each for each in FAMILIES if family_class(each) is type(family))
    with progress_bar(f"writing {name}", count) as advance:
        entries = []
        for entry in write_set(name, family, count, out, seed=seed, suffix=format, workers=workers):
            entries.append(entry)
            advance(1)
    ranges = [
        (key, min(entry[key] for entry in entries), max(entry[key] for entry in entries))
        for key in ("rows", "columns", "nonzeros")
    ]
    found = {
        "folder": str(out),
        "manifest": str(out / MANIFEST),
        "family": name,
        "parameters": entries[0]["parameters"],
        "seed": seed,
        **{key: [low, high] for key, low, high in ranges},
        "bytes": sum(entry["bytes"] for entry in entries),
        "files": [entry["file"] for entry in entries],
    }
    if json:
        print_json(found)
        return 0
    sizes = ", ".join(f"{low:,} {key}" if low == high else f"{low:,} to {high:,} {key}" for key, low, high in ranges)
    number = f"{len(entries):,} instance" + "s" * (len(entries) > 1)
    print(f"{out}: {number} of {name}, seed {seed}: {sizes}; {found['bytes']:,} bytes")
    return 0
