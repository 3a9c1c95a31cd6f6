"""Trading: from the plan to trades, in this order.

portfolio_balancer.py    orders that lead from the positions held to the positions wanted
rebalancing.py           the calculation behind it
risk_guard.py            orders within the policy
executor.py              trades
"""
