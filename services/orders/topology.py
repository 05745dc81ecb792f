"""What orders has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from sagashop.rabbit.layout import work_queue
from services.orders.handlers import make_handlers
from services.orders.messages import QUEUE
from services.orders.saga import checkout

TOPOLOGY = bus_part("orders", make_handlers(checkout).types, tells=checkout.commands) + work_queue("orders", QUEUE)
