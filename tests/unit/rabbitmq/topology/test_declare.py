"""Declarer: declares what must exist, or checks it where this user may declare nothing."""

from typing import Any

import pytest
from amqp import spec
from amqp.exceptions import AccessRefused, NotFound, PreconditionFailed

from qt_events.errors import TopologyError
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.topology.declare import Declarer


class Channel:
    """Broker on which some names may be declared, some exist, some bindings are refused."""

    def __init__(
        self,
        may: str = "",
        stands: str = "",
        refused: AccessRefused | None = None,
        hidden: str = "",
    ) -> None:
        self.connection = object()
        self.may, self.stands, self.refused = may.split(), stands.split(), refused
        self.hidden = hidden.split()
        self.asked: list[str] = []

    def queue_declare(self, name: str, *, passive: bool = False, **_: Any) -> None:
        self.asked.append(f"look {name}" if passive else f"declare {name}")
        if passive and name in self.hidden:
            raise AccessRefused(f"access to queue {name!r} refused", spec.Queue.Declare)
        if passive and name not in self.stands:
            raise NotFound(f"no queue {name!r}")
        if not passive and name not in self.may:
            raise AccessRefused(f"access to queue {name!r} refused", spec.Queue.Declare)

    def exchange_declare(self, name: str, _type: str, **options: Any) -> None:
        options.pop("arguments", None), options.pop("durable"), options.pop("auto_delete")
        self.queue_declare(name, **options)

    def queue_bind(self, queue: str, exchange: str, key: str) -> None:
        self.asked.append(f"bind {queue} {exchange} {key}")
        if self.refused:
            raise self.refused


def declarer(channel: Any) -> Declarer:
    return Declarer(channel, {})


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_who_may_declare_declares(kind: str) -> None:
    channel = Channel(may="a")
    assert getattr(declarer(channel), kind)("a", *["topic"] * (kind == "exchange")) is True
    assert channel.asked == ["declare a"]


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_who_may_not_declare_looks_and_asks_no_second_time(kind: str) -> None:
    """RabbitMQ logs every refusal, and a fleet connects often."""
    channel = Channel(stands="a")
    found = declarer(channel)
    for _ in range(2):
        assert getattr(found, kind)("a", *["topic"] * (kind == "exchange")) is False
    assert channel.asked == ["declare a", "look a", "look a"]


@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_what_may_not_even_be_looked_at_is_taken_to_exist(kind: str) -> None:
    """RabbitMQ 4.3 refuses the look, whether it stands or not. It is asked once."""
    channel = Channel(hidden="a")
    found = declarer(channel)
    for _ in range(2):
        assert getattr(found, kind)("a", *["topic"] * (kind == "exchange")) is False
    assert channel.asked == ["declare a", "look a"]


def test_what_is_missing_and_may_not_be_declared_is_a_named_error() -> None:
    """The text names the command that helps, and who has to run it."""
    with pytest.raises(
        TopologyError, match=r"'a' is missing.*`qt-events topology declare` as an administrator"
    ):
        declarer(Channel()).queue("a")


def test_what_stands_with_other_arguments_is_no_refusal() -> None:
    """A passive check would find it, and hide the difference."""

    class Different(Channel):
        def queue_declare(self, name: str, **_: Any) -> None:
            raise PreconditionFailed(f"inequivalent arg for queue {name!r}")

    with pytest.raises(PreconditionFailed):
        declarer(Different(stands="a")).queue("a")


def refusal(what: str) -> AccessRefused:
    return AccessRefused(
        f"ACCESS_REFUSED - access to {what} in vhost '/' refused for user 'u'", spec.Queue.Bind
    )


def test_anothers_queue_is_left_to_whose_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """A worker declares what others of its app serve, if it may.

    It asks once, and logs the refusal.
    """
    caplog.set_level("INFO", "qt_events")
    channel = Channel(refused=refusal("queue 'qt.sub.a'"))
    found = declarer(channel)
    for key in ("x", "y"):
        found.bind("qt.sub.a", "qt.events", key, served=False)
    assert channel.asked == ["bind qt.sub.a qt.events x"]
    assert caplog.messages == ["'qt.sub.a' is bound by others: this user may not do it"]


def test_a_queue_that_is_served_here_has_to_be_bound_here() -> None:
    """A worker without the right to bind would hear nothing, even if others bind the queue."""
    found = declarer(Channel(refused=refusal("queue 'qt.sub.a'")))
    found.bind("qt.sub.a", "qt.events", "x", served=False)
    with pytest.raises(
        TopologyError, match=r"may not bind 'qt\.sub\.a'.*by 'x'.*permissions --apply"
    ):
        found.bind("qt.sub.a", "qt.events", "x", served=True)


@pytest.mark.parametrize("served", [True, False])
@pytest.mark.parametrize(
    "what", ["topic 'x' in exchange 'qt.events'", "exchange 'qt.events'", "queue 'qt.sub.ab'"]
)
def test_its_own_queue_that_may_not_hear_something_is_a_named_error(
    what: str, served: bool
) -> None:
    """The subscription would stay silent otherwise."""
    channel = Channel(refused=refusal(what))
    with pytest.raises(
        TopologyError, match=r"may not bind 'qt\.sub\.a'.*by 'x'.*permissions --apply"
    ):
        declarer(channel).bind("qt.sub.a", "qt.events", "x", served=served)


def test_a_refused_publish_is_none_of_ours() -> None:
    """The publisher's own channel may end while the answer to a declaration is waited for."""
    error = AccessRefused("access to topic 'x' refused", spec.Basic.Publish)
    assert is_about_a_publish(error)

    class Other(Channel):
        def queue_declare(self, name: str, **_: Any) -> None:
            raise error

    with pytest.raises(AccessRefused):
        declarer(Other(stands="a")).queue("a")
    with pytest.raises(AccessRefused):
        declarer(Channel(refused=error)).bind("a", "b", "c")


def test_what_was_refused_and_is_missing_is_tried_once_a_connection() -> None:
    """An administrator may have given this user the right meanwhile."""
    channel = Channel(stands="a")
    found = declarer(channel)
    assert found.queue("a") is False
    channel.stands, channel.may = [], ["a"]
    with pytest.raises(TopologyError, match="'a' is missing"):
        found.queue("a")
    channel.connection = object()
    assert found.queue("a") is True
    assert channel.asked == ["declare a", *["look a"] * 3, "declare a"]
