"""Replay: a market, day by day, through the trading system.

feed.py       the market feed, which sets the pace
replay.py     all days, and their result
figures.py    each component's figures, read from the database
live.py       progress while it runs
"""
