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
    BATCH,
    LONGEST_IDENTITY,
    LONGEST_MESSAGE,
    MOST_BYTES,
    Ending,
    Fate,
    by_subscription,
    columns_of,
    encode_fates,
    ending_of,
    fates_in,
    messages_of,
    told_of,
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
    return dict(json.loads(encode_fates("desk.book", columns_of(fates), worker))["data"])


def rows_of(fates: list[Fate], worker: str) -> dict[str, Any]:
    """Return the payload in which an older release told them: a row for each."""
    rows = [[*fate[:4], fate.at.isoformat(), *fate[5:-2]] for fate in fates]
    return {"worker": worker, "fields": [*Fate._fields[:-2]], "fates": rows}


@given(st.lists(FATE, max_size=5))
def test_what_is_told_is_heard(fates: list[Fate]) -> None:
    """What an older release told, too."""
    assert told(batch_of(fates, "host:7")) == fates
    assert told(rows_of(fates, "host:7")) == fates


def test_what_all_have_is_told_once() -> None:
    fates = [
        Fate(str(n), "s" * 200, "a.b", 1, NOW, "done", 0.5, subscription="desk.book", worker="w")
        for n in range(BATCH)
    ]
    [body] = messages_of("desk.book", columns_of(fates), "w")
    assert len(body) < 8 * BATCH + 1_000
    assert fates_in(RawEvent.of(decode(body, "fates.desk.book"))) == fates


def test_a_message_has_no_more_bytes_than_brokers_take() -> None:
    """Fates are told in as many as that takes; a single one in one."""
    longest = "\0" * (LONGEST_IDENTITY - BATCH)
    fates = [
        Fate(str(n) + longest, "s", "a.b", 1, NOW, "done", subscription="desk.book", worker="w")
        for n in range(9)
    ]
    bodies = list(messages_of("desk.book", columns_of(fates), "w"))
    assert len(bodies) == 9 // (MOST_BYTES // (6 * LONGEST_IDENTITY)) + 1
    assert all(len(each) <= MOST_BYTES for each in bodies)
    events = [RawEvent.of(decode(each, "fates.desk.book")) for each in bodies]
    assert [fate for each in events for fate in fates_in(each)] == fates


def test_a_fate_whose_event_has_too_long_an_identity_is_not_told_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No broker has to take it."""
    fate, half = Fate("1", "s", "a.b", 1, NOW, "done"), "x" * (LONGEST_IDENTITY // 2)
    long = fate._replace(event_id=half, event_source=half)
    assert told_of([fate, long._replace(event_id=half + "x"), long]) == [fate, long]
    [said] = caplog.messages
    assert said.startswith("1 fates are not told: id and source of their events have more than")


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
    payload["fates"] = {"mood": ["fair"], **payload["fates"], "weather": "fair"}
    assert told(payload, "fates.desk") == [fate]
    payload = rows_of([fate], "host:7")
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
        {"worker": "w", "fates": 7},
        {"worker": "w", "fates": {}},
        {"worker": "w", "fates": {"event_id": "id"}},
        {"worker": "w", "fates": {"event_id": ["id"]}},
        {"worker": "w", "fates": {"event_id": ["id"], "attempt": [1, 2]}},
        {"worker": "w", "fates": {"event_id": [""] * 10_001, "attempt": 1}},
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
    assert {name: some["event_id"] for name, some in found.items()} == {
        "a": ["0", "2"],
        "b": ["1", "3"],
    }
    assert [type_of(name) for name in found] == ["fates.a", "fates.b"]


def test_a_message_is_a_cloud_event() -> None:
    fate = Fate("id", "source", "a.b", 1, NOW, "done", 0.5, subscription="desk")
    event = decode(encode_fates("desk", columns_of([fate]), "host:7"), "fates.desk")
    assert (event.type, event.source) == ("fates.desk", "host:7")
    time = 1_796_040_000_123_456
    values = [["id"], "source", "a.b", 1, time, "done", 0.5, "", "", None, False]
    assert event.payload["worker"] == "host:7"
    assert [*event.payload["fates"].items()] == [*zip(Fate._fields, values, strict=False)]


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
    rows = rows_of([good] * 3, "host:7")
    rows["fields"] += more
    rows["fates"] = [[*row, *more] for row in rows["fates"]]
    rows["fates"][1][rows["fields"].index(field)] = value
    columns = {name: [*row] for name, *row in zip(rows["fields"], *rows["fates"], strict=True)}
    # No list is a value that all have.
    payloads = [rows] if value == [] else [rows, {"worker": "host:7", "fates": columns}]
    for payload in payloads:
        body = json.dumps({"data": payload}).encode()
        event = RawEvent("fates.desk", "1", "w", NOW, "1", None, "application/json", body)
        assert fates_in(event) == [good, good]
    said = caplog.text.count("1 of 3 fates in 'fates.desk' are left out")
    assert said == len(payloads)
