"""Options that several commands share."""

from typing import Annotated

import typer

App = Annotated[
    str, typer.Option("--app", "-A", envvar="QT_APP", metavar="MODULE", help="The module with the Celery app.")
]
More = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- OPTION...]", help="More options of Celery's command of this name, after a --.", show_default=False
    ),
]
