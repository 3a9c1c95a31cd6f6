"""PolicyStore: the current risk mode and the earlier ones."""

from datetime import UTC, date, datetime

import sqlalchemy as sa

from qt_events import RiskMode
from workers.store.database import Database
from workers.store.tables import policies

_SET = sa.text(
    "INSERT INTO policies (since, risk_mode) VALUES (:since, :risk_mode) "
    "ON CONFLICT (since) DO UPDATE SET risk_mode = excluded.risk_mode"
).bindparams(sa.bindparam("since", type_=sa.Date))
_ALL = sa.select(policies.c.since, policies.c.risk_mode).order_by(policies.c.since)
_NEWEST = sa.select(policies.c.risk_mode).order_by(policies.c.since.desc()).limit(1)


class PolicyStore:
    """Risk modes, written by MSC AI and read by processes that start later."""

    def __init__(self, database: Database | str) -> None:
        self._database = database if isinstance(database, Database) else Database(database)

    async def set_risk_mode(self, risk_mode: RiskMode, since: date | None = None) -> None:
        """Set the risk mode from a trading day on, by default today. A day keeps its last one."""
        row = {"since": since or datetime.now(UTC).date(), "risk_mode": RiskMode(risk_mode).value}
        await self._database.write(lambda connection: connection.execute(_SET, row))

    async def risk_mode(self) -> RiskMode | None:
        """Return the newest risk mode; None before the first."""
        found = await self._database.read(lambda connection: connection.execute(_NEWEST).scalar())
        return RiskMode(found) if found else None

    async def history(self) -> list[tuple[date, RiskMode]]:
        """Return all risk modes with their first days, oldest first."""
        rows = await self._database.read(lambda connection: connection.execute(_ALL).all())
        return [(since, RiskMode(mode)) for since, mode in rows]
