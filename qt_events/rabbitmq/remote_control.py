"""Celery's remote control on a worker that serves a bus: what its pool cannot do is answered by name.

Celery asks the pool all the same, and what comes of it is an AttributeError, or an `ok` for nothing.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.worker.control import Panel, nok, ok

from qt_events.rabbitmq.pools import POOLS, pool_name

logger = logging.getLogger("qt_events")

Command = Callable[..., Any]

_NO_LIMIT = "a handler here cannot be ended: time limits work on prefork (-P processes)"
_NOTHING_TO_RESTART = "there are no processes to restart: restart the worker, events wait in their queues"
_NO_AUTOSCALE = "only prefork starts and ends processes as they are needed"
_NO_STAMPS = "events carry no stamped headers: revoke by id"
_NO_GOSSIP = "workers of a bus hold no elections: they do not gossip"

#: Command -> pool -> why it is refused there.
REFUSED: dict[str, dict[str, str]] = {
    "pool_grow": {
        "threads": "Celery's pool of threads keeps its size: start another worker, or this one again with another -c",
        "solo": "solo handles one event at a time: start another worker, or choose another pool",
    },
    "autoscale": dict.fromkeys(("asyncio", "threads", "solo"), _NO_AUTOSCALE),
    "time_limit": {"asyncio": _NO_LIMIT, "threads": _NO_LIMIT, "solo": _NO_LIMIT},
    "pool_restart": dict.fromkeys(("asyncio", "threads", "solo"), _NOTHING_TO_RESTART),
    "revoke_by_stamped_headers": dict.fromkeys(POOLS, _NO_STAMPS),
    "election": dict.fromkeys(POOLS, _NO_GOSSIP),
}
REFUSED["pool_shrink"] = REFUSED["pool_grow"]

#: What those commands do that are not refused, where that is more than Celery's documentation says.
NOTES = {
    "ping": "",
    "active": "arguments are the event's id and type",
    "reserved": "the same",
    "registered": "a subscription is a task of its name",
    "active_queues": "",
    "stats": "asyncio: threads for sync handlers, events held, and each lane's",
    "add_consumer": "queues of subscriptions only; an error names another",
    "cancel_consumer": "the events wait in the queue",
    "pool_grow": "asyncio: threads for sync handlers",
    "pool_shrink": "asyncio: threads for sync handlers",
    "autoscale": "with --autoscale; else an error says that it is not enabled",
    "pool_restart": "with worker_pool_restarts; else an error says that it is not enabled",
    "time_limit": "for what is received from then on",
    "rate_limit": "events a second, minute or hour of one subscription, retries too, in this worker",
    "revoke": "what has not begun becomes a dead letter, `revoked`; what runs goes on, with terminate too",
    "revoke_by_stamped_headers": "",
    "election": "",
    "shutdown": "finishes what it holds",
}


def _served(state: Any) -> bool:
    return getattr(state.app, "qt_events_bus", None) is not None


def _guarded(name: str, command: Command) -> Command:
    @wraps(command)
    def guarded(state: Any, **arguments: Any) -> Any:
        if not _served(state):
            return command(state, **arguments)
        pool = pool_name(type(state.consumer.pool))
        why = REFUSED.get(name, {}).get(pool) or _mistake(name, state, arguments)
        return _refusal(name, pool, why) if why else _answer(name, command(state, **arguments), arguments)

    return guarded


def _refusal(name: str, pool: str, why: str) -> Any:
    logger.warning("remote control: %s on %s: %s", name, pool, why)
    return nok(f"{name} on {pool}: {why}")


def _mistake(name: str, state: Any, arguments: dict[str, Any]) -> str:
    """Why these arguments cannot be meant."""
    queue, app = arguments.get("queue"), state.app
    if name in {"add_consumer", "cancel_consumer"} and queue not in app.amqp.queues and not app.conf.task_queues:
        return f"no subscription of this worker has a queue {queue!r}"
    return ""


def _answer(name: str, answer: Any, arguments: dict[str, Any]) -> Any:
    if name == "revoke" and arguments.get("terminate") and "ok" in answer:
        return ok("flagged as revoked; a handler that runs is not terminated")
    return answer


def table() -> str:
    """Which command works on which pool, in Markdown."""
    head = ["| command | " + " | ".join(POOLS) + " | |", "|---" * (len(POOLS) + 2) + "|"]
    return "\n".join([*head, *(_row(name) for name in NOTES)])


def _row(name: str) -> str:
    refused = REFUSED.get(name, {})
    marks = ["refused" if pool in refused else "yes" for pool in POOLS]
    texts = [NOTES[name], *dict.fromkeys(refused.values())]
    return f"| `{name}` | {' | '.join(marks)} | {'; refused: '.join(filter(None, texts))} |"


def guard() -> None:
    """Have the commands answer so; for apps without a bus nothing changes."""
    for name in (*REFUSED, "add_consumer", "cancel_consumer", "revoke"):
        Panel.data[name] = _guarded(name, Panel.data[name])
