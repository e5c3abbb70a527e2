"""Parrot as a policy: set-parallel simulation, labels, vocabularies, files."""

import json
from collections import deque

import gymnasium as gym
import numpy as np
import pytest
import torch

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.bounds import belady_hits
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.stepper import Stepper
from learnsys.errors import InputError
from learnsys.policies.cache.parrot import recurrence, rollout
from learnsys.policies.cache.parrot.config import ModelConfig
from learnsys.policies.cache.parrot.data import belady_labels, replay
from learnsys.policies.cache.parrot.embedders import ByteEmbedder, Vocabulary
from learnsys.policies.cache.parrot.policy import ParrotPolicy
from learnsys.policies.cache.parrot.recurrence import Recurrence
from learnsys.traces.trace import Trace

NEVER = 2**31 - 1


def random_accesses(geometry, n=700, lines=60, seed=0):
    rng = np.random.default_rng(seed)
    number = rng.zipf(1.3, n) % lines
    return Accesses.prepare(number.astype(np.uint64) * 64, rng.integers(0, 9, n).astype(np.uint64), geometry)


def random_policy(accesses, seed=0, **settings):
    torch.manual_seed(seed)
    settings = {"address_vocabulary": 40, "pc_vocabulary": 8, "embedding": 16, "hidden": 24, "history": 7, **settings}
    config = ModelConfig(**settings)
    policy = ParrotPolicy(
        config,
        Vocabulary.build(accesses.pc_value, np.bincount(accesses.pc), config.pc_vocabulary),
        Vocabulary.build(accesses.line_number, np.bincount(accesses.line), config.address_vocabulary),
    )
    with torch.no_grad():  # far from uniform, so that choices are clear-cut
        policy.model.attention.mul_(20)
    policy.model.eval()
    return policy


@torch.no_grad()
def one_at_a_time(policy, a, geometry):
    """The definition: one LSTM step for each access, a deque of states, one set at a time. Hits and victims."""
    model, config = policy.model, policy.config
    cell = torch.nn.LSTMCell(2 * config.embedding, config.hidden)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in model.lstm.state_dict().items()})
    view = policy.view(a, geometry.sets * geometry.ways)
    pcs, addresses = torch.from_numpy(view.pc), torch.from_numpy(view.line)
    h, c = torch.zeros(2, 1, config.hidden)
    history, sets = deque(maxlen=config.history), [[] for _ in range(geometry.sets)]
    hits, victims = np.zeros(len(a), np.uint8), []
    for t in range(len(a)):
        line = a.line[t]
        inputs = torch.cat((model.pc(pcs[a.pc[t]]), model.address(addresses[line])))
        h, c = cell(inputs.unsqueeze(0), (h, c))
        history.append((h if config.attend_to == "hidden" else c)[0])
        lines = sets[a.row[t]]
        if line in lines:
            hits[t] = 1
        elif len(lines) < geometry.ways:
            lines.append(line)
        else:
            states = torch.stack(tuple(history))
            vectors = model.address(addresses[torch.tensor(lines)])
            weights = torch.softmax(vectors @ model.attention @ states.T, -1)
            context = weights @ torch.cat((states, model.positions[: len(states)]), -1)
            way = int(model.evict(context)[:, 0].argmax())
            victims.append(int(lines[way]))
            lines[way] = line
    return hits, victims


@pytest.mark.parametrize("settings", [{}, {"attend_to": "cell"}, {"pc_embedder": "byte", "address_embedder": "byte"}])
@pytest.mark.parametrize("shape", [(1024, 4), (128, 2)])  # 4 sets, and 1 set that is full before the history is
def test_set_parallel_equals_one_at_a_time(settings, shape, monkeypatch):
    """By the kernel, and in lock-step as on a GPU; whole, and in chunks."""
    geometry = CacheGeometry(*shape)
    accesses = random_accesses(geometry)
    policy = random_policy(accesses, **settings)
    expected, victims = one_at_a_time(policy, accesses, geometry)
    assert len(set(victims)) > 5
    for kernels in (True, False):
        monkeypatch.setattr(rollout, "has_kernels", lambda policy, kernels=kernels: kernels)
        np.testing.assert_array_equal(policy.simulate(accesses, geometry), expected)
        with monkeypatch.context() as patch:
            patch.setattr(rollout, "CHUNK", 100)  # states, windows and caches carried over chunks
            patch.setattr(rollout, "BLOCK", 32)
            np.testing.assert_array_equal(policy.simulate(accesses, geometry), expected)


def test_kernel_equals_lock_step_with_features(monkeypatch):
    geometry = CacheGeometry(1024, 4)
    accesses = random_accesses(geometry, n=3000)
    for evict_by in ("score", "reuse"):
        policy = random_policy(accesses, line_features=True, evict_by=evict_by)
        by_kernel = policy.victims(accesses, geometry)
        with monkeypatch.context() as patch:
            patch.setattr(rollout, "has_kernels", lambda policy: False)
            in_batches = policy.victims(accesses, geometry)
        assert len(np.unique(by_kernel)) == 5
        np.testing.assert_array_equal(by_kernel, in_batches)


@pytest.mark.parametrize("attend_to", ["hidden", "cell"])
def test_segments_of_the_lstm_meet_the_chain(attend_to, monkeypatch):
    monkeypatch.setattr(recurrence, "SEGMENTS", 8)
    accesses = random_accesses(CacheGeometry(1024, 4), n=6001)
    policy = random_policy(accesses, attend_to=attend_to)
    view = policy.view(accesses, 16)
    pc, line = view.pc[accesses.pc], view.line[accesses.line]
    together = Recurrence(policy.model)
    head, carry = together.states(pc[:3000], line[:3000])
    tail, after = together.states(pc[3000:], line[3000:], carry)
    assert not together.chained
    with torch.no_grad():
        chain, last = policy.model.states(torch.from_numpy(pc)[None], torch.from_numpy(line)[None])
    np.testing.assert_allclose(torch.cat((head, tail)), chain[0], atol=3e-6)
    for ours, theirs in zip(after, last, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-6)


def test_an_lstm_that_forgets_nothing_is_computed_as_a_chain(monkeypatch):
    monkeypatch.setattr(recurrence, "SEGMENTS", 8)
    accesses = random_accesses(CacheGeometry(1024, 4), n=3000)
    policy = random_policy(accesses)
    with torch.no_grad():
        policy.model.lstm.bias_ih_l0[policy.config.hidden : 2 * policy.config.hidden] = 30  # the forget gate's
    view = policy.view(accesses, 16)
    pc, line = view.pc[accesses.pc], view.line[accesses.line]
    together = Recurrence(policy.model)
    states, _ = together.states(pc, line)
    assert together.chained
    with torch.no_grad():
        chain, _ = policy.model.states(torch.from_numpy(pc)[None], torch.from_numpy(line)[None])
    np.testing.assert_allclose(states, chain[0], atol=1e-5)


def test_belady_decides_where_told():
    geometry = CacheGeometry(1024, 4)
    accesses = random_accesses(geometry)
    policy = random_policy(accesses)
    n = len(accesses)
    optimum = belady_hits(accesses, geometry.sets, geometry.ways)

    def roll(expert):
        stepper = Stepper(accesses, geometry.sets, geometry.ways, by_set=True)
        victims = policy.roll_out(policy.view(accesses, 16), stepper, 0, n, expert=expert)
        return stepper.hits, victims

    assert roll(np.ones(n, bool))[0].sum() == optimum.sum()
    hits, victims = roll(np.zeros(n, bool))
    np.testing.assert_array_equal(hits, policy.simulate(accesses, geometry))
    half = np.arange(n) < n // 2
    mixed, mixed_victims = roll(~half)  # the network's state must have advanced while Belady decides, and after
    np.testing.assert_array_equal(mixed_victims[half], victims[half])
    assert mixed.sum() >= hits.sum()


def test_replay_by_hand():
    """Set of 2 ways, accesses A B A C(evicts B) B(evicts A): what the set looks like at each, before the eviction."""
    line, row = np.array([0, 1, 0, 2, 1], np.int32), np.zeros(5, np.int32)
    victims = np.array([-1, -1, -1, 1, 0], np.int16)
    tags, touched, filled = np.full((1, 2), -1, np.int32), np.full((1, 2), -1, np.int32), np.zeros(1, np.int32)
    seen, decision = np.empty((5, 2), np.int32), np.empty(5, np.bool_)
    replay(line, row, 0, victims, tags, touched, filled, seen, decision)
    assert seen.tolist() == [[-1, -1], [0, -1], [2, 1], [2, 1], [2, 3]]
    assert decision.tolist() == [False, False, False, True, True]
    assert tags.tolist() == [[1, 2]]
    assert touched.tolist() == [[4, 3]]


def test_replay_goes_where_the_roll_out_went():
    geometry = CacheGeometry(1024, 4)
    accesses = random_accesses(geometry)
    stepper = Stepper(accesses, geometry.sets, geometry.ways, by_set=True)
    n = len(accesses)
    policy = random_policy(accesses)
    victims = policy.roll_out(policy.view(accesses, 16), stepper, 0, n)
    before = Stepper(accesses, geometry.sets, geometry.ways).state()
    seen, decision = np.empty((n, 4), np.int32), np.empty(n, np.bool_)
    replay(accesses.line, accesses.row, 0, victims, before["tags"], before["touched"], before["filled"], seen, decision)
    for name in ("tags", "touched", "filled"):
        np.testing.assert_array_equal(before[name], stepper.state()[name])
    np.testing.assert_array_equal(decision, victims >= 0)
    held = np.where(seen >= 0, accesses.line[seen], -1)
    np.testing.assert_array_equal((held == accesses.line[:, None]).any(1), stepper.hits.astype(bool))


def test_labels_by_hand():
    next_use = np.array([11, 110, NEVER, NEVER, 20_000_000], np.int32)
    touched = np.array([[0, 1, -1], [4, 3, 2], [4, 1, 0]], np.int32)
    distance, victim = belady_labels(np.array([10, 10, 10]), touched, next_use, 5.0)
    np.testing.assert_allclose(distance, [[0, 2, 0], [5, 5, 5], [5, 2, 0]], atol=1e-6)
    assert victim.tolist() == [1, 1, 0]  # of two lines never used again the lower way; 10^5 hides no order


def test_vocabulary_is_frozen():
    values = np.array([50, 7, 2**63, 9], np.uint64)
    vocabulary = Vocabulary.build(values, np.array([1, 5, 5, 0]), 3)
    assert vocabulary.values.tolist() == [7, 2**63]  # the most frequent, never one that was not seen
    asked = np.array([[7, 50], [2**63, 8]], np.uint64)
    assert vocabulary.lookup(asked).tolist() == [[1, 0], [2, 0]]
    assert vocabulary.lookup(asked).tolist() == [[1, 0], [2, 0]]
    assert Vocabulary(np.zeros(0, np.uint64)).lookup(asked).tolist() == [[0, 0], [0, 0]]


def test_bytes_are_read_most_significant_first():
    embedder = ByteEmbedder(16)
    value = torch.tensor([[0x0102030405060708, -1]])
    digits = torch.tensor([[[1, 2, 3, 4, 5, 6, 7, 8], [255] * 8]])
    expected = embedder.mix(embedder.table[digits].flatten(-2))
    torch.testing.assert_close(embedder(value), expected)


@pytest.mark.parametrize("settings", [{}, {"pc_embedder": "byte", "attend_to": "cell"}])
def test_it_plays_the_environment_as_it_simulates(settings):
    """With a history as long as the trace an observation tells all, so that each action is the simulation's."""
    geometry = CacheGeometry(1024, 4)
    rng = np.random.default_rng(3)
    trace = Trace((rng.zipf(1.3, 150) % 40 * 64).astype(np.uint64), rng.integers(0, 9, 150).astype(np.uint64))
    accesses = Accesses.prepare(trace.address, trace.pc, geometry)
    policy = random_policy(accesses, **settings)
    env = gym.make("learnsys/CacheReplacement-v0", trace=trace, capacity=1024, ways=4, observation="raw", history=150)
    observation, info = env.reset(seed=0)
    done = False
    while not done:
        action = policy.act(observation)
        batched = policy.act({name: np.stack([array, array]) for name, array in observation.items()})
        assert batched.tolist() == [action, action]
        observation, _, done, _, info = env.step(action)
        assert not info["invalid_action"]
    assert info["hits"] == policy.simulate(accesses, geometry).sum()


def test_it_acts_with_features_and_at_hits():
    geometry = CacheGeometry(1024, 4)
    policy = random_policy(random_accesses(geometry), line_features=True)
    trace = {"kind": "stream-hot", "n": 400, "hot": 30}
    env = gym.make(
        "learnsys/CacheReplacement-v0", trace=trace, capacity=1024, ways=4, observation="raw", decide="access"
    )
    observation, info = env.reset(seed=0)
    for _ in range(200):
        action = policy.act(observation)
        assert info["action_mask"][action]
        observation, *_, info = env.step(action)
    with pytest.raises(InputError, match='observation="raw"'):
        policy.act({"action_mask": np.ones(4, np.int8)})


def test_lines_of_another_size_are_refused():
    geometry = CacheGeometry(2048, 4, line_size=128)
    accesses = random_accesses(geometry)
    with pytest.raises(InputError, match="64 bytes, not 128"):
        random_policy(accesses).simulate(accesses, geometry)


def test_saved_and_loaded_it_decides_the_same(tmp_path):
    geometry = CacheGeometry(1024, 4)
    accesses = random_accesses(geometry)
    policy = random_policy(accesses)
    policy.save(tmp_path)
    again = ParrotPolicy.load(tmp_path)
    other = random_accesses(geometry, seed=5)  # other ids, unknown lines
    np.testing.assert_array_equal(again.simulate(other, geometry), policy.simulate(other, geometry))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("damage", ["missing", "truncated", "config", "shapes"])
def test_bad_files_are_one_clear_error(tmp_path, damage):
    accesses = random_accesses(CacheGeometry(1024, 4), n=50)
    random_policy(accesses).save(tmp_path)
    model, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    if damage == "missing":
        model.unlink()
    elif damage == "truncated":
        model.write_bytes(model.read_bytes()[:-100])
    elif damage == "config":
        config.write_text('{"policy": "lru"}')
    else:
        about = json.loads(config.read_text())
        about["model"]["hidden"] = 32
        config.write_text(json.dumps(about))
    with pytest.raises(InputError):
        ParrotPolicy.load(tmp_path)
