"""Refusals of the broker, in words: of a queue that differs, of a declaration, of a publish."""

import re
from dataclasses import dataclass
from typing import Self

from amqp import spec
from amqp.exceptions import ChannelError, NotFound

from qt_events.errors import TopologyError

# RabbitMQ 3.10 to 4.x: rabbit_misc:assert_field_equivalence and assert_args_equivalence. It names
# only the first argument that differs.
_REFUSAL = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' "
    r"in vhost '.*?': received (?P<wanted>.+) but current is (?P<present>.+)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '\w+')?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Difference:
    """First argument of a queue or exchange that is not as declared."""

    kind: str  #: queue or exchange
    name: str
    argument: str  #: `type`, `durable`, or an argument such as `x-max-length`
    wanted: str | None  #: the value that was declared, if any
    present: str | None  #: the value on the broker, if any

    @classmethod
    def from_refusal(cls, text: str) -> Self | None:
        """Read a PRECONDITION_FAILED. None for any other refusal."""
        if (found := _REFUSAL.search(text)) is None:
            return None
        return cls(
            found["kind"],
            found["name"],
            found["argument"],
            _value(found["wanted"]),
            _value(found["present"]),
        )

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name!r} exists on the broker with other arguments: {self.argument} "
            f"is {_describe(self.present)} there and should be {_describe(self.wanted)}"
        )


def _value(text: str) -> str | None:
    found = _VALUE.fullmatch(text.strip())
    return found["value"] if found else None


def _describe(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def topology_error(error: ChannelError, about: str) -> TopologyError:
    """Return the broker's refusal in terms of `about`, which was being declared."""
    if (difference := Difference.from_refusal(error.reply_text)) is not None:
        what, advice = str(difference), "drain and delete it there, or use another prefix"
    elif isinstance(error, NotFound):
        what = f"something it needs is missing on the broker: {error.reply_text}"
        advice = "it was deleted just now, or this user may not declare it"
    else:
        what = f"the broker refused its declaration: {error.reply_text}"
        advice = "if it exists with other arguments, drain and delete it, or use another prefix"
    return TopologyError(f"{about}: {what}; {advice}")


def is_about_a_publish(error: BaseException | None) -> bool:
    """Return True if the broker closed a channel over a publish, not over a declaration."""
    return isinstance(error, ChannelError) and error.method_sig == spec.Basic.Publish
