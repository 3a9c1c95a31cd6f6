"""Causes: what is published while an event is handled names it, and goes on with its story."""

from qt_events.events.current import correlated, current_event, handled
from qt_events.events.event import Event


def test_an_event_made_in_a_handler_is_caused_by_the_handled_one() -> None:
    """New events inherit its correlation id and name it as their cause."""
    story = Event("a.b", correlation_id="story")
    context = handled(story)
    assert current_event() is None
    assert context.run(current_event) is story
    child = context.run(correlated, Event("c.d"))
    assert (child.correlation_id, child.causation_id) == ("story", story.id)


def test_an_event_that_names_its_cause_is_left_alone() -> None:
    """Explicit correlation or causation ids are kept."""
    context = handled(Event("a.b"))
    explicit = Event("c.d", correlation_id="mine")
    assert context.run(correlated, explicit) is explicit
    assert correlated(explicit) is explicit


def test_an_event_does_not_cause_itself() -> None:
    """Published again by its own handler, an event stays as it is."""
    event = Event("a.b")
    assert handled(event).run(correlated, event) is event
