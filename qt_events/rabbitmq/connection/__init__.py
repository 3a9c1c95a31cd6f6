"""Connection: from a URL to a connection with RabbitMQ, before anything of an event is said.

amqp_urls.py     URLs as RabbitMQ spells them, several for the nodes of a cluster
urls.py          a URL split, or refused without showing it
tls.py           certificates, and what a refusal means
connections.py   connecting to the first host that answers, and the errors that end a connection
refusals.py      what the broker says no to, in words
forking.py       what a forked child makes anew
"""
