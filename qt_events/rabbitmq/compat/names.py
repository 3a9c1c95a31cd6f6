"""Names inside other libraries that this room uses: the table, and the check of it.

Each module asks once, when it is imported, whether its names are there. If they are not, its bus
works in the library's own way, slower or with a flaw that is named in one warning. Without some
names nothing works: then the import fails.
"""

import warnings
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import version
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, NamedTuple


class Internals(NamedTuple):
    """Names of one library that one module of this room uses."""

    library: str  #: as pip calls it
    names: tuple[str, ...]  #: module:name, or module:Class.attribute
    without: str  #: loss without them; empty if nothing works without them

    @property
    def checked(self) -> str:
        """Minor version in which these names are there and mean what they should."""
        return _CHECKED[self.library]


_CHECKED = {"amqp": "5.4", "kombu": "5.7", "celery": "5.7"}


PUBLISHING = Internals(
    "amqp",
    ("amqp.serialization:dumps", "amqp.spec:Basic.Publish", "amqp.spec:Basic.CLASS_ID"),
    "publishing takes about three times as long",
)
ACKNOWLEDGING = Internals(
    "amqp", ("amqp.spec:Basic.Ack",), "each event is acknowledged by a write of its own"
)
READING = Internals(
    "amqp",
    (
        "amqp.transport:_AbstractTransport._read_buffer",
        "amqp.transport:_AbstractTransport.having_timeout",
        "amqp.connection:Connection.blocking_read",
        "amqp.connection:Connection.on_inbound_frame",
    ),
    "frames are read one by one, which takes longer, and half a frame from a broken network "
    "holds up its reader",
)
UNREADABLE = Internals(
    "amqp",
    ("amqp.serialization:PROPERTY_CLASSES", "amqp.abstract_channel:loads"),
    "a message that py-amqp cannot read ends its worker instead of becoming a dead letter",
)
CONNECTING = Internals(
    "kombu",
    (
        "kombu.connection:Connection._init_params",
        "kombu.connection:Connection._initial_params",
        "kombu.connection:Connection._info",
        "kombu.connection:Connection._establish_connection",
        "kombu.connection:Connection._ensure_connection",
        "kombu.connection:Connection._close",
    ),
    "",
)
POLLING = Internals(
    "kombu",
    ("kombu.asynchronous.hub:Hub._ready", "kombu.utils.eventio:_epoll._epoll"),
    "the asyncio pool looks for messages every 10 ms",
)
FIRST_MESSAGES = Internals(
    "celery",
    ("celery.worker.loops:_quick_drain",),
    "the event loop waits 0.1 s whenever the asyncio pool has connected",
)
MONITORS = Internals(
    "celery",
    (
        "celery.events.dispatcher:EventDispatcher._publish",
        "celery.events.dispatcher:EventDispatcher._outbound_buffer",
    ),
    "with -E, an alarm of the broker makes a worker reconnect again and again, and without a "
    "connection its events for monitors fill the memory",
)
SHUTDOWN = Internals(
    "celery",
    ("celery.worker.worker:WorkController._shutdown",),
    "while run_forever() ends, new sockets of the whole process have Celery's default timeout",
)
PREFORK = Internals(
    "celery",
    (
        "celery.concurrency.prefork:TaskPool._pool",
        "billiard.pool:Pool._cache",
        "billiard.pool:ApplyResult._write_to",
    ),
    "on prefork, an event that a child has begun may be handled again after the worker has stopped",
)

TABLE = tuple(each for each in tuple(vars().values()) if isinstance(each, Internals))


@cache
def are_there(internals: Internals) -> bool:
    """Return True if all these names are there; else warn, once.

    Raises:
        ImportError: some are missing, and nothing works without them.
    """
    lacking = missing(internals)
    if not lacking:
        return True
    text = (
        f"{internals.library} {version(internals.library)} has no {', '.join(lacking)}, as "
        f"{internals.checked} has"
    )
    if not internals.without:
        raise ImportError(
            f"{text}: qt_events needs {internals.library} {internals.checked}", name=__name__
        )
    warnings.warn(f"{text}: {internals.without}", RuntimeWarning, stacklevel=2)
    return False


def missing(internals: Internals) -> list[str]:
    return [name for name in internals.names if not _is_there(name)]


def _is_there(name: str) -> bool:
    module, _, path = name.partition(":")
    owner, _, attribute = path.rpartition(".")
    try:
        holder = import_module(module)
        holder = attrgetter(owner)(holder) if owner else holder
    except (ImportError, AttributeError):
        return False
    return hasattr(holder, attribute) or attribute in _set_by_methods(holder)


def _set_by_methods(holder: Any) -> set[str]:
    """Return attributes in the code of a class: an instance has some that the class has not."""
    functions = (value for cls in getattr(holder, "__mro__", ()) for value in vars(cls).values())
    codes = (each.__code__ for each in functions if isinstance(each, FunctionType))
    return {name for code in codes for name in _names_in(code)}


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
