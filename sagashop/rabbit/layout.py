"""The shapes that recur: a service's exchange and dead letters, a work queue with its delay queues.

Everything of a service is named `<service>.…`, which is what its user on RabbitMQ may touch (deploy/walls_rabbit.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from sagashop.rabbit.topology import Binding, Exchange, Queue, Topology

UNROUTABLE = "sagashop.unroutable"
"""Exchange and queue of what was sent with a key that nobody has bound: a mistake, kept to be looked at."""
STEPS_S = (1, 5, 25, 125)
"""Pauses before the second, third … attempt, seconds."""
NEVER = 1_000_000
"""A delivery limit that is none; RabbitMQ 3 does not take the -1 that RabbitMQ 4 has for it."""
KEEP_UNROUTABLE_MS = 7 * 24 * 3600 * 1000


def work_exchange(service: str) -> str:
    """The direct exchange of a service; the routing key is the queue's name.

    Not the default exchange: who may publish to that one may publish to every queue of the broker.
    """
    return f"{service}.work"


def dead_queue(service: str) -> str:
    """Where the messages go that a service could not handle."""
    return f"{service}.dead"


def delay_queue(queue: str, step_s: int) -> str:
    """Where a message waits so long before it comes back to `queue`.

    One queue for each pause: a queue expires its messages only from its head, so a long one would hold up a short one.
    """
    return f"{queue}.retry.{step_s}s"


def unroutable() -> Topology:
    """The shared alternate exchange and its queue; made by the deployment's definitions.

    Who looks puts back what was taken, and the broker counts that: so no limit.
    """
    return Topology(
        exchanges=(Exchange(UNROUTABLE, "fanout", shared=True),),
        queues=(
            Queue(UNROUTABLE, message_ttl_ms=KEEP_UNROUTABLE_MS, max_length=100_000, delivery_limit=NEVER, shared=True),
        ),
        bindings=(Binding(UNROUTABLE, UNROUTABLE),),
    )


def service_part(service: str) -> Topology:
    """What every service with queues has: its direct exchange and its dead letters."""
    exchange, dead = work_exchange(service), dead_queue(service)
    return Topology(
        exchanges=(Exchange(exchange, "direct", alternate=UNROUTABLE),),
        queues=(Queue(dead, delivery_limit=NEVER),),
        bindings=(Binding(dead, exchange, dead),),
    )


def work_queue(service: str, name: str, *, steps_s: Sequence[int] = STEPS_S, delivery_limit: int = 20) -> Topology:
    """A queue `<service>.<name>` for work that must not be lost, its delay queues, and the service's own part.

    A message that fails is published to the next delay queue, from which it comes back by itself. What comes back from
    consumers that died more than `delivery_limit` times goes to the service's dead letters.
    """
    exchange, queue, dead = work_exchange(service), f"{service}.{name}", dead_queue(service)
    delays = [
        Queue(delay_queue(queue, step_s), dead_letter_to=exchange, dead_letter_key=queue, message_ttl_ms=step_s * 1000)
        for step_s in steps_s
    ]
    work = Queue(queue, dead_letter_to=exchange, dead_letter_key=dead, delivery_limit=delivery_limit)
    queues = (work, *delays)
    return service_part(service) + Topology(
        queues=queues, bindings=tuple(Binding(each.name, exchange, each.name) for each in queues)
    )
