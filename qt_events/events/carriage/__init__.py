"""Carriage: how JSON carries a payload, so that what was made is what arrives.

carriage.py         what is known of a class once it is made
proof.py            what a field's schema says of that
tightening.py       what pydantic lets through and JSON does not
round_trip.py       a payload written and read, where the class proves nothing
difference.py       the first place where two values differ
"""
