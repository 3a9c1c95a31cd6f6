"""How a connection to RabbitMQ comes about: before anything of an event is said.

amqp_urls.py    URLs as RabbitMQ spells them, several for the nodes of a cluster
tls.py          who the other end has to be, and what a refusal means
connections.py  connecting, to the first host that answers, and by what a connection can be lost
frames.py       what comes over one, read ahead
unreadable.py   what py-amqp cannot read ends no worker
"""
