"""What notifications has on RabbitMQ. Queues of devices come and go with them (relay.py, line.py)."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from services.notifications.handlers import make_handlers
from services.notifications.mobile import EXCHANGES
from services.notifications.store import SERVICE

TOPOLOGY = bus_part(SERVICE, make_handlers().types) + EXCHANGES
