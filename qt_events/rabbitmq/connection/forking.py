"""Forking: a child must not share locks, sockets and threads with its parent."""

import os
import threading
from typing import Protocol
from weakref import WeakSet

from celery import Celery
from celery.app.amqp import AMQP
from celery.app.base import PendingConfiguration
from celery.loaders.base import BaseLoader
from kombu import Connection
from kombu.transport.base import Transport
from kombu.utils.objects import cached_property

# Each has one lock for all objects, and whoever reads it takes that.
_PROPERTIES = tuple(
    each
    for owner in (AMQP, BaseLoader, Celery, Connection, PendingConfiguration, Transport)
    for each in vars(owner).values()
    if isinstance(each, cached_property)
)


class Renewable(Protocol):
    """Object that a forked child makes anew."""

    def after_fork(self) -> None:
        """Start anew. Called on the child's only thread, before anything else runs there."""


_known: "WeakSet[Renewable]" = WeakSet()


def renew_after_fork(each: Renewable) -> None:
    """Call `each.after_fork()` in every forked child, as long as the object lives."""
    _known.add(each)


def _renew_all() -> None:
    for each in _PROPERTIES:
        each.lock = threading.RLock()
    for renewable in tuple(_known):
        renewable.after_fork()


os.register_at_fork(after_in_child=_renew_all)
