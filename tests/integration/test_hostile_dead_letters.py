"""Forged dead letters, and headers of the broker that a producer has written."""

from struct import pack
from typing import Any

import amqp
import pytest

from qt_events import NO_RETRY, CeleryEventBus, Event
from tests.integration.hostile_cases import PLAIN, with_properties
from tests.integration.run_forever.hosting import buried
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.lasting import lasting
from tests.support.waiting import PATIENCE, until

ABSURD = {
    "qt-attempt": "x", "qt-type": 7, "qt-first-failed": [], "qt-last-failed": {"a": 1},
    "qt-key": 1.5, "qt-id": [1], "qt-reason": None, "qt-message": b"\xff",
    "qt-traceback": True, "qt-event-id": -1, "qt-host": {},
    "x-death": "never", "qt-exception-type": 2**40,
}  # fmt: skip
ANOTHERS = {
    "qt-subscription": "other",
    "qt-key": "other",
    "qt-type": "other.type",
    "qt-id": "claim",
    "qt-reason": "poison",
}
UNREADABLE = with_properties(pack(">HI", 0x2000, 11) + b"\x01tT" + b"\xff" * 8)
FORGED = {
    "bare": amqp.Message(b'{"name": "bare"}'),
    "text": amqp.Message(b"hello"),
    "absurd": amqp.Message(
        b'{"name": "absurd"}', application_headers=ABSURD, message_id="a\nb", **PLAIN
    ),
    "claim": amqp.Message(b'{"name": "claim"}', application_headers=ANOTHERS, **PLAIN),
    "type": amqp.Message(
        b"{}", application_headers={"qt-type": "x" * 300, "qt-id": "i" * 5_000}, **PLAIN
    ),
    "unreadable": UNREADABLE(b'{"name": "unreadable"}'),
}
# Reason for which each becomes a dead letter again, with a part of its text; else nobody subscribes
# to its type.
AGAIN = {"text": ("undecodable", "not JSON"), "absurd": ("undecodable", "id is")}
UNKNOWN = ("unknown_here", "hears 'hostile.#'")


class Heard:
    """Payloads that one subscription's handler was called with."""

    def __init__(self, bus: CeleryEventBus, name: str, pattern: str) -> None:
        self.payloads: list[dict[str, Any]] = []
        bus.subscribe(pattern, self.handle, name=name, retry=NO_RETRY)

    async def handle(self, event: Event[Any]) -> None:
        self.payloads.append(dict(event.payload))


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_dead_letter_is_shown_and_goes_back_to_its_queues_subscription(
    make_bus: MakeBus, amqp_url: str, name: str
) -> None:
    """A forged dead letter is listed, its retry reaches nobody else, and the others stay usable."""
    bus = make_bus(rollout=0.3)
    hostile, other = Heard(bus, "hostile", "hostile.#"), Heard(bus, "other", "other.#")
    async with bus:
        await lasting(bus)
        with channel_to(amqp_url) as channel:
            channel.confirm_select()
            channel.basic_publish_confirm(FORGED[name], "", "qt.dead.hostile")
        (record,) = await bus.dead_letters.list("hostile")
        assert record.subscription == "hostile"
        assert record.body == FORGED[name].body
        assert record.reason in {"unknown", "poison", "forged"}
        await bus.dead_letters.retry(record.id)
        await bus.publish(Event("hostile.after", None, {"name": "after"}))
        await until(lambda: {"name": "after"} in hostile.payloads)
        (left,) = await buried(bus, 1)
    reason, text = AGAIN.get(name, UNKNOWN)
    assert left.reason == reason
    assert text in left.message
    assert hostile.payloads == [{"name": "after"}]
    assert other.payloads == []


@pytest.mark.parametrize("claimed", [99, -1, "x"])
@pytest.mark.parametrize(("queue_type", "counted"), [("quorum", True), ("classic", False)])
def test_only_a_redelivery_from_a_quorum_queue_has_the_brokers_own_count(
    amqp_url: str, queue_type: str, counted: bool, claimed: object
) -> None:
    """A producer's `x-delivery-count` stands at the first delivery, in a classic queue always."""
    came: list[tuple[bool, object]] = []
    with channel_to(amqp_url) as channel:
        channel.queue_declare(
            "q", durable=True, auto_delete=False, arguments={"x-queue-type": queue_type}
        )
        channel.confirm_select()
        message = amqp.Message(b"{}", application_headers={"x-delivery-count": claimed})
        channel.basic_publish_confirm(message, "", "q")
        channel.basic_qos(0, 1, False)

        def consume(raw: amqp.Message) -> None:
            came.append((raw.delivery_info["redelivered"], raw.headers["x-delivery-count"]))
            channel.basic_reject(raw.delivery_info["delivery_tag"], requeue=True)

        channel.basic_consume("q", callback=consume)
        while len(came) < 3:
            channel.connection.drain_events(timeout=PATIENCE)
    later = [(True, 1), (True, 2)] if counted else [(True, claimed)] * 2
    assert came[:3] == [(False, claimed), *later]
