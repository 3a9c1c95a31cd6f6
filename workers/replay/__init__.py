"""Replay: a market, day by day, through the trading system.

feed.py       the market feed, which sets the pace
hearers.py    a wait until all that it says is heard
replay.py     all days, and their result
rerun.py      the same components once more, fed by a history
done_days.py  results of days that are over, for a feed that goes on
figures.py    each component's figures, read from the database
journey.py    one event and all that followed from it
equity.py     the equity as a chart, in the terminal or as a picture
report.py     the summary at the end
live.py       progress while it runs
"""
