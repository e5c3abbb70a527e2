"""Parrot in the environment: an action for each raw observation of `learnsys/CacheReplacement-v0`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.errors import InputError
from learnsys.policies.cache.parrot.features import unknown_past

if TYPE_CHECKING:
    from learnsys.policies.cache.parrot.policy import ParrotPolicy


@torch.inference_mode()
def actions(policy: ParrotPolicy, observation: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """The way to evict for each of B raw observations, int64 (B,); where no way may be evicted, the action after them.

    An observation tells the last accesses only: the LSTM reads these from a zero state, and features that reach
    further back take the values of an unknown past. `ParrotPolicy.simulate` knows both in full.

    Args:
        observation: arrays as in `learnsys.envs.cache.observations.RawObservation`, with a leading axis of B.

    Raises:
        InputError: another kind of observation.
    """
    try:
        held = observation["history_held"].astype(bool)
        pc, address = observation["history_pc"], observation["history_address"]
        line_pc, line_address = observation["line_pc"], observation["line_address"]
        age, recency = observation["line_age"], observation["line_recency"]
        mask = observation["action_mask"].astype(bool)
    except KeyError as error:
        raise InputError(
            f"Parrot needs {error} in an observation", remedy='make the environment with observation="raw"'
        ) from None
    device, history, ways = policy.device, policy.config.history, line_pc.shape[1]
    order = np.argsort(~held, axis=1, kind="stable")  # the accesses there are come first
    memory = policy.model.memory(
        policy.model.states(
            torch.from_numpy(policy.pc_keys(np.take_along_axis(pc, order, 1))).to(device),
            torch.from_numpy(policy.line_keys(np.take_along_axis(address, order, 1))).to(device),
        )[0]
    )
    memory = torch.nn.functional.pad(memory, (0, 0, 0, history))
    count = held.sum(1)
    rows = np.maximum(count - history, 0)[:, None] + np.arange(history)
    windows = memory[torch.arange(len(rows), device=device).unsqueeze(1), torch.from_numpy(rows).to(device)]
    valid = torch.from_numpy(rows < np.maximum(count, 1)[:, None]).to(device).unsqueeze(1)
    features = None
    if policy.config.line_features:
        own = np.stack([np.log2(np.maximum(age, 1)) / 8, recency / ways], -1).astype(np.float32)
        past = np.broadcast_to(unknown_past(), (*age.shape, unknown_past().size))
        features = torch.from_numpy(np.concatenate([own, past], -1)).to(device)
    vectors = policy.model.lines(
        torch.from_numpy(policy.line_keys(line_address)).to(device),
        torch.from_numpy(policy.pc_keys(line_pc)).to(device),
        features,
    )
    both = policy.model.attend(
        vectors.unsqueeze(1), windows, valid, None if features is None else features.unsqueeze(1)
    )
    scores = both[policy.config.evict_by == "reuse"][:, 0].numpy(force=True)
    allowed = mask[:, :ways]
    best = np.where(allowed, scores, -np.inf).argmax(1)
    return np.where(allowed.any(1), best, np.minimum(ways, mask.shape[1] - 1))
