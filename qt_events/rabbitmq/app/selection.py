"""Selection: the subscriptions of a bus that one worker serves."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.runtime import Runtime


class Selection:
    """Subscriptions that fit one of the patterns of `patterns_from`; all if there is no pattern.

    A worker that serves a part still declares every shared subscription, so that what it publishes
    is kept for the workers that serve the rest. A broadcast that it does not serve has no queue of
    this process: nobody would read it.
    """

    def __init__(self, runtime: Runtime, patterns: Sequence[str] = ()) -> None:
        self._runtime, self._patterns = runtime, patterns

    def takes(self, name: str) -> bool:
        """Return True if the worker serves the subscription of this name."""
        return not self._patterns or any(fits(pattern, name) for pattern in self._patterns)

    def __iter__(self) -> Iterator[Subscription]:
        return (each for each in self._runtime.subscriptions if self.takes(each.name))

    def leave_others(self) -> None:
        """Have the worker consume from no queue of the others."""
        for subscription in self._others():
            self.leave(subscription)

    def leave(self, subscription: Subscription) -> None:
        """Have the worker consume from none of the subscription's queues."""
        for queue in self._runtime.declarations.queues(subscription):
            self._runtime.app.amqp.queues.deselect(queue.name)
        if subscription.broadcast:
            self._runtime.declarations.drop(subscription)

    def _others(self) -> list[Subscription]:
        return [each for each in self._runtime.subscriptions if not self.takes(each.name)]


def fits(pattern: str, name: str) -> bool:
    """Return True if the pattern fits the name, or the name up to one of its dots.

    So `risk_guard` fits `risk_guard.on_fill`. `*`, `?` and `[...]` mean what they mean in file
    names, but `*` fits dots too. Upper and lower case differ.
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def patterns_from(texts: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the patterns in texts with commas between them.

    Raises:
        InvalidOptionError: one of them fits none of the names, or a text holds no pattern at all.
    """
    known, patterns = sorted(names), []
    for text in texts:
        within = text.replace(",", " ").split()
        if not within:
            message = f"{text!r} names no subscription: leave the option out to serve all of them"
            raise InvalidOptionError(message)
        patterns += within
    for pattern in patterns:
        if not any(fits(pattern, name) for name in known):
            raise InvalidOptionError(_nothing_fits(pattern, known))
    return tuple(patterns)


def _nothing_fits(pattern: str, names: Sequence[str]) -> str:
    if not names:
        return (
            f"{pattern!r} fits nothing: the app has no subscriptions; they have to be made when it "
            "is imported"
        )
    components = {name.partition(".")[0] for name in names}
    meant = get_close_matches(pattern.rstrip(".*"), sorted({*names, *components}), n=1)
    guess = f" Did you mean {meant[0]!r}?" if meant else ""
    return f"{pattern!r} fits no subscription.{guess} There are: {', '.join(names)}"
