"""Remote control of a worker that serves a bus: a refusal names what its pool cannot do.

Celery alone would ask the pool all the same, and answer with an AttributeError, or with an `ok`
for nothing.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial, wraps
from types import MappingProxyType
from typing import Any, NamedTuple

from celery.worker.consumer.control import Control
from celery.worker.control import Panel, nok, ok

from qt_events.delivery.threads import DaemonThreads
from qt_events.errors import text_of
from qt_events.rabbitmq.app.task_registration import has_plain_tasks
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import POOLS, pool_name
from qt_events.rabbitmq.runtime import runtime_of

logger = logging.getLogger("qt_events")

Command = Callable[..., Any]
Arguments = Mapping[str, Any]


class Rule(NamedTuple):
    """Effect of one command where it differs from Celery's documentation."""

    command: str
    note: str = ""  #: effect where it is not refused
    refused: Mapping[str, str] = MappingProxyType({})  #: pool -> why
    #: Returns why these arguments cannot be meant; empty if they can.
    mistake: Callable[[Any, Arguments], str] = lambda *_: ""
    #: Returns the answer in place of Celery's.
    answer: Callable[[Any, Arguments], Any] = lambda answer, _: answer
    #: It is Celery's own where the app has tasks of its author's, for it may be about those.
    is_for_tasks: bool = False


class AnsweringControl(Control):
    """Celery's step, which answers beside the event loop of the asyncio pool.

    To connect for the first answer, and to declare where it goes, is many round trips.
    """

    name = "celery.worker.consumer.control.Control"

    def __init__(self, c: Any, **kwargs: Any) -> None:
        super().__init__(c, **kwargs)
        if isinstance(c.pool, AsyncioPool):
            self._threads, self._reply = DaemonThreads(1), self.box.node.reply
            self.box.node.reply = partial(self._threads.submit, self._answer)
            self.shutdown = self._end

    def _answer(self, *answer: Any, **route: Any) -> None:
        try:
            self._reply(*answer, **route)
        except Exception as error:  # noqa: BLE001  # whoever asked waits in vain, and is told so
            logger.warning("remote control: a command could not be answered: %s", text_of(error))

    def _end(self, c: Any) -> None:
        self._threads.shutdown(wait=False)
        self.box.shutdown(c)


def _no_such_queue(state: Any, arguments: Arguments) -> str:
    queue, app = arguments.get("queue"), state.app
    if queue not in app.amqp.queues and not app.conf.task_queues:
        return f"no subscription of this worker has a queue {queue!r}"
    return ""


def _goes_on(answer: Any, arguments: Arguments) -> Any:
    if arguments.get("terminate") and "ok" in answer:
        return ok("flagged as revoked; a handler that runs is not terminated")
    return answer


def _but_on_prefork(why: str) -> Mapping[str, str]:
    return {pool: why for pool in POOLS if pool != "prefork"}


_NOTE_ON_SIZE = "asyncio: threads for sync handlers"
_FIXED_SIZE = {
    "threads": (
        "Celery's pool of threads keeps its size: start another worker, or this one again with "
        "another -c"
    ),
    "solo": "solo handles one event at a time: start another worker, or choose another pool",
}
_NO_PROCESSES = "there are no processes to restart: restart the worker, events wait in their queues"
_NO_TIME_LIMIT = "a handler here cannot be ended: time limits work on prefork (-P processes)"
_NO_ELECTIONS = "workers of a bus hold no elections: they do not gossip"
_REVOKED = (
    "what has not begun becomes a dead letter, `revoked`; what runs goes on, with terminate too"
)
_RATE_LIMITED = "events a second, minute or hour of one subscription, retries too, in this worker"

#: Celery's commands that a bus knows of, in the order of the documentation.
RULES = (
    Rule("ping"),
    Rule("active", "arguments are the event's id and type"),
    Rule("reserved", "as `active`"),
    Rule("registered", "a subscription is a task of its name"),
    Rule("active_queues"),
    Rule("stats", "asyncio: threads for sync handlers, events held, and each lane's"),
    Rule(
        "add_consumer",
        "queues of subscriptions only; an error names another",
        mistake=_no_such_queue,
        is_for_tasks=True,
    ),
    Rule(
        "cancel_consumer",
        "the events wait in the queue",
        mistake=_no_such_queue,
        is_for_tasks=True,
    ),
    Rule("pool_grow", _NOTE_ON_SIZE, _FIXED_SIZE),
    Rule("pool_shrink", _NOTE_ON_SIZE, _FIXED_SIZE),
    Rule(
        "autoscale",
        "with --autoscale; else an error says that it is not enabled",
        _but_on_prefork("only prefork starts and ends processes as they are needed"),
    ),
    Rule(
        "pool_restart",
        "with worker_pool_restarts; else an error says that it is not enabled",
        _but_on_prefork(_NO_PROCESSES),
    ),
    Rule("time_limit", "for what is received from then on", _but_on_prefork(_NO_TIME_LIMIT)),
    Rule("rate_limit", _RATE_LIMITED),
    Rule("revoke", _REVOKED, answer=_goes_on, is_for_tasks=True),
    Rule(
        "revoke_by_stamped_headers",
        refused=dict.fromkeys(POOLS, "events carry no stamped headers: revoke by id"),
        is_for_tasks=True,
    ),
    Rule("election", refused=dict.fromkeys(POOLS, _NO_ELECTIONS)),
    Rule("shutdown", "finishes what it holds"),
)


def guard() -> None:
    """Apply these rules to Celery's commands. For apps without a bus nothing changes."""
    for rule in RULES:
        Panel.data[rule.command] = _guarded(rule, Panel.data[rule.command])


def _guarded(rule: Rule, command: Command) -> Command:
    @wraps(command)
    def guarded(state: Any, **arguments: Any) -> Any:
        runtime = runtime_of(state.app)
        if runtime is None or (rule.is_for_tasks and has_plain_tasks(runtime)):
            return command(state, **arguments)
        pool = pool_name(type(state.consumer.pool))
        if why := rule.refused.get(pool) or rule.mistake(state, arguments):
            logger.warning("remote control: %s on %s: %s", rule.command, pool, why)
            return nok(f"{rule.command} on {pool}: {why}")
        return rule.answer(command(state, **arguments), arguments)

    return guarded


def table() -> str:
    """Return a table of commands and pools, in Markdown, for docs/pools.md."""
    head = ["| command | " + " | ".join(POOLS) + " | |", "|---" * (len(POOLS) + 2) + "|"]
    return "\n".join([*head, *map(_row, RULES)])


def _row(rule: Rule) -> str:
    marks = ["refused" if pool in rule.refused else "yes" for pool in POOLS]
    texts = [rule.note, *_reasons(rule.refused)]
    return f"| `{rule.command}` | {' | '.join(marks)} | {'; '.join(filter(None, texts))} |"


def _reasons(refused: Mapping[str, str]) -> list[str]:
    """Return the reasons, each with its pools unless it is the only one."""
    pools = {
        why: ", ".join(pool for pool in refused if refused[pool] == why) for why in refused.values()
    }
    return [
        f"refused on {where}: {why}" if len(pools) > 1 else f"refused: {why}"
        for why, where in pools.items()
    ]
