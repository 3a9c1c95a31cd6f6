"""Fates as they travel: what an outcome tells, and a batch as an event and back."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events.delivery.outcome import (
    DEDUPLICATED,
    HANDLED,
    SKIPPED,
    DeadLetter,
    DeadLetterReason,
    Failure,
    GivenBack,
    Outcome,
    Retry,
)
from qt_events.delivery.telling.fates import (
    LONGEST_MESSAGE,
    Ending,
    Fate,
    by_subscription,
    encode_fates,
    ending_of,
    fates_in,
    type_of,
)
from qt_events.errors import DecodeError
from qt_events.events.cloudevents import decode
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent

NOW = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
FAILURE = Failure("builtins.OSError", "away", "Traceback")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
FATE = st.builds(
    Fate,
    event_id=TEXT,
    event_source=TEXT,
    event_type=TEXT,
    subscription=st.just("desk.book"),
    attempt=st.integers(0, 1000),
    at=st.datetimes(timezones=st.just(UTC)),
    outcome=st.sampled_from(["done", "retried", "of a newer release"]),
    seconds=st.none() | st.floats(0, 1e6),
    reason=TEXT,
    message=TEXT,
    delay=st.none() | st.floats(0, 1e6),
    replayed=st.booleans(),
    worker=st.just("host:7"),
)


def told(payload: dict[str, Any], event_type: str = "fates.desk.book") -> list[Fate]:
    event: Event = Event(event_type, NOW, payload)
    return fates_in(RawEvent.of(event))


def batch_of(fates: list[Fate], worker: str) -> dict[str, Any]:
    """Return the payload in which these are told."""
    return dict(json.loads(encode_fates("desk.book", fates, worker))["data"])


@given(st.lists(FATE, max_size=5))
def test_what_is_told_is_heard(fates: list[Fate]) -> None:
    assert told(batch_of(fates, "host:7")) == fates


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (HANDLED, Ending("done")),
        (SKIPPED, Ending("filtered")),
        (DEDUPLICATED, Ending("deduplicated")),
        (Retry(2.5, FAILURE), Ending("retried", "builtins.OSError", "away", 2.5)),
        (GivenBack(2.0, NOW, FAILURE), Ending("given_back", "builtins.OSError", "away", 2.0)),
        (DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE), Ending("dead", "exhausted", "away")),
    ],
)
def test_an_outcome_tells_why_and_for_how_long(outcome: Outcome, expected: Ending) -> None:
    assert ending_of(outcome) == expected


def test_a_text_is_bounded_and_can_travel() -> None:
    ending = ending_of(Retry(1.0, Failure("OSError", "\udcff" + "ä" * 5_000)))
    assert len(ending.message.encode()) <= LONGEST_MESSAGE
    fate = Fate("id", "source", "a.b", 1, NOW, "dead", message=ending.message)
    assert told(batch_of([fate], "host:7"), "fates.desk")[0].message == ending.message


def test_a_newer_release_may_tell_more() -> None:
    fate = Fate("id", "source", "a.b", 1, NOW, "done", subscription="desk", worker="host:7")
    payload = batch_of([fate], "host:7")
    payload["fields"] = ("mood", *payload["fields"])
    payload["fates"] = [("fair", *payload["fates"][0])]
    assert told(payload, "fates.desk") == [fate]


def test_times_are_utc() -> None:
    zoned = NOW.astimezone(timezone(timedelta(hours=5)))
    payload = batch_of([Fate("id", "source", "a.b", 1, zoned, "done")], "host:7")
    assert told(payload, "fates.desk")[0].at == NOW
    assert told(payload, "fates.desk")[0].at.tzinfo is UTC


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"worker": "w", "fields": ["event_id"], "fates": [["id"]]},
        {"worker": "w", "fields": 7, "fates": []},
        {"worker": "w", "fields": ["at"], "fates": [["yesterday"]]},
        {"worker": "w", "fields": ["event_id", "at"], "fates": [[]]},
    ],
)
def test_another_payload_is_refused_by_name(payload: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match=r"'fates.desk' tells no fates"):
        told(payload, "fates.desk")


def test_fates_are_told_by_subscription_in_their_order() -> None:
    fates = [
        Fate(str(n), "source", "a.b", 1, NOW, "done", subscription=name)
        for n, name in enumerate("abab")
    ]
    found = by_subscription(fates)
    assert {name: [each.event_id for each in some] for name, some in found.items()} == {
        "a": ["0", "2"],
        "b": ["1", "3"],
    }
    assert [type_of(name) for name in found] == ["fates.a", "fates.b"]


def test_a_message_is_a_cloud_event() -> None:
    fate = Fate("id", "source", "a.b", 1, NOW, "done", 0.5, subscription="desk")
    event = decode(encode_fates("desk", [fate], "host:7"), "fates.desk")
    assert (event.type, event.source) == ("fates.desk", "host:7")
    time = "2026-11-30T12:00:00.123456Z"
    row = ["id", "source", "a.b", 1, time, "done", 0.5, "", "", None, False]
    assert (event.payload["fates"], event.payload["worker"]) == ([row], "host:7")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", None), ("event_id", {}), ("event_source", 7), ("event_type", None),
        ("attempt", "1"), ("attempt", None), ("attempt", True), ("attempt", 10**30),
        ("attempt", 1.5), ("at", None), ("at", "yesterday"), ("at", "0001-01-01T00:00:00+12:00"),
        ("at", "2026-11-30T12:00:00"), ("outcome", None), ("seconds", "soon"), ("seconds", True),
        ("seconds", 10**400), ("seconds", float("inf")), ("delay", float("nan")), ("delay", []),
        ("reason", None), ("message", 1), ("replayed", "no"), ("replayed", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [[], ["mood"]])
def test_a_fate_of_other_types_is_left_out_alone(
    field: str, value: object, more: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It would be kept, and every question about its event would fail."""
    good = Fate("id", "source", "a.b", 1, NOW, "done", subscription="desk", worker="host:7")
    payload = batch_of([good] * 3, "host:7")
    payload["fields"] += more
    payload["fates"] = [[*row, *more] for row in payload["fates"]]
    payload["fates"][1][payload["fields"].index(field)] = value
    body = json.dumps({"data": payload}).encode()
    event = RawEvent("fates.desk", "1", "w", NOW, "1", None, "application/json", body)
    assert fates_in(event) == [good, good]
    assert caplog.text.count("1 of 3 fates in 'fates.desk' are left out") == 1
