"""The trained policies that come with learnsys, one for each recorded sample."""

from __future__ import annotations

from pathlib import Path

from learnsys.errors import InputError
from learnsys.traces.samples import PREFIX

FOLDER = Path(__file__).parent / "data"


def shipped_names(policy: str) -> list[str]:
    """The samples for which a trained `policy` ships, as `sample:NAME`, sorted."""
    return sorted(PREFIX + path.parent.name for path in (FOLDER / policy).glob("*/model.safetensors"))


def shipped_folder(policy: str, trace: str) -> Path:
    """The folder of the `policy` that was trained on a sample.

    Args:
        trace: as given to a command, such as sample:gnugo.

    Raises:
        InputError: none ships for this trace.
    """
    if trace not in shipped_names(policy):
        known = ", ".join(shipped_names(policy)) or "none"
        raise InputError(
            f"no trained {policy} ships for {trace} (only for {known})",
            remedy=f"train one with learnsys cache train and name its folder: {policy}=FOLDER",
        )
    return FOLDER / policy / trace.removeprefix(PREFIX)
