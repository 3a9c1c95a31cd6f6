"""Messages that a hostile or broken producer may send, and their outcomes."""

import gzip
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import pack
from typing import Any

import amqp

from qt_events.events.cloudevents import CONTENT_TYPE, MAX_BODY

CLOUD, PLAIN = {"content_type": CONTENT_TYPE}, {"content_type": "application/json"}
# A folder of this name, made in the working directory, says that something was executed.
CANARY = "QT_EVENTS_CANARY"
HANDLED = "handled"
FAIL = b'{"fail": true}'
BOTH = ("exchange", "queue")


@dataclass(frozen=True)
class Case:
    """One message and its outcome."""

    name: str
    sent: str  #: in words, for the docs
    body: bytes = b"{}"
    outcome: str = "undecodable"  #: handled, or the dead letter's reason
    says: str = ""  #: a part of the dead letter's message
    properties: dict[str, Any] = field(default_factory=lambda: PLAIN)
    headers: dict[Any, Any] | None = None
    key: str | bytes = ""
    ways: tuple[str, ...] = BOTH
    mangle: Callable[[bytes], bytes] = bytes  #: what is done to the serialised properties
    payload: dict[str, Any] | None = None  #: what the handler has to hear
    attempts: int = 1  #: what the dead letter has to say
    everywhere: bool = False  #: tried on prefork too
    given_back: bool = False  #: another release may handle it

    @property
    def routing_key(self) -> str | bytes:
        return self.key or f"hostile.{self.name}"

    def message(self, way: str) -> amqp.Message:
        """Return the message for py-amqp; sent straight into a queue, it has a retry's type."""
        headers = self.headers
        if way != "exchange" and isinstance(self.routing_key, str):
            headers = {"qt-type": self.routing_key, **(headers or {})}
        return _Mangled(self.mangle, self.body, application_headers=headers, **self.properties)


class _Mangled(amqp.Message):
    def __init__(self, mangle: Callable[[bytes], bytes], body: bytes, **properties: Any) -> None:
        super().__init__(body, **properties)
        self.__dict__["mangle"] = mangle

    def _serialize_properties(self) -> bytes:
        return bytes(self.__dict__["mangle"](super()._serialize_properties()))


def with_properties(serialised: bytes) -> Callable[[bytes], amqp.Message]:
    """Mangle messages so that they have these bytes for properties."""
    return lambda body: _Mangled(lambda _: serialised, body)


def event(name: str, data: str = "{}", **changes: str) -> bytes:
    """Return a CloudEvent written by hand, with JSON values."""
    attributes = {
        "specversion": '"1.0"',
        "id": '"i"',
        "source": '"s"',
        "type": json.dumps(f"hostile.{name}"),
        "data": data,
        **changes,
    }
    return (
        "{" + ", ".join(f'"{key}": {value}' for key, value in attributes.items() if value) + "}"
    ).encode()


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (CANARY,)


PICKLE = pickle.dumps(_Bomb())
YAML = f"!!python/object/apply:os.mkdir ['{CANARY}']\n".encode()
SIGNATURE: dict[str, Any] = {
    "task": "canary",
    "args": [],
    "kwargs": {},
    "options": {},
    "subtask_type": None,
    "immutable": True,
}
DEATH = {"x-death": [{"count": "x", "time": "now", "routing-keys": 5}, 7], "x-first-death-queue": 3}
EMBED = {
    "callbacks": [SIGNATURE],
    "errbacks": [SIGNATURE],
    "chain": [SIGNATURE],
    "chord": SIGNATURE,
}
CELERY = {
    "lang": "py", "task": "canary", "id": "c1", "root_id": "c1", "parent_id": None, "group": "g",
    "argsrepr": "()",
    "kwargsrepr": "{}", "origin": "o", "eta": "2020-01-01T00:00:00",
    "expires": "2020-01-01T00:00:00", "retries": 99,
    "timelimit": [1, 1], "ignore_result": False, "replaced_task_nesting": 9,
    "stamped_headers": ["x"],
    "stamps": {"x": 1},
    "compression": "application/x-bz2",
}  # fmt: skip


def _replaced(this: bytes, that: bytes) -> Callable[[bytes], bytes]:
    def mangle(properties: bytes) -> bytes:
        assert this in properties
        assert len(this) == len(that)
        return properties.replace(this, that)

    return mangle


def _with_table(table: bytes) -> Callable[[bytes], bytes]:
    """Put these headers in place of all properties."""
    return lambda _: pack(">HI", 0x2000, len(table)) + table


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"A" + pack(">I", len(inner)) + inner
    return b"\x01a" + inner


BODIES = [
    Case("text", "a body that is no JSON", b"hello", says="not JSON", everywhere=True),
    Case("empty", "an empty body", b"", says="not JSON"),
    Case("truncated", "a CloudEvent that breaks off", event("truncated")[:-9], says="not JSON",
         properties=CLOUD),
    Case("array", "a JSON array", b"[1]", says="list, not an object"),
    Case("latin1", "text in ISO 8859-1", '{"name": "Müller"}'.encode("latin-1"), says="not JSON"),
    Case("bom", "UTF-16, unannounced", '{"a": 1}'.encode("utf-16"), says="not JSON"),
    Case("specversion", "CloudEvents 0.3", event("specversion", specversion='"0.3"'),
         says="specversion",
         properties=CLOUD),
    Case("no_id", "a CloudEvent without an id", event("no_id", id=""), says="'id' is None",
         properties=CLOUD),
    Case("long_id", "an id of 300 letters", event("long_id", id=f'"{"i" * 300}"'), says="id is",
         properties=CLOUD),
    Case("id_lines", "an id with line breaks", event("id_lines", id='"a\\nb"'), says="id is",
         properties=CLOUD),
    Case("data", "`data` that is no object", event("data", "[1]"), says="data is a list",
         properties=CLOUD),
    Case("base64", "`data_base64`", event("base64", data_base64='"AAAA"'), says="data_base64",
         properties=CLOUD),
    Case("time", "a time that no calendar has", event("time", time='"2026-02-31T00:00:00Z"'),
         says="time",
         properties=CLOUD),
    Case("year_0", "a time before the year 1 in UTC",
         event("year_0", time='"0001-01-01T00:00:00+23:59"'),
         says="years 1 to 9999", properties=CLOUD, everywhere=True),
    Case("schema", "a payload that does not fit its class", b'{"risk_mode": "WILD"}',
         says="payload.risk_mode",
         key="policy.updated", everywhere=True, given_back=True),
    Case("misfit", "one with a value of another kind",
         b'{"risk_mode": "NORMAL", "allowed_strategies": 5}',
         says="payload.allowed_strategies", key="policy.updated"),
    Case("version", "a newer version of a known type",
         event("", type='"policy.updated"', dataversion="99"),
         says="version", properties=CLOUD, key="policy.updated", given_back=True),
    Case("no_version", "a version of a known type that there never was",
         event("", type='"policy.updated"', dataversion="0"),
         says="version", properties=CLOUD, key="policy.updated"),
    Case("unknown", "a type that has no class", event("unknown", '{"a": 1}'), HANDLED,
         properties=CLOUD,
         payload={"a": 1}),
    Case("mistyped", "another type in the body than the routing key", event("other"), "mistyped",
         "routing key",
         properties=CLOUD, everywhere=True),
    Case("type_property", "another type in the property `type` than the routing key",
         event("type_property"), HANDLED,
         properties={**CLOUD, "type": "policy.updated"}),
    Case("bare", "no properties and no headers at all", b'{"a": 1}', HANDLED, properties={},
         payload={"a": 1}),
]  # fmt: skip

NUMBERS_AND_SHAPES = [
    Case("deep_lists", "lists nested 100,000 deep",
         b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", says="not JSON",
         everywhere=True),
    Case("deep_objects", "objects nested 100,000 deep", b'{"a": ' * 100_000 + b"1" + b"}" * 100_000,
         says="not JSON"),
    Case("deep_150", "lists nested 150 deep", b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}",
         says="nests deeper than 100"),
    Case("infinite", "the number 1e400", b'{"a": 1e400}', says="JSON cannot carry"),
    Case("nan", "NaN", b'{"a": NaN}', says="not JSON"),
    Case("digits", "an integer of 5,000 digits", b'{"a": ' + b"9" * 5_000 + b"}", says="not JSON"),
    Case("bits_70", "an integer of 70 bits", b'{"a": 1180591620717411303424}', HANDLED,
         payload={"a": 2**70}),
    Case("duplicates", "a key twice: the last one counts", b'{"a": 1, "a": 2}', HANDLED,
         payload={"a": 2}),
    Case("two_types", "`type` twice, the last one another",
         event("two_types")[:-1] + b', "type": "other"}', "mistyped",
         "routing key", properties=CLOUD),
    Case("surrogate", "a lone surrogate in a value", b'{"a": "\\ud800"}', says="not JSON"),
    Case("surrogate_key", "a lone surrogate in a key", b'{"\\udfff": 1}', says="not JSON"),
    Case("nul", "NUL in a value", b'{"a": "\\u0000"}', HANDLED, payload={"a": "\x00"}),
    Case("values", "300,000 values", b'{"a": [' + b"1," * 300_000 + b"1]}",
         says="more than 250000 values"),
    Case("one_mb", "1 MB", json.dumps({"long": "x" * 10**6}).encode(), HANDLED),
    Case("large", "20 MB", json.dumps({"long": "x" * 20 * 10**6}).encode(),
         says=f"more than {MAX_BODY}",
         everywhere=True),
]  # fmt: skip

ENCODINGS = [
    Case("text_plain", "content type `text/plain`", says="content type 'text/plain'",
         properties={"content_type": "text/plain"}),
    Case("charset", "JSON in UTF-16 that says so", '{"a": 1}'.encode("utf-16"), says="'utf-16'",
         properties={"content_type": "application/json; charset=utf-16"}),
    Case("utf_7", "ASCII that claims to be UTF-7", b'{"a": "+AGE-"}', says="'utf-7'",
         properties={**PLAIN, "content_encoding": "utf-7"}),
    Case("utf_8", "encoding `UTF-8`", b'{"a": "\xc3\xa4"}', HANDLED,
         properties={**PLAIN, "content_encoding": "UTF-8"},
         payload={"a": "ä"}),
    Case("gzip", "a gzipped body", gzip.compress(b"{}"), says="'gzip'", properties={**PLAIN,
         "content_encoding": "gzip"}),
    Case("no_gzip", "JSON that claims to be gzipped", says="'gzip'",
         properties={**CLOUD, "content_encoding": "gzip"}),
    Case("pickle", "a pickle", PICKLE, says="content type", everywhere=True,
         properties={"content_type": "application/x-python-serialize",
         "content_encoding": "binary"}),
    Case("pickle_as_json", "a pickle that claims to be JSON", PICKLE, says="not JSON"),
    Case("yaml", "YAML that makes an object", YAML, says="content type",
         properties={"content_type": "application/x-yaml"}),
    Case("yaml_as_json", "YAML that claims to be a CloudEvent", YAML, says="not JSON",
         properties=CLOUD),
]  # fmt: skip

CELERYS = [
    Case("task", "Celery's headers, naming another task", event("task"), HANDLED, properties=CLOUD,
         headers=CELERY,
         everywhere=True),
    Case("embed", "Celery's body, with callbacks and a chain", json.dumps([[], {}, EMBED]).encode(),
         headers=CELERY,
         says="list, not an object", properties={**PLAIN, "content_encoding": "utf-8"},
         everywhere=True),
    Case("protocol_1", "a body of Celery's protocol 1: a payload like any other",
         json.dumps(SIGNATURE).encode(),
         HANDLED,
         payload=SIGNATURE),
    Case("embed_in_event", "callbacks and a chain beside a CloudEvent's attributes",
         json.dumps({**json.loads(event("embed_in_event")), **EMBED}).encode(), HANDLED,
         properties=CLOUD,
         headers=CELERY),
    Case("reply_to", "`reply_to` and `correlation_id`", event("reply_to"), HANDLED,
         properties={**CLOUD, "reply_to": "celery", "correlation_id": "c1"}),
]  # fmt: skip

HEADERS = [
    *(
        Case(f"attempt_{name}", f"`qt-attempt` {value!r}", FAIL, "exhausted",
             headers={"qt-attempt": value},
             everywhere=name == "x")
        for name, value in {"minus": -1, "huge": 10**9, "x": "x", "float": 2.5, "list": [1],
        "table": {"a": 1}}.items()
    ),
    Case("attempt_7", "`qt-attempt` 7, through the exchange: not believed", FAIL, "exhausted",
         headers={"qt-attempt": 7},
         ways=("exchange",)),
    Case("attempt_8",
         "`qt-attempt` 8, straight into a queue: believed, as who may write there serves it",
         FAIL, "exhausted",
         headers={"qt-attempt": 8}, ways=("queue",), attempts=8),
    Case("count", "`x-delivery-count` 99: no return", FAIL, "exhausted",
         headers={"x-delivery-count": 99},
         everywhere=True),
    Case("count_quarantine", "`x-delivery-count` 99, straight into quarantine: no poison", FAIL,
         "exhausted",
         headers={"x-delivery-count": 99}, ways=("quarantine",)),
    Case("types", "every header of ours with a value of the wrong kind", event("types"), HANDLED,
         properties=CLOUD,
         headers={"qt-attempt": None, "qt-type": 7, "qt-first-failed": [], "qt-key": {},
         "qt-id": 1.5},
         ways=("exchange",)),
    Case("x_death", "a forged `x-death`, of wrong shapes", FAIL,
         says="a route that this bus does not use",
         headers=DEATH,
         ways=("exchange",)),
    Case("x_death_here", "the same, straight into a queue", FAIL, "exhausted", headers=DEATH,
         ways=("queue",)),
    Case("many", "100 KB of headers", FAIL, "exhausted",
         headers={f"h{n}": "x" * 1_000 for n in range(100)},
         everywhere=True),
    Case("ours_long", "100 KB in a header of ours", FAIL, "exhausted",
         headers={"qt-first-failed": "x" * 100_000}),
    Case("cc", "`CC` that names another key than the routing key", b"{}", "unknown_here",
         "hears 'hostile.#'",
         headers={"CC": ["hostile.cc"]}, key="elsewhere", ways=("exchange",), given_back=True),
    Case("cc_mistyped", "the same with that key as type", event("cc_mistyped"), "mistyped",
         "routing key",
         properties=CLOUD,
         headers={"CC": ["hostile.cc_mistyped"]}, key="elsewhere", ways=("exchange",)),
    Case("priority", "priority 255, timestamp 2^64-1", event("priority", '{"fail": true}'),
         "exhausted",
         properties={**CLOUD, "priority": 255, "timestamp": 2**64 - 1}),
    Case("timestamp", "plain JSON of the second 2^64-1", says="timestamp", properties={**PLAIN,
         "timestamp": 2**64 - 1}),
    Case("message_id", "plain JSON, a message id with line breaks", says="id is",
         properties={**PLAIN,
         "message_id": "a\nb"}),
]  # fmt: skip

UNREADABLE = [
    Case("bytes_id", "a message id that is no UTF-8", says="cannot be read",
         properties={**PLAIN, "message_id": "QQQQ"},
         mangle=_replaced(b"QQQQ", b"\xff\xfe\xff\xfe"), everywhere=True),
    Case("bytes_ids", "one of 255 such bytes", says="cannot be read",
         properties={**PLAIN, "message_id": "Q" * 255},
         mangle=_replaced(b"Q" * 255, b"\xff" * 255)),
    Case("bytes_type", "a content type that is no UTF-8", says="cannot be read",
         properties={"content_type": "QQQQ"},
         mangle=_replaced(b"QQQQ", b"\xff\xfe\xff\xfe")),
    Case("bytes_header", "a header whose name and value are no UTF-8", b"{}", HANDLED,
         headers={"QQQQ": "RRRR"},
         mangle=lambda p: _replaced(b"QQQQ",
         b"qt-\xff")(_replaced(b"RRRR", b"\xff\xfe\xff\xfe")(p))),
    Case("header_time", "a header with a time of 64 bits", says="cannot be read",
         ways=("exchange",),
         mangle=_with_table(b"\x01tT" + b"\xff" * 8), everywhere=True),
    Case("header_nested", "headers nested 5,000 deep", says="cannot be read", ways=("exchange",),
         mangle=_with_table(_nested(5_000)), everywhere=True),
    Case("header_800", "headers nested 800 deep", b"{}", HANDLED, properties={}, ways=("exchange",),
         mangle=_with_table(_nested(800)), everywhere=True),
    Case("key_bytes", "a routing key that is no UTF-8", says="is no UTF-8", key=b"hostile.\xff",
         ways=("exchange",),
         everywhere=True),
    Case("key_surrogate", "one with a lone surrogate", says="is no UTF-8",
         key=b"hostile.\xed\xa0\x80",
         ways=("exchange",)),
    Case("key_control", "one with control characters", says="is no event type",
         key="hostile.\x00\n",
         ways=("exchange",)),
    Case("key_empty_word", "one with an empty word", says="is no event type", key="hostile..x",
         ways=("exchange",)),
]  # fmt: skip

CASES = [*BODIES, *NUMBERS_AND_SHAPES, *ENCODINGS, *CELERYS, *HEADERS, *UNREADABLE]


def table() -> str:
    """Return a Markdown table of all messages and their outcomes."""
    return "\n".join(["| sent | ends as | which says |", "|---|---|---|", *map(_row, CASES)])


def _row(case: Case) -> str:
    outcome = {
        HANDLED: "handled",
        "exhausted": f"handled, and made to fail; attempt {case.attempts}",
    }.get(case.outcome, f"dead letter `{case.outcome}`")
    outcome += ", given back to other releases before" * case.given_back
    return f"| {case.sent} | {outcome} | {case.says and f'“{case.says}”'} |"
