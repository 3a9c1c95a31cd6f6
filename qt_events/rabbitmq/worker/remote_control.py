"""Celery's remote control on a worker that serves a bus: what its pool cannot do is answered by name.

Celery asks the pool all the same, and what comes of it is an AttributeError, or an `ok` for nothing.
"""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, NamedTuple

from celery.worker.control import Panel, nok, ok

from qt_events.rabbitmq.pools.names import POOLS, pool_name
from qt_events.rabbitmq.runtime import runtime_of

logger = logging.getLogger("qt_events")

Command = Callable[..., Any]
Arguments = Mapping[str, Any]


def _no_mistake(_: Any, __: Arguments) -> str:
    return ""


def _as_it_is(answer: Any, _: Arguments) -> Any:
    return answer


class Rule(NamedTuple):
    """What becomes of one command: where nothing is said, what Celery's documentation says."""

    command: str
    note: str = ""  #: what it does where it is not refused, if that is more than Celery's
    refused: Mapping[str, str] = MappingProxyType({})  #: pool -> why
    mistake: Callable[[Any, Arguments], str] = (
        _no_mistake  #: why these arguments cannot be meant; empty if they can
    )
    answer: Callable[[Any, Arguments], Any] = _as_it_is  #: what is said for Celery's own answer


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
    "threads": "Celery's pool of threads keeps its size: start another worker, or this one again with another -c",
    "solo": "solo handles one event at a time: start another worker, or choose another pool",
}

#: The commands of Celery that a bus knows of, in the order of the documentation.
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
    ),
    Rule("cancel_consumer", "the events wait in the queue", mistake=_no_such_queue),
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
        _but_on_prefork(
            "there are no processes to restart: restart the worker, events wait in their queues"
        ),
    ),
    Rule(
        "time_limit",
        "for what is received from then on",
        _but_on_prefork(
            "a handler here cannot be ended: time limits work on prefork (-P processes)"
        ),
    ),
    Rule(
        "rate_limit",
        "events a second, minute or hour of one subscription, retries too, in this worker",
    ),
    Rule(
        "revoke",
        "what has not begun becomes a dead letter, `revoked`; what runs goes on, with terminate too",
        answer=_goes_on,
    ),
    Rule(
        "revoke_by_stamped_headers",
        refused=dict.fromkeys(POOLS, "events carry no stamped headers: revoke by id"),
    ),
    Rule(
        "election",
        refused=dict.fromkeys(POOLS, "workers of a bus hold no elections: they do not gossip"),
    ),
    Rule("shutdown", "finishes what it holds"),
)


def guard() -> None:
    """Have the commands answer by these rules; for apps without a bus nothing changes."""
    for rule in RULES:
        Panel.data[rule.command] = _guarded(rule, Panel.data[rule.command])


def _guarded(rule: Rule, command: Command) -> Command:
    @wraps(command)
    def guarded(state: Any, **arguments: Any) -> Any:
        if not _served(state):
            return command(state, **arguments)
        pool = pool_name(type(state.consumer.pool))
        why = rule.refused.get(pool) or rule.mistake(state, arguments)
        return (
            _refusal(rule, pool, why)
            if why
            else rule.answer(command(state, **arguments), arguments)
        )

    return guarded


def _served(state: Any) -> bool:
    return runtime_of(state.app) is not None


def _refusal(rule: Rule, pool: str, why: str) -> Any:
    logger.warning("remote control: %s on %s: %s", rule.command, pool, why)
    return nok(f"{rule.command} on {pool}: {why}")


def table() -> str:
    """Which command works on which pool, in Markdown."""
    head = ["| command | " + " | ".join(POOLS) + " | |", "|---" * (len(POOLS) + 2) + "|"]
    return "\n".join([*head, *map(_row, RULES)])


def _row(rule: Rule) -> str:
    marks = ["refused" if pool in rule.refused else "yes" for pool in POOLS]
    texts = [rule.note, *_reasons(rule.refused)]
    return f"| `{rule.command}` | {' | '.join(marks)} | {'; '.join(filter(None, texts))} |"


def _reasons(refused: Mapping[str, str]) -> list[str]:
    """Each with its pools, unless it is the only one."""
    pools = {
        why: ", ".join(pool for pool in refused if refused[pool] == why) for why in refused.values()
    }
    return [
        f"refused on {where}: {why}" if len(pools) > 1 else f"refused: {why}"
        for why, where in pools.items()
    ]
