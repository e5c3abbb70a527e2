"""The trained policies that ship with learnsys."""

from __future__ import annotations

from pathlib import Path

from learnsys.errors import InputError

FOLDER = Path(__file__).resolve().parent.parent / "data"
"""one folder for each, named by its policy and the family that it was trained on"""


def shipped() -> list[str]:
    """The names of the policies that ship, such as "learnsys_mis-rb-small"."""
    return sorted(folder.parent.name for folder in FOLDER.glob("*/model.safetensors"))


def shipped_for(family: str, policy: str = "learnsys_mis") -> Path:
    """The folder of the policy that was trained on a family of graphs, or on RB-small if none was.

    Raises:
        InputError: none of that policy ships.
    """
    for name in (f"{policy}-{family}", f"{policy}-rb-small"):
        if (FOLDER / name / "model.safetensors").exists():
            return FOLDER / name
    raise InputError(f"no trained {policy} ships", remedy=f"those that do: {', '.join(shipped()) or 'none'}")
