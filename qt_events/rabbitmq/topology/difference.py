"""Difference: in what a queue or exchange on the broker is not what was declared, read from the broker's refusal."""

import re
from dataclasses import dataclass
from typing import Self

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
