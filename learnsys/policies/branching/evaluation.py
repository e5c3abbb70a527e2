"""Run branching policies on the same instances and seeds, measured as the field does; `comparison` sums it up."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pyscipopt import SCIP_EVENTTYPE, SCIP_RESULT, Branchrule, Eventhdlr, Model

from learnsys.envs.branching.instances import FAMILIES, parse_family
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import BOUNDS_EXIST, INFINITY, SOLVED, objective_sense, read_model, set_parameters
from learnsys.envs.branching.sources import find_files
from learnsys.envs.branching.tasks import DUAL_TASK_PARAMETERS, DualTaskScore
from learnsys.errors import InputError
from learnsys.files import locked
from learnsys.parallel import run_parallel
from learnsys.policies.branching.base import BranchingPolicy, ScipRule
from learnsys.policies.branching.dual_task import first_bounds
from learnsys.policies.branching.protocol import EVALUATION_SEED, FIELD_PARAMETERS
from learnsys.policies.branching.registry import make_branching_policy
from learnsys.policies.branching.solve import solve
from learnsys.runs import Run, read_metrics

_FIRST, _SCIP_RULE = 30_000_000, 5_000_000
"""priorities of the rule that sees the root first, and of the rule of SCIP that is evaluated"""
_POINTS = 200
"""points kept of a bound's course"""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is compared, on what, under which settings."""

    instances: str
    """a family ("setcover", "item_placement:small"), a model file or a directory of them"""
    policies: tuple[tuple[str, str], ...]
    """(label, name or folder)"""
    count: int = 20
    """instances of a family"""
    instance_seed: int = EVALUATION_SEED
    """of the family's sequence; samples were collected from another one"""
    seeds: int = 3
    """solving processes of each policy on each instance: with SCIP's and the policy's seed 0, 1, ..."""
    time_limit: float = 3600.0
    """seconds of CPU time of a solving process; in the dual task, after the root"""
    node_limit: int | None = None
    """nodes of a solving process"""
    dual_task: bool = False
    """the ML4CO dual task: primal heuristics off, an objective limit, the root free of charge, scored by the integral
    of the dual bound"""
    scip_params: dict[str, Any] = field(default_factory=dict)
    """set last"""

    def __post_init__(self) -> None:
        if not self.policies or min(self.count, self.seeds) < 1 or self.instance_seed < 0 or not self.time_limit > 0:
            raise InputError("a comparison needs policies, instances, seeds and a time limit above 0")
        if len(dict(self.policies)) < len(self.policies):
            raise InputError("two policies have the same label", remedy="give others: LABEL=FOLDER")

    @property
    def family(self) -> str | None:
        """The family's name without its preset and parameters; None for files."""
        name = self.instances.partition(":")[0]
        return name if name in FAMILIES and not os.path.exists(self.instances) else None

    def names(self) -> list[str]:
        """The instances: numbers of a family's, or files."""
        if self.family is not None:
            return [str(index) for index in range(self.count)]
        return [str(path) for path in find_files(Path(self.instances))]

    def model(self, name: str) -> Model:
        """The instance of that name, in stage PROBLEM."""
        if self.family is None:
            return read_model(name)
        return parse_family(self.instances).instance(self.instance_seed, int(name)).to_model()

    def parameters(self) -> dict[str, Any]:
        """SCIP's parameters, without those of a policy."""
        limits: dict[str, Any] = {} if self.node_limit is None else {"limits/totalnodes": self.node_limit}
        if not self.dual_task:
            limits["limits/time"] = self.time_limit
        settings = DUAL_TASK_PARAMETERS if self.dual_task else FIELD_PARAMETERS
        return {"timing/clocktype": 1, **settings, **limits, **self.scip_params}


class _RootSeen(Branchrule):
    """Does nothing but tell when the root is ready to be branched on, whoever branches."""

    def __init__(self, seen: Callable[[], None]) -> None:
        self.seen: Callable[[], None] | None = seen

    def branchexeclp(self, allowaddcons: bool) -> dict[str, Any]:
        if self.seen is not None:
            self.seen()
            self.seen = None
        return {"result": SCIP_RESULT.DIDNOTRUN}

    branchexecps = branchexecext = branchexeclp


class _Course(Eventhdlr):
    """The bounds over the time."""

    events = (SCIP_EVENTTYPE.DUALBOUNDIMPROVED, SCIP_EVENTTYPE.BESTSOLFOUND)

    def __init__(self) -> None:
        self.start = time.process_time()
        self.points: list[tuple[float, int, float, float]] = []

    def eventinit(self) -> None:
        for event in self.events:
            self.model.catchEvent(event, self)

    def eventexec(self, event: Any) -> None:
        self.look(self.model)

    def look(self, model: Model) -> None:
        """Add a point: CPU seconds, nodes, dual and primal bound."""
        if model.getStage() in BOUNDS_EXIST:
            seconds = time.process_time() - self.start
            self.points.append((seconds, model.getNTotalNodes(), model.getDualbound(), model.getPrimalbound()))

    def kept(self) -> list[tuple[float, int, float, float]]:
        """At most `_POINTS` of the points, the first and the last among them."""
        step = max(1, -(-len(self.points) // _POINTS))
        kept = self.points[::step]
        return kept + self.points[-1:] if self.points and kept[-1] != self.points[-1] else kept


def run_once(
    model: Model,
    policy: BranchingPolicy | ScipRule,
    seed: int,
    config: EvaluationConfig,
    bounds: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """One solving process; all that is known of it afterwards. The model is freed.

    Args:
        bounds: initial primal and dual bound, for the dual task.
    """
    root: dict[str, float] = {}
    course = _Course()
    score = None if bounds is None else DualTaskScore(config.time_limit, lambda _: bounds, "cpu")
    parameters = config.parameters()
    if isinstance(policy, ScipRule):
        parameters[f"branching/{policy.rule}/priority"] = _SCIP_RULE  # below the rule that sees the root

    def at_root() -> None:
        root["cpu"] = time.process_time() - course.start
        course.look(model)
        if score is not None:
            score.extract(model, False)

    try:
        set_parameters(model, parameters)
        if score is not None:
            score.before_reset(model)
        model.includeEventhdlr(course, "learnsys_course", "follows the bounds")
        model.includeBranchrule(_RootSeen(at_root), "learnsys_root", "sees the root", _FIRST, 0, 1.0)
        done = solve(model, policy, seed=seed, scip_params=parameters)
        seconds = time.process_time() - course.start
        course.look(model)
        found = {
            **{name: getattr(done, name) for name in ("status", "primal_bound", "dual_bound", "gap")},
            "sense": objective_sense(model),
            "nodes": done.n_nodes,
            "lp_iterations": done.n_lp_iterations,
            "decisions": done.n_decisions,
            "solved": done.status in SOLVED,
            "seconds": seconds,
            "after_root": seconds - root.get("cpu", seconds),
            "wall_seconds": done.seconds,
            "policy_seconds": done.policy_seconds,
            "course": course.kept(),
        }
        if score is not None:
            if not root:
                score.extract(model, False)
            score.extract(model, True)
            found["score"] = score.report()["dual_score"]
        return found
    finally:
        model.free()


def initial_bounds(config: EvaluationConfig, name: str) -> tuple[float, float]:
    """What the dual task starts from: the first solution that SCIP finds, and the value of the first LP.

    Raises:
        InputError: there is no solution.
    """
    model = config.model(name)
    try:
        primal, dual = first_bounds(model)
    finally:
        model.free()
    if abs(primal) >= INFINITY:
        raise InputError("the dual task needs a first solution, and there is none", file=name)
    return primal, dual


# ---- all of them -----------------------------------------------------------------------------------------------------


def evaluate(
    config: EvaluationConfig,
    *,
    workers: int = 1,
    backend: str = "loky",
    address: str | None = None,
    out: Path | None = None,
    report: Callable[[int], None] = lambda runs: None,
) -> list[dict[str, Any]]:
    """Run every policy on every instance with every seed, and return what `run_once` found with their names.

    The policies follow each other on the same core, in an order that changes from one instance to the next, so that
    they meet the same noise. Each process keeps to a core of its own.

    Args:
        workers, backend, address: as in `run_parallel`.
        out: a run folder; what an earlier run, finished or killed, has measured there is not measured again.
        report: called with the number of runs as they are done.

    Raises:
        InputError: unknown policies or instances, or `out` holds another comparison.
    """
    for _, text in config.policies:
        make_branching_policy(text, config.family)  # complain before anything runs
    names, labels = config.names(), [label for label, _ in config.policies]
    with ExitStack() as stack:
        run: Run | None = None
        rows: list[dict[str, Any]] = []
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out))
            run, rows = _known(config, out, names)
        report(len(rows))
        done = {(row["instance"], row["seed"], row["policy"]) for row in rows}
        cores = stack.enter_context(tempfile.TemporaryDirectory(prefix="learnsys-cores-"))
        jobs = []
        for seed in range(config.seeds):
            for number, name in enumerate(names):
                turn = (number + seed) % len(labels)
                left = [label for label in labels[turn:] + labels[:turn] if (name, seed, label) not in done]
                if left:
                    jobs.append((config, name, seed, tuple(left), cores))
        for found in run_parallel(_run_all, jobs, workers=workers, backend=backend, address=address):
            for row in found:
                rows.append(row)
                if run is not None:
                    run.log(**row)
                report(1)
    order = {name: number for number, name in enumerate(names)}
    return sorted(rows, key=lambda row: (order[row["instance"]], row["seed"], labels.index(row["policy"])))


def _known(config: EvaluationConfig, out: Path, names: Sequence[str]) -> tuple[Run, list[dict[str, Any]]]:
    """The run folder, and what of the comparison has been measured there."""
    # more instances, seeds and policies may be added to what is there; all else must be the same
    grows = ("policies", "count", "seeds")
    run = Run(out, {key: value for key, value in asdict(config).items() if key not in grows})
    run.rewind("seed", math.inf)  # drops a half-written line
    texts = dict(config.policies)
    rows = [
        row
        for row in read_metrics(out)
        if row["policy"] in texts and row["instance"] in names and row["seed"] < config.seeds
    ]
    for row in rows:
        if row["name"] != texts[row["policy"]]:
            raise InputError(
                f"holds results of another policy called {row['policy']}: {row['name']}",
                file=out,
                remedy="give this one another label: LABEL=FOLDER",
            )
    return run, rows


def _run_all(config: EvaluationConfig, name: str, seed: int, labels: Sequence[str], cores: str) -> list[dict[str, Any]]:
    texts = dict(config.policies)
    with _own_core(Path(cores)):
        policies = {label: _ready(texts[label], config.family) for label in labels}
        bounds = initial_bounds(config, name) if config.dual_task else None
        return [
            {
                "instance": name,
                "seed": seed,
                "policy": label,
                "name": texts[label],
                **run_once(config.model(name), policies[label], seed, config, bounds),
            }
            for label in labels
        ]


@lru_cache(maxsize=64)
def _ready(text: str, family: str | None) -> BranchingPolicy | ScipRule:
    """The policy, after a first solving process that loads all code it needs."""
    policy = make_branching_policy(text, family)
    model = Knapsack(2, 11).instance(0).to_model()
    bare = {"presolving/emphasis": "off", "heuristics/emphasis": "off", "separating/emphasis": "off"}
    try:
        solve(model, policy, seed=0, scip_params={**bare, "limits/totalnodes": 5})
    finally:
        model.free()
    return policy


@contextmanager
def _own_core(folder: Path) -> Iterator[None]:
    """Keep this process to a core that no other one has claimed; where there is none left, to those it had."""
    if not hasattr(os, "sched_getaffinity") or not folder.is_dir():
        yield
        return
    before = os.sched_getaffinity(0)
    for core in sorted(before):
        with open(folder / str(core), "w") as claim:
            try:
                fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            try:
                os.sched_setaffinity(0, {core})
                yield
            finally:
                os.sched_setaffinity(0, before)
            return
    yield
