"""What `learnsys cache simulate` runs: the policies asked for, at each capacity, on sets or on objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

    policies = parse_policies(question.policies)
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
    from learnsys.policies.cache.object_simulation import compare_objects, object_capacity
    from learnsys.policies.cache.registry import OBJECT_POLICIES, make_object_policy

    names = split(question.policies)
    policies = {name: make_object_policy(name) for name in (OBJECT_POLICIES if names == ["all"] else names)}
    distinct = spool.line_number.size
    results: dict[str, list[Result]] = {}
    notes = []
    for size in question.capacities:
        sizes = None if question.uniform or size.isdecimal() else spool.size
        capacity = object_capacity(size, distinct, None if sizes is None else spool.footprint())
        with progress_bar(f"simulating {size}", len({*policies, "lru", "belady"})) as advance:
            rows = compare_objects(
                policies,
                spool.line,
                distinct,
                capacity,
                sizes=sizes,
                next_use=spool.next_use,
                window=parse_part(question.window or "0:1"),
                seed=question.seed,
                workers=question.workers,
                finished=_each(advance),
            )
        results[size] = list(rows)
        if sizes is not None:
            notes += [f"{size}: {capacity:,} bytes.", *(f"{row.policy}: {row.note}" for row in rows if row.note)]
        else:
            notes.append(f"{size}: {capacity:,} of {distinct:,} objects, all counted as equally large.")
    return Answer(results, parse_part(question.window or "0:1"), list(dict.fromkeys(notes)))


def parse_policies(text: str) -> dict[str, Any]:
    """label -> policy of a list such as "lru,parrot=runs/parrot,belady".

    Raises:
        InputError: an unknown name, or one listed twice.
    """
    from learnsys.policies.cache.registry import SET_POLICIES, load_learned_policy, make_set_policy

    if text.strip() == "all":
        made = {name: make_set_policy(name) for name in SET_POLICIES}
        return {name: policy for name, policy in made.items() if not policy.needs_fit}
    chosen: dict[str, Any] = {}
    for item in split(text):
        name, _, folder = item.partition("=")
        label = name if folder and name not in chosen else item
        if label in chosen:
            raise InputError(f"policy {item!r} is listed twice")
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


def split(text: str) -> list[str]:
    """The items of a list written with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _each(advance: Callable[[int], None]) -> Callable[[str], None]:
    return lambda name: advance(1)
