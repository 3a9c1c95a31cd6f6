"""Mutation: messages that a valid one becomes by a few strokes. A seed repeats them."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.event import Event
from qt_events.events.quantum_trader import PolicyUpdatedEvent
from qt_events.rabbitmq.messages.envelope import ATTEMPT, FIRST_FAILED, KEY, RETURNS, TRIAL, TYPE
from qt_events.rabbitmq.messages.properties import to_amqp

# At most, for one message
_STROKES = 4
# Bodies that are remembered because they led somewhere new
_CORPUS = 2_000
# How often a valid message is begun with
_FROM_VALID = 0.6
# Bytes of a body that is remembered, at most
_LONG = 4_000

POLICY = PolicyUpdatedEvent.create(
    risk_mode="NORMAL",
    allowed_strategies=["a"],
    global_min_confidence=0.5,
    max_risk_per_trade=0.1,
    max_positions=3,
)
OPEN: Event[Any] = Event(
    "fuzz.open", None, {"a": [1, 2.5, None, True, "ä", {"b": {}}], "c": 2**70}, causation_id="x"
)
KEYS = (
    "fuzz.open",
    "policy.updated",
    "trade.executed",
    "",
    "a..b",
    "#",
    "*.x",
    "ä.ö",
    "x" * 255,
    "\x00",
    "a\nb",
    "\ud800",
)
TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"1e400", b"-0", b"NaN", b"Infinity", b"null",
    b"9" * 5_000,
    b"\\ud800", b"\\u0000", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x80\x04",
    b"!!python/object:",
    b"0001-01-01T00:00:00+23:59",
    b'"specversion"', b'"1.0"', b'"dataversion"', b'"type"', b'"data_base64"', b"[" * 300,
    b'{"a":' * 300, b"\x1f\x8b",
]  # fmt: skip
STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 99, 10**9, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 1e300, "",
    "x", "1.0", "\x00",
    "\n",
    "\ud800", "ä", "😀", "x" * 255, "x" * 5_000, "é" * 200, [], [[]], [1, "a", None], {},
    {"a": {"b": []}},
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "20260102",
    "fuzz.open",
    "policy.updated", "a..b",
]  # fmt: skip
# No AMQP header holds them
JSON_ONLY = [2**70, 10**4_000, 10**5_000, -(10**4_300), 1e999]
PROPERTY_NAMES = (
    "content_type", "content_encoding", "message_id", "timestamp", "type", "app_id",
    "correlation_id", "reply_to",
    "priority", "expiration", "user_id", "cluster_id", "delivery_mode",
)  # fmt: skip
CONTENT_TYPES = [
    CONTENT_TYPE, "application/json", "Application/JSON; charset=UTF-8",
    "application/json;charset=utf-16",
    "text/plain", "",
    "application/x-python-serialize", f"{CONTENT_TYPE} ", ";", "application/json; charset=", "é",
]  # fmt: skip
ENCODINGS = ["utf-8", "UTF-8", "gzip", "binary", "utf-16", "", "é"]
HEADER_NAMES = (
    ATTEMPT, TYPE, FIRST_FAILED, KEY, TRIAL, RETURNS, "qt-last-failed", "qt-reason", "qt-message",
    "qt-traceback",
    "qt-id",
    "qt-event-id", "qt-host", "qt-exception-type", "qt-body-size", "qt-subscription", "x-death",
    "x-first-death-queue",
    "task", "id", "callbacks", "compression", "CC", "envelope",
)  # fmt: skip
DEATHS: list[Any] = [
    [{"reason": "expired", "queue": "qt.retry.100", "exchange": "qt.retry.100",
    "routing-keys": ["fuzz"], "count": 1}],
    [{"reason": "expired", "queue": "qt.sub.fuzz", "exchange": "qt.events",
    "routing-keys": ["fuzz.open"]}],
    [{"reason": 5, "queue": [], "exchange": {}, "routing-keys": [7], "time": "now"}],
    [7], "x", {"queue": "qt.sub.fuzz"},
]  # fmt: skip
EXCHANGES = ("qt.events", "qt.redeliver", "qt.quarantine", "", "qt.dead", "other")


@dataclass(frozen=True)
class Input:
    """One message, and the way it came."""

    body: bytes
    properties: dict[str, Any]
    headers: dict[str, Any] = field(default_factory=dict)
    key: str = "fuzz.open"
    exchange: str = "qt.events"
    redelivered: bool = False
    #: Bytes changed in the serialised properties: where (0 to 1), to what
    scars: tuple[tuple[float, int], ...] = ()


def valid() -> list[Input]:
    """Return a message that mutations begin with."""
    cloud = [
        Input(to_amqp(event).body, to_amqp(event).properties, key=event.type)
        for event in (POLICY, OPEN)
    ]
    plain = [
        Input(
            json.dumps({"a": 1}).encode(),
            {"content_type": "application/json", "message_id": "m", "timestamp": 1},
        ),
        Input(b"{}", {}),
        Input(json.dumps(dict(POLICY.payload), default=str).encode(), {}, key="policy.updated"),
    ]
    retried = replace(
        cloud[0],
        headers={ATTEMPT: 2, TYPE: "policy.updated", FIRST_FAILED: "2026-01-02T03:04:05+00:00"},
    )
    return [*cloud, *plain, replace(retried, exchange="qt.redeliver", key="fuzz")]


class Mutator:
    """Draws messages. Give one that led somewhere new to `learn`, and it is mutated too."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._valid, self._corpus = valid(), valid()

    def learn(self, found: Input) -> None:
        """Mutate this message too."""
        if len(found.body) <= _LONG:
            self._corpus.append(found)
            if len(self._corpus) > _CORPUS:
                del self._corpus[self._random.randrange(len(self._corpus))]

    def draw(self) -> Input:
        """Return the next message."""
        drawn = self._random.choice(
            self._valid if self._random.random() < _FROM_VALID else self._corpus
        )
        for _ in range(self._random.randint(1, _STROKES)):
            drawn = self._random.choice(_WAYS)(self, drawn)
        return drawn

    # Strokes

    def cut_and_paste(self, given: Input) -> Input:
        """Move bytes of the body."""
        body, choose = bytearray(given.body), self._random
        at = choose.randint(0, len(body))
        match choose.randrange(6):
            case 0 if body:
                body[at % len(body)] ^= 1 << choose.randrange(8)
            case 1:
                del body[at : at + choose.randint(1, 20)]
            case 2:
                body[at:at] = choose.choice(TOKENS)
            case 3:
                del body[at:]
            case 4:
                body[at:at] = body[at : at + choose.randint(1, 50)]
            case _:
                other = choose.choice(self._corpus).body
                body[at:] = other[choose.randint(0, len(other)) :]
        return replace(given, body=bytes(body))

    def document(self, given: Input) -> Input:
        """Change the body as JSON: another value, another name, one more, one less."""
        try:
            document = json.loads(given.body)
            _change(document, self._random)
            return replace(
                given, body=json.dumps(document, ensure_ascii=self._random.random() < 0.5).encode()
            )
        except (ValueError, RecursionError):
            return self.cut_and_paste(given)

    def properties(self, given: Input) -> Input:
        """Change one of the properties."""
        name, properties = self._random.choice(PROPERTY_NAMES), dict(given.properties)
        odd = {"content_type": CONTENT_TYPES, "content_encoding": ENCODINGS}.get(name, STRANGE)
        properties[name] = self._random.choice(odd)
        if self._random.random() < 0.2:
            del properties[name]
        return replace(given, properties=properties)

    def headers(self, given: Input) -> Input:
        name = self._random.choice(HEADER_NAMES)
        value = self._random.choice([*DEATHS, *STRANGE] if name == "x-death" else STRANGE)
        return replace(given, headers={**given.headers, name: value})

    def way(self, given: Input) -> Input:
        choose = self._random
        exchange, redelivered = choose.choice(EXCHANGES), choose.random() < 0.5
        key = choose.choice((*KEYS, "fuzz", given.key))
        return replace(given, exchange=exchange, key=key, redelivered=redelivered)

    def scar(self, given: Input) -> Input:
        return replace(
            given, scars=(*given.scars, (self._random.random(), self._random.randrange(256)))
        )


_WAYS: list[Callable[[Mutator, Input], Input]] = [
    Mutator.cut_and_paste, Mutator.cut_and_paste, Mutator.document, Mutator.document,
    Mutator.document,
    Mutator.properties, Mutator.headers, Mutator.way, Mutator.scar,
]  # fmt: skip


def _change(document: Any, choose: random.Random) -> None:
    """Somewhere in it, in place."""
    node = document
    while choose.random() < 0.6 and (inner := _containers(node)):
        node = choose.choice(inner)
    value = choose.choice([*STRANGE, *JSON_ONLY])
    if isinstance(node, dict):
        name = choose.choice([*node, "new", "specversion", "data_base64", "traceparent", "\ud800"])
        node[name] = value
        if choose.random() < 0.2:
            del node[name]
    elif isinstance(node, list):
        node.insert(choose.randint(0, len(node)), value)


def _containers(node: Any) -> list[Any]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [each for each in inner if isinstance(each, dict | list) and each]
