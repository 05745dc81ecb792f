"""The names of the plumbing's own keys. A service's own keys live in its `store.py`; both start with the partition tag.

The tag in braces is the partition: all keys of one partition fall into one slot of a Redis Cluster, so one script may
touch them together. There is one partition today.
"""

PARTITION = "{0}"


def stream(channel: str) -> str:
    """The stream of a channel: `orders.events` is `{0}:orders:events`."""
    return f"{PARTITION}:{channel.replace('.', ':')}"


def own(service: str, *parts: str) -> str:
    """A key in a service's own space: `own('orders', 'order', order_id)`."""
    return ":".join((PARTITION, service, *parts))


def deadlines(service: str) -> str:
    """Sorted set of pending timers: member = `Type json`, score = deadline in ms."""
    return own(service, "deadlines")


def replay(service: str) -> str:
    """Stream on which a service gets its own dead letters again; no other group reads it."""
    return own(service, "replay")


def paused(service: str) -> str:
    """Exists while the operator has paused the service's workers."""
    return own(service, "paused")


def fence(service: str) -> str:
    """Sorted set of the messages from RabbitMQ that were committed: member = message id, score = when, ms."""
    return own(service, "fence")


def tries(service: str) -> str:
    """Hash that counts how often a worker had a message that came back from RabbitMQ."""
    return own(service, "tries")


def outgoing(service: str) -> str:
    """Stream of what a service tells others, until its relay has brought it to RabbitMQ."""
    return own(service, "out")


def bus(service: str) -> str:
    """Which bus carries this service's messages; a worker on the other one refuses to start."""
    return own(service, "bus")


def moved(service: str) -> str:
    """When this service was moved to the bus that it is on, ms; not there where it has been on no other."""
    return own(service, "moved")


def dead_letters(service: str) -> str:
    """Stream of entries the service could not handle."""
    return own(service, "dead")


def jobs(service: str, *parts: str) -> str:
    """A key of the service's job queue (sagashop.jobs): `jobs('notifications', 'waiting', 'high')`."""
    return own(service, "jobs", *parts)
