"""Where an environment's instances come from: a generator, files, a model, a function that makes models."""

from __future__ import annotations

import inspect
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pyscipopt import SCIP_STAGE, Model

from learnsys.envs.branching.instances import FAMILIES, parse_family
from learnsys.envs.branching.models import FORMATS, copy_model, read_model
from learnsys.errors import InputError


class Source(ABC):
    """Draws models. Each is a fresh one, in stage PROBLEM, which the caller owns and frees."""

    single = False
    """whether there is only one instance"""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> tuple[str, Model]:
        """A name and a model."""

    @abstractmethod
    def large(self) -> Model:
        """A model of a size that later ones are expected not to exceed."""

    def close(self) -> None:
        """Free what is kept between draws."""


class Files(Source):
    """Files, drawn with replacement. A problem that was read is kept, unsolved, and every episode solves a copy."""

    def __init__(self, paths: Sequence[Path], kept: int = 8) -> None:
        self.paths = list(paths)
        self.single = len(self.paths) == 1
        self.kept = kept
        self._models: OrderedDict[tuple[str, int, int], Model] = OrderedDict()

    def draw(self, rng: np.random.Generator) -> tuple[str, Model]:
        path = self.choose(rng)
        return str(path), self.copy(path)

    def choose(self, rng: np.random.Generator) -> Path:
        """One of the files."""
        return self.paths[int(rng.integers(len(self.paths)))]

    def copy(self, path: Path) -> Model:
        """A model of the file `path`, which is read again only if it has changed."""
        if not path.is_file():
            return read_model(path)  # raises
        state = path.stat()
        key = str(path), state.st_mtime_ns, state.st_size
        if key not in self._models:
            self._models[key] = read_model(path)
            if len(self._models) > self.kept:
                self._models.popitem(last=False)[1].free()
        self._models.move_to_end(key)
        return copy_model(self._models[key])

    def large(self) -> Model:
        return self.copy(max(self.paths, key=lambda path: path.stat().st_size))

    def close(self) -> None:
        while self._models:
            self._models.popitem()[1].free()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_models": OrderedDict()}


class Given(Source):
    """One model, solved as a copy in every episode; it stays the user's."""

    single = True

    def __init__(self, model: Model) -> None:
        _require_problem(model)
        self.model = model

    def draw(self, rng: np.random.Generator) -> tuple[str, Model]:
        return self.model.getProbName(), copy_model(self.model)

    def large(self) -> Model:
        return copy_model(self.model)


class Generated(Source):
    """Models made by a function, which may take a `numpy.random.Generator`."""

    def __init__(self, function: Callable[..., Model], name: str) -> None:
        self.function, self.name = function, name
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            parameters = []
        self.takes_rng = any(
            parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
            for parameter in parameters
        )

    def draw(self, rng: np.random.Generator) -> tuple[str, Model]:
        model = self.function(rng) if self.takes_rng else self.function()
        if not isinstance(model, Model):
            raise InputError(f"instances: {self.name} made a {type(model).__name__}", remedy="return a pyscipopt Model")
        _require_problem(model)
        model.hideOutput()
        return self.name, model

    def large(self) -> Model:
        rng = np.random.default_rng(0)
        models = [self.draw(rng)[1] for _ in range(3)]
        models.sort(key=lambda model: (model.getNVars(transformed=False), model.getNConss(transformed=False)))
        for model in models[:-1]:
            model.free()
        return models[-1]


def make_source(instances: Any) -> Source:
    """The source that the constructor argument `instances` stands for.

    Args:
        instances: a family of instances ("setcover", "item_placement:tiny", "setcover:rows=100"), a file, a directory
            (all model files in it and below), a list of files, a `pyscipopt.Model`, or a function that returns one
            (with or without a `numpy.random.Generator` as argument).

    Raises:
        InputError: nothing of that kind, or no model files.
    """
    if isinstance(instances, Source):
        return instances
    if isinstance(instances, Model):
        return Given(instances)
    if isinstance(instances, str) and not os.path.exists(instances):
        if instances.partition(":")[0] in FAMILIES:
            return Generated(parse_family(instances).generate, instances)
    if isinstance(instances, (str, os.PathLike)):
        return Files(find_files(Path(instances)))
    if isinstance(instances, Sequence) and instances and all(isinstance(one, (str, os.PathLike)) for one in instances):
        return Files([path for one in instances for path in find_files(Path(one))])
    if hasattr(instances, "generate"):
        return Generated(instances.generate, type(instances).__name__)
    if callable(instances):
        return Generated(instances, getattr(instances, "__name__", type(instances).__name__))
    raise InputError(
        f"{instances!r} is no source of instances",
        remedy="give a generator's name, a file, a directory, a list of files, a Model or a function that makes one",
    )


def draw_explicit(instance: Any, files: Files) -> tuple[str, Model]:
    """A name and a fresh model of one instance: a file (read through `files`), or a model, which is copied.

    Raises:
        InputError: neither, or the file cannot be read.
    """
    if isinstance(instance, Model):
        return Given(instance).draw(np.random.default_rng())
    if isinstance(instance, (str, os.PathLike)):
        return os.fspath(instance), files.copy(Path(instance))
    raise InputError(f"{instance!r} is no instance", remedy="give a file or a pyscipopt Model")


def find_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.name.lower().endswith(FORMATS) and file.is_file())
        if not files:
            raise InputError("no model files in this directory", file=path, remedy=f"they end in {', '.join(FORMATS)}")
        return files
    if not path.exists():
        raise InputError(f"no such file, and no family of instances; these are {', '.join(FAMILIES)}", file=path)
    return [path]


def _require_problem(model: Model) -> None:
    if model.getStage() != SCIP_STAGE.PROBLEM:
        raise InputError("the model has been solved or transformed already", remedy="give one that was only built")
