"""Messages: a message as plain data, on its way to a handler and beyond.

properties.py   an event as the content of a message, and back
envelope.py     a message as it came, and the headers of the copies that follow from it
survived.py     events that went back while the worker that held them lived on
unacknowledged.py   events with an outcome whose acknowledgement the broker does not hear
"""
