"""Refusals: what the broker says no to, in words: a queue that differs, a declaration, a publish."""

import re
from dataclasses import dataclass
from typing import Self

from amqp import spec
from amqp.exceptions import ChannelError, NotFound

from qt_events.errors import TopologyError

# RabbitMQ 3.10 to 4.x: rabbit_misc:assert_field_equivalence and assert_args_equivalence. It tells the first one only.
_REFUSAL = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' in vhost '.*?': "
    r"received (?P<wanted>.+) but current is (?P<stands>.+)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '\w+')?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that differs."""

    kind: str  #: queue or exchange
    name: str
    argument: str  #: `type`, `durable`, or an argument such as `x-max-length`
    wanted: str | None  #: what was declared; None: nothing
    stands: str | None  #: what is on the broker; None: nothing

    @classmethod
    def from_refusal(cls, text: str) -> Self | None:
        """What a PRECONDITION_FAILED says; None for any other refusal."""
        if (found := _REFUSAL.search(text)) is None:
            return None
        told = found.groupdict()
        return cls(
            told["kind"],
            told["name"],
            told["argument"],
            _value(told["wanted"]),
            _value(told["stands"]),
        )

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name!r} stands on the broker with other arguments: {self.argument} is "
            f"{_shown(self.stands)} there and should be {_shown(self.wanted)}"
        )


def _value(told: str) -> str | None:
    found = _VALUE.fullmatch(told.strip())
    return found["value"] if found else None


def _shown(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def topology_error(error: ChannelError, about: str) -> TopologyError:
    """The broker's refusal, in terms of what was being declared: which queue or exchange, and what differs."""
    if (difference := Difference.from_refusal(error.reply_text)) is not None:
        what, advice = str(difference), "drain and delete it there, or use another prefix"
    elif isinstance(error, NotFound):
        what = f"something it needs is missing on the broker: {error.reply_text}"
        advice = "it was deleted just now, or this user may not declare it"
    else:
        what = f"the broker refused its declaration: {error.reply_text}"
        advice = "if it stands with other arguments, drain and delete it, or use another prefix"
    return TopologyError(f"{about}: {what}; {advice}")


def is_about_a_publish(error: BaseException | None) -> bool:
    """Whether the broker closed a channel over a publish, not over a declaration."""
    return isinstance(error, ChannelError) and error.method_sig == spec.Basic.Publish
