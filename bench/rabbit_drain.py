"""Sagas per second with RabbitMQ as the bus, beside the same hops on bare pika."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pika

from bench.figures import Row, console, saga_drain
from bench.floor import HOPS
from bench.rabbit_floor import Sender
from bench.shopfloor import SETTINGS, Shopfloor
from deploy.local.ports import free_settings
from deploy.local.stack import Stack

NAME = "bench.floor"
PREFETCH = 250
PAYLOAD = b"x" * 400


def saga_drain_rabbitmq(home: Path, sagas: int) -> Row:
    """A backlog of placed orders, as `saga_drain`, on a stack whose bus is RabbitMQ."""
    with Stack(home, free_settings() | SETTINGS | {"BUS": "rabbitmq"}) as stack:
        bare = floor(stack.addresses["RABBITMQ_URL"], sagas)
        console.print(f"  floor of {HOPS} hops on bare pika: {bare:,.0f} sagas/s", highlight=False)
        return replace(saga_drain(Shopfloor(stack), sagas, bare), name="saga_drain_rabbitmq")


def floor(url: str, sagas: int) -> float:
    """Sagas per second of one loop: every hop is published with confirms in windows, taken, and acknowledged."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.exchange_declare(NAME, "fanout")
    channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(NAME, NAME)
    channel.basic_qos(prefetch_count=PREFETCH)
    sender = Sender(url, NAME, PAYLOAD)
    began = time.perf_counter()
    for _ in range(HOPS):
        sender.send(sagas)
        _take(channel, sagas)
    took_s = time.perf_counter() - began
    sender.close()
    channel.queue_delete(NAME)
    channel.exchange_delete(NAME)
    connection.close()
    return sagas / took_s


def _take(channel: pika.adapters.blocking_connection.BlockingChannel, count: int) -> None:
    for taken, (method, _, _) in enumerate(channel.consume(NAME, inactivity_timeout=30), 1):
        if method is None:
            raise TimeoutError("RabbitMQ delivers nothing")
        if taken % (PREFETCH // 2) == 0 or taken == count:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if taken == count:
            break
    channel.cancel()
