"""Fleet: Quantum Trader as many processes.

app.py            the Celery app: `celery -A workers worker`
launcher.py       `fleet`: RabbitMQ, workers, a recorder, the feed and Flower on this machine
history.py        where the fleet's history is kept
postgres.py       PrivatePostgres: a PostgreSQL server of one's own
commands.py       commands that a fleet runs
processes.py      child processes
health.py         the file by which a container knows that its worker lives
feed_output.py    lines that the feed prints
gauges.py         state of workers and queues
display.py        the table on the terminal
"""
