"""How fast qt_events is, beside its peers and the ceiling, in one run: `make bench`. See docs/performance.md.

__main__.py   the command
cases.py      what is measured, of whom, and what should come of it
rounds.py     interleaved rounds, medians, ratios
rig.py        one RabbitMQ, contenders in processes of their own
runs.py       runs that are more than one process that publishes or consumes
starts.py     imports, and memory before anything happens
act.py        what a contender does in its process
peers/        the contenders
trade.py      the payload that all carry
pace.py       how publishers are driven
tally.py      what handlers count
report.py     tables and JSON
chart.py      the chart
dead_letters.py   the commands on many dead letters; runs by itself
"""
