"""Ensemble Manager: scores signals by the best model."""

from collections.abc import Iterable

from qt_events import EventBus, ModelPromoted, ModelPromotedEvent
from workers.events import Signal, SignalsGeneratedEvent, SignalsScoredEvent, with_fixed_id
from workers.store import Store
from workers.system.analysts.clm import forecasts_rise
from workers.system.announcements import Announcements, KnownAnnouncements

#: Factor for the confidence of a signal when the model forecasts a fall.
DISAGREEMENT_FACTOR = 0.85


class EnsembleManager:
    """Answers `signals.generated` with `signals.scored`, by the models that were promoted."""

    publishes = (SignalsScoredEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus = bus
        self.models = KnownAnnouncements(Announcements(store.documents, ModelPromotedEvent))
        self._market = store.market
        bus.subscribe(
            ModelPromotedEvent,
            self.on_model_promoted,
            name="ensemble_manager.on_model_promoted",
            broadcast=True,
        )
        bus.subscribe(
            SignalsGeneratedEvent,
            self.on_signals_generated,
            name="ensemble_manager.on_signals_generated",
        )

    async def on_model_promoted(self, event: ModelPromotedEvent) -> None:
        self.models.remember(event)

    async def on_signals_generated(self, event: SignalsGeneratedEvent) -> None:
        step = event.payload
        history = await self._market.at(step.day)
        if history is None:
            return
        model = best((await self.models.of_step(step.rests_on)).values())
        rises = forecasts_rise(model, history)
        scored = SignalsScoredEvent.create(
            day=step.day,
            rests_on=step.rests_on,
            signals=[signal if rises else discounted(signal) for signal in step.signals],
            model=f"{model.model_name} {model.new_version}",
        )
        await self.bus.publish(with_fixed_id(scored, step.day))


def best(models: Iterable[ModelPromoted]) -> ModelPromoted:
    """Return the model with the highest hit rate; of equals, the last by name."""
    return max(models, key=lambda model: (model.metrics["hit_rate"], model.model_name))


def discounted(signal: Signal) -> Signal:
    """Return a signal with less confidence, because the model forecasts a fall."""
    confidence = {
        symbol: round(share * DISAGREEMENT_FACTOR, 4) for symbol, share in signal.confidence.items()
    }
    return Signal(strategy_id=signal.strategy_id, confidence=confidence)
