"""What notifications has on RabbitMQ. Queues of devices come and go with them (relay.py, line.py), and are here only to
be shown.
"""

from __future__ import annotations

from sagashop.rabbit.events import bus_part
from sagashop.rabbit.topology import Topology
from services.notifications.handlers import make_handlers
from services.notifications.mobile import EXCHANGES, device_part, device_policy
from services.notifications.settings import Limits
from services.notifications.store import SERVICE

TOPOLOGY = bus_part(SERVICE, make_handlers().types) + EXCHANGES


def with_a_phone(limits: Limits) -> Topology:
    """All of it, the queue of a device as an example, and what bounds it."""
    return TOPOLOGY + device_part("<device>", "<customer>") + Topology(policies=(device_policy(limits),))
