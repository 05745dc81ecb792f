"""What analytics has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from services.analytics.handlers import make_handlers
from services.analytics.store import SERVICE

TOPOLOGY = bus_part(SERVICE, make_handlers().types)
