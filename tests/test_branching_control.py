"""Control inversion: the same tree as a callback, no leak, nothing lost on exceptions."""

import gc
import os
import random
import threading

import gymnasium as gym
import numpy as np
import pytest
from pyscipopt import SCIP_EVENTTYPE, Eventhdlr

from learnsys.envs.branching import control
from learnsys.envs.branching.base import BARE
from learnsys.envs.branching.candidates import branch, candidates
from learnsys.envs.branching.control import Episode, SolverError
from learnsys.envs.branching.dynamics import BRANCHED, AskingRule
from learnsys.envs.branching.environment import BranchingEnv
from learnsys.envs.branching.instances.knapsack import Knapsack
from learnsys.envs.branching.models import copy_model, seed_parameters, set_parameters


def knapsack(rng, rows=3, items=18):
    return Knapsack(rows, items).generate(rng)


PARAMETERS = {**BARE, "misc/catchctrlc": False, **seed_parameters(np.random.default_rng(5))}


def prepared(rows=5, items=25):
    model = knapsack(np.random.default_rng(1), rows, items)
    set_parameters(model, PARAMETERS)
    rule = AskingRule()
    model.includeBranchrule(rule, "asks", "", 10_000_000, -1, 1.0)
    return model, rule


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1])


def middle(model):
    found = candidates(model)
    return int(found[len(found) // 2])


def outcome(model):
    return model.getNTotalNodes(), model.getNLPIterations(), model.getStatus(), model.getDualbound()


def run_inverted():
    model, rule = prepared()
    episode = Episode(model, rule)
    chosen = []
    waiting = episode.resume()
    while waiting:
        chosen.append(middle(model))
        episode.claim()
        branch(model, chosen[-1])
        waiting = episode.resume(BRANCHED)
    result = outcome(model)
    episode.close()
    return chosen, result


def test_greenlet_callback_and_environment_make_the_same_tree():
    inverted = run_inverted()
    model, rule = prepared()
    chosen = []

    def decide(allowaddcons):
        chosen.append(middle(model))
        branch(model, chosen[-1])
        return BRANCHED

    control.solve(model, rule, decide)
    assert len(chosen) > 100
    assert (chosen, outcome(model)) == inverted
    model.free()

    pristine = knapsack(np.random.default_rng(1), 5, 25)
    env = BranchingEnv(pristine, observation=None, form="direct", scip_params=PARAMETERS)
    _, info = env.reset(seed=3)
    played = []
    while info["action_mask"].any():
        played.append(middle(env.model))
        _, _, _, _, info = env.step(played[-1])
    assert played == chosen
    assert (info["n_nodes"], info["n_lp_iterations"], info["status"]) == inverted[1][:3]
    env.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
@pytest.mark.parametrize("end", ["close", "drop", "reset", "interrupt"])
def test_resets_leak_nothing(end):
    base = knapsack(np.random.default_rng(2), 2, 10)
    set_parameters(base, PARAMETERS)
    rng = random.Random(0)
    env = BranchingEnv(base, form="direct", scip_params=BARE) if end == "reset" else None
    after_warming = 0
    for count in range(1000 if end == "reset" else 300):
        if env is not None:
            _, info = env.reset()
            for _ in range(rng.randrange(8)):
                if not info["action_mask"].any():
                    break
                info = env.step(info["action_set"][0])[4]
        else:
            model = copy_model(base)
            rule = AskingRule()
            model.includeBranchrule(rule, "asks", "", 10_000_000, -1, 1.0)
            episode = Episode(model, rule)
            waiting = episode.resume()
            for _ in range(rng.randrange(8)):
                if waiting:
                    episode.claim()
                    branch(model, middle(model))
                    waiting = episode.resume(BRANCHED)
            nodes = model.getNTotalNodes()
            if end == "interrupt" and waiting:
                episode.interrupt()
                assert model.getNTotalNodes() <= nodes and not episode.waiting
            if end in ("close", "interrupt"):
                episode.close()
            del episode, model, rule
        if count == 99:
            gc.collect()
            after_warming = resident()
    gc.collect()
    assert resident() <= 1.05 * after_warming
    if env is not None:
        env.close()


def test_episodes_interleave_in_one_thread():
    expected, _ = run_inverted()
    models = [prepared() for _ in range(5)]
    episodes = [Episode(model, rule) for model, rule in models]
    played = [[] for _ in episodes]
    waiting = {place: episode.resume() for place, episode in enumerate(episodes)}
    rng = random.Random(1)
    for _ in range(400):
        place = rng.choice(list(waiting))
        if place == 4 and len(played[4]) == 20 and episodes[4] is not None:
            episodes[4] = None  # dropped in the middle
            del waiting[4]
            continue
        model = models[place][0]
        played[place].append(middle(model))
        episodes[place].claim()
        branch(model, played[place][-1])
        if not episodes[place].resume(BRANCHED):
            del waiting[place]
        if not waiting:
            break
    for one in played:
        assert one and one == expected[: len(one)]
    for episode in episodes:
        if episode is not None:
            episode.close()
            episode.close()
            with pytest.raises(SolverError, match="closed"):
                _ = episode.model


class Fails(Exception):
    pass


class FailingReward:
    """Raises at the third decision."""

    def before_reset(self, model):
        self.calls = 0

    def extract(self, model, done):
        self.calls += 1
        if self.calls == 3:
            raise Fails("on purpose")
        return 0.0


class FailingHandler(Eventhdlr):
    """Raises inside SCIP."""

    def eventinit(self):
        self.model.catchEvent(SCIP_EVENTTYPE.NODEBRANCHED, self)

    def eventexec(self, event):
        raise Fails("inside SCIP")


def test_exceptions_of_functions_and_callbacks_come_out_and_the_next_reset_works(capfd):
    env = BranchingEnv("knapsack:tiny", reward=FailingReward(), form="direct")
    _, info = env.reset(seed=0)
    _, _, _, _, info = env.step(info["action_set"][0])
    with pytest.raises(Fails, match="on purpose"):
        env.step(info["action_set"][0])
    with pytest.raises(gym.error.ResetNeeded):
        env.step(info["action_set"][0])
    env.reset(seed=0)
    env.close()

    class Including:
        def before_reset(self, model):
            model.includeEventhdlr(FailingHandler(), "fails", "")

        def extract(self, model, done):
            return None

    env = BranchingEnv("knapsack:tiny", observation=None, information=Including(), form="direct")
    for _ in range(2):
        _, info = env.reset(seed=0)
        with pytest.raises(Fails, match="inside SCIP"):
            for _ in range(5):
                env.step(info["action_set"][0])
    env.close()
    assert "Exception ignored" not in capfd.readouterr().err


def test_exceptions_of_a_policy_come_out_of_push_mode():
    model, rule = prepared()

    def decide(allowaddcons):
        raise Fails("in the policy")

    with pytest.raises(Fails, match="in the policy"):
        control.solve(model, rule, decide)
    assert model.getNTotalNodes() <= 2
    model.free()


def test_order_of_calls_is_enforced():
    model, rule = prepared()
    episode = Episode(model, rule)
    with pytest.raises(SolverError, match="no decision"):
        episode.claim()
    episode.close()
    env = BranchingEnv("knapsack:tiny", form="direct")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        _ = env.model
    _, info = env.reset(seed=0)
    first = info["action_set"].tolist()
    env.step(first[0])
    _, info = env.reset(seed=0)  # in the middle of an episode
    assert info["action_set"].tolist() == first
    env.close()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(first[0])


def test_an_episode_dropped_in_another_thread_is_ended_by_its_own():
    model, rule = prepared()
    episodes = [Episode(model, rule)]
    episodes[0].resume()
    freed = model.getNVars()
    thread = threading.Thread(target=episodes.clear)
    thread.start()
    thread.join()
    assert freed and len(control._home.orphans) == 1
    other, other_rule = prepared()
    Episode(other, other_rule).close()
    assert not control._home.orphans
