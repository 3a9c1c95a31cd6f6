"""Dead letters on the broker: nothing is dropped in silence, looking changes nothing, a retry is one subscription's."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import amqp
import pytest

from qt_events import Event, RetryPolicy
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.dead_letters.scan import Progress
from qt_events.errors import (
    BrokerUnreachableError,
    IncompleteDeadLetterError,
    PublishTimeoutError,
    UnknownDeadLetterError,
    UnknownSubscriptionError,
)
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.envelope import body_of
from qt_events.rabbitmq.messages.properties import Content, to_amqp
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.testing.ports import free_ports
from tests.support.channels import channel_to, depth
from tests.support.waiting import until, until_told

ONCE = RetryPolicy(max_attempts=1)
TWICE = RetryPolicy(max_attempts=2, initial=0, jitter=0)


class Fallible:
    """A handler that fails as long as it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.heard: list[Any] = []

    async def handle(self, event: Event[Any]) -> None:
        self.heard.append(event.payload["number"])
        if self.fails:
            message = f"number {event.payload['number']}"
            raise LookupError(message)


@pytest.fixture
def bus(amqp_url: str) -> Iterator[CeleryEventBus]:
    opened = CeleryEventBus(amqp_url, publish_timeout=20)
    yield opened
    opened.close()


@pytest.fixture
def handler(bus: CeleryEventBus) -> Fallible:
    """Subscribed as `fallible` to every event; what it fails at is a dead letter at once."""
    fallible = Fallible()
    bus.subscribe("#", fallible.handle, name="fallible", retry=ONCE)
    return fallible


def event(number: int) -> Event[Any]:
    return Event("number.drawn", None, {"number": number})


async def handled(bus: CeleryEventBus, *numbers: int) -> None:
    """Publish these and serve the bus until all have an outcome, those too that were on their way already."""
    async with bus:
        for number in numbers:
            await bus.publish(event(number))
        await bus.join(30)


def publish_raw(url: str, body: bytes, key: str = "number.drawn", **properties: Any) -> None:
    with channel_to(url) as channel:
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message(body, **properties), "qt.events", key)


async def listed(bus: CeleryEventBus, subscription: str = "fallible") -> list[DeadLetterRecord]:
    return list(await bus.dead_letters.list(subscription))


async def numbers_of(bus: CeleryEventBus, subscription: str = "fallible") -> list[str]:
    return [record.message.removeprefix("number ") for record in await listed(bus, subscription)]


async def test_a_dead_letter_tells_every_detail(bus: CeleryEventBus, handler: Fallible) -> None:
    """Whose, what, why, how often, when, where, and the event as it was."""
    published = event(7)
    async with bus:
        await bus.publish(published)
        await bus.join(30)
    (record,) = await listed(bus)
    assert (record.subscription, record.event_id, record.event_type) == (
        "fallible",
        published.id,
        "number.drawn",
    )
    assert (record.reason, record.attempts) == ("exhausted", 1)
    assert (record.exception_type, record.message) == ("LookupError", "number 7")
    assert "raise LookupError(message)" in record.traceback
    assert record.first_failed <= record.last_failed
    assert record.host
    assert record.body == encode(published)
    assert record.properties["content_type"] == CONTENT_TYPE
    assert record.properties["message_id"] == published.id


async def test_a_hundred_looks_change_nothing(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Neither what there is nor its order, whether one looks at all, at some or at one."""
    await handled(bus, *range(10))
    first = await listed(bus)
    assert [record.message for record in first] == [f"number {n}" for n in range(10)]
    for look in range(34):
        assert list(await bus.dead_letters.list("fallible", limit=3)) == first[:3]
        assert await bus.dead_letters.show(first[look % 10].id) == first[look % 10]
        assert list(await bus.dead_letters.list()) == first
    assert depth(amqp_url, "qt.dead.fallible") == 10


async def test_a_retry_is_for_that_subscription_alone(bus: CeleryEventBus) -> None:
    """Others that had the event do not get it again, and attempts start again."""
    failing, other = Fallible(), Fallible()
    bus.subscribe("number.*", failing.handle, name="failing", retry=TWICE)
    bus.subscribe("number.*", other.handle, name="other", retry=ONCE)
    await handled(bus, 1)
    (record,) = await listed(bus, "failing")
    assert (failing.heard, other.heard, record.attempts) == ([1, 1], [1], 2)
    await bus.dead_letters.retry(record.id)
    assert await listed(bus, "failing") == []
    await handled(bus)
    (again,) = await listed(bus, "failing")
    assert (failing.heard, other.heard, again.attempts) == ([1] * 4, [1], 2)
    assert again.event_id == record.event_id
    assert again.id != record.id
    assert len(await listed(bus, "other")) == 1


async def test_a_mended_handler_gets_all_of_them_in_order(
    bus: CeleryEventBus, handler: Fallible
) -> None:
    """retry_all says how many, and leaves none."""
    await handled(bus, *range(20))
    handler.fails = False
    handler.heard.clear()
    assert await bus.dead_letters.retry_all("fallible") == 20
    assert await listed(bus) == []
    await handled(bus)
    assert handler.heard == list(range(20))
    assert await bus.dead_letters.retry_all("fallible") == 0


async def test_one_out_of_the_middle_goes_and_the_others_keep_their_order(
    bus: CeleryEventBus, handler: Fallible
) -> None:
    """Discarded or retried."""
    await handled(bus, *range(6))
    records = await listed(bus)
    await bus.dead_letters.discard(records[2].id)
    assert await numbers_of(bus) == ["0", "1", "3", "4", "5"]
    await bus.dead_letters.retry(records[4].id)
    assert await numbers_of(bus) == ["0", "1", "3", "5"]
    handler.fails = False
    handler.heard.clear()
    await handled(bus)
    assert handler.heard == [4]


async def test_an_operator_without_the_handlers_can_act_too(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A bus of another process, without subscriptions: it finds by id what it has listed by name."""
    await handled(bus, 1, 2)
    operator = CeleryEventBus(amqp_url, publish_timeout=20)
    first, second = await listed(operator)
    assert await operator.dead_letters.show(first.id) == first
    await operator.dead_letters.retry(first.id)
    await operator.dead_letters.discard(second.id)
    assert await listed(operator) == []
    await asyncio.to_thread(operator.close)
    handler.fails = False
    handler.heard.clear()
    async with bus:
        await until(lambda: handler.heard)
    assert handler.heard == [1]


async def test_a_retry_that_is_not_confirmed_removes_nothing(
    bus: CeleryEventBus, handler: Fallible, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is safe before the dead letter is gone; and join() does not wait for what was not sent."""
    await handled(bus, 1, 2)
    before = await listed(bus)

    async def timing_out(*_: Any, **__: Any) -> bool:
        raise PublishTimeoutError

    with monkeypatch.context() as patched:
        patched.setattr(bus.publisher, "ask", timing_out)
        with pytest.raises(PublishTimeoutError):
            await bus.dead_letters.retry(before[0].id)
        with pytest.raises(PublishTimeoutError):
            await bus.dead_letters.retry_all("fallible")
    assert await listed(bus) == before
    assert len(bus.outstanding) == 0


@pytest.mark.parametrize("act", ["show", "retry", "discard"])
async def test_an_unknown_id_is_a_named_error(
    bus: CeleryEventBus, handler: Fallible, act: str
) -> None:
    """It leaves the others alone."""
    await handled(bus, 1)
    with pytest.raises(UnknownDeadLetterError, match="'nonesuch'"):
        await getattr(bus.dead_letters, act)("nonesuch")
    assert await numbers_of(bus) == ["1"]


@pytest.mark.parametrize("act", ["list", "retry_all"])
async def test_an_unknown_subscription_is_a_named_error(bus: CeleryEventBus, act: str) -> None:
    """A name that nobody ever declared under this prefix has no dead letters to look at."""
    with pytest.raises(UnknownSubscriptionError, match="'nonesuch'"):
        await getattr(bus.dead_letters, act)("nonesuch")


async def test_without_a_broker_looking_is_a_named_error() -> None:
    """It says where it looked, and no password."""
    (port,) = free_ports(1)
    bus = CeleryEventBus(f"amqp://somebody:s3cret@127.0.0.1:{port}//")
    with pytest.raises(BrokerUnreachableError, match=f"{port}") as caught:
        await bus.dead_letters.list("fallible")
    assert "s3cret" not in str(caught.value)


async def test_an_event_that_expires_in_its_queue_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A producer's own TTL is kept, and the expired event can be sent back."""
    await bus.declarations.made()
    content = to_amqp(event(3))
    await asyncio.to_thread(
        publish_raw, amqp_url, content.body, **content.properties, expiration="1"
    )
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 0)
    assert record.body == content.body
    assert await bus.dead_letters.show(record.id) == record
    handler.fails = False
    await bus.dead_letters.retry(record.id)
    await handled(bus)
    assert handler.heard == [3]


CLOUD, PLAIN = {"content_type": CONTENT_TYPE}, {"content_type": "application/json"}
FORGED = encode(Event("policy.forged", None, {"number": 1}))
CLAIMS: dict[str, Any] = {
    "qt-type": "policy.forged",
    "qt-attempt": 3,
    "qt-reason": "exhausted",
    "qt-key": "other",
}
RETRIED: dict[str, Any] = {"qt-type": "number.drawn", "qt-attempt": 2}


async def test_an_expired_event_is_not_what_its_producer_says_in_our_headers(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """Sent back it would be a type that its producer may not publish: it is of the key that the broker noted."""
    heard: list[str] = []
    bus.subscribe("#", lambda event: heard.append(event.type), name="fallible", retry=ONCE)
    await bus.declarations.made()
    forged: dict[str, Any] = {"application_headers": CLAIMS, "expiration": "1", **CLOUD}
    await asyncio.to_thread(publish_raw, amqp_url, FORGED, **forged)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 0)
    await bus.dead_letters.retry_all("fallible")
    await handled(bus)
    (record,) = await listed(bus)
    assert (record.reason, heard) == ("mistyped", [])


async def test_a_retry_that_expires_in_its_queue_stays_what_it_is(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """By an operator's message-ttl: it has been in a delay level before, and its headers are ours."""
    await bus.declarations.made()
    delayed = PublishRequest(
        "qt.retry.100", "fallible", Content(encode(event(3)), {"expiration": "1"}, RETRIED)
    )
    delayed.first = bus.declarations.level(0.1)
    await bus.publisher.ask(delayed)
    with channel_to(amqp_url) as channel:
        raw = await until_told(lambda: channel.basic_get("qt.sub.fallible"))
        channel.basic_reject(raw.delivery_tag, requeue=False)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("rejected", "number.drawn", 2)


async def test_what_the_broker_drops_from_quarantine_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """By a limit of an operator's policy, for example."""
    await bus.declarations.made()
    expiring = Content(encode(event(3)), {"expiration": "1"}, RETRIED)
    await bus.publisher.ask(PublishRequest("qt.quarantine", "fallible", expiring))
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 2)


BROKEN = {
    "no JSON": (b"not json", CLOUD, "undecodable"),
    "truncated": (encode(event(1))[:-9], CLOUD, "undecodable"),
    "no CloudEvent": (b'{"number": 1}', CLOUD, "undecodable"),
    "no object": (b"[1]", PLAIN, "undecodable"),
    "pickle": (b"\x80\x04N.", {"content_type": "application/x-python-serialize"}, "undecodable"),
    "empty": (b"", {}, "undecodable"),
    "encoding": (
        b'{"number": 1}',
        {"content_encoding": "gzip", "content_type": "text/x"},
        "undecodable",
    ),
    "another type than its key": (FORGED, CLOUD, "mistyped"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_message_that_cannot_be_handled_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str, broken: str
) -> None:
    """With its reason, its raw body and the properties it came with; the next one is handled."""
    body, properties, reason = BROKEN[broken]
    given: dict[str, Any] = {
        **properties,
        "message_id": "m-1",
        "app_id": "elsewhere",
        "reply_to": "nobody",
    }
    handler.fails = False
    await bus.declarations.made()
    headers = {"task": "os.system"}
    await asyncio.to_thread(publish_raw, amqp_url, body, **given, application_headers=headers)
    await handled(bus, 2)
    (record,) = await listed(bus)
    assert (record.reason, record.attempts, record.event_type, record.body) == (
        reason,
        1,
        "number.drawn",
        body,
    )
    assert record.properties.items() >= {**given, "delivery_mode": 2}.items()
    assert handler.heard == [2]


@pytest.mark.parametrize(
    "properties", [{}, {"content_type": "application/json", "message_id": "m-1"}]
)
async def test_plain_json_from_another_language_is_handled(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str, properties: dict[str, Any]
) -> None:
    """A payload and a routing key are enough."""
    handler.fails = False
    await bus.declarations.made()
    await asyncio.to_thread(publish_raw, amqp_url, b'{"number": 5}', **properties)
    async with bus:
        await until(lambda: handler.heard)
    assert handler.heard == [5]
    assert await listed(bus) == []


async def test_dead_letters_without_ids_can_be_told_apart_and_sent_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Expired ones of a producer that gives no message ids."""
    await bus.declarations.made()
    for number in range(3):
        await asyncio.to_thread(publish_raw, amqp_url, b'{"number": %d}' % number, expiration="1")
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == 3)
    records = await listed(bus)
    assert len({record.id for record in records}) == 3
    await bus.dead_letters.discard(records[1].id)
    await bus.dead_letters.retry(records[0].id)
    assert await listed(bus) == records[2:]


async def test_a_broadcast_dead_letter_goes_back_to_its_process(bus: CeleryEventBus) -> None:
    """Each process has its own queue; the other processes' handlers did not fail."""
    here = Fallible()
    bus.subscribe("#", here.handle, name="state", broadcast=True, retry=ONCE)
    await handled(bus, 1)
    (record,) = await listed(bus, "state")
    here.fails = False
    await bus.dead_letters.retry(record.id)
    await handled(bus)
    assert here.heard == [1, 1]
    assert await listed(bus, "state") == []


async def test_retries_of_a_removed_subscription_end_in_lost(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """Seen there, not gone; and another subscription's retry through the same level comes on time."""
    removed, staying = Fallible(), Fallible()
    later = RetryPolicy(max_attempts=2, initial=1.5, jitter=0)
    bus.subscribe("#", removed.handle, name="removed", retry=later)
    bus.subscribe("#", staying.handle, name="staying", retry=later)
    serving = asyncio.create_task(bus.run_forever())
    await bus.publish(event(1))
    await until_told(lambda: depth_or_none(amqp_url, "qt.retry.1600") == 2)
    staying.fails = False
    bus.unsubscribe("#", removed.handle)
    with channel_to(amqp_url) as channel:
        channel.queue_delete("qt.sub.removed")
    await until_told(lambda: depth(amqp_url, "qt.lost") == 1)
    await until(lambda: staying.heard == [1, 1])
    assert removed.heard == [1]
    bus.stop()
    await serving


def depth_or_none(url: str, queue: str) -> int | None:
    try:
        return depth(url, queue)
    except amqp.exceptions.NotFound:
        return None


def publish_dead(
    url: str, bodies: list[bytes], subscription: str = "fallible", **properties: Any
) -> None:
    """Straight into the queue of dead letters, by whoever may write there."""
    with channel_to(url) as channel:
        for body in bodies:
            channel.basic_publish(amqp.Message(body, **properties), "", f"qt.dead.{subscription}")
        while channel.queue_declare(f"qt.dead.{subscription}", passive=True).message_count < len(
            bodies
        ):
            pass


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_looking_leaves_the_order_as_it_was(amqp_url: str, queue_type: str) -> None:
    """However many there are, and however large: who comes next, and who is sent back first, does not change."""
    bus, handler = CeleryEventBus(amqp_url, queue_type=queue_type, publish_timeout=20), Fallible()
    bus.subscribe("#", handler.handle, name="fallible", retry=ONCE)
    await bus.declarations.made()
    bodies = [
        b'{"number": %d, "padding": "%s"}' % (number, b"x" * 200 * (number % 40))
        for number in range(700)
    ]
    await asyncio.to_thread(publish_dead, amqp_url, bodies)
    box = bus.dead_letters
    for _ in range(3):
        assert [letter.body async for letter in box.stream("fallible")] == bodies
    assert await box.retry_all("fallible", dry_run=True) == 700
    assert await box.retry_all("fallible") == 700
    with channel_to(amqp_url) as channel:
        waiting = [body_of(channel.basic_get("qt.sub.fallible", no_ack=True)) for _ in range(700)]
    assert waiting == bodies
    assert await listed(bus) == []
    await asyncio.to_thread(bus.close)


async def test_two_who_look_at_once_take_nothing_from_each_other_for_good(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Neither waits for what the other has in hand; afterwards all are there."""
    await bus.declarations.made()
    await asyncio.to_thread(publish_dead, amqp_url, [b"%d" % number for number in range(300)])
    other = CeleryEventBus(amqp_url)
    looks = await asyncio.gather(
        *(each.dead_letters.list("fallible") for each in (bus, other, bus, other))
    )
    assert all(len(look) <= 300 for look in looks)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == 300)
    assert len(await listed(bus)) == 300
    await asyncio.to_thread(other.close)


async def test_a_look_that_is_left_early_gives_everything_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """At once, and for the next one to see."""
    await bus.declarations.made()
    await asyncio.to_thread(publish_dead, amqp_url, [b"%d" % number for number in range(100)])
    async with aclosing(bus.dead_letters.stream("fallible")) as letters:
        async for _ in letters:
            break
    assert depth(amqp_url, "qt.dead.fallible") == 100
    assert len(await listed(bus)) == 100


STRANGE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "numbers for texts": {
        "qt-id": 5,
        "qt-reason": 7,
        "qt-type": 1.5,
        "qt-subscription": None,
        "qt-key": 9,
    },
    "texts for numbers": {"qt-attempt": "x", "qt-body-size": "y"},
    "attempts": {"qt-attempt": -1, "qt-id": "attempts"},
    "times": {
        "qt-last-failed": "0001-01-01T00:00:00+23:59",
        "qt-first-failed": "9999-12-31T23:59:59-23:59",
    },
    "no times": {"qt-last-failed": "yesterday", "qt-first-failed": [1, {"a": None}]},
    "deaths": {"x-death": [{"reason": [], "routing-keys": [5], "time": "then"}]},
    "no deaths": {"x-death": "none"},
    "long": {"qt-type": "t" * 5_000, "qt-reason": "r" * 5_000, "qt-id": "i" * 5_000},
    "evil": {
        "qt-reason": "\x1b[2J",
        "qt-exception-type": "\ud800".encode(errors="surrogatepass"),
        "qt-id": "evil",
    },
}


async def test_strange_dead_letters_never_break_the_reading(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Each is shown, those that mean something go back, and none is in the way of the others."""
    await bus.declarations.made()
    for name, headers in STRANGE.items():
        given: dict[str, Any] = {
            "application_headers": headers,
            "expiration": "600000",
            "user_id": "guest",
        }
        await asyncio.to_thread(publish_dead, amqp_url, [name.encode()], **given)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == len(STRANGE))
    letters = {letter.body.decode(): letter for letter in await listed(bus)}
    assert letters.keys() == STRANGE.keys()
    assert sum(group.count for group in await bus.dead_letters.groups()) == len(STRANGE)
    assert (await bus.dead_letters.show("evil")).reason == letters["evil"].reason == "\x1b[2J"
    skipped: list[str] = []
    sent = await bus.dead_letters.retry_all(
        "fallible", on_skipped=lambda record, _: skipped.append(record.body.decode())
    )
    assert (sent, skipped) == (len(STRANGE) - 1, ["texts for numbers"])
    assert depth(amqp_url, "qt.sub.fallible") == sent


async def test_the_beginning_of_an_event_is_not_sent_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """It would be another event: a named error; of all, the others go."""
    await bus.declarations.made()
    headers = {"qt-body-size": 20_000_000, "qt-id": "beginning"}
    await asyncio.to_thread(publish_dead, amqp_url, [b'{"number": 1'], application_headers=headers)
    with pytest.raises(IncompleteDeadLetterError, match="'beginning' of 'fallible'"):
        await bus.dead_letters.retry("beginning")
    told: list[Progress] = []
    assert await bus.dead_letters.retry_all("fallible", on_progress=told.append) == 0
    assert told == [Progress(total=1, skipped=1)]
    assert [(letter.id, letter.whole) for letter in await listed(bus)] == [("beginning", False)]


async def test_nothing_is_sent_back_to_a_subscription_that_is_gone(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """It would end among the lost ones: a named error instead, and it stays where it is."""
    await bus.declarations.made()
    await asyncio.to_thread(publish_dead, amqp_url, [b"{}"], message_id="m-1")
    with channel_to(amqp_url) as channel:
        channel.queue_delete("qt.sub.fallible")
    operator = CeleryEventBus(amqp_url)
    with pytest.raises(UnknownSubscriptionError, match=r"no queue 'qt\.sub\.fallible'"):
        await operator.dead_letters.retry_many(["m-1"], subscription="fallible")
    assert await operator.dead_letters.retry_all("fallible") == 0
    assert (depth(amqp_url, "qt.dead.fallible"), depth(amqp_url, "qt.lost")) == (1, 0)
    await asyncio.to_thread(operator.close)
