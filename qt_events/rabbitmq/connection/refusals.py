"""Refusals of the broker, in words: of a queue that differs, of a declaration, of a publish."""

import re

from amqp import spec
from amqp.exceptions import AccessRefused, ChannelError, NotFound

from qt_events.errors import TopologyError

# RabbitMQ 3.10 to 4.x: rabbit_misc:assert_field_equivalence and assert_args_equivalence. It names
# only the first argument that differs.
_REFUSAL = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>queue|exchange) '(?P<name>.*)' "
    r"in vhost '.*?': received (?P<wanted>.+) but current is (?P<present>.+)",
    re.DOTALL,
)
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '\w+')?", re.DOTALL)


def difference(text: str) -> str | None:
    """Return a sentence for a PRECONDITION_FAILED. None for any other refusal."""
    if (found := _REFUSAL.search(text)) is None:
        return None
    return (
        f"{found['kind']} {found['name']!r} exists on the broker with other arguments: "
        f"{found['argument']} is {_value(found['present'])} there and should be "
        f"{_value(found['wanted'])}"
    )


def _value(text: str) -> str:
    found = _VALUE.fullmatch(text.strip())
    return repr(found["value"]) if found else "not set"


def topology_error(error: ChannelError, about: str) -> TopologyError:
    """Return the broker's refusal in terms of `about`, which was being declared."""
    if (what := difference(error.reply_text)) is not None:
        advice = "drain and delete it there, or use another prefix"
    elif isinstance(error, NotFound):
        what = f"something it needs is missing on the broker: {error.reply_text}"
        advice = "it was deleted just now, or this user may not declare it"
    elif isinstance(error, AccessRefused):
        what = f"this user may not declare what it needs: {error.reply_text}"
        advice = (
            "run `qt-events topology declare` and `qt-events topology permissions --apply` as an "
            "administrator"
        )
    else:
        what = f"the broker refused its declaration: {error.reply_text}"
        advice = "if it exists with other arguments, drain and delete it, or use another prefix"
    return TopologyError(f"{about}: {what}; {advice}")


def is_about_a_publish(error: BaseException | None) -> bool:
    """Return True if the broker closed a channel over a publish, not over a declaration."""
    return isinstance(error, ChannelError) and error.method_sig == spec.Basic.Publish
