"""`learnsys mis train`: train a policy for maximum independent sets on graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.graphs import Graph


def train(
    graphs: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    recipe: str = "learnsys_mis",
    mixed: bool = False,
    count: int = 100,
    seed: int = 0,
    minutes: float | None = None,
    set: tuple[str, ...] = (),
    smoke: bool = False,
    device: str = "cpu",
    jobs: int = 1,
    json: bool = False,
) -> int:
    """Train a policy for maximum independent sets; the last tenth of the graphs chooses the best network.

    The same command goes on where a killed run stopped, and ends with the same result.

    Args:
        graphs: a folder of graph files, a file, or the name of a family (rb-small, er-700-800, ...), of which --count
            graphs are drawn.
        out: the run folder, which then works as a policy (--policy OUT).
        recipe: learnsys_mis (scores taught by local search), comparator (the paper's self-training), comparator_mixed,
            comparator_spread (decisions of all stages), comparator_cover (vertex covers).
        mixed: let greedy sets compete when the comparator labels its graphs, as comparator_mixed does.
        count: graphs drawn from a family.
        seed: decides everything random, the family's graphs included.
        minutes: stop after the round in which this much time is over; the result then depends on the machine's speed.
        set: settings of the recipe to change, such as training.epochs=10 width=16.
        smoke: a run of seconds, which only shows that everything works.
        device: where the network is fitted, such as cpu or cuda; roll-outs are made on the processor.
        jobs: threads that roll out and label; results do not depend on it.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.policies.independent_set.comparator.config import RECIPES as COMPARATORS
    from learnsys.policies.independent_set.learned.config import RECIPES as LEARNED
    from learnsys.policies.independent_set.training import train_on_graphs
    from learnsys.settings import override

    recipes: dict[str, Any] = {**LEARNED, **COMPARATORS}
    if recipe not in recipes:
        raise InputError(f"no recipe is called {recipe!r}", remedy=f"choose from {', '.join(recipes)}")
    if mixed and recipe not in COMPARATORS:
        raise InputError("--mixed is for comparators", remedy="choose --recipe comparator or leave --mixed out")
    config = override(recipes[recipe](), (*set, *(("training.mixed=True",) if mixed else ())))
    if smoke:
        config = override(config, _SMOKE[recipe in COMPARATORS])
    given = _graphs(graphs, min(count, 4) if smoke else count, seed)
    about = {"recipe": recipe, "graphs": graphs}
    how: dict[str, Any] = {"seed": seed, "device": device, "jobs": jobs, "minutes": minutes}
    with progress_report(f"training {recipe}") as report:
        summary = train_on_graphs(given, config, out, **how, about=about, report=report)
    if json:
        print_json(summary)
        return 0
    found = summary["validation"]
    rows = [["greedy", found["greedy"]], [recipe, found["size"]]]
    print_table(
        f"{found['graphs']} graphs not trained on",
        ["policy", "size"],
        rows,
    )
    print(f"trained policy: {out} (learnsys mis solve GRAPH --policy {out})")
    return 0


_SMOKE = {
    True: ("roots=2", "kept=4", "roll_outs=1", "sample=8", "batch=4", "training.epochs=1", "loop.rounds=2"),
    False: ("states=4", "solutions=1", "iterations=20", "training.epochs=1", "loop.rounds=2"),
}


def _graphs(name: str, count: int, seed: int) -> list[Graph]:
    """The graphs of a folder or file, or the first of a family's.

    Raises:
        InputError: there are none.
    """
    from learnsys.graphs import FAMILIES, make_family
    from learnsys.graphs.io import graph_files

    path = Path(name)
    if not path.exists() and name in FAMILIES:
        return [make_family(name).graph(seed, index) for index in range(count)]
    if not path.exists():
        raise InputError(
            "no such file or folder, and no family of graphs", file=name, remedy=f"families are {', '.join(FAMILIES)}"
        )
    return [graph for _, graph in graph_files(path)]
