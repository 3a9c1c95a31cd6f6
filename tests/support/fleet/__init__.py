"""Worker processes that tests start, and the ways in which an operator looks at them.

fleet.py           Fleet: workers of an app in tests/integration/apps
logged_workers.py  LoggedWorkers: workers of logging_app, with stdout and stderr apart
forks.py           ForkingKeeper: programs that are forked, which takes a fifth of the time
fork_server.py     the program that forks them
commands.py        commands of `qt-events`, forked
lent_broker.py     the program `python -m workers fleet` on a broker that is lent
readiness.py       a worker tells that it consumes
serving.py         choice of the subscriptions that an app makes
remote_control.py  RemoteControl: Celery's remote control of one worker; its task events
flower.py          FlowerFleet: workers with Flower on them; Flower: its API
"""
