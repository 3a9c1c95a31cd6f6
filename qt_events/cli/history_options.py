"""Options that all commands about a history share."""

from typing import Annotated

import typer

from qt_events.errors import InvalidOptionError


def _required(store: str) -> str:
    if not store:
        raise InvalidOptionError(
            "give --store URL (or QT_HISTORY), such as sqlite:///events.db or "
            "postgresql://user:password@host/name"
        )
    return store


StoreUrl = Annotated[
    str,
    typer.Option(
        "--store", envvar="QT_HISTORY", show_envvar=True, metavar="URL", callback=_required,
        help="Database of the history. Use the variable to keep a password out of the process "
        "list. Required.", show_default=False,
    ),
]  # fmt: skip
