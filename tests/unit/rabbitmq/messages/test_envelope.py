"""An envelope reads what anybody may have put into a message, and carries what must not be lost."""

import pickle
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from amqp.basic_message import Message as RawMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failure, Retry, consequences
from qt_events.rabbitmq.messages.envelope import (
    ATTEMPT,
    FIRST_FAILED,
    KEY,
    TYPE,
    Envelope,
    headers_of,
    record_from,
)

# Of few letters: for any others hypothesis makes a table of all of Unicode, which takes seconds.
TEXTS = st.text(st.sampled_from("aZ0-.: é😀\x00\n\ud800"), max_size=40) | st.sampled_from(
    ["x" * 5_000, "2026-01-02T03:04:05"]
)
BYTES = st.binary(max_size=20)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, BYTES, st.datetimes()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OURS = (
    "attempt", "type", "first-failed", "last-failed", "reason", "event-id", "id", "message",
    "traceback", "host",
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from([*(f"qt-{name}" for name in OURS), "x-death", "x-delivery-count"]), ANYTHING
)


def envelope(headers: dict[str, Any] | None = None, **changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "subscription": "risk_guard",
        "key": "risk_guard",
        "body": b"{}",
        "properties": {
            "message_id": "e1",
            "content_type": "application/json",
            "expiration": "5",
            "delivery_mode": 1,
        },
        "headers": headers or {},
        "routing_key": "trade.executed",
    }
    return Envelope(**{**fields, **changes})


RETRIED = consequences(Retry(1.0, Failure("OSError", "no")))


def dead(message: str = "no", traceback: str = "Traceback ...") -> DeadLetter:
    return DeadLetter(DeadLetterReason.EXHAUSTED, Failure("OSError", message, traceback))


@pytest.mark.parametrize(
    "attempt", [None, -1, 0, 10**9, 2**63, "x", "3", True, 2.0, [2], {"a": 1}, b"2"]
)
def test_an_attempt_that_is_no_sane_count_is_the_first(attempt: object) -> None:
    """Headers come from anybody: none may make an event immortal, or dead before it was tried."""
    read = envelope({ATTEMPT: attempt})
    assert read.attempt == 1
    assert read.retry_headers(RETRIED)[ATTEMPT] == 2


@pytest.mark.parametrize("attempt", [1, 2, 1_000_000])
def test_a_sane_attempt_is_counted_on(attempt: int) -> None:
    """The count travels with the message, so workers and restarts do not multiply it."""
    read = envelope({ATTEMPT: attempt})
    assert read.attempt == attempt
    assert read.retry_headers(RETRIED)[ATTEMPT] == attempt + 1
    assert read.quarantine_headers()[ATTEMPT] == attempt


@pytest.mark.parametrize(
    ("kept", "event_type"),
    [("policy.updated", "policy.updated"), ("", "k"), (7, "k"), ("x" * 256, "k")],
)
def test_the_type_is_what_the_way_through_a_level_kept_or_the_routing_key(
    kept: object, event_type: str
) -> None:
    """A kept type that could be no routing key was not put there by us."""
    assert envelope({TYPE: kept}, routing_key="k").event_type == event_type


@pytest.mark.parametrize("count", [None, -1, "9", True, [1]])
def test_a_delivery_count_that_is_none_is_no_return(count: object) -> None:
    """A header that the broker did not write brings nothing into quarantine."""
    assert envelope({"x-delivery-count": count}).returns == 0
    assert envelope({"x-delivery-count": 3}).returns == 3


def test_copies_keep_the_properties_but_a_producers_expiration() -> None:
    """A retry must not expire by the original's TTL; and every copy is persistent."""
    assert envelope().carried() == {
        "message_id": "e1",
        "content_type": "application/json",
        "delivery_mode": 2,
    }


def test_the_first_failure_is_kept_through_retries() -> None:
    """A dead letter says when it all began."""
    first = datetime(2026, 1, 2, tzinfo=UTC)
    read = envelope({FIRST_FAILED: first.isoformat()})
    assert read.retry_headers(RETRIED)[FIRST_FAILED] == first.isoformat()
    assert read.record(dead()).first_failed == first


def test_a_time_without_a_zone_is_utc() -> None:
    """Comparing a time with one without a zone would raise."""
    assert envelope({FIRST_FAILED: "2026-01-02T00:00:00"}).attempts.first_failed == datetime(
        2026, 1, 2, tzinfo=UTC
    )


def test_a_record_survives_the_way_over_the_broker() -> None:
    """Every detail of a dead letter is read back as it was written."""
    read = envelope({ATTEMPT: 5, TYPE: "trade.executed"})
    record = read.record(dead())
    headers = headers_of(record, read.key)
    assert (
        record_from(
            read.subscription, record.body, record.properties, headers, "qt.dead.risk_guard"
        )
        == record
    )
    assert headers[KEY] == "risk_guard"


@pytest.mark.parametrize("character", ["x", "é", "€", "😀", "\ud800"])
def test_texts_of_a_dead_letter_fit_into_a_header_frame(character: str) -> None:
    """The limit is in bytes, and the end is kept: a traceback's last line tells most."""
    record = envelope().record(dead(character * 100_000, character * 100_000 + "END"))
    headers = headers_of(record, "risk_guard")
    assert sum(len(str(value).encode()) for value in headers.values()) < 64 * 1024
    assert headers["qt-traceback"].endswith("END")


def test_a_short_text_is_left_as_it_is() -> None:
    """A complete text has no dots before it."""
    assert headers_of(envelope().record(dead("schön")), "k")["qt-message"] == "schön"


def test_what_the_broker_moved_tells_its_reason_in_x_death() -> None:
    """An event that expired in its queue has no details of ours."""
    time = datetime(2026, 1, 2, 3, 4, 5)
    death = {
        "x-death": [
            {"reason": "expired", "routing-keys": ["trade.executed"], "time": time, "queue": "q"}
        ]
    }
    record = record_from("risk_guard", b"{}", {"message_id": "e1"}, death, "qt.dead.risk_guard")
    assert (record.reason, record.event_type, record.event_id, record.id) == (
        "expired",
        "trade.executed",
        "e1",
        "e1",
    )
    assert record.last_failed == time.replace(tzinfo=UTC)
    assert record.attempts == 0


def test_a_dead_letter_without_an_id_gets_the_same_one_at_every_look() -> None:
    """A letter without an id could not be sent back."""
    death = {"x-death": [{"reason": "expired", "time": datetime(2026, 1, 2)}]}
    looks = [record_from("s", b"body", {}, death, "k").id for _ in range(2)]
    assert looks[0] == looks[1] != ""
    assert record_from("s", b"other", {}, death, "k").id != looks[0]


@given(HEADERS)
@settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # how fast a busy machine draws is no matter
def test_no_header_breaks_reading(headers: dict[str, Any]) -> None:
    """A forged message, or a forged dead letter, is read as far as it makes sense."""
    read = envelope(headers)
    assert 1 <= read.attempt <= 1_000_000
    assert read.returns >= 0
    assert read.event_type
    record = read.record(dead())
    assert record.first_failed.tzinfo is not None
    listed = record_from("s", b"", {"message_id": 7}, headers, "k")
    assert listed.id
    assert listed.first_failed.tzinfo is not None
    assert isinstance(listed.reason, str)
    headers_of(listed, "k")


def test_a_dead_letter_says_that_its_body_is_only_a_beginning() -> None:
    """The mark keeps anybody from sending it back as if it were the event."""
    read = envelope(body=b"begin", size=5_000)
    headers = read.record_headers(dead())
    assert headers["qt-body-size"] == 5_000
    assert not record_from("s", read.body, {}, headers, "k").whole
    assert "qt-body-size" not in envelope(size=2).record_headers(dead())
    assert record_from("s", read.body, {}, {}, "k").whole


@pytest.mark.parametrize("value", ["\ud800" * 200, "é" * 255, "x" * 300])
def test_every_property_fits_into_its_copy(value: str) -> None:
    """One that was no UTF-8, or is longer as UTF-8, is cut: its copy can be written."""
    carried = envelope(
        properties={"message_id": value, "priority": 255, "timestamp": 2**64 - 1}
    ).carried()
    assert len(carried["message_id"].encode()) <= 255
    RawMessage(b"", **carried)._serialize_properties()  # noqa: SLF001


def test_a_copy_has_no_user_and_no_expiration_of_anothers() -> None:
    """A broker refuses another's user_id; and a dead letter is not to expire."""
    record = record_from("s", b"", {"user_id": "alice", "expiration": "5", "app_id": "go"}, {}, "k")
    assert record.properties == {"app_id": "go", "delivery_mode": 2}


@pytest.mark.parametrize(("written", "copied"), [(0, {}), (7, {"priority": 7}), (None, {})])
def test_a_copy_has_its_producers_priority_but_not_that_of_earlier_releases(
    written: int | None, copied: dict[str, int]
) -> None:
    """They wrote 0, and RabbitMQ 4.3 would hold the copy back behind all that has none."""
    record = record_from("s", b"", {"priority": written}, {}, "k")
    read = envelope(properties={"priority": written})
    assert read.carried() == record.properties == {**copied, "delivery_mode": 2}


@pytest.mark.parametrize("id", ["a\nERROR forged", "\ud800", "\x1b[2J"])
def test_no_id_begins_another_line(id: str) -> None:
    """Ids are logged and listed: what a producer puts there is shown in escapes."""
    read = envelope(properties={"message_id": id, "correlation_id": id}, routing_key=id)
    record = record_from("s", b"", {"message_id": id}, {}, "k")
    shown = [read.event_id, record.event_id, record.id, *map(str, read.log_fields().values())]
    assert all(text.isprintable() for text in shown)


def test_an_envelope_can_be_pickled() -> None:
    """Prefork hands it to another process."""
    read = envelope({ATTEMPT: 2})
    assert pickle.loads(pickle.dumps(read)) == read  # noqa: S301


FOREIGN: dict[str, Any] = {
    "body": b'{"specversion": "1.0", "id": "theirs", "source": "desk", "type": "desk.opened"}',
    "properties": {"content_type": "application/cloudevents+json"},
    "routing_key": "desk.opened",
}


@pytest.mark.parametrize("raw", [False, True])
def test_who_observes_it_is_told_what_the_event_says(raw: bool) -> None:
    """A producer that is not ours may give its message no id and no app_id."""
    read = envelope(**FOREIGN)
    # Nor is every event read by its subscription.
    assert read.observed() == ("theirs", "desk", None, False)
    read.event(raw=raw)
    assert read.observed() == ("theirs", "desk", None, False)
    assert read.record(dead()).event_id == "theirs"


def test_its_seconds_are_those_of_the_handler() -> None:
    """From the last call of it to its first end: what follows is stored later."""
    read = envelope()
    with patch("qt_events.rabbitmq.messages.envelope.monotonic", side_effect=[1.0, 2.0, 5.0]):
        read.begin()
        read.begin()
        read.end()
        read.end()
        assert read.observed()[2] == 3.0
