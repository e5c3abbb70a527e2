"""What `learnsys cache simulate` runs: the policies asked for, at each capacity, on sets or on objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from learnsys.cli.console import progress_bar
from learnsys.errors import InputError

if TYPE_CHECKING:
    from learnsys.envs.cache.spool import Spool
    from learnsys.policies.cache.simulation import Result


@dataclass(frozen=True)
class Question:
    """What is to be simulated."""

    capacities: list[str]
    policies: str
    ways: int
    line_size: int
    window: str
    fit: str
    uniform: bool
    seed: int
    workers: int
    guard: bool = False
    trace: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class Answer:
    """What came out."""

    results: dict[str, list[Result]]
    """capacity as the user wrote it -> one result for each policy"""
    window: tuple[float, float]
    """the part of the trace in which hits were counted"""
    notes: list[str]
    """what a reader of the results must know"""


def simulate_sets(question: Question, spool: Spool) -> Answer:
    """Set-associative caches on a trace of addresses."""
    from learnsys.envs.cache.geometry import CacheGeometry, parse_bytes
    from learnsys.policies.cache.base import SetPolicy
    from learnsys.policies.cache.simulation import compare, needs_fit
    from learnsys.policies.devices import all_on_device

    policies = parse_policies(question.policies, question.guard, question.trace)
    all_on_device(policies, question.device)
    geometries = {
        size: CacheGeometry(parse_bytes(size), question.ways, question.line_size) for size in question.capacities
    }
    fitted = [name for name, policy in policies.items() if needs_fit(policy)]
    trained = [name for name, policy in policies.items() if not isinstance(policy, SetPolicy)]
    window = parse_part(question.window or ("0.9:1" if fitted or trained else "0:1"))
    results: dict[str, list[Result]] = {}
    for size, geometry in geometries.items():
        with progress_bar(f"simulating {size}", len({*policies, "lru", "belady"})) as advance:
            results[size] = compare(
                policies,
                spool.at(geometry),
                geometry,
                window=window,
                fit_on=parse_part(question.fit),
                seed=question.seed,
                workers=question.workers,
                finished=_each(advance),
            )
    notes = []
    if fitted:
        notes.append(f"Fitted on the part {question.fit}: {', '.join(fitted)}.")
    if (fitted or trained) and not question.window:
        notes.append("Hits are counted in the last tenth, since policies listed have learnt from earlier parts.")
    if any(row.normalised > 1 for rows in results.values() for row in rows if row.policy != "belady_bypass"):
        notes.append("Above 1: Belady is optimal for the whole trace, not for a part of it, and cannot bypass.")
    return Answer(results, window, notes)


def simulate_objects(question: Question, spool: Spool) -> Answer:
    """Fully associative caches on a trace of objects."""
    from learnsys.policies.cache.object_simulation import simulate_objects as run_objects
    from learnsys.policies.cache.registry import GUARD, LEARNED_POLICIES, OBJECT_POLICIES, make_object_policy
    from learnsys.policies.cache.simulation import part_of, summarise, sweep
    from learnsys.policies.devices import check_device

    names = split(question.policies)
    names = list(OBJECT_POLICIES) if names == ["all"] else names
    names = [GUARD + name if question.guard and name in LEARNED_POLICIES else name for name in names]
    policies = {name: make_object_policy(name) for name in [*names, "lru", "belady"]}
    check_device(question.device, policies)
    window = parse_part(question.window or "0:1")
    results = {}
    notes = []
    for size in question.capacities:
        sizes = None if question.uniform or size.isdecimal() else spool.size
        capacity = object_capacity(size, spool.line_number.size, None if sizes is None else spool.footprint())
        jobs = {
            name: partial(
                run_objects,
                policy,
                spool.line,
                spool.line_number.size,
                capacity,
                sizes=sizes,
                next_use=spool.next_use,
                seed=question.seed,
            )
            for name, policy in policies.items()
        }
        with progress_bar(f"simulating {size}", len(jobs)) as advance:
            counted = part_of(window, spool.accesses)
            tallies = sweep(jobs, *counted, workers=question.workers, sizes=sizes, finished=_each(advance))
        results[size] = summarise(tallies, names)
        if sizes is None:
            notes.append(f"{size}: {capacity:,} of {spool.line_number.size:,} objects, all counted as equally large.")
        else:
            notes.append(f"{size}: {capacity:,} bytes.")
            notes += [f"{name}: {policies[name].sized_note}" for name in names if policies[name].sized_note]
    return Answer(results, window, list(dict.fromkeys(notes)))


def parse_policies(text: str, guard: bool = False, trace: str = "") -> dict[str, Any]:
    """label -> policy of a list such as "lru,parrot=runs/parrot,guard:learnsys_cache,belady".

    Args:
        guard: put all learned policies under the guard; their labels then begin with "guard:".
        trace: where a parrot without a folder is the one that ships for this sample.

    Raises:
        InputError: an unknown name, or one listed twice.
    """
    from learnsys.policies.cache.registry import (
        GUARD,
        LEARNED_POLICIES,
        SET_POLICIES,
        load_learned_policy,
        make_set_policy,
    )
    from learnsys.policies.cache.shipped import shipped_folder

    if text.strip() == "all":
        made = {name: make_set_policy(name) for name in SET_POLICIES}
        return {name: policy for name, policy in made.items() if not policy.needs_fit}
    chosen: dict[str, Any] = {}
    for item in split(text):
        if guard and item.partition("=")[0] in LEARNED_POLICIES:
            item = GUARD + item
        name, _, folder = item.partition("=")
        label = name if folder and name not in chosen else item
        if label in chosen:
            raise InputError(f"policy {item!r} is listed twice")
        if not folder and name.removeprefix(GUARD) == "parrot":
            folder = str(shipped_folder("parrot", trace))
        chosen[label] = load_learned_policy(name, folder) if folder else make_set_policy(name)
    if not chosen:
        raise InputError("no policies given", remedy=f"choose from {', '.join(SET_POLICIES)}")
    return chosen


def parse_part(text: str) -> tuple[float, float]:
    """Two fractions written as "0.9:1.0".

    Raises:
        InputError: not of that form.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"{text!r} is no part of a trace", remedy="give two fractions such as 0.9:1.0") from None
    return low, high


def object_capacity(text: str, n_objects: int, n_bytes: int | None = None) -> int:
    """The capacity that `text` names: objects (5000), a share of the distinct ones (10%), or bytes (64MiB).

    Args:
        n_bytes: bytes of all distinct objects, if sizes count; a share is then one of bytes.

    Raises:
        InputError: none of these, below 1, or bytes where sizes do not count.
    """
    from learnsys.envs.cache.geometry import parse_bytes

    if text.endswith("%"):
        try:
            share = float(text[:-1]) / 100
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise InputError(f"{text!r} is no share of the objects", remedy="write it like 10%")
        return max(1, int(share * (n_objects if n_bytes is None else n_bytes)))
    if text.isdecimal() and int(text) > 0:
        return int(text)
    capacity = parse_bytes(text)
    if n_bytes is None:
        raise InputError(
            f"{text} cannot be compared with objects whose sizes do not count",
            remedy="give a number of objects, or a share such as 10%",
        )
    return capacity


def split(text: str) -> list[str]:
    """The items of a list written with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _each(advance: Callable[[int], None]) -> Callable[[str], None]:
    return lambda name: advance(1)
