"""How many messages wait in queues, asked in one short visit."""

from __future__ import annotations

from collections.abc import Iterable

from sagashop.errors import NotReachable
from sagashop.rabbit.topology import NOT_FOUND

HEARTBEAT_S = 2
"""Short, since it is what ends the visit at a broker that has stopped answering, some seconds later."""


def ready(url: str, name: str, queues: Iterable[str]) -> dict[str, int]:
    """Messages by queue that no consumer has in hand. A queue that is not there holds none.

    Raises:
        NotReachable: nobody answers, or no longer
    """
    from pika.exceptions import AMQPError, ChannelClosedByBroker  # for audits alone a web process loads pika

    from sagashop.rabbit.connection import not_reachable, short_channel

    found: dict[str, int] = {}
    with short_channel(f"{url}{'&' if '?' in url else '?'}heartbeat={HEARTBEAT_S}", name) as first:
        channel, connection = first, first.connection
        for queue in queues:
            try:
                found[queue] = int(channel.queue_declare(queue, passive=True).method.message_count)
            except ChannelClosedByBroker as refused:
                if refused.reply_code != NOT_FOUND:
                    raise NotReachable(f"{queue}: {refused.reply_text}") from refused
                found[queue], channel = 0, connection.channel()
            except (AMQPError, OSError) as why:
                raise not_reachable(url, why) from why
    return found
