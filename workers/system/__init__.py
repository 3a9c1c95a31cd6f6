"""The trading system: a module a component, in the order of a trading day.

analysts/     MSC AI, SG AI, CLM and OppRank: from the day's prices to announcements
planning/     from the announcements to a plan for the day
trading/      from the plan to orders and trades
results/      from the trades to the day's result, which ends the day
listeners/    components that publish nothing

Modules that several of them use:

assembly.py         all components on one bus
announcements.py    the newest policy, stages, models, ranking and health, for every process
books.py            trades of one component, as a portfolio
portfolio.py        cash and positions
trades.py           from `trade.executed` to a row of the books
"""
