"""Fates in words: "handled by 3 of 4; risk_guard waits for attempt 3 until 12:04:10".

Nothing is guessed: what nobody has told is unknown. Times are UTC. All names are printable.
"""

from collections.abc import Sequence
from datetime import datetime

from qt_events.delivery.telling.fates import Fate, FateOutcome
from qt_events.history.conversations.stories import Story
from qt_events.texts import printable, shortened

UNKNOWN = "no fate was told of it: unknown"
_LONGEST = 300  #: bytes of a name or an exception's text
_TENTH, _MINUTE, _HOUR, _DAY = 0.1, 60, 3600, 86_400
_LONGEST_TIME = 1e9


def summary(stories: Sequence[Story], now: datetime) -> str:
    """Return what became of an event. Only subscriptions that have told something are counted."""
    if not stories:
        return UNKNOWN
    handled = sum(each.is_handled for each in stories)
    others = [each for each in stories if each.last.outcome != FateOutcome.DONE]
    ends = [f"{name(each.subscription)} {state(each, now)}" for each in others]
    return "; ".join([f"handled by {handled} of {len(stories)}", *ends])


def state(story: Story, now: datetime) -> str:
    """Return where an event is with a subscription, as the end of a sentence about it."""
    last = story.last
    at = f"at {moment(last.at, now)}"
    match last.outcome:
        case FateOutcome.DONE:
            text = f"handled it{_number(last)}{_took(last)}"
        case FateOutcome.FILTERED:
            text = "filtered it out"
        case FateOutcome.DEDUPLICATED:
            text = "got it again and had handled it before"
        case FateOutcome.RETRIED | FateOutcome.GIVEN_BACK:
            text = _waits(story, now)
        case FateOutcome.DEAD:
            text = f"made it a dead letter {at}{_why(last)}"
        case FateOutcome.SENT_BACK:
            text = f"had it sent back {at}, and nothing is told since"
        case FateOutcome.DISCARDED:
            text = f"had it discarded as a dead letter {at}"
        case other:
            text = f"says '{name(other)}' {at}"
    return text


def _waits(story: Story, now: datetime) -> str:
    number, until = story.next_attempt or (0, now)
    given_back = story.last.outcome == FateOutcome.GIVEN_BACK
    what = f"another release, then attempt {number}," if given_back else f"attempt {number}"
    if until < now:
        since = f"was due at {moment(until, now)}, and nothing is told since"
        return f"{'gave it back; it' if given_back else f'failed; attempt {number}'} {since}"
    return f"waits for {what} until {moment(until, now)}"


def attempt(fate: Fate, now: datetime) -> str:
    """Return how one attempt ended."""
    text = f"{moment(fate.at, now)}  {name(fate.outcome.replace('_', ' '))}"
    text += _took(fate) + _why(fate)
    if fate.delay is not None:
        text += f"; waits {duration(fate.delay)}"
    return f"{text}; replayed" if fate.replayed else text


def moment(time: datetime, now: datetime) -> str:
    """Return a time as short as it is clear now."""
    return f"{time:%H:%M:%S}" if time.date() == now.date() else f"{time:%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return seconds in the unit that fits."""
    if not 0 <= seconds < _LONGEST_TIME:
        return f"{seconds:g} s"
    if seconds < 1:
        return f"{round(seconds * 1000, 1 if seconds < _TENTH else 0):g} ms"
    if seconds < _MINUTE:
        return f"{round(seconds, 1):g} s"
    whole = int(seconds)
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(whole: int, unit: int, large: str, part: int, small: str) -> str:
    rest = whole % unit // part
    return f"{whole // unit} {large}" + (f" {rest} {small}" if rest else "")


def name(text: str) -> str:
    """Return a text of others, bounded and printable."""
    return printable(shortened(text, _LONGEST))


def _number(fate: Fate) -> str:
    return f" at attempt {fate.attempt}" if fate.attempt > 1 else ""


def _took(fate: Fate) -> str:
    return "" if fate.seconds is None else f" in {duration(fate.seconds)}"


def _why(fate: Fate) -> str:
    why = ": ".join(filter(None, (fate.reason, fate.message)))
    return f" ({name(why)})" if why else ""
