"""What fulfillment has on RabbitMQ."""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from sagashop.rabbit.layout import work_queue
from services.fulfillment.handlers import make_handlers
from services.fulfillment.messages import QUEUE
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.store import SERVICE

TOPOLOGY = bus_part(SERVICE, make_handlers(FulfillmentSettings()).types) + work_queue(SERVICE, QUEUE)
