"""Help texts of options, without an import: `qt-events --help` must not wait for Celery."""

#: Of the option `--subscriptions`.
HELP = (
    "Serve only these: patterns with commas between them, such as 'orchestrator.*,risk_guard'; may "
    "be given several times. *, ? and [...] are as in file names; a pattern fits a name, or a name "
    "up to one of its dots: risk_guard is all of risk_guard.*. Default: QT_SUBSCRIPTIONS, or all. "
    "The rest keep collecting for other workers. This option does not affect the app's own Celery "
    "tasks: use -Q and -X for those."
)
