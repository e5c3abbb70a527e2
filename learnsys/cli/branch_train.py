"""`learnsys branch train`: fit a network to collected samples."""

from __future__ import annotations

from pathlib import Path

from learnsys.errors import InputError


def train(
    *,
    data: Path,
    out: Path,
    recipe: str = "gcnn",
    seed: int = 0,
    minutes: float | None = None,
    set: tuple[str, ...] = (),
    smoke: bool = False,
    threads: int = 1,
    json: bool = False,
) -> int:
    """Train a network to choose as strong branching does, on samples of `learnsys branch collect`.

    The weights of the best epoch by validation loss are kept. The same command goes on where a killed run stopped,
    and ends with the same result.

    Args:
        data: the folder of samples, with train, valid and test in it.
        out: the run folder, which then works as a policy (--policy OUT).
        recipe: gcnn, gcnn_small (half the width), gcnn_tiny (a quarter), gcnn_paper, gcnn_kida, gcnn_kida_anonymous.
        seed: decides everything random.
        minutes: stop after the epoch in which this much time is over; the result then depends on the machine's speed.
        set: settings of the recipe to change, such as width=32 learning_rate=0.003.
        smoke: a run of seconds, which only shows that everything works.
        threads: of torch's arithmetic; another number can change the last digits.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.policies.branching.gcnn.config import RECIPES
    from learnsys.policies.branching.gcnn.training import train_gcnn
    from learnsys.settings import override

    if recipe not in RECIPES:
        raise InputError(f"no recipe is called {recipe!r}", remedy=f"choose from {', '.join(RECIPES)}")
    config = override(RECIPES[recipe](), set)
    if smoke:
        config = override(config, ("epoch=32", "epochs=2"))
    with progress_report(f"training {recipe}") as report:
        summary = train_gcnn(
            data, config, out, seed=seed, threads=threads, minutes=minutes, about={"recipe": recipe}, report=report
        )
    if json:
        print_json(summary)
        return 0
    columns = ["part", "samples", *summary["test"]]
    rows = [
        [part, summary["samples"][key], *summary[part].values()]
        for part, key in (("validation", "valid"), ("test", "test"))
    ]
    print_table(f"{recipe} on {data}, best epoch {summary['best_epoch']} of {summary['epochs']}", columns, rows)
    chance = summary["by_chance"]
    print(f"acc@1 on the test samples: random {chance['random']:.3f}, pseudocosts {chance['pseudocost']:.3f}")
    print(f"trained policy: {out} (learnsys branch solve MODEL --policy relpscost,{out})")
    return 0
