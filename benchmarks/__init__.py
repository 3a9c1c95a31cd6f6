"""How fast qt_events is, beside its peers and the ceiling, in one run: `make bench`. See docs/performance.md.

__main__.py   the command

case.py       a row before it is measured, and its targets
cases/        all of them
rounds.py     interleaved rounds of one case
session.py    all cases, with progress and Ctrl-C

rig.py        one RabbitMQ, contenders in processes of their own
interpreter.py   those processes
worker.py     a contender that handles
tally.py      what its handlers count
proc.py       its memory and CPU
flower.py     Flower beside it
runs.py       runs that are more than one process that publishes or consumes
search.py     the highest rate
starts.py     imports, and memory before anything happens

act.py        what a contender does in its process
peers/        the contenders
trade.py      the payload that all carry
pace.py       how publishers are driven
opcodes.py    how many bytecodes that takes

row.py        a measured row: samples, medians, ratios
record.py     all rows of one run, as JSON
words.py      their figures in words
table.py      for a terminal and for a page
chart.py      the chart
page.py       docs/performance.md

dead_letters.py   the commands on many dead letters; runs by itself
"""
