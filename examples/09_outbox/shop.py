"""A FastAPI app that takes an order: its row and its event are committed together, or not at all.

    pip install 'qt-events[outbox]' fastapi aiosqlite uvicorn
    uvicorn shop:app                                  # from this folder
    curl -X POST localhost:8000/orders/A-1

SHOP_BUS names the bus, in memory if it is not set: SHOP_BUS=amqp://guest:guest@localhost:5672//
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from qt_events import Event, Payload, create_event_bus
from qt_events.outbox import Outbox, begin_immediately


class OrderPlaced(Payload):
    order: str


class OrderPlacedEvent(Event[OrderPlaced], type="order.placed"): ...


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)


engine = begin_immediately(create_async_engine("sqlite+aiosqlite:///shop.db"))
outbox = Outbox(engine)
bus = create_event_bus(os.environ.get("SHOP_BUS", "memory://"))
packed: list[str] = []


async def pack(event: OrderPlacedEvent) -> None:
    packed.append(event.payload.order)


bus.subscribe(OrderPlacedEvent, pack, name="shop.packing")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with bus, outbox.relay(bus) as relay:
        yield
        # For this example; an order that is not sent yet would be sent at the next start.
        await relay.emptied()
        await bus.join()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order}", status_code=201)
async def place(order: str) -> None:
    try:
        async with AsyncSession(engine) as session, session.begin():
            session.add(Order(id=order))
            outbox.add(session, OrderPlacedEvent.create(order=order))
    except IntegrityError:
        # Neither a second row nor a second event.
        raise HTTPException(409, f"there is an order {order} already") from None


@app.get("/packed")
async def list_packed() -> list[str]:
    return packed
