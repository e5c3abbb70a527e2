"""How text formats are recognised."""

from __future__ import annotations

import re

_LINES = 20


def first_lines(head: bytes) -> list[bytes]:
    """The first lines of `head` that are not blank, stripped; its last one only if it is the only one or ended."""
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    whole = [line.strip() for line in lines[:-1] if line.strip()]
    return (whole or [lines[-1].strip()])[:_LINES]


def lines_match(head: bytes, pattern: re.Pattern[bytes]) -> bool:
    """Whether the first line and half of those after it are in the pattern; a wrong one is for the reader to report."""
    matches = [bool(pattern.fullmatch(line)) for line in first_lines(head)]
    return matches[0] and sum(matches) * 2 >= len(matches)
