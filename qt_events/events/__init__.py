"""Events: typed, validated, immutable; their types as topics; their form as CloudEvents.

event.py            Event, and the registry from type and version to class
attributes.py       the attributes around a payload: ids, times, and their checks
current.py          the event that is being handled here
payload.py          Payload, an event's own data
places.py           where a class is declared, and what to say if an event has two
declared.py         the payload class that an event class names
validation.py       what is given for a payload, or came for it, becomes an instance
mistakes.py         its wrong fields, in words
carriage/           how JSON carries a payload, so that what was made is what arrives
frozen.py           immutable values that JSON can carry
topics.py           topic patterns, and RoutingIndex for many of them
raw.py              RawEvent: an event as it was on the wire
replays.py          the mark of an event that is sent again
cloudevents.py      an event as CloudEvents JSON, and back
quantum_trader.py   the six events of Quantum Trader
"""
