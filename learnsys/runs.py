"""One run = one folder: config.json, command.txt, env.json, metrics.jsonl, checkpoints, summary.json, timings.json."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.files import append_line, write_json, write_text

_PACKAGES = ("learnsys", "torch", "numpy", "numba", "gymnasium", "pyscipopt", "networkx", "stable-baselines3")


def versions(*more: str) -> dict[str, str]:
    """Versions of Python, of the packages that decide results, and of others by their names."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in (*_PACKAGES, *more):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


class Run:
    """The folder of one run. Everything is written atomically but `metrics.jsonl`, which only grows.

    Args:
        folder: made if missing.
        config: a dataclass or a dict. A folder that holds another configuration is refused, since resuming would
            mix two runs. Where `data_sha256` stands beside `data`, the content counts and its place may change;
            likewise for any other key.

    Raises:
        InputError: the folder holds a run with another configuration, or a file that is no run's.
    """

    def __init__(self, folder: str | os.PathLike[str], config: Any) -> None:
        self.folder = Path(folder)
        content = asdict(config) if is_dataclass(config) and not isinstance(config, type) else dict(config)
        content = json.loads(json.dumps(content, default=str))
        path = self.folder / "config.json"
        if path.exists() and (difference := _difference(read_json(path), content)):
            raise InputError(
                f"holds a run with another configuration ({difference})",
                file=self.folder,
                remedy="choose another --out or delete it",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
        write_text(self.folder / "command.txt", shlex.join(["learnsys", *sys.argv[1:]]) + "\n")
        write_json(self.folder / "env.json", versions())

    def log(self, **values: Any) -> None:
        """Append one line to `metrics.jsonl`."""
        append_line(self.folder / "metrics.jsonl", values)

    def rewind(self, key: str, value: float) -> None:
        """Drop the metric lines with `key` above `value` (and half-written ones): what a resumed run does again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in read_metrics(self.folder) if line.get(key, value) <= value]
            write_text(path, "".join(json.dumps(line, sort_keys=True) + "\n" for line in kept))

    def finish(self, summary: dict[str, Any], timings: dict[str, Any]) -> None:
        """Write `timings.json`, then `summary.json`, which must hold nothing that two equal runs could differ in."""
        write_json(self.folder / "timings.json", timings)
        write_json(self.folder / "summary.json", summary)


def _difference(there: Any, here: Any, name: str = "") -> str:
    """The first setting in which two configurations differ, as words; empty if none does."""
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return "" if there == here else f"{name or 'content'} is {json.dumps(there)} there, {json.dumps(here)} here"
    for key in sorted(there.keys() | here.keys()):
        digest = f"{key}_sha256"
        if digest in there and there[digest] == here.get(digest):
            continue
        label = f"{name}.{key}" if name else key
        if key not in there or key not in here:
            return f"{label} is given only {'there' if key in there else 'here'}"
        if found := _difference(there[key], here[key], label):
            return found
    return ""


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file.

    Raises:
        InputError: missing, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", file=path, remedy="restore it or start a new run") from None


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The metric lines of a run, oldest first; a half-written last line is left out."""
    path = Path(folder) / "metrics.jsonl"
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


@dataclass(frozen=True)
class Record:
    """What a run folder holds, read back."""

    folder: Path
    config: dict[str, Any]
    environment: dict[str, str]
    """versions of Python and packages; empty if env.json is missing"""
    command: str
    metrics: list[dict[str, Any]]
    summary: dict[str, Any] | None
    """None: the run has not finished"""
    timings: dict[str, Any]
    """what depends on the clock; empty if the run has not finished"""

    @property
    def name(self) -> str:
        return self.folder.name

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Record:
        """Read a run folder.

        Raises:
            InputError: it is none, or a file in it is damaged.
        """
        place = Path(folder)
        if not (place / "config.json").exists():
            raise InputError("no run folder (config.json is missing)", file=place, remedy="see learnsys run list")

        def read(name: str) -> dict[str, Any] | None:
            found = read_json(place / name) if (place / name).exists() else None
            if found is not None and not isinstance(found, dict):
                raise InputError("holds no fields by name", file=place / name, remedy="run its command again")
            return found

        command = place / "command.txt"
        return cls(
            folder=place,
            config=read("config.json") or {},
            environment=read("env.json") or {},
            command=command.read_text(encoding="utf-8").strip() if command.exists() else "",
            metrics=read_metrics(place),
            summary=read("summary.json"),
            timings=read("timings.json") or {},
        )


def find_runs(folder: str | os.PathLike[str]) -> list[Path]:
    """The run folders at and below `folder`, sorted by name."""
    return sorted(path.parent for path in Path(folder).rglob("config.json") if (path.parent / "env.json").exists())
