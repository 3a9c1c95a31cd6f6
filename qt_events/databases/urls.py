"""URLs of databases: checked, and never repeated in an error."""

import sqlalchemy as sa

from qt_events.errors import InvalidUrlError

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
#: Secrets that libpq takes in the query of a URL.
SECRETS = ("password", "sslpassword")


class DatabaseUrls:
    """URLs of the databases of one room; `name` is also the extra that brings the driver."""

    def __init__(self, name: str, file: str, error: type[InvalidUrlError], hint: str = "") -> None:
        self.name, self._error, self._hint = name, error, hint
        self._examples = f"sqlite:///{file} or postgresql://user:password@host:5432/name"

    def checked_url(self, url: str) -> sa.URL:
        """Return the URL of a database. Raise the room's error, which never repeats it."""
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise self._error(f"this is no database URL: write {self._examples}") from None
        # Part of a password: the text up to the first @ was taken for all of it.
        if "@" in (parsed.host or ""):
            raise self._error(
                f"an @ in a user's name or password is written %40: write {self._examples}"
            )
        driver = _DRIVERS.get(parsed.drivername)
        if driver is None:
            raise self._error(
                f"no {self.name} is kept in {parsed.drivername!r:.80}: write {self._examples}"
            )
        if driver == "sqlite" and parsed.database in {None, "", ":memory:"}:
            raise self._error(f"name a file, such as {self._examples}{self._hint}")
        if driver != "sqlite":
            self._must_have_psycopg()
        return parsed.set(drivername=driver)

    def _must_have_psycopg(self) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415
        except ImportError:
            raise self._error(
                f"PostgreSQL needs its driver: pip install 'qt-events[{self.name}]'"
            ) from None


def shown(url: sa.URL) -> str:
    """Return the URL without its secrets."""
    return url.difference_update_query(SECRETS).render_as_string(hide_password=True)
