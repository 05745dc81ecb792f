"""What storefront has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from services.storefront.handlers import make_handlers

TOPOLOGY = bus_part("storefront", make_handlers(lambda *_: (False, "")).types)
