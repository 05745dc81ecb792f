"""A worker that is stopped and resumed has long been replaced: it must change nothing that its successor has done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import redis

from tests.chaos.beside import beside, settings_of
from tests.chaos.load import Load
from tests.chaos.shop import LocalShop
from tests.chaos.waiting import HEARTBEAT_S, Waiting
from tests.conftest import QUICK
from tests.servers import eventually

AWAY_S = {"redis": float(QUICK["VISIBILITY_S"]) * 2.5, "rabbitmq": HEARTBEAT_S * 3.5}
"""Longer than it takes until the bus gives its work to others."""
PAUSE_S = {"redis": 0.01, "rabbitmq": 1.0}


def stop_at_work(pid: int, waiting: Waiting, consumer: str) -> None:
    """SIGSTOP the worker at a moment when it holds entries that it has not committed."""

    def caught() -> bool:
        os.kill(pid, signal.SIGSTOP)
        held = waiting.held_by(consumer)
        if not held:
            os.kill(pid, signal.SIGCONT)
        return held

    eventually(caught, deadline_s=30, every_s=PAUSE_S[waiting.bus])  # it must get on, too


@pytest.mark.parametrize("service", ["payments", "fulfillment"])
def test_a_worker_stopped_until_it_was_replaced_and_then_resumed_doubles_nothing(
    shop: LocalShop, ledger: redis.Redis, tmp_path: Path, service: str
) -> None:
    name, zombie_name = f"{service}-worker", f"{service}-worker-2"
    load, waiting = Load(shop, orders=600, per_s=60, seed=4), Waiting(shop, ledger, service)
    successors = shop.stack.layout.log(name)
    already = successors.stat().st_size
    rabbitmq = f"{settings_of(shop.stack, name)['RABBITMQ_URL']}?heartbeat={HEARTBEAT_S}"
    with beside(shop.stack, name, tmp_path, WORKER_NAME=zombie_name, RABBITMQ_URL=rabbitmq) as zombie:
        eventually(lambda: waiting.is_served_by(zombie_name, zombie.log), deadline_s=60)
        with load.running():
            for _ in range(2):
                stop_at_work(zombie.pid, waiting, zombie_name)
                try:
                    time.sleep(AWAY_S[shop.bus])
                finally:
                    os.kill(zombie.pid, signal.SIGCONT)
        shop.assert_nothing_lost(load.accepted)
        assert zombie.pid, "it lives"
    assert waiting.taken_over(successors.read_bytes()[already:].decode()), "the successor has taken nothing over"
