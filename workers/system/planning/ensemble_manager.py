"""Ensemble Manager: keeps the models' versions at work, and has the best of them judge the signals."""

from collections.abc import Iterable

from qt_events import EventBus, ModelPromoted, ModelPromotedEvent
from workers.events import Signal, SignalsGeneratedEvent, SignalsScoredEvent, once
from workers.store import Store
from workers.system.analysts.clm import forecasts_rise
from workers.system.announcements import Announcements, Heard

DOUBT = 0.85  # of a signal's confidence is left when the model forecasts a fall


class EnsembleManager:
    """Answers `signals.generated` with `signals.scored`. A `model.promoted` changes whose judgement that is."""

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus = bus
        self.models = Heard(Announcements(store.documents, ModelPromotedEvent))
        self._market = store.market
        bus.subscribe(ModelPromotedEvent, self.on_model_promoted, broadcast=True)
        bus.subscribe(SignalsGeneratedEvent, self.on_signals_generated)

    async def on_model_promoted(self, event: ModelPromotedEvent) -> None:
        self.models.hear(event)

    async def on_signals_generated(self, event: SignalsGeneratedEvent) -> None:
        step = event.payload
        history = await self._market.at(step.day)
        if history is None:
            return
        model = best((await self.models.at(step.rests_on)).values())
        rises = forecasts_rise(model, history)
        scored = SignalsScoredEvent.create(
            day=step.day,
            rests_on=step.rests_on,
            signals=[signal if rises else doubted(signal) for signal in step.signals],
            model=f"{model.model_name} {model.new_version}",
        )
        await self.bus.publish(once(scored, step.day))


def best(models: Iterable[ModelPromoted]) -> ModelPromoted:
    """The model with the highest hit rate; of equals, the last by name."""
    return max(models, key=lambda model: (model.metrics["hit_rate"], model.model_name))


def doubted(signal: Signal) -> Signal:
    """The signal of a strategy that the model does not agree with."""
    confidence = {symbol: round(share * DOUBT, 4) for symbol, share in signal.confidence.items()}
    return Signal(strategy_id=signal.strategy_id, confidence=confidence)
