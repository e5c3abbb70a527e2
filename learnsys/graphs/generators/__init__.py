"""Random graphs by family, each a frozen dataclass of parameters in a file of its own.

Named presets are the sets of the literature. Adding a family is one file and one line in `FAMILIES`; tests, the command
line and the environment find it there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from learnsys.errors import InputError
from learnsys.graphs.generators.barabasi_albert import BarabasiAlbert
from learnsys.graphs.generators.base import GraphFamily, Range
from learnsys.graphs.generators.erdos_renyi import ErdosRenyi
from learnsys.graphs.generators.planted_sat import PlantedSat
from learnsys.graphs.generators.rb import RB, ForcedRB

__all__ = [
    "FAMILIES",
    "RB",
    "BarabasiAlbert",
    "ErdosRenyi",
    "ForcedRB",
    "GraphFamily",
    "PlantedSat",
    "Range",
    "make_family",
]


FAMILIES: dict[str, GraphFamily] = {
    "er": ErdosRenyi(nodes=(200, 300)),
    "er-700-800": ErdosRenyi(),
    "sparse-250k": ErdosRenyi(nodes=(250_000, 250_000), edges=1_000_000),
    "ba": BarabasiAlbert(),
    "rb-small": RB(),
    "rb-large": RB(groups=(40, 54), group=(20, 24), nodes=(800, 1200)),
    "rb-giant": RB(groups=(60, 74), group=(30, 42), nodes=(2000, 3000)),
    "sat": PlantedSat(),
    "frb30-15": ForcedRB(30, 15),
    "frb40-19": ForcedRB(40, 19),
    "frb50-23": ForcedRB(50, 23),
    "frb59-26": ForcedRB(59, 26),
}
"""name -> family. Of rb-giant the literature gives the number of vertices only; its groups are chosen here."""


def make_family(name: str, **parameters: Any) -> GraphFamily:
    """The family of that name, with some parameters changed.

    Raises:
        InputError: there is none, or no such parameters.
    """
    if name not in FAMILIES:
        raise InputError(f"no family of graphs is called {name!r}", remedy=f"choose from {', '.join(FAMILIES)}")
    known = FAMILIES[name].parameters()
    wrong = next((each for each in parameters if each not in known), None)
    if wrong is not None:
        raise InputError(f"{name} has no parameter {wrong!r}", remedy=f"choose from {', '.join(known)}")
    return replace(FAMILIES[name], **parameters)
