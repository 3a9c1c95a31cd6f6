from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from qt_events import (
    Event,
    HealthStatusChangedEvent,
    ModelPromotedEvent,
    PolicyUpdated,
    PolicyUpdatedEvent,
    RiskMode,
)
from tests.unit.workers.harness import MONDAY, Harness, policy
from workers.events import MarketClosedEvent, with_fixed_id
from workers.system.announcements import (
    Announcements,
    KnownAnnouncements,
    UnknownAnnouncementError,
    key_of,
)

TUESDAY = MONDAY + timedelta(1)
DEFENSIVE = policy(risk_mode=RiskMode.DEFENSIVE)


def heard_by(harness: Harness) -> KnownAnnouncements[PolicyUpdated]:
    return KnownAnnouncements(Announcements(harness.store.documents, PolicyUpdatedEvent))


def listening(harness: Harness) -> KnownAnnouncements[PolicyUpdated]:
    """Return the announcements of a process that hears broadcasts."""
    heard = heard_by(harness)

    async def hear(event: PolicyUpdatedEvent) -> None:
        heard.remember(event)

    harness.bus.subscribe(PolicyUpdatedEvent, hear, name="hear", broadcast=True)
    return heard


def unreadable(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every read of the database fail from now on."""

    async def away(kind: str, key: str) -> dict[str, Any]:
        raise OSError(kind, key)

    monkeypatch.setattr(harness.store.documents, "get", away)


async def test_what_was_heard_is_not_looked_up(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is not read."""
    heard = listening(harness)
    await harness.announce(PolicyUpdatedEvent, **policy())
    rests_on = await harness.rests_on()
    unreadable(harness, monkeypatch)
    assert (await heard.of_step(rests_on))[""].risk_mode is RiskMode.NORMAL


async def test_what_was_not_heard_is_looked_up(harness: Harness, other: Harness) -> None:
    """A younger process reads earlier announcements."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    assert (await heard_by(other).of_step(await harness.rests_on()))[""].max_positions == 2


async def test_what_is_on_its_way_is_looked_up(harness: Harness, other: Harness) -> None:
    """A process that has heard an older policy uses the one that the step names."""
    heard = listening(harness)
    await harness.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, TUESDAY, **DEFENSIVE)
    assert (await heard.of_step(await other.rests_on()))[""].risk_mode is RiskMode.DEFENSIVE


async def test_looking_it_up_once_is_enough(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The announcement is then known like one that was heard."""
    heard = heard_by(harness)
    await harness.announce(PolicyUpdatedEvent, **policy())
    rests_on = await harness.rests_on()
    first = await heard.of_step(rests_on)
    unreadable(harness, monkeypatch)
    assert await heard.of_step(rests_on) == first


async def test_what_a_step_does_not_name_is_not_used(harness: Harness) -> None:
    """A policy that came after the step began does not count."""
    heard = listening(harness)
    await harness.announce(PolicyUpdatedEvent, **policy())
    assert await heard.of_step({}) == {}
    assert await heard.of_step({"model.promoted/XGBoost": "1"}) == {}


async def test_each_key_has_an_announcement_of_its_own(harness: Harness) -> None:
    """Models are told apart by name."""
    for name, version in (("XGBoost", "v1"), ("LightGBM", "v1"), ("XGBoost", "v2")):
        day = MONDAY if version == "v1" else TUESDAY
        await harness.announce(
            ModelPromotedEvent, day, model_name=name, old_version=None, new_version=version
        )
    models: KnownAnnouncements[Any] = KnownAnnouncements(
        Announcements(harness.store.documents, ModelPromotedEvent)
    )
    known = await models.of_step(await harness.rests_on())
    assert [(name, model.new_version) for name, model in known.items()] == [
        ("LightGBM", "v1"),
        ("XGBoost", "v2"),
    ]
    # Two of them were made on one day.
    assert len({event.id for event in harness.published(ModelPromotedEvent)}) == 3


async def test_an_announcement_is_kept_as_it_was_told(harness: Harness) -> None:
    """The row has the event's id and day; steps name it by the id."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    (event,) = harness.published(PolicyUpdatedEvent)
    announcements: Announcements[PolicyUpdated] = Announcements(
        harness.store.documents, PolicyUpdatedEvent
    )
    assert await announcements.all() == {"": (event.id, MONDAY, event.payload)}
    assert await announcements.ids() == {"policy.updated/": event.id}


async def test_the_same_announcement_of_a_day_has_the_same_id(
    harness: Harness, other: Harness
) -> None:
    """Any process makes the same one; another day has another id."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, TUESDAY, **policy())
    (first,) = harness.published(PolicyUpdatedEvent)
    again, another = other.published(PolicyUpdatedEvent)
    assert again.id == first.id != another.id


def test_a_thing_that_happens_once_has_one_id() -> None:
    """Type and distinguishing values count, not payload or time."""
    event = MarketClosedEvent.create(day=MONDAY, closes={"A": 1.0})
    same = MarketClosedEvent.create(day=MONDAY, closes={"A": 2.0})
    assert event.id != same.id
    assert with_fixed_id(event, MONDAY).id == with_fixed_id(same, MONDAY).id
    assert with_fixed_id(event, MONDAY).payload == event.payload


@pytest.mark.parametrize(
    "differently",
    [
        lambda: with_fixed_id(Event("a"), TUESDAY),
        lambda: with_fixed_id(Event("b"), MONDAY),
        lambda: with_fixed_id(Event("a"), MONDAY, "A"),
        lambda: with_fixed_id(Event("a")),
    ],
    ids=["day", "type", "more", "less"],
)
def test_what_differs_has_another_id(differently: Callable[[], Event[Any]]) -> None:
    assert differently().id != with_fixed_id(Event("a"), MONDAY).id


def test_a_key_tells_announcements_of_one_type_apart() -> None:
    """One field of the payload is the key; a policy has none."""
    health = HealthStatusChangedEvent.create(
        old_status="HEALTHY", new_status="CRITICAL", component="DrawdownGuard", reason="drawdown"
    )
    model = ModelPromotedEvent.create(model_name="N-HiTS", old_version=None, new_version="v1")
    assert [key_of(event) for event in (health, model, PolicyUpdatedEvent.create(**policy()))] == [
        "DrawdownGuard",
        "N-HiTS",
        "",
    ]


async def test_a_step_never_rests_on_a_newer_value_than_it_names(harness: Harness) -> None:
    """A redelivered step of yesterday is decided as yesterday."""
    await harness.announce(PolicyUpdatedEvent, MONDAY, **policy())
    rests_on = await harness.rests_on()
    await harness.announce(PolicyUpdatedEvent, TUESDAY, **DEFENSIVE)
    assert (await heard_by(harness).of_step(rests_on))[""].risk_mode is RiskMode.NORMAL


async def test_what_the_database_does_not_know_is_named(harness: Harness) -> None:
    """The database may be another one than the producer's."""
    with pytest.raises(UnknownAnnouncementError, match="QT_DATABASE_URL"):
        await heard_by(harness).of_step({"policy.updated/": "nobody's"})
