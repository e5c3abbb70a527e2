"""Set-associative policies: what each evicts on traces of ten requests, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from learnsys.envs.cache.accesses import Accesses, next_uses
from learnsys.policies.cache.registry import SET_POLICIES, make_set_policy
from learnsys.policies.cache.simulation import Simulation, chunk_of, fit
from learnsys.testing.policies import geometry_of

FREE, HIT, BYPASS = "-", "hit", "bypass"
P, Q, R, U = 11, 22, 33, 44


def prepare(requests: Sequence[tuple[str, int]], sets: int, ways: int) -> Accesses:
    """Accesses of (line letter or set-and-letter, PC): "A" is line 0 of set 0, "1B" the second line of set 1."""
    number = [(int(name[:-1] or 0)) + sets * (ord(name[-1]) - ord("A")) for name, _ in requests]
    pcs = np.array([pc for _, pc in requests], np.uint64)
    return Accesses.prepare(np.array(number, np.uint64) * 64, pcs, geometry_of(sets, ways))


def residents(state: dict[str, np.ndarray]) -> set[int]:
    held = next(state[name] for name in ("tags", "stack", "queues") if name in state)
    return {int(line) for line in held.ravel() if line >= 0}


def run(policy, requests, *, sets=1, ways=4, train=(), change=None) -> tuple[list[str], dict[str, np.ndarray]]:
    """What each request does: hits, fills a free way, bypasses, or evicts the line of that letter; the last state.

    `train` is an earlier part on which the policy is fitted; `change(state, accesses)` may alter the empty cache.
    """
    names = [name for name, _ in [*train, *requests]]
    pairs = [(name, pc) for name, pc in [*train, *requests]]
    accesses = prepare(pairs, sets, ways)
    geometry, ids = geometry_of(sets, ways), (accesses.line_number.size, accesses.pc_value.size)
    learnt = fit(policy, accesses, geometry, 0, len(train)) if train else None
    simulation = Simulation(policy, geometry, learnt=learnt)
    policy.grow(simulation.state, *ids)
    if change is not None:
        change(simulation.state, accesses)
    name_of = {int(line): name for line, name in zip(accesses.line, names, strict=True)}
    happened = []
    for t in range(len(train), len(accesses)):
        before = residents(simulation.state)
        hit = simulation.run(chunk_of(accesses, t, t + 1, policy.needs_future), *ids)[0]
        after = residents(simulation.state)
        gone = before - after
        assert hit == (int(accesses.line[t]) in before)
        assert len(gone) <= 1 and len(after) <= sets * ways
        if hit:
            assert before == after
            happened.append(HIT)
        elif int(accesses.line[t]) not in after:
            assert before == after
            happened.append(BYPASS)
        else:
            happened.append(name_of[gone.pop()] if gone else FREE)
    return happened, simulation.state


def plain(letters: str, pc: int = P) -> list[tuple[str, int]]:
    return [(letter, pc) for letter in letters.split()]


def coded(text: str) -> list[tuple[str, int]]:
    """Requests written as "pA qB": PC p, line A."""
    return [(word[1], {"p": P, "q": Q, "r": R, "s": R + 1, "u": U}[word[0]]) for word in text.split()]


def test_lru_victims():
    # After the hit on A the order from stale to fresh is B C D A: E evicts B, B evicts C, F evicts D; A hits and
    # becomes fresh, leaving E B F A: C evicts E.
    victims, _ = run(make_set_policy("lru"), plain("A B C D A E B F A C"))
    assert victims == [FREE] * 4 + [HIT, "B", "C", "D", HIT, "E"]


def test_mru_victims():
    # E evicts A, touched just before; then B hits and goes for F; F itself goes for A; C is still there.
    victims, _ = run(make_set_policy("mru"), plain("A B C D A E B F A C"))
    assert victims == [FREE] * 4 + [HIT, "A", HIT, "B", "F", HIT]


def test_random_victims():
    # SplitMix64 from state 0 gives e220.., 6e78.., 06c4.., f88b.., 1b39.. (published test values): of 4 ways,
    # 3, 1, 0, 3, 0. So E evicts D, F evicts B, G evicts A, H evicts E (now in way 3), I evicts G (now in way 0).
    def seed_zero(state, accesses):
        state["generator"][0] = 0

    victims, _ = run(make_set_policy("random"), plain("A B C D E F G H I C"), change=seed_zero)
    assert victims == [FREE] * 4 + ["D", "B", "A", "E", "G", HIT]


def test_random_is_uniform():
    accesses = prepare([(chr(ord("A") + i), P) for i in range(5)], 1, 4)
    simulation = Simulation(make_set_policy("random"), geometry_of(1, 4), seed=7)
    simulation.run(chunk_of(accesses, 0, 4), 5, 1)
    evicted = np.zeros(4, int)
    for _ in range(4000):
        missing = (set(range(5)) - residents(simulation.state)).pop()
        before = simulation.state["tags"].copy()
        simulation.run(chunk_of(accesses, missing, missing + 1), 5, 1)
        evicted += before[0] != simulation.state["tags"][0]
    assert evicted.sum() == 4000
    assert ((evicted - 1000) ** 2 / 1000).sum() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


def test_s4lru_victims():
    # Queues of one line each, q0 to q3. A hit moves A to q1, so B and then C share q0: C evicts B with two ways free.
    # The hit on C moves it to q1, which pushes A down to q0; the hit on A swaps them again, and the next one lifts A
    # to q2. D pushes C out of q0; the hit on D moves it to q1, so E finds q0 free.
    victims, state = run(make_set_policy("s4lru"), plain("A A B C C A A D D E"))
    assert victims == [FREE, HIT, FREE, "B", HIT, HIT, HIT, "C", HIT, FREE]
    assert state["queues"].ravel().tolist() == [4, 3, 0, -1]  # E, D, A


def test_s4lru_queue_of_two():
    # 8 ways, so two lines in each queue. A hit takes B out of the middle of q0 = [C B]; [C] stays there, so D finds
    # room and E evicts C, the older.
    victims, _ = run(make_set_policy("s4lru"), plain("A A B C B D E"), ways=8)
    assert victims == [FREE, HIT, FREE, FREE, HIT, FREE, "C"]


def test_srrip_victims():
    # Predictions after A A B C D B: A0 B0 C2 D2. E ages all by one: C, D stand at 3 and go, C first. Then E2 F2 with
    # A1 B1: G ages by one, and E and F, at 3, go in this order.
    victims, state = run(make_set_policy("srrip"), plain("A A B C D B E F G C"))
    assert victims == [FREE, HIT, FREE, FREE, FREE, HIT, "C", "D", "E", "F"]
    assert state["rrpv"].tolist() == [[2, 2, 2, 2]]


def test_brrip_victims():
    # All enter at 3 but the hit makes A 0: E evicts B, F evicts E in the same way, and so does G with F; C is kept.
    victims, _ = run(make_set_policy("brrip"), plain("A B C D A E F A G C"))
    assert victims == [FREE] * 4 + [HIT, "B", "E", HIT, "F", HIT]


def test_brrip_inserts_every_32nd_line_at_2():
    simulation = Simulation(make_set_policy("brrip"), geometry_of(1, 4))
    accesses = prepare([(chr(ord("A") + i), P) for i in range(33)], 1, 4)
    for t in range(33):
        simulation.run(chunk_of(accesses, t, t + 1), 33, 1)
        way = int(np.flatnonzero(simulation.state["tags"][0] == t)[0])
        assert simulation.state["rrpv"][0, way] == (2 if t == 31 else 3)


def test_drrip_victims():
    # Four sets: set 0 leads for SRRIP, set 3 for BRRIP, 1 and 2 follow. The miss in set 0 lifts the selector to 512, so
    # set 1 follows BRRIP: A and B enter at 3, C evicts A, D evicts C. Two misses in set 3 bring it back to 510: E
    # evicts D and enters at 2, F evicts B and enters at 2, and B ages both and evicts E, the lower way.
    requests = [(name, P) for name in "0A 1A 1B 1C 1D 3A 3B 1E 1F 1B".split()]
    victims, state = run(make_set_policy("drrip"), requests, sets=4, ways=2)
    assert victims == [FREE, FREE, FREE, "1A", "1C", FREE, FREE, "1D", "1B", "1E"]
    assert state["insertion"].tolist() == [0, 2, 2, 1]


def test_shippp_victims():
    # Two ways, all counters 1. A and B enter at 2; C ages them and evicts A, unused: p falls to 0, so C enters at 3 and
    # D evicts it. D enters at 2 (q = 1); its first hit lifts q to 2, its second does not. E evicts B, F evicts E, both
    # entering at 3, D hits, and G (q, at 2) evicts F.
    victims, state = run(make_set_policy("shippp"), coded("pA pB pC qD qD qD pE pF qD qG"), ways=2)
    assert victims == [FREE, FREE, "A", "C", HIT, HIT, "B", "E", HIT, "F"]
    assert state["counter"][state["signature"][:2]].tolist() == [0, 2]
    assert sorted(state["rrpv"][0].tolist()) == [0, 2]


def test_shippp_inserts_at_0_where_the_counter_is_full():
    def sure(state, accesses):
        state["counter"][:] = 7

    _, state = run(make_set_policy("shippp"), coded("pA"), ways=2, change=sure)
    assert state["rrpv"][0, 0] == 0


@pytest.mark.parametrize("name", ["hawkeye", "hawkeye_sampled"])
def test_hawkeye_victims(name):
    # Three ways, so OPTgen has room for one line. A and B enter friendly. A returns: nobody held quanta 0 and 1, p
    # rises to 17. B returns: quantum 1 is taken, q falls to 15 and B turns averse. C enters friendly (p), A ages to 1;
    # D (q) evicts averse B and is averse itself; E (p) evicts it and ages A to 2, C to 1. Now all are friendly: F
    # evicts A, the oldest, against p (16), and enters friendly still, C ages to 2; G (q, averse) evicts C, which
    # brings p to 15. E returns: quanta 6 to 8 are free, so p rises to 16.
    victims, state = run(make_set_policy(name), coded("pA qB pA qB pC qD pE pF qG pE"), ways=3)
    assert victims == [FREE, FREE, HIT, HIT, FREE, "B", "D", "A", "C", HIT]
    assert state["counter"][state["signature"][:2]].tolist() == [16, 15]


def test_hawkeye_evicts_the_highest_of_the_oldest_friendly_ways():
    # A, B and C enter friendly and age to 2, 1, 0; hits reset A (p rises to 17) and C (quantum 2 is taken: p falls to
    # 16). D evicts B, at 1, against q, and ages A and C to 1: A1 D0 C1. E evicts C, the higher way of the two at 1.
    victims, _ = run(make_set_policy("hawkeye"), coded("pA qB pC pA pC pD pE"), ways=3)
    assert victims[-2:] == ["B", "C"]


def mockingjay_distances(state, accesses):
    """Known reuse distances: 4 (ETR 0), 12 (1), 20 (2) and 28 (beyond 25, so 3 of at most 3), in order of first use."""
    for pc, value in enumerate(accesses.pc_value.tolist()):
        for hit in (0, 1):
            state["distance"][state["signature"][2 * pc + hit]] = {Q: 12, R: 20, P: 4, R + 1: 28}[value]


MOCKINGJAY_TRACE = "qA rB pC qD sE rF pA pG pH pI"


@pytest.mark.parametrize("name", ["mockingjay", "mockingjay_sampled"])
def test_mockingjay_victims(name):
    # Times remaining after four fills: A1 B2 C0 D1. E (28, beyond the longest) bypasses. F (2, not beyond B's 2) evicts
    # B. The hit makes A 0 (p). G evicts F (2). H evicts D (1), and as the ninth access it ages all others below zero:
    # A-1 G-1 C-1 H0. I evicts the last of the three, C.
    victims, _ = run(make_set_policy(name), coded(MOCKINGJAY_TRACE), change=mockingjay_distances)
    assert victims == [FREE] * 4 + [BYPASS, "B", HIT, "F", "D", "C"]


def test_mockingjay_victims_without_bypass():
    # E must enter, evicts B (2) and stands at 3, so F evicts E; from there on as above.
    victims, _ = run(make_set_policy("mockingjay_no_bypass"), coded(MOCKINGJAY_TRACE), change=mockingjay_distances)
    assert victims == [FREE] * 4 + ["B", "E", HIT, "F", "D", "C"]


def test_mockingjay_sampler():
    # Two ways: distances up to 15. A returns after 3 accesses: p (a miss) learns 3. B's second access, a hit, comes
    # after 1: q (a miss) learns 1. Its third comes 2 after the second: q (a hit) learns 2, and the distances of 1 that
    # follow are too near for a step. A returns 21 later, beyond 15: what touched it last, p (a hit), counts as never.
    _, state = run(make_set_policy("mockingjay"), coded("pA qB qB pA" + 20 * " qB" + " pA"), ways=2)
    of = {key: int(state["distance"][state["signature"][key]]) for key in range(4)}  # 2 * PC id + hit
    assert of == {0: 3, 1: 15, 2: 1, 3: 2}


def test_mockingjay_steps_by_one_where_far_off():
    # A returns after 2 accesses where p expected 30: one step down, to 29; expecting 17 (15 off), no step.
    for expected, learnt in ((30, 29), (17, 17)):

        def expect(state, accesses, expected=expected):
            state["distance"][state["signature"][0]] = expected

        _, state = run(make_set_policy("mockingjay_no_bypass"), coded("pA qB pA"), change=expect)
        assert state["distance"][state["signature"][0]] == learnt


# Distances of the training part: 2 4 2 and, not repeated, 8 (its length) 8 8; then 1 and 8. Geometric means by PC: p 2,
# q (4 8 8) 6.35, r (8 1 8) 4; by line: A (2 2 8) 3.17, B (4 8) 5.66, C 8, D (1 8) 2.83; by both: pA 2, rA 8, qB 5.66,
# qC 8, rD 2.83; over all, 2^16 under the eighth root, 4.
TRAIN = "pA qB pA qC rA qB rD rD"


def test_table_learns_geometric_means():
    accesses = prepare(coded(TRAIN), 1, 2)
    learnt = fit(make_set_policy("table_both"), accesses, geometry_of(1, 2), 0, 8)
    assert learnt["by_pc"] == pytest.approx([2, 256 ** (1 / 3), 4])
    assert learnt["by_line"] == pytest.approx([32 ** (1 / 3), 32**0.5, 8, 8**0.5])
    assert learnt["overall"] == pytest.approx([4])
    assert learnt["pair_start"].tolist() == [0, 2, 3, 4, 5]
    assert learnt["pair_pc"].tolist() == [0, 2, 1, 1, 2]
    assert learnt["by_pair"] == pytest.approx([2, 8, 32**0.5, 8, 8**0.5])


TABLES = {
    # A 6.35, B 2: C (4) evicts A. The hit makes B 4; of C and B, equal, the lower way goes: D (2) evicts C. A (6.35)
    # evicts B, E (PC unknown: 4) evicts A, is hit (2), and of D and E, equal, D goes for B.
    "table_pc": ("qA pB rC rB pD qA uE pE qB pB", [FREE, FREE, "A", HIT, "C", "B", "A", HIT, "D", HIT]),
    # A 3.17, B 5.66: D (2.83) evicts B, C (8) evicts A. E is unknown, so its PC decides: 2; it evicts C, F (6.35)
    # evicts D, G (nothing known: 4) evicts F. The hit by q makes E 6.35, so A evicts E; D evicts G (4; A is 3.17).
    "table_address": ("pA pB qD pC pE qF uG qE pA pD", [FREE, FREE, "B", "A", "C", "D", "F", HIT, "E", "G"]),
    # A 8 (with r), B 5.66 (pB unknown: the line's); the hit by p makes A 2. C (8) evicts B, D (2.83) evicts C. Hits:
    # A 8, D 2.83 (pD unknown: the line's). E (q: 6.35) evicts A, F (4) evicts E, B (5.66) evicts F.
    "table_both": ("rA pB pA qC rD rA pD qE uF qB", [FREE, FREE, HIT, "B", "C", HIT, HIT, "A", "E", "F"]),
    # Time starts at 8; arrivals: A 14.35, B 11. At 10 C (14) evicts A. At 11 D (13) evicts C, B being due now. At 12 D
    # and B are 1 off, one early, one overdue: the lower way, D, goes for A (18.35); at 13 E (15) evicts A; at 14 B, 3
    # overdue, goes for F (20.35), not E, due in 1. E is hit (19); G (18) evicts F; E is hit.
    "eta_pc": ("qA pB rC pD qA pE qF rE pG pE", [FREE, FREE, "A", "C", "D", "A", "B", HIT, "F", HIT]),
    # Arrivals A 11.17, B 14.66; C (18) evicts B, D (13.83) evicts C, E (q, from 12: 18.35) evicts D (1.83 off; A .83).
    # A is hit (16.17). B (19.66) evicts E, D (17.83) evicts B, F (p, from 16: 18) evicts D; at 17 C finds A .83
    # overdue and F due in 1: F goes.
    "eta_address": ("pA pB pC pD qE pA pB qD pF pC", [FREE, FREE, "B", "C", "D", HIT, "E", "B", "D", "F"]),
    # A 10 (pA), B 14.66 (qB); the hit by r makes A 18. At 11 D (13.83) evicts A. At 12 C (20) evicts B (2.66 off; D
    # 1.83), E (p: 15) evicts C, at 14 A (pA: 16) evicts E, at 15 F (19) evicts D, 1.17 overdue (A is due in 1), at 16 D
    # evicts F, A being due now; at 17 A is hit.
    "eta_both": ("pA qB rA rD qC pE pA uF pD pA", [FREE, FREE, HIT, "A", "B", "C", "E", "D", "F", HIT]),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_victims(name):
    requests, expected = TABLES[name]
    victims, _ = run(make_set_policy(name), coded(requests), ways=2, train=coded(TRAIN))
    assert victims == expected


def test_nearest_neighbour_victims():
    # Training in two ways: at A nothing is held, at B only A, at C MIN would evict B (A comes first), at the second A
    # and B both residents never return (A stands lower), at D the same (B). Then A B C follow the training part, so C
    # evicts B where LRU would evict A; A hits; B evicts A where LRU would evict C. E is new: LRU, C goes. D ends no
    # longer match than itself: B goes. A, alone, matches its first place, which advises nothing: LRU, E goes. C
    # advises B, which is not there: LRU, D goes.
    train = plain("A B C A B D")
    victims, _ = run(make_set_policy("nearest_neighbour"), plain("A B C A B E D A C A"), ways=2, train=train)
    assert victims == [FREE, FREE, "B", HIT, "A", "C", "B", "E", "D", HIT]


def test_nearest_neighbour_finds_the_longest_suffix():
    """The state of the automaton stands for the same place as a search of all places, set by set."""
    rng = np.random.default_rng(3)
    n, sets, ways = 600, 2, 2
    numbers = np.concatenate([rng.integers(0, 8, n), rng.integers(0, 10, n)])
    accesses = Accesses.prepare(numbers.astype(np.uint64) * 64, rng.integers(0, 2, 2 * n), geometry_of(sets, ways))
    policy = make_set_policy("nearest_neighbour")
    learnt = fit(policy, accesses, geometry_of(sets, ways), 0, n)
    # What is advised at each place of the training part: one set after the other, states are made in this order.
    by_set = [[t for t in range(n) if accesses.row[t] == row] for row in range(sets)]
    simulation = Simulation(policy, geometry_of(sets, ways), learnt=learnt)
    ids = accesses.line_number.size, accesses.pc_value.size
    symbols = list(zip(accesses.line.tolist(), accesses.pc.tolist(), strict=True))
    seen: list[list[tuple[int, int]]] = [[] for _ in range(sets)]
    advice = advice_by_search(accesses, n, sets, ways)
    for t in range(n, 2 * n):
        row = int(accesses.row[t])
        seen[row].append(symbols[t])
        simulation.run(chunk_of(accesses, t, t + 1), *ids)
        best, place = 0, -1
        for index, end in enumerate(by_set[row]):
            length = 0
            while (
                length <= index
                and length < len(seen[row])
                and symbols[by_set[row][index - length]] == seen[row][-1 - length]
            ):
                length += 1
            if length > best:
                best, place = length, end
        matched = int(simulation.state["matched"][row])
        assert (matched < sets) == (place < 0)
        if place >= 0:
            assert learnt["advised"][matched] == advice[place]


def advice_by_search(accesses, n, sets, ways):
    """What MIN would evict at each training access, from lists and look-ups alone."""
    inside = next_uses(np.ascontiguousarray(accesses.line[:n]), accesses.line_number.size)
    held: list[list[int]] = [[] for _ in range(sets)]
    coming: dict[int, int] = {}
    advice = []
    for t in range(n):
        line, lines = int(accesses.line[t]), held[accesses.row[t]]
        coming[line] = int(inside[t])
        away = [coming[other] for other in lines]
        furthest = away.index(max(away)) if lines else -1
        advice.append(lines[furthest] if lines else -1)
        if line not in lines and len(lines) < ways:
            lines.append(line)
        elif line not in lines:
            lines[furthest] = line
    return advice


def test_belady_victims():
    # Next uses when E comes: A 9th request, B 7th, C 10th, D never: D goes. When F comes, B and E never return: B, in
    # the lower way, goes.
    victims, _ = run(make_set_policy("belady"), plain("A B C D A E B F A C"))
    assert victims == [FREE] * 4 + [HIT, "D", HIT, "B", HIT, HIT]


def test_belady_bypass_victims():
    # E and F never return, so they are not inserted. G does: of the lines that never do, the one in the lowest way
    # goes, B (after its hit), or A where C returns instead.
    victims, _ = run(make_set_policy("belady_bypass"), plain("A B C D E B F G A G"))
    assert victims == [FREE] * 4 + [BYPASS, HIT, BYPASS, "B", HIT, HIT]
    victims, _ = run(make_set_policy("belady_bypass"), plain("A B C D E B F G C G"))
    assert victims == [FREE] * 4 + [BYPASS, HIT, BYPASS, "A", HIT, HIT]


def test_learnsys_cache_victims():
    # It knows nothing yet, and all lines look equally good: the newest goes, which is the missed one, so nothing that
    # is held leaves, and G, not let in, is missed again.
    victims, _ = run(make_set_policy("learnsys_cache"), plain("A B C D E F G B C G"))
    assert victims == [FREE] * 4 + [BYPASS, BYPASS, BYPASS, HIT, HIT, BYPASS]


def test_every_policy_has_a_table_of_victims():
    """Each registered name stands in a test above."""
    import inspect
    import sys

    text = inspect.getsource(sys.modules[__name__])
    assert [name for name in SET_POLICIES if f'"{name}"' not in text] == []
