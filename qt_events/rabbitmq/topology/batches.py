"""Batches: how many declarations go to the broker before its answer is awaited. Pure."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

NEW = 25  #: declarations in a first batch: a new quorum queue takes 20 ms, in a cluster more
STANDING = 500  #: the same if most of it stands: a twentieth of the time
_WANTED = 1.0  # seconds a batch: an answer is awaited for ten, and heartbeats wait for it
_GROWS = 8  # times, at most


def batches(
    items: Sequence[T], first: int, clock: Callable[[], float] = monotonic
) -> Iterator[Sequence[T]]:
    """Yield items in batches, `first` of them at first.

    Each batch takes about a second to whoever asks for the next.
    """
    at, size = 0, first
    while at < len(items):
        began = clock()
        yield items[at : at + size]
        at += size
        size = _next_size(size, clock() - began)


def _next_size(size: int, took: float) -> int:
    return max(1, int(size * min(_GROWS, _WANTED / max(took, 0.001))))
