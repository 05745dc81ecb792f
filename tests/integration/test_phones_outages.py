"""Phones through outages of RabbitMQ, and many of them at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sagashop.cli.phone_memory import Memory
from sagashop.messages import new_id
from sagashop.rabbit.publisher import Outgoing, Publisher
from sagashop.rabbit.topology import declare, declare_all
from services.notifications.mobile import BROADCAST, EXCHANGES, device_part, device_queue
from tests.integration.phones_house import GatewayProcess, PhoneLine, PhonesHouse
from tests.rabbit import RabbitServer
from tests.servers import eventually

MANY = 500


@pytest.mark.feature("F40")
@pytest.mark.timeout(240)
def test_nothing_is_missing_after_the_broker_was_killed_in_between(
    redis_ledger: str, redis_session: str, own_rabbit: Callable[..., RabbitServer]
) -> None:
    broker = own_rabbit()
    house = PhonesHouse(redis_ledger, redis_session, broker)
    gateway = GatewayProcess(house)
    try:
        device, memory = house.register(), Memory(0)
        with house.relaying():
            house.notices(4)
            phone = gateway.connect(device.device_id)
            assert [memory.hear(number) for number in phone.take(2)] == [True, True]
            phone.take(2, acknowledge=False)
            broker.kill()
            assert phone.closed_with()[0] == 1013
            late = house.register("c2")  # requests are answered all the same
            house.notices(3)
            house.broadcasts.send("Sorry")
            away = gateway.connect(device.device_id)
            assert away.closed_with()[0] == 1013
            assert house.outbox > 0
            broker.start()
            back = eventually(lambda: stays(gateway, device.device_id), 60, 0.5)
            while back and memory.top < 7:
                message = back.message()
                if message["kind"] == "direct":
                    memory.hear(message["number"])
            assert memory.missing == 0
            eventually(lambda: house.outbox == 0, 30)
            told = gateway.connect(late.device_id, "c2").message()
            assert (told["kind"], told["text"]) == ("broadcast", "Sorry")
    finally:
        gateway.stop()


def stays(gateway: GatewayProcess, device_id: str) -> PhoneLine | None:
    """A connection that lasts, once RabbitMQ is back."""
    phone = gateway.connect(device_id)
    return phone if phone.is_open() else None


@pytest.mark.slow
@pytest.mark.feature("F40")
def test_what_is_confirmed_lies_in_every_device_queue_after_the_broker_was_killed(
    own_rabbit: Callable[..., RabbitServer],
) -> None:
    broker, devices = own_rabbit(), [new_id() for _ in range(100)]
    declare(broker.url(), "test", EXCHANGES)
    declare_all(broker.url(), "test", [device_part(device, "c1") for device in devices])
    publisher = Publisher(broker.url(), "test")
    publisher.publish([Outgoing(BROADCAST, "", b"{}") for _ in range(25)])
    broker.kill()
    publisher.close()
    broker.start()
    assert [broker.depth(device_queue(device)) for device in devices] == [25] * 100


@pytest.mark.slow
@pytest.mark.feature("F41")
@pytest.mark.timeout(600)
def test_five_hundred_phones_at_one_gateway_get_every_broadcast_once(
    redis_ledger: str, redis_session: str, rabbit_server: RabbitServer
) -> None:
    house = PhonesHouse(redis_ledger, redis_session, rabbit_server)
    gateway = GatewayProcess(house)
    try:
        owners = [f"c{number // 10}" for number in range(MANY)]
        devices = [house.register(owner) for owner in owners]
        house.relay_all()
        with ThreadPoolExecutor(8) as pool:
            phones = list(
                pool.map(lambda pair: gateway.connect(pair[1].device_id, pair[0]), zip(owners, devices, strict=True))
            )
        told: list[list[int]] = [[] for _ in phones]
        listening = [threading.Thread(target=lambda n=n: told[n].extend(phones[n].take(20))) for n in range(MANY)]
        for thread in listening:
            thread.start()
        for number in range(20):
            house.broadcasts.send(f"News {number}")
        with house.relaying():
            for thread in listening:
                thread.join(120)
        assert told == [list(range(1, 21))] * MANY
        assert all(house.waiting(device.device_id) == 0 for device in devices[::50])
    finally:
        gateway.stop()
        house.clean_up()
