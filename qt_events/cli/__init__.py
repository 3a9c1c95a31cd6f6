"""`qt-events`: the command line.

application.py          commands found by their entry points, and how the program ends
errors.py               an error as one line, and its exit code
worker.py               `worker`
flower.py               `flower`
topology.py             `topology`
topology_moving.py      its command `move`
topology_output.py      its tables, text, JSON and command lines
dead_letters.py         `dead-letters`
dead_letters_filter.py  its options for a part of them
dead_letters_output.py  its tables, text and JSON
history.py              `history`
history_options.py      the option for its database
history_asking.py       its commands `list`, `show`, `trace`, `export`
history_filter.py       their options for a part of the events
history_output.py       their tables, text, JSON and CSV
outbox.py               `outbox`
spool.py                `spool`
replay.py               `replay`
rerun.py                `rerun`
options.py              options that several commands have
progress.py             progress bar
terminal.py             standard output and standard error
"""

from qt_events.cli.application import GROUP, build_app, main

__all__ = ["GROUP", "build_app", "main"]
