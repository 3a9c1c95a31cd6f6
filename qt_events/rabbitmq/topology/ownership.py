"""Ownership: whose a subscription is, and what follows if another one declares it. Pure.

A second service with the same name would get half of the events of the first, and each would do
away with what it does not know.
"""

from collections.abc import Iterable
from enum import Enum

from qt_events.rabbitmq.topology.register import Owner


class Claim(Enum):
    """Result of comparing a declarer with the owners."""

    OWN = "own"  #: nothing to say
    DOUBTFUL = "doubtful"  #: it may be a move, a rename, or another program: a warning
    FOREIGN = "foreign"  #: another service and another handler: an error


def claim(owner: Owner, owners: Iterable[Owner]) -> Claim:
    """Compare a declarer with the owners there are; the nearest of them counts."""
    found = [_compared(owner, each) for each in owners]
    return min(found, key=list(Claim).index, default=Claim.OWN)


def _compared(owner: Owner, other: Owner) -> Claim:
    if owner == other:
        return Claim.OWN
    known = bool(owner.service and other.service)
    if owner.handler == other.handler:
        # One of them may be older than the service's name.
        return Claim.DOUBTFUL if known else Claim.OWN
    return Claim.FOREIGN if known and owner.service != other.service else Claim.DOUBTFUL


def foreign(name: str, owner: Owner, owners: Iterable[Owner]) -> str:
    """Return the error's text."""
    return (
        f"the subscription {name!r} belongs to {_described(owners)}, and now {describe(owner)} "
        "declares it too: each would get a part of the events. Give this one a name of its own "
        f"with name=, or hand it over by `qt-events topology take-over {name} --app MODULE`"
    )


def doubtful(name: str, owner: Owner, owners: Iterable[Owner]) -> str:
    """Return the warning's text."""
    return (
        f"the subscription {name!r} was declared by {_described(owners)}, and now by "
        f"{describe(owner)}: if these are two programs, each gets a part of the events, so give "
        "one of them another name="
    )


def describe(owner: Owner) -> str:
    return f"{owner.handler} of {f'service {owner.service!r}' if owner.service else 'no service'}"


def _described(owners: Iterable[Owner]) -> str:
    return " and ".join(map(describe, owners))
