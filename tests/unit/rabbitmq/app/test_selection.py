"""Selection of the subscriptions that a worker serves."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import CeleryEventBus, Event, InvalidOptionError, NotSupportedError
from qt_events.rabbitmq.app.selection import Selection, fits, patterns_from
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.registration import Registration

NAMES = ["executor", "orchestrator.on_policy", "orchestrator.on_signals", "risk_guard.on_fill"]
words = st.lists(st.text("abc_", min_size=1, max_size=3), min_size=1, max_size=4).map(".".join)


def one(_: Event) -> None: ...
def other(_: Event) -> None: ...
def told(_: Event) -> None: ...
def late(_: Event) -> None: ...


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("risk_guard", "risk_guard", True),
        ("risk_guard", "risk_guard.on_fill", True),
        ("risk_guard.*", "risk_guard.on_fill", True),
        ("risk_guard.*", "risk_guard", False),
        ("risk", "risk_guard.on_fill", False),
        ("risk_*", "risk_guard.on_fill", True),
        ("on_fill", "risk_guard.on_fill", False),
        ("*.on_fill", "risk_guard.on_fill", True),
        ("a.b", "a.b.c", True),
        ("?.b", "a.b.c", True),
        ("[ax].b", "a.b", True),
        ("Risk_guard", "risk_guard", False),
        ("*", "anything.at.all", True),
    ],
)
def test_a_pattern_fits_a_name_or_its_beginning_up_to_a_dot(
    pattern: str, name: str, expected: bool
) -> None:
    """Patterns are those of file names. A component's bare name means all of it."""
    assert fits(pattern, name) is expected


@given(words, words)
def test_every_beginning_of_a_name_fits_it(first: str, rest: str) -> None:
    """Any words before a dot are such a beginning."""
    assert fits(first, first)
    assert fits(first, f"{first}.{rest}")
    assert not fits(f"{first}.{rest}", first)


@pytest.mark.parametrize(
    "texts",
    [
        ["executor,risk_guard"],
        ["executor", "risk_guard"],
        [" executor , risk_guard,"],
        ["executor risk_guard"],
    ],
)
def test_patterns_come_in_one_text_or_several(texts: list[str]) -> None:
    """Commas and blanks part them."""
    assert patterns_from(texts, NAMES) == ("executor", "risk_guard")


def test_nothing_given_is_everything() -> None:
    """A worker without the option serves all."""
    assert patterns_from([], NAMES) == ()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            ["orchestator.*"],
            r"'orchestator\.\*' fits no subscription\. Did you mean 'orchestrator'\? There are: ",
        ),
        (
            ["executor,nothing"],
            "'nothing' fits no subscription. There are: executor, orchestrator.on_policy, ",
        ),
        (["EXECUTOR"], "'EXECUTOR' fits no subscription"),
        (["risk_gard.on_fill"], "Did you mean 'risk_guard.on_fill'"),
        ([""], "'' names no subscription"),
        (["executor", " , "], "' , ' names no subscription"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(texts: list[str], message: str) -> None:
    """Other patterns may fit: nobody would notice soon that a worker serves too little."""
    with pytest.raises(InvalidOptionError, match=message):
        patterns_from(texts, NAMES)


def test_an_app_without_subscriptions_is_named_as_such() -> None:
    """Made too late, or in a module that nobody imports."""
    with pytest.raises(InvalidOptionError, match="the app has no subscriptions"):
        patterns_from(["anything"], [])


@pytest.fixture
def bus() -> CeleryEventBus:
    bus = CeleryEventBus("amqp://localhost//")
    bus.subscribe("happened", one, name="desk.one")
    bus.subscribe("happened", other, name="other")
    bus.subscribe("happened", told, name="told", broadcast=True)
    # As a worker does.
    bus.app.finalize()
    return bus


def consumed(bus: CeleryEventBus) -> set[str]:
    return {name for name in bus.app.amqp.queues.consume_from if name.startswith("qt.sub.")}


def test_the_others_are_not_consumed_from(bus: CeleryEventBus) -> None:
    """Subscriptions have a queue and a quarantine. Both are left alone."""
    selection = Selection(bus.runtime, ("desk",))
    selection.leave_others()
    assert [each.name for each in selection] == ["desk.one"]
    assert set(bus.app.amqp.queues.consume_from) == {
        "qt.tasks",
        "qt.sub.desk.one",
        "qt.quarantine.desk.one",
    }


def test_the_others_are_declared_but_for_broadcasts(
    bus: CeleryEventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that are published here wait for a worker that serves them."""
    declared: list[str] = []

    def noted(_: object, _channel: object, wanted: Iterable[Any], *, shared: bool) -> bool:
        assert shared
        declared.extend(subscription.name for subscription, _, _ in wanted)
        return True

    monkeypatch.setattr(Topology, "declare_at_once", noted)
    monkeypatch.setattr(Registration, "enter", lambda *_: set())
    Selection(bus.runtime, ("desk",)).leave_others()
    connection: Any = MagicMock(server_properties={})
    bus.declarations.declare_over(connection)
    assert "other" in declared
    assert not [each for each in bus.subscriptions if each.broadcast and each.name in declared]


def test_what_is_subscribed_later_is_served_if_it_was_chosen(bus: CeleryEventBus) -> None:
    """A pattern means what comes too; the rest is left alone."""
    told_of: list[str] = []
    selection = Selection(bus.runtime, ("desk",))
    consumer: Any = SimpleNamespace(
        selection=selection,
        call_soon=lambda act, queues: act(queues),
        take_up=lambda queues: told_of.append(queues[0].subscription),
    )
    selection.leave_others()
    bus.serving.consumer = consumer
    bus.subscribe("happened", late, name="desk.late")
    bus.subscribe("happened", lambda _: None, name="elsewhere")
    assert told_of == ["desk.late"]
    assert consumed(bus) == {"qt.sub.desk.one", "qt.sub.desk.late"}


def test_a_broadcast_that_is_not_chosen_may_be_subscribed_on_prefork(
    bus: CeleryEventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a worker serves must be possible on its pool."""
    consumer: Any = SimpleNamespace(selection=Selection(bus.runtime, ("desk",)))
    monkeypatch.setattr(bus.serving, "consumer", consumer)
    monkeypatch.setattr(bus.serving, "_pool_name", "prefork")
    bus.serving.must_serve("told", broadcast=True)
    with pytest.raises(NotSupportedError, match=r"'desk\.news' is a broadcast"):
        bus.serving.must_serve("desk.news", broadcast=True)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_batches_that_are_not_chosen_may_be_subscribed_on_any_pool(
    bus: CeleryEventBus, monkeypatch: pytest.MonkeyPatch, pool: str
) -> None:
    """As broadcasts; the others are refused with the pool's name and what to use."""
    consumer: Any = SimpleNamespace(selection=Selection(bus.runtime, ("desk",)))
    monkeypatch.setattr(bus.serving, "consumer", consumer)
    monkeypatch.setattr(bus.serving, "_pool_name", pool)
    bus.serving.must_serve("told", broadcast=False, batch=5)
    with pytest.raises(NotSupportedError, match=rf"'desk\.news' takes batches: {pool} .*asyncio"):
        bus.serving.must_serve("desk.news", broadcast=False, batch=5)
