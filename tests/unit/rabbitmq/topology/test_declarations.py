"""Declarations: what was subscribed is declared before the next publish, or tried again."""

from typing import Any

import pytest
from amqp import spec
from amqp.exceptions import AccessRefused

from qt_events.errors import TopologyError
from qt_events.rabbitmq.topology.declarations import Declarations
from tests.unit.rabbitmq.topology.declaring import (
    LINES,
    Connection,
    RecordingTopology,
    Unregistered,
    channel_of,
    make,
    subscription,
)


def test_everything_is_declared_once_an_epoch(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The exchange, a queue or a binding may be gone since the last epoch."""
    declarations.want(subscription())
    assert declarations.needed(1)
    make(declarations, 1)
    assert not declarations.needed(1)
    assert declarations.needed(2)
    make(declarations, 2)
    assert topology.declared == ["base", "shared", ("guard", ("first",))] * 2


def test_what_all_share_is_declared_once(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The shared part is half of what a subscription needs."""
    for name in ("guard", "audit"):
        declarations.want(subscription(name=name))
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",)), ("audit", ("first",))]


def test_what_cannot_be_declared_again_fails_nobody(
    declarations: Declarations, topology: RecordingTopology, caplog: pytest.LogCaptureFixture
) -> None:
    """The failure is logged once an epoch, and the others are declared.

    With a new pattern it is an error.
    """

    def refuse_once() -> None:
        topology.meanwhile = lambda: None
        message = "different"
        raise TopologyError(message)

    guard = subscription()
    declarations.want(guard)
    declarations.want(subscription(name="audit"))
    make(declarations, 1)
    topology.declared, topology.meanwhile = [], refuse_once
    make(declarations, 2)
    assert topology.declared == ["base", "shared", "shared", ("audit", ("first",))]
    assert not declarations.needed(2)
    text = "guard could not be declared again and may receive no events: different"
    assert text in caplog.text
    declarations.want(guard)
    topology.meanwhile = refuse_once
    with pytest.raises(TopologyError):
        make(declarations, 2)


def test_a_publish_that_was_refused_meanwhile_is_none_of_its_business(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The publisher's own channel was closed while it waited.

    It starts again, and declares this then.
    """

    def refuse() -> None:
        topology.meanwhile = lambda: None
        raise TopologyError("no") from AccessRefused("no", spec.Basic.Publish)

    declarations.want(subscription())
    make(declarations, 1)
    topology.meanwhile = refuse
    with pytest.raises(TopologyError):
        make(declarations, 2)
    assert declarations.needed(2)


def test_what_is_served_here_no_more_is_not_declared_again(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The queue stays as it is, or has been deleted."""
    declarations.want(subscription())
    make(declarations, 1)
    declarations.drop(subscription())
    make(declarations, 2)
    assert topology.declared == ["base", "shared", ("guard", ("first",)), "base"]


def test_a_delay_level_is_declared_once_an_epoch_however_many_wait_for_it(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """Declaring it takes a dozen round trips on the publisher's one thread."""
    channel: Any = None
    waiting = [declarations.ways.level(delay) for delay in (0.3, 0.4, 0.35, 0.5)]
    for epoch in (1, 2):
        for level in waiting:
            if level.needed(epoch):
                level.make(channel, epoch)
    assert topology.declared == ["qt.retry.400", "qt.retry.800"] * 2


def test_a_pattern_that_comes_while_its_subscription_is_declared_is_declared_too(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """subscribe() runs on another thread than the declarations."""
    guard = subscription()
    declarations.want(guard)

    def subscribe_again() -> None:
        topology.meanwhile = lambda: None
        guard.patterns += ("second",)
        declarations.want(guard)

    topology.meanwhile = subscribe_again
    make(declarations)
    assert declarations.needed(1)
    make(declarations)
    assert not declarations.needed(1)
    assert topology.declared[1:] == [
        "shared",
        ("guard", ("first",)),
        ("guard", ("first", "second")),
    ]


def test_what_could_not_be_declared_is_wanted_still(
    declarations: Declarations, topology: RecordingTopology
) -> None:
    """The next publish tries again and fails again. Else its subscription would not hear it."""

    def refuse() -> None:
        message = "different"
        raise TopologyError(message)

    declarations.want(subscription())
    topology.meanwhile = refuse
    for _ in range(2):
        with pytest.raises(TopologyError):
            make(declarations)
        assert declarations.needed(1)


def test_a_forked_child_is_another_instance(declarations: Declarations) -> None:
    """A child must not take its parent's broadcast events. Shared subscriptions keep their key."""
    state = subscription(broadcast=True)
    before = declarations.key(state)
    declarations.after_fork()
    assert before.startswith("guard.")
    assert declarations.key(state).startswith("guard.")
    assert declarations.key(state) != before
    assert declarations.key(subscription()) == "guard"


def test_a_forked_child_makes_no_queue_that_nobody_reads(
    declarations: Declarations, topology: RecordingTopology, here: set[str]
) -> None:
    """A queue for the parent's broadcast would collect events until it expires."""
    declarations.want(subscription(broadcast=True, name="cache"))
    declarations.want(subscription())
    make(declarations)
    topology.declared = []
    here.clear()
    declarations.after_fork()
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",))]
    assert declarations.instances == set()


def test_a_broadcast_is_declared_once_this_process_is_to_serve_it(
    declarations: Declarations, topology: RecordingTopology, here: set[str]
) -> None:
    """A process that only publishes would leave a queue that nobody reads."""
    cache, guard = subscription(broadcast=True, name="cache"), subscription()
    here.clear()
    for each in (cache, guard):
        declarations.want(each)
    make(declarations)
    assert topology.declared == ["base", "shared", ("guard", ("first",))]
    assert declarations.heard((cache, guard)) == (guard,)
    assert not declarations.needed(1)
    here.add("cache")
    declarations.serve()
    assert declarations.heard((cache, guard)) == (cache, guard)
    make(declarations)
    assert topology.declared[-1] == (declarations.key(cache), ("first",))
    assert declarations.instances == {f"qt.sub.{declarations.key(cache)}"}


@pytest.mark.parametrize("served", [True, False])
def test_what_is_served_here_is_declared_as_that(
    declarations: Declarations, topology: RecordingTopology, served: bool
) -> None:
    """Publisher and worker both say if the queue is served here: then it must be bound here."""
    guard = subscription(broadcast=served)
    declarations.want(guard)
    make(declarations)
    assert topology.served is served
    topology.served = not served
    declarations.forget()
    declarations.queues(guard)[0].declare_all(Connection())
    assert topology.served is served


def test_ways_of_a_subscription_that_has_ended_are_forgotten(declarations: Declarations) -> None:
    """They would add up where subscriptions come and go, and the next one may have another."""
    for way in (declarations.ways.dead_letters, declarations.ways.quarantine):
        first = way("guard")
        assert way("guard") is first
        declarations.drop(subscription())
        assert way("guard") is not first


def test_a_quarantine_is_declared_once_it_is_known_and_told_once(
    declarations: Declarations,
    topology: RecordingTopology,
    registration: Unregistered,
    told: list[str],
) -> None:
    """Known by the register, or made here. Its worker is told, and consumes it."""
    guard, cache = subscription(), subscription(broadcast=True, name="cache")
    for each in (guard, cache):
        declarations.want(each)
    make(declarations)
    assert [each.name for each in declarations.queues(guard)] == ["qt.sub.guard"]
    registration.quarantined.add("guard")
    for _ in range(2):
        declarations.look_for_quarantines(channel_of(LINES[declarations][1]))
    assert topology.declared.count(("quarantine", "guard")) == 1
    assert ("quarantine", "cache") not in topology.declared
    assert told == ["quarantine"]
    assert [each.name for each in declarations.queues(guard)] == [
        "qt.sub.guard",
        "qt.quarantine.guard",
    ]


def test_a_quarantine_is_written_down_before_it_is_made(
    declarations: Declarations, topology: RecordingTopology, registration: Unregistered
) -> None:
    """Killed in between, its maker leaves an entry without a queue, and others declare that."""
    declarations.want(subscription())
    make(declarations)
    way = declarations.ways.quarantine("guard")
    registration.note_quarantine = refusing  # type: ignore[assignment]
    with pytest.raises(TopologyError):
        way.make(channel_of(LINES[declarations][1]), 1)
    assert ("quarantine", "guard") not in topology.declared
    assert way.needed(1)


def refusing(*_: object) -> None:
    raise TopologyError("the register cannot be had now")
