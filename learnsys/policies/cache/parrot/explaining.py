"""Why a Parrot evicts what it evicts: the lines of a set, what it expects of them, and what it attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from learnsys.envs.cache.accesses import Accesses
from learnsys.envs.cache.geometry import CacheGeometry
from learnsys.envs.cache.stepper import Stepper
from learnsys.errors import InputError
from learnsys.imitation import Report, silent
from learnsys.policies.cache.parrot.data import belady_labels, replay
from learnsys.policies.cache.parrot.guarded import Lead, guarded_evictions
from learnsys.policies.cache.parrot.policy import ParrotPolicy, View
from learnsys.policies.cache.parrot.rollout import memories

SEEN = (0, 1, 4, 16, 64)
"""lower ends of the groups of lines by how often they were accessed before the stretch"""
RANKS = (1, 2, 4, 8)
"""the k of accuracy@k"""
_FILL = 8
_BATCH = 1024


@dataclass(frozen=True)
class Decisions:
    """Evictions of a stretch in the order of time, W ways and H accesses of history each."""

    time: NDArray[np.int64]
    """access that needs the room, (n,)"""
    touched: NDArray[np.int32]
    """last access to each line of the set, (n, W)"""
    victim: NDArray[np.int64]
    """way that the policy, or the guard around it, evicts, (n,)"""
    belady: NDArray[np.int64]
    """way that is used furthest ahead, (n,)"""
    distance: NDArray[np.float32]
    """log10 of the accesses until each line's next use, at most `longest`, (n, W)"""
    preference: NDArray[np.float32]
    """what the policy ranks lines by, the largest going, (n, W)"""
    predicted: NDArray[np.float32]
    """predicted log10 of the accesses until each line's next use, (n, W)"""
    rank: NDArray[np.int64]
    """place of Belady's choice in the policy's order, from 1, (n,); of several lines never used again, the first"""


@dataclass(frozen=True)
class Explanation:
    """A stretch of a trace as a Parrot goes through it."""

    policy: ParrotPolicy
    view: View
    start: int
    decisions: Decisions
    memory: torch.Tensor
    first: int
    """the access of the memory's first row"""
    lead: Lead | None = None
    """what the guard did, if there is one"""

    @torch.inference_mode()
    def attention(self, which: NDArray[np.int64]) -> NDArray[np.float32]:
        """How much each line of decisions `which` (m,) attends to each access, oldest first, (m, W, H).

        Early in a trace places that nothing stands in have 0, at the end of the history.
        """
        d = self.decisions
        windows, valid = self.policy.windows(self.memory, d.time[which] - self.first)
        vectors, _ = self.policy.lines(self.view, d.time[which], d.touched[which])
        return self.policy.model.weights(vectors.unsqueeze(1), windows, valid)[:, 0].numpy(force=True)


@torch.inference_mode()
def explain(
    policy: ParrotPolicy,
    accesses: Accesses,
    geometry: CacheGeometry,
    start: int,
    stop: int,
    *,
    guard: bool = False,
    longest: float = 6.0,
    report: Report = silent,
) -> Explanation:
    """Go through accesses `start` to `stop`, with a cache that the policy has filled itself before.

    Args:
        guard: explain what the guard around the policy evicts. Which shadow it follows depends on all that came before,
            so that the trace is then simulated from its beginning.
        longest: log10 of the longest reuse distance told apart, as in training.

    Raises:
        InputError: an empty stretch, one beyond the trace, or one without an eviction.
    """
    n = len(accesses)
    if not 0 <= start < stop <= n:
        raise InputError(f"accesses {start} to {stop} are no stretch of a trace of {n}")
    view = policy.view(accesses, geometry.sets * geometry.ways)
    begin = max(0, start - _FILL * geometry.sets * geometry.ways)
    stepper = Stepper(accesses, geometry.sets, geometry.ways, by_set=True)
    lead = None
    if guard:
        victims = policy.roll_out(view, stepper, 0, stop, report=report)
        times, touched, victim, lead = guarded_evictions(victims, accesses, geometry, start, stop)
    else:
        stepper.skip(begin)
        victims = policy.roll_out(view, stepper, begin, stop, report=report)
        times, touched, victim = _evictions(victims, accesses, geometry, begin, start)
    if not times.size:
        raise InputError("no line is evicted in this stretch", remedy="choose another one, or a smaller cache")
    rows, done = [], begin
    for first, end, chunk in memories(policy, view, begin, stop):
        rows.append(chunk[done - first : end - first])
        done = end
    short = max(0, policy.config.history - (stop - begin))
    memory = torch.nn.functional.pad(torch.cat(rows), (0, 0, 0, short))
    distance, belady = belady_labels(times, touched, accesses.next_use, longest)
    scores = []
    for low in range(0, times.size, _BATCH):
        some = slice(low, low + _BATCH)
        both = policy.scores(view, memory, times[some] - begin, touched[some], times[some])
        scores.append(torch.stack(both).numpy(force=True))
    evict, reuse = np.concatenate(scores, 1)
    preference = reuse if policy.config.evict_by == "reuse" else evict
    use = accesses.next_use[touched]
    wanted = np.where(use == use.max(1, keepdims=True), preference, -np.inf).max(1, keepdims=True)
    rank = (preference > wanted).sum(1) + 1
    decisions = Decisions(times, touched, victim, belady, distance, preference, reuse, rank)
    return Explanation(policy, view, start, decisions, memory, begin, lead)


def _evictions(
    victims: NDArray[np.int16], accesses: Accesses, geometry: CacheGeometry, begin: int, start: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """From access `start` on: when lines are evicted, the last access to each line of their sets, and the way evicted.

    `victims` are those of a policy that goes on from an empty cache at access `begin`.
    """
    shape, n = (geometry.sets, geometry.ways), victims.size
    cache = (np.full(shape, -1, np.int32), np.full(shape, -1, np.int32), np.zeros(geometry.sets, np.int32))
    seen, decision = np.empty((n, geometry.ways), np.int32), np.empty(n, np.bool_)
    replay(accesses.line, accesses.row, begin, victims, *cache, seen, decision)
    places = np.flatnonzero(decision)
    places = places[places >= start - begin]
    return begin + places, seen[places], victims[places].astype(np.int64)


def by_frequency(found: Explanation, before: int) -> list[dict[str, Any]]:
    """How well decisions are made, by how often a line was accessed before access `before`.

    One row for each group of `SEEN` and one for all, where there is anything to tell: `seen` (text), `decisions`
    whose Belady victim is in the group, of these for each k of `RANKS` the share `accuracy@k` that had it among the
    policy's first k; `lines` in the group in all sets, and of these the mean absolute `error` of the predicted log10
    reuse distance and its mean signed `bias`.
    """
    d, a = found.decisions, found.view.accesses
    counts = np.bincount(a.line[:before], minlength=a.line_number.size)
    of_line = counts[a.line[d.touched]]
    of_victim = np.take_along_axis(of_line, d.belady[:, None], 1)[:, 0]
    off = d.predicted - d.distance
    rows = []
    edges = [(low, high) for low, high in zip(SEEN, (*SEEN[1:], np.iinfo(np.int64).max), strict=True)]
    for low, high in [*edges, (0, np.iinfo(np.int64).max)]:
        decisions = (of_victim >= low) & (of_victim < high)
        lines = (of_line >= low) & (of_line < high)
        if not lines.any():
            continue
        name = "all" if (low, high) not in edges else str(low) if high == low + 1 else f"{low} to {high - 1}"
        row: dict[str, Any] = {"seen": f"{low} or more" if high > 2**62 and name != "all" else name}
        row["decisions"] = int(decisions.sum())
        for k in RANKS:
            row[f"accuracy@{k}"] = float((d.rank[decisions] <= k).mean()) if decisions.any() else None
        row |= {"lines": int(lines.sum()), "error": float(np.abs(off[lines]).mean()), "bias": float(off[lines].mean())}
        rows.append(row)
    return rows


def busiest_set(found: Explanation) -> int:
    """The set with the most evictions."""
    return int(np.bincount(found.view.accesses.row[found.decisions.time]).argmax())
