"""A worker that is stopped and resumed has long been replaced: it must change nothing that its successor has done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from sagashop import keys
from tests.chaos.beside import beside
from tests.chaos.load import Load
from tests.chaos.shop import LocalShop
from tests.conftest import QUICK
from tests.servers import eventually

VISIBILITY_S = float(QUICK["VISIBILITY_S"])


def stop_at_work(ledger: redis.Redis, pid: int, service: str, consumer: str) -> None:
    """SIGSTOP the worker at a moment when it holds entries that it has not committed."""
    stream = keys.stream(f"{service}.commands")

    def caught() -> bool:
        os.kill(pid, signal.SIGSTOP)
        held: Any = ledger.xpending_range(stream, service, "-", "+", 10, consumername=consumer)
        if not held:
            os.kill(pid, signal.SIGCONT)
        return bool(held)

    eventually(caught, deadline_s=30, every_s=0.01)


@pytest.mark.parametrize("service", ["payments", "fulfillment"])
def test_a_worker_stopped_beyond_the_visibility_time_and_resumed_doubles_nothing(
    shop: LocalShop, ledger: redis.Redis, tmp_path: Path, service: str
) -> None:
    name = f"{service}-worker"
    load = Load(shop, orders=600, per_s=60, seed=4)
    with beside(shop.stack, name, tmp_path, WORKER_NAME=f"{name}-2") as successor:
        eventually(lambda: successor.logged("worker.started"), deadline_s=30)
        pid = shop.stack.pid(name)
        with load.running():
            for _ in range(2):
                stop_at_work(ledger, pid, service, f"{name}-1")
                try:
                    time.sleep(VISIBILITY_S * 2.5)
                finally:
                    os.kill(pid, signal.SIGCONT)
        shop.assert_nothing_lost(load.accepted)
        assert successor.logged("entry.taken_over"), "the successor has taken nothing over"
    assert shop.stack.pid(name) == pid
