"""What orders has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from services.orders.handlers import make_handlers
from services.orders.saga import checkout

TOPOLOGY = bus_part("orders", make_handlers(checkout).types)
