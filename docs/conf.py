"""Sphinx: Markdown pages by MyST, the reference from docstrings, one page for each environment from its docstring."""

from __future__ import annotations

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from learnsys import __version__
from learnsys.envs import ENVIRONMENTS
from learnsys.files import write_text

project = "learnsys"
author = "The learnsys developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = f"learnsys {__version__}"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "literal"  # docstrings mark code by single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
suppress_warnings = ["myst.header"]

HERE = Path(__file__).parent


def write_environments() -> None:
    """docs/environments/NAME.md: the class's docstring is the environment's manual."""
    names = []
    for name, arguments in ENVIRONMENTS.items():
        module, attribute = arguments["entry_point"].split(":")
        creator = getattr(import_module(module), attribute)
        page = name.partition("/")[2]
        names.append(page)
        text = f"# {name}\n\n```\ngymnasium.make({name!r})\n```\n\n{inspect.getdoc(creator)}\n"
        _write(HERE / "environments" / f"{page}.md", text)
    listed = "\n".join(names)
    _write(
        HERE / "environments" / "index.md",
        f"# Environments\n\nFrom the docstrings of their classes.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n",
    )


def write_reference() -> None:
    """docs/reference/GROUP.md: the public modules, from their docstrings."""
    for group, modules in REFERENCE.items():
        blocks = [f"# {group.capitalize()}"]
        for module in modules:
            blocks.append(f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```")
        _write(HERE / "reference" / f"{group.replace(' ', '_')}.md", "\n\n".join(blocks) + "\n")
    listed = "\n".join(group.replace(" ", "_") for group in REFERENCE)
    text = f"# Reference\n\nFrom the docstrings.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    _write(HERE / "reference" / "index.md", text)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:  # an unchanged page is not built again
        path.parent.mkdir(exist_ok=True)
        write_text(path, text)


_BRANCHING = "learnsys.envs.branching"
REFERENCE: dict[str, list[str]] = {
    "environments and registration": ["learnsys.envs", "learnsys.testing.environments"],
    "branching": [
        *(f"{_BRANCHING}.{name}" for name in ("environment", "node_selection", "configuring", "primal_search")),
        *(f"{_BRANCHING}.{name}" for name in ("rewards", "reward_arithmetic", "integrals", "tasks", "sources")),
        *(f"{_BRANCHING}.{name}" for name in ("models", "candidates", "control", "libscip", "ecole_backend")),
        "learnsys.policies.branching.base",
        "learnsys.policies.branching.baselines",
        "learnsys.policies.branching.registry",
        "learnsys.policies.branching.solve",
        "learnsys.policies.branching.samples",
        "learnsys.policies.branching.training_data",
        "learnsys.policies.branching.accuracy",
        "learnsys.policies.branching.labelling",
        "learnsys.policies.branching.collect",
        "learnsys.policies.branching.protocol",
        "learnsys.policies.branching.measuring",
        "learnsys.policies.branching.evaluation",
        "learnsys.policies.branching.comparison",
        "learnsys.policies.branching.choice",
        "learnsys.policies.branching.hybrid",
        "learnsys.policies.branching.rule",
        "learnsys.policies.branching.features.policy",
        "learnsys.policies.branching.features.trees",
        "learnsys.policies.branching.features.training",
        *(f"learnsys.policies.branching.gcnn.{name}" for name in ("config", "policy", "model", "kida")),
        "learnsys.policies.branching.reinforce",
    ],
    "branching observations": [
        f"{_BRANCHING}.observations.{name}"
        for name in ("base", "registry", "node_bipartite", "milp_bipartite", "khalil", "hutter", "strong_branching")
    ]
    + [f"{_BRANCHING}.observations.pseudocosts"],
    "branching instances": [
        f"{_BRANCHING}.instances.{name}"
        for name in (
            *("family", "registry", "sets", "milp", "mps", "set_cover", "auction", "facility", "independent_set"),
            *("knapsack", "item_placement", "workload", "maritime"),
        )
    ],
    "cache": [
        "learnsys.envs.cache.environment",
        "learnsys.envs.cache.vector",
        "learnsys.envs.cache.geometry",
        "learnsys.policies.cache.base",
        "learnsys.policies.cache.registry",
        "learnsys.policies.cache.simulation",
        "learnsys.policies.cache.object_simulation",
        "learnsys.policies.cache.guard",
        "learnsys.policies.cache.objects.guard",
        "learnsys.policies.cache.learned.policy",
        *(f"learnsys.policies.cache.parrot.{name}" for name in ("config", "policy", "model")),
    ],
    "independent set": [
        *(
            f"learnsys.policies.independent_set.{name}"
            for name in (
                *("solve", "base", "registry", "greedy", "arw", "numvc", "reductions", "exact", "auto"),
                *("evaluation", "best_known"),
                *("comparator.config", "comparator.policy", "learned.config", "learned.policy"),
            )
        ),
        "learnsys.envs.independent_set.milp",
    ],
    "graphs": [
        f"learnsys.graphs.{name}"
        for name in ("graph", "batch", "spmm", "io", "formats", "formats.base", "generators", "cliques")
    ],
    "traces": [
        "learnsys.traces",
        "learnsys.traces.formats",
        "learnsys.traces.formats.base",
        "learnsys.traces.hierarchy",
    ],
    "core": [
        f"learnsys.{name}"
        for name in (
            *("errors", "lookup", "files", "runs", "report", "settings", "parallel", "statistics", "imitation"),
            *("policies.devices", "policies.distributed"),
        )
    ],
}


_attributes: dict[str, list[str]] = {}


def keep_attribute(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Before napoleon, which takes the words before a colon for a type."""
    if what in ("attribute", "data", "property"):
        _attributes[name] = lines[:]


def adapt(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """After napoleon: make reStructuredText of a docstring that is not quite."""
    lines[:] = _attributes.get(name, lines)
    if what == "class" and any(line.startswith("## ") for line in lines):  # an environment's manual: Markdown
        lines[:] = [lines[0], "", "Its manual is a page of its own, see :doc:`/environments/index`."]
    for number, line in enumerate(lines):  # |x| is an absolute value, not a substitution
        parts = re.split(r"(`[^`]*`)", line)
        lines[number] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def setup(app: Any) -> None:
    """Called by Sphinx before it looks for pages."""
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", adapt)
    write_environments()
    write_reference()
