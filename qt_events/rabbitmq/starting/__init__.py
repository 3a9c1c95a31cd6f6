"""Starting: new subscriptions that begin with events of the past, over RabbitMQ. See docs/adr/042.

requests.py   StartRequest, and the marks among old events
newcomers.py  the start is decided where a subscription first comes to stand
progress.py   how far a recorder has come with one
line.py       the one connection by which it serves them all
feeding.py    one start: from the history into the queue of old events
feeder.py     the thread that takes requests
"""
