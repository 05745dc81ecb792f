"""Notifications with phones inside a test: registry, relay, gateway process, and phones that connect to it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import pika
import pytest
import requests
from simple_websocket import Client, ConnectionClosed
from simple_websocket import ConnectionError as NotConnected

from contracts.orders import OrderPlaced
from sagashop import keys, redis_clients
from sagashop.bus import connect_bus
from sagashop.cli.phone import Phone
from sagashop.cli.traffic import Buyer
from sagashop.messages import new_id
from sagashop.sessions import Role, Sessions
from sagashop.web.auth import COOKIE
from services.notifications.app import create
from services.notifications.broadcasts import Broadcasts
from services.notifications.devices import Device, Devices
from services.notifications.handlers import make_handlers
from services.notifications.messages import CHANNEL
from services.notifications.mobile import device_queue
from services.notifications.relay import Relay
from services.notifications.settings import NotificationsSettings
from tests.integration.rigs import sealed, working
from tests.rabbit import RabbitServer
from tests.servers import eventually, free_port

HERE = Path(__file__).parents[2]
PATIENCE_S = 20.0


class PhonesHouse:
    """One notifications. It is the broker's user `notifications`, so what it may not do fails here."""

    def __init__(self, ledger: str, session: str, rabbit: RabbitServer, **chosen: Any) -> None:
        self.rabbit, self._chosen = rabbit, chosen
        self.settings = NotificationsSettings(
            redis_ledger_url=ledger, redis_session_url=session, rabbitmq_url=rabbit.url("notifications"),
            visibility_s=0.5, worker_name="relay-1", **chosen,
        )  # fmt: skip
        self.bus, self.redis = connect_bus(self.settings), redis_clients.ledger(self.settings)
        self.devices = Devices(self.bus, self.settings.phones_per_customer)
        self.broadcasts = Broadcasts(self.bus)
        self._sessions = Sessions(redis_clients.session(self.settings))
        self._made: list[str] = []

    def register(self, customer_id: str = "c1") -> Device:
        device = self.devices.register(customer_id, "My phone")
        self._made.append(device.device_id)
        return device

    def notices(self, count: int, customer_id: str = "c1") -> None:
        """Let so many orders of a customer be placed, and a worker write the notices."""
        had = self.devices.numbers(customer_id).direct
        with working("notifications", make_handlers(), self.settings):
            placed = [
                OrderPlaced(order_id=new_id(), customer_id=customer_id, lines=[], total_cents=1) for _ in range(count)
            ]
            self.bus.publish(sealed(placed))
            eventually(lambda: self.devices.numbers(customer_id).direct == had + count, PATIENCE_S)

    @property
    def outbox(self) -> int:
        return int(self.redis.xlen(keys.stream(CHANNEL)))

    @contextmanager
    def relaying(self, name: str = "relay-1") -> Iterator[Relay]:
        stopping, relay = threading.Event(), Relay(self.settings, name)
        thread = threading.Thread(target=relay.run, args=(stopping,), daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            stopping.set()
            thread.join(20)

    def relay_all(self) -> None:
        with self.relaying():
            eventually(lambda: self.outbox == 0, PATIENCE_S)

    def waiting(self, device_id: str) -> int | None:
        """Messages that wait in a device's queue; None where there is no queue."""
        try:
            return self.rabbit.depth(device_queue(device_id))
        except pika.exceptions.ChannelClosedByBroker:
            return None

    def token(self, user_id: str, role: Role = "customer") -> str:
        return self._sessions.create(user_id, "Demo Customer", role)

    def log_out(self, token: str) -> None:
        self._sessions.logout(token)

    def clean_up(self) -> None:
        with suppress(Exception), self.rabbit.channel() as channel:
            for device_id in self._made:
                channel.queue_delete(device_queue(device_id))


class GatewayProcess:
    """The gateway as deployed: gunicorn with its gevent worker."""

    def __init__(self, house: PhonesHouse, **settings: str) -> None:
        self.house, self.port = house, free_port()
        chosen = house.settings
        env = {
            **os.environ, "PORT": str(self.port), "REDIS_LEDGER_URL": chosen.redis_ledger_url,
            "REDIS_SESSION_URL": chosen.redis_session_url, "RABBITMQ_URL": chosen.rabbitmq_url, **settings,
        }  # fmt: skip
        arguments = ["-c", "sagashop/web/gunicorn_conf.py", "-k", "gevent", "--keep-alive", "0"]
        application = ["--worker-connections", "2100", "services.notifications.live:create()"]
        self.process = subprocess.Popen([sys.executable, "-m", "gunicorn", *arguments, *application], cwd=HERE, env=env)
        eventually(self._ready, 60)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, device_id: str) -> str:
        return f"{self.address}/api/notifications/devices/{device_id}/socket"

    def connect(self, device_id: str, user_id: str = "c1", token: str = "", **headers: str) -> PhoneLine:
        return PhoneLine(self.url(device_id).replace("http", "ws"), token or self.house.token(user_id), headers)

    def refuses(self, device_id: str, user_id: str = "c1", token: str = "", **headers: str) -> int:
        """The HTTP status with which it does not let a phone in."""
        with pytest.raises(NotConnected) as refused:
            self.connect(device_id, user_id, token, **headers)
        return int(refused.value.status_code)

    def live_through(self, device: Device, last: int) -> Phone:
        """A phone of the simulator at this gateway, until it has settled all notices up to the last one."""
        phone = Phone(Buyer(cast(Any, Door(self))), msgspec.to_builtins(device))
        phone.online.set()

        async def live() -> None:
            running = asyncio.create_task(phone.run())
            while phone.memory["direct"].top < last:
                await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.wait([running])

        asyncio.run(asyncio.wait_for(live(), PATIENCE_S))
        return phone

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _ready(self) -> bool:
        assert self.process.poll() is None, "the gateway ended at once"
        try:
            return requests.get(f"{self.address}/readyz", timeout=5).ok
        except requests.RequestException:
            return False


class Door:
    """The front door as a customer's phone sees it: sockets lead to the gateway, requests to the web process."""

    def __init__(self, gateway: GatewayProcess, user_id: str = "c1") -> None:
        self.url, self.session, token = gateway.address, requests.Session(), gateway.house.token(user_id)
        self.session.cookies.set(COOKIE, token)
        self._web = create(gateway.house.settings).test_client()
        self._web.set_cookie(COOKIE, token)

    def get(self, path: str, **query: int) -> Any:
        answer = self._web.get(path, query_string=query)
        assert answer.status_code == 200
        return answer.json


class Socket(Client):  # type: ignore[misc]
    """The library's client, which looks at what came together with the server's consent only when more comes."""

    def handshake(self) -> None:
        super().handshake()
        self.connected = self._handle_events()


class PhoneLine:
    """A phone's connection, driven by hand."""

    def __init__(self, url: str, token: str, headers: dict[str, str]) -> None:
        self._socket = Socket(url, headers={"Cookie": f"{COOKIE}={token}", **headers})
        self.hello: dict[str, int] = {}
        with suppress(ConnectionClosed):  # `closed_with` says why
            self.hello = self._frame()["hello"]

    def _frame(self, timeout: float = PATIENCE_S) -> Any:
        text = self._socket.receive(timeout=timeout)
        assert text is not None, "nothing came"
        return json.loads(text)

    def take(self, count: int, *, acknowledge: bool = True) -> list[int]:
        """The numbers of the next messages."""
        numbers = []
        for _ in range(count):
            frame = self._frame()
            numbers.append(frame["message"]["number"])
            if acknowledge:
                self.say(json.dumps({"ack": frame["tag"]}))
        return numbers

    def message(self) -> Any:
        frame = self._frame()
        self.say(json.dumps({"ack": frame["tag"]}))
        return frame["message"]

    def next(self, within_s: float) -> Any:
        """The next message, acknowledged; None where none comes by then. Raises: ConnectionClosed."""
        text = self._socket.receive(timeout=within_s)
        if text is None:
            return None
        frame = json.loads(text)
        self.say(json.dumps({"ack": frame["tag"]}))
        return frame["message"]

    def is_silent(self, for_s: float = 0.5) -> bool:
        return self._socket.receive(timeout=for_s) is None

    def is_open(self, for_s: float = 0.5) -> bool:
        """Whether it was greeted and not hung up on by then; what came meanwhile is kept."""
        self._socket.thread.join(for_s)
        return bool(self.hello) and self._socket.thread.is_alive()

    def say(self, text: str | bytes) -> None:
        self._socket.send(text)

    def close(self) -> None:
        with suppress(ConnectionClosed):
            self._socket.close()

    def freeze(self) -> None:
        """Answer nothing any more, not even a ping, as a phone in a tunnel."""
        self._socket.ws.events = lambda: iter(())

    def was_dropped(self) -> bool:
        """Wait for the gateway to end the connection."""
        self._socket.thread.join(PATIENCE_S)
        return not self._socket.thread.is_alive()

    def closed_with(self) -> tuple[int, str]:
        """Wait for the gateway to hang up; the code and the reason."""
        try:
            while self._socket.receive(timeout=PATIENCE_S) is not None:
                pass
        except ConnectionClosed as over:
            return int(over.reason), over.message or ""
        raise AssertionError("it did not hang up")
