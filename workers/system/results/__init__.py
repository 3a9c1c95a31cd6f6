"""Results: from the trades to the day's result, in this order.

performance_tracker.py    equity and drawdown
health_monitor.py         health of the system, which ends the day
"""
