"""The recorded samples that learnsys ships."""

from __future__ import annotations

from pathlib import Path

from learnsys.errors import InputError

FOLDER = Path(__file__).parent / "data"
PREFIX = "sample:"


def sample_names() -> list[str]:
    """The names that `sample:NAME` accepts, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.parquet"))


def sample_path(name: str) -> Path:
    """The file of a packaged sample; `name` with or without the prefix `sample:`.

    Raises:
        InputError: there is no such sample.
    """
    name = name.removeprefix(PREFIX)
    if name not in sample_names():
        known = ", ".join(PREFIX + each for each in sample_names()) or "none are installed"
        raise InputError(f"no sample is called {name!r}", remedy=f"samples: {known}")
    return FOLDER / f"{name}.parquet"
