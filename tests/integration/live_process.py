"""The process of open event streams as deployed: gunicorn with its gevent worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from sagashop.web.auth import COOKIE
from tests.integration.orders_world import World
from tests.servers import eventually, free_port

HERE = Path(__file__).parents[2]
Told = tuple[int, str, dict[str, Any]]


class Live:
    """One orders-live process."""

    def __init__(self, world: World, **settings: str) -> None:
        self.world, port = world, free_port()
        self.url = f"http://127.0.0.1:{port}"
        chosen = world.settings
        env = {
            **os.environ, "PORT": str(port), "REDIS_LEDGER_URL": chosen.redis_ledger_url,
            "REDIS_SESSION_URL": chosen.redis_session_url, "DATABASE_URL": chosen.database_url,
            "LIVE_HEARTBEAT_S": "0.3", **settings,
        }  # fmt: skip
        arguments = ["-c", "sagashop/web/gunicorn_conf.py", "-k", "gevent", "--keep-alive", "0"]
        command = [sys.executable, "-m", "gunicorn", *arguments, "services.orders.live:create()"]
        self.process = subprocess.Popen(command, cwd=HERE, env=env)
        eventually(self._ready, 20)

    def open(self, order_id: str, user_id: str = "c1", **headers: str) -> requests.Response:
        """The events of an order."""
        return self.stream(f"/api/orders/{order_id}/events", user_id, **headers)

    def stream(self, path: str, user_id: str = "c1", **headers: str) -> requests.Response:
        cookie = {COOKIE: self.world.token(user_id)}
        return requests.get(self.url + path, headers=headers, cookies=cookie, stream=True, timeout=15)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _ready(self) -> bool:
        assert self.process.poll() is None, "orders-live ended at once"
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:  # the port is open before the application is loaded
            return False


def told(answer: requests.Response) -> Iterator[Told]:
    """The events of a stream as they come: (id, or 0 where it has none, name, data)."""
    event: dict[str, str] = {}
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        if line and name:
            event[name] = value
        elif not line:
            if "data" in event:
                yield int(event.get("id", 0)), event["event"], json.loads(event["data"])
            event = {}
