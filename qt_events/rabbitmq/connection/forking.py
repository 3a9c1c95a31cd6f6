"""Forking: a child must not share locks, sockets and threads with its parent."""

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Object that a forked child makes anew."""

    def after_fork(self) -> None:
        """Start anew. Called on the child's only thread, before anything else runs there."""


_known: "WeakSet[Renewable]" = WeakSet()


def renew_after_fork(each: Renewable) -> None:
    """Call `each.after_fork()` in every forked child, as long as the object lives."""
    _known.add(each)


def _renew_all() -> None:
    for each in tuple(_known):
        each.after_fork()


os.register_at_fork(after_in_child=_renew_all)
