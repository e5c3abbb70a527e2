"""A Parrot follows a trace: the LSTM's states first, which no eviction can change, and then the sets on their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learnsys.envs.cache.stepper import Stepper
from learnsys.imitation import Report, silent
from learnsys.policies.cache.parrot.deciding import Decider
from learnsys.policies.cache.parrot.model import Carry
from learnsys.policies.cache.parrot.recurrence import Recurrence

if TYPE_CHECKING:
    from learnsys.policies.cache.parrot.policy import ParrotPolicy, View

CHUNK = 2**17
"""accesses whose memory is held at a time"""
BLOCK = 2**13
"""accesses in one pass of the LSTM on other devices than the CPU"""
DECISIONS = 2**11
"""decisions in one pass of the attention there; their windows take 8 KB each at the published sizes"""


def has_kernels(policy: ParrotPolicy) -> bool:
    """Whether kernels compute the policy's network."""
    return policy.kernels


@contextmanager
def one_thread() -> Iterator[None]:
    """Small products gain nothing from more threads, and their last digits would depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
@torch.inference_mode()
def roll_out(
    policy: ParrotPolicy,
    view: View,
    stepper: Stepper,
    start: int,
    stop: int,
    *,
    expert: NDArray[np.bool_] | None = None,
    report: Report = silent,
) -> NDArray[np.int16]:
    """Advance a stepper by set from access `start` to `stop`; the way evicted at each access, int16, -1 for none.

    The network's state is zero at `start` and advances on every access, whoever decides. Its states do not depend on
    evictions, so they are computed first, chunk by chunk; then sets are independent. On the CPU a kernel takes one
    after the other, elsewhere all go on in lock-step, each round one batch of decisions.

    Args:
        view: the stepper's accesses.
        stepper: with one lane for each set, standing at `start`.
        expert: for each access of the stretch, whether Belady decides there, bool (stop - start,).
    """
    history = policy.config.history
    victims = np.full(stop - start, -1, np.int16)
    alone = expert is not None and bool(expert.all())
    if expert is None:
        expert = np.zeros(stop - start, np.bool_)
    decider = None
    if has_kernels(policy):
        decider = Decider.of(policy.model, view.pc, view.line, view.past)
    for first, last, memory in memories(policy, view, start, stop, skip=alone):
        if decider is None:
            _lock_step(policy, view, stepper, first, last, memory, start, expert, victims)
        else:
            decider.advance(stepper, last, memory, first, history, start, expert, victims)
        report("roll-out", last - start, stop - start)
    return victims


def _lock_step(
    policy: ParrotPolicy,
    view: View,
    stepper: Stepper,
    first: int,
    last: int,
    memory: Tensor,
    start: int,
    expert: NDArray[np.bool_],
    victims: NDArray[np.int16],
) -> None:
    a = view.accesses
    while (lanes := stepper.advance(last)).size:
        t = stepper.pending(lanes)
        touched = stepper.touched[a.row[t]]
        ways = np.empty(t.size, np.int64)
        by_expert = expert[t - start]
        ways[by_expert] = a.next_use[touched[by_expert]].argmax(1)
        free = np.flatnonzero(~by_expert)
        for low in range(0, free.size, DECISIONS):
            some = free[low : low + DECISIONS]
            both = policy.scores(view, memory, t[some] - first, touched[some], t[some])
            ways[some] = both[policy.config.evict_by == "reuse"].argmax(1).numpy(force=True)
        stepper.evict(lanes, ways)
        victims[t - start] = ways


def memories(
    policy: ParrotPolicy, view: View, start: int, stop: int, *, skip: bool = False
) -> Iterator[tuple[int, int, Tensor]]:
    """For each chunk: the access of the memory's first row, the chunk's end, and the memory, (rows, M).

    The rows begin up to H - 1 accesses before the chunk. `skip` computes nothing.
    """
    history, width = policy.config.history, policy.config.embedding + 2
    recurrence = Recurrence(policy.model) if has_kernels(policy) else None
    carry: Carry | None = None
    tail = torch.zeros(0, width, device=policy.device)
    for begin in range(start, stop, CHUNK):
        end = min(begin + CHUNK, stop)
        if skip:
            yield begin, end, tail
            continue
        memory = torch.zeros(tail.shape[0] + max(end - begin, history), width, device=policy.device)
        memory[: tail.shape[0]] = tail
        at = tail.shape[0]
        step = end - begin if recurrence is not None else BLOCK
        for low in range(begin, end, step):
            part = slice(low, min(low + step, end))
            pc, address = view.pc[view.accesses.pc[part]], view.line[view.accesses.line[part]]
            if recurrence is not None:
                states, carry = recurrence.states(pc, address, carry)
            else:
                keys = [torch.from_numpy(each).to(policy.device).unsqueeze(0) for each in (pc, address)]
                batch, carry = policy.model.states(keys[0], keys[1], carry)
                states = batch[0]
            memory[at : at + pc.size] = policy.model.memory(states)
            at += pc.size
        yield begin - tail.shape[0], end, memory
        tail = memory[max(0, at - history + 1) : at].clone()
