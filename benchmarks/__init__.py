"""Measure qt_events beside its peers and the ceiling, in one run: `make bench`.

docs/performance.md shows the last published run.

__main__.py   the command

case.py       a row before it is measured, and its targets
cases/        all cases
rounds.py     interleaved rounds of one case
session.py    all cases, with progress and Ctrl-C

rig.py        one RabbitMQ, and contenders in their own processes
interpreter.py   those processes
worker.py     a contender's worker
tally.py      a count of handled events, shared between processes
proc.py       memory and CPU of a process
flower.py     Flower beside a worker
runs.py       runs that need more than one process that publishes or consumes
search.py     a search for the highest rate
starts.py     cost of imports, and memory before anything happens

act.py        entry point of a contender's process
peers/        the contenders
trade.py      the payload that all contenders carry
pace.py       ways to drive a publisher
opcodes.py    a count of executed bytecodes

row.py        a measured row: samples, medians, ratios
record.py     all rows of one run, as JSON
words.py      figures and targets as text
table.py      the table, for a terminal and for a page
chart.py      the chart
page.py       docs/performance.md

dead_letters.py   the commands on many dead letters; run it by itself
"""
