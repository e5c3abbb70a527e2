"""What `learnsys branch collect` left, one folder or several, as what a policy is trained, validated and tested on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learnsys.errors import InputError
from learnsys.policies.branching.samples import MANIFEST, SampleSet
from learnsys.runs import read_json

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class TrainingData:
    """The samples of all folders together, split as each was.

    Args:
        folders: of `learnsys branch collect`, one or several; they may differ in sizes, seeds and who branched.

    Raises:
        InputError: no folder, none of samples, or folders of several families or kinds of candidates.
    """

    def __init__(self, folders: Folders) -> None:
        given = [folders] if isinstance(folders, (str, os.PathLike)) else folders
        self.folders = [Path(folder) for folder in given]
        if not self.folders:
            raise InputError("no folder of samples is given")
        self.train, self.valid, self.test = (
            SampleSet(*(folder / split for folder in self.folders)) for split in ("train", "valid", "test")
        )
        kinds = {_kind(folder) for folder in self.folders}
        if len(kinds) > 1:
            raise InputError(
                "the samples are of different families or candidates",
                file=self.folders[-1],
                remedy="train on folders of one family, with or without pseudo-candidates",
            )
        self.family, self.pseudo_candidates = kinds.pop()

    @property
    def counts(self) -> dict[str, int]:
        """Samples of each split."""
        return {"train": len(self.train), "valid": len(self.valid), "test": len(self.test)}

    def about(self) -> dict[str, Any]:
        """What a run's configuration says of them; the digest tells them apart from others."""
        manifests = [
            (folder / split / MANIFEST).read_bytes() for folder in self.folders for split in ("train", "valid", "test")
        ]
        return {
            "data": [str(folder) for folder in self.folders],
            "data_sha256": hashlib.sha256(b"\0".join(manifests)).hexdigest(),
            "samples": self.counts,
            "family": self.family,
            "pseudo_candidates": self.pseudo_candidates,
        }


def _kind(folder: Path) -> tuple[str | None, bool]:
    """The family, and whether all unfixed variables were candidates."""
    file = folder / "config.json"
    collected: Any = read_json(file) if file.exists() else {}
    return collected.get("family"), bool(collected.get("pseudo_candidates", False))
