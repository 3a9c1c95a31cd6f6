from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from qt_events import Event, HealthStatusChangedEvent, ModelPromotedEvent, PolicyUpdated, PolicyUpdatedEvent, RiskMode
from tests.unit.workers.harness import MONDAY, Scene, policy
from workers.events import MarketClosedEvent, once
from workers.system.announcements import Announcements, Heard, UnknownAnnouncementError, key_of

TUESDAY = MONDAY + timedelta(1)
DEFENSIVE = policy(risk_mode=RiskMode.DEFENSIVE)


def heard_by(scene: Scene) -> Heard[PolicyUpdated]:
    return Heard(Announcements(scene.store.documents, PolicyUpdatedEvent))


def listening(scene: Scene) -> Heard[PolicyUpdated]:
    """One that hears by broadcast."""
    heard = heard_by(scene)

    async def hear(event: PolicyUpdatedEvent) -> None:
        heard.hear(event)

    scene.bus.subscribe(PolicyUpdatedEvent, hear, name="hear", broadcast=True)
    return heard


def unreadable(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, whoever looks something up fails."""

    async def away(kind: str, key: str) -> dict[str, Any]:
        raise OSError(kind, key)

    monkeypatch.setattr(scene.store.documents, "get", away)


async def test_what_was_heard_is_not_looked_up(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broadcast is all it takes: the database is not asked."""
    heard = listening(scene)
    await scene.announce(PolicyUpdatedEvent, **policy())
    rests_on = await scene.rests_on()
    unreadable(scene, monkeypatch)
    assert (await heard.at(rests_on))[""].risk_mode is RiskMode.NORMAL


async def test_what_was_not_heard_is_looked_up(scene: Scene, other: Scene) -> None:
    """A younger process catches up with what was told before it was there."""
    await scene.announce(PolicyUpdatedEvent, **policy())
    assert (await heard_by(other).at(await scene.rests_on()))[""].max_positions == 2


async def test_what_is_on_its_way_is_looked_up(scene: Scene, other: Scene) -> None:
    """One that has heard the last policy, not yet the one that the step names, uses that one."""
    heard = listening(scene)
    await scene.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, TUESDAY, **DEFENSIVE)
    assert (await heard.at(await other.rests_on()))[""].risk_mode is RiskMode.DEFENSIVE


async def test_looking_it_up_once_is_enough(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is as if it had been heard."""
    heard = heard_by(scene)
    await scene.announce(PolicyUpdatedEvent, **policy())
    rests_on = await scene.rests_on()
    first = await heard.at(rests_on)
    unreadable(scene, monkeypatch)
    assert await heard.at(rests_on) == first


async def test_what_a_step_does_not_name_is_not_used(scene: Scene) -> None:
    """Whatever this process has heard since: there was no policy when the step began."""
    heard = listening(scene)
    await scene.announce(PolicyUpdatedEvent, **policy())
    assert await heard.at({}) == {}
    assert await heard.at({"model.promoted/XGBoost": "1"}) == {}


async def test_each_key_has_an_announcement_of_its_own(scene: Scene) -> None:
    """The last of each model, by name."""
    for name, version in (("XGBoost", "v1"), ("LightGBM", "v1"), ("XGBoost", "v2")):
        day = MONDAY if version == "v1" else TUESDAY
        await scene.announce(ModelPromotedEvent, day, model_name=name, old_version=None, new_version=version)
    models: Heard[Any] = Heard(Announcements(scene.store.documents, ModelPromotedEvent))
    known = await models.at(await scene.rests_on())
    assert [(name, model.new_version) for name, model in known.items()] == [("LightGBM", "v1"), ("XGBoost", "v2")]
    assert len({event.id for event in scene.heard(ModelPromotedEvent)}) == 3  # two of them on one day


async def test_an_announcement_is_kept_as_it_was_told(scene: Scene) -> None:
    """With the id of its event and its day; the ids are what a step names."""
    await scene.announce(PolicyUpdatedEvent, **policy())
    (event,) = scene.heard(PolicyUpdatedEvent)
    announcements: Announcements[PolicyUpdated] = Announcements(scene.store.documents, PolicyUpdatedEvent)
    assert await announcements.all() == {"": (event.id, MONDAY, event.payload)}
    assert await announcements.ids() == {"policy.updated/": event.id}


async def test_the_same_announcement_of_a_day_has_the_same_id(scene: Scene, other: Scene) -> None:
    """Whichever process makes it; that of another day is another."""
    await scene.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, **policy())
    await other.announce(PolicyUpdatedEvent, TUESDAY, **policy())
    (first,) = scene.heard(PolicyUpdatedEvent)
    again, another = other.heard(PolicyUpdatedEvent)
    assert again.id == first.id != another.id


def test_a_thing_that_happens_once_has_one_id() -> None:
    """Made of its type and of what tells it from others, not of its payload or its time."""
    event = MarketClosedEvent.create(day=MONDAY, closes={"A": 1.0})
    same = MarketClosedEvent.create(day=MONDAY, closes={"A": 2.0})
    assert event.id != same.id
    assert once(event, MONDAY).id == once(same, MONDAY).id
    assert once(event, MONDAY).payload == event.payload


@pytest.mark.parametrize(
    "differently",
    [
        lambda: once(Event("a"), TUESDAY),
        lambda: once(Event("b"), MONDAY),
        lambda: once(Event("a"), MONDAY, "A"),
        lambda: once(Event("a")),
    ],
    ids=["day", "type", "more", "less"],
)
def test_what_differs_has_another_id(differently: Callable[[], Event[Any]]) -> None:
    """No two things share one."""
    assert differently().id != once(Event("a"), MONDAY).id


def test_a_key_tells_announcements_of_one_type_apart() -> None:
    """By the field that names whom it is about; of a policy there is one."""
    health = HealthStatusChangedEvent.create(
        old_status="HEALTHY", new_status="CRITICAL", component="DrawdownGuard", reason="drawdown"
    )
    model = ModelPromotedEvent.create(model_name="N-HiTS", old_version=None, new_version="v1")
    assert [key_of(event) for event in (health, model, PolicyUpdatedEvent.create(**policy()))] == [
        "DrawdownGuard",
        "N-HiTS",
        "",
    ]


async def test_a_step_never_rests_on_a_newer_value_than_it_names(scene: Scene) -> None:
    """The database has one; a step of yesterday, delivered once more, is decided as it was yesterday."""
    await scene.announce(PolicyUpdatedEvent, MONDAY, **policy())
    rests_on = await scene.rests_on()
    await scene.announce(PolicyUpdatedEvent, TUESDAY, **DEFENSIVE)
    assert (await heard_by(scene).at(rests_on))[""].risk_mode is RiskMode.NORMAL


async def test_what_the_database_does_not_know_is_named(scene: Scene) -> None:
    """Another database than its producer's."""
    with pytest.raises(UnknownAnnouncementError, match="QT_DATABASE_URL"):
        await heard_by(scene).at({"policy.updated/": "nobody's"})
