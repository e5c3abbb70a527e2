"""`learnsys branch train | kida`: fit networks to samples, collected before or on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro

from learnsys.errors import InputError


def train(
    *,
    data: tuple[Path, ...],
    out: Path,
    recipe: str = "gcnn",
    seed: int = 0,
    minutes: float | None = None,
    set: tuple[str, ...] = (),
    smoke: bool = False,
    device: str = "cpu",
    threads: int = 1,
    json: bool = False,
) -> int:
    """Train a network to choose as strong branching does, on samples of `learnsys branch collect`.

    The weights of the best epoch by validation loss are kept. The same command goes on where a killed run stopped,
    and ends with the same result.

    Args:
        data: the folder of samples, with train, valid and test in it; or several, which are taken together.
        out: the run folder, which then works as a policy (--policy OUT).
        recipe: gcnn, gcnn_small (half the width), gcnn_tiny (a quarter), gcnn_paper, gcnn_kida, gcnn_kida_anonymous;
            trees (boosted, on hand-made features of the candidates) or mlp (a small network on them).
        seed: decides everything random.
        minutes: stop after the epoch in which this much time is over; the result then depends on the machine's speed.
        set: settings of the recipe to change, such as width=32 learning_rate=0.003.
        smoke: a run of seconds, which only shows that everything works.
        device: where the network is fitted, such as cpu or cuda.
        threads: of torch's arithmetic; another number can change the last digits.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import progress_report
    from learnsys.policies.branching.gcnn.config import RECIPES
    from learnsys.policies.branching.gcnn.training import train_gcnn
    from learnsys.settings import override

    if recipe in ("trees", "mlp"):
        return _train_features(data, out, recipe, seed, device, set, smoke, json)
    if recipe not in RECIPES:
        known = ", ".join([*RECIPES, "trees", "mlp"])
        raise InputError(f"no recipe is called {recipe!r}", remedy=f"choose from {known}")
    config = override(RECIPES[recipe](), set)
    if smoke:
        config = override(config, ("epoch=32", "epochs=2"))
    with progress_report(f"training {recipe}") as report:
        how: dict[str, Any] = {"seed": seed, "device": device, "threads": threads, "minutes": minutes}
        summary = train_gcnn(data, config, out, **how, about={"recipe": recipe}, report=report)
    _tell(summary, recipe, data, out, json)
    return 0


def _train_features(
    data: tuple[Path, ...],
    out: Path,
    recipe: str,
    seed: int,
    device: str,
    settings: tuple[str, ...],
    smoke: bool,
    json: bool,
) -> int:
    """The recipes on Khalil's features."""
    from learnsys.cli.console import progress_report
    from learnsys.policies.branching.features.training import RECIPES, train_features
    from learnsys.settings import override

    config = override(RECIPES[recipe](), settings)
    if smoke:
        config = override(config, ("trees=5",) if recipe == "trees" else ("epochs=2",))
    with progress_report(f"training {recipe}") as report:
        summary = train_features(data, recipe, config, out, seed=seed, device=device, report=report)
    _tell(summary, recipe, data, out, json)
    return 0


def _tell(summary: dict[str, Any], recipe: str, data: tuple[Path, ...], out: Path, json: bool) -> None:
    """How well a policy imitates, and where it lies."""
    from learnsys.cli.console import print_json, print_table

    if json:
        print_json(summary)
        return
    rows = [
        [part, summary["samples"][key], *summary[part].values()]
        for part, key in (("validation", "valid"), ("test", "test"))
    ]
    title = f"{recipe} on {', '.join(map(str, data))}"
    if "best_epoch" in summary:
        title += f", best epoch {summary['best_epoch']} of {summary['epochs']}"
    print_table(title, ["part", "samples", *summary["test"]], rows)
    chance = summary["by_chance"]
    print(f"acc@1 on the test samples: random {chance['random']:.3f}, pseudocosts {chance['pseudocost']:.3f}")
    print(f"trained policy: {out} (learnsys branch solve MODEL --policy relpscost,{out})")


def kida(
    instances: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    rounds: int = 10,
    full_every: int = 2,
    samples: int = 1_000,
    seed: int = 0,
    set: tuple[str, ...] = (),
    device: str = "cpu",
    workers: int = 1,
    smoke: bool = False,
    json: bool = False,
) -> int:
    """Train a network for the dual task of ML4CO by KIDA: collect with the last network, fit anew, average the best.

    The same command goes on where a killed run stopped, and ends with the same result.

    Args:
        instances: a family, with a preset or parameters, such as item_placement:small.
        out: the run folder, which holds the samples, too, and then works as a policy (--policy OUT).
        rounds: of collecting and fitting.
        full_every: rounds from one full-length training, and evaluation, to the next.
        samples: collected in each round for training; a fifth of them more for validation.
        seed: decides everything random.
        set: settings to change, such as node_limit=500 epochs=5 width=32 learning_rate=0.003.
        device: where the networks are fitted, such as cpu or cuda; roll-outs are made on the processor.
        workers: processes that collect and evaluate; -1 is one for each core.
        smoke: a run of seconds, which only shows that everything works.
        json: print the summary as JSON.
    """
    from learnsys.cli.console import print_json, print_table, progress_report
    from learnsys.policies.branching.gcnn.kida import KidaConfig, train_kida
    from learnsys.settings import override

    valid = max(1, samples // 5)
    config = override(KidaConfig(rounds=rounds, full_every=full_every, samples=samples, valid=valid), set)
    if smoke:
        tiny = ("rounds=2", "full_every=1", "samples=4", "valid=1", "node_limit=9", "epochs=1", "full_epochs=2")
        config = override(config, (*tiny, "instances=2", "limit=20", "epoch=16", "probability=0.5", "most_samples=3"))
    with progress_report("kida") as report:
        summary = train_kida(instances, config, out, seed=seed, device=device, workers=workers, report=report)
    if json:
        print_json(summary)
        return 0
    rows = [
        [
            "mean of rounds " + ", ".join(str(each + 1) for each in found["of_rounds"])
            if "averaged" in found
            else f"round {found['round'] + 1}",
            found["reward"],
            found["on_policy_acc@1"],
            found["on_policy_loss"],
        ]
        for found in summary["evaluated"]
    ]
    best = summary["evaluated"].index(summary["best"])
    print_table(f"KIDA on {instances}", ["network", "reward", "acc@1 on the last roll-outs", "loss there"], rows, best)
    print(f"trained policy: {out} (learnsys branch evaluate --instances {instances} --policies relpscost,gcnn={out})")
    return 0
