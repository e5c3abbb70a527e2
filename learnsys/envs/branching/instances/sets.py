"""Sets of instances in a folder: one file each, and a manifest that says how to draw every one again."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from learnsys.envs.branching.instances.family import Family
from learnsys.envs.branching.instances.milp import check_format
from learnsys.errors import InputError
from learnsys.files import plain, write_bytes
from learnsys.parallel import run_parallel

MANIFEST = "manifest.jsonl"


def write_set(
    name: str,
    family: Family,
    count: int,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    suffix: str = ".mps.gz",
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """Write instances 0 to `count` - 1 of a seed into a folder, and yield the manifest's entry of each.

    Files are written atomically and entered into the manifest, `manifest.jsonl`, afterwards. What an earlier run,
    finished or killed, has left there is kept: instances that stand already are not written again, and a larger
    `count` continues the set.

    Args:
        name: of the family; files are called NAME_00000.mps.gz and so on.
        suffix: one of `learnsys.envs.branching.instances.milp.FORMATS`.
        workers: processes; -1 is one for each core.

    Yields:
        `file`, `family`, `parameters`, `seed`, `index`, `rows`, `columns`, `nonzeros`, `bytes` and `sha256` (of the
        file as it stands). `family.instance(seed, index)` draws the same instance.

    Raises:
        InputError: the folder cannot be written, holds instances of another family, seed or parameters, or a file
            that would be overwritten, or another process is writing there.
    """
    suffix = check_format(suffix)
    if count < 1 or seed < 0:
        raise InputError(f"{count} instances of seed {seed}", remedy="give a count of at least 1 and a seed from 0")
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", file=folder, remedy="choose another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError("cannot be written", file=folder, remedy="choose another folder")
    about = json.loads(json.dumps({"family": name, "parameters": asdict(family), "seed": seed}, default=plain))
    files = [f"{name}_{index:05d}{suffix}" for index in range(count)]
    with _locked(folder) as manifest:
        known = read_manifest(folder, repair=True)
        for entry in known.values():
            if {key: entry.get(key) for key in about} != about or not entry["file"].endswith(suffix):
                raise InputError(
                    "holds instances of another family, seed or format, or of other parameters",
                    file=folder / MANIFEST,
                    remedy="choose another folder",
                )
        for left in folder.glob(f".{name}_*{suffix}.*.part"):  # of a run that was killed
            left.unlink()
        jobs = [
            (family, seed, index, suffix, folder / file, known.get(file, {}).get("sha256"))
            for index, file in enumerate(files)
            if not _stands(folder / file, known.get(file))
        ]
        missing = {job[2] for job in jobs}
        written = iter(run_parallel(_write, jobs, workers=workers) if jobs else ())
        for index, file in enumerate(files):
            if index in missing:
                entry = {"file": file, **about, "index": index, **next(written)}
                if file not in known:
                    manifest.write(json.dumps(entry, sort_keys=True) + "\n")
                    manifest.flush()
                known[file] = entry
            yield known[file]


@contextmanager
def _locked(folder: Path) -> Iterator[TextIO]:
    """The manifest, open at its end, for this process alone."""
    with open(folder / MANIFEST, "a", encoding="utf-8") as manifest:
        try:
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another process is writing instances there", file=folder, remedy="wait for it or choose another folder"
            ) from None
        yield manifest


def read_manifest(folder: str | os.PathLike[str], *, repair: bool = False) -> dict[str, dict[str, Any]]:
    """The entries of a folder's manifest by file name; none where there is no manifest.

    Args:
        repair: cut off a last line that a killed run left half written (else it is only passed over).

    Raises:
        InputError: a line is no entry.
    """
    path = Path(folder) / MANIFEST
    whole, newline, unfinished = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")
    entries: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(whole.split(b"\n") if newline else (), 1):
        try:
            entry = json.loads(line)
            entries[entry["file"]] = entry
        except (ValueError, TypeError, KeyError):
            raise InputError("no entry of an instance", file=path, place=f"line {number}") from None
    if repair and unfinished:  # in place, since a lock belongs to this very file
        os.truncate(path, len(whole) + len(newline))
    return entries


def _stands(path: Path, entry: dict[str, Any] | None) -> bool:
    return entry is not None and path.is_file() and path.stat().st_size == entry.get("bytes")


def _write(family: Family, seed: int, index: int, suffix: str, path: Path, expected: str | None) -> dict[str, Any]:
    """Write one instance; what the manifest says of it. `expected` is its digest if the manifest has it already."""
    milp = family.instance(seed, index)
    content = milp.encode(suffix)
    digest = hashlib.sha256(content).hexdigest()
    if expected not in (None, digest):
        raise InputError(
            "these versions of the libraries draw or compress it otherwise than its manifest says",
            file=path,
            remedy="choose another folder",
        )
    if expected is None and path.exists() and path.read_bytes() != content:
        raise InputError("stands already, with other content", file=path, remedy="choose another folder")
    try:
        write_bytes(path, content)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", file=path, remedy="make room, and run the same again to go on"
        ) from None
    rows, columns = milp.shape
    return {"rows": rows, "columns": columns, "nonzeros": milp.nnz, "bytes": len(content), "sha256": digest}
