"""The network and its losses against the authors' numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from learnsys.policies.cache.parrot.config import ModelConfig
from learnsys.policies.cache.parrot.losses import LOSSES
from learnsys.policies.cache.parrot.model import ParrotModel, choice

GOLDEN = Path(__file__).with_name("golden") / "parrot_history30.npz"
NAMES = {
    "pc.table": "_pc_embedder._embedding.weight",
    "address.table": "_address_embedder._embedding.weight",
    "lstm.weight_ih_l0": "_lstm_cell.weight_ih",
    "lstm.weight_hh_l0": "_lstm_cell.weight_hh",
    "lstm.bias_ih_l0": "_lstm_cell.bias_ih",
    "lstm.bias_hh_l0": "_lstm_cell.bias_hh",
    "attention": "_history_attention._base_attention._w",
    "evict.weight": "_cache_line_scorer.weight",
    "evict.bias": "_cache_line_scorer.bias",
    "reuse.weight": "_reuse_distance_estimator.weight",
    "reuse.bias": "_reuse_distance_estimator.bias",
}


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


def authors_model(golden, attend_to):
    model = ParrotModel(ModelConfig(history=30, attend_to=attend_to), 20, 80)
    model.load_state_dict({ours: torch.tensor(golden[f"weight:{theirs}"]) for ours, theirs in NAMES.items()})
    return model


def ids(golden, kind, values):
    known = dict(zip(golden[f"{kind}_vocab_keys"], golden[f"{kind}_vocab_ids"], strict=True))
    return torch.tensor([[known.get(v, 0) for v in row] for row in values.reshape(len(values), -1)]).view(values.shape)


@torch.no_grad()
def run(golden, attend_to):
    """Scores and reuse of all 240 decisions, each from its own window of at most 30 states."""
    model = authors_model(golden, attend_to)
    address, lines = ids(golden, "address", golden["address"]), ids(golden, "address", golden["lines"])
    memory = model.memory(model.states(ids(golden, "pc", golden["pc"]), address)[0])
    history, t = 30, torch.arange(80)
    rows = (t - history + 1).clamp(min=0).unsqueeze(1) + torch.arange(history)
    valid = rows <= t.unsqueeze(1)
    windows = memory[:, rows].flatten(0, 1)
    vectors = model.lines(lines).flatten(0, 1).unsqueeze(1)
    scores, reuse = model.attend(vectors, windows, valid.repeat(3, 1).unsqueeze(1))
    return choice(scores, torch.ones(240, 1, 4, dtype=torch.bool)).view(3, 80, 4), reuse.view(3, 80, 4)


def test_authors_numbers_with_cell_states(golden):
    log_probability, reuse = run(golden, "cell")
    np.testing.assert_allclose(log_probability.exp(), golden["probabilities"], atol=1e-5, rtol=0)
    np.testing.assert_allclose(reuse, golden["reuse_log10"], atol=1e-5, rtol=0)


def test_hidden_states_are_another_model(golden):
    log_probability, _ = run(golden, "hidden")
    assert np.abs(log_probability.exp().numpy() - golden["probabilities"]).max() > 1e-2


@pytest.mark.parametrize("name", ["log_likelihood", "ndcg", "reuse_dist"])
def test_authors_losses(golden, name):
    log_probability, reuse = (part[:, 40:].flatten(0, 1) for part in run(golden, "cell"))
    distance = np.minimum(np.log10(-golden["belady_scores"][:, 40:]), 5.0).reshape(120, 4)
    present = torch.ones(120, 4, dtype=torch.bool)
    label = torch.zeros(120, dtype=torch.long)  # the record's lines are sorted
    loss = LOSSES[name](log_probability, reuse, torch.tensor(distance, dtype=torch.float32), label, present).mean()
    assert abs(float(loss) - float(golden[f"loss_{name}"])) < 1e-5


def test_losses_do_not_depend_on_the_order_of_the_lines(golden):
    generator = torch.Generator().manual_seed(0)
    score, reuse = torch.randn(2, 50, 6, generator=generator)
    distance = 5 * torch.rand(50, 6, generator=generator)
    present = torch.arange(6) < torch.randint(2, 7, (50, 1), generator=generator)
    label = distance.masked_fill(~present, -1).argmax(-1)
    order = torch.randperm(6, generator=generator)
    for loss in LOSSES.values():
        plain = loss(choice(score, present), reuse, distance, label, present)
        shuffled = [x[:, order] for x in (score, reuse, distance, present)]
        moved = order.argsort()[label]
        again = loss(choice(shuffled[0], shuffled[3]), shuffled[1], shuffled[2], moved, shuffled[3])
        torch.testing.assert_close(plain, again)


def test_losses_by_hand():
    present = torch.tensor([[True, True, False]])
    log_probability = torch.log(torch.tensor([[0.25, 0.75, 1e-9]]))
    distance, label = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([0])
    arguments = (log_probability, torch.tensor([[1.5, 3.0, 7.0]]), distance, label, present)
    assert float(LOSSES["log_likelihood"](*arguments)) == pytest.approx(-np.log(0.25 + 1e-8), rel=1e-6)
    assert float(LOSSES["reuse_dist"](*arguments)) == pytest.approx((0.25 + 4) / 3)
    target = np.exp([2, 1]) / np.exp([2, 1]).sum()
    assert float(LOSSES["kl"](*arguments)) == pytest.approx(
        float((target * np.log(target / [0.25, 0.75])).sum()), rel=1e-5
    )

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    first = 1 + sigmoid(10 * 0.5) + sigmoid(10 * -0.25)  # the padded way takes part, with probability 0
    second = 1 + sigmoid(10 * -0.5) + sigmoid(10 * -0.75)
    gains = np.expm1([2, 1])
    expected = -(gains / np.log1p([first, second])).sum() / (gains / np.log1p([1, 2])).sum()
    assert float(LOSSES["ndcg"](*arguments)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("attend_to", ["hidden", "cell"])
def test_sliding_windows_equal_single_decisions(attend_to):
    """The batched attention of training gives what each decision computes on its own; so do split passes."""
    torch.manual_seed(1)
    model = ParrotModel(ModelConfig(embedding=8, hidden=16, history=5, attend_to=attend_to), 5, 9)
    pc, address = torch.randint(0, 5, (2, 30)), torch.randint(0, 9, (2, 30))
    states, _ = model.states(pc, address)
    head, carry = model.states(pc[:, :11], address[:, :11])
    tail, _ = model.states(pc[:, 11:], address[:, 11:], carry)
    torch.testing.assert_close(torch.cat((head, tail), 1), states)
    memory = model.memory(states)
    lines = model.lines(torch.randint(0, 9, (2, 20, 3)))
    scores, reuse = model.attend(lines, memory[:, 30 - 24 :])
    for s in range(20):
        one = model.attend(lines[:, s : s + 1], memory[:, 6 + s : 11 + s])
        torch.testing.assert_close(one[0][:, 0], scores[:, s])
        torch.testing.assert_close(one[1][:, 0], reuse[:, s])
