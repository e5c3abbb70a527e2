"""What the text formats share."""

from __future__ import annotations


def full_lines(head: bytes) -> list[bytes]:
    """The lines of `head` that are whole and not blank; a short file's last line counts as whole."""
    lines = head.split(b"\n")
    if len(lines) > 1:
        lines = lines[:-1] or lines
    return [line.strip() for line in lines if line.strip()]
