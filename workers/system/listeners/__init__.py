"""Listeners: components that hear events and publish none.

analytics.py           profits by strategy, model and symbol
metrics_logger.py      a log line and a row for each trade
discord_notifier.py    a message to a webhook when the system's health becomes CRITICAL
event_logger.py        a log line for each promotion and each change of health
"""
