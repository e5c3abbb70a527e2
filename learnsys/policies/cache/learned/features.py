"""What the network of `LearnsysCache` sees. The kernel computes it, in this order, and hashes each value.

Logarithms are binary and cut to whole numbers (to halves where an age is meant); times are accesses to the set
(`clock`) or to the whole cache. Lines, pages and PCs are remembered in tables of fixed sizes, in which a newer entry
takes the place of an older one: one forgotten counts as one never seen. Without PCs, all are 0, and the features made
from them say nothing.
"""

from __future__ import annotations

ACCESS_FEATURES = (
    ("pc", "the PC"),
    ("pc, gap", "and the log gap since the line's last access (clock)"),
    ("pc, gaps", "and the log of its last three gaps"),
    ("pc, line's pc", "and the PC of the line's access before"),
    ("pc, path", "and the different PC before it"),
    ("path", "the last two different PCs before"),
    ("page", "the 4 KiB page (with 64-byte lines)"),
    ("region, pc", "the 64 KiB region and the PC"),
    ("past", "the log of the last two gaps and the line's touches so far, at most 15"),
    ("pc, offset", "the PC and the line's place in its page"),
    ("pc, page's past", "the PC, the log time since the page's last access and the log of its touches"),
    ("pc, stride", "the PC, the step from the line that it accessed last (at most 64), and whether it is steady"),
    ("line", "the line"),
    ("page's pc, pc", "the PC of the page's last access and this one"),
    ("pc, touches", "the PC and the line's touches so far"),
    ("set's pc, pc", "the PC of the set's last access and this one"),
)
"""(name, meaning) of the features of an access; a resident line carries those of its last access"""

CANDIDATE_FEATURES = (
    ("age, rank", "log age (clock) and recency rank in the set"),
    ("pc, age", "the PC of the line's last access and the log age"),
    ("page's age, age", "log time since the line's page was accessed, and log age"),
    ("hits, age", "hits since the line was inserted, at most 7, and log age"),
    ("past, age", "`past` of the line's last access and log age"),
    ("missing pc, pc", "the PC that misses now and the PC of the line's last access"),
    ("pc, page's age", "that PC and the log time since the page was accessed"),
    ("pc, hits, rank", "that PC, hits since insertion and recency rank"),
    ("counter, age", "how often MIN kept what that PC touched (0 to 31, as in Hawkeye), and log age"),
    ("remaining, counter", "the mean log reuse distance of that PC less the age, and a quarter of the counter"),
    ("expected, age", "the mean log reuse distance of that PC and log age"),
    ("counter, rank", "that counter and recency rank"),
)
"""(name, meaning) of the features of a resident line at an eviction. The counter and the mean distance, both kept
for each PC at hits and at misses apart, are predictions of their own (Hawkeye's and Mockingjay's ideas) that the
network weighs and corrects."""
