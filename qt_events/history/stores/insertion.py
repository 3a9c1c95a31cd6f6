"""Insertion: many rows into one table, each unless it is there, past what makes SQLAlchemy slow."""

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import sqlalchemy as sa

from qt_events.databases.columns import Converted


class Insertion:
    """Statement for one table; `dialect` is the database's own module."""

    def __init__(self, table: sa.Table, names: Sequence[str], dialect: ModuleType) -> None:
        columns = [table.c[each] for each in names]
        # All of it is written in this project.
        self._statement = (
            f"INSERT INTO {table.name} ({', '.join(names)}) {dialect.values(columns)} "
            "ON CONFLICT DO NOTHING"
        )
        self._parameters: Callable[[list[Any]], Any] = dialect.parameters
        self._converters = [_converter(each.type) for each in columns]

    def run(self, connection: sa.Connection, rows: Iterable[Sequence[Any]]) -> int:
        """Insert the rows, and return how many were not there."""
        converted = self._parameters([self._converted(row) for row in rows])
        return connection.exec_driver_sql(self._statement, converted).rowcount

    def _converted(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            value if convert is None or value is None else convert(value)
            for convert, value in zip(self._converters, row, strict=True)
        )


def _converter(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any] | None:
    if isinstance(kind, Converted):
        return kind.write
    # An array has values of one type.
    if isinstance(kind, sa.Float):
        return float
    return memoryview if isinstance(kind, sa.LargeBinary) else None
