"""Relay: takes turns until it is stopped; waits for a database or a broker that is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from qt_events.delivery.forwarding import Forwards
from qt_events.errors import BusStateError
from qt_events.outbox.engines import place_of
from qt_events.outbox.errors import OutboxError, OutboxUnavailableError
from qt_events.outbox.relaying.claiming import Claims, Settled
from qt_events.outbox.relaying.lease import Lease
from qt_events.outbox.relaying.listening import Listening
from qt_events.outbox.relaying.marking import prune
from qt_events.outbox.relaying.sending import Sending
from qt_events.outbox.relaying.slots import Slots
from qt_events.outbox.relaying.waking import Sleeper
from qt_events.outbox.transactions import Transactions
from qt_events.texts import one_line

logger = logging.getLogger("qt_events")

#: Name of a relay's task.
NAME = "qt_events-relay"

#: Seconds after the first failure, and at most; each further one doubles the pause.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
#: Seconds between two prunings, and rows of one.
PRUNE_EVERY, PRUNED = 30.0, 5_000
#: Seconds that the end gives to confirms that are waited for.
GRACE = 5.0
# Seconds beyond a publish's own timeout for which a silent relay keeps its slots.
_PATIENCE = 60.0


class Relay:
    """Sends what is committed to an outbox, in a task of this event loop.

    Made by `Outbox.relay`; see there. Any number may run, in any processes.
    """

    def __init__(
        self,
        engine: sa.Engine | AsyncEngine,
        open_: Callable[[], Awaitable[None]],
        bus: Forwards,
        *,
        poll: float,
        keep: float,
        batch: int,
    ) -> None:
        self._engine, self._open, self._bus = engine, open_, bus
        self._poll, self._keep, self._batch = poll, keep, batch
        #: Events that were sent, and events that were given up.
        self.sent = self.dead = 0
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending = Sending(bus)
        self._is_open, self._outage = False, ""
        self._next_pruning = 0.0
        self._sleeper: Sleeper | None = None
        # Those of emptied().
        self._waiters: list[asyncio.Future[None]] = []

    # Begin and end

    async def __aenter__(self) -> Self:
        """Begin. A database or a broker that is away is waited for."""
        if self._task is not None:
            raise BusStateError("this relay has run already: make another one, outbox.relay(bus)")
        with suppress(OutboxUnavailableError):
            await self._make_tables()
        self._task = asyncio.create_task(self._run(), name=NAME)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """End. Events that are being sent have some seconds; what has no confirm goes again."""
        self.stop()
        assert self._task is not None  # noqa: S101
        done, _ = await asyncio.wait([self._task], timeout=GRACE)
        if not done:
            self._sending.cancel()
        await self._task

    async def _make_tables(self) -> None:
        if not self._is_open:
            await self._open()
            self._is_open = True

    async def run_forever(self) -> None:
        """Relay until `stop`, or until cancelled."""
        async with self:
            await self.stopped()

    async def stopped(self) -> None:
        """Return once `stop` was called."""
        await self._stopping.wait()

    def stop(self) -> None:
        """Begin nothing more. Call it on the relay's event loop."""
        self._sending.stop()
        self._stopping.set()

    async def emptied(self) -> None:
        """Return when a look that begins after this call finds nothing that this relay may send.

        Raises:
            BusStateError: the relay ends before that.
        """
        if self._task is None or self._task.done():
            raise BusStateError("this relay does not run: `async with outbox.relay(bus) as relay:`")
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._sleeper is not None:
            self._sleeper.wake()
        await waiter

    # Turns

    async def _run(self) -> None:
        transactions = Transactions(self._engine)
        sleeper = self._sleeper = Sleeper(place_of(self._engine.url))
        listening = Listening(self._engine, sleeper.wake)
        claims = self._claims(transactions)
        stopping = asyncio.create_task(self._wake_at_end(sleeper))
        failures = 0
        try:
            while not self._stopping.is_set():
                await listening.keep()
                sleeper.is_listening = listening.is_on
                sleeper.begin()
                waiters = tuple(self._waiters)
                found = await self._turn(claims)
                if found is None and not self._outage:
                    self._tell(waiters)
                failures = failures + 1 if self._outage else 0
                if failures:
                    await self._rest(failures)
                    continue
                await self._prune(transactions)
                if found is None:
                    await sleeper.sleep(self._poll)
        finally:
            stopping.cancel()
            ended = BusStateError("the relay ended before everything was sent")
            self._tell(tuple(self._waiters), ended)
            await listening.close()
            with suppress(OutboxError):
                await claims.leave()
            transactions.close()

    def _claims(self, transactions: Transactions) -> Claims:
        if self._engine.dialect.name == "postgresql":
            longest = getattr(self._bus, "publish_timeout", 30.0)
            return Slots(transactions, longest + _PATIENCE)
        return Lease(transactions)

    def _tell(
        self, waiters: Sequence[asyncio.Future[None]], error: Exception | None = None
    ) -> None:
        for waiter in waiters:
            self._waiters.remove(waiter)
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def _wake_at_end(self, sleeper: Sleeper) -> None:
        await self._stopping.wait()
        sleeper.wake()

    async def _turn(self, claims: Claims) -> Settled | None:
        """Take one turn; note an outage, or its end."""
        try:
            await self._make_tables()
            settled = await claims.turn(self._sending.send, self._batch)
        except (OutboxError, OSError) as error:
            self._note(error)
            return None
        except Exception as error:
            # A relay that ends is noticed by nobody.
            if self._outage != type(error).__name__:
                logger.exception("outbox: events wait")
            self._outage = type(error).__name__
            return None
        if settled is not None:
            self.sent += len(settled.sent)
            self.dead += len(settled.dead)
            for sequence, reason in settled.dead:
                logger.error("outbox: event %d is given up: %s", sequence, reason)
        self._note(None if settled is None else settled.error)
        return settled

    def _note(self, error: Exception | None) -> None:
        if error is None:
            if self._outage:
                logger.info("outbox: it works again")
            self._outage = ""
            return
        kind = type(error).__name__
        if self._outage != kind:
            logger.warning("outbox: events wait, trying until it works: %s", one_line(str(error)))
        self._outage = kind

    async def _rest(self, failures: int) -> None:
        """Pause, the longer the more failures there were."""
        pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 16), LONGEST_PAUSE)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()

    async def _prune(self, transactions: Transactions) -> None:
        """Remove old rows, now and then."""
        if monotonic() < self._next_pruning:
            return
        self._next_pruning = monotonic() + PRUNE_EVERY
        try:
            removed = await transactions.run(partial(prune, keep=self._keep, limit=PRUNED))
        except OutboxError as error:
            logger.debug("outbox: nothing was pruned: %s", error)
            return
        if removed == PRUNED:
            self._next_pruning = 0.0
