"""The queues and lists of the kernels.

Numba keeps compiled kernels by the time stamp of their own file: after a change here, touch the files that use it.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(["UniTuple(int64, 2)(int32[::1], int64, int64, int64)"], cache=True, nogil=True)
def push(queue, tail, end, item):
    """Put `item` behind `queue[tail:end]`, first moving that to the array's front if its end is reached.

    Returns the new (tail, end). The array must be larger than what is ever queued.
    """
    if end == queue.size:
        for p in range(tail, end):
            queue[p - tail] = queue[p]
        tail, end = np.int64(0), end - tail
    queue[end] = item
    return tail, end + 1


# Lists are circular through their heads, which are the first nodes. `links[2 * node]` is the next older node (of a
# head: the newest), `links[2 * node + 1]` the next newer one (of a head: the oldest); an empty list's head is both.


@njit(["void(int32[::1], int64)"], cache=True, nogil=True)
def unlink(links, node):
    """Take `node` out of its list."""
    older, newer = links[2 * node], links[2 * node + 1]
    links[2 * older + 1] = newer
    links[2 * newer] = older


@njit(["void(int32[::1], int64, int64)"], cache=True, nogil=True)
def insert(links, older, node):
    """Put `node`, which is in no list, into that of `older`, as the next newer one."""
    newer = links[2 * older + 1]
    links[2 * node], links[2 * node + 1] = older, newer
    links[2 * older + 1] = node
    links[2 * newer] = node


@njit(["void(int32[::1], int64, int64)"], cache=True, nogil=True)
def append(links, head, node):
    """Make `node`, which is in no list, the newest of the list `head`."""
    newest = links[2 * head]
    links[2 * node], links[2 * node + 1] = newest, head
    links[2 * newest + 1] = node
    links[2 * head] = node


@njit(["int64(int32[::1], int64)"], cache=True, nogil=True)
def oldest(links, head):
    """The oldest node of the list `head`, or `head` itself if it is empty."""
    return np.int64(links[2 * head + 1])
