"""Topology: exchanges, queues and bindings on the broker.

names.py          every name and argument
declare.py        declaring, or checking that something exists
declarations.py   the subscriptions and delay levels that are declared already
queues.py         SubscriptionQueue: the queue names the task
trust.py          the route of a message, and the headers that are believed for it
"""
