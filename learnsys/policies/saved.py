"""A trained policy's folder: `model.safetensors` and `config.json`, written and read in one place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.files import write_json
from learnsys.imitation import Arrays, load_arrays, save_arrays
from learnsys.runs import read_json


def save_policy(folder: str | os.PathLike[str], arrays: Arrays, about: Mapping[str, Any]) -> None:
    """Write `model.safetensors` and, unless a run has put its own, `config.json`."""
    folder = Path(folder)
    save_arrays(folder / "model.safetensors", arrays)
    if not (folder / "config.json").exists():
        write_json(folder / "config.json", dict(about))


@contextmanager
def saved_policy(folder: str | os.PathLike[str], kind: str) -> Iterator[tuple[Any, Arrays]]:
    """Yield what `config.json` and `model.safetensors` hold, for the policy that is made of them inside.

    Args:
        kind: of policy, for the error.

    Raises:
        InputError: a file is missing or damaged, or no policy of that kind can be made of them.
    """
    folder = Path(folder)
    about = read_json(folder / "config.json")
    arrays, _ = load_arrays(folder / "model.safetensors")
    try:
        yield about, arrays
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(f"holds no {kind} ({error})", file=folder, remedy="train one there") from None
    except (RuntimeError, OverflowError, MemoryError) as error:  # too large
        raise InputError(f"holds no {kind} ({error})", file=folder, remedy="train one there") from None
