"""What a forked child must not share with its parent: locks that somebody holds, sockets, threads it has not got."""

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something that a forked child makes anew."""

    def after_fork(self) -> None:
        """Called in the child, on its only thread, before anything else of the child's runs."""


_known: "WeakSet[Renewable]" = WeakSet()


def renew_after_fork(each: Renewable) -> None:
    """Have `each.after_fork()` called in every forked child, as long as it lives."""
    _known.add(each)


def _renew_all() -> None:
    for each in tuple(_known):
        each.after_fork()


os.register_at_fork(after_in_child=_renew_all)
