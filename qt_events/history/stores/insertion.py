"""Insertion: many rows into one table, each unless it is there, past what makes SQLAlchemy slow."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from qt_events.history.stores.columns import Converted


class Insertion:
    """Statement for one table; `mark` is the driver's place for a value."""

    def __init__(self, table: sa.Table, names: Sequence[str], mark: str) -> None:
        places = ", ".join([mark] * len(names))
        # All of it is written in this project.
        self._statement = (
            f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places}) "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        self._converters = [_converter(table.c[each].type) for each in names]

    def run(self, connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> int:
        """Insert the rows, and return how many were not there."""
        converted = [self._converted(row) for row in rows]
        return connection.exec_driver_sql(self._statement, converted).rowcount

    def _converted(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            value if convert is None or value is None else convert(value)
            for convert, value in zip(self._converters, row, strict=True)
        )


def _converter(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Converted):
        return kind.write
    return memoryview if isinstance(kind, sa.LargeBinary) else None
