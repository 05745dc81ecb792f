"""The walls on RabbitMQ (F33), and all of its topology: the definitions that a broker loads at start.

Each service is a user of its own name. It declares, reads and writes what begins with its own name. On the shared topic
exchange it publishes its own events and what it tells others, and binds its queue to what it hears (deploy/walls.py
says which), so nobody can speak for another service.

The queues stand in the definitions, too: what is published before a service first runs waits for it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from deploy.walls import WALLS
from sagashop.rabbit.events import EVENTS, exchanges
from sagashop.rabbit.layout import unroutable
from sagashop.rabbit.rights import Rights, rights
from sagashop.rabbit.topology import Exchange, Policy, Queue, Topology
from sagashop.settings import load
from services.analytics.topology import TOPOLOGY as ANALYTICS
from services.fulfillment.topology import TOPOLOGY as FULFILLMENT
from services.notifications.mobile import device_policy
from services.notifications.settings import Limits, NotificationsSettings
from services.notifications.topology import TOPOLOGY as NOTIFICATIONS
from services.orders.topology import TOPOLOGY as ORDERS
from services.payments.topology import TOPOLOGY as PAYMENTS
from services.storefront.topology import TOPOLOGY as STOREFRONT

Env = Mapping[str, str]
VHOST = "/"

PARTS: Mapping[str, Topology] = {
    "storefront": STOREFRONT,
    "orders": ORDERS,
    "payments": PAYMENTS,
    "fulfillment": FULFILLMENT,
    "notifications": NOTIFICATIONS,
    "analytics": ANALYTICS,
}
"""What each service declares. A service that is not here has no user on RabbitMQ."""

OWNS: Mapping[str, tuple[str, ...]] = {"notifications": ("mobile",)}
"""Names beside its own that a service declares, reads and writes whatever begins with."""


LIMITS = ("PHONE_MESSAGE_TTL_S", "PHONE_QUEUE_LENGTH", "PHONE_QUEUE_EXPIRES_S")
"""Settings of notifications that the definitions need. They have defaults."""


def everything() -> Topology:
    """The topology of the whole shop."""
    return sum(PARTS.values(), unroutable() + exchanges())


def password_variable(service: str) -> str:
    """The setting with the password of a service on RabbitMQ."""
    return f"RABBITMQ_PASSWORD_{service.upper()}"


def allowed(service: str) -> Rights:
    """What the table opens to a service."""
    wall = WALLS[service]
    return rights(service, owns=OWNS.get(service, ()), hears=wall.hears, tells=wall.tells)


def permissions(service: str) -> dict[str, str]:
    """What a service may configure (declare, delete), write (publish to, bind a queue) and read, by name."""
    may = allowed(service)
    return {"configure": may.configure, "write": may.write, "read": may.read}


def routing_keys(service: str) -> dict[str, str]:
    """With which routing keys it may publish on the shared topic exchange, and bind its queues to it."""
    may = allowed(service)
    return {"write": may.publishes, "read": may.binds}


def definitions(env: Env) -> str:
    """The definitions as JSON: users with the hashes of their passwords, what they may do, and the topology."""
    whole = everything()
    return json.dumps(
        {
            "users": [_user(env["RABBITMQ_USER"], env["RABBITMQ_PASSWORD"], ["administrator"])]
            + [_user(service, env[password_variable(service)], []) for service in PARTS],
            "vhosts": [{"name": VHOST}],
            "permissions": [
                _of(env["RABBITMQ_USER"]) | {"configure": ".*", "write": ".*", "read": ".*"},
                *(_of(service) | permissions(service) for service in PARTS),
            ],
            "topic_permissions": [_of(service) | {"exchange": EVENTS} | routing_keys(service) for service in PARTS],
            "policies": [_policy(device_policy(limits(env)))],
            "exchanges": [_exchange(each) for each in whole.exchanges],
            "queues": [_queue(each) for each in whole.queues],
            "bindings": [
                {
                    "source": each.exchange, "vhost": VHOST, "destination": each.queue, "destination_type": "queue",
                    "routing_key": each.key, "arguments": {},
                }
                for each in whole.bindings
            ],
        },
        indent=1,
    )  # fmt: skip


def limits(env: Env) -> Limits:
    """What bounds the queues of phones, from the settings that notifications reads, too.

    Raises: BadSetting
    """
    return load(NotificationsSettings, {name: env[name] for name in LIMITS if name in env}).phone_limits


def _of(user: str) -> dict[str, str]:
    return {"user": user, "vhost": VHOST}


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(name, password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }


def password_hash(user: str, password: str) -> str:
    """How RabbitMQ knows a password: four bytes of salt, then the SHA-256 of salt and password, in base64.

    The salt comes from both, not from chance: the same settings give the same file, and so no restart.
    """
    salt = hashlib.sha256(f"{user}\0{password}".encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _exchange(each: Exchange) -> dict[str, Any]:
    fixed = {"vhost": VHOST, "durable": True, "auto_delete": False, "internal": False}
    return fixed | {"name": each.name, "type": each.kind, "arguments": each.arguments}


def _policy(each: Policy) -> dict[str, Any]:
    fixed = {"vhost": VHOST, "apply-to": "queues", "priority": 0}
    return fixed | {"name": each.name, "pattern": each.pattern, "definition": each.definition}


def _queue(each: Queue) -> dict[str, Any]:
    fixed = {"vhost": VHOST, "durable": True, "auto_delete": False}
    return fixed | {"name": each.name, "arguments": each.arguments}
