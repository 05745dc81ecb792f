"""What a service's workers have been given and have not committed, told in a way that fits the bus."""

from __future__ import annotations

import time
from typing import Any

import redis

from sagashop import keys
from sagashop.rabbit.events import CHANNEL
from sagashop.streams import tail
from tests.chaos.shop import ShopUnderTest

HEARTBEAT_S = 2
"""For a worker beside the stack's on RabbitMQ, which takes its work away when it misses two of these."""
LOOK_AGAIN_S = 0.3


class Waiting:
    """The commands of one service, while the service is at work."""

    def __init__(self, shop: ShopUnderTest, ledger: redis.Redis, service: str) -> None:
        self._ledger, self._service, self.bus = ledger, service, shop.bus
        self._taken_over = self._returned()
        self._since = tail.last_id(
            ledger, keys.outgoing("orders")
        )  # what other tests have lost is not to be waited for

    def held_by(self, consumer: str) -> bool:
        """Whether this worker, which stands still, holds commands that it has not committed.

        RabbitMQ does not tell who holds what; but what nobody commits while the others work on is in its hands.
        """
        if self.bus == "redis":
            stream = keys.stream(f"{self._service}.commands")
            held: Any = self._ledger.xpending_range(stream, self._service, "-", "+", 10, consumername=consumer)
            return bool(held)
        time.sleep(LOOK_AGAIN_S)
        before = self._uncommitted()
        time.sleep(LOOK_AGAIN_S)
        return bool(before & self._uncommitted())

    def _uncommitted(self) -> set[str]:
        """Commands that were told, and that no worker's fence knows."""
        told: Any = self._ledger.xrange(keys.outgoing("orders"), min=f"({self._since}")
        ids = [f"orders.out/{entry}" for entry, fields in told if fields[CHANNEL] == f"{self._service}.commands"]
        pipe = self._ledger.pipeline(transaction=False)
        for each in ids:
            pipe.zscore(keys.fence(self._service), each)
        return {each for each, score in zip(ids, pipe.execute(), strict=True) if score is None}

    def is_served_by(self, consumer: str, log: str) -> bool:
        """Whether this worker has come so far as to get commands."""
        return "worker.started" in log and (self.bus == "redis" or f'"{consumer} inbox","event":"rabbitmq.conn' in log)

    def taken_over(self, log_of_others: str) -> bool:
        """Whether another worker has had what was held, since this was made."""
        if self.bus == "rabbitmq":
            return bool(self._returned() - self._taken_over)
        return '"event":"entry.taken_over"' in log_of_others

    def _returned(self) -> set[str]:
        """On RabbitMQ: what came back from a worker, as the next one has counted it."""
        counted: Any = self._ledger.hkeys(keys.tries(self._service))
        return set(counted)
