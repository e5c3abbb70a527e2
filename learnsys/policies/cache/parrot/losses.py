"""The losses of imitation: how far a choice among the lines of a set is from Belady's.

Every function takes and returns the same: `log_probability` and `predicted` and `distance` float32 (N, W), `label`
int64 (N,), `present` bool (N, W) -> loss float32 (N,). W is the number of ways, padded ways are not `present`;
`distance` is log10 of the accesses to a line's next use, up to a longest; `label` is Belady's victim; `predicted`
is the model's guess of `distance`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def log_likelihood(
    log_probability: Tensor, predicted: Tensor, distance: Tensor, label: Tensor, present: Tensor
) -> Tensor:
    """-log of the probability of Belady's victim (equation 2 of the paper without its sum)."""
    chosen = log_probability.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    return -torch.log(chosen.exp() + 1e-8)


def ndcg(
    log_probability: Tensor,
    predicted: Tensor,
    distance: Tensor,
    label: Tensor,
    present: Tensor,
    alpha: float = 10.0,
) -> Tensor:
    """-ApproxNDCG (Qin, Liu and Li, 2010) of the probabilities, with gain d - 1 for log distance ln d.

    The published code takes log10 for ln, which makes the gain d^0.434 - 1; so does this.
    """
    probability = log_probability.exp() * present
    gain = torch.expm1(distance) * present
    ahead = torch.sigmoid(alpha * (probability.unsqueeze(-2) - probability.unsqueeze(-1)))  # (N, i, j): p_j - p_i
    position = 0.5 + ahead.sum(-1)  # each way is half ahead of itself
    ranks = torch.arange(1, gain.shape[-1] + 1, dtype=gain.dtype, device=gain.device)
    ideal = (gain.sort(-1, descending=True).values / torch.log1p(ranks)).sum(-1)
    return -(gain / torch.log1p(position)).sum(-1) / (ideal + 1e-8)


def reuse_dist(log_probability: Tensor, predicted: Tensor, distance: Tensor, label: Tensor, present: Tensor) -> Tensor:
    """Squared error of the predicted log10 reuse distance, summed over the lines and divided by the ways."""
    return ((predicted - distance).square() * present).mean(-1)


def kl(log_probability: Tensor, predicted: Tensor, distance: Tensor, label: Tensor, present: Tensor) -> Tensor:
    """KL divergence of the choice from softmax(log10 reuse distance)."""
    target = torch.log_softmax(distance.masked_fill(~present, -1e9), -1)
    gap = (target - log_probability).masked_fill(~present, 0.0)
    return (target.exp() * gap).sum(-1)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "log_likelihood": log_likelihood,
    "ndcg": ndcg,
    "reuse_dist": reuse_dist,
    "kl": kl,
}
