"""Rewards: integrals against dense sampling and by hand, arithmetic, the dual task's score."""

import json
import math
import operator
import pickle
import time
from itertools import pairwise

import numpy as np
import pytest
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr, Model
from pytest import approx

from learnsys.envs.branching import integrals
from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.integrals import DualIntegral, PrimalDualIntegral, PrimalIntegral
from learnsys.envs.branching.reward_arithmetic import Constant, RewardFunction
from learnsys.envs.branching.rewards import (
    REWARDS,
    IsDone,
    LpIterations,
    NNodes,
    PrimalImprovement,
    SolvingTime,
    as_reward,
)
from learnsys.envs.branching.tasks import DualTaskScore, dual_task
from learnsys.errors import InputError


def knapsack(rng, rows=3, items=18):
    return Knapsack(rows, items).generate(rng)


def minimised(rng):
    """The knapsack as a minimisation."""
    model = knapsack(rng)
    model.setObjective(-model.getObjective(), "minimize")
    return model


def play(reward, instances=knapsack, **arguments):
    """Rewards of an episode, the reset's first, and its last info."""
    arguments = {"scip_params": BARE, "observation": None, "form": "direct", **arguments}
    env = BranchingEnv(instances, reward=reward, **arguments)
    _, info = env.reset(seed=0)
    rewards, done = [info["reward_offset"]], False
    while not done:
        _, reward, terminated, truncated, info = env.step(info["action_set"][0] if len(info["action_set"]) else 0)
        rewards.append(reward)
        done = terminated or truncated
    env.close()
    return rewards, info


# ---- counts ----------------------------------------------------------------------------------------------------------


def test_counts_add_up_to_scip_s_own():
    for reward, name in ((NNodes(), "n_nodes"), (LpIterations(), "n_lp_iterations")):
        rewards, info = play(reward)
        assert sum(rewards) == info[name] > 20 and min(rewards) >= 0
    rewards, _ = play(IsDone())
    assert rewards == [0.0] * (len(rewards) - 1) + [1.0]
    start = time.perf_counter()
    rewards, _ = play(SolvingTime(wall=True))
    assert 0 < sum(rewards) < time.perf_counter() - start


def test_improvements_are_primal_gaps():
    class Fake:
        def __init__(self, *bounds):
            self.bounds = list(bounds)

        def getStage(self):
            return 9

        def getNSolsFound(self):
            return self.bounds[0] is not None

        def getPrimalbound(self):
            return self.bounds[0]

    model, reward = Fake(None, 10.0, 10.0, 8.0, -2.0, -4.0), PrimalImprovement()
    reward.before_reset(model)
    seen = []
    while model.bounds:
        seen.append(reward.extract(model, False))
        model.bounds.pop(0)
    assert seen == approx([0.0, 1.0, 0.0, 0.2, 1.0, 0.5])


# ---- integrals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("instances", [knapsack, minimised])
@pytest.mark.parametrize("clock", ["nodes", "lp_iterations"])
def test_integrals_equal_those_of_a_dense_sampling(instances, clock):
    """Bounds looked at on every LP, node and solution as well give the same integrals."""

    class Dense(Eventhdlr):
        def __init__(self):
            self.samples = []

        def eventinit(self):
            kinds = SCIP_EVENTTYPE
            for event in (kinds.LPEVENT, kinds.NODEEVENT, kinds.BESTSOLFOUND, kinds.DUALBOUNDIMPROVED):
                self.model.catchEvent(event, self)

        def eventexec(self, event):
            model = self.model
            found = model.getStage() > 3 and model.getNSolsFound()
            primal = model.getSolObjVal(model.getBestSol()) if found else model.getPrimalbound()
            self.samples.append((integrals.CLOCKS[clock](model), primal, model.getDualbound()))

    class Keeping:
        def before_reset(self, model):
            self.dense = Dense()
            model.includeEventhdlr(self.dense, "dense", "")

        def extract(self, model, done):
            self.dense.eventexec(None)

    def primal(model):
        return (100.0, 1e7) if model.getObjectiveSense() == "minimize" else (100.0, -1e7)

    def dual(model):
        return (100.0, -1e7) if model.getObjectiveSense() == "minimize" else (100.0, 1e7)

    def both(model):
        return primal(model)[1], dual(model)[1]

    sign = 1.0 if instances is minimised else -1.0
    heights = {
        PrimalIntegral(clock, primal): lambda p, d: sign * (sign * min(sign * p, 1e7) - 100.0),
        DualIntegral(clock, dual): lambda p, d: sign * (100.0 - sign * max(sign * d, -1e7)),
        PrimalDualIntegral(clock, both): lambda p, d: min(sign * p, 1e7) - max(sign * d, -1e7),
    }
    for reward, height in heights.items():
        keeping = Keeping()
        rewards, _ = play(
            reward, instances, information=keeping, scip_params={**BARE, "heuristics/emphasis": "default"}
        )
        samples = [(0.0, sign * 1e20, -sign * 1e20), *keeping.dense.samples]
        total = sum(height(p, d) * (later[0] - now) for (now, p, d), later in pairwise(samples))
        assert len(set(samples)) > 20 and total != 0
        assert sum(rewards) == approx(total, rel=1e-9)


class Clock:
    """Time that the test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self, model):
        return self.now


def test_integral_by_hand(monkeypatch):
    clock = Clock()
    monkeypatch.setitem(integrals.CLOCKS, "hand", clock)
    model = Model()
    model.hideOutput()
    x = model.addVar(vtype="I", lb=2)
    model.setObjective(x)
    reward = PrimalDualIntegral("hand", lambda model: (50.0, -10.0))
    reward.before_reset(model)
    clock.now = 3.0
    assert reward.extract(model, False) == 3 * (50 + 10)
    clock.now = 5.0
    model.optimize()  # both bounds become 2
    assert reward.extract(model, False) == 2 * (50 + 10)
    clock.now = 9.0
    assert reward.extract(model, True) == 0.0
    model.free()


def test_defaults_are_ecole_s():
    rewards, _ = play(DualIntegral("nodes"), minimised, node_limit=5)
    assert rewards[0] == 1e20  # one node before the root's bound is known
    assert all(abs(one) < 1e6 for one in rewards[1:])
    rewards, _ = play(DualIntegral("nodes"), knapsack, node_limit=5)
    assert rewards[0] == 1e20


def test_seconds_pass():
    for clock in ("wall", "cpu"):
        rewards, _ = play(PrimalDualIntegral(clock, lambda model: (0.0, 1e5)))
        assert sum(rewards) > 0


def test_unknown_clocks_are_told():
    with pytest.raises(InputError, match="no clock"):
        DualIntegral("sundial")


# ---- arithmetic ------------------------------------------------------------------------------------------------------


class Steps(RewardFunction):
    """1, 2, 3, ..."""

    def before_reset(self, model):
        self.count = 0

    def extract(self, model, done):
        self.count += 1
        return float(self.count)


def values(reward, n=3):
    reward.before_reset(None)
    return [reward.extract(None, False) for _ in range(n)]


def test_arithmetic():
    one = Steps()
    assert values(one + 1) == [2, 3, 4] and values(1 + one) == [2, 3, 4]
    assert values(one - 1) == [0, 1, 2] and values(1 - one) == [0, -1, -2]
    assert values(2 * one * one) == [2, 8, 18]
    assert values(one / 2) == [0.5, 1, 1.5] and values(6 / one) == [6, 3, 2]
    assert values(one // 2) == [0, 1, 1] and values(one % 2) == [1, 0, 1]
    assert values(one**2) == [1, 4, 9]
    assert values(-one) == [-1, -2, -3] and values(abs(-one)) == [1, 2, 3]
    assert values(one.cumsum()) == [1, 3, 6]
    assert values(one.apply(math.exp)) == approx([math.e, math.e**2, math.e**3])
    assert values(one.apply(max, 2)) == [2, 2, 3]
    assert values((one + one).cumsum() - one) == [1, 4, 9]
    with pytest.raises(InputError):
        one + "x"


def test_the_same_function_may_occur_twice():
    nodes = NNodes()
    rewards, info = play(nodes + nodes)
    assert sum(rewards) == 2 * info["n_nodes"]
    integral = DualIntegral("nodes", lambda model: (0.0, 100000.0))
    difference, _ = play(integral - integral)
    assert difference == [0.0] * len(difference)


def test_names_and_signs():
    for name in REWARDS:
        assert isinstance(as_reward(name), RewardFunction)
    rewards, info = play("-n_nodes")
    assert sum(rewards) == -info["n_nodes"]
    assert values(as_reward(3)) == [3, 3, 3] == values(Constant(3))
    for wrong in ("speed", None, [], NNodes, float("inf")):
        with pytest.raises(InputError):
            as_reward(wrong)


def test_rewards_are_picklable():
    reward = -0.5 * DualIntegral("nodes") + NNodes().apply(operator.mul, 2)
    reward.before_reset(knapsack(np.random.default_rng(0)))
    first, _ = play(pickle.loads(pickle.dumps(reward)))
    assert first == play(reward)[0]


# ---- the dual task ---------------------------------------------------------------------------------------------------

OPTIMUM = -play(1, minimised)[1]["primal_bound"]  # of the minimised instance, with its sign changed


def test_dual_score_by_hand():
    """Nodes as the clock: bound by node after the root, the tail up to the limit, the root's own part discarded."""

    class Bounds:
        def before_reset(self, model):
            self.seen = []

        def extract(self, model, done):
            self.seen.append((model.getNTotalNodes(), model.getDualbound()))

    bounds = Bounds()
    limit, initial = 2000, -OPTIMUM * 1.02
    arguments = dual_task(limit, lambda model: (1e20, initial), "nodes")
    arguments["scip_params"] = {**arguments["scip_params"], **BARE}
    rewards, info = play(arguments.pop("reward"), minimised, information=bounds, **arguments)
    assert rewards[0] == 0.0 and info["status"] == "optimal"
    first, last = bounds.seen[0][0], bounds.seen[-1]
    held = 0.0
    for (now, bound), (later, _) in pairwise(bounds.seen):
        held += max(bound, initial) * (later - now)
    tail = last[1] * (first + limit - last[0])
    assert sum(rewards) == approx(info["dual_score"]) == approx(held + tail, rel=1e-3)
    assert info["raw_dual_score"] == approx(info["dual_score"])
    assert sum(rewards) < limit * -OPTIMUM < 0


def test_lp_iterations_as_the_clock_end_the_episode():
    """The bound by LP iteration, the first decision's at 0 and none beyond the limit."""
    seen = []

    class Watch:
        def before_reset(self, model):
            pass

        def extract(self, model, done):
            seen.append((model.getNLPIterations(), model.getDualbound()))

    limit = 40
    arguments = dual_task(limit, lambda model: (1e20, -1e6), "lp_iterations")
    arguments["scip_params"] = {**arguments["scip_params"], **BARE}
    rewards, info = play(arguments.pop("reward"), minimised, information=Watch(), **arguments)
    first = seen[0][0]
    assert info["status"] == "totalnodelimit" and seen[-1][0] >= first + limit > seen[-3][0]
    held = sum(
        bound * (min(later, first + limit) - now) for (now, bound), (later, _) in pairwise(seen) if now < first + limit
    )
    assert sum(rewards) == approx(held, rel=0.01)


def test_dual_score_is_clipped_at_the_objective_limit():
    """With the objective limit at the optimum SCIP ends infeasible with a dual bound of 1e20."""
    arguments = dual_task(500, lambda model: (-OPTIMUM, -1e6), "nodes")
    arguments["scip_params"] = {**arguments["scip_params"], **BARE}
    rewards, info = play(arguments.pop("reward"), minimised, **arguments)
    assert info["status"] == "infeasible" and info["dual_bound"] == 1e20
    assert -1e6 * 500 < sum(rewards) <= 500 * -OPTIMUM
    assert info["raw_dual_score"] > 1e20


def test_dual_score_of_a_maximisation_is_the_negative_of_the_bound():
    arguments = dual_task(2000, lambda model: (0.0, 1e5), "nodes")
    arguments["scip_params"] = {**arguments["scip_params"], **BARE}
    rewards, info = play(arguments.pop("reward"), knapsack, **arguments)
    assert info["status"] == "optimal"
    assert -2000 * 1e5 < sum(rewards) < -2000 * info["dual_bound"]


def test_work_after_the_limit_does_not_count():
    """SCIP looks at its own clock, and between nodes only: an agent that sleeps through the limit gains nothing."""
    arguments = dual_task(0.2, lambda model: (1e20, -1e6))
    arguments["scip_params"] = {**arguments["scip_params"], **BARE}
    env = BranchingEnv(minimised(np.random.default_rng(0)), form="direct", **arguments)
    _, info = env.reset(seed=0)
    bound = env.model.getDualbound()
    time.sleep(0.5)  # while the dual bound of the root holds
    _, reward, _, truncated, info = env.step(info["action_set"][0])
    assert truncated and info["status"] == "timelimit"
    assert reward == info["dual_score"] == approx(0.2 * bound)
    env.close()


def test_the_time_limit_counts_from_the_first_decision(tmp_path):
    model = knapsack(np.random.default_rng(0), 8, 60)
    path = tmp_path / "item_1.mps"
    model.writeProblem(str(path), verbose=False)
    (tmp_path / "item_1.json").write_text(json.dumps({"primal_bound": 0.0, "dual_bound": -1e9}))
    env = BranchingEnv(path, form="direct", **dual_task(2.0))
    _, info = env.reset(seed=0)
    started = env.model.getSolvingTime()
    assert started <= env.model.getParam("limits/time") <= started + 2
    assert info["reward_offset"] == 0.0
    truncated = False
    while not truncated:
        _, _, terminated, truncated, info = env.step(info["action_set"][0])
        assert not terminated
    assert info["status"] == "timelimit"
    env.close()
    (tmp_path / "item_1.json").write_text("{}")
    env = BranchingEnv(path, form="direct", **dual_task(0.3))
    with pytest.raises(InputError, match="lacks the bounds"):
        env.reset(seed=0)
    (tmp_path / "item_1.json").unlink()
    with pytest.raises(InputError, match="no such file"):
        env.reset(seed=0)
    env.close()
    with pytest.raises(InputError):
        DualTaskScore(limit=0)
    with pytest.raises(InputError, match="no clock"):
        DualTaskScore(clock="sundial")
