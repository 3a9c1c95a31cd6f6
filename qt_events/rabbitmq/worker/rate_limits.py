"""RateLimitedConsumer: rate limits that an operator sets by remote control."""

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.utils.limits import TokenBucket


class RateLimitedConsumer(Consumer):
    """Side of EventConsumer that lets requests go to the pool at their task's rate."""

    def limits_rate(self, request: Any) -> bool:
        """Return True if the task has a rate limit. The request goes to the pool in its turn."""
        bucket = self.task_buckets[request.name]
        if bucket is None:
            return False
        bucket.add((request, 1))
        self._let_go(bucket)
        return True

    def _let_go(self, bucket: TokenBucket) -> None:
        while bucket.contents:
            if not bucket.can_consume():
                self.timer.call_after(bucket.expected_time(), self._let_go, (bucket,))
                return
            request, _tokens = bucket.pop()
            self._hand_over(request)

    def _hand_over(self, request: Any) -> None:
        state.task_reserved(request)
        self.on_task_request(request)

    def cut_off_limited(self, subscription: str, *, quarantined: bool) -> None:
        """Forget what waits for its turn of a queue that delivers it again."""
        bucket = self.task_buckets.get(subscription)
        waiting = tuple(bucket.contents) if bucket is not None else ()
        for entry in waiting:
            if entry[0].envelope.quarantined == quarantined:
                bucket.contents.remove(entry)
                entry[0].cut_off()
                self.pool.redeliveries.abandon(entry[0])

    def reset_rate_limits(self) -> None:
        """Apply the new rate limits to requests that wait for the old ones, too."""
        buckets = [bucket for bucket in self.task_buckets.values() if bucket is not None]
        super().reset_rate_limits()
        for bucket in buckets:
            while bucket.contents:
                request, _tokens = bucket.pop()
                if not self.limits_rate(request):
                    self._hand_over(request)
