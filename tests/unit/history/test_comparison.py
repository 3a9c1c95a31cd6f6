"""What a rerun published against what the history has: by causes, not by ids and times."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qt_events.events.raw import RawEvent
from qt_events.history.replaying.comparison import Causes, Difference, differences
from tests.support.stored import raw


def event(id: str, cause: str | None, type: str = "step", **data: Any) -> RawEvent:
    body = json.dumps({"data": data}).encode()
    return raw(id, type, causation_id=cause, body=body)


def compared(before: list[RawEvent], after: list[RawEvent]) -> list[Difference]:
    return list(differences(Causes(before), Causes(after)))


def told(found: list[Difference]) -> list[tuple[str, str]]:
    return [(each.kind, each.event.id) for each in found]


def test_ids_and_times_differ_by_nature() -> None:
    before = [event("1", None), event("2", "1", n=1), event("3", "2")]
    after = [event("1", None), event("x", "1", n=1), event("y", "x")]
    assert compared(before, after) == []


def test_causes_are_told_before_what_they_cause() -> None:
    before = [event("1", None), event("3", "2", n=1), event("2", "1", n=1), event("9", None)]
    after = [event("1", None), event("y", "x", n=2), event("x", "1", n=2), event("9", None)]
    found = compared(before, after)
    assert told(found) == [("changed", "2"), ("changed", "3")]
    assert found[1].causes == ("step", "step")


def test_the_order_of_siblings_is_no_difference() -> None:
    before = [event("1", None), event("2", "1", n=1), event("3", "1", n=2)]
    after = [event("1", None), event("x", "1", n=2), event("y", "1", n=1)]
    assert compared(before, after) == []


def test_missing_and_added_are_told_with_all_that_follows() -> None:
    before = [event("1", None), event("2", "1", "old"), event("3", "2")]
    after = [event("1", None), event("x", "1", "new"), event("y", "x")]
    assert told(compared(before, after)) == [
        ("missing", "2"), ("added", "x"), ("missing", "3"), ("added", "y"),
    ]  # fmt: skip


def test_an_id_made_anew_in_a_payload_is_no_difference() -> None:
    before = [event("1", None), event("2", "1"), event("3", "2", answers="2", names={"2": 1})]
    after = [event("1", None), event("x", "1"), event("y", "x", answers="x", names={"x": 1})]
    assert compared(before, after) == []
    wrong = [*after[:2], event("y", "x", answers="1", names={"x": 1})]
    assert told(compared(before, wrong)) == [("changed", "3")]


def test_of_a_circle_the_first_event_is_a_root() -> None:
    circle = [event("1", "2"), event("2", "1"), event("3", "3"), event("4", "gone")]
    assert [each.id for each in Causes(circle).roots] == ["3", "4", "1"]
    assert compared(circle, circle) == []
    assert len(compared(circle, [])) == 4


def test_what_a_circle_has_caused_is_no_part_of_it() -> None:
    """It may come before the circle, is a root then, and is compared once."""
    before = [event("d", "c"), event("c", "a", "t"), event("b", "c"), event("a", "b")]
    after = [event("a", "c"), event("c", None, "t")]
    found = compared(before, after)
    assert sorted(told(found)) == [("missing", "a"), ("missing", "d")]


def test_two_sources_with_one_id_share_what_it_has_caused() -> None:
    """It is compared once, though both seem to be its cause."""
    twins = [raw("1", "s", source="a"), raw("1", "s", source="b"), event("2", "1")]
    assert compared(twins, twins) == []
    assert told(compared(twins, twins[:2])) == [("missing", "2")]


IDS = st.sampled_from("abcdef")
EVENTS = st.lists(
    st.builds(event, IDS, st.none() | IDS, st.sampled_from(["s", "t"]), n=st.integers(0, 2))
)


@given(EVENTS)
def test_events_are_the_same_as_themselves_under_other_ids(events: list[RawEvent]) -> None:
    """Without circles: of a circle the root is fed, and keeps its id."""
    before = Causes(events)
    assert list(differences(before, before)) == []
    roots = {each.id for each in before.roots}

    def other(id: str | None) -> str | None:
        return id if id is None or id in roots else f"other-{id}"

    copies = [
        raw(str(other(each.id)), each.type, causation_id=other(each.causation_id), body=each.body)
        for each in before.events
    ]
    assert compared(events, copies) == []


@given(EVENTS, EVENTS)
def test_every_event_is_the_same_or_told_once(old: list[RawEvent], new: list[RawEvent]) -> None:
    before, after = Causes(old), Causes(new)
    found = list(differences(before, after))
    gone = [each.before for each in found if each.kind == "missing"]
    came = [each.after for each in found if each.kind == "added"]
    assert len(before.events) - len(gone) == len(after.events) - len(came)
    for told in ([each.before for each in found], [each.after for each in found]):
        ids = [each.id for each in told if each]
        assert len(ids) == len(set(ids))
    back = list(differences(after, before))
    assert bool(back) == bool(found)
