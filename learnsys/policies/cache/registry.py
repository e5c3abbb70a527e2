"""The cache policies by name. Adding one is one file and one line here; tests, CLI and benchmarks iterate over it."""

from __future__ import annotations

from typing import Any

from learnsys.lookup import imported, look_up

SET_POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lru": ("learnsys.policies.cache.lru:LRU", {}),
    "mru": ("learnsys.policies.cache.mru:MRU", {}),
    "random": ("learnsys.policies.cache.random_way:RandomWay", {}),
    "s4lru": ("learnsys.policies.cache.s4lru:S4LRU", {}),
    "srrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "srrip"}),
    "brrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "brrip"}),
    "drrip": ("learnsys.policies.cache.rrip:RRIP", {"insertion": "drrip"}),
    "shippp": ("learnsys.policies.cache.shippp:SHiPPP", {}),
    "hawkeye": ("learnsys.policies.cache.hawkeye:Hawkeye", {}),
    "hawkeye_sampled": ("learnsys.policies.cache.hawkeye:Hawkeye", {"samples": 64}),
    "mockingjay": ("learnsys.policies.cache.mockingjay:Mockingjay", {}),
    "mockingjay_no_bypass": ("learnsys.policies.cache.mockingjay:Mockingjay", {"bypass": False}),
    "mockingjay_sampled": ("learnsys.policies.cache.mockingjay:Mockingjay", {"samples": 32}),
    "table_address": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "address"}),
    "table_pc": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "pc"}),
    "table_both": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "both"}),
    "eta_address": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "address", "arrival": True}),
    "eta_pc": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "pc", "arrival": True}),
    "eta_both": ("learnsys.policies.cache.reuse_table:ReuseTable", {"key": "both", "arrival": True}),
    "nearest_neighbour": ("learnsys.policies.cache.nearest_neighbour:NearestNeighbour", {}),
    "learnsys_cache": ("learnsys.policies.cache.learned.policy:LearnsysCache", {}),
    "belady": ("learnsys.policies.cache.belady:Belady", {}),
    "belady_bypass": ("learnsys.policies.cache.belady:Belady", {"bypass": True}),
}
"""name -> ("module:Class", constructor arguments). Strings, so that a kernel is compiled only when it is used."""

OBJECT_POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "lru": ("learnsys.policies.cache.objects.lru:LRU", {}),
    "fifo": ("learnsys.policies.cache.objects.fifo:FIFO", {}),
    "clock": ("learnsys.policies.cache.objects.clock:Clock", {}),
    "sieve": ("learnsys.policies.cache.objects.sieve:Sieve", {}),
    "s3fifo": ("learnsys.policies.cache.objects.s3fifo:S3FIFO", {}),
    "lfu": ("learnsys.policies.cache.objects.lfu:LFU", {}),
    "arc": ("learnsys.policies.cache.objects.arc:ARC", {}),
    "lirs": ("learnsys.policies.cache.objects.lirs:LIRS", {}),
    "w_tinylfu": ("learnsys.policies.cache.objects.w_tinylfu:WTinyLFU", {}),
    "learnsys_cache": ("learnsys.policies.cache.objects.learned:LearnedObjects", {}),
    "belady": ("learnsys.policies.cache.objects.belady:Belady", {}),
}
"""The same for fully associative caches of objects."""

GUARD = "guard:"
"""what stands before the name of a policy that shall be guarded"""

LEARNED_POLICIES: dict[str, str] = {
    "learnsys_cache": "learnsys.policies.cache.learned.policy:LearnsysCache",
    "parrot": "learnsys.policies.cache.parrot.policy:ParrotPolicy",
    "best": "learnsys.policies.cache.picker:Picked",
}
"""name -> "module:Class" of policies that are trained into a run folder: a class method `load(folder)`, and
`simulate(accesses, geometry, seed) -> hits`, uint8 (n,)."""


def make_set_policy(name: str, **arguments: Any) -> Any:
    """The set-associative policy of that name; "guard:NAME" is that policy, guarded.

    "guard:NAME+NAME+..." follows whichever of several policies and LRU did best lately.

    Raises:
        InputError: there is none.
    """
    if name.startswith(GUARD):
        first, *others = name.removeprefix(GUARD).split("+")
        return guarded(make_set_policy(first, **arguments), *map(make_set_policy, others))
    return _make(SET_POLICIES, name, arguments)


def make_object_policy(name: str, **arguments: Any) -> Any:
    """The object-cache policy of that name; "guard:NAME" is that policy, guarded.

    Raises:
        InputError: there is none, or it does not tell which objects it evicts.
    """
    if name.startswith(GUARD):
        policy = make_object_policy(name.removeprefix(GUARD), **arguments)
        return imported("learnsys.policies.cache.objects.guard:GuardedObjects")(policy)
    return _make(OBJECT_POLICIES, name, arguments)


def _make(policies: dict[str, tuple[str, dict[str, Any]]], name: str, arguments: dict[str, Any]) -> Any:
    entry, defaults = look_up(policies, name, "cache policy")
    return imported(entry)(**{**defaults, **arguments})


def load_learned_policy(name: str, folder: str) -> Any:
    """The learned policy of that name, as saved in the run `folder`; "guard:NAME" is that policy, guarded.

    Raises:
        InputError: there is none.
    """
    if name.startswith(GUARD):
        return guarded(load_learned_policy(name.removeprefix(GUARD), folder))
    return imported(look_up(LEARNED_POLICIES, name, "learned cache policy")).load(folder)


def guarded(policy: Any, *others: Any) -> Any:
    """`policy` under the guard, which may also follow `others`, with LRU to fall back on.

    Raises:
        InputError: it does not tell which lines it evicts.
    """
    return imported("learnsys.policies.cache.guard:guard")(policy, others=others)
