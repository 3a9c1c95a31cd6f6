"""Commands of `qt-events` in forked processes, for tests whose subject is not the start of one."""

import os
import sys
from contextlib import closing
from typing import NamedTuple

from tests.support.fleet.forks import ForkingKeeper, fork_server

_PATIENCE = 200.0  # seconds for a command
# Standard error goes to a file of its own.
_PROGRAM = """
import os, sys
os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT), 2)
sys.argv[0] = "qt-events"
from qt_events.cli import main
main()
"""


class Ended(NamedTuple):
    """Result of a command."""

    status: int
    out: str
    err: str


def run_command(*arguments: str, **environment: str) -> Ended:
    """Run `qt-events` with these arguments, and variables beside those of this process."""
    for module in ("qt_events.cli.dead_letters", "qt_events.cli.topology"):
        fork_server().preload(module)
    with closing(ForkingKeeper("qt-events-command-")) as keeper:
        command = [sys.executable, "-c", _PROGRAM, *arguments]
        process = keeper.spawn("command", command, {**os.environ, **environment})
        status = process.wait(_PATIENCE)
        out, err = (keeper.folder / name for name in ("command.out", "err"))
        return Ended(status, out.read_text(), err.read_text())
