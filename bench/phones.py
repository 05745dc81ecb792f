"""How fast messages reach the queues of devices, beside bare pika on the same queues, and how fast phones get them."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec.json import encode

from bench import rabbit_floor
from bench.figures import Row, console, pss_mb
from deploy.local.stack import Stack
from sagashop.cli.context import Context
from sagashop.cli.phone import connect
from sagashop.cli.traffic import Buyer, sign_up_many
from sagashop.messages import new_id, now_ms
from sagashop.rabbit.connection import short_channel
from sagashop.rabbit.publisher import Outgoing, Publisher
from sagashop.rabbit.topology import declare
from services.notifications.mobile import BROADCAST, ToAll, device_part, device_queue, joined
from services.notifications.settings import Limits

LIMITS = Limits(message_ttl_s=3600, length=1_000_000, expires_s=3600)
BODY = encode(ToAll(number=1, text="Only today: free shipping for every order.", time_ms=now_ms()))
SINGLES = 20
PHONES = 100
Send = Callable[[int], None]


def device_fanout(stack: Stack, queues: int, deliveries: int) -> list[Row]:
    """Deliveries per second into so many device queues until the last confirm, and what one broadcast takes."""
    url, suffix = stack.addresses["RABBITMQ_URL"], "" if queues == 100 else f"_{queues}"
    with _devices(stack, url, queues) as (names, kb_each):
        bare = rabbit_floor.Sender(url, BROADCAST, BODY)
        publisher = Publisher(url, "bench")
        ours = _measure(lambda n: publisher.publish([Outgoing(BROADCAST, "", BODY) for _ in range(n)], 120),
                        url, names, deliveries)  # fmt: skip
        floor = _measure(bare.send, url, names, deliveries)
        publisher.close()
        bare.close()
    return [
        Row(f"device_fanout{suffix}", round(ours[0], 1), "deliveries/s", round(floor[0], 1)),
        Row(f"device_fanout_confirm_ms{suffix}", round(ours[1], 2), "ms", round(floor[1], 2)),
        Row(f"device_queue_kb{suffix}", round(kb_each, 1), "KB"),
    ]


def _measure(send: Send, url: str, names: Sequence[str], deliveries: int) -> tuple[float, float]:
    """Deliveries per second of many at once; milliseconds of the median single one. The queues are empty before."""
    _purge(url, names)
    send(1)  # the connection is open
    messages = max(1, deliveries // len(names))
    started = time.perf_counter()
    send(messages)
    rate = messages * len(names) / (time.perf_counter() - started)
    _purge(url, names)
    took = []
    for _ in range(SINGLES):
        started = time.perf_counter()
        send(1)
        took.append((time.perf_counter() - started) * 1000)
    return rate, statistics.median(took)


@contextmanager
def _devices(stack: Stack, url: str, count: int) -> Iterator[tuple[list[str], float]]:
    """So many device queues, and what the broker's memory grew by for each, in KB."""
    pid = next(row["pid"] for row in stack.ps() if row["name"] == "rabbitmq")
    devices, before = [f"bench{new_id()}" for _ in range(count)], pss_mb(pid)
    names = [device_queue(device) for device in devices]
    declare(url, "bench", joined([device_part(d, "bench-customer", LIMITS) for d in devices]))
    try:
        yield names, (pss_mb(pid) - before) * 1024 / count
    finally:
        with short_channel(url, "bench") as channel:
            for name in names:
                channel.queue_delete(name)


def _purge(url: str, names: Sequence[str]) -> None:
    with short_channel(url, "bench") as channel:
        for name in names:
            channel.queue_purge(name)


def gateway_deliveries(stack: Stack, broadcasts: int) -> Row:
    """Messages per second that one gateway process brings to 100 phones through Nginx, each acknowledged.

    Phones and broker share the machine with it, so this is what the whole takes, not the gateway alone.
    """
    buyers = sign_up_many(stack.url, PHONES // 10, "Bench Phone")
    devices = [(buyer, buyer.shop.post("/api/notifications/devices", {"name": "Bench"})) for buyer in buyers * 10]
    url, operator = (
        stack.addresses["RABBITMQ_URL"],
        Context.from_env_file(stack.url, str(stack.env_file), as_json=False),
    )
    operator.operator().post("/api/notifications/broadcasts", {"text": "Everybody is connected"})
    publisher = Publisher(url, "bench")
    rate = asyncio.run(_phones(devices, publisher, broadcasts))
    publisher.close()
    for buyer, device in devices:
        buyer.shop.delete(f"/api/notifications/devices/{device['device_id']}")
    return Row("gateway_deliveries", round(rate, 1), "messages/s")


async def _phones(devices: Sequence[tuple[Buyer, Any]], publisher: Publisher, broadcasts: int) -> float:
    sockets = [await connect(buyer, device["device_id"]) for buyer, device in devices]
    await asyncio.gather(
        *(_take(socket, 1) for socket in sockets)
    )  # the first: the queues are there, all are connected
    batch = [Outgoing(BROADCAST, "", BODY) for _ in range(broadcasts)]
    started = time.perf_counter()
    publishing = asyncio.create_task(asyncio.to_thread(publisher.publish, batch, 120))
    await asyncio.gather(*(_take(socket, broadcasts) for socket in sockets))
    took_s = time.perf_counter() - started
    await publishing
    for socket in sockets:
        await socket.close()
    return broadcasts * len(sockets) / took_s


async def _take(socket: Any, count: int) -> None:
    while count:
        frame = json.loads(await socket.receive())
        if "tag" in frame:
            await socket.send(json.dumps({"ack": frame["tag"]}))
            count -= 1


def rows(stack: Stack, *, quick: bool) -> Iterator[Row]:
    """All rows about phones."""
    for queues, deliveries in [(100, 20_000)] if quick else [(100, 200_000), (1_000, 200_000), (5_000, 200_000)]:
        console.print(f"fanout to {queues} device queues")
        yield from device_fanout(stack, queues, deliveries)
    console.print(f"one gateway, {PHONES} phones")
    yield gateway_deliveries(stack, 20 if quick else 200)
