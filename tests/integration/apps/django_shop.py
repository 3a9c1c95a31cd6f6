"""Program of a Django site that takes orders in a transaction, with an outbox."""

import sys
from contextlib import suppress
from typing import Any

import django
from django.conf import settings
from django.db import connection, transaction
from sqlalchemy import make_url

from qt_events import Event
from qt_events.outbox import NoTransactionError, Outbox, WrongEngineError

URL, OTHER = make_url(sys.argv[1]), sys.argv[2]
_ENGINE = "sqlite3" if URL.get_backend_name() == "sqlite" else "postgresql"
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": f"django.db.backends.{_ENGINE}",
            "HOST": URL.host,
            "PORT": URL.port,
            "USER": URL.username,
            "PASSWORD": URL.password,
            "NAME": URL.database,
            "OPTIONS": {"transaction_mode": "IMMEDIATE"} if _ENGINE == "sqlite3" else {},
        }
    }
)
django.setup()


class Stop(Exception):
    """Ends a transaction in the middle."""


def place(outbox: Outbox, order: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s)", [order])
    event: Event[Any] = Event("order.placed", None, {"order": order}, id=order)
    outbox.add(connection, event)


def stop() -> None:
    raise Stop


def main() -> None:
    outbox = Outbox(sys.argv[1])
    with transaction.atomic():
        place(outbox, "1")
        with suppress(Stop), transaction.atomic():
            place(outbox, "2")
            stop()
        with transaction.atomic():
            place(outbox, "3")
    with suppress(Stop), transaction.atomic():
        place(outbox, "4")
        stop()
    event: Event[Any] = Event("order.placed", None, {})
    try:
        outbox.add(connection, event)
    except NoTransactionError as error:
        sys.stdout.write(f"{error}\n")
    try:
        with transaction.atomic():
            Outbox(OTHER).add(connection, event)
    except WrongEngineError as error:
        sys.stdout.write(f"{error}\n")


if __name__ == "__main__":
    main()
