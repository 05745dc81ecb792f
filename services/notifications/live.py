"""The gateway of the phones (WebSocket), in a process of its own: open connections never take an API thread.

`gunicorn -k gevent --keep-alive 0 --worker-connections 2100 'services.notifications.live:create()'`

Under gunicorn's gevent worker the threads, queues and sockets in here are greenlets, those of RabbitMQ's connection
too; nothing in the code depends on it.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType

from flask import Blueprint, Flask, request
from redis.exceptions import RedisError

from sagashop import redis_clients
from sagashop import settings as env
from sagashop.bus import connect_bus
from sagashop.errors import Forbidden, NotLoggedIn, Unavailable
from sagashop.sessions import Sessions
from sagashop.web.app import CrossOrigin, create_app
from sagashop.web.auth import COOKIE, require_customer
from sagashop.web.inputs import Answer, accepts
from sagashop.web.websocket import NotAWebSocket, Served, WebSocket
from services.notifications.devices import Devices, NoDevice
from services.notifications.mobile import device_part
from services.notifications.phone import Gateway
from services.notifications.settings import NotificationsSettings
from services.notifications.store import SERVICE
from services.notifications.switchboard import Switchboard

LARGEST_BYTES = 256
FRAMES_PER_SECOND = 500
DOORS = 32
"""Phones that come in at a time: a thousand that return after an outage wait here, not for connections to Redis."""


def create(settings: NotificationsSettings | None = None) -> Flask:
    """The application; nothing is connected before the first request."""
    settings = settings or env.load(NotificationsSettings)
    ledger, session = redis_clients.ledger(settings), redis_clients.session(settings)
    sessions = Sessions(session, settings.session_ttl_s, settings.session_max_s)
    board = Switchboard(settings.rabbitmq_url, settings.phone_connections)
    gateway = Gateway(board, settings.phone_prefetch)
    _let_go_on_stop(gateway)
    return create_app(
        SERVICE,
        settings,
        blueprints=[sockets(gateway, Devices(connect_bus(settings), settings.phones_per_customer), sessions, settings)],
        checks={
            "redis-ledger": redis_clients.check("redis-ledger", ledger),
            "redis-session": redis_clients.check("redis-session", session),
            "rabbitmq": board.ready,
        },
        sessions=sessions,
    )


def sockets(gateway: Gateway, devices: Devices, sessions: Sessions, settings: NotificationsSettings) -> Blueprint:
    """Where phones connect."""
    routes = Blueprint("sockets", __name__)
    doors = threading.Semaphore(DOORS)

    @routes.get("/api/notifications/devices/<device_id>/socket", websocket=True)
    @accepts(problems=[NotLoggedIn, Forbidden, NoDevice, CrossOrigin, NotAWebSocket, Unavailable])
    def connect(device_id: str) -> Answer:
        """A WebSocket with the messages for one device, each acknowledged by the phone."""
        with doors:
            who, token = require_customer(), request.cookies.get(COOKIE, "")
            devices.find(who.user_id, device_id)
            numbers = devices.numbers(who.user_id)

        def welcome() -> bool:
            try:
                with doors:
                    devices.find(who.user_id, device_id)
                    return sessions.get(token) is not None
            except NoDevice:
                return False
            except (RedisError, Unavailable):
                return True  # not the phone's fault

        socket = WebSocket.accept(
            largest_bytes=LARGEST_BYTES, per_second=FRAMES_PER_SECOND, silent_s=settings.phone_ping_s
        )
        part = device_part(device_id, who.user_id)
        gateway.serve(device_id, part, socket, numbers, welcome, settings.phone_ping_s)
        return Served()

    return routes


def _let_go_on_stop(gateway: Gateway) -> None:
    """Gunicorn asks to stop with SIGTERM and waits for open requests; a phone would hold it up until it is killed."""
    gunicorns = signal.getsignal(signal.SIGTERM)
    if callable(gunicorns):  # nobody's own in a test

        def stop(number: int, frame: FrameType | None) -> None:
            gateway.close()
            gunicorns(number, frame)

        signal.signal(signal.SIGTERM, stop)
