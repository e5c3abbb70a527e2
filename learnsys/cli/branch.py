"""`learnsys branch solve`: SCIP with a branching policy, watched live."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from learnsys.errors import InputError

if TYPE_CHECKING:
    from pyscipopt import Model

    from learnsys.policies.branching.solve import Solved

_REFRESH = 0.1


def solve(
    model: Annotated[Path, tyro.conf.Positional],
    policy: str = "relpscost",
    seed: int | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    memory_limit: float | None = None,
    set: tuple[str, ...] = (),
    device: str = "cpu",
    json: bool = False,
    out: Path | None = None,
    solution: Path | None = None,
) -> int:
    """Solve a model with SCIP and a branching policy; show bounds and gap while it runs, and the tree at the end.

    Ctrl-C stops SCIP and shows what was found.

    Args:
        model: a file (.mps, .lp, .cip, also .gz), or a family of instances such as setcover:tiny.
        policy: names, separated by commas; the model is solved with one after the other. Rules of SCIP: relpscost,
            pscost, fullstrong, mostinf, inference, random, ...; asked at each node: first, uniform, most_fractional,
            pseudocost, strong_branching, ... A wrong name lists all. Trained ones: a folder, or gcnn:setcover. "auto"
            tries the simple rules and those trained for the family, 10 CPU seconds each, on other instances of it, or
            on the model itself if it is a file, and takes the best; "auto:relpscost+runs/gcnn" names the candidates.
        seed: of SCIP's permutations and random numbers and of the policy; without it, SCIP permutes nothing.
        time_limit: seconds.
        node_limit: nodes, those before restarts included.
        memory_limit: MB of SCIP's own memory.
        set: SCIP parameters, as name=value; presolving/emphasis, heuristics/emphasis and separating/emphasis=off, too.
        device: where networks decide: cpu (fused kernels), or another device of torch, such as cuda.
        json: print JSON instead of tables.
        out: a run folder for the results: summary.json, timings.json.
        solution: write the best solution found there (.sol of SCIP); with one policy only.
    """
    from learnsys.cli.console import print_json, print_table
    from learnsys.policies.branching.registry import make_branching_policy
    from learnsys.policies.devices import about as about_device
    from learnsys.policies.devices import all_on_device
    from learnsys.runs import Run

    names = [name for name in policy.split(",") if name]
    chosen = {name: _choose(name, model, device) if name.partition(":")[0] == "auto" else name for name in names}
    policies = {name: make_branching_policy(text, str(model).partition(":")[0]) for name, text in chosen.items()}
    if not names or (solution is not None and len(names) > 1):
        raise InputError("--solution needs exactly one policy" if names else "no policy is given")
    all_on_device(policies, device)
    limits = {"limits/time": time_limit, "limits/totalnodes": node_limit, "limits/memory": memory_limit}
    parameters = {**{name: value for name, value in limits.items() if value is not None}, **parse_parameters(set)}
    run = None
    if out is not None:
        about = {"model": str(model), "policies": names, "seed": seed, "scip_params": parameters}
        run = Run(out, about | about_device(device))
    results: dict[str, Solved] = {}
    interrupted = False
    for name in names:
        instance = _read(model, seed)
        try:
            results[name], interrupted = _watch(instance, name, policies[name], seed, parameters)
            if solution is not None:
                _write_solution(instance, solution)
        finally:
            instance.free()
        if interrupted:
            break
    if run is not None and not interrupted:
        times = {name: {"seconds": one.seconds, "policy_seconds": one.policy_seconds} for name, one in results.items()}
        run.finish({"model": str(model), "results": {name: one.lasting() for name, one in results.items()}}, times)
    if json:
        print_json([{"model": str(model), "policy": name, **asdict(one)} for name, one in results.items()])
    else:
        columns = [_column(one) for one in results.values()]
        print_table(model.name, ("", *results), [(row, *(column[row] for column in columns)) for row in columns[0]])
    return 130 if interrupted else 0


def _choose(text: str, model: Path, device: str) -> str:
    """The policy that "auto" stands for on this model."""
    from learnsys.cli.console import progress_bar
    from learnsys.policies.branching.choice import choose, parse_candidates
    from learnsys.policies.branching.protocol import VALIDATION_SEED, EvaluationConfig

    family = str(model).partition(":")[0]
    config = EvaluationConfig(
        str(model),
        parse_candidates(text, family),
        count=3,
        instance_seed=VALIDATION_SEED,
        seeds=1,
        time_limit=10.0,
        device=device,
    )
    with progress_bar("trying policies", len(config.names()) * len(config.policies)) as advance:
        chosen, ranked = choose(config, report=advance)
    times = ", ".join(f"{each.policy} {each.seconds:.2f} s" for each in ranked)
    print(f"{text} is {chosen} ({times})", file=sys.stderr)
    return chosen


def _read(model: Path, seed: int | None) -> Model:
    from learnsys.envs.branching.instances import FAMILIES, parse_family
    from learnsys.envs.branching.models import read_model

    text = str(model)
    if not model.exists() and text.partition(":")[0] in FAMILIES:
        return parse_family(text).instance(seed or 0).to_model()
    return read_model(model)


def parse_parameters(texts: tuple[str, ...]) -> dict[str, Any]:
    """SCIP parameters written as name=value, with the types that SCIP wants."""
    from learnsys.envs.branching.models import check_parameters, parse_parameter

    parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} sets nothing", remedy="write name=value, such as limits/gap=0.01")
        parameters[name] = parse_parameter(name, value)
    check_parameters(parameters)
    return parameters


def _watch(instance: Model, name: str, policy: Any, seed: int | None, parameters: Any) -> tuple[Solved, bool]:
    """Solve in a thread, so that the terminal stays alive and Ctrl-C is heard during long LPs."""
    from pyscipopt import SCIP_STAGE
    from rich.console import Console
    from rich.live import Live

    from learnsys.policies.branching.solve import solve as run

    text, shown_at = f"{name}: presolving", 0.0
    start = time.perf_counter()
    outcome: list[Any] = []
    done = threading.Event()

    def look(model: Model) -> None:
        nonlocal text, shown_at
        now = time.perf_counter()
        if now - shown_at > _REFRESH and model.getStage() == SCIP_STAGE.SOLVING:
            text, shown_at = _line(model, name, now - start), now

    def work() -> None:
        try:
            outcome.append(run(instance, policy, seed=seed, scip_params=parameters, watch=look))
        except BaseException as error:
            outcome.append(error)
        finally:
            done.set()

    console = Console(stderr=True)
    live: Any = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else nullcontext()
    interrupted = False
    thread = threading.Thread(target=work, name="scip")
    with live as display:
        thread.start()
        while not done.is_set():
            try:
                done.wait(_REFRESH)  # not join, after whose interruption a thread counts as ended (Python 3.11)
                if display is not None:
                    display.update(text)
            except KeyboardInterrupt:
                interrupted = True
                instance.interruptSolve()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0], interrupted


def _line(model: Model, name: str, seconds: float) -> str:
    gap = model.getGap()
    return (
        f"{name}: {seconds:.1f} s, {model.getNTotalNodes()} nodes, {model.getNNodesLeft()} open, "
        f"dual {model.getDualbound():.8g}, primal {model.getPrimalbound():.8g}, "
        f"gap {f'{100 * gap:.2f} %' if gap < 1e19 else 'infinite'}"
    )


def _column(one: Solved) -> dict[str, Any]:
    """What the table says about a solving process, by row."""
    bounds = [f"{bound:.10g}" if abs(bound) < 1e20 else "none" for bound in (one.dual_bound, one.primal_bound)]
    return {
        "status": one.status,
        "dual bound": bounds[0],
        "primal bound": bounds[1],
        "gap %": f"{100 * one.gap:.2f}" if one.gap < 1e19 else "infinite",
        "solutions found": one.n_solutions,
        "nodes": one.n_nodes,
        "  branched on": one.n_branched,
        "  infeasible or cut off": one.n_infeasible,
        "  feasible": one.n_feasible,
        "deepest node": one.max_depth,
        "LP iterations": one.n_lp_iterations,
        "decisions of the policy": one.n_decisions,
        "seconds": f"{one.seconds:.2f}",
        "  in the policy": f"{one.policy_seconds:.2f}",
    }


def _write_solution(instance: Model, path: Path) -> None:
    from learnsys.files import atomic_path

    if not instance.getNSols():
        raise InputError("there is no solution to write", remedy="raise the limits")
    with atomic_path(path) as temporary:
        instance.writeBestSol(str(temporary), write_zeros=False)
