"""Connection: from a URL to a connection with RabbitMQ. Nothing here knows of events.

amqp_urls.py       URLs as RabbitMQ spells them, several for the nodes of a cluster
urls.py            a URL split, or refused without showing it
tls.py             certificates, and advice for a refusal
connections.py     connecting to the first host that answers, and the errors that end a connection
broker_version.py  RabbitMQ's version, and what it does otherwise than others
defaults.py        settings of connections where an app has none
outage.py          when to say that there is no connection, and how long there was none
refusals.py        refusals of the broker, in words
forking.py         things that a forked child makes anew
"""
