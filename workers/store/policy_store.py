"""PolicyStore: the risk mode in force, and those before it."""

from datetime import UTC, date, datetime

import sqlalchemy as sa

from qt_events import RiskMode
from workers.store.database import Database
from workers.store.tables import policies


class PolicyStore:
    """MSC AI writes it; whoever starts later reads it."""

    def __init__(self, database: Database | str) -> None:
        self._database = database if isinstance(database, Database) else Database(database)

    async def set_risk_mode(self, risk_mode: RiskMode, since: date | None = None) -> None:
        """In force from a trading day on, by default today; another one for the same day replaces it."""
        day = since or datetime.now(UTC).date()
        insert = self._database.insert(policies).values(since=day, risk_mode=RiskMode(risk_mode).value)
        upsert = insert.on_conflict_do_update(index_elements=["since"], set_={"risk_mode": insert.excluded.risk_mode})
        await self._database.write(lambda connection: connection.execute(upsert))

    async def risk_mode(self) -> RiskMode | None:
        """The newest; None before the first."""
        query = sa.select(policies.c.risk_mode).order_by(policies.c.since.desc()).limit(1)
        found = await self._database.read(lambda connection: connection.execute(query).scalar())
        return RiskMode(found) if found else None

    async def history(self) -> list[tuple[date, RiskMode]]:
        """All, oldest first, each with its first day."""
        query = sa.select(policies.c.since, policies.c.risk_mode).order_by(policies.c.since)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [(since, RiskMode(mode)) for since, mode in rows]
