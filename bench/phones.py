"""How fast messages reach the queues of devices, beside bare pika on the same queues, and how fast phones get them."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from msgspec.json import encode

from bench import rabbit_floor
from bench.figures import Row, console
from deploy.local import servers
from deploy.local.stack import Stack
from sagashop.cli.context import Context
from sagashop.cli.phone import connect
from sagashop.cli.traffic import Buyer, sign_up_many
from sagashop.messages import new_id, now_ms
from sagashop.rabbit.connection import short_channel
from sagashop.rabbit.publisher import Outgoing, Publisher
from sagashop.rabbit.topology import AT_ONCE, declare, declare_all
from services.notifications.mobile import BROADCAST, EXCHANGES, ToAll, device_part, device_queue
from services.notifications.settings import NotificationsSettings

BODY = encode(ToAll(number=1, text="Only today: free shipping for every order.", time_ms=now_ms()))
SINGLE_DELIVERIES, MOST_SINGLES = 10_000, 20
"""Broadcasts that are sent one by one reach so many queues together; to few queues there are so many broadcasts."""
PHONES, PREFETCH = 100, NotificationsSettings().phone_prefetch
Send = Callable[[int], None]


def device_fanout(stack: Stack, queues: int, deliveries: int) -> list[Row]:
    """Deliveries per second into so many device queues until the last confirm, and what one broadcast takes; the
    memory of an empty queue as the broker tells it.
    """
    url, suffix = stack.addresses["RABBITMQ_URL"], "" if queues == 100 else f"_{queues}"
    with _devices(url, queues) as names:
        kb_each = _kb_each(stack)
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
    for _ in range(min(MOST_SINGLES, SINGLE_DELIVERIES // len(names))):
        started = time.perf_counter()
        send(1)
        took.append((time.perf_counter() - started) * 1000)
    return rate, statistics.median(took)


@contextmanager
def _devices(url: str, count: int) -> Iterator[list[str]]:
    """So many device queues."""
    devices, started = [f"bench{new_id()}" for _ in range(count)], time.perf_counter()
    names = [device_queue(device) for device in devices]
    declare(url, "bench", EXCHANGES)
    declare_all(url, "bench", [device_part(device, "bench-customer") for device in devices])
    console.print(f"  declared in {time.perf_counter() - started:.1f} s", highlight=False)
    try:
        yield names
    finally:
        _each(url, names, "queue_delete")


def _purge(url: str, names: Sequence[str]) -> None:
    _each(url, names, "queue_purge")


def _each(url: str, names: Sequence[str], what: str) -> None:
    """Do something to every queue, over several connections."""

    def share(number: int) -> None:
        with short_channel(url, "bench") as channel:
            for name in names[number::AT_ONCE]:
                getattr(channel, what)(name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(share, range(AT_ONCE)))


def _kb_each(stack: Stack) -> float:
    """What the broker says that the queue of a device takes."""
    env = {"PATH": servers.SEARCH, "LANG": "C.UTF-8"} | servers.rabbitmq_env(stack.layout, stack.env)
    words = ["rabbitmqctl", "--quiet", "--no-table-headers", "list_queues", "name", "memory"]
    told = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=True).stdout  # noqa: S603
    each = [int(memory) for name, memory in map(str.split, told.splitlines()) if name.startswith(device_queue("bench"))]
    return statistics.mean(each) / 1024


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
    bare = _bare_deliveries(url, [device_queue(device["device_id"]) for _, device in devices], broadcasts)
    for buyer, device in devices:
        buyer.shop.delete(f"/api/notifications/devices/{device['device_id']}")
    return Row("gateway_deliveries", round(rate, 1), "messages/s", round(bare, 1))


def _bare_deliveries(url: str, queues: Sequence[str], broadcasts: int) -> float:
    """The same from one bare connection that publishes to one that takes and acknowledges: no WebSocket, no phones."""
    _purge(url, queues)
    sender = rabbit_floor.Sender(url, BROADCAST, BODY)
    taker = rabbit_floor.Taker(url, queues, PREFETCH, broadcasts * len(queues))
    started = time.perf_counter()
    sender.send(broadcasts)
    taker.wait()
    took_s = time.perf_counter() - started
    sender.close()
    return broadcasts * len(queues) / took_s


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
    for queues, deliveries in [(100, 20_000)] if quick else [(100, 200_000), (1_000, 100_000), (5_000, 100_000)]:
        console.print(f"fanout to {queues} device queues")
        yield from device_fanout(stack, queues, deliveries)
    console.print(f"one gateway, {PHONES} phones")
    yield gateway_deliveries(stack, 20 if quick else 200)
