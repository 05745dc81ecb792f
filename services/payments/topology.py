"""What payments has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from services.payments.handlers import make_handlers
from services.payments.settings import PaymentsSettings

TOPOLOGY = bus_part("payments", make_handlers(PaymentsSettings().terms).types)
