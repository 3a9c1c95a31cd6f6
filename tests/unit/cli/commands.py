"""Commands of `qt-events`, and the environment variables that they read."""

from collections.abc import Callable

COMMANDS = {
    "dead-letters": "qt_events.cli.dead_letters:dead_letters",
    "flower": "qt_events.cli.flower:flower",
    "history": "qt_events.cli.history:history",
    "replay": "qt_events.cli.replay:replay",
    "rerun": "qt_events.cli.rerun:rerun",
    "topology": "qt_events.cli.topology:topology",
    "worker": "qt_events.cli.worker:worker",
}
VARIABLES = (
    "QT_APP", "QT_BROKER_URL", "QT_PREFIX", "QT_MANAGEMENT_URL", "QT_LOG_FORMAT", "FLOWER_PORT",
    "FLOWER_ADDRESS", "FLOWER_BASIC_AUTH", "FLOWER_BROKER_API", "QT_HISTORY", "QT_OUTBOX",
)  # fmt: skip

Command = Callable[..., int]
