"""Ready-made agents in the cache replacement environment."""

import runpy
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import learnsys  # noqa: F401
from learnsys.traces.trace import Trace

ID = "learnsys/CacheReplacement-v0"
ROOT = Path(__file__).resolve().parents[1]
SMALL = {"capacity": "2KiB", "ways": 4}  # 8 sets


@pytest.mark.parametrize("observation", ["raw", "both"])
def test_raw_words_do_not_break_ready_made_agents(observation):
    """64-bit numbers are of no use to such a network, but they pass through it."""
    from sb3_contrib import MaskablePPO

    lines, pcs = np.random.default_rng(0).integers(1, [[50], [9]], (2, 300)).astype(np.uint64)
    trace = Trace(address=lines * np.uint64(64) + np.uint64(2**63), pc=pcs)
    env = gym.make(ID, trace=trace, **SMALL, decide="access", observation=observation, history=2)
    model = MaskablePPO("MultiInputPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu").learn(64)
    assert all(bool(parameter.isfinite().all()) for parameter in model.policy.parameters())


def test_ppo_example(capsys, monkeypatch):
    """The shipped example, with a small budget: both agents learn, and the bounds stand around them."""
    example = ROOT / "scripts" / "examples" / "train_ppo_cache.py"
    monkeypatch.setattr(sys, "argv", [str(example), "--steps", "2048"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(example), run_name="__main__")
    assert ended.value.code == 0
    rows = {row.split()[0]: [float(x) for x in row.split()[1:]] for row in capsys.readouterr().out.splitlines()[1:]}
    assert rows["LRU"] == [17.4] and rows["Belady"] == [39.7]
    for agent in ("PPO", "MaskablePPO"):
        untrained, trained = rows[agent]
        assert 0 < untrained < trained <= 39.7
